//! What has ended and left a state machine. The machine hands over each ended thing with the index of the log's entry that ended it;
//! a thread of the archive writes it down and forgets it after a stated time. Handing over the same again changes nothing, so
//! a log that is applied again after a restart fills in what was not on disk yet. Before a snapshot replaces a log,
//! [`Archive::settle`] waits until all that was handed over is on disk.
//!
//! The archive never holds a state machine up: what comes faster than it is written, or while the disk refuses, is lost to the archive and
//! counted. Each node has its own, with what ended while it applied the log itself.

mod store;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::Store;
pub use store::{ArchiveError, Kept, Page, Place};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So long, in milliseconds of the log's time, counted from what ended last.
    pub keep_ms: u64,
    /// At most so many; the oldest leave first.
    pub entries_max: u64,
}

/// What has ended.
pub struct Entry {
    /// Where.
    pub place: Place,
    /// Its name: an xid, the id of a saga. A later one of the same name is found by it.
    pub id: String,
    /// When, in milliseconds of the log's time.
    pub ended_ms: u64,
    /// What is kept of it, made by the archive's thread.
    pub value: Value,
}

/// Makes what is kept.
pub type Value = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// What an archive has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What it holds, as of the last time it was opened or written.
    pub entries: u64,
    /// Written down.
    pub written: u64,
    /// Not written down: too much came at once, or the disk refused.
    pub lost: u64,
}

/// Entries that wait to be written; more are lost.
const WAITING_MAX: u64 = 100_000;
/// Entries of one transaction of the store.
const BATCH_MAX: usize = 4_096;
/// What was written is on disk after this.
const SYNC: Duration = Duration::from_secs(5);

enum Job {
    Add(Entry),
    /// To be told once all that came before is on disk.
    Settle(Sender<()>),
}

#[derive(Default)]
struct Counts {
    waiting: AtomicU64,
    entries: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
}

/// An archive. Cheap to clone; closes when the last clone goes.
#[derive(Clone)]
pub struct Archive {
    store: Arc<Store>,
    jobs: Arc<Mutex<Sender<Job>>>,
    counts: Arc<Counts>,
}

impl Archive {
    /// An archive in a file, which is opened when it is needed, and made if it is not there.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn new(path: PathBuf, retention: Retention) -> std::io::Result<Self> {
        let store = Arc::new(Store::new(path, retention));
        let counts = Arc::new(Counts::default());
        let (jobs, todo) = mpsc::channel();
        let writer = Writer {
            store: store.clone(),
            counts: counts.clone(),
            unsynced: false,
            settling: Vec::new(),
        };
        std::thread::Builder::new()
            .name("archive".into())
            .spawn(move || writer.run(&todo))?;
        Ok(Self {
            store,
            jobs: Arc::new(Mutex::new(jobs)),
            counts,
        })
    }

    /// Opens the file now.
    ///
    /// # Errors
    /// It is no archive, is in use, or cannot be written.
    pub fn open(&self) -> Result<(), ArchiveError> {
        self.counts.entries.store(self.store.len()?, Relaxed);
        Ok(())
    }

    /// Hands over what has ended. It never waits.
    pub fn add(&self, entry: Entry) {
        if self.counts.waiting.load(Relaxed) >= WAITING_MAX {
            if self.counts.lost.fetch_add(1, Relaxed) == 0 {
                tracing::warn!(
                    id = entry.id,
                    "more ends than the archive can write down: some are lost to it"
                );
            }
            return;
        }
        self.counts.waiting.fetch_add(1, Relaxed);
        self.send(Job::Add(entry));
    }

    /// Waits until all that was handed over is on disk, or lost.
    pub fn settle(&self) {
        let (tell, told) = mpsc::channel();
        self.send(Job::Settle(tell));
        // The writer ends only after all that was sent.
        let _ = told.recv();
    }

    fn send(&self, job: Job) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = jobs.send(job);
    }

    /// What was kept of the last one of a name.
    ///
    /// # Errors
    /// The store fails.
    pub fn get(&self, id: &str) -> Result<Option<Kept>, ArchiveError> {
        self.store.get(id)
    }

    /// The newest before a place, or the newest of all, as far as `pick` makes something of them: at most `limit`, among those looked at.
    ///
    /// # Errors
    /// The store fails.
    pub fn list<T>(
        &self,
        before: Option<Place>,
        limit: usize,
        pick: impl Fn(Kept) -> Option<T>,
    ) -> Result<Page<T>, ArchiveError> {
        self.store.list(before, limit, pick)
    }

    /// What it has done.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            entries: self.counts.entries.load(Relaxed),
            written: self.counts.written.load(Relaxed),
            lost: self.counts.lost.load(Relaxed),
        }
    }
}

struct Writer {
    store: Arc<Store>,
    counts: Arc<Counts>,
    /// Something is written and may not be on disk.
    unsynced: bool,
    settling: Vec<Sender<()>>,
}

impl Writer {
    fn run(mut self, todo: &Receiver<Job>) {
        loop {
            let wait = if self.unsynced { SYNC } else { Duration::MAX };
            let first = match todo.recv_timeout(wait) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.write(Vec::new(), true);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut batch = Vec::new();
            for job in std::iter::once(first).chain(todo.try_iter().take(BATCH_MAX - 1)) {
                match job {
                    Job::Add(entry) => batch.push(entry),
                    Job::Settle(tell) => self.settling.push(tell),
                }
            }
            let sync = !self.settling.is_empty();
            self.write(batch, sync);
            for tell in self.settling.drain(..) {
                let _ = tell.send(());
            }
        }
        self.write(Vec::new(), true);
    }

    fn write(&mut self, batch: Vec<Entry>, sync: bool) {
        let count = batch.len() as u64;
        if count == 0 && !self.unsynced {
            return;
        }
        match self.store.write(batch, sync) {
            Ok(entries) => {
                self.unsynced = !sync;
                self.counts.entries.store(entries, Relaxed);
                self.counts.written.fetch_add(count, Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, entries = count, "the archive cannot be written: what has ended is lost to it");
                self.counts.lost.fetch_add(count, Relaxed);
            }
        }
        self.counts.waiting.fetch_sub(count, Relaxed);
    }
}
