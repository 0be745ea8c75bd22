//! What goes into a registry and what comes out of it, and its bounds.

use std::sync::Arc;
use std::time::Duration;

use diwan_registry_wire::nodes::Instance;
use diwan_registry_wire::{DataBox, Scope, Version};
use serde::de::DeserializeOwned;

use super::connection::{ConnectionId, PushId};
use super::ids::{RegistId, ServiceName};
use super::service::Instances;

/// Bounds and times of a registry.
#[derive(Clone, Debug)]
pub struct Config {
    /// A connection that ended may come back within this time before its instances are removed.
    pub grace: Duration,
    /// After a push the next one of the same service waits at least so long.
    pub window_min: Duration,
    /// At most so long, however often it changes.
    pub window_max: Duration,
    /// A push that is not acknowledged in time is sent again.
    pub ack_timeout: Duration,
    /// Pushes on their way to one client.
    pub inflight_max: usize,
    /// Bytes of pushes on their way to all clients; beyond them each client has one at a time.
    pub inflight_bytes_max: usize,
    /// Registrations of one connection.
    pub registrations_max: usize,
    /// Bytes of what one instance publishes.
    pub data_bytes_max: usize,
    /// The shrink guard looks back so far.
    pub guard_window: Duration,
    /// It holds back when so many instances of a service vanish, if they are more than half.
    pub guard_instances_min: usize,
    /// It lets go after this time.
    pub guard_max: Duration,
    /// Instances of a node that was not heard of for so long are removed.
    pub lease: Duration,
    /// Other nodes are told at least so often that this one lives.
    pub beat: Duration,
    /// How often what two nodes know is compared.
    pub digest_interval: Duration,
    /// A node that begins looks so long for others.
    pub start_wait: Duration,
    /// It begins in any case after this.
    pub start_max: Duration,
    /// Lives of other nodes are forgotten after this.
    pub forget: Duration,
    /// Lists that were made for pushes are kept for the next ones, up to so many bytes.
    pub list_bytes: usize,
    /// Changes that are kept for nodes that have not heard of them. One that is further behind is told everything.
    pub changes_max: usize,
    /// About so much goes in one message to another node.
    pub message_bytes: usize,
    /// Drawn at the start: decides which names share a place in memory.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grace: Duration::from_millis(1500),
            window_min: Duration::from_millis(5),
            window_max: Duration::from_millis(500),
            ack_timeout: Duration::from_secs(3),
            inflight_max: 64,
            inflight_bytes_max: 32 << 20,
            registrations_max: 100_000,
            data_bytes_max: 1 << 20,
            guard_window: Duration::from_secs(10),
            guard_instances_min: 10,
            guard_max: Duration::from_secs(300),
            lease: Duration::from_secs(30),
            beat: Duration::from_millis(250),
            digest_interval: Duration::from_secs(3),
            start_wait: Duration::from_secs(3),
            start_max: Duration::from_secs(30),
            forget: Duration::from_secs(600),
            list_bytes: 32 << 20,
            changes_max: 100_000,
            message_bytes: 256 << 10,
            seed: 0,
        }
    }
}

/// Both clocks of the node.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// A clock that never goes back.
    pub monotonic: Duration,
    /// Milliseconds since 1970: only for versions.
    pub unix_ms: u64,
}

/// An instance as its client describes it.
#[derive(Clone, Debug)]
pub struct Publication {
    /// What it publishes to.
    pub service: ServiceName,
    /// Its name.
    pub id: RegistId,
    /// What it publishes.
    pub data: Vec<DataBox>,
    /// The cell in which it runs.
    pub cell: String,
    /// How often the client changed it.
    pub version: i64,
    /// When, by the client's clock.
    pub timestamp: i64,
}

impl Publication {
    /// An instance that was written down.
    pub fn new(service: ServiceName, id: RegistId, instance: Instance) -> Self {
        let items = instance.items.into_iter();
        Self {
            service,
            id,
            data: items.map(|item| DataBox { data: item.data }).collect(),
            cell: instance.cell,
            version: instance.version,
            timestamp: instance.timestamp,
        }
    }
}

/// A subscriber as its client describes it.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// What it wants to know.
    pub service: ServiceName,
    /// Its name.
    pub id: RegistId,
    /// How far it looks.
    pub scope: Scope,
    /// The cell in which it runs.
    pub cell: String,
}

/// Why a registration is refused for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its connection has too many.
    #[error("this connection has {limit} registrations, which is the most")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// It publishes too much.
    #[error("{bytes} bytes of data, {limit} are the most")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Its connection is not known (any more).
    #[error("the connection has ended")]
    NoConnection,
}

/// A push for a client, which is to be acknowledged.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// To whom.
    pub connection: ConnectionId,
    /// How its acknowledgement is told.
    pub push: PushId,
    /// Of what.
    pub service: Arc<ServiceName>,
    /// What it says.
    pub content: Content,
    /// Which registrations of the connection it is for.
    pub registrations: Vec<RegistId>,
}

/// What a push says.
#[derive(Clone, Debug)]
pub enum Content {
    /// The instances of a service.
    Instances {
        /// What they are called by.
        version: Version,
        /// How far the subscribers look.
        scope: Scope,
        /// The subscribers' own cell.
        cell: Arc<str>,
        /// The instances.
        instances: Arc<Instances>,
    },
    /// A setting.
    Setting(Setting),
}

impl Content {
    /// About what a push of it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Instances { instances, .. } => instances.bytes,
            Self::Setting(setting) => 256 + setting.value.as_ref().map_or(0, |value| value.len()),
        }
    }

    /// What it is called by.
    pub fn version(&self) -> Version {
        match self {
            Self::Instances { version, .. } => *version,
            Self::Setting(setting) => setting.version,
        }
    }
}

/// A setting as clients are told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Clients take only what is newer.
    pub version: Version,
    /// None if it was never set, or was removed.
    pub value: Option<Arc<str>>,
}

impl Setting {
    /// What it holds as JSON; what was never set, was removed, or is empty is the default.
    /// # Errors
    /// It holds something else.
    pub fn json<T: Default + DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match self.value.as_deref() {
            None | Some("") => Ok(T::default()),
            Some(text) => serde_json::from_str(text),
        }
    }
}

/// An instance as it is to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its service.
    pub service: Arc<ServiceName>,
    /// Its name.
    pub id: RegistId,
    /// None if it is gone.
    pub instance: Option<Instance>,
}

/// What this node is among others.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its name.
    pub node: String,
    /// Higher than at any start before.
    pub epoch: u64,
    /// Where its clients connect, `ip:port`.
    pub address: String,
    /// The other nodes.
    pub nodes: Vec<String>,
    /// What was published when it ended the last time.
    pub recovered: Vec<Publication>,
    /// [`Registry::version`] then.
    pub version: Version,
}
