use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use diwan_hessian::{Limits, Throwable, Value};
use diwan_net::bolt::ClientOptions;
use diwan_sofarpc::unique_name;

use super::cluster::Inner;
use super::discovery::direct;
use super::tolerance::ToleranceRule;
use super::{
    Balancer, ClientFilter, ClientMethod, Discovery, ResponseBaggage, Router, StaticDiscovery,
};
use crate::{RpcError, SetupError};

/// What to do when a call fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cluster {
    /// Try other servers, as often as `retries` says; a request that never left is always tried elsewhere.
    #[default]
    Failover,
    /// Fail at once.
    Failfast,
}

/// How a service is called. Defaults are the original's.
#[derive(Clone)]
pub struct ConsumerOptions {
    /// Version of the service; its type's own when empty.
    pub version: String,
    /// Part of the unique name that tells several services of one interface apart.
    pub unique_id: String,
    /// Application called, for servers that look at it.
    pub target_app: Option<String>,
    /// Time of one attempt.
    pub timeout: Duration,
    /// Failure policy.
    pub cluster: Cluster,
    /// Further attempts after a busy server or a timeout. A call that timed out may have been carried out: only set
    /// it where the service bears repetition.
    pub retries: u32,
    /// Choice of the server.
    pub balancer: Balancer,
    /// Stay with one server while it is available.
    pub sticky: bool,
    /// Give fewer calls to servers that fail more than others.
    pub tolerance: Option<ToleranceRule>,
    /// Codec number: 1 Hessian, 11 protocol buffers, 12 JSON; the first that the service has when `None`.
    pub codec: Option<u8>,
    /// Tell the server how much of the time is left (`deadline.enable` of the original).
    pub send_deadline: bool,
    /// Connections: number, TLS, heartbeats, limits.
    pub connection: ClientOptions,
    /// Bounds of Hessian decoding.
    pub hessian: Limits,
    /// Before and after each call, in this order.
    pub filters: Vec<Arc<dyn ClientFilter>>,
    /// Narrow the servers of each call, in this order.
    pub routers: Vec<Arc<dyn Router>>,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            version: String::new(),
            unique_id: String::new(),
            target_app: None,
            timeout: Duration::from_secs(3),
            cluster: Cluster::default(),
            retries: 0,
            balancer: Balancer::default(),
            sticky: false,
            tolerance: None,
            codec: None,
            send_deadline: false,
            connection: ClientOptions::default(),
            hessian: Limits::default(),
            filters: Vec::new(),
            routers: Vec::new(),
        }
    }
}

/// What one call has of its own.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// Time of one attempt, instead of the consumer's.
    pub timeout: Option<Duration>,
    /// Only this server.
    pub target: Option<SocketAddr>,
    /// Baggage for the server and those it calls.
    pub baggage: Vec<(String, String)>,
    /// Takes the baggage that comes back with the answer.
    pub response_baggage: Option<ResponseBaggage>,
}

/// Calls one service. Cheap to clone; usable from any thread and any runtime.
#[derive(Clone)]
pub struct Consumer {
    inner: Arc<Inner>,
}

/// A typed client made by `#[diwan::service]`.
pub trait ServiceClient: Sized {
    /// Java interface of the service.
    const INTERFACE: &'static str;
    /// Version of the service.
    const VERSION: &'static str;

    /// The client over a consumer of the service.
    fn over(consumer: Consumer) -> Self;

    /// A client of the servers at `urls`: one or several `bolt://host:port`, separated by commas.
    ///
    /// # Errors
    /// When a URL is malformed.
    fn direct(urls: &str, options: ConsumerOptions) -> Result<Self, SetupError> {
        let options = with_version(options, Self::VERSION);
        Consumer::direct(Self::INTERFACE, urls, options).map(Self::over)
    }

    /// A client of the servers that `discovery` tells.
    ///
    /// # Errors
    /// When the connections' threads cannot be started.
    fn discovered(discovery: &dyn Discovery, options: ConsumerOptions) -> Result<Self, SetupError> {
        let options = with_version(options, Self::VERSION);
        Consumer::discovered(Self::INTERFACE, discovery, options).map(Self::over)
    }
}

fn with_version(mut options: ConsumerOptions, version: &str) -> ConsumerOptions {
    if options.version.is_empty() {
        version.clone_into(&mut options.version);
    }
    options
}

impl Consumer {
    /// A consumer of an interface at fixed addresses.
    ///
    /// # Errors
    /// When a URL is malformed.
    pub fn direct(
        interface: &str,
        urls: &str,
        options: ConsumerOptions,
    ) -> Result<Self, SetupError> {
        let discovery = StaticDiscovery::new();
        let service = unique_name(interface, &options.version, &options.unique_id);
        discovery.set(&service, direct(urls)?);
        Self::discovered(interface, &discovery, options)
    }

    /// A consumer of an interface whose servers `discovery` tells.
    ///
    /// # Errors
    /// When the connections' threads cannot be started.
    pub fn discovered(
        interface: &str,
        discovery: &dyn Discovery,
        options: ConsumerOptions,
    ) -> Result<Self, SetupError> {
        let service = unique_name(interface, &options.version, &options.unique_id);
        let providers = discovery.subscribe(&service);
        let first_list_timeout = discovery.first_list_timeout();
        Ok(Self {
            inner: Arc::new(Inner::new(service, providers, first_list_timeout, options)?),
        })
    }

    /// Unique name of the service.
    pub fn service(&self) -> &str {
        &self.inner.service
    }

    /// Calls a method.
    ///
    /// # Errors
    /// What the method throws, or why it could not be called.
    pub async fn call<A: Sync, T, E>(
        &self,
        method: &ClientMethod<A, T, E>,
        arguments: A,
    ) -> Result<T, RpcError<E>> {
        self.call_with(method, arguments, &CallOptions::default())
            .await
    }

    /// Calls a method with options of its own.
    ///
    /// # Errors
    /// What the method throws, or why it could not be called.
    pub async fn call_with<A: Sync, T, E>(
        &self,
        method: &ClientMethod<A, T, E>,
        arguments: A,
        options: &CallOptions,
    ) -> Result<T, RpcError<E>> {
        self.inner.call_typed(method, &arguments, options).await
    }

    /// Sends a request that is never answered.
    ///
    /// # Errors
    /// When no server is known or the arguments cannot be written. Success says nothing about the server.
    pub fn oneway<A: Sync, T, E>(
        &self,
        method: &ClientMethod<A, T, E>,
        arguments: A,
        options: &CallOptions,
    ) -> Result<(), RpcError> {
        self.inner.oneway_typed(method, &arguments, options)
    }

    /// Calls a method by name with dynamic values: generic invocation. `signatures` are Java's, one for each
    /// argument; the Java server compares them literally.
    ///
    /// # Errors
    /// The exception that the method throws, or why it could not be called.
    pub async fn generic(
        &self,
        method: &str,
        signatures: &[&str],
        arguments: &[Value<'_>],
        options: &CallOptions,
    ) -> Result<Value<'static>, RpcError<Throwable>> {
        self.inner
            .call_generic(method, signatures, arguments, options)
            .await
    }
}
