use std::cell::Cell;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use diwan_hessian::Limits;
use diwan_net::bolt::{Bolt, Handler, SessionOptions};
use diwan_net::{Protocol, Server as NetServer, ServerOptions, ServerTls, Stats};
use diwan_sofarpc::unique_name;
use tokio::sync::watch;

use super::announcer::Announcer;
use super::blocking::BlockingPool;
use super::dispatch::{Dispatcher, Entry};
use super::{HealthCheck, Published, ServerFilter};
use crate::SetupError;
use crate::registry::{Announcement, RegistryClient};

/// Java's default for `sofa.rpc.server` (`sofastack/sofa-rpc:core/common/.../rpc-config-default.json`).
const BLOCKING_THREADS_MAX: usize = 200;
/// Wait between two rounds of health checks that did not pass.
const HEALTH_RETRY: Duration = Duration::from_millis(200);

/// Collects what a server is to be.
#[must_use = "a builder does nothing until `start`"]
pub struct ServerBuilder {
    addr: String,
    services: Vec<Published>,
    filters: Vec<Arc<dyn ServerFilter>>,
    protocols: Vec<Arc<dyn Protocol>>,
    options: ServerOptions,
    session: SessionOptions,
    hessian: Limits,
    blocking_threads_max: usize,
    registries: Vec<(RegistryClient, Announcement)>,
}

impl ServerBuilder {
    /// Adds a service; `Published::from(service)` to say more than its type does.
    pub fn publish(mut self, service: impl Into<Published>) -> Self {
        self.services.push(service.into());
        self
    }

    /// Publishes the services in a registry, too: each one once its health checks have passed, until [`Server::stop`] begins.
    pub fn register(mut self, registry: &RegistryClient, announcement: Announcement) -> Self {
        self.registries.push((registry.clone(), announcement));
        self
    }

    /// Adds a filter behind those added before.
    pub fn filter(mut self, filter: impl ServerFilter) -> Self {
        self.filters.push(Arc::new(filter));
        self
    }

    /// Offers another protocol on the same port.
    pub fn protocol(mut self, protocol: Arc<dyn Protocol>) -> Self {
        self.protocols.push(protocol);
        self
    }

    /// Connection limits, threads, TLS.
    pub fn options(mut self, options: ServerOptions) -> Self {
        self.options = options;
        self
    }

    /// Speaks TLS only.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.options.tls = Some(tls);
        self
    }

    /// Worker threads; the number of cores otherwise.
    pub fn workers(mut self, count: usize) -> Self {
        self.options.workers = Some(count);
        self
    }

    /// Frame size limit.
    pub fn session(mut self, session: SessionOptions) -> Self {
        self.session = session;
        self
    }

    /// Bounds of Hessian decoding.
    pub fn hessian_limits(mut self, limits: Limits) -> Self {
        self.hessian = limits;
        self
    }

    /// Threads for blocking methods; when all are taken, the answer is busy.
    pub fn blocking_threads_max(mut self, threads: usize) -> Self {
        self.blocking_threads_max = threads;
        self
    }

    /// Binds the port and serves.
    ///
    /// # Errors
    /// When the address is malformed or taken, or two services have one name.
    pub fn start(self) -> Result<Server, SetupError> {
        let addr = resolve(&self.addr)?;
        let mut published = Vec::new();
        for service in self.services {
            let descriptor = service.service.descriptor();
            let version = service.version.as_deref().unwrap_or(descriptor.version);
            let name = unique_name(descriptor.interface, version, &service.unique_id);
            let ready = Arc::new(AtomicBool::new(service.health.is_empty()));
            published.push((name, ready, service));
        }
        published.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        if let Some(pair) = published.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(SetupError::Duplicate(pair[0].0.clone()));
        }
        let gates: Vec<Gate> = published
            .iter()
            .map(|(name, ready, service)| Gate {
                name: name.clone(),
                ready: ready.clone(),
                checks: service.health.clone(),
            })
            .collect();

        let filters: Arc<[Arc<dyn ServerFilter>]> = self.filters.into();
        let blocking = BlockingPool::new(self.blocking_threads_max);
        let limits = self.hessian;
        let make = move || -> Rc<dyn Handler> {
            let services = published.iter().map(|(name, ready, published)| Entry {
                name: name.clone(),
                ready: ready.clone(),
                methods: published
                    .service
                    .descriptor()
                    .methods
                    .into_iter()
                    .zip(published.service.worker())
                    .collect(),
            });
            Rc::new(Dispatcher {
                services: services.collect(),
                last: Cell::new(0),
                filters: filters.clone(),
                blocking: blocking.clone(),
                limits,
            })
        };
        let mut protocols: Vec<Arc<dyn Protocol>> = vec![Bolt::new(Arc::new(make), self.session)];
        protocols.extend(self.protocols);
        let net =
            NetServer::start(addr, protocols, self.options).map_err(|error| SetupError::Io {
                addr: addr.to_string(),
                error,
            })?;
        let services = gates.iter().map(|gate| gate.name.clone()).collect();
        let announcer = Arc::new(Announcer::new(self.registries, net.local_addr()));
        for gate in gates.iter().filter(|gate| gate.checks.is_empty()) {
            announcer.announce(&gate.name)?;
        }
        let ready = open_gates(&net, gates, announcer.clone());
        Ok(Server {
            net,
            services,
            ready,
            announcer,
        })
    }
}

