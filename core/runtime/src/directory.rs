//! A node's data directory: one process at a time, one node, one version.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

/// The layout this version writes.
const VERSION: &str = "1";
/// The line of the `node` file that says that there is a log.
const BEGUN: &str = "log begun";
/// The line in its place while logs are copied into the directory.
const COPYING: &str = "logs being copied";

/// Why a directory is refused. Nothing in it was touched.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The system says no.
    #[error("{path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// Another process uses it.
    #[error("{0} is used by another process: one data directory belongs to one node")]
    Locked(PathBuf),
    /// Another version wrote it.
    #[error(
        "{path} has layout {found}, this is layout {VERSION}: start it with the version that wrote it"
    )]
    Version {
        /// The directory.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// It belongs to another node.
    #[error(
        "{path} belongs to node {found}, not to {wanted}: a node must never start with another one's data"
    )]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wants it.
        wanted: String,
    },
    /// Half of it is gone.
    #[error(
        "{0} lacks its `node` file but is not empty: it is not a data directory, or half of one"
    )]
    Foreign(PathBuf),
    /// The log is gone, and with it what this node voted and acknowledged.
    #[error(
        "{0} belongs to this node, but its log is gone: it may have acknowledged writes that it does not know any more; set the directory aside, remove this member from its groups and add it again as a new one"
    )]
    LogGone(PathBuf),
    /// There is no node.
    #[error("{0} is no node's data directory: it has no `node` file")]
    NoNode(PathBuf),
    /// There are logs, and others are to be copied there.
    #[error(
        "{0} has logs already: copy to an empty directory, or to one of a node that keeps its logs in an engine"
    )]
    HasLogs(PathBuf),
    /// What was to be copied there is not all there.
    #[error("logs were being copied into {0}, and not all of them are there: copy them again")]
    HalfCopied(PathBuf),
}

/// What is known of the log in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There may be none yet.
    New,
    /// It has its files.
    Begun,
    /// It is copied there.
    Copying,
}

/// A data directory that this process holds.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    node: String,
    stage: Stage,
    /// The lock lasts as long as the file is open.
    _lock: File,
}

impl DataDirectory {
    /// The node to which the directory at `path` belongs.
    pub(crate) fn node_of(path: &Path) -> Result<String, DirectoryError> {
        let text = fs::read_to_string(path.join("node"));
        let text = text.map_err(|_| DirectoryError::NoNode(path.to_owned()))?;
        Ok(text.lines().nth(1).unwrap_or_default().to_owned())
    }

    /// Takes the directory at `path` for `node`, and makes it if it is not there.
    pub(crate) fn take(path: &Path, node: &str) -> Result<Self, DirectoryError> {
        let directory = Self::take_half_copied(path, node)?;
        match directory.stage {
            Stage::Copying => Err(DirectoryError::HalfCopied(path.to_owned())),
            Stage::New | Stage::Begun => Ok(directory),
        }
    }

