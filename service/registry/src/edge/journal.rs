//! What is published, on disk: a node that finds no other one when it starts goes on from it, so that no list misses instances whose
//! clients are only slower to come back. Whatever the page cache holds survives the end of the process; a sync each second is for
//! the end of the machine. It is a hint, not a log: what cannot be read is left out.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the edge has files and a clock for them"
)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diwan_registry_wire::Version;
use diwan_registry_wire::nodes::{Instance, Name};
use prost::Message;

use crate::state::{Publication, RegistId, ServiceName, Written};

const FILE: &str = "instances.journal";
const NEW_FILE: &str = "instances.journal.new";
/// A record: u32 length, u32 CRC-32 of what follows, a [`Record`].
const HEAD_BYTES: usize = 8;
const RECORD_BYTES_MAX: usize = 16 << 20;
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// An instance as it is now, or a start.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(message, optional, tag = "1")]
    service: Option<Name>,
    #[prost(string, tag = "2")]
    id: String,
    /// None if it is gone.
    #[prost(message, optional, tag = "3")]
    instance: Option<Instance>,
    /// A node began its life with this number.
    #[prost(uint64, optional, tag = "4")]
    epoch: Option<u64>,
    /// No version above this was given.
    #[prost(int64, optional, tag = "5")]
    version: Option<i64>,
}

fn append(record: &Record, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    // A Vec grows: there is always room.
    let _ = record.encode(out);
    let content = begin + HEAD_BYTES;
    let length = u32::try_from(out.len() - content).unwrap_or(u32::MAX);
    let sum = crc32fast::hash(&out[content..]);
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    out[begin + 4..content].copy_from_slice(&sum.to_le_bytes());
}

fn append_written(written: &Written, out: &mut Vec<u8>) {
    let record = Record {
        service: Some((&*written.service).into()),
        id: written.id.to_string(),
        instance: written.instance.clone(),
        ..Record::default()
    };
    append(&record, out);
}

/// The first record of `bytes` and what follows it; None where they cannot be read.
fn first(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > RECORD_BYTES_MAX {
        return None;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    if crc32fast::hash(content) != u32::from_le_bytes(*sum) {
        return None;
    }
    Some((Record::decode(content).ok()?, rest))
}

/// What a journal told.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// The highest of all starts.
    pub(super) epoch: u64,
    pub(super) publications: Vec<Publication>,
    pub(super) version: Version,
    /// How far it could be read.
    bytes: u64,
    /// What could not.
    damaged_bytes: u64,
}

fn replay(bytes: &[u8]) -> Recovered {
    let mut all: BTreeMap<(ServiceName, RegistId), Instance> = BTreeMap::new();
    let mut rest = bytes;
    let (mut epoch, mut version) = (0, Version::default());
    while let Some((record, after)) = first(rest) {
        rest = after;
        epoch = epoch.max(record.epoch.unwrap_or(0));
        version = version.max(Version(record.version.unwrap_or(0)));
        let Some(service) = record.service else {
            continue;
        };
        let key = (service.into(), RegistId::new(&record.id));
        match record.instance {
            Some(instance) => drop(all.insert(key, instance)),
            None => drop(all.remove(&key)),
        }
    }
    Recovered {
        epoch,
        publications: all
            .into_iter()
            .map(|((service, id), instance)| Publication::new(service, id, instance))
            .collect(),
        version,
        bytes: (bytes.len() - rest.len()) as u64,
        damaged_bytes: rest.len() as u64,
    }
}

/// For the fuzz target: reads `bytes` as a journal, and then as what a record holds whose checksum is right.
pub(crate) fn fuzz(bytes: &[u8]) {
    let whole = replay(bytes);
    assert_eq!(whole.bytes + whole.damaged_bytes, bytes.len() as u64);
    let mut journal = Vec::new();
    if let Ok(record) = Record::decode(bytes) {
        append(&record, &mut journal);
        assert_eq!(replay(&journal).damaged_bytes, 0);
    }
}

/// A journal of a start, an instance and its end, and the records' contents.
pub(crate) fn fuzz_seeds() -> Vec<Vec<u8>> {
    let started = Record {
        epoch: Some(7),
        version: Some(1 << 40),
        ..Record::default()
    };
    let there = Record {
        service: Some(Name::default()),
        id: "i".into(),
        instance: Some(Instance::default()),
        ..Record::default()
    };
    let gone = Record {
        instance: None,
        ..there.clone()
    };
    let records = [started, there, gone];
    let mut journal = Vec::new();
    for record in &records {
        append(record, &mut journal);
    }
    let contents = records.iter().map(Record::encode_to_vec);
    contents.chain([journal]).collect()
}

