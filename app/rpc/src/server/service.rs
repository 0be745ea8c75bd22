use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::{HealthCheck, MethodWorker};

/// Name, version and methods of a service.
#[derive(Clone, Debug)]
pub struct ServiceDescriptor {
    /// Java interface.
    pub interface: &'static str,
    /// Version; the original's default is 1.0.
    pub version: &'static str,
    /// Its methods in the order of [`Service::worker`].
    pub methods: Vec<MethodDescriptor>,
}

/// One method of a service.
#[derive(Clone, Debug)]
pub struct MethodDescriptor {
    /// Java name.
    pub name: &'static str,
    /// Java signature of each argument.
    pub signatures: Vec<Cow<'static, str>>,
}

/// A service that a server can publish: made by `#[diwan::service]`.
pub trait Service: Send + Sync + 'static {
    /// What it is called by.
    fn descriptor(&self) -> ServiceDescriptor;
    /// Makes the part that answers on one worker thread: a method for each of the descriptor's.
    fn worker(&self) -> Vec<Rc<dyn MethodWorker>>;
}

/// A service with what its publication says beyond its type.
#[derive(Clone)]
pub struct Published {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) version: Option<String>,
    pub(crate) unique_id: String,
    pub(crate) health: Vec<Arc<dyn HealthCheck>>,
}

impl Published {
    /// Under another version than its type has.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Under `interface:version:unique_id`, so that one interface can be published several times.
    pub fn unique_id(mut self, unique_id: impl Into<String>) -> Self {
        self.unique_id = unique_id.into();
        self
    }

    /// Only once this check has passed.
    pub fn health(mut self, check: impl HealthCheck) -> Self {
        self.health.push(Arc::new(check));
        self
    }
}

impl<S: Service> From<S> for Published {
    fn from(service: S) -> Self {
        Self {
            service: Arc::new(service),
            version: None,
            unique_id: String::new(),
            health: Vec::new(),
        }
    }
}
