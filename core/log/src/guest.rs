//! A log as those see it who serve its clients, whoever keeps it.

use bytes::Bytes;

use crate::envelope::Kind;
use crate::{Committed, ProposalError, ReadError};

/// Is told how a proposal ended.
pub type Proposed = Box<dyn FnOnce(Result<Committed, ProposalError>)>;
/// Is told how a read ended.
pub type Read = Box<dyn FnOnce(Result<(), ReadError>)>;

/// A log that is kept elsewhere than in a node's own write-ahead log. It is used on the node's thread only.
pub trait Guest {
    /// Proposes what an entry may hold; `done` is told the outcome, exactly once.
    fn propose(&self, kind: Kind, data: Bytes, done: Proposed);

    /// Waits until a read of this node's state machine is linearizable; `done` is told, exactly once.
    fn read(&self, done: Read);

    /// The names of the nodes that take part.
    fn members(&self) -> Vec<String>;
}
