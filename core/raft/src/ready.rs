//! What the core wants done in the world, and what it tells about itself.

use std::sync::Arc;

use crate::configuration::Configuration;
use crate::entry::{Entry, LogId};
use crate::message::{InstallRequest, Outgoing, Token};
use crate::peer::PeerId;
use crate::raft::Role;

/// All that one turn asks for. Messages may leave before the write is done: those that depend on a write are held
/// back inside the core until [`crate::Raft::persisted`] tells of it.
#[derive(Debug, Default)]
pub struct Ready {
    /// To be made durable; answer with `persisted`.
    pub write: Option<Write>,
    /// To be sent.
    pub messages: Vec<Outgoing>,
    /// Committed, to be applied in order; answer with `applied`.
    pub apply: Vec<Entry>,
    /// Reads whose index is known, or that failed.
    pub reads: Vec<ReadReady>,
    /// To be read from the disk; answer with `entries_read`.
    pub read_back: Vec<ReadBack>,
    /// Followers that need a snapshot; answer with `offer_snapshot` or `snapshot_refused`.
    pub offers: Vec<PeerId>,
    /// A snapshot to fetch and load; answer with `snapshot_installed` or `snapshot_failed`.
    pub fetch: Option<Fetch>,
    /// What happened.
    pub events: Vec<Event>,
}

impl Ready {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.write.is_none()
            && self.messages.is_empty()
            && self.apply.is_empty()
            && self.reads.is_empty()
            && self.read_back.is_empty()
            && self.offers.is_empty()
            && self.fetch.is_none()
            && self.events.is_empty()
    }
}

/// One atomic step of the durable state, to be carried out in the order of the fields and in the order of `sequence`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// Names the write for `persisted`.
    pub sequence: u64,
    /// New term and vote.
    pub hard_state: Option<HardState>,
    /// The log begins anew after this entry.
    pub reset: Option<LogId>,
    /// Entries in place of everything from the first one's index on.
    pub append: Vec<Entry>,
    /// Entries up to this one may go.
    pub compact: Option<LogId>,
}

/// What must never be forgotten: term and vote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The newest term seen.
    pub term: u64,
    /// Who has this member's vote in it.
    pub vote: Option<PeerId>,
}

/// A read that may go on, or may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadReady {
    /// As given to `read_index`.
    pub context: u64,
    /// Serve it once this index is applied.
    pub index: Result<u64, ReadError>,
}

/// Why a read got no index. Nothing was read: it may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody leads, as far as this member knows.
    #[error("no leader is known")]
    NoLeader,
    /// The leader did not confirm in time or lost its leadership.
    #[error("the leader did not confirm the read")]
    NotConfirmed,
    /// Too many reads are waiting.
    #[error("too many reads are waiting")]
    Busy,
}

/// Entries that left memory and are needed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// What for.
    pub purpose: Purpose,
    /// First index.
    pub low: u64,
    /// Last index.
    pub high: u64,
    /// Fewer entries are welcome beyond this weight; at least one is needed.
    pub bytes_max: usize,
}

/// What entries are read back for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To send them to this follower.
    Send(PeerId),
    /// To apply them.
    Apply,
}

/// A snapshot to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Names the fetch.
    pub token: Token,
    /// Who offered it.
    pub from: PeerId,
    /// What was offered and where.
    pub request: InstallRequest,
}

/// What happened, for the log line, the metric and whoever waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Role, term or known leader changed.
    Role {
        /// The role now.
        role: Role,
        /// The term now.
        term: u64,
        /// The leader now, as far as this member knows.
        leader: Option<PeerId>,
    },
    /// An entry of this leader's own term is committed: it may serve once it has applied up to `index`.
    Leading {
        /// Its term.
        term: u64,
        /// The first entry of the term.
        index: u64,
    },
    /// A configuration is committed.
    Configuration {
        /// Its index.
        index: u64,
        /// The members.
        configuration: Arc<Configuration>,
    },
    /// The membership change that this leader was asked for has ended.
    ChangeEnded(Result<(), ChangeError>),
    /// The leadership transfer that this leader was asked for has ended without success.
    TransferFailed(PeerId),
}

/// Why a membership change was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Only the leader changes members.
    #[error("this member does not lead")]
    NotLeader,
    /// One change at a time, and none before the leader's first entry is committed.
    #[error("another change is under way")]
    Busy,
    /// A group needs a voter, and nobody is voter and learner at once.
    #[error("not possible: {0}")]
    Invalid(&'static str),
    /// A new member did not get the log in time.
    #[error("{0} did not catch up")]
    CatchUp(PeerId),
    /// The leader lost its leadership before it knew the outcome.
    #[error("the leader stepped down before the change was complete: look at the configuration")]
    SteppedDown,
}

/// Why a proposal was refused. It is not in the log and never will be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Ask the leader, if one is known.
    #[error("this member does not lead")]
    NotLeader(Option<PeerId>),
    /// Too much is proposed and not committed.
    #[error("too much is waiting for commit")]
    Busy,
    /// Leadership is being handed to another member.
    #[error("leadership is being transferred")]
    Transferring,
    /// The disk of this leader takes no more entries.
    #[error("the disk is full")]
    DiskFull,
    /// One command has more bytes than the log takes in one piece.
    #[error("a command of {bytes} bytes, {limit} are the most")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// Why a message was not accepted. Each kind is counted in [`crate::Counters`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// An answer nobody waits for: late, doubled, or never asked for.
    #[error("an answer from {0} to no request that is open")]
    NoRequest(PeerId),
    /// A candidate or reader that is no member.
    #[error("{0} is not a member")]
    NotMember(PeerId),
    /// Entries with gaps, terms that sink, absurd numbers.
    #[error("a malformed request from {from}: {what}")]
    Malformed {
        /// Who sent it.
        from: PeerId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Two leaders in one term.
    #[error("{from} claims to lead term {term}, which {leader} leads")]
    TwoLeaders {
        /// Who sent it.
        from: PeerId,
        /// The term.
        term: u64,
        /// Whom this member follows in it.
        leader: PeerId,
    },
    /// An entry that contradicts one that is committed.
    #[error("{from} contradicts the committed entry {index}")]
    CommittedConflict {
        /// Who sent it.
        from: PeerId,
        /// The entry.
        index: u64,
    },
}
