//! Why a node does not start.

use std::io;
use std::path::PathBuf;

use diwan_jraft::MetaError;
use diwan_replica::wire::WireError;

use crate::directory::DirectoryError;
use crate::peers::PeerError;

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
    /// Two groups of a node cannot be told apart: one name, or by rare chance the same number from two names.
    #[error(
        "groups `{first}` and `{second}` have the same number {id:016x} in the write-ahead log: give one of them another name"
    )]
    GroupIds {
        /// The one that came first.
        first: String,
        /// The other one.
        second: String,
        /// The number of both.
        id: u64,
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

/// Why a snapshot could not be pulled. The leader offers one again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("`{0}` is not remote://ip:port/reader")]
    Uri(String),
    #[error("the list of files has more than {0} bytes")]
    ListTooLong(usize),
    #[error(transparent)]
    List(#[from] MetaError),
    #[error("the list of files: {0}")]
    Meta(#[from] WireError),
    #[error("the snapshot is not the one that was offered")]
    OtherSnapshot,
    #[error("a snapshot of other files than `data`: {0:?}")]
    OtherFiles(Vec<String>),
    #[error("`data` came with checksum {found}, and the list says {wanted}")]
    Checksum { wanted: String, found: String },
    #[error("{0}")]
    Refused(String),
    #[error("{0} instead of a piece of a file")]
    Unexpected(&'static str),
    #[error("an empty piece that is not the last")]
    EmptyPiece,
    #[error("told to wait for {0:?}")]
    Throttled(std::time::Duration),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Io(#[from] io::Error),
}
