//! The real directory: `std::fs`, positioned reads and writes.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use crate::directory::{Directory, File};

const LOCK: &str = "lock";

/// A directory of the operating system, locked against a second process.
#[derive(Debug)]
pub struct OsDirectory {
    path: PathBuf,
    handle: fs::File,
    _lock: fs::File,
}

impl OsDirectory {
    /// Opens the directory, makes it if it is missing, and locks it. [`io::ErrorKind::WouldBlock`] means that another
    /// process has it.
    pub fn open(path: impl AsRef<Path>) -> io::Result<OsDirectory> {
        let path = path.as_ref().to_owned();
        if !path.is_dir() {
            fs::create_dir_all(&path)?;
            // So that the new directory itself outlives a crash.
            if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
                fs::File::open(parent)?.sync_all()?;
            }
        }
        let lock = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::Error(error)) => return Err(error),
            Err(fs::TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    format!(
                        "another process uses {}; stop it, or give this one its own directory",
                        path.display()
                    ),
                ));
            }
        }
        Ok(OsDirectory {
            handle: fs::File::open(&path)?,
            path,
            _lock: lock,
        })
    }
}

impl Directory for OsDirectory {
    type File = OsFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<OsFile> {
        let mut options = fs::File::options();
        let options = options.read(true).write(true).create_new(true);
        options.open(self.path.join(name)).map(OsFile)
    }

    fn open(&self, name: &str) -> io::Result<OsFile> {
        let mut options = fs::File::options();
        let options = options.read(true).write(true);
        options.open(self.path.join(name)).map(OsFile)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

/// A file of an [`OsDirectory`].
#[derive(Debug)]
pub struct OsFile(fs::File);

impl File for OsFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn settle(&self) -> io::Result<()> {
        self.0.sync_data()?;
        // After the sync all pages are clean, those of a failed one too: Linux marks them so and drops what they held.
        fadvise(&self.0, 0, None, Advice::DontNeed)?;
        Ok(())
    }
}
