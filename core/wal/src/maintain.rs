//! Upkeep between batches: live records of the oldest segment are rewritten at the end so that it can be used again, and
//! the next segment is made ready ahead of use.
//!
//! Used segments stay within twice the live bytes and two segments more; with the next one and the reserve that makes four.
//! Waiting until that bound is reached would be too late if the oldest segments are all live, for rewriting them frees nothing
//! until the first dead bytes come. So [`Wal::excess_bytes`] looks ahead: if from now on as much is rewritten as is written,
//! will the bound hold all the way? While the answer is yes nothing is rewritten, and what dies by itself in the order in
//! which it was written never is. Otherwise rewriting keeps pace with writing; where segments are few
//! it may take twice as much, never more.

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
/// Less than this is not worth a batch, unless a segment is small.
const REWRITE_BYTES_MIN: u64 = 64 << 10;
/// How many entries are looked at for one batch.
const VISITS_MAX: u64 = 1 << 16;

/// What a call of [`Wal::maintain`] did and left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Maintenance {
    /// What it wrote: rewritten records and prepared space.
    pub written_bytes: u64,
    /// Whether another call has something to do now.
    pub more: bool,
    /// Whether another call has something to do after a [`Wal::sync`].
    pub awaits_sync: bool,
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
    /// is needed. To be called between batches, with at least twice the bytes of the last one, and when idle for as long as
    /// it says that there is more. It never syncs batches; what it has freed can be used after the next [`Wal::sync`].
    pub fn maintain(&mut self, budget_bytes: u64) -> Result<Maintenance, Error> {
        self.check()?;
        let mut spent = 0;
        self.credit_bytes = self.credit_bytes.min(2 * self.used_bytes());
        loop {
            while self.free_head() {}
            let excess = self.excess_bytes();
            if excess == 0 || spent >= budget_bytes {
                break;
            }
            let least = self.rewrite_bytes_min();
            let bytes = excess.min(budget_bytes - spent).max(least);
            match self.rewrite(bytes) {
                Ok(bytes) => spent += bytes,
                Err(Error::Full) => break,
                Err(error) => return Err(error),
            }
        }
        self.files.settle(self.durable_head);
        self.announce()?;
        self.trim()?;
        spent += self.get_ready(budget_bytes.saturating_sub(spent))?;
        Ok(Maintenance {
            written_bytes: spent,
            more: self.has_work(),
            awaits_sync: self.awaits_sync(),
        })
    }

    fn segment_bytes(&self) -> u64 {
        self.files.options.segment_bytes.into()
    }

    fn rewrite_bytes_min(&self) -> u64 {
        REWRITE_BYTES_MIN.min(self.segment_bytes() / 16)
    }

    fn used_bytes(&self) -> u64 {
        let index = self.shared.read();
        let segments = index.segments.0.iter();
        segments.map(|segment| u64::from(segment.bytes)).sum()
    }

    /// Bytes of used segments beyond twice the live ones.
    fn used_beyond_live(&self) -> u64 {
        let live = self.shared.read().segments.live_bytes();
        self.used_bytes().saturating_sub(2 * live)
    }

    /// How much has to be rewritten now so that the bound holds in the worst case, in which nothing live dies and as much is
    /// written as is rewritten.
    fn excess_bytes(&self) -> u64 {
        let index = self.shared.read();
        let segments = &index.segments.0;
        let Some(tail) = segments.back().filter(|_| segments.len() > 1) else {
            return 0;
        };
        let unused = u64::from(tail.bytes - self.end().offset);
        let used: u64 = segments
            .iter()
            .map(|segment| u64::from(segment.bytes))
            .sum();
        // Rewriting a segment takes its live bytes twice, for as much is written meanwhile, before it gives back the whole.
        let (mut growth, mut growth_max) = (0, 0);
        for segment in segments.iter().take(segments.len() - 1) {
            growth += 2 * i128::from(segment.live_bytes);
            growth_max = growth_max.max(growth);
            growth -= i128::from(segment.bytes);
        }
        let live = index.segments.live_bytes();
        // In whole segments, less what the end of a segment may lose because a batch does not fit.
        let bound = (2 * live / self.segment_bytes() + 2) * self.segment_bytes();
        let bound = bound - self.segment_bytes() / 8;
        let excess = i128::from(used - unused) + growth_max - i128::from(bound);
        let excess = u64::try_from(excess).unwrap_or_default();
        // Where nothing is gained, as with entries that nearly fill a segment, it must end nevertheless.
        match self.credit_bytes < self.rewrite_bytes_min() {
            true => 0,
            false => excess.min(self.credit_bytes),
        }
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
        let grows = self.files.leaving.is_empty() && self.may_grow() && !self.files.full;
        self.excess_bytes() > 0
            || (short && grows)
            || (self.files.next.is_empty() && !self.files.spares.is_empty())
    }

    fn awaits_sync(&self) -> bool {
        let wanted = self.files.ready() < READY || self.is_over_bound();
        wanted && !self.files.leaving.is_empty() && self.is_unsynced()
    }

    /// Writes a batch that carries the new head, if what left the log is needed and nothing else has said so.
    fn announce(&mut self) -> Result<(), Error> {
        let newest = self.files.leaving.back().map(|(head, _)| *head);
        let unsaid = newest.is_some_and(|head| head > self.chain.head);
        if !unsaid || (self.files.ready() >= READY && self.may_grow()) {
            return Ok(());
        }
        let mut batch = Batch::new();
        // A block that an opening would need becomes a whole segment.
        match self.make_room(batch.bytes(), Room::Opening) {
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
        // What is about to be freed is cheaper than what is made. But on a full disk the batch that frees it may find no room,
        // and nothing be left to rewrite into: then whatever room has come back is taken, bound or not.
        let stuck = self.files.full && (self.files.ready() == 0 || self.files.leaving.is_empty());
        let grows = self.files.leaving.is_empty() && (self.files.is_filling() || self.may_grow());
        if self.files.ready() < READY && (stuck || grows) {
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
        self.make_room(batch.bytes(), self.room_for_rewriting())?;
        let (records, bytes) = (batch.records, batch.bytes());
        self.put(&mut batch)?;
        self.counts.rewrites += u64::from(records);
        self.counts.rewritten_bytes += bytes;
        let moved = finds.iter().map(|find| u64::from(find.location.bytes));
        self.credit_bytes = self.credit_bytes.saturating_sub(moved.sum());
        if let Some(last) = finds.last() {
            self.cursor.group = last.group.0;
            self.cursor.index = match last.tag {
                Tag::Moved => last.index + 1,
                _ => 0,
            };
        }
        Ok(bytes)
    }

    /// On a full disk a segment that is mostly dead may be rewritten into the reserve, which it becomes when that is done;
    /// the rest of the old reserve serves batches without entries meanwhile.
    fn room_for_rewriting(&self) -> Room {
        let index = self.shared.read();
        let oldest = index.segments.0.front();
        let holds = (self.segment_bytes() - u64::from(BATCHES_BEGIN)) / 2;
        match self.files.full && oldest.is_some_and(|oldest| oldest.live_bytes <= holds) {
            true => Room::Reserve,
            false => Room::Entries,
        }
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
            // Too many entries of other segments; or the end, after which it begins anew.
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
