//! What a group is told when it starts. JRaft's defaults where it has the same option
//! (sofastack/sofa-jraft:jraft-core/src/main/java/com/alipay/sofa/jraft/option/{NodeOptions,RaftOptions}.java).

use std::time::Duration;

use crate::configuration::Configuration;
use crate::peer::PeerId;

/// Configuration of one member.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member. Its priority counts in elections.
    pub id: PeerId,
    /// The members of a group that begins: used while neither log nor snapshot holds a configuration.
    pub initial: Configuration,
    /// A follower stands for election after one to two of these without a leader; a leader steps down after one without
    /// a majority.
    pub election_timeout: Duration,
    /// A member that has just started asks after one to two of these whether there is a leader. On a node with many groups it
    /// has to be long enough for all of them to ask in turn.
    pub start_timeout: Duration,
    /// Between heartbeats of an idle leader.
    pub heartbeat_interval: Duration,
    /// Followers learn of a commit so much later, unless entries tell them before: a busy group saves most of these messages. None
    /// by default. A read at a follower does not wait for it.
    pub commit_delay: Duration,
    /// A leader that has had nothing to do for so long lets its group fall silent, if the nodes of all members answer.
    pub quiesce_after: Duration,
    /// A request for entries without an answer is given up after this and the follower probed.
    pub append_timeout: Duration,
    /// A follower may take this long to fetch a snapshot and load it.
    pub install_timeout: Duration,
    /// Requests for entries on their way to one follower.
    pub inflight_messages_max: usize,
    /// Bytes of entries on their way to one follower.
    pub inflight_bytes_max: usize,
    /// Entries in one request.
    pub message_entries_max: usize,
    /// Bytes of entries in one request, unless one entry alone is larger.
    pub message_bytes_max: usize,
    /// Bytes of entries proposed and not committed; beyond it proposals are refused as busy.
    pub uncommitted_bytes_max: usize,
    /// Bytes of one command; larger ones are refused. What the write-ahead log has to take in one piece.
    pub entry_bytes_max: usize,
    /// Bytes of entries kept in memory once they are on disk and applied.
    pub cache_bytes_max: usize,
    /// Bytes of committed entries handed out at once.
    pub apply_bytes_max: usize,
    /// Reads waiting for their index; beyond it they are refused as busy.
    pub reads_max: usize,
    /// A new member votes once it lacks fewer entries than this.
    pub catch_up_margin: u64,
    /// Whether a leader answers reads from its lease. Needs every member to be a node of ours: JRaft's voters do not
    /// respect a lease.
    pub lease_reads: bool,
    /// How much faster or slower than another's a member's clock may run, in parts per thousand.
    pub clock_drift_permille: u32,
    /// By how much at least the wanted priority sinks when nobody was elected.
    pub priority_decay: u32,
    /// Spreads election timers and numbers requests: another one for each start of each member.
    pub seed: u64,
    /// Old bugs that are to be present.
    #[cfg(feature = "museum")]
    pub bugs: crate::museum::Bugs,
}

impl Config {
    /// JRaft's defaults for `id` in a group that begins with `initial`.
    pub fn new(id: PeerId, initial: Configuration) -> Self {
        Self {
            id,
            initial,
            election_timeout: Duration::from_millis(1000),
            start_timeout: Duration::from_millis(250),
            heartbeat_interval: Duration::from_millis(100),
            commit_delay: Duration::ZERO,
            quiesce_after: Duration::from_secs(1),
            append_timeout: Duration::from_secs(5),
            install_timeout: Duration::from_secs(300),
            inflight_messages_max: 256,
            inflight_bytes_max: 16 << 20,
            message_entries_max: 1024,
            message_bytes_max: 512 << 10,
            uncommitted_bytes_max: 64 << 20,
            entry_bytes_max: 8 << 20,
            cache_bytes_max: 8 << 20,
            apply_bytes_max: 1 << 20,
            reads_max: 100_000,
            catch_up_margin: 1000,
            lease_reads: false,
            clock_drift_permille: 10,
            priority_decay: 10,
            seed: 0,
            #[cfg(feature = "museum")]
            bugs: crate::museum::Bugs::default(),
        }
    }

    /// An election timeout, and the heartbeat interval that belongs to it: a tenth.
    pub fn with_election_timeout(mut self, timeout: Duration) -> Self {
        self.election_timeout = timeout;
        self.start_timeout = timeout / 4;
        self.heartbeat_interval = (timeout / 10).max(Duration::from_millis(10));
        self
    }

    /// How long after sending a request that a majority answered no other leader can have been elected.
    pub(crate) fn lease(&self) -> Duration {
        let permille = 1000_u32
            .saturating_sub(2 * self.clock_drift_permille)
            .min(900);
        self.election_timeout * permille / 1000
    }
}
