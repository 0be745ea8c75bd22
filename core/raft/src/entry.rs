//! What a log holds.

use std::sync::Arc;

use bytes::Bytes;

use crate::configuration::Configuration;

/// A place in a log: ordered as Raft compares logs, by term first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId {
    /// Term of the leader that wrote the entry.
    pub term: u64,
    /// Position in the log; the first entry has 1.
    pub index: u64,
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub id: LogId,
    /// What it says.
    pub payload: Payload,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing.
    NoOp,
    /// A command for the state machine.
    Data(Bytes),
    /// The members from here on: it counts as soon as it is in the log.
    Configuration(Arc<Configuration>),
}

impl Entry {
    /// What the entry weighs against limits in bytes.
    pub fn weight(&self) -> usize {
        self.payload.weight()
    }
}

impl Payload {
    /// What an entry that says this weighs against limits in bytes: its data and a fixed cost.
    pub(crate) fn weight(&self) -> usize {
        const FIXED: usize = 48;
        let own = match self {
            Self::NoOp => 0,
            Self::Data(data) => data.len(),
            Self::Configuration(configuration) => configuration.members().len() * 32,
        };
        FIXED + own
    }
}