enum Command {
    /// To the journal, and to the new one if there is one.
    Append(Vec<u8>),
    /// A new one begins.
    Begin(Vec<u8>),
    /// To the new one only.
    Picture(Vec<u8>),
    /// The new one takes the old one's place.
    Replace,
}

/// The journal, written by a thread of its own, which has written everything when this is dropped.
pub(super) struct Journal {
    /// None once it ends.
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    epoch: u64,
    version: Version,
    bytes: usize,
    /// After the last picture.
    picture_bytes: usize,
    /// It begins with what earlier lives knew, which may be true no more.
    stale: bool,
    /// The service whose instances come next into the picture that is being made.
    next: Option<usize>,
}

/// No picture is made of less.
const PICTURE_BYTES_MIN: usize = 16 << 20;
/// About so much of a picture is made in one turn.
const PART_INSTANCES: usize = 1_000;

impl Journal {
    /// Reads the journal of earlier lives in a directory, and begins this one's.
    /// # Errors
    /// The directory cannot be used.
    pub(super) fn open(directory: &Path, unix_ms: u64) -> io::Result<(Self, Recovered)> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let recovered = replay(&bytes);
        if recovered.damaged_bytes > 0 {
            let (lost, at) = (recovered.damaged_bytes, recovered.bytes);
            tracing::warn!(path = %path.display(), lost, at, "the end of the journal of instances cannot be read");
            file.set_len(recovered.bytes)?;
        }
        file.seek(io::SeekFrom::End(0))?;
        let epoch = unix_ms.max(recovered.epoch + 1);
        let (commands, todo) = mpsc::channel();
        let directory = directory.to_owned();
        let thread = std::thread::Builder::new()
            .name("diwan-journal".into())
            .spawn(move || Writer::new(directory, file).run(&todo))?;
        let journal = Self {
            commands: Some(commands),
            thread: Some(thread),
            epoch,
            version: recovered.version,
            bytes: 0,
            picture_bytes: bytes.len(),
            stale: !bytes.is_empty(),
            next: None,
        };
        journal.send(Command::Append(journal.beginning()));
        Ok((journal, recovered))
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    fn beginning(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let begin = Record {
            epoch: Some(self.epoch),
            version: Some(self.version.0),
            ..Record::default()
        };
        append(&begin, &mut out);
        out
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // A thread that failed has said why.
            let _ = commands.send(command);
        }
    }

    /// Writes down what changed, and the highest version; the latter once a second, if it is all there is.
    pub(super) fn changed(&mut self, changes: &[Written], version: Version) {
        if changes.is_empty() && version.unix_ms() < self.version.unix_ms() + 1_000 {
            return;
        }
        self.version = version;
        let mut out = Vec::new();
        let record = Record {
            version: Some(version.0),
            ..Record::default()
        };
        append(&record, &mut out);
        for change in changes {
            append_written(change, &mut out);
        }
        self.bytes += out.len();
        self.send(Command::Append(out));
    }

    /// Goes on with a picture of everything, if there is one to be made, and tells whether there is more to do. `instances` are
    /// those of a service, by its place; None after the last. `settled`: what earlier lives knew is in them, or not needed.
    pub(super) fn paint(
        &mut self,
        settled: bool,
        mut instances: impl FnMut(usize) -> Option<Vec<Written>>,
    ) -> bool {
        if self.next.is_none() {
            let large = self.bytes >= PICTURE_BYTES_MIN.max(2 * self.picture_bytes);
            if !settled || !large && !self.stale {
                return false;
            }
            self.stale = false;
            (self.bytes, self.picture_bytes) = (0, 0);
            self.next = Some(0);
            self.send(Command::Begin(self.beginning()));
        }
        let mut done = 0;
        let mut out = Vec::new();
        while let Some(next) = self.next
            && done < PART_INSTANCES
        {
            let Some(part) = instances(next) else {
                self.next = None;
                break;
            };
            part.iter()
                .for_each(|written| append_written(written, &mut out));
            done += part.len() + 1;
            self.next = Some(next + 1);
        }
        self.picture_bytes += out.len();
        self.send(Command::Picture(out));
        if self.next.is_none() {
            self.send(Command::Replace);
        }
        self.next.is_some()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    directory: PathBuf,
    file: File,
    new: Option<File>,
    /// Something is not synced, since then.
    dirty: Option<Instant>,
    /// It does not work, which was said.
    failed: bool,
}

impl Writer {
    fn new(directory: PathBuf, file: File) -> Self {
        Self {
            directory,
            file,
            new: None,
            dirty: None,
            failed: false,
        }
    }