/// A running server. Dropping it stops it at once; [`stop`](Self::stop) lets requests end.
pub struct Server {
    net: NetServer,
    services: Vec<String>,
    ready: watch::Receiver<bool>,
    announcer: Arc<Announcer>,
}

impl Server {
    /// A server on `addr` (`HOST:PORT`, port 0 for any free one).
    pub fn builder(addr: impl Into<String>) -> ServerBuilder {
        ServerBuilder {
            addr: addr.into(),
            services: Vec::new(),
            filters: Vec::new(),
            protocols: Vec::new(),
            options: ServerOptions::default(),
            session: SessionOptions::default(),
            hessian: Limits::default(),
            blocking_threads_max: BLOCKING_THREADS_MAX,
            registries: Vec::new(),
        }
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.net.local_addr()
    }

    /// Unique names of its services.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// The counters of its connections.
    pub fn stats(&self) -> &Arc<Stats> {
        self.net.stats()
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.net.connections()
    }

    /// Requests whose method has not finished.
    pub fn in_flight(&self) -> usize {
        self.net.in_flight()
    }

    /// Waits until every service has passed its health checks and is published.
    pub async fn ready(&self) {
        // An error means that the gates are gone: they all opened.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Stops: takes the services off the registries and goes on until consumers know
    /// ([`Announcement::notice`]), refuses requests that have not begun with the status on which callers go elsewhere, lets the others
    /// end for at most `within` (the original allows 20 s), closes all connections.
    pub async fn stop(self, within: Duration) {
        self.announcer.withdraw().await;
        self.net.stop(within).await;
    }
}

struct Gate {
    name: String,
    ready: Arc<AtomicBool>,
    checks: Vec<Arc<dyn HealthCheck>>,
}

fn open_gates(
    net: &NetServer,
    gates: Vec<Gate>,
    announcer: Arc<Announcer>,
) -> watch::Receiver<bool> {
    let (all, seen) = watch::channel(gates.iter().all(|gate| gate.checks.is_empty()));
    if *seen.borrow() {
        return seen;
    }
    net.workers().spawn(0, move || async move {
        let mut closed: Vec<Gate> = gates
            .into_iter()
            .filter(|gate| !gate.checks.is_empty())
            .collect();
        while !closed.is_empty() && !all.is_closed() {
            let mut still_closed = Vec::new();
            for gate in closed {
                match first_problem(&gate.checks).await {
                    None => {
                        gate.ready.store(true, Relaxed);
                        tracing::info!(service = gate.name, "published: health checks passed");
                        if let Err(error) = announcer.announce(&gate.name) {
                            tracing::error!(service = gate.name, %error, "not in the registry");
                        }
                    }
                    Some(problem) => {
                        tracing::warn!(service = gate.name, problem, "not published yet");
                        still_closed.push(gate);
                    }
                }
            }
            closed = still_closed;
            if !closed.is_empty() {
                tokio::time::sleep(HEALTH_RETRY).await;
            }
        }
        let _ = all.send(true);
    });
    seen
}

async fn first_problem(checks: &[Arc<dyn HealthCheck>]) -> Option<String> {
    for check in checks {
        if let Err(problem) = check.check().await {
            return Some(format!("{}: {problem}", check.name()));
        }
    }
    None
}

/// `HOST:PORT` as an address.
pub(crate) fn resolve(text: &str) -> Result<SocketAddr, SetupError> {
    let problem = |problem: String| SetupError::Address {
        url: text.to_owned(),
        problem,
    };
    text.to_socket_addrs()
        .map_err(|error| problem(error.to_string()))?
        .next()
        .ok_or_else(|| problem("no address".into()))
}
