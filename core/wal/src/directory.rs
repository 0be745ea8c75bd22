//! What the log needs of storage: a directory and files in it. The real ones are in `os`, the simulated ones in `diwan-sim`.

use std::io;

/// A directory that belongs to one log.
///
/// An implementation says that storage is exhausted by [`io::ErrorKind::StorageFull`] or
/// [`io::ErrorKind::QuotaExceeded`]; every other error of a writing call stops the log.
pub trait Directory: Send + 'static {
    /// Its files.
    type File: File;

    /// The names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a file that does not exist yet.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Gives a file another name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names durable: whatever was created, renamed and removed before.
    fn sync(&self) -> io::Result<()>;
}

/// A file that several threads may read while one writes.
pub trait File: Send + Sync + 'static {
    /// Its length.
    fn size_bytes(&self) -> io::Result<u64>;
    /// Fills the buffer from `offset` on; a file that ends earlier is an error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all bytes at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable, as fdatasync does.
    fn sync(&self) -> io::Result<()>;
    /// Makes durable what earlier processes wrote, as far as that still goes, and lets every later read see what is
    /// durable only. For after a failed sync the page cache may go on showing what never reached the disk and never will.
    fn settle(&self) -> io::Result<()>;
}
