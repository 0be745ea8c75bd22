use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Instant, SystemTime};

use diwan_net::bolt::{Client, ClientOptions, PeerState};

use super::Provider;
use crate::SetupError;

/// A provider with its connections and what is known of its health.
pub(super) struct Endpoint {
    pub(super) provider: Provider,
    pub(super) client: Arc<Client>,
    pub(super) health: Health,
}

/// Counts of the current window and the share of its weight that fault tolerance leaves an endpoint.
pub(super) struct Health {
    pub(super) calls: AtomicU32,
    pub(super) errors: AtomicU32,
    /// In thousandths of the provider's weight.
    pub(super) permille: AtomicU32,
    /// When it last said that it is busy, in milliseconds since [`epoch`]; 0 for never.
    busy_at_ms: AtomicU64,
}

/// A server that said busy is left alone for so long while others are available: it may be stopping, and closes its
/// connections when nothing comes any more.
const REST_MS: u64 = 1000;

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

pub(super) const PERMILLE_FULL: u32 = 1000;

impl Health {
    /// Counts one call of the current window.
    pub(super) fn record(&self, failed: bool) {
        self.calls.fetch_add(1, Relaxed);
        if failed {
            self.errors.fetch_add(1, Relaxed);
        }
    }
}

impl Endpoint {
    pub(super) fn new(provider: Provider, client: Arc<Client>) -> Self {
        let health = Health {
            calls: AtomicU32::new(0),
            errors: AtomicU32::new(0),
            permille: AtomicU32::new(PERMILLE_FULL),
            busy_at_ms: AtomicU64::new(0),
        };
        Self {
            provider,
            client,
            health,
        }
    }

    /// Weight now: warm-up and fault tolerance counted in. Never 0 by degradation alone.
    pub(super) fn weight(&self, now: SystemTime) -> u32 {
        let full = self.provider.weight_at(now);
        let permille = self.health.permille.load(Relaxed);
        let left = u64::from(full) * u64::from(permille) / u64::from(PERMILLE_FULL);
        (left as u32).max(full.min(1))
    }

    /// The server said that it is busy.
    pub(super) fn said_busy(&self) {
        self.health
            .busy_at_ms
            .store(epoch().elapsed().as_millis() as u64 + 1, Relaxed);
    }

    /// Whether it should be left alone for a while.
    pub(super) fn is_resting(&self) -> bool {
        let busy_at_ms = self.health.busy_at_ms.load(Relaxed);
        busy_at_ms > 0 && (epoch().elapsed().as_millis() as u64) < busy_at_ms + REST_MS
    }

    /// Whether a call has a chance: connected, or not tried yet.
    pub(super) fn is_available(&self) -> bool {
        matches!(
            self.client.state(),
            PeerState::Connected | PeerState::Connecting
        )
    }
}

/// The connections to an address. Consumers that leave the connection options as they are share them; a consumer with
/// a handler, TLS or events of its own has its own.
pub(super) fn shared_client(
    addr: SocketAddr,
    options: &ClientOptions,
) -> Result<Arc<Client>, SetupError> {
    type Clients = Mutex<HashMap<(SocketAddr, String), Weak<Client>>>;
    static CLIENTS: OnceLock<Clients> = OnceLock::new();
    let connect = || {
        let client = Client::connect(addr, options.clone());
        client.map(Arc::new).map_err(|error| SetupError::Io {
            addr: addr.to_string(),
            error,
        })
    };
    if options.handler.is_some() || options.tls.is_some() || options.events.is_some() {
        return connect();
    }
    let key = (addr, format!("{options:?}"));
    let mut clients = CLIENTS
        .get_or_init(Clients::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    clients.retain(|_, client| client.strong_count() > 0);
    if let Some(client) = clients.get(&key).and_then(Weak::upgrade) {
        return Ok(client);
    }
    let client = connect()?;
    clients.insert(key, Arc::downgrade(&client));
    Ok(client)
}
