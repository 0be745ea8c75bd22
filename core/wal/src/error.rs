//! What can go wrong, and what to do then.

use std::io;

use crate::entry::GroupId;

/// What the log refuses, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bytes that were durable are damaged or gone. The log does not open, or the entry cannot be read.
    #[error(
        "{file} (segment {segment} of the log), byte {offset}: {what}. Data that had been acknowledged is damaged, so this \
         node must not go on with it: set the whole directory aside, remove the node from its groups, and add it again with \
         an empty directory and under another name (ip:port:idx), for it has forgotten its votes; or restore the directory as a whole from a copy of the stopped node"
    )]
    Corrupt {
        /// The file's name.
        file: String,
        /// Its sequence number in the log; 0 if that is unknown.
        segment: u64,
        /// Where in the file.
        offset: u64,
        /// What was found there.
        what: String,
    },
    /// The directory was written by another version of this program.
    #[error(
        "{file} has format version {found}, this program reads version {expected}; start the program that wrote it"
    )]
    Version {
        /// The file's name.
        file: String,
        /// The version in it.
        found: u32,
        /// The version of this program.
        expected: u32,
    },
    /// No room for entries. Nothing was written and the log is intact: reading goes on, and so do batches without
    /// entries, by way of the reserve. Free some space or compact; `maintain` finds out that there is room again.
    #[error("the disk is full: entries are refused until space is freed or the log is compacted")]
    Full,
    /// A write or fdatasync failed earlier. What is on disk is unknown, so no call is served any more.
    #[error(
        "the log stopped after a failure: {0}. Stop the node, look at the disk, and start again: recovery keeps all that is \
         durable"
    )]
    Failed(String),
    /// Storage could not be read, opened or listed.
    #[error("cannot {operation} {file}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        file: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A segment size out of range.
    #[error("segment_bytes {0} is not a multiple of 4096 between 16384 and 1073741824")]
    SegmentBytes(u32),
    /// A batch that fits no segment.
    #[error(
        "a batch of {bytes} bytes exceeds the {max} that a segment holds; write less at once, or larger segments"
    )]
    TooLarge {
        /// The size of the batch on disk.
        bytes: u64,
        /// What fits.
        max: u64,
    },
    /// The caller's mistake: an index beyond the end of the group's log.
    #[error(
        "group {group}: index {index} leaves a gap, the log ends at {last}; nothing was written"
    )]
    Gap {
        /// The group.
        group: GroupId,
        /// What the caller asked for.
        index: u64,
        /// The last index there is.
        last: u64,
    },
    /// The caller's mistake, or a reader that is too late: the index was compacted away.
    #[error("group {group}: index {index} is compacted, the log begins after {compacted}")]
    Compacted {
        /// The group.
        group: GroupId,
        /// What the caller asked for.
        index: u64,
        /// The last index that is gone.
        compacted: u64,
    },
    /// The caller's mistake: the term of a compaction is not that of the entry.
    #[error("group {group}: index {index} has term {expected}, not {found}; nothing was written")]
    Term {
        /// The group.
        group: GroupId,
        /// The index of the compaction.
        index: u64,
        /// The entry's term.
        expected: u64,
        /// The caller's term.
        found: u64,
    },
    /// The caller's mistake: entries that do not count up from the first index, or a vote or entry that is too long.
    #[error("group {group}: {what}; nothing was written")]
    Misuse {
        /// The group.
        group: GroupId,
        /// What is wrong.
        what: &'static str,
    },
}

/// Whether storage says that it is exhausted.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
