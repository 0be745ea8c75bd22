//! The files that are not in use: making them, heading them for use, keeping a reserve, giving them back.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::directory::{Directory, File};
use crate::error::is_full;
use crate::format::{HEADER_COPIES, Seed, SegmentHeader};
use crate::index::Segment;
use crate::wal::Options;

/// The name of a file that is being filled; what is found under it after a crash is of no use.
pub(crate) const UNFINISHED: &str = "unfinished";
const SUFFIX: &str = ".segment";
/// How much of a file is filled between two looks at the budget.
const FILL_BYTES: u32 = 128 << 10;

/// The number in a segment file's name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

/// A whole file that the log does not need.
#[derive(Debug)]
pub(crate) struct Spare<F> {
    pub name: String,
    pub file: Arc<F>,
    pub bytes: u32,
}

struct Unfinished<F> {
    file: F,
    filled: u32,
}

pub(crate) struct Files<D: Directory> {
    pub directory: D,
    pub options: Options,
    /// Headed with the sequence numbers behind the tail's, and synced.
    pub next: VecDeque<Segment<D::File>>,
    pub spares: Vec<Spare<D::File>>,
    /// Left the log at the given head, which is not durable yet: a crash may bring them back.
    pub leaving: VecDeque<(u64, Spare<D::File>)>,
    unfinished: Option<Unfinished<D::File>>,
    pub number_next: u64,
    /// The last try to make a file found no room.
    pub full: bool,
}

impl<D: Directory> Files<D> {
    pub(crate) fn new(directory: D, options: Options) -> Files<D> {
        Files {
            directory,
            options,
            next: VecDeque::new(),
            spares: Vec::new(),
            leaving: VecDeque::new(),
            unfinished: None,
            number_next: 1,
            full: false,
        }
    }

    /// How many segments the log can go on into.
    pub(crate) fn ready(&self) -> usize {
        self.next.len() + self.spares.len()
    }

    pub(crate) fn is_filling(&self) -> bool {
        self.unfinished.is_some()
    }

    /// All bytes on disk but those of the log itself.
    pub(crate) fn bytes(&self) -> u64 {
        let next = self.next.iter().map(|segment| u64::from(segment.bytes));
        let spares = self.spares.iter().map(|spare| u64::from(spare.bytes));
        let leaving = self.leaving.iter().map(|(_, file)| u64::from(file.bytes));
        let unfinished = self.unfinished.as_ref();
        let unfinished = unfinished.map_or(0, |_| u64::from(self.options.segment_bytes));
        next.sum::<u64>() + spares.sum::<u64>() + leaving.sum::<u64>() + unfinished
    }

    /// Goes on making a spare, as far as the budget reaches; returns what it wrote. `full` tells whether room ran out,
    /// and a later call goes on where this one stopped.
    pub(crate) fn fill(&mut self, budget_bytes: u64) -> io::Result<u64> {
        let mut spent = 0;
        match self.fill_within(budget_bytes, &mut spent) {
            Ok(()) => self.full = false,
            Err(error) if is_full(&error) => self.full = true,
            Err(error) => return Err(error),
        }
        Ok(spent)
    }

    fn fill_within(&mut self, budget_bytes: u64, spent: &mut u64) -> io::Result<()> {
        let segment_bytes = self.options.segment_bytes;
        if self.unfinished.is_none() {
            let file = self.directory.create(UNFINISHED)?;
            self.unfinished = Some(Unfinished { file, filled: 0 });
        }
        let Some(unfinished) = &mut self.unfinished else {
            return Ok(());
        };
        let zeros = vec![0; FILL_BYTES.min(segment_bytes) as usize];
        while unfinished.filled < segment_bytes {
            if *spent >= budget_bytes {
                // Synced piece by piece, for one large sync would hold up the batches that wait behind it.
                return unfinished.file.sync();
            }
            let bytes = FILL_BYTES.min(segment_bytes - unfinished.filled);
            let zeros = &zeros[..bytes as usize];
            unfinished.file.write_at(zeros, unfinished.filled.into())?;
            unfinished.filled += bytes;
            *spent += u64::from(bytes);
        }
        let header = SegmentHeader {
            segment_bytes,
            sequence: 0,
            salt: self.options.salt,
        };
        for copy in HEADER_COPIES {
            unfinished
                .file
                .write_at(&header.encode(copy), copy.into())?;
        }
        unfinished.file.sync()?;
        let name = format!("{:08}{SUFFIX}", self.number_next);
        self.directory.rename(UNFINISHED, &name)?;
        self.directory.sync()?;
        self.number_next += 1;
        if let Some(Unfinished { file, .. }) = self.unfinished.take() {
            self.spares.push(Spare {
                name,
                file: Arc::new(file),
                bytes: segment_bytes,
            });
        }
        Ok(())
    }

    /// Heads a spare with the sequence number behind all others. Whether there was one.
    pub(crate) fn prepare(&mut self, sequence: u64) -> io::Result<bool> {
        let Some(spare) = self.spares.pop() else {
            return Ok(false);
        };
        let salt = self.options.salt;
        let header = SegmentHeader {
            segment_bytes: spare.bytes,
            sequence,
            salt,
        };
        for copy in HEADER_COPIES {
            spare.file.write_at(&header.encode(copy), copy.into())?;
            spare.file.sync()?;
        }
        self.next.push_back(Segment {
            sequence,
            name: spare.name,
            file: spare.file,
            seed: Seed::of_segment(salt, sequence),
            bytes: spare.bytes,
            live_bytes: 0,
        });
        Ok(true)
    }

    /// What left the log before `head` is a spare as soon as that head is durable.
    pub(crate) fn settle(&mut self, durable_head: u64) {
        while let Some((head, _)) = self.leaving.front()
            && *head <= durable_head
        {
            if let Some((_, spare)) = self.leaving.pop_front() {
                self.spares.push(spare);
            }
        }
    }

    /// Removes spares that are too many or of another size.
    pub(crate) fn remove(&mut self, spare: Spare<D::File>) -> io::Result<()> {
        self.directory.remove(&spare.name)?;
        self.directory.sync()
    }
}
