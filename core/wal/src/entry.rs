//! The words of the log: groups, entries, hard state, positions.

use std::fmt;

use bytes::Bytes;

/// One of the groups that share the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(pub u64);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An entry of a group's log. What `kind` and `data` mean is the group's affair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// From 1 on, without gaps.
    pub index: u64,
    /// The leader's term.
    pub term: u64,
    /// Opaque.
    pub kind: u8,
    /// Opaque.
    pub data: Bytes,
}

/// What a member of a group must remember before it answers: its term and its vote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HardState {
    /// The current term.
    pub term: u64,
    /// For whom it voted in that term; opaque, at most 255 bytes.
    pub vote: Bytes,
}

/// An index and the term of the entry there. `(0, 0)` is the point before the first entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct LogPoint {
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
}

/// A place in the log, always between two batches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position {
    /// The sequence number of the segment.
    pub segment: u64,
    /// The byte in its file.
    pub offset: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}
