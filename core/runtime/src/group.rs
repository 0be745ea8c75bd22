//! One group as the runtime keeps it: the replica, the state machine, and who waits for them.

use std::collections::HashMap;
use std::time::Duration;

use diwan_log::StateMachine;
use diwan_log::provider::{Applier, Proposed, Read, Scribe};
use diwan_raft::{ChangeError, Configuration, Time};
use diwan_replica::Group;
use diwan_wal::GroupId;

use crate::admission::JraftAddress;
use crate::metrics::GroupMetrics;
use crate::snapshot::Snapshots;

/// A group that a node is a member of, or will be.
pub struct GroupOptions {
    /// Its name, the same on all members.
    pub name: String,
    /// The members of a group that begins; empty for a member that waits to be added.
    pub initial: Configuration,
    /// Makes the state machine, on the node's thread.
    pub machine: Box<dyn FnOnce() -> Box<dyn StateMachine> + Send>,
    /// A follower stands for election after one to two of these without a leader.
    pub election_timeout: Duration,
    /// A snapshot is taken when so many bytes of commands were applied since the last one.
    pub snapshot_log_bytes: u64,
    /// Entries that stay in the log after a snapshot, for slow followers.
    pub snapshot_keep_entries: u64,
    /// Whether reads trust the leader's lease. Not with JRaft's nodes among the members.
    pub lease_reads: bool,
    /// Whether entries are commands as they are, without time and sessions: what JRaft's nodes among the members need. It
    /// must be the same on all members, and for as long as the group lives.
    pub plain: bool,
    /// Nodes and clients of JRaft's that take part in this group without the cluster token. Only their address is checked:
    /// list none that others share.
    pub jraft: Vec<JraftAddress>,
    /// Whether entries leave with a checksum, which JRaft's `enableLogEntryChecksum` does. One that comes is always verified.
    pub entry_checksums: bool,
}

impl GroupOptions {
    /// The usual options.
    pub fn new(
        name: &str,
        initial: Configuration,
        machine: impl FnOnce() -> Box<dyn StateMachine> + Send + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            initial,
            machine: Box::new(machine),
            election_timeout: Duration::from_millis(1000),
            snapshot_log_bytes: 64 << 20,
            snapshot_keep_entries: 1000,
            lease_reads: false,
            plain: false,
            jraft: Vec::new(),
            entry_checksums: false,
        }
    }
}

/// Is told how a membership change ended.
pub(crate) type Changed = Box<dyn FnOnce(Result<(), ChangeError>)>;

pub(crate) struct Hosted {
    pub(crate) name: String,
    pub(crate) wal_id: GroupId,
    pub(crate) group: Group,
    pub(crate) machine: Applier,
    pub(crate) scribe: Scribe,
    pub(crate) election_timeout: Duration,
    pub(crate) entry_checksums: bool,
    pub(crate) dirty: bool,
    /// When time itself makes it want something.
    pub(crate) deadline: Time,
    /// When its entry among the node's timers ends.
    pub(crate) timer: Time,
    pub(crate) next_ticket: u64,
    pub(crate) proposals: HashMap<u64, Proposed>,
    /// Proposals refused: not the leader, busy.
    pub(crate) refused: (u64, u64),
    pub(crate) reads: HashMap<u64, Read>,
    pub(crate) changes: Vec<Changed>,
    /// A leadership that begins once this index is applied: epoch, index.
    pub(crate) leading_at: Option<(u64, u64)>,
    pub(crate) snapshots: Snapshots,
}

impl Hosted {
    pub(crate) fn metrics(&self) -> GroupMetrics {
        let snapshots = &self.snapshots;
        GroupMetrics {
            name: self.name.clone(),
            status: self.group.raft().status(),
            leading: self.scribe.epoch().is_some(),
            time: self.machine.time(),
            clock_ahead_us: self.scribe.ahead(),
            sessions: self.machine.sessions() as u64,
            proposals_open: self.group.proposals_open() as u64,
            proposals_refused: self.refused,
            snapshot_index: snapshots.newest.as_ref().map_or(0, |meta| meta.last.index),
            snapshot_busy: snapshots.busy,
            snapshots_taken: snapshots.taken,
            snapshot_fetched_bytes: snapshots.fetched_bytes,
        }
    }

    pub(crate) fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }
}
