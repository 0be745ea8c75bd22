//! Upkeep between batches: live records of the oldest segment are rewritten at the end so that it can be used again, and
//! the next segment is made ready ahead of use.
//!
//! Used segments stay within twice the live bytes and two segments more; with the next one and the reserve that makes four.
//! Since at least half of what is used is then dead, rewriting never costs more than was written.

use std::sync::Arc;

use crate::batch::Batch;
use crate::directory::{Directory, File};
use crate::entry::GroupId;
use crate::error::Error;
use crate::format::{BATCHES_BEGIN, Record, Seed, Tag};
use crate::index::Location;
use crate::reader::checked;
use crate::wal::{Room, Wal};

/// The next segment and the reserve.
const READY: usize = 2;
/// How much is rewritten in one batch.
const REWRITE_BYTES: u64 = 1 << 20;
/// How many entries are looked at for one batch.
const VISITS_MAX: u64 = 1 << 16;

/// What a call of [`Wal::maintain`] did and left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Maintenance {
    /// What it wrote: rewritten records and prepared space.
    pub written_bytes: u64,
    /// Whether another call has something to do, perhaps after a sync.
    pub more: bool,
    /// Whether there are batches that a [`Wal::sync`] would make durable.
    pub unsynced: bool,
}

/// How far the oldest segment is rewritten.
#[derive(Default)]
pub(crate) struct Cursor {
    segment: u64,
    group: u64,
    index: u64,
}

/// What is live in the oldest segment: something to say again, or an entry to copy.
struct Find {
    group: GroupId,
    tag: Tag,
    index: u64,
    location: Location,
}

impl<D: Directory> Wal<D> {
    /// Does what keeps the log within its bounds, writing about as much as the budget says, and at least one batch if any
    /// is needed. To be called between batches, with some times the bytes of the last one, and when idle for as long as
    /// `more` is set. It never syncs batches; what it has freed can be used after the next [`Wal::sync`].
    pub fn maintain(&mut self, budget_bytes: u64) -> Result<Maintenance, Error> {
        self.check()?;
        let mut spent = 0;
        let mut rewriting = true;
        while rewriting {
            while self.free_head() {}
            rewriting = spent < budget_bytes && self.is_too_long();
            if rewriting {
                match self.rewrite(budget_bytes - spent) {
                    // Every step counts, so that the loop ends.
                    Ok(bytes) => spent += bytes.max(1),
                    Err(Error::Full) => rewriting = false,
                    Err(error) => return Err(error),
                }
            }
        }
        self.files.settle(self.durable_head);
        self.announce()?;
        self.trim()?;
        spent += self.get_ready(budget_bytes.saturating_sub(spent))?;
        Ok(Maintenance {
            written_bytes: spent,
            more: self.has_work(),
            unsynced: self.is_unsynced(),
        })
    }

    fn segment_bytes(&self) -> u64 {
        self.files.options.segment_bytes.into()
    }

    /// Bytes of used segments beyond twice the live ones.
    fn used_beyond_live(&self) -> u64 {
        let index = self.shared.read();
        let segments = index.segments.0.iter();
        let used: u64 = segments.map(|segment| u64::from(segment.bytes)).sum();
        used.saturating_sub(2 * index.segments.live_bytes())
    }

    fn is_too_long(&self) -> bool {
        let several = self.shared.read().segments.0.len() > 1;
        several && self.used_beyond_live() > 2 * self.segment_bytes()
    }

    /// Whether one more file keeps the bound.
    fn may_grow(&self) -> bool {
        let bound = (2 + READY as u64) * self.segment_bytes();
        self.used_beyond_live() + self.files.bytes() + self.segment_bytes() <= bound
    }

    fn is_over_bound(&self) -> bool {
        let bound = (2 + READY as u64) * self.segment_bytes();
        self.used_beyond_live() + self.files.bytes() > bound
    }

    fn has_work(&self) -> bool {
        let short = self.files.ready() < READY;
        self.is_too_long()
            || (self.is_over_bound() && !self.files.leaving.is_empty())
            || (short && (!self.files.leaving.is_empty() || (self.may_grow() && !self.files.full)))
            || (self.files.next.is_empty() && !self.files.spares.is_empty())
    }

