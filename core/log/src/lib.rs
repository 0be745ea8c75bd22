//! What a service sees of replication, and all it sees. A service is a [`StateMachine`]; whoever serves its clients
//! proposes commands and waits for read barriers. Nothing here says Raft: another provider keeps the same promises.

mod applier;
mod clock;
mod envelope;
mod guest;
mod scribe;
mod session;
mod table;

/// What the providers of a log share; services need nothing of it.
pub mod provider {
    pub use crate::applier::{Applier, ApplyError, Entry};
    pub use crate::clock::{LeaderClock, Stamp};
    pub use crate::envelope::{Envelope, EnvelopeError, Kind};
    pub use crate::guest::{Guest, Proposed, Read};
    pub use crate::scribe::{Clocks, Scribe};
}

use std::io;

use bytes::Bytes;

pub use clock::LogTime;
pub use session::{Once, Sequences, SessionId};
pub use table::Table;

/// A committed command, in the order that every replica sees.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// Its place in the log; grows, with gaps where the log keeps entries of its own.
    pub index: u64,
    /// The leadership in which it was proposed; grows.
    pub epoch: u64,
    /// When it was proposed, as far as timeouts are concerned: it grows, and never jumps. Zero in a plain log, whose
    /// entries carry nothing but commands.
    pub time: LogTime,
    /// What was proposed. It shares its memory with all that arrived with it, up to half a megabyte: a state machine that
    /// keeps a part of it copies that part.
    pub data: &'a Bytes,
}

/// A proposal that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its command's place in the log; of a command that was carried out by an earlier try, the place of the later one.
    pub index: u64,
    /// What the state machine answered.
    pub answer: Bytes,
}

/// Writes a frozen view of a state, on a thread of its own, while the state machine goes on.
pub type SnapshotWriter = Box<dyn FnOnce(&mut dyn io::Write) -> io::Result<()> + Send>;

/// The deterministic heart of a service: the same commands give the same state and the same answers everywhere. It reads no
/// clock, draws nothing at random and depends on no hash order.
pub trait StateMachine {
    /// Carries a command out and returns the answer for its proposer. It never fails: what a command may not do is an answer.
    fn apply(&mut self, command: Command<'_>) -> Bytes;

    /// Carries out commands that were committed together, and pushes one answer for each. Worth writing where a batch has
    /// costs of its own: a lock, a transaction, a message to others.
    fn apply_batch(&mut self, commands: &[Command<'_>], answers: &mut Vec<Bytes>) {
        answers.extend(commands.iter().map(|command| self.apply(*command)));
    }

    /// Freezes the state as it is, within 10 ms: commands wait meanwhile. Much state wants to be in [`Table`]s, whose
    /// clones cost next to nothing.
    fn snapshot(&mut self) -> SnapshotWriter;

    /// Replaces the state by what a snapshot holds.
    /// # Errors
    /// The snapshot is not one, or cannot be read; the node stops.
    fn restore(&mut self, snapshot: &mut dyn io::Read) -> io::Result<()>;

    /// Something happened to this replica.
    fn event(&mut self, event: &Event) {
        let _ = event;
    }
}

/// What happens to a replica beside commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This replica leads: everything proposed before `epoch` is applied, its answers are this replica's to give.
    StartLeading {
        /// The leadership.
        epoch: u64,
    },
    /// This replica leads no more.
    StopLeading {
        /// The leadership that ended.
        epoch: u64,
    },
    /// This replica follows another.
    Following {
        /// Its name.
        leader: String,
        /// Its leadership.
        epoch: u64,
    },
    /// Nobody leads, as far as this replica knows.
    NoLeader,
    /// The members changed.
    Members {
        /// Those who vote.
        voters: Vec<String>,
        /// Those who only listen.
        learners: Vec<String>,
    },
    /// A snapshot was loaded.
    Restored {
        /// The last entry in it.
        index: u64,
    },
    /// This replica can keep its promises no longer and stops: nothing more is applied, nobody is answered.
    Failed {
        /// What happened.
        why: String,
    },
}

/// Why a proposal brought no answer. Every proposal ends with an answer or with one of these: it was carried out, it was not
/// and never will be, or that is unknown ([`ProposalError::is_unknown`]). Proposed as [`Once`] again, the unknown is settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// It was not carried out and never will be: it may be proposed again, to the leader if one is known.
    #[error("not carried out: this replica does not lead (leader: {})", .leader.as_deref().unwrap_or("unknown"))]
    NotLeader {
        /// Who leads, as far as this replica knows.
        leader: Option<String>,
    },
    /// It was not carried out and never will be: too much is waiting already.
    #[error("not carried out: too much is waiting")]
    Busy,
    /// It was not carried out and never will be: the leader's disk is full.
    #[error("not carried out: the disk is full")]
    DiskFull,
    /// It was not carried out and never will be: the command is too large for the log.
    #[error("not carried out: a command of {bytes} bytes, {limit} are the most")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It may or may not have been carried out, or may be later. Find out before proposing it again.
    #[error("unknown whether it was carried out: the leader changed")]
    Unknown,
    /// This try was not carried out: its session was never opened, or was given up because others were used since. Whether
    /// an earlier try was carried out can no longer be said.
    #[error("not carried out: there is no session {0}")]
    NoSession(SessionId),
    /// This try was not carried out: its number was settled, by what its own client said.
    #[error("not carried out: number {sequence} was settled before")]
    Settled {
        /// The number.
        sequence: u64,
    },
    /// It was not carried out: a plain log has no sessions.
    #[error("not carried out: a plain log has no sessions")]
    Plain,
    /// It was not carried out, and may be proposed again once the session's earlier commands are settled.
    #[error("not carried out: too many answers of its session are not settled")]
    Unsettled,
}

impl ProposalError {
    /// Whether the command may have been carried out, or may be later. Otherwise this try was not and never will be.
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

/// Why a read must not be served. Nothing was read: it may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody leads.
    #[error("no leader is known")]
    NoLeader,
    /// It cannot be said in time whether this replica is up to date.
    #[error("the leader did not confirm")]
    NotConfirmed,
    /// Too many reads are waiting.
    #[error("too many reads are waiting")]
    Busy,
}
