//! Services in a registry: Diwan's own or the original's servers, by SOFARegistry's protocol, or ZooKeeper.
//!
//! A [`RegistryClient`] is a [`Discovery`](crate::client::Discovery) for consumers; a server publishes through it with
//! [`ServerBuilder::register`](crate::ServerBuilder::register). What is sent when, and which list consumers see, is decided in
//! `state/`, which knows no clock and no socket.

mod announcement;
mod client;
mod dial;
mod display;
mod driver;
mod event;
mod exchange;
mod servers;
mod snapshot;
mod state;
mod zookeeper;

pub use announcement::{Announcement, Warmup};
pub(crate) use client::Publication;
pub use client::{RegistryClient, RegistryOptions, Servers};
pub use event::{RegistryEvent, RegistryEvents, RegistryStats};
pub use state::GuardRule;
pub use zookeeper::ZooKeeper;
