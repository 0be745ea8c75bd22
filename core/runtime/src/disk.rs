//! The disk thread: while one fdatasync is in flight the next batch gathers. Where writes trickle in from many sides the disk rests
//! between two batches, so that fewer and larger ones cost less. Writes that come all at once, or one after the other, do not wait.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use diwan_raft::Write;
use diwan_replica::{Flushed, WriteQueue};
use diwan_wal::{GroupId, OsDirectory, Wal};

/// Writes of groups, each with the sequence by which its group knows it.
pub(crate) type Job = Vec<(GroupId, Write)>;

/// What the disk thread tells.
pub(crate) enum DiskEvent {
    /// What was flushed is durable.
    Durable {
        flushed: Flushed,
        /// None if nothing was written.
        synced: Option<Synced>,
        /// Told once in a while: it takes a look at every segment.
        wal: Option<diwan_wal::Stats>,
    },
    /// The disk is full, or is no more. Entries wait until then.
    Full(bool),
    /// The disk failed: the node must stop.
    Failed(diwan_wal::Error),
}

/// One sync, for the metrics.
pub(crate) struct Synced {
    pub(crate) sync_micros: u64,
    pub(crate) writes: u64,
    pub(crate) bytes: u64,
}

/// Hands writes to the disk thread.
pub(crate) struct Disk {
    /// There until it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Disk {
    /// Waits until what was handed over is written and the log is closed.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It said why if it ended early.
            let _ = thread.join();
        }
    }
}

/// What is gathered before it goes to the file; a quarter of a segment if that is less. With a piece and the largest entry on
/// top it has to fit into a segment.
const PIECE_BYTES: u64 = 4 << 20;
/// Least bytes of upkeep between two batches; twice what was written if that is more. The next batch waits for it: with a
/// megabyte each new segment made forty milliseconds of them late.
const MAINTENANCE_BYTES: u64 = 128 << 10;
/// After a batch that so many turns of the node wrote to others are about to come, too.
const CROWD: usize = 4;
/// Then from the beginning of one batch to that of the next it takes so many times as long as batches usually take.
const PACE: u32 = 3;
/// A batch that takes longer counts as one of this.
const USUAL_MAX: Duration = Duration::from_millis(1);
/// Between two looks for room on a full disk.
const FULL_RETRY: Duration = Duration::from_millis(100);
/// Between two reports of the log's own counts.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

impl Disk {
    /// Starts the thread. `tell` is called on it.
    pub(crate) fn start(
        wal: Wal<OsDirectory>,
        segment_bytes: u32,
        tell: impl Fn(DiskEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel();
        let piece_bytes = PIECE_BYTES.min(u64::from(segment_bytes) / 4);
        let thread = thread::Builder::new()
            .name("diwan-disk".into())
            .spawn(move || {
                if let Err(error) = run(wal, piece_bytes, &todo, &tell) {
                    tracing::error!(%error, "the disk failed: this node stops");
                    tell(DiskEvent::Failed(error));
                }
            })?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    pub(crate) fn write(&self, job: Job) {
        // The thread ends only with a failure, which it tells.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
    }
}

fn run(
    mut wal: Wal<OsDirectory>,
    piece_bytes: u64,
    todo: &mpsc::Receiver<Job>,
    tell: &impl Fn(DiskEvent),
) -> Result<(), diwan_wal::Error> {
    let mut queue = WriteQueue::new(piece_bytes);
    let mut stats_at = Instant::now();
    let mut next = Instant::now();
    let mut usual = Duration::ZERO;
    loop {
        let full = queue.is_full();
        let first = match full {
            false => todo.recv().map_err(|_| RecvTimeoutError::Disconnected),
            true => todo.recv_timeout(FULL_RETRY),
        };
        if first == Err(RecvTimeoutError::Disconnected) {
            return Ok(());
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let began = Instant::now();
        let (mut jobs, mut writes) = (0, 0);
        for job in first.into_iter().chain(todo.try_iter()) {
            jobs += 1;
            for (group, write) in job {
                writes += 1;
                queue.push(group, write);
            }
        }
        let flushed = queue.flush(&mut wal)?;
        let syncing = Instant::now();
        wal.sync()?;
        let now = Instant::now();
        usual = (7 * usual + (now - began).min(USUAL_MAX)) / 8;
        next = match jobs >= CROWD {
            true => began + PACE * usual,
            false => now,
        };
        let written = flushed.bytes;
        let report = now >= stats_at;
        if report {
            stats_at = now + STATS_INTERVAL;
        }
        let synced = (written > 0).then(|| Synced {
            sync_micros: u64::try_from((now - syncing).as_micros()).unwrap_or(u64::MAX),
            writes,
            bytes: written,
        });
        tell(DiskEvent::Durable {
            flushed,
            synced,
            wal: report.then(|| wal.stats()),
        });
        if queue.is_full() != full {
            tell(DiskEvent::Full(!full));
        }
        wal.maintain(MAINTENANCE_BYTES.max(2 * written))?;
    }
}
