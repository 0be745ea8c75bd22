//! How a proposal or a read ends.

use diwan_raft::ReadError;

/// How a proposal that was accepted into the leader's log ended. There is no fourth way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed at this index, for good.
    Committed(u64),
    /// It is not in the log and never will be: another entry stands where it stood.
    NotCommitted,
    /// The leader lost its leadership before it knew. It may or may not be committed.
    Unknown,
}

/// How a read ended.
pub type ReadOutcome = Result<(), ReadError>;
