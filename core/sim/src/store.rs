//! What a simulated machine keeps through a crash: a write-ahead log of all groups on a simulated disk, and the last snapshot of each.

use std::collections::BTreeMap;

use diwan_raft::{Entry, SnapshotMeta, Start};
use diwan_replica::store::{self, StoreError};
use diwan_replica::{Flushed, WriteQueue};
use diwan_wal::{Options, Position, Reader, Wal};

use crate::disk::{SimDisk, SimFile};
use crate::durable::Durable;
use crate::group;
use crate::random::Random;
use crate::report::Counts;

/// A snapshot of the key-value state.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: crate::machine::Machine,
}

pub(crate) const SEGMENT_BYTES: u32 = 64 << 10;

/// What an opened log shows of the damage that its disk suffered meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// All that was durable.
    All,
    /// All that the log itself proved to be durable, but not all that was: the end was taken for a torn tail.
    Proven,
    /// Less, which nobody was told.
    Less,
}

/// The disk of one machine.
pub(crate) struct Store {
    disk: SimDisk,
    open: Option<(Wal<SimDisk>, Reader<SimFile>)>,
    pub(crate) snapshots: BTreeMap<usize, Snapshot>,
    /// What each group was told.
    pub(crate) told: BTreeMap<usize, Durable>,
    /// Up to where the log was durable, and up to where it says so itself.
    durable: Position,
    proven: Position,
    refuses_snapshots: bool,
}

impl Store {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            open: None,
            snapshots: BTreeMap::new(),
            told: BTreeMap::new(),
            durable: Position::default(),
            proven: Position::default(),
            refuses_snapshots: false,
        }
    }

    /// Reads what is there of so many groups, as a process that starts does.
    pub(crate) fn open(
        &mut self,
        groups: usize,
        salt: u64,
        counts: &mut Counts,
    ) -> Result<(Vec<Start>, Kept), StoreError> {
        let options = Options {
            segment_bytes: SEGMENT_BYTES,
            salt,
        };
        let (wal, recovery) = Wal::open(self.disk.current(), options)?;
        if recovery.torn.is_some() {
            counts.add("torn tails cut");
        }
        let kept = match recovery.end {
            end if end >= self.durable => Kept::All,
            end if end >= self.proven => Kept::Proven,
            _ => Kept::Less,
        };
        // The batch that opening writes says what was durable before it.
        (self.proven, self.durable) = (recovery.end, wal.durable());
        let reader = wal.reader();
        let start = |group| {
            let snapshot = self.snapshots.get(&group).map(|it| it.meta.clone());
            let id = group::wal_id(group);
            store::start(&reader, id, recovery.groups.get(&id), snapshot)
        };
        let starts: Result<_, _> = (0..groups).map(start).collect();
        self.open = Some((wal, reader));
        Ok((starts?, kept))
    }

    /// Writes what waits, as far as there is room. Nothing of a disk that is not open.
    pub(crate) fn flush(&mut self, queue: &mut WriteQueue) -> Result<Flushed, diwan_wal::Error> {
        match &mut self.open {
            Some((wal, _)) => queue.flush(wal),
            None => Ok(Flushed::default()),
        }
    }

    pub(crate) fn sync(&mut self) -> Result<(), diwan_wal::Error> {
        let Some((wal, _)) = &mut self.open else {
            return Ok(());
        };
        let before = wal.durable();
        let durable = wal.sync()?;
        if durable > before {
            (self.proven, self.durable) = (before, durable);
        }
        wal.maintain(u64::from(SEGMENT_BYTES) / 2).map(drop)
    }

    /// Looks for room as a log with time to do so.
    pub(crate) fn look_for_room(&mut self) -> Result<(), diwan_wal::Error> {
        (0..4).try_for_each(|_| self.sync())
    }

    /// What a failed sync leaves in the page cache is read as if it were on the disk.
    #[cfg(feature = "museum")]
    pub(crate) fn trust_page_cache(&self) {
        self.disk.keep_cached(true);
    }

    /// The next fdatasync fails, and what it was to save may be lost.
    pub(crate) fn fail_next_sync(&mut self) {
        self.disk.fail_syncs(1);
    }

    /// All syncs succeed again.
    pub(crate) fn heal(&mut self) {
        self.disk.fail_syncs(0);
    }

    /// The disk has so many free bytes left; None for room enough. Snapshots fit or they do not.
    pub(crate) fn set_full(&mut self, full: Option<(u64, bool)>) {
        let capacity = full.map(|(free, _)| self.disk.used_bytes() + free);
        self.disk.set_capacity(capacity);
        self.refuses_snapshots = full.is_some_and(|(_, snapshots_fit)| !snapshots_fit);
    }

    pub(crate) fn refuses_snapshots(&self) -> bool {
        self.refuses_snapshots
    }

    /// Damages a sector that holds a batch, of the newest ones or of any, in use or not. Whether there was one.
    pub(crate) fn damage(&mut self, random: &mut Random) -> bool {
        const BLOCK: usize = 4096;
        let mut batches: Vec<(u64, String, usize)> = Vec::new();
        for name in self.disk.names() {
            let content = self.disk.content(&name).unwrap_or_default();
            for (block, bytes) in content.chunks_exact(BLOCK).enumerate() {
                if let Some(number) = bytes[24..].first_chunk()
                    && bytes.starts_with(b"BATC")
                {
                    batches.push((u64::from_le_bytes(*number), name.clone(), block * BLOCK));
                }
            }
        }
        batches.sort();
        let newest = batches.len().saturating_sub(2)..batches.len();
        if batches.is_empty() {
            return false;
        }
        let (_, name, offset) = match random.permille(300) {
            true => random.pick(&batches[newest]),
            false => random.pick(&batches),
        };
        // The header, its records or the zeros behind them.
        let at = *offset as u64 + random.below(512);
        self.disk.corrupt(name, at, 1 << random.below(8));
        true
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

    pub(crate) fn read(
        &self,
        group: usize,
        low: u64,
        high: u64,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, String> {
        let Some((_, reader)) = &self.open else {
            return Ok(Vec::new());
        };
        store::read_back(reader, group::wal_id(group), low, high, bytes_max as u64)
            .map_err(|error| error.to_string())
    }
}
