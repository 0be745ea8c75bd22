//! The disk thread: while one fdatasync is in flight the next batch gathers.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

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
        took_micros: u64,
    },
    /// The disk failed: the node must stop.
    Failed(diwan_wal::Error),
}

/// Hands writes to the disk thread.
pub(crate) struct Disk {
    jobs: mpsc::Sender<Job>,
}

/// Bytes of rewriting between two batches.
const MAINTENANCE_BYTES: u64 = 1 << 20;

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
    while let Ok(first) = todo.recv() {
        let began = Instant::now();
        let mut groups: Vec<(GroupId, u64)> = Vec::new();
        for job in std::iter::once(first).chain(todo.try_iter()) {
            for (group, write) in job {
                store::add_to_batch(&mut batch, group, &write);
                match groups.iter_mut().find(|(known, _)| *known == group) {
                    Some((_, sequence)) => *sequence = write.sequence,
                    None => groups.push((group, write.sequence)),
                }
            }
            // A batch has to fit into a segment.
            if batch.bytes() > 8 << 20 {
                wal.write(&mut batch)?;
            }
        }
        if !batch.is_empty() {
            wal.write(&mut batch)?;
        }
        wal.sync()?;
        let took_micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        tell(DiskEvent::Durable {
            groups,
            took_micros,
        });
        wal.maintain(MAINTENANCE_BYTES)?;
    }
    Ok(())
}
