//! SOFARPC for an application: [`Server`] publishes services, a [`Consumer`] calls them.
//!
//! Both are typed by the code that `#[diwan::service]` makes from a trait; [`Consumer::generic`] calls without types.
//! The whole path of an outgoing call (filters, routing, balancing, retries, fault tolerance) stands in
//! `client/cluster.rs`, that of an incoming one in `server/dispatch.rs`. Sockets are `diwan-net`'s.

pub mod client;
pub mod codec;
mod context;
mod error;
pub mod registry;
pub mod server;

pub use client::{Consumer, ConsumerOptions, ServiceClient};
pub use context::Context;
pub use error::{ErrorKind, NoException, RpcError, SetupError};
pub use server::{Server, ServerBuilder, Service};
