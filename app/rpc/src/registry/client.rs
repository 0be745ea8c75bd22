use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use diwan_net::Workers;
use diwan_net::bolt::ClientOptions;
use tokio::sync::{mpsc, oneshot, watch};

use super::announcement::{Announcement, local_ip_towards};
use super::driver::{Driver, Input};
use super::event::{RegistryEvents, RegistryStats};
use super::state::{GuardRule, Identity, RegistId, Wanted};
use super::zookeeper::{self, ZooKeeper};
use crate::SetupError;
use crate::client::{Discovery, Provider};

/// Where a registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// Endpoints that tell over HTTP which servers there are: `host:9603` each, in the order in which they are asked.
    Ask(Vec<String>),
    /// The servers themselves: `host:9600` each.
    Fixed(Vec<String>),
    /// ZooKeeper, where SOFARPC has its services unless told otherwise.
    ZooKeeper(ZooKeeper),
}

/// How a [`RegistryClient`] works.
#[derive(Clone)]
pub struct RegistryOptions {
    /// Where the registry is.
    pub servers: Servers,
    /// This application's name.
    pub app: Option<String>,
    /// The cell that this process runs in. Consumers in a cell call providers of their own cell, if it has any. Not in ZooKeeper.
    pub zone: String,
    /// The tenant. Not in ZooKeeper.
    pub instance_id: Option<String>,
    /// File that keeps the last lists for a start without any registry. Each process needs its own.
    pub snapshot: Option<PathBuf>,
    /// If no list has come so long after the first question for it, the snapshot's is used.
    pub snapshot_after: Duration,
    /// A consumer's calls wait so long for the first list, then they fail with
    /// [`ErrorKind::NoList`](crate::ErrorKind::NoList).
    pub first_list_timeout: Duration,
    /// When a list that shrinks is believed.
    pub guard: GuardRule,
    /// Connections to the registry: TLS, heartbeats, limits. Handler, events and number are the client's own matter. ZooKeeper's
    /// connections are plain TCP.
    pub connection: ClientOptions,
    /// Is told what happens.
    pub events: Option<RegistryEvents>,
}

impl RegistryOptions {
    /// The defaults with a registry at these servers.
    pub fn new(servers: Servers) -> Self {
        Self {
            servers,
            app: None,
            zone: "DEFAULT_ZONE".to_owned(),
            instance_id: None,
            snapshot: None,
            snapshot_after: Duration::from_secs(1),
            first_list_timeout: Duration::from_secs(5),
            guard: GuardRule::default(),
            connection: ClientOptions::default(),
            events: None,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            app: self.app.clone(),
            zone: self.zone.clone(),
            instance_id: self.instance_id.clone(),
        }
    }
}

impl fmt::Debug for RegistryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryOptions")
            .field("servers", &self.servers)
            .field("app", &self.app)
            .field("zone", &self.zone)
            .field("instance_id", &self.instance_id)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

/// A list as it is handed to consumers.
pub(super) struct Listed {
    pub(super) sender: watch::Sender<Arc<[Provider]>>,
    /// It has been told at least once.
    pub(super) known: bool,
}

/// The lists of all services that were asked for.
#[derive(Clone, Default)]
pub(super) struct Lists(Arc<Mutex<HashMap<String, Listed>>>);

impl Lists {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Listed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to a registry that is kept, and everything that is published and asked for over it. Cheap to clone. It works on
/// after the last handle is gone for as long as a consumer or a published service needs it.
#[derive(Clone)]
pub struct RegistryClient {
    shared: Arc<Shared>,
}

struct Shared {
    inputs: mpsc::UnboundedSender<Input>,
    lists: Lists,
    stats: Arc<RegistryStats>,
    first_list_timeout: Duration,
    app: Option<String>,
    /// Some address of the registry.
    registry: String,
    is_zookeeper: bool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.inputs.send(Input::Abandoned);
    }
}

