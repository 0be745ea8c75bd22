//! Calling services.

mod answer;
mod baggage;
mod balance;
mod block_on;
mod cluster;
mod consumer;
mod discovery;
mod endpoint;
mod filter;
mod method;
mod provider;
mod ring;
mod router;
mod select;
mod tolerance;

pub use baggage::ResponseBaggage;
pub use balance::Balancer;
pub(crate) use block_on::on_worker;
pub use block_on::{block_on, callback};
pub use consumer::{CallOptions, Cluster, Consumer, ConsumerOptions, ServiceClient};
pub use discovery::{Discovery, StaticDiscovery};
pub use filter::{CallInfo, ClientFilter};
pub use method::ClientMethod;
pub use provider::Provider;
pub use router::Router;
pub use tolerance::ToleranceRule;
