//! The disk thread: while one fdatasync is in flight the next batch gathers.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use diwan_raft::Write;
use diwan_replica::store;
use diwan_wal::{Batch, GroupId, OsDirectory, Wal};

/// Writes of groups, each with the sequence by which its group knows it.
pub(crate) type Job = Vec<(GroupId, Write)>;

/// What the disk thread tells.
pub(crate) enum DiskEvent {
    /// Everything up to these sequences is durable.
    Durable {
        groups: Vec<(GroupId, u64)>,
        synced: Synced,
    },
    /// The disk failed: the node must stop.
    Failed(diwan_wal::Error),
}

/// One sync, for the metrics.
pub(crate) struct Synced {
    pub(crate) sync_micros: u64,
    pub(crate) writes: u64,
    pub(crate) bytes: u64,
    /// Told once in a while: it takes a look at every segment.
    pub(crate) wal: Option<diwan_wal::Stats>,
}

/// Hands writes to the disk thread.
pub(crate) struct Disk {
    jobs: mpsc::Sender<Job>,
}

/// What is gathered before it goes to the file. With the largest entry on top it has to fit into a segment.
const PIECE_BYTES: usize = 4 << 20;
/// Least bytes of rewriting between two batches; twice what was written if that is more.
const MAINTENANCE_BYTES: u64 = 1 << 20;
/// Between two reports of the log's own counts.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

impl Disk {
    /// Starts the thread. `tell` is called on it.
    pub(crate) fn start(
        wal: Wal<OsDirectory>,
        tell: impl Fn(DiskEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel();
        thread::Builder::new()
            .name("diwan-disk".into())
            .spawn(move || {
                if let Err(error) = run(wal, &todo, &tell) {
                    tracing::error!(%error, "the disk failed: this node stops");
                    tell(DiskEvent::Failed(error));
                }
            })?;
        Ok(Self { jobs })
    }

    pub(crate) fn write(&self, job: Job) {
        // The thread ends only with a failure, which it tells.
        let _ = self.jobs.send(job);
    }
}

fn run(
    mut wal: Wal<OsDirectory>,
    todo: &mpsc::Receiver<Job>,
    tell: &impl Fn(DiskEvent),
) -> Result<(), diwan_wal::Error> {
    let mut batch = Batch::new();
    let mut stats_at = Instant::now();
    while let Ok(first) = todo.recv() {
        let (mut writes, mut written) = (0, 0);
        let mut groups: Vec<(GroupId, u64)> = Vec::new();
        for job in std::iter::once(first).chain(todo.try_iter()) {
            for (group, mut write) in job {
                // A batch has to fit into a segment. Entries may go in pieces: nobody counts on them before the sync.
                let mut entries = std::mem::take(&mut write.append).into_iter().peekable();
                let mut piece = 0;
                while let Some(entry) = entries.next() {
                    piece += entry.weight();
                    write.append.push(entry);
                    if piece >= PIECE_BYTES && entries.peek().is_some() {
                        let rest = Write {
                            hard_state: None,
                            reset: None,
                            append: Vec::new(),
                            compact: write.compact.take(),
                            ..write
                        };
                        store::add_to_batch(&mut batch, group, &write);
                        written += batch.bytes();
                        wal.write(&mut batch)?;
                        write = rest;
                        piece = 0;
                    }
                }
                store::add_to_batch(&mut batch, group, &write);
                writes += 1;
                match groups.iter_mut().find(|(known, _)| *known == group) {
                    Some((_, sequence)) => *sequence = write.sequence,
                    None => groups.push((group, write.sequence)),
                }
            }
            if batch.bytes() > PIECE_BYTES as u64 {
                written += batch.bytes();
                wal.write(&mut batch)?;
            }
        }
        if !batch.is_empty() {
            written += batch.bytes();
            wal.write(&mut batch)?;
        }
        let began = Instant::now();
        wal.sync()?;
        let now = Instant::now();
        let sync_micros = u64::try_from((now - began).as_micros()).unwrap_or(u64::MAX);
        let report = now >= stats_at;
        if report {
            stats_at = now + STATS_INTERVAL;
        }
        let synced = Synced {
            sync_micros,
            writes,
            bytes: written,
            wal: report.then(|| wal.stats()),
        };
        tell(DiskEvent::Durable { groups, synced });
        wal.maintain(MAINTENANCE_BYTES.max(2 * written))?;
    }
    Ok(())
}