impl RegistryClient {
    /// Starts to connect; returns at once. The snapshot is read here.
    ///
    /// # Errors
    /// When no server is given, or the threads that hold connections cannot be started.
    pub fn start(options: RegistryOptions) -> Result<Self, SetupError> {
        let addrs = match &options.servers {
            Servers::Ask(addrs) | Servers::Fixed(addrs) => addrs,
            Servers::ZooKeeper(zookeeper) => &zookeeper.servers,
        };
        let Some(registry) = addrs.first().cloned() else {
            return Err(SetupError::Address {
                url: String::new(),
                problem: "a registry needs at least one address".to_owned(),
            });
        };
        let (inputs, todo) = mpsc::unbounded_channel();
        let lists = Lists::default();
        let stats = Arc::new(RegistryStats::default());
        let shared = Shared {
            inputs: inputs.clone(),
            lists: lists.clone(),
            stats: stats.clone(),
            first_list_timeout: options.first_list_timeout,
            app: options.app.clone(),
            registry,
            is_zookeeper: matches!(options.servers, Servers::ZooKeeper(_)),
        };
        let workers = Workers::shared().map_err(|error| SetupError::Io {
            addr: shared.registry.clone(),
            error,
        })?;
        if let Servers::ZooKeeper(place) = options.servers.clone() {
            let driver = zookeeper::Driver::new(place, &options, inputs, lists, stats);
            workers.spawn(0, move || driver.run(todo));
        } else {
            let driver = Driver::new(options, inputs, lists, stats);
            workers.spawn(0, move || driver.run(todo));
        }
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// How often what happened.
    pub fn stats(&self) -> &Arc<RegistryStats> {
        &self.shared.stats
    }

    /// Publishes a service that listens on `addr`.
    pub(crate) fn publish(
        &self,
        service: &str,
        announcement: &Announcement,
        addr: SocketAddr,
    ) -> Result<Publication, SetupError> {
        let host = match &announcement.host {
            Some(host) => host.clone(),
            None if !addr.ip().is_unspecified() => addr.ip().to_string(),
            None => {
                let registry = &self.shared.registry;
                let local = local_ip_towards(registry).map_err(|error| SetupError::Io {
                    addr: registry.clone(),
                    error,
                })?;
                local.to_string()
            }
        };
        let port = announcement.port.unwrap_or(addr.port());
        let app = self.shared.app.as_deref();
        let data = if self.shared.is_zookeeper {
            let place = (host.as_str(), port);
            zookeeper::instance(announcement, service, place, app, unix_ms())
        } else {
            announcement.data(&host, port, app, unix_ms())
        };
        let id = new_id();
        let _ = self.shared.inputs.send(Input::Register {
            id: id.clone(),
            service: service.to_owned(),
            wanted: Wanted::Publish(data),
        });
        Ok(Publication {
            id,
            service: service.to_owned(),
            place: (host, port),
            registry: self.clone(),
        })
    }
}

impl Discovery for RegistryClient {
    fn subscribe(&self, service: &str) -> watch::Receiver<Arc<[Provider]>> {
        let mut lists = self.shared.lists.lock();
        let listed = lists.entry(service.to_owned()).or_insert_with(|| {
            let _ = self.shared.inputs.send(Input::Register {
                id: new_id(),
                service: service.to_owned(),
                wanted: Wanted::Subscribe,
            });
            Listed {
                sender: watch::Sender::new(Arc::default()),
                known: false,
            }
        });
        let mut receiver = listed.sender.subscribe();
        if listed.known {
            receiver.mark_changed();
        }
        receiver
    }

    fn first_list_timeout(&self) -> Option<Duration> {
        Some(self.shared.first_list_timeout)
    }
}

/// A service that is published until this is dropped.
pub(crate) struct Publication {
    id: RegistId,
    service: String,
    /// Host and port, as published.
    place: (String, u16),
    registry: RegistryClient,
}

impl Publication {
    /// Takes the service off the list, and waits until the list comes without it: others are told it then, too. False at once if
    /// there is no registry to do so.
    pub(crate) fn end(self) -> impl Future<Output = bool> + Send + use<> {
        let mut list = self.registry.subscribe(&self.service);
        let (tell, told) = oneshot::channel();
        self.unregister(Some(tell));
        let place = self.place.clone();
        async move {
            if !told.await.unwrap_or(false) {
                return false;
            }
            let is_gone = |providers: &Arc<[Provider]>| {
                let mut places = providers
                    .iter()
                    .map(|one| (one.host.as_str(), one.addr.port()));
                !places.any(|(host, port)| (host, port) == (place.0.as_str(), place.1))
            };
            // An error means that nobody tells anything any more.
            if list.changed().await.is_ok() {
                let _ = list.wait_for(is_gone).await;
            }
            true
        }
    }

    fn unregister(&self, tell: Option<oneshot::Sender<bool>>) {
        let id = self.id.clone();
        let input = Input::Unregister { id, tell };
        let _ = self.registry.shared.inputs.send(input);
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        // One that has ended already stays so.
        self.unregister(None);
    }
}

/// A UUID of version 4.
fn new_id() -> RegistId {
    let bits = (u128::from(random()) << 64) | u128::from(random());
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    RegistId(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}

/// A fresh hasher is seeded by the system.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_differ() {
        let (one, other) = (new_id().0, new_id().0);
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "4");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }

    #[test]
    fn a_registry_needs_an_address() {
        let options = RegistryOptions::new(Servers::Ask(Vec::new()));
        assert!(RegistryClient::start(options).is_err());
    }
}
