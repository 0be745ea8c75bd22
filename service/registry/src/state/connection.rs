//! What is known of a client's connection: its registrations, and the pushes on their way to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use diwan_registry_wire::Version;

use super::ids::RegistId;
use super::service::ServiceId;

/// A connection of a client, named by whoever owns the socket; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A push that its client has to acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(pub u32);

#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Where its client is.
    pub(super) address: Option<SocketAddr>,
    pub(super) publishers: BTreeSet<(ServiceId, RegistId)>,
    pub(super) subscribers: BTreeSet<(ServiceId, RegistId)>,
    /// What it published was taken out, or not taken: its client has to come back to publish it.
    pub(super) silenced: bool,
    /// Services of which it does not have the newest, in the order in which they changed; each once. What it is sent is looked up
    /// when it leaves, so that a slow client costs no memory for what is outdated.
    pub(super) waiting: VecDeque<ServiceId>,
    /// The same, to be looked up.
    pub(super) queued: BTreeSet<ServiceId>,
    pub(super) inflight: BTreeMap<PushId, Inflight>,
    /// So many fewer pushes than others may be on their way to it, since it did not acknowledge some in time.
    pub(super) distrust: usize,
    /// It has acknowledged nothing since then, though something was sent.
    pub(super) silent_since: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct Inflight {
    pub(super) service: ServiceId,
    /// About what it takes until it is written.
    pub(super) bytes: usize,
    pub(super) version: Version,
    /// When it is given up and sent again.
    pub(super) deadline: Duration,
}

impl Connection {
    /// Where its client is, in one form for each.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }

    pub(super) fn registrations(&self) -> usize {
        self.publishers.len() + self.subscribers.len()
    }

    /// Something of this service is on its way: the next one waits until it is there.
    pub(super) fn is_inflight(&self, service: ServiceId) -> bool {
        self.inflight.values().any(|push| push.service == service)
    }
}
