//! The logs of a node that has been stopped, for those who move them elsewhere or bring them here.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use diwan_raft::{Configuration, Entry, HardState, LogId, PeerId, SnapshotMeta, Start, Write};
use diwan_replica::store::{self, StoreError};
use diwan_wal::{Batch, GroupId, OsDirectory, Reader, RecoveredGroup, Wal};

use crate::directory::{DataDirectory, DirectoryError};
use crate::error::StartError;
use crate::snapshot::{self, DATA_FILE};
use crate::start::{file_name, group_id, random};

/// The data directory of a node that does not run. As long as this lives, none starts with it.
pub struct Stopped {
    directory: DataDirectory,
    wal: Wal<OsDirectory>,
    groups: BTreeMap<GroupId, RecoveredGroup>,
}

/// The log of one group there.
pub struct StoppedLog {
    name: String,
    id: GroupId,
    start: Start,
    reader: Reader<<OsDirectory as diwan_wal::Directory>::File>,
    directory: PathBuf,
}

/// The state in a snapshot that is written to a directory. It counts once it is finished.
pub struct NewSnapshot {
    file: snapshot::DataFile,
    meta: SnapshotMeta,
    directory: PathBuf,
}

impl Stopped {
    /// Takes the directory of a node that ran.
    /// # Errors
    /// It is none, another process uses it, or it is damaged.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let node = DataDirectory::node_of(path)?;
        Self::of(DataDirectory::take(path, &node)?)
    }

    /// Takes or makes a directory for logs of `node`. No node starts with it before it is [`Stopped::finish`]ed; what an earlier try
    /// left is removed.
    /// # Errors
    /// There are logs already, it belongs to another node, or another process uses it.
    pub fn begin(path: &Path, node: &PeerId) -> Result<Self, StartError> {
        let directory = DataDirectory::take_half_copied(path, &node.to_string())?;
        let (wal, groups) = (path.join("wal"), path.join("groups"));
        if directory.is_half_copied() {
            let clear = || {
                for half in [&wal, &groups].into_iter().filter(|half| half.exists()) {
                    fs::remove_dir_all(half)?;
                }
                fs::create_dir(&wal)
            };
            clear().map_err(|error| StartError::Io {
                what: path.display().to_string(),
                error,
            })?;
        }
        let mut taken = Self::of(directory)?;
        if !taken.groups.is_empty() || groups.exists() {
            return Err(DirectoryError::HasLogs(path.to_owned()).into());
        }
        taken.directory.copy_begun()?;
        Ok(taken)
    }

    /// Takes a directory that was begun and is not finished.
    /// # Errors
    /// As with [`Stopped::open`].
    pub fn half_copied(path: &Path, node: &PeerId) -> Result<Self, StartError> {
        Self::of(DataDirectory::take_half_copied(path, &node.to_string())?)
    }

    fn of(directory: DataDirectory) -> Result<Self, StartError> {
        let files = OsDirectory::open(directory.path().join("wal"));
        let files = files.map_err(|error| StartError::Io {
            what: "the log's directory".to_owned(),
            error,
        })?;
        let options = diwan_wal::Options {
            salt: random(),
            ..diwan_wal::Options::default()
        };
        let (wal, recovery) = Wal::open(files, options)?;
        Ok(Self {
            directory,
            wal,
            groups: recovery.groups,
        })
    }

    /// Whether it is the directory of this member.
    pub fn is(&self, peer: &PeerId) -> bool {
        self.directory.node().parse().as_ref() == Ok(peer)
    }

    /// Whether there are logs of other groups than these.
    pub fn has_others(&self, groups: &[String]) -> bool {
        let known: Vec<GroupId> = groups.iter().map(|group| group_id(group)).collect();
        self.groups.keys().any(|id| !known.contains(id))
    }

    /// What was there of a group's log when the directory was opened.
    /// # Errors
    /// It is damaged.
    pub fn log(&self, group: &str) -> Result<StoppedLog, StartError> {
        let directory = self.group_directory(group);
        let id = group_id(group);
        let newest = snapshot::find(&directory)?;
        let reader = self.wal.reader();
        let start = store::start(&reader, id, self.groups.get(&id), newest);
        Ok(StoppedLog {
            name: group.to_owned(),
            id,
            start: start.map_err(|error| in_group(group, error))?,
            reader,
            directory,
        })
    }

    /// Begins to write a group's snapshot.
    /// # Errors
    /// The disk.
    pub fn snapshot(&self, group: &str, meta: SnapshotMeta) -> io::Result<NewSnapshot> {
        let directory = self.group_directory(group);
        let temporary = snapshot::begin(&directory, meta.last.index)?;
        Ok(NewSnapshot {
            file: snapshot::DataFile::create(&temporary)?,
            meta,
            directory,
        })
    }

    /// Begins a group's log after the entry `after`, which its snapshot holds, in a term.
    /// # Errors
    /// The disk.
    pub fn begin_log(&mut self, group: &str, term: u64, after: LogId) -> Result<(), StartError> {
        self.write(
            group,
            &Write {
                hard_state: Some(HardState { term, vote: None }),
                reset: (after.index > 0).then_some(after),
                ..Write::default()
            },
        )
    }

    /// Writes entries that follow those that are there.
    /// # Errors
    /// They do not follow, or the disk.
    pub fn append(&mut self, group: &str, entries: Vec<Entry>) -> Result<(), StartError> {
        self.write(
            group,
            &Write {
                append: entries,
                ..Write::default()
            },
        )
    }

    fn write(&mut self, group: &str, write: &Write) -> Result<(), StartError> {
        let mut batch = Batch::new();
        store::add_to_batch(&mut batch, group_id(group), write);
        self.wal.write(&mut batch)?;
        Ok(())
    }

    /// Makes all of it durable.
    /// # Errors
    /// The disk.
    pub fn synced(&mut self) -> Result<(), StartError> {
        self.wal.sync()?;
        Ok(())
    }

    /// Makes all of it durable: a node may start with it.
    /// # Errors
    /// The disk.
    pub fn finish(mut self) -> Result<(), StartError> {
        self.synced()?;
        Ok(self.directory.log_begun()?)
    }

    fn group_directory(&self, group: &str) -> PathBuf {
        self.directory.path().join("groups").join(file_name(group))
    }
}

