//! One coordinator's address: whether there is a connection, and what waits for an answer over it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::requests::Ticket;

/// A connection: to which of the servers, and which one of those that there were to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Connection {
    pub(crate) server: usize,
    pub(crate) number: u64,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// There is none; the next one is tried then.
    Idle { until: Duration },
    /// It is being made, and given up then.
    Dialing { until: Duration },
    /// It waits until the coordinator knows who speaks, and is given up then.
    Registering { until: Duration },
    /// Requests may go over it.
    Ready,
}

/// What an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// Who speaks.
    Registration,
    /// A request.
    Request(Ticket),
}

pub(super) struct Server {
    /// `host:port`.
    pub(super) name: String,
    pub(super) link: Link,
    /// Number of the newest connection.
    pub(super) number: u64,
    /// Attempts in vain since there was a connection that worked.
    pub(super) failures: u32,
    pub(super) pending: BTreeMap<i32, Pending>,
    next_id: i32,
    pub(super) sent_at: Duration,
    pub(super) heard_at: Duration,
    /// How many of the resources the coordinator was told over this connection.
    pub(super) resources: usize,
}

impl Server {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            link: Link::Idle {
                until: Duration::ZERO,
            },
            number: 0,
            failures: 0,
            pending: BTreeMap::new(),
            next_id: 1,
            sent_at: Duration::ZERO,
            heard_at: Duration::ZERO,
            resources: 0,
        }
    }

    /// An id of a frame that none under way has.
    pub(super) fn id(&mut self) -> i32 {
        loop {
            let id = self.next_id;
            self.next_id = id.checked_add(1).unwrap_or(1);
            if !self.pending.contains_key(&id) {
                return id;
            }
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.link == Link::Ready
    }

    /// Whether something that was said over this connection is of the one that there is.
    pub(super) fn is_current(&self, connection: Connection) -> bool {
        self.number == connection.number && !matches!(self.link, Link::Idle { .. })
    }
}
