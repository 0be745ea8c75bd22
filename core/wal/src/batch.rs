//! A batch: what is written at once, and recovered whole or not at all.

use crate::entry::{Entry, GroupId};
use crate::format::{BATCH_HEADER_BYTES, Record, Tag, padded};

const VOTE_BYTES_MAX: usize = 255;

/// Gathers changes of any number of groups. After [`Wal::write`](crate::Wal::write) took it, it is empty again and keeps its
/// memory.
#[derive(Debug)]
pub struct Batch {
    /// Room for the header, then the records.
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u32,
    pub(crate) entries: u32,
    pub(crate) misuse: Option<(GroupId, &'static str)>,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch {
            bytes: vec![0; BATCH_HEADER_BYTES],
            records: 0,
            entries: 0,
            misuse: None,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.misuse.is_none()
    }

    /// What it takes on disk.
    pub fn bytes(&self) -> u64 {
        padded(self.bytes.len() as u64)
    }

    /// Empties it; its memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(BATCH_HEADER_BYTES, 0);
        self.records = 0;
        self.entries = 0;
        self.misuse = None;
    }

    /// Sets the group's term and vote. The vote is at most 255 bytes.
    pub fn hard_state(&mut self, group: GroupId, term: u64, vote: &[u8]) {
        if vote.len() > VOTE_BYTES_MAX {
            self.misuse = Some((group, "a vote is longer than 255 bytes"));
            return;
        }
        self.change(Tag::HardState, group, 0, term, vote);
    }

    /// Replaces everything of the group from `first_index` on; without entries it only truncates.
    pub fn append(&mut self, group: GroupId, first_index: u64, entries: &[Entry]) {
        if entries.is_empty() {
            self.change(Tag::Truncate, group, first_index, 0, &[]);
        }
        for (entry, nth) in entries.iter().zip(0..) {
            if first_index.checked_add(nth) != Some(entry.index) {
                self.misuse = Some((group, "the entries do not count up from the first index"));
                return;
            }
            if u32::try_from(entry.data.len()).is_err() {
                self.misuse = Some((group, "an entry has 4 GiB or more"));
                return;
            }
            self.push(&Record {
                tag: Tag::Entry,
                kind: entry.kind,
                group,
                index: entry.index,
                term: entry.term,
                data: &entry.data,
            });
            self.entries += 1;
        }
    }

    /// Drops the entries up to `index`; `term` is that of the entry there. No effect if they are gone already.
    pub fn compact(&mut self, group: GroupId, index: u64, term: u64) {
        self.change(Tag::Compact, group, index, term, &[]);
    }

    /// Drops all entries; the log goes on at `index + 1`, as after a snapshot of that state.
    pub fn reset(&mut self, group: GroupId, index: u64, term: u64) {
        self.change(Tag::Reset, group, index, term, &[]);
    }

    /// Forgets the group, its hard state too.
    pub fn remove(&mut self, group: GroupId) {
        self.change(Tag::Remove, group, 0, 0, &[]);
    }

    fn change(&mut self, tag: Tag, group: GroupId, index: u64, term: u64, data: &[u8]) {
        self.push(&Record {
            tag,
            kind: 0,
            group,
            index,
            term,
            data,
        });
    }

    pub(crate) fn push(&mut self, record: &Record) {
        record.encode(&mut self.bytes);
        self.records += 1;
    }

    /// The records, each with its place in `bytes`.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Record<'_>, usize, usize)> {
        let mut at = BATCH_HEADER_BYTES;
        std::iter::from_fn(move || {
            let (record, bytes) = Record::decode(&self.bytes[at..])?;
            at += bytes;
            Some((record, at - bytes, bytes))
        })
    }
}