impl StoppedLog {
    /// The highest term that the node knows.
    pub fn term(&self) -> u64 {
        self.start.hard_state.term
    }

    /// Its last entry; zero if there is none.
    pub fn last(&self) -> LogId {
        let last = self.start.log.last.max(self.after());
        match self.reader.term(self.id, last) {
            Some(term) => LogId { term, index: last },
            None => self
                .start
                .snapshot
                .as_ref()
                .map_or(LogId::default(), |snapshot| snapshot.last),
        }
    }

    /// The members as the log names them last; None in a log that nobody has led.
    pub fn members(&self) -> Option<&Configuration> {
        let configurations = &self.start.log.configurations;
        let snapshot = self.start.snapshot.as_ref();
        let last = configurations.last().map(|(_, members)| members);
        last.or(snapshot.map(|snapshot| &snapshot.configuration))
    }

    /// The index of the last entry that the newest snapshot holds; 0 if there is none.
    pub fn after(&self) -> u64 {
        let snapshot = self.start.snapshot.as_ref();
        snapshot.map_or(0, |snapshot| snapshot.last.index)
    }

    /// The newest snapshot, and its state, whose checksum is right.
    /// # Errors
    /// It is damaged.
    pub fn snapshot(&self) -> Result<Option<(&SnapshotMeta, BufReader<fs::File>)>, StartError> {
        let Some(meta) = &self.start.snapshot else {
            return Ok(None);
        };
        let index = meta.last.index;
        let opened = snapshot::check(&self.directory, index)
            .and_then(|()| snapshot::open(&self.directory, index));
        match opened {
            Ok(state) => Ok(Some((meta, state))),
            Err(error) => Err(StartError::Snapshot {
                path: snapshot::path_of(&self.directory, index).join(DATA_FILE),
                what: error.to_string(),
            }),
        }
    }

