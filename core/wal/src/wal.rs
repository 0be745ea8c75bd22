//! The log: opening, writing, syncing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::batch::Batch;
use crate::directory::{Directory, File};
use crate::entry::Position;
use crate::error::{Error, is_full};
use crate::files::{Files, Spare};
use crate::format::{
    BATCH_HEADER_BYTES, BATCHES_BEGIN, BLOCK, BatchHeader, COUNT_MAX, Seed, digest, seal_record,
    segment_bytes_valid,
};
use crate::index::{Index, Location, Segment};
use crate::maintain::Cursor;
use crate::reader::Reader;
use crate::recovery::{Chain, Recovery, load, replay};
use crate::stats::Stats;
use crate::validate::validate;

/// How a log is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The size of new segments: a multiple of 4096 between 16 KiB and 1 GiB. A batch must fit into one.
    pub segment_bytes: u32,
    /// Goes into the checksums of new segments. With a random one nobody can make an entry that looks like a batch of the log.
    pub salt: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes: 64 << 20,
            salt: 0,
        }
    }
}

/// What readers and the writer share.
pub(crate) struct Shared<F> {
    index: RwLock<Index<F>>,
    pub failed: AtomicBool,
}

impl<F> Shared<F> {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Index<F>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Index<F>> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the next batch goes.
struct Tail<F> {
    sequence: u64,
    file: Arc<F>,
    seed: Seed,
    bytes: u32,
    offset: u32,
}

impl<F> Tail<F> {
    fn at(segment: &Segment<F>, offset: u32) -> Tail<F> {
        Tail {
            sequence: segment.sequence,
            file: segment.file.clone(),
            seed: segment.seed,
            bytes: segment.bytes,
            offset,
        }
    }
}

/// What a batch may take of the segments that are ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Leaves the reserve untouched.
    Entries,
    /// May use the reserve, but for what openings need.
    Reserve,
    /// May use everything: a log on a full disk must open, or nobody could compact it.
    Opening,
}

/// How many openings a log survives after its reserve is used up.
const OPENINGS: u32 = 16;

/// The log that all groups of a node share. One thread drives it; [`Reader`]s read from others.
pub struct Wal<D: Directory> {
    pub(crate) files: Files<D>,
    pub(crate) shared: Arc<Shared<D::File>>,
    tail: Tail<D::File>,
    /// The last batch written.
    pub(crate) chain: Chain,
    /// Up to where everything is durable, and the head that is.
    mark: Position,
    pub(crate) durable_head: u64,
    unsynced: Vec<Arc<D::File>>,
    failure: Option<String>,
    pub(crate) cursor: Cursor,
    /// How much may be rewritten: twice what was written, less what was rewritten for it.
    pub(crate) credit_bytes: u64,
    pub(crate) counts: Stats,
}

