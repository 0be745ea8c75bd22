//! What a simulated member keeps through a crash: a write-ahead log on a simulated disk, and its last snapshot.

use diwan_raft::{Entry, SnapshotMeta, Start, Write};
use diwan_replica::store;
use diwan_wal::{Batch, GroupId, Options, Reader, Wal};

use crate::disk::{SimDisk, SimFile};
use crate::report::Counts;

/// A snapshot of the key-value state.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: crate::machine::Machine,
}

const GROUP: GroupId = GroupId(1);

/// The disk of one member.
pub(crate) struct Store {
    disk: SimDisk,
    open: Option<(Wal<SimDisk>, Reader<SimFile>)>,
    pub(crate) snapshot: Option<Snapshot>,
}

impl Store {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            open: None,
            snapshot: None,
        }
    }

    /// Reads what is there, as a process that starts does.
    pub(crate) fn open(&mut self, salt: u64, counts: &mut Counts) -> Result<Start, String> {
        let options = Options {
            segment_bytes: 64 << 10,
            salt,
        };
        let (wal, recovery) =
            Wal::open(self.disk.current(), options).map_err(|error| error.to_string())?;
        if recovery.torn.is_some() {
            counts.add("torn tails cut");
        }
        let reader = wal.reader();
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.meta.clone());
        let start = store::start(&reader, GROUP, recovery.groups.get(&GROUP), snapshot);
        self.open = Some((wal, reader));
        start.map_err(|error| error.to_string())
    }

    pub(crate) fn write(&mut self, writes: &[Write]) -> Result<(), String> {
        let Some((wal, _)) = &mut self.open else {
            return Ok(());
        };
        let mut batch = Batch::new();
        writes
            .iter()
            .for_each(|write| store::add_to_batch(&mut batch, GROUP, write));
        wal.write(&mut batch)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    pub(crate) fn sync(&mut self) -> Result<(), String> {
        let Some((wal, _)) = &mut self.open else {
            return Ok(());
        };
        wal.sync().map_err(|error| error.to_string())?;
        wal.maintain(32 << 10)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// The next fdatasync fails, and what it was to save may be lost.
    pub(crate) fn fail_next_sync(&mut self) {
        self.disk.fail_syncs(1);
    }

    /// All syncs succeed again.
    pub(crate) fn heal(&mut self) {
        self.disk.fail_syncs(0);
    }

    /// Power is lost: of what was not synced a random part stays.
    pub(crate) fn crash(&mut self) {
        self.open = None;
        self.disk = self.disk.crash();
    }

    /// The process dies; the machine keeps what was written.
    pub(crate) fn kill(&mut self) {
        self.open = None;
        self.disk = self.disk.kill();
    }

    pub(crate) fn read(&self, low: u64, high: u64, bytes_max: usize) -> Result<Vec<Entry>, String> {
        let Some((_, reader)) = &self.open else {
            return Ok(Vec::new());
        };
        store::read_back(reader, GROUP, low, high, bytes_max as u64)
            .map_err(|error| error.to_string())
    }
}