    /// The same, and what was copied there may be half of it.
    pub(crate) fn take_half_copied(path: &Path, node: &str) -> Result<Self, DirectoryError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| DirectoryError::Io { path, error }
        };
        create_durably(path).map_err(at(path))?;
        let lock_path = path.join("lock");
        let identity_path = path.join("node");
        let log_path = path.join("wal");
        let known = identity_path.exists();
        let empty = fs::read_dir(path)
            .map_err(at(path))?
            .flatten()
            .all(|entry| {
                // What a first start leaves that did not come far.
                let name = entry.file_name();
                name == "lock" || name == "node.tmp" || (name == "wal" && is_empty(&log_path))
            });
        if !known && !empty {
            return Err(DirectoryError::Foreign(path.to_owned()));
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(at(&lock_path))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            match error {
                rustix::io::Errno::WOULDBLOCK => DirectoryError::Locked(path.to_owned()),
                other => DirectoryError::Io {
                    path: lock_path.clone(),
                    error: other.into(),
                },
            }
        })?;
        if known {
            let mut text = String::new();
            File::open(&identity_path)
                .and_then(|mut file| file.read_to_string(&mut text))
                .map_err(at(&identity_path))?;
            let mut lines = text.lines();
            let (version, found) = (
                lines.next().unwrap_or_default(),
                lines.next().unwrap_or_default(),
            );
            if version != format!("diwan {VERSION}") {
                return Err(DirectoryError::Version {
                    path: path.to_owned(),
                    found: version.to_owned(),
                });
            }
            if found != node {
                let (path, found, wanted) = (path.to_owned(), found.to_owned(), node.to_owned());
                return Err(DirectoryError::OtherNode {
                    path,
                    found,
                    wanted,
                });
            }
            let stage = match lines.next() {
                Some(BEGUN) => Stage::Begun,
                Some(COPYING) => Stage::Copying,
                _ => Stage::New,
            };
            let gone = !log_path.exists() || stage == Stage::Begun && is_empty(&log_path);
            if gone && stage != Stage::Copying {
                return Err(DirectoryError::LogGone(path.to_owned()));
            }
            Ok(Self {
                path: path.to_owned(),
                node: node.to_owned(),
                stage,
                _lock: lock,
            })
        } else {
            fs::create_dir_all(&log_path).map_err(at(&log_path))?;
            let directory = Self {
                path: path.to_owned(),
                node: node.to_owned(),
                stage: Stage::New,
                _lock: lock,
            };
            directory.write_identity()?;
            Ok(directory)
        }
    }

    /// The log has its files: from now on a directory without them has lost them.
    pub(crate) fn log_begun(&mut self) -> Result<(), DirectoryError> {
        self.go_to(Stage::Begun)
    }

    /// Logs are copied there from now on, until the log has begun.
    pub(crate) fn copy_begun(&mut self) -> Result<(), DirectoryError> {
        self.go_to(Stage::Copying)
    }

    pub(crate) fn is_half_copied(&self) -> bool {
        self.stage == Stage::Copying
    }

    fn go_to(&mut self, stage: Stage) -> Result<(), DirectoryError> {
        if self.stage != stage {
            self.stage = stage;
            self.write_identity()?;
        }
        Ok(())
    }

    fn write_identity(&self) -> Result<(), DirectoryError> {
        let path = self.path.join("node");
        let temporary = self.path.join("node.tmp");
        let write = || {
            let mut file = File::create(&temporary)?;
            write!(file, "diwan {VERSION}\n{}\n", self.node)?;
            match self.stage {
                Stage::New => {}
                Stage::Begun => writeln!(file, "{BEGUN}")?,
                Stage::Copying => writeln!(file, "{COPYING}")?,
            }
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|error| DirectoryError::Io {
            path: path.clone(),
            error,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }
}

/// Makes a directory and those above it that are missing. Their names outlive a power failure: without the sync of its parent
/// a directory may be gone, and all that was synced within it.
pub(crate) fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match fs::create_dir(path) {
        // Another process may have made it.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_its_log_is_refused_once_there_was_one() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        drop(DataDirectory::take(&path, "a:1").unwrap());
        // A first start that ended before the log had files.
        let mut directory = DataDirectory::take(&path, "a:1").unwrap();
        fs::write(path.join("wal/1"), "").unwrap();
        directory.log_begun().unwrap();
        drop(directory);
        drop(DataDirectory::take(&path, "a:1").unwrap());
        for damage in [
            |file: &Path| fs::remove_file(file),
            |file: &Path| fs::remove_dir(file.parent().unwrap()),
        ] {
            let _ = damage(&path.join("wal/1"));
            assert!(matches!(
                DataDirectory::take(&path, "a:1"),
                Err(DirectoryError::LogGone(_))
            ));
        }
    }

    #[test]
    fn a_directory_belongs_to_one_process_one_node_and_one_version() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let held = DataDirectory::take(&path, "a:1").unwrap();
        assert!(matches!(
            DataDirectory::take(&path, "a:1"),
            Err(DirectoryError::Locked(_))
        ));
        drop(held);
        assert!(matches!(
            DataDirectory::take(&path, "a:2"),
            Err(DirectoryError::OtherNode { .. })
        ));
        drop(DataDirectory::take(&path, "a:1").unwrap());
        fs::write(path.join("node"), "diwan 9\na:1\n").unwrap();
        assert!(matches!(
            DataDirectory::take(&path, "a:1"),
            Err(DirectoryError::Version { .. })
        ));
        fs::remove_file(path.join("node")).unwrap();
        fs::write(path.join("precious"), "").unwrap();
        assert!(matches!(
            DataDirectory::take(&path, "a:1"),
            Err(DirectoryError::Foreign(_))
        ));
    }
}