    /// Writes a batch that carries the new head, if what left the log is needed and nothing else has said so.
    fn announce(&mut self) -> Result<(), Error> {
        let newest = self.files.leaving.back().map(|(head, _)| *head);
        let unsaid = newest.is_some_and(|head| head > self.chain.head);
        if !unsaid || (self.files.ready() >= READY && self.may_grow()) {
            return Ok(());
        }
        let mut batch = Batch::new();
        match self.make_room(batch.bytes(), Room::Reserve) {
            Ok(()) => self.put(&mut batch),
            Err(Error::Full) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives back spares that are too many, or of another size than new segments have.
    fn trim(&mut self) -> Result<(), Error> {
        loop {
            let odd = |bytes: u32| u64::from(bytes) != self.segment_bytes();
            let odd = self.files.spares.iter().position(|spare| odd(spare.bytes));
            let too_many =
                self.files.ready() > READY && self.is_over_bound() && !self.files.spares.is_empty();
            let Some(nth) = odd.or(too_many.then_some(0)) else {
                return Ok(());
            };
            let spare = self.files.spares.swap_remove(nth);
            let removed = self.files.remove(spare);
            removed.map_err(|error| self.fail(format!("removing a segment: {error}")))?;
            self.counts.files_removed += 1;
        }
    }

    fn get_ready(&mut self, budget_bytes: u64) -> Result<u64, Error> {
        let mut spent = 0;
        // What is about to be freed is cheaper than what is made.
        if self.files.ready() < READY
            && self.files.leaving.is_empty()
            && (self.files.is_filling() || self.may_grow())
        {
            spent = self.fill(budget_bytes.max(1))?;
        } else if self.files.full && self.files.ready() >= READY {
            self.files.full = false;
        }
        if self.files.next.is_empty() {
            let sequence = self.end().segment + 1;
            self.prepare(sequence)?;
        }
        Ok(spent)
    }

    /// Writes a batch of what is live in the oldest segment; returns its size, or what looking for it is worth.
    fn rewrite(&mut self, budget_bytes: u64) -> Result<u64, Error> {
        let segment_max = self.segment_bytes() - u64::from(BATCHES_BEGIN);
        let limit = budget_bytes.min(REWRITE_BYTES).min(segment_max);
        let (finds, file, name, seed) = self.find(limit);
        let mut batch = Batch::new();
        let mut stretch = Stretch::default();
        for (nth, find) in finds.iter().enumerate() {
            match find.tag {
                Tag::Moved => {
                    let frame = stretch.get(&*file, &finds[nth..]);
                    let frame = frame.map_err(|source| Error::Io {
                        operation: "read",
                        file: name.clone(),
                        source,
                    })?;
                    let record = checked(frame, seed, find.location.offset);
                    let Some(record) = record
                        .filter(|record| (record.group, record.index) == (find.group, find.index))
                    else {
                        return Err(Error::Corrupt {
                            file: name,
                            segment: self.cursor.segment,
                            offset: find.location.offset.into(),
                            what: format!(
                                "entry {} of group {} is not what was written",
                                find.index, find.group
                            ),
                        });
                    };
                    batch.push(&Record {
                        tag: Tag::Moved,
                        ..record
                    });
                }
                Tag::Compact => {
                    let base = self.shared.read().groups[&find.group].base;
                    batch.compact(find.group, base.index, base.term);
                }
                _ => {
                    let index = self.shared.read();
                    if let Some((state, _)) = &index.groups[&find.group].hard_state {
                        batch.hard_state(find.group, state.term, &state.vote);
                    }
                }
            }
        }
        if batch.is_empty() {
            return Ok(VISITS_MAX / 16);
        }
        self.make_room(batch.bytes(), Room::Reserve)?;
        let (records, bytes) = (batch.records, batch.bytes());
        self.put(&mut batch)?;
        self.counts.rewrites += u64::from(records);
        self.counts.rewritten_bytes += bytes;
        if let Some(last) = finds.last() {
            self.cursor.group = last.group.0;
            self.cursor.index = match last.tag {
                Tag::Moved => last.index + 1,
                _ => 0,
            };
        }
        Ok(bytes)
    }

    /// What is live in the oldest segment from the cursor on, as much as makes a batch of `limit` bytes; at least one.
    fn find(&mut self, limit: u64) -> (Vec<Find>, Arc<D::File>, String, Seed) {
        let index = self.shared.read();
        let oldest = &index.segments.0[0];
        if self.cursor.segment != oldest.sequence {
            self.cursor = Cursor {
                segment: oldest.sequence,
                ..Cursor::default()
            };
        }
        let sequence = oldest.sequence as u32;
        let mut finds = Vec::new();
        let mut bytes = crate::format::BATCH_HEADER_BYTES as u64;
        let mut visits = 0;
        // Back to the start if nothing more is found.
        let mut cursor = (0, 0);
        'groups: for (&id, group) in index.groups.range(GroupId(self.cursor.group)..) {
            let from = if id.0 == self.cursor.group {
                self.cursor.index
            } else {
                0
            };
            let state = group.hard_state.as_ref().map(|(_, at)| *at);
            let states = [(Tag::HardState, state), (Tag::Compact, group.base_at)];
            let states = states
                .into_iter()
                .filter_map(|(tag, at)| Some((tag, 0, at?)));
            let entries = group.locations(from);
            let entries = entries.map(|(index, at)| (Tag::Moved, index, at));
            for (tag, index, location) in states.chain(entries) {
                visits += 1;
                if location.segment == sequence {
                    let more = u64::from(location.bytes);
                    if !finds.is_empty() && bytes + more > limit {
                        break 'groups;
                    }
                    bytes += more;
                    finds.push(Find {
                        group: id,
                        tag,
                        index,
                        location,
                    });
                }
                if visits >= VISITS_MAX {
                    cursor = (id.0, if tag == Tag::Moved { index + 1 } else { 0 });
                    break 'groups;
                }
            }
        }
        let (file, name, seed) = (oldest.file.clone(), oldest.name.clone(), oldest.seed);
        drop(index);
        if finds.is_empty() {
            (self.cursor.group, self.cursor.index) = cursor;
        }
        (finds, file, name, seed)
    }
}

/// Neighbouring records, read at once.
#[derive(Default)]
struct Stretch {
    offset: u32,
    bytes: Vec<u8>,
}

impl Stretch {
    /// The frame of the first find; reads it together with those of the following finds that stand right behind it.
    fn get<F: File>(&mut self, file: &F, finds: &[Find]) -> std::io::Result<&[u8]> {
        let first = finds[0].location;
        let end = u64::from(self.offset) + self.bytes.len() as u64;
        let known =
            self.offset <= first.offset && u64::from(first.offset) + u64::from(first.bytes) <= end;
        if !known {
            let mut bytes = 0;
            for find in finds {
                if find.tag != Tag::Moved || find.location.offset != first.offset + bytes {
                    break;
                }
                bytes += find.location.bytes;
            }
            self.bytes.resize(bytes as usize, 0);
            self.offset = first.offset;
            file.read_at(&mut self.bytes, first.offset.into())?;
        }
        let from = (first.offset - self.offset) as usize;
        Ok(&self.bytes[from..from + first.bytes as usize])
    }
}
