//! The write-ahead log of a node: one for all its groups, so that one fdatasync serves them all.
//!
//! [`Wal`] writes [`Batch`]es of entries and hard states and syncs them; [`Reader`]s read entries back from other threads;
//! [`Wal::open`] recovers what was synced and tells it as a [`Recovery`]. Storage is a [`Directory`]: [`OsDirectory`], or the
//! simulated disk of `diwan-sim`. No thread, no clock and no protocol is in here. The format on disk, and why it is as it
//! is, stands in `format.rs`.

mod batch;
mod directory;
mod entry;
mod error;
mod files;
mod format;
#[doc(hidden)]
pub mod fuzz;
mod index;
mod maintain;
mod os;
mod reader;
mod recovery;
mod scan;
mod stats;
mod validate;
mod wal;

pub use batch::Batch;
pub use directory::{Directory, File};
pub use entry::{Entry, GroupId, HardState, LogPoint, Position};
pub use error::Error;
pub use maintain::Maintenance;
pub use os::{OsDirectory, OsFile};
pub use reader::Reader;
pub use recovery::{RecoveredGroup, Recovery, TornTail};
pub use stats::Stats;
pub use wal::{Options, Wal};
