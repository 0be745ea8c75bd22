//! Reading entries back, while others are written and synced.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::directory::File;
use crate::entry::{Entry, GroupId, LogPoint};
use crate::error::Error;
use crate::format::{RECORD_HEADER_BYTES, Record, Seed, Tag, record_checksum};
use crate::index::Location;
use crate::wal::Shared;

/// A handle that reads entries; clones are cheap and may be used from any thread.
pub struct Reader<F> {
    shared: Arc<Shared<F>>,
}

impl<F> Clone for Reader<F> {
    fn clone(&self) -> Reader<F> {
        Reader {
            shared: self.shared.clone(),
        }
    }
}

/// Entries that stand side by side in one file.
struct Stretch<F> {
    file: Arc<F>,
    name: String,
    sequence: u64,
    seed: Seed,
    offset: u32,
    bytes: u32,
    records: Vec<(u64, Location)>,
}

impl<F: File> Reader<F> {
    pub(crate) fn new(shared: Arc<Shared<F>>) -> Reader<F> {
        Reader { shared }
    }

    /// The last compacted point and the last entry of the group; both zero if the log does not know it.
    pub fn bounds(&self, group: GroupId) -> (LogPoint, LogPoint) {
        let index = self.shared.read();
        let group = index.groups.get(&group);
        group.map_or_else(Default::default, |group| (group.base, group.last_point()))
    }

    /// The term of an entry or of the compacted point, without touching the disk.
    pub fn term(&self, group: GroupId, index: u64) -> Option<u64> {
        let shared = self.shared.read();
        shared.groups.get(&group)?.term(index)
    }

    /// The entries `from..to`, as many as have `bytes_max` bytes of data, but at least one if there is one to read.
    pub fn read(
        &self,
        group: GroupId,
        range: std::ops::Range<u64>,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, Error> {
        loop {
            if self.shared.failed.load(Ordering::Acquire) {
                let failure = "see the error of the write or sync that failed";
                return Err(Error::Failed(failure.into()));
            }
            let stretches = self.locate(group, range.clone(), bytes_max)?;
            let mut entries = Vec::new();
            let mut damage = None;
            for stretch in &stretches {
                if let Err(error) = stretch.read(group, &mut entries) {
                    damage = Some(error);
                    break;
                }
            }
            match damage {
                None => return Ok(entries),
                // The segment may have been recycled since the entry was looked up; then it stands elsewhere now.
                Some(error) if self.stands(group, &stretches) => return Err(error),
                Some(_) => {}
            }
        }
    }

    fn stands(&self, group: GroupId, stretches: &[Stretch<F>]) -> bool {
        let index = self.shared.read();
        let Some(group) = index.groups.get(&group) else {
            return false;
        };
        let mut records = stretches.iter().flat_map(|stretch| &stretch.records);
        records.all(|&(index, location)| group.location(index) == Some(location))
    }

    fn locate(
        &self,
        id: GroupId,
        range: std::ops::Range<u64>,
        bytes_max: u64,
    ) -> Result<Vec<Stretch<F>>, Error> {
        let index = self.shared.read();
        let mut stretches = Vec::<Stretch<F>>::new();
        if range.is_empty() {
            return Ok(stretches);
        }
        let group = index.groups.get(&id);
        let (compacted, last) = group.map_or((0, 0), |group| (group.base.index, group.last()));
        if range.start <= compacted {
            return Err(Error::Compacted {
                group: id,
                index: range.start,
                compacted,
            });
        }
        let mut bytes = 0;
        for at in range.clone() {
            let location = group.and_then(|group| group.location(at));
            let segment = location.and_then(|location| index.segments.of(location));
            let (Some(location), Some(segment)) = (location, segment) else {
                return Err(Error::Gap {
                    group: id,
                    index: at,
                    last,
                });
            };
            bytes += u64::from(location.bytes) - RECORD_HEADER_BYTES as u64;
            if bytes > bytes_max && at > range.start {
                break;
            }
            match stretches.last_mut() {
                Some(stretch)
                    if stretch.sequence == segment.sequence
                        && stretch.offset + stretch.bytes == location.offset =>
                {
                    stretch.bytes += location.bytes;
                    stretch.records.push((at, location));
                }
                _ => stretches.push(Stretch {
                    file: segment.file.clone(),
                    name: segment.name.clone(),
                    sequence: segment.sequence,
                    seed: segment.seed,
                    offset: location.offset,
                    bytes: location.bytes,
                    records: vec![(at, location)],
                }),
            }
        }
        Ok(stretches)
    }
}

impl<F: File> Stretch<F> {
    fn read(&self, group: GroupId, entries: &mut Vec<Entry>) -> Result<(), Error> {
        let mut bytes = vec![0; self.bytes as usize];
        let read = self.file.read_at(&mut bytes, self.offset.into());
        read.map_err(|source| Error::Io {
            operation: "read",
            file: self.name.clone(),
            source,
        })?;
        let bytes = Bytes::from(bytes);
        for &(index, location) in &self.records {
            let from = (location.offset - self.offset) as usize;
            let frame = bytes.slice(from..from + location.bytes as usize);
            let record = checked(&frame, self.seed, location.offset);
            let wanted = |record: &Record| {
                matches!(record.tag, Tag::Entry | Tag::Moved)
                    && (record.group, record.index) == (group, index)
            };
            let Some(record) = record.filter(wanted) else {
                return Err(Error::Corrupt {
                    file: self.name.clone(),
                    segment: self.sequence,
                    offset: location.offset.into(),
                    what: format!("entry {index} of group {group} is not what was written"),
                });
            };
            entries.push(Entry {
                index,
                term: record.term,
                kind: record.kind,
                data: frame.slice(RECORD_HEADER_BYTES..),
            });
        }
        Ok(())
    }
}

/// The record that fills the frame, if its checksum is right.
pub(crate) fn checked(frame: &[u8], seed: Seed, offset: u32) -> Option<Record<'_>> {
    let (record, bytes) = Record::decode(frame)?;
    (bytes == frame.len()).then_some(())?;
    record_checksum(frame, seed, offset)?;
    Some(record)
}
