//! Which server a call goes to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::timeout;

use super::answer::Failure;
use super::balance::Balance;
use super::block_on::on_worker;
use super::consumer::ConsumerOptions;
use super::endpoint::{Endpoint, shared_client};
use super::{CallInfo, Provider};
use crate::{ErrorKind, SetupError};

/// The servers of a consumer and what it remembers of them.
pub(super) struct Selection {
    providers: watch::Receiver<Arc<[Provider]>>,
    /// Until the providers' first change nothing is known of them, if this is set.
    first_list_timeout: Option<Duration>,
    known: RwLock<Known>,
    balance: Balance,
    sticky: Mutex<Weak<Endpoint>>,
    /// End of the fault tolerance window, in milliseconds since `began`.
    window_ends_ms: AtomicU64,
    began: Instant,
}

/// Endpoints, and the list of providers that they were made from.
#[derive(Default)]
struct Known {
    providers: Arc<[Provider]>,
    endpoints: Endpoints,
}

type Endpoints = Arc<[Arc<Endpoint>]>;

impl Selection {
    pub(super) fn new(
        providers: watch::Receiver<Arc<[Provider]>>,
        first_list_timeout: Option<Duration>,
        options: &ConsumerOptions,
    ) -> Result<Self, SetupError> {
        let window_ms = options
            .tolerance
            .map_or(0, |rule| rule.window.as_millis() as u64);
        let selection = Self {
            providers,
            first_list_timeout,
            known: RwLock::default(),
            balance: Balance::default(),
            sticky: Mutex::default(),
            window_ends_ms: AtomicU64::new(window_ms),
            began: Instant::now(),
        };
        // Connections are made at once, not at the first call.
        selection.endpoints(options)?;
        Ok(selection)
    }

    /// How long to wait for the first list; `None` when it is known.
    pub(super) fn awaits_first_list(&self) -> Option<Duration> {
        // Nothing here marks a change as seen. An error means that nobody tells anything any more.
        self.first_list_timeout
            .filter(|_| matches!(self.providers.has_changed(), Ok(false)))
    }

    /// Waits for the first list, in any runtime or none.
    pub(super) async fn first_list(&self, limit: Duration) -> Result<(), Failure> {
        let mut providers = self.providers.clone();
        let wait = move || async move { timeout(limit, providers.changed()).await.is_ok() };
        match on_worker(wait).await {
            Some(true) => Ok(()),
            _ => {
                let why = format!("no list of servers came within {limit:?}");
                Err(Failure::new(ErrorKind::NoList, why))
            }
        }
    }

    /// The server of the next attempt at a call; `tried` failed already.
    pub(super) fn select(
        &self,
        options: &ConsumerOptions,
        info: &CallInfo<'_>,
        target: Option<SocketAddr>,
        key: &str,
        tried: &[Arc<Endpoint>],
    ) -> Result<Arc<Endpoint>, Failure> {
        let none = |why: &str| Failure::new(ErrorKind::NoProvider, why);
        let endpoints = self
            .endpoints(options)
            .map_err(|error| none(&error.to_string()))?;
        if endpoints.is_empty() {
            return Err(none("no server offers the service"));
        }
        let allowed = |endpoint: &&Arc<Endpoint>| {
            target.is_none_or(|target| target == endpoint.provider.addr)
                && options
                    .routers
                    .iter()
                    .all(|router| router.allows(info, &endpoint.provider))
        };
        let routed: Vec<Arc<Endpoint>> = endpoints.iter().filter(allowed).cloned().collect();
        if routed.is_empty() {
            return Err(none("routing leaves no server"));
        }
        // The best that there is: available and not busy a moment ago; available; down as far as is known, where an
        // attempt says why; and at last one that was tried already, for a retry with a single server.
        let untried =
            |endpoint: &Endpoint| !tried.iter().any(|other| std::ptr::eq(&**other, endpoint));
        let rank = |endpoint: &Endpoint| match (untried(endpoint), endpoint.is_available()) {
            (true, true) if !endpoint.is_resting() => 0,
            (true, true) => 1,
            (true, false) => 2,
            (false, true) => 3,
            (false, false) => 4,
        };
        let best = routed
            .iter()
            .map(|endpoint| rank(endpoint))
            .min()
            .unwrap_or(4);
        if best == 4 {
            return Err(none("no server is left to try"));
        }
        let candidates: Vec<_> = routed
            .into_iter()
            .filter(|endpoint| rank(endpoint) == best)
            .collect();
        if !options.sticky {
            return Ok(self.choose(options, info, key, &candidates));
        }
        let mut sticky = self.sticky.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = sticky.upgrade()
            && candidates
                .iter()
                .any(|candidate| Arc::ptr_eq(candidate, &kept))
        {
            return Ok(kept);
        }
        let chosen = self.choose(options, info, key, &candidates);
        *sticky = Arc::downgrade(&chosen);
        Ok(chosen)
    }

    fn choose(
        &self,
        options: &ConsumerOptions,
        info: &CallInfo<'_>,
        key: &str,
        candidates: &[Arc<Endpoint>],
    ) -> Arc<Endpoint> {
        self.balance
            .select(
                options.balancer,
                info.method,
                key,
                candidates,
                SystemTime::now(),
            )
            .clone()
    }

    /// Whether there is another server than this.
    pub(super) fn has_other(&self, options: &ConsumerOptions, endpoint: &Arc<Endpoint>) -> bool {
        let is_other = |other: &Arc<Endpoint>| !Arc::ptr_eq(other, endpoint);
        self.endpoints(options)
            .is_ok_and(|endpoints| endpoints.iter().any(is_other))
    }

    /// Feeds fault tolerance with the outcome of an attempt.
    pub(super) fn judge(
        &self,
        options: &ConsumerOptions,
        endpoint: &Endpoint,
        failure: Option<ErrorKind>,
    ) {
        let Some(rule) = &options.tolerance else {
            return;
        };
        let failed = matches!(
            failure,
            Some(
                ErrorKind::Timeout
                    | ErrorKind::Busy
                    | ErrorKind::ConnectionClosed
                    | ErrorKind::NoProvider
            )
        );
        endpoint.health.record(failed);
        let now_ms = self.began.elapsed().as_millis() as u64;
        let ends_ms = self.window_ends_ms.load(Relaxed);
        let next_ms = now_ms + rule.window.as_millis() as u64;
        if now_ms >= ends_ms
            && self
                .window_ends_ms
                .compare_exchange(ends_ms, next_ms, Relaxed, Relaxed)
                .is_ok()
            && let Ok(endpoints) = self.endpoints(options)
        {
            rule.judge(&endpoints);
        }
    }

    /// The endpoints of the current list; those that stay keep their connections and health.
    fn endpoints(&self, options: &ConsumerOptions) -> Result<Endpoints, SetupError> {
        let current = self.providers.borrow().clone();
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&known.providers, &current) {
                return Ok(known.endpoints.clone());
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let endpoints = current
            .iter()
            .map(|provider| {
                if let Some(kept) = known
                    .endpoints
                    .iter()
                    .find(|endpoint| endpoint.provider == *provider)
                {
                    return Ok(kept.clone());
                }
                let client = shared_client(provider.addr, &options.connection)?;
                Ok(Arc::new(Endpoint::new(provider.clone(), client)))
            })
            .collect::<Result<Endpoints, SetupError>>()?;
        *known = Known {
            providers: current,
            endpoints: endpoints.clone(),
        };
        Ok(endpoints)
    }
}
