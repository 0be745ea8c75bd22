//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.
//!
//! Two kinds of input, told apart by the first byte: the bytes of segment files as they are, which mostly fail at a checksum;
//! and a description of records and batches, which gets right checksums, so that what a hostile log may say is tried as well.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::format::{
    BATCH_HEADER_BYTES, BATCHES_BEGIN, BLOCK, BatchHeader, HEADER_COPIES, Record, Seed,
    SegmentHeader, Tag, digest, padded, seal_record,
};
use crate::{Batch, Directory, Entry, Error, File, GroupId, Options, Position, Wal};

const OPTIONS: Options = Options {
    segment_bytes: 4 * BLOCK,
    salt: 0,
};
const SEGMENTS_MAX: usize = 4;

/// Whatever the files hold, opening ends with a log that works or a typed error.
pub fn fuzz_segments(data: &[u8]) {
    let (Some(&kind), data) = (data.first(), data.get(1..).unwrap_or_default()) else {
        return;
    };
    let memory = Memory::default();
    let files = match kind % 2 {
        0 => raw(data),
        _ => described(data),
    };
    for (nth, file) in files.into_iter().enumerate() {
        let file = MemoryFile(Arc::new(Mutex::new(file)));
        memory.files().insert(format!("{nth}.segment"), file);
    }
    let (mut wal, recovery) = match Wal::open(memory.clone(), OPTIONS) {
        Ok(opened) => opened,
        Err(Error::Corrupt { .. } | Error::Version { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let read_all = |wal: &Wal<Memory>| {
        let reader = wal.reader();
        for (&id, group) in &recovery.groups {
            let range = group.compacted.index + 1..group.last.index + 1;
            let read = reader.read(id, range.clone(), u64::MAX);
            let read = read.expect("what was recovered can be read");
            assert_eq!(read.len() as u64, range.end - range.start);
        }
    };
    read_all(&wal);
    for _ in 0..100 {
        let done = wal.maintain(1 << 16).expect("nothing fails here");
        if done.awaits_sync {
            wal.sync().expect("nothing fails here");
        } else if !done.more {
            break;
        }
    }
    read_all(&wal);
    wal.sync().expect("nothing fails here");
    let (_, again) = Wal::open(memory, OPTIONS).expect("it was opened before");
    assert_eq!(again.groups, recovery.groups);
    assert_eq!(again.torn, None);
}

/// Inputs to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    let memory = Memory::default();
    let (mut wal, _) = Wal::open(memory.clone(), OPTIONS).expect("memory does not fail");
    let mut batch = Batch::new();
    for index in 1..6 {
        let data = Bytes::from_static(b"some data");
        let (term, kind) = (1, 0);
        batch.hard_state(GroupId(2), index, b"me");
        batch.append(
            GroupId(1),
            index,
            &[Entry {
                index,
                term,
                kind,
                data,
            }],
        );
        if index == 4 {
            batch.compact(GroupId(1), 2, 1);
        }
        wal.write(&mut batch).expect("memory does not fail");
        wal.sync().expect("memory does not fail");
        wal.maintain(1 << 16).expect("memory does not fail");
    }
    let mut raw = vec![0];
    for file in memory.files().values() {
        raw.extend_from_slice(&file.bytes());
    }
    // Entries and a vote; then a log that begins in its second segment, with an entry rewritten.
    let described = b"\x01\x01\x01\x01\x01\x02ab\x01\x01\x02\x01\x00\x03\x02\x00\x07\x01v\xf0\x05\x01\x01\x01\x00\xf0".to_vec();
    let moved = b"\x01\x01\x01\x02\x01\x01x\xf0\xf1\x02\x01\x01\x01\x01y\xf0\x06\x01\x09\x03\x00\x07\x01\x00\x00\x00\xf2\x01\xf0".to_vec();
    vec![raw, described, moved]
}

fn raw(data: &[u8]) -> Vec<Vec<u8>> {
    let files = data.chunks(OPTIONS.segment_bytes as usize);
    files.take(SEGMENTS_MAX).map(<[u8]>::to_vec).collect()
}

/// Segments as a log would have them, with what the description says in them.
struct Description {
    files: Vec<Vec<u8>>,
    offset: u32,
    body: Vec<u8>,
    records: u32,
    header: BatchHeader,
}

impl Description {
    fn seed(&self) -> Seed {
        Seed::of_segment(0, self.files.len() as u64)
    }

    fn segment(&mut self) {
        let mut file = vec![0; OPTIONS.segment_bytes as usize];
        let header = SegmentHeader {
            segment_bytes: OPTIONS.segment_bytes,
            sequence: self.files.len() as u64 + 1,
            salt: 0,
        };
        for copy in HEADER_COPIES {
            let header = header.encode(copy);
            file[copy as usize..][..header.len()].copy_from_slice(&header);
        }
        self.files.push(file);
        self.offset = BATCHES_BEGIN;
    }

    fn batch(&mut self) {
        let mut bytes = vec![0; BATCH_HEADER_BYTES];
        bytes.append(&mut self.body);
        let extent = padded(bytes.len() as u64) as u32;
        if self.offset + extent > OPTIONS.segment_bytes {
            self.records = 0;
            return;
        }
        let seed = self.seed();
        let mut at = BATCH_HEADER_BYTES;
        let mut sum = 0;
        while let Some((_, length)) = Record::decode(&bytes[at..]) {
            let stands_at = self.offset + at as u32;
            sum = digest(
                sum,
                seal_record(&mut bytes[at..at + length], seed, stands_at),
            );
            at += length;
        }
        self.header.previous = self.header.checksum;
        self.header.number = self.header.number.wrapping_add(1);
        self.header.digest = sum;
        self.header.body_bytes = (bytes.len() - BATCH_HEADER_BYTES) as u32;
        self.header.records = std::mem::take(&mut self.records);
        let head = self.header.seal(seed, self.offset);
        bytes[..BATCH_HEADER_BYTES].copy_from_slice(&head);
        if let Some(file) = self.files.last_mut() {
            file[self.offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        self.offset += extent;
    }
}

fn described(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut description = Description {
        files: Vec::new(),
        offset: 0,
        body: Vec::new(),
        records: 0,
        header: BatchHeader {
            checksum: 0,
            previous: 0,
            digest: 0,
            body_bytes: 0,
            records: 0,
            number: 0,
            epoch: 1,
            head: 1,
            mark: Position::default(),
        },
    };
    description.segment();
    let tags = [
        Tag::Entry,
        Tag::Moved,
        Tag::HardState,
        Tag::Truncate,
        Tag::Compact,
        Tag::Reset,
        Tag::Remove,
    ];
    while let Some((&step, rest)) = data.split_first() {
        data = rest;
        let mut number = || {
            let Some((&byte, rest)) = data.split_first() else {
                return 0;
            };
            data = rest;
            // Mostly small, sometimes at the end of what 64 bits hold.
            match byte {
                0xff => u64::MAX,
                0xfe => u64::MAX - 1,
                0xfd => 1 << 62,
                0xfc => 1 << 32,
                _ => u64::from(byte),
            }
        };
        match step {
            0xf0 => description.batch(),
            0xf1 if description.files.len() < SEGMENTS_MAX => description.segment(),
            0xf2 => description.header.head = number(),
            0xf3 => description.header.epoch = number(),
            0xf4 => description.header.number = number(),
            0xf5 => {
                description.header.mark = Position {
                    segment: number(),
                    offset: (number() as u32).wrapping_mul(BLOCK),
                };
            }
            _ => {
                let (group, index, term, bytes) = (number(), number(), number(), number());
                let bytes = usize::try_from(bytes).unwrap_or_default().min(data.len());
                let (content, rest) = data.split_at(bytes);
                data = rest;
                let record = Record {
                    tag: tags[usize::from(step).wrapping_sub(1) % tags.len()],
                    kind: step,
                    group: GroupId(group),
                    index,
                    term,
                    data: content,
                };
                record.encode(&mut description.body);
                description.records += 1;
            }
        }
    }
    description.batch();
    description.files
}

/// A directory in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<String, MemoryFile>>>);

#[derive(Clone)]
struct MemoryFile(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, MemoryFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryFile {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory for Memory {
    type File = MemoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let file = MemoryFile(Arc::default());
        self.files().insert(name.to_owned(), file.clone());
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        let file = self.files().get(name).cloned();
        file.ok_or(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.files().remove(name);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl File for MemoryFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.bytes();
        let from = bytes.get(offset as usize..);
        let from = from.and_then(|from| from.get(..buffer.len()));
        buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = self.bytes();
        let end = offset as usize + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[end - bytes.len()..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn settle(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a described log opens says whether the target gets past the checksums.
    #[test]
    fn seeds_open() {
        for seed in seeds() {
            fuzz_segments(&seed);
        }
        let memory = Memory::default();
        let files = described(&seeds()[1][1..]);
        let file = MemoryFile(Arc::new(Mutex::new(files[0].clone())));
        memory.files().insert("1.segment".into(), file);
        let (_, recovery) = Wal::open(memory, OPTIONS).unwrap();
        assert_eq!(recovery.groups[&GroupId(1)].last.index, 2);
        assert_eq!(recovery.groups.len(), 2);
    }
}
