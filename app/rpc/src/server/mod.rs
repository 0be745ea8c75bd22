//! Publishing services.

mod announcer;
mod blocking;
mod builder;
mod dispatch;
mod filter;
mod health;
mod method;
mod service;

pub(crate) use builder::resolve;
pub use builder::{Server, ServerBuilder};
pub use filter::{Outcome, RequestInfo, ServerFilter};
pub use health::HealthCheck;
pub use method::{Arguments, Finish, Incoming, MethodWorker, blocking_method, method};
pub use service::{MethodDescriptor, Published, Service, ServiceDescriptor};
