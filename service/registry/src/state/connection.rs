//! What is known of a client's connection: its registrations, and the pushes on their way to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::ids::RegistId;
use super::registry::ServiceId;

/// A connection of a client, named by whoever owns the socket; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A push that its client has to acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(pub u64);

#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) publishers: BTreeSet<(ServiceId, RegistId)>,
    pub(super) subscribers: BTreeSet<(ServiceId, RegistId)>,
    /// Services of which it does not have the newest, in the order in which they changed; each once. What it is sent is looked up
    /// when it leaves, so that a slow client costs no memory for what is outdated.
    pub(super) waiting: VecDeque<ServiceId>,
    /// The same, to be looked up.
    pub(super) queued: BTreeSet<ServiceId>,
    pub(super) inflight: BTreeMap<PushId, Inflight>,
    /// So many fewer pushes than others may be on their way to it, since it did not acknowledge some in time.
    pub(super) distrust: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Inflight {
    pub(super) service: ServiceId,
    /// About what it takes until it is written.
    pub(super) bytes: usize,
    /// When it is given up and sent again.
    pub(super) deadline: Duration,
}

impl Connection {
    pub(super) fn registrations(&self) -> usize {
        self.publishers.len() + self.subscribers.len()
    }

    /// Something of this service is on its way: the next one waits until it is there.
    pub(super) fn is_inflight(&self, service: ServiceId) -> bool {
        self.inflight.values().any(|push| push.service == service)
    }
}
