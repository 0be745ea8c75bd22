//! Why a node does not start.

use std::io;
use std::path::PathBuf;

use crate::directory::DirectoryError;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its data directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its write-ahead log.
    #[error("the write-ahead log: {0}")]
    Wal(#[from] diwan_wal::Error),
    /// A group cannot be put together from what is on the disk.
    #[error("group {group}: {error}")]
    Store {
        /// The group.
        group: String,
        /// Why.
        error: diwan_replica::store::StoreError,
    },
    /// A snapshot is damaged.
    #[error(
        "snapshot {path}: {what}; restore it from another member: set the data directory aside, remove this member and add it again"
    )]
    Snapshot {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A socket or thread.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        error: io::Error,
    },
}