impl<D: Directory> Wal<D> {
    /// Opens the log of a directory, or makes one in an empty directory. What it returns is durable, all of it.
    pub fn open(directory: D, options: Options) -> Result<(Wal<D>, Recovery), Error> {
        if !segment_bytes_valid(options.segment_bytes) {
            return Err(Error::SegmentBytes(options.segment_bytes));
        }
        let mut files = Files::new(directory, options);
        let mut recovery = Recovery::default();
        let segments = load(&mut files, &mut recovery)?;
        let mut found = replay(&mut files, segments, recovery)?;
        let failed = |what: &'static str| {
            move |error: std::io::Error| Error::Failed(format!("{what}: {error}"))
        };
        let chain = found.chain.unwrap_or(Chain {
            head: 1,
            ..Chain::default()
        });
        if chain.number >= COUNT_MAX || found.epoch_max >= COUNT_MAX {
            return Err(Error::Corrupt {
                file: "the directory".into(),
                segment: found.end.segment,
                offset: found.end.offset.into(),
                what: "a batch number or epoch that no log reaches".into(),
            });
        }
        let synced = files.directory.sync();
        synced.map_err(failed("opening cannot sync the directory"))?;
        while let Some(segment) = found.index.segments.0.back()
            && segment.sequence > found.end.segment
        {
            files.next.extend(found.index.segments.0.pop_back());
        }
        files.next.make_contiguous().reverse();
        let tail = match found.index.segments.0.back() {
            Some(segment) => Tail::at(segment, found.end.offset),
            None => {
                files
                    .fill(u64::MAX)
                    .map_err(failed("making the first segment"))?;
                files
                    .prepare(1)
                    .map_err(failed("making the first segment"))?;
                let Some(segment) = files.next.pop_front() else {
                    return Err(Error::Full);
                };
                let tail = Tail::at(&segment, BATCHES_BEGIN);
                found.index.segments.0.push_back(segment);
                tail
            }
        };
        let mut wal = Wal {
            files,
            mark: Position {
                segment: tail.sequence,
                offset: tail.offset,
            },
            tail,
            durable_head: chain.head,
            chain: Chain {
                epoch: found.epoch_max + 1,
                ..chain
            },
            shared: Arc::new(Shared {
                index: RwLock::new(found.index),
                failed: AtomicBool::new(false),
            }),
            unsynced: Vec::new(),
            failure: None,
            cursor: Cursor::default(),
            // Two passes over the log.
            credit_bytes: u64::MAX / 2,
            counts: Stats::default(),
        };
        if let Some(torn) = &found.recovery.torn {
            wal.counts.torn_batches = torn.batches;
            wal.counts.torn_bytes = torn.bytes;
        }
        found.recovery.epoch = wal.chain.epoch;
        let mut opening = Batch::new();
        wal.make_room(opening.bytes(), Room::Opening)?;
        wal.put(&mut opening)?;
        wal.sync()?;
        // The reserve is there from the start, or the log knows that the disk is full.
        if wal.files.ready() == 0 {
            wal.fill(u64::MAX)?;
        }
        Ok((wal, found.recovery))
    }

    /// Writes a batch and empties it. It is durable after the next [`Wal::sync`]; returns where it ends.
    ///
    /// A batch that is refused was not written and stays as it is. Batches without entries go through on a full disk.
    pub fn write(&mut self, batch: &mut Batch) -> Result<Position, Error> {
        self.check()?;
        if let Some((group, what)) = batch.misuse {
            return Err(Error::Misuse { group, what });
        }
        if batch.is_empty() {
            return Ok(self.end());
        }
        validate(&self.shared.read(), batch)?;
        let room = if batch.entries > 0 {
            Room::Entries
        } else {
            Room::Reserve
        };
        let bytes = batch.bytes();
        self.make_room(bytes, room)?;
        self.put(batch)?;
        self.credit_bytes += 2 * bytes;
        Ok(self.end())
    }

    /// Makes everything that was written durable; returns up to where.
    pub fn sync(&mut self) -> Result<Position, Error> {
        self.check()?;
        if self.unsynced.is_empty() {
            return Ok(self.mark);
        }
        for file in std::mem::take(&mut self.unsynced) {
            if let Err(error) = file.sync() {
                return Err(self.fail(format!("fdatasync: {error}")));
            }
        }
        self.mark = self.end();
        self.durable_head = self.chain.head;
        self.counts.syncs += 1;
        Ok(self.mark)
    }

    /// Where the next batch would begin.
    pub fn end(&self) -> Position {
        Position {
            segment: self.tail.sequence,
            offset: self.tail.offset,
        }
    }

    /// Up to where everything is durable.
    pub fn durable(&self) -> Position {
        self.mark
    }

    /// A handle for reading entries, from any thread.
    pub fn reader(&self) -> Reader<D::File> {
        Reader::new(self.shared.clone())
    }

    /// Counts and sizes.
    pub fn stats(&self) -> Stats {
        let index = self.shared.read();
        let used = index
            .segments
            .0
            .iter()
            .map(|segment| u64::from(segment.bytes));
        Stats {
            live_bytes: index.segments.live_bytes(),
            disk_bytes: used.sum::<u64>() + self.files.bytes(),
            segments: index.segments.0.len() as u64,
            spares: self.files.ready() as u64,
            full: self.files.full,
            ..self.counts
        }
    }

    pub(crate) fn is_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.failure {
            Some(failure) => Err(Error::Failed(failure.clone())),
            None => Ok(()),
        }
    }

    /// After a failed write or sync the kernel may have dropped what it could not write, so trying again proves nothing.
    pub(crate) fn fail(&mut self, failure: String) -> Error {
        self.shared.failed.store(true, Ordering::Release);
        self.failure = Some(failure.clone());
        Error::Failed(failure)
    }

    /// Goes on with the file that is being made.
    pub(crate) fn fill(&mut self, budget_bytes: u64) -> Result<u64, Error> {
        let spares = self.files.spares.len();
        let spent = self.files.fill(budget_bytes);
        self.counts.files_made += (self.files.spares.len() - spares) as u64;
        spent.map_err(|error| self.fail(format!("making a segment: {error}")))
    }

    /// Makes sure that the tail has room, by going on to the next segment if need be.
    pub(crate) fn make_room(&mut self, bytes: u64, room: Room) -> Result<(), Error> {
        let max = u64::from(self.files.options.segment_bytes - BATCHES_BEGIN);
        if bytes > max {
            return Err(Error::TooLarge { bytes, max });
        }
        let fits = u64::from(self.tail.offset) + bytes <= u64::from(self.tail.bytes);
        let wanted = match room {
            Room::Entries => 1,
            Room::Reserve if self.files.ready() == 0 && !self.leaves_openings(bytes) => 1,
            Room::Reserve | Room::Opening => 0,
        } + usize::from(!fits);
        if self.files.ready() < wanted && !self.files.full {
            self.counts.stalls += 1;
            while self.files.ready() < wanted && !self.files.full {
                self.fill(u64::MAX)?;
            }
        }
        if self.files.ready() < wanted {
            self.counts.refused_full += 1;
            return Err(Error::Full);
        }
        if fits { Ok(()) } else { self.go_on(bytes) }
    }

    fn leaves_openings(&self, bytes: u64) -> bool {
        let kept = (OPENINGS * BLOCK).min(self.tail.bytes / 8);
        u64::from(self.tail.offset) + bytes + u64::from(kept) <= u64::from(self.tail.bytes)
    }

    /// Goes on to a segment with room. One that is too small, made under other options, gets an empty batch, so that the
    /// chain runs through it.
    fn go_on(&mut self, bytes: u64) -> Result<(), Error> {
        loop {
            let sequence = self.tail.sequence + 1;
            if self.files.next.is_empty() {
                self.counts.stalls += 1;
                self.prepare(sequence)?;
            }
            let Some(segment) = self.files.next.pop_front() else {
                return Err(Error::Full);
            };
            assert_eq!(segment.sequence, sequence, "segments follow each other");
            self.tail = Tail::at(&segment, BATCHES_BEGIN);
            self.shared.write().segments.0.push_back(segment);
            if u64::from(self.tail.offset) + bytes <= u64::from(self.tail.bytes) {
                return Ok(());
            }
            self.put(&mut Batch::new())?;
        }
    }

    pub(crate) fn prepare(&mut self, sequence: u64) -> Result<bool, Error> {
        let prepared = self.files.prepare(sequence);
        prepared.map_err(|error| self.fail(format!("preparing a segment: {error}")))
    }

    /// Writes a batch for which there is room.
    pub(crate) fn put(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let offset = self.tail.offset;
        let seed = self.tail.seed;
        let places: Vec<(usize, usize)> =
            batch.records().map(|(_, at, bytes)| (at, bytes)).collect();
        let mut sum = 0;
        for &(at, bytes) in &places {
            let record = &mut batch.bytes[at..at + bytes];
            sum = digest(sum, seal_record(record, seed, offset + at as u32));
        }
        let head = self
            .shared
            .read()
            .segments
            .0
            .front()
            .map(|first| first.sequence);
        let mut header = BatchHeader {
            checksum: 0,
            previous: self.chain.checksum,
            digest: sum,
            body_bytes: (batch.bytes.len() - BATCH_HEADER_BYTES) as u32,
            records: batch.records,
            number: self.chain.number + 1,
            epoch: self.chain.epoch,
            head: head.unwrap_or(self.chain.head),
            mark: self.mark,
        };
        let sealed = header.seal(seed, offset);
        batch.bytes[..BATCH_HEADER_BYTES].copy_from_slice(&sealed);
        let bytes = batch.bytes();
        let used = batch.bytes.len();
        batch.bytes.resize(bytes as usize, 0);
        let written = self.tail.file.write_at(&batch.bytes, offset.into());
        batch.bytes.truncate(used);
        if let Err(error) = written {
            // Room was made beforehand, so a full disk is a failure here like any other.
            let full = if is_full(&error) {
                ", on space that was reserved"
            } else {
                ""
            };
            return Err(self.fail(format!("write of a batch{full}: {error}")));
        }
        {
            let mut index = self.shared.write();
            for ((record, _, _), &(at, bytes)) in batch.records().zip(&places) {
                let location = Location {
                    segment: self.tail.sequence as u32,
                    offset: offset + at as u32,
                    bytes: bytes as u32,
                };
                let applied = index.apply(&record, location);
                assert!(applied.is_ok(), "the batch was validated: {applied:?}");
            }
        }
        self.tail.offset += bytes as u32;
        let file = &self.tail.file;
        if !self.unsynced.iter().any(|other| Arc::ptr_eq(other, file)) {
            self.unsynced.push(file.clone());
        }
        self.chain = Chain::of(&header);
        self.counts.batches += 1;
        self.counts.written_bytes += bytes;
        batch.clear();
        Ok(())
    }

    /// The file that leaves the log with the head's advance.
    pub(crate) fn free_head(&mut self) -> bool {
        let mut index = self.shared.write();
        let segments = &mut index.segments.0;
        if segments.len() < 2 || segments[0].live_bytes > 0 {
            return false;
        }
        let Some(segment) = segments.pop_front() else {
            return false;
        };
        let spare = Spare {
            name: segment.name,
            file: segment.file,
            bytes: segment.bytes,
        };
        self.files.leaving.push_back((segment.sequence + 1, spare));
        self.counts.segments_freed += 1;
        true
    }
}