    fn run(mut self, todo: &mpsc::Receiver<Command>) {
        loop {
            let command = match self.dirty {
                None => todo
                    .recv()
                    .map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                Some(since) => todo.recv_timeout(SYNC_INTERVAL.saturating_sub(since.elapsed())),
            };
            let result = match command {
                Ok(command) => self.carry_out(command),
                Err(mpsc::RecvTimeoutError::Timeout) => self.sync(),
                Err(mpsc::RecvTimeoutError::Disconnected) => return drop(self.sync()),
            };
            match result {
                Ok(()) => self.failed = false,
                Err(error) if !std::mem::replace(&mut self.failed, true) => {
                    tracing::error!(%error, "the journal of instances cannot be written");
                }
                Err(_) => {}
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.dirty = None;
        self.file.sync_data()
    }

    fn carry_out(&mut self, command: Command) -> io::Result<()> {
        if self
            .dirty
            .is_some_and(|since| since.elapsed() >= SYNC_INTERVAL)
        {
            self.sync()?;
        }
        match command {
            Command::Append(bytes) => {
                self.dirty.get_or_insert_with(Instant::now);
                if let Some(new) = &mut self.new {
                    new.write_all(&bytes)?;
                }
                self.file.write_all(&bytes)
            }
            Command::Begin(bytes) => {
                let mut new = File::create(self.directory.join(NEW_FILE))?;
                new.write_all(&bytes)?;
                self.new = Some(new);
                Ok(())
            }
            Command::Picture(bytes) => match &mut self.new {
                Some(new) => new.write_all(&bytes),
                None => Ok(()),
            },
            Command::Replace => {
                let Some(new) = self.new.take() else {
                    return Ok(());
                };
                new.sync_all()?;
                let (from, to) = (self.directory.join(NEW_FILE), self.directory.join(FILE));
                std::fs::rename(from, to)?;
                File::open(&self.directory)?.sync_all()?;
                self.file = new;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn written(service: &str, id: &str, data: Option<&str>) -> Written {
        let instance = data.map(|data| Instance {
            items: vec![diwan_registry_wire::nodes::Item {
                data: Some(data.into()),
            }],
            cell: "cell".into(),
            version: 3,
            timestamp: 4,
            provisional: false,
        });
        Written {
            service: Arc::new(ServiceName::new(service, None, None)),
            id: RegistId::new(id),
            instance,
        }
    }

    fn journal_of(changes: &[Written]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for change in changes {
            append_written(change, &mut bytes);
        }
        bytes
    }

    #[test]
    fn what_was_published_last_comes_back_over_restarts_and_pictures() {
        let directory = std::env::temp_dir().join(format!("diwan-journal-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let open = |unix_ms| Journal::open(&directory, unix_ms).unwrap();
        let (mut journal, recovered) = open(5);
        assert_eq!((journal.epoch(), recovered.publications.len()), (5, 0));
        journal.changed(
            &[written("s", "a", Some("1")), written("s", "b", Some("2"))],
            Version(7),
        );
        journal.changed(
            &[written("s", "a", None), written("t", "a", Some("3"))],
            Version(9),
        );
        let again = |journal: Journal, unix_ms| {
            drop(journal);
            open(unix_ms)
        };
        let (mut journal, recovered) = again(journal, 4);
        // The clock went back, epochs do not.
        assert_eq!(journal.epoch(), 6);
        assert_eq!(recovered.publications.len(), 2);
        let parts = [vec![written("u", "x", Some("9"))]];
        assert!(!journal.paint(false, |_| unreachable!()));
        assert!(!journal.paint(true, |place| parts.get(place).cloned()));
        journal.changed(&[written("u", "y", Some("10"))], Version(8));
        let (_, recovered) = again(journal, 0);
        let names: Vec<_> = recovered
            .publications
            .iter()
            .map(|one| one.id.to_string())
            .collect();
        assert_eq!((names, recovered.epoch), (vec!["x".into(), "y".into()], 6));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    proptest! {
        #[test]
        fn damage_costs_only_what_follows(at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let changes: Vec<_> = (0..20).map(|n| written("s", &n.to_string(), Some("d"))).collect();
            let bytes = journal_of(&changes);
            let mut damaged = bytes.clone();
            let at = at.index(bytes.len());
            damaged[at] ^= flip;
            let whole = at / (bytes.len() / 20);
            prop_assert!(replay(&damaged).publications.len() >= whole.saturating_sub(1));
            prop_assert_eq!(replay(&bytes[..at]).damaged_bytes + replay(&bytes[..at]).bytes, at as u64);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let recovered = replay(&bytes);
            prop_assert_eq!(recovered.bytes + recovered.damaged_bytes, bytes.len() as u64);
        }
    }
}
