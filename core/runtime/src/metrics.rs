//! What a node counts, as one picture for operators. Everything is counted on the node's own thread: the disk thread tells its
//! part with each batch that became durable, so that nothing on the way of a write takes a lock.

use std::cell::{Cell, RefCell};

use diwan_log::LogTime;
use diwan_raft::{PeerId, Status};
use diwan_replica::Held;

use crate::disk::Synced;

/// A node as it is now, and what it counted since it started.
#[derive(Clone, Debug)]
pub struct NodeMetrics {
    /// This member.
    pub id: PeerId,
    /// Its groups, by name.
    pub groups: Vec<GroupMetrics>,
    /// Its write-ahead log.
    pub disk: DiskMetrics,
    /// Batches of messages that were sent to nodes of ours, and the messages in them.
    pub batches_sent: (u64, u64),
    /// Messages that could not be read.
    pub malformed: u64,
    /// Requests refused because an entry in them is not what its checksum was computed of.
    pub damaged_entries: u64,
    /// Requests for groups or members that are not here.
    pub unknown_groups: u64,
    /// Requests that a group refused: from strangers, with gaps, against what is committed.
    pub refused_steps: u64,
    /// Requests refused because their connection had not proved that it knows the cluster token.
    pub untokened: u64,
    /// Connections of others that tried to prove it and failed.
    pub hellos_refused: u64,
    /// Connections to others that did not prove it, or refused this node's proof.
    pub hellos_failed: u64,
    /// What its groups hold in memory together.
    pub held: Held,
    /// How often the groups with most in memory gave some of it, because all together had too much.
    pub cache_trims: u64,
    /// Snapshots that were pulled and do not have the checksum that their sender gave.
    pub snapshots_damaged: u64,
    /// Pieces of snapshots for which another member was told to come again.
    pub pieces_delayed: u64,
}

/// One group of a node.
#[derive(Clone, Debug)]
pub struct GroupMetrics {
    /// Its name.
    pub name: String,
    /// Where its member stands.
    pub status: Status,
    /// Whether it leads and has applied everything that was proposed before.
    pub leading: bool,
    /// The time of its state; zero in a plain log.
    pub time: LogTime,
    /// Microseconds by which this member's wall clock was ahead of the log's time when it last proposed as leader.
    pub clock_ahead_us: i64,
    /// Open sessions.
    pub sessions: u64,
    /// Proposals that have no outcome yet.
    pub proposals_open: u64,
    /// Proposals that were refused because this member does not lead, and for what is too much.
    pub proposals_refused: (u64, u64),
    /// Last index in the newest snapshot; 0 without one.
    pub snapshot_index: u64,
    /// A snapshot is being written.
    pub snapshot_busy: bool,
    /// Snapshots written here.
    pub snapshots_taken: u64,
    /// Bytes of the snapshot that is being fetched, so far; 0 while none is.
    pub snapshot_fetched_bytes: u64,
}

/// What the disk thread did.
#[derive(Clone, Debug)]
pub struct DiskMetrics {
    /// Time of each fdatasync, in seconds.
    pub sync_seconds: HistogramState,
    /// Writes of groups that one fdatasync made durable.
    pub batch_writes: HistogramState,
    /// Bytes that one fdatasync made durable.
    pub batch_bytes: HistogramState,
    /// The log itself, at most a second older than the newest batch.
    pub wal: diwan_wal::Stats,
}

/// A histogram as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramState {
    /// Upper bound of each bucket and how many observations were at most that, ascending.
    pub buckets: Vec<(f64, u64)>,
    /// All observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

/// Counts observations by size, in whole units of which `scale` make one of those that are shown.
#[derive(Debug)]
struct Histogram {
    bounds: &'static [u64],
    scale: f64,
    /// One more than bounds: the last one is for what is larger.
    counts: RefCell<Vec<u64>>,
    sum: Cell<u64>,
}

impl Histogram {
    fn new(bounds: &'static [u64], scale: f64) -> Self {
        Self {
            bounds,
            scale,
            counts: RefCell::new(vec![0; bounds.len() + 1]),
            sum: Cell::new(0),
        }
    }

    fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts.borrow_mut()[bucket] += 1;
        self.sum.set(self.sum.get().saturating_add(value));
    }

    fn state(&self) -> HistogramState {
        let counts = self.counts.borrow();
        let mut count = 0;
        let buckets = self.bounds.iter().zip(counts.iter());
        let buckets = buckets
            .map(|(bound, here)| {
                count += here;
                (*bound as f64 / self.scale, count)
            })
            .collect();
        HistogramState {
            buckets,
            count: counts.iter().sum(),
            sum: self.sum.get() as f64 / self.scale,
        }
    }
}

const SYNC_MICROS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000,
];
const WRITES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const BYTES: &[u64] = &[
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
];

/// What the disk thread told so far.
#[derive(Debug)]
pub(crate) struct DiskCounts {
    sync: Histogram,
    writes: Histogram,
    bytes: Histogram,
    wal: Cell<diwan_wal::Stats>,
}

impl DiskCounts {
    pub(crate) fn new(wal: diwan_wal::Stats) -> Self {
        Self {
            sync: Histogram::new(SYNC_MICROS, 1e6),
            writes: Histogram::new(WRITES, 1.0),
            bytes: Histogram::new(BYTES, 1.0),
            wal: Cell::new(wal),
        }
    }

    pub(crate) fn add(&self, synced: Option<&Synced>, wal: Option<diwan_wal::Stats>) {
        if let Some(synced) = synced {
            self.sync.observe(synced.sync_micros);
            self.writes.observe(synced.writes);
            self.bytes.observe(synced.bytes);
        }
        if let Some(wal) = wal {
            self.wal.set(wal);
        }
    }

    pub(crate) fn state(&self) -> DiskMetrics {
        DiskMetrics {
            sync_seconds: self.sync.state(),
            batch_writes: self.writes.state(),
            batch_bytes: self.bytes.state(),
            wal: self.wal.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_all_that_is_at_most_its_bound() {
        let histogram = Histogram::new(&[10, 100], 10.0);
        for value in [0, 10, 11, 100, 101] {
            histogram.observe(value);
        }
        assert_eq!(
            histogram.state(),
            HistogramState {
                buckets: vec![(1.0, 2), (10.0, 4)],
                count: 5,
                sum: 22.2
            }
        );
    }
}