    /// Entries from index `from` on, about so many bytes of them and at least one; none after the last one.
    /// # Errors
    /// They are damaged.
    pub fn entries(&self, from: u64, bytes_max: u64) -> Result<Vec<Entry>, StartError> {
        if from > self.start.log.last {
            return Ok(Vec::new());
        }
        store::read_back(&self.reader, self.id, from, self.start.log.last, bytes_max)
            .map_err(|error| in_group(&self.name, error))
    }
}

fn in_group(group: &str, error: StoreError) -> StartError {
    StartError::Store {
        group: group.to_owned(),
        error,
    }
}

impl io::Write for NewSnapshot {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewSnapshot {
    /// Makes it durable, and the group's snapshot.
    /// # Errors
    /// The disk.
    pub fn finish(self) -> io::Result<()> {
        let sum = self.file.sync()?;
        snapshot::finish(&self.directory, &self.meta, sum)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use diwan_raft::Payload;

    use super::*;

    const GROUP: &str = "orders";

    fn entry(index: u64) -> Entry {
        Entry {
            id: LogId { term: 3, index },
            payload: Payload::Data(index.to_be_bytes().to_vec().into()),
        }
    }

    #[test]
    fn what_was_begun_is_no_nodes_before_it_is_finished() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let node: PeerId = "127.0.0.1:1".parse().unwrap();
        let half_copied = |error| {
            let is = |error: &DirectoryError| matches!(error, DirectoryError::HalfCopied(_));
            matches!(error, StartError::Directory(error) if is(&error))
        };
        assert!(matches!(
            Stopped::open(&path),
            Err(StartError::Directory(DirectoryError::NoNode(_)))
        ));
        let mut broken_off = Stopped::begin(&path, &node).unwrap();
        let first = LogId { term: 2, index: 6 };
        broken_off.begin_log(GROUP, 4, LogId::default()).unwrap();
        broken_off.append(GROUP, vec![entry(1), entry(2)]).unwrap();
        broken_off.synced().unwrap();
        drop(broken_off);
        assert!(Stopped::open(&path).is_err_and(half_copied));

        let mut copy = Stopped::begin(&path, &node).unwrap();
        let members = Configuration::of(vec![node.clone()]);
        let meta = SnapshotMeta {
            last: first,
            configuration: members.clone(),
        };
        let mut state = copy.snapshot(GROUP, meta.clone()).unwrap();
        state.write_all(b"state").unwrap();
        state.finish().unwrap();
        copy.begin_log(GROUP, 4, first).unwrap();
        copy.append(GROUP, vec![entry(7), entry(8)]).unwrap();
        copy.finish().unwrap();

        let copied = Stopped::open(&path).unwrap();
        assert!(copied.is(&node));
        let log = copied.log(GROUP).unwrap();
        assert_eq!((log.term(), log.last()), (4, LogId { term: 3, index: 8 }));
        assert_eq!((log.after(), log.members()), (6, Some(&members)));
        assert_eq!(log.entries(7, 1000).unwrap(), [entry(7), entry(8)]);
        assert_eq!(log.entries(9, 1000).unwrap(), []);
        let (found, mut state) = log.snapshot().unwrap().unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut state, &mut text).unwrap();
        assert_eq!((found, &*text), (&meta, "state"));
        assert!(copied.log("stock").unwrap().members().is_none());
        drop(copied);
        assert!(matches!(
            Stopped::begin(&path, &node),
            Err(StartError::Directory(DirectoryError::HasLogs(_)))
        ));

        // A snapshot that was changed is not copied.
        let data = path
            .join("groups")
            .join(GROUP)
            .join("snapshot-00000000000000000006");
        fs::write(data.join(DATA_FILE), "State").unwrap();
        let damaged = Stopped::open(&path).unwrap();
        assert!(matches!(
            damaged.log(GROUP).unwrap().snapshot(),
            Err(StartError::Snapshot { .. })
        ));
    }
}
