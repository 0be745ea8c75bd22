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

/// What is gathered before it goes to the file; a quarter of a segment if that is less. With a piece and the largest entry on
/// top it has to fit into a segment.
const PIECE_BYTES: u64 = 4 << 20;
/// Least bytes of rewriting between two batches; twice what was written if that is more.
const MAINTENANCE_BYTES: u64 = 1 << 20;
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
        thread::Builder::new()
            .name("diwan-disk".into())
            .spawn(move || {
                if let Err(error) = run(wal, piece_bytes, &todo, &tell) {
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
    piece_bytes: u64,
    todo: &mpsc::Receiver<Job>,
    tell: &impl Fn(DiskEvent),
) -> Result<(), diwan_wal::Error> {
    let mut batch = Batch::new();
    let mut stats_at = Instant::now();
    while let Ok(first) = todo.recv() {
        let (mut writes, mut written) = (0, 0);
        let mut groups: Vec<(GroupId, u64)> = Vec::new();
        for job in std::iter::once(first).chain(todo.try_iter()) {
            for (group, write) in job {
                writes += 1;
                match groups.iter_mut().find(|(known, _)| *known == group) {
                    Some((_, sequence)) => *sequence = write.sequence,
                    None => groups.push((group, write.sequence)),
                }
                for piece in pieces(write, piece_bytes) {
                    store::add_to_batch(&mut batch, group, &piece);
                    if batch.bytes() > piece_bytes {
                        written += batch.bytes();
                        wal.write(&mut batch)?;
                    }
                }
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

/// Cuts a write with many entries. If only the first pieces outlive a crash, the log just ends earlier: nothing was promised
/// before the sync that comes after all of them.
fn pieces(mut write: Write, bytes_max: u64) -> Vec<Write> {
    let weight: usize = write.append.iter().map(diwan_raft::Entry::weight).sum();
    if weight as u64 <= bytes_max {
        return vec![write];
    }
    let entries = std::mem::take(&mut write.append);
    let compact = write.compact.take();
    let sequence = write.sequence;
    let mut done = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        if bytes > bytes_max {
            bytes = 0;
            let next = Write {
                sequence,
                hard_state: None,
                reset: None,
                append: Vec::new(),
                compact: None,
            };
            done.push(std::mem::replace(&mut write, next));
        }
        bytes += entry.weight() as u64;
        write.append.push(entry);
    }
    write.compact = compact;
    done.push(write);
    done
}

#[cfg(test)]
mod tests {
    use diwan_raft::{Entry, HardState, LogId, Payload};

    use super::*;

    #[test]
    fn a_write_is_cut_between_entries_and_keeps_its_order() {
        let entry = |index| Entry {
            id: LogId { term: 1, index },
            payload: Payload::Data(vec![0; 1000].into()),
        };
        let hard_state = HardState {
            term: 1,
            vote: None,
        };
        let write = Write {
            sequence: 7,
            hard_state: Some(hard_state.clone()),
            reset: None,
            append: (1..=10).map(entry).collect(),
            compact: Some(LogId { term: 1, index: 3 }),
        };
        let pieces = pieces(write.clone(), 2500);
        let entries: Vec<Entry> = pieces
            .iter()
            .flat_map(|piece| piece.append.clone())
            .collect();
        assert_eq!(entries, write.append);
        assert_eq!(
            pieces
                .iter()
                .map(|piece| piece.append.len())
                .collect::<Vec<_>>(),
            [3, 3, 3, 1]
        );
        assert_eq!(pieces[0].hard_state, Some(hard_state));
        assert!(pieces[1..].iter().all(|piece| piece.hard_state.is_none()));
        assert!(pieces[..3].iter().all(|piece| piece.compact.is_none()));
        assert_eq!(pieces[3].compact, write.compact);
    }
}
