//! The format on disk.
//!
//! # The log
//! One log per node, cut into segments with consecutive **sequence numbers**. A segment is a file `N.segment`; N is only
//! a name, for the file is recycled: it serves as segment 3, later as segment 9. The log begins at its **head**, the oldest
//! segment that holds anything live, and every segment from there on is there. What is live in the oldest segment is
//! rewritten at the end, and then the head moves on; so a record only ever supersedes older records, and replaying any
//! suffix of the log that begins at the head or before it gives the same state (see `index`).
//!
//! All integers are little-endian. All checksums are CRC-32C.
//!
//! # Segment
//! ```text
//! 0       header, first copy       } each written and synced before the other, so that one is always whole
//! 4096    header, second copy      }
//! 8192    batches, each at a multiple of 4096
//!
//! header: 0 magic "DIWANWAL"  8 checksum u32  12 version u32  16 segment bytes u32  20 zero u32  24 sequence u64
//!         32 salt u64
//!         The checksum is that of bytes 12..40, seeded with the offset of the copy. Sequence 0: a spare.
//! ```
//! A file gets its final name when it is filled with zeros, headed and synced. Filling it makes its blocks real: fallocate
//! alone would leave unwritten extents, and each fdatasync would pay for a journal commit.
//!
//! # Batch
//! ```text
//! 0 magic "BATC"  4 checksum u32  8 checksum of the previous batch u32  12 digest of the records u32
//! 16 body bytes u32  20 records u32  24 number u64  32 epoch u64  40 head u64  48 mark: segment u64  56 mark: offset u32
//! 60 zero u32
//! 64 records, back to back; zeros up to the next multiple of 4096
//! ```
//! - The **checksum** is that of bytes 8..64, seeded with the segment's salt and sequence and the batch's offset: what an
//!   earlier use of the file left behind never validates, nor does what was written to a wrong place. For equal salts the
//!   seeds of two segments are never equal, since a CRC tells any two inputs apart that differ in 32 neighbouring bits only.
//! - The **digest** is the CRC of the records' checksums, so that data is summed once.
//! - **Number** counts batches, and each names the checksum of the one before: the batches of the log are a chain, across
//!   segments too.
//! - **Head** is the first segment that recovery needs once this batch is durable.
//! - **Mark** is the end of the last completed fdatasync. What is damaged below the highest mark of the log had been durable,
//!   so it is corruption. What is damaged above is the torn tail of writes that nobody was told of; it is cut. Damage to
//!   the very last synced batch cannot be told from a torn tail, for nothing behind it says that it was durable.
//! - **Epoch** is that of the opening that wrote the batch. Behind a cut tail there may lie whole batches, whose chain would
//!   fit again if the lost one were written again with the same bytes. So opening syncs what it has found, then writes
//!   an empty batch with the next epoch and syncs it before it writes anything else. From there on a smaller epoch ends
//!   the log, and no two openings share an epoch: a batch of an epoch exists only where that empty one is durable.
//!
//! Why 4096: a batch never shares a block with an older one. The page cache writes whole pages, and many disks have sectors
//! of 4096 bytes behind an interface of 512; a write torn there could damage synced bytes beside it. Padding to 512 would
//! save log space (which recycling makes cheap), but not one byte of what the kernel writes.
//!
//! # Record
//! ```text
//! 0 checksum u32  4 tag u8  5 kind u8  6 zero u16  8 data bytes u32  12 group u64  20 index u64  28 term u64  36 data
//! ```
//! The checksum is that of bytes 4.. to the end of the data, seeded like a batch's with the record's own offset; so one
//! record can be read and checked alone. Tags:
//!
//! | tag | meaning |
//! |---|---|
//! | 1 entry | the entry at `index`; whatever the group had from there on is gone |
//! | 2 moved | the entry at `index` again, rewritten; nothing else changes |
//! | 3 hard state | `term`, data is the vote |
//! | 4 truncate | the entries from `index` on are gone |
//! | 5 compact | the entries up to `index` are gone, and `term` was the last one's |
//! | 6 reset | all entries are gone, the log goes on after (`index`, `term`) |
//! | 7 remove | the group is gone |

use crate::entry::{GroupId, LogPoint, Position};

pub(crate) const VERSION: u32 = 1;
/// What batches are aligned to.
pub(crate) const BLOCK: u32 = 4096;
pub(crate) const HEADER_COPIES: [u32; 2] = [0, BLOCK];
pub(crate) const HEADER_BYTES: usize = 40;
/// Where the first batch of a segment stands.
pub(crate) const BATCHES_BEGIN: u32 = 2 * BLOCK;
pub(crate) const SEGMENT_BYTES_MIN: u32 = 4 * BLOCK;
/// Keeps every offset well within 32 bits.
pub(crate) const SEGMENT_BYTES_MAX: u32 = 1 << 30;
/// No log gets there; what claims more is not ours to count on from.
pub(crate) const SEQUENCE_MAX: u64 = 1 << 48;
pub(crate) const COUNT_MAX: u64 = 1 << 62;
pub(crate) const BATCH_HEADER_BYTES: usize = 64;
pub(crate) const RECORD_HEADER_BYTES: usize = 36;

const SEGMENT_MAGIC: &[u8; 8] = b"DIWANWAL";
const BATCH_MAGIC: &[u8; 4] = b"BATC";

/// The next multiple of [`BLOCK`].
pub(crate) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(u64::from(BLOCK))
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// Callers have looked at the length.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

/// What the checksums of a segment begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn of_segment(salt: u64, sequence: u64) -> Seed {
        let salt = crc32c::crc32c(&salt.to_le_bytes());
        Seed(crc32c::crc32c_append(salt, &sequence.to_le_bytes()))
    }

    /// The checksum of bytes that belong to `offset`.
    pub(crate) fn checksum(self, offset: u32, bytes: &[u8]) -> u32 {
        let seed = crc32c::crc32c_append(self.0, &offset.to_le_bytes());
        crc32c::crc32c_append(seed, bytes)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub segment_bytes: u32,
    /// 0: a spare.
    pub sequence: u64,
    pub salt: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SegmentHeaderError {
    Version(u32),
    Damaged,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, copy_offset: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.segment_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc32c::crc32c_append(copy_offset, &bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(
        bytes: &[u8; HEADER_BYTES],
        copy_offset: u32,
    ) -> Result<SegmentHeader, SegmentHeaderError> {
        let checksum = crc32c::crc32c_append(copy_offset, &bytes[12..]);
        if &bytes[..8] != SEGMENT_MAGIC || u32_at(bytes, 8) != checksum {
            return Err(SegmentHeaderError::Damaged);
        }
        let version = u32_at(bytes, 12);
        if version != VERSION {
            return Err(SegmentHeaderError::Version(version));
        }
        let segment_bytes = u32_at(bytes, 16);
        let sequence = u64_at(bytes, 24);
        if !segment_bytes_valid(segment_bytes) || sequence > SEQUENCE_MAX {
            return Err(SegmentHeaderError::Damaged);
        }
        Ok(SegmentHeader {
            segment_bytes,
            sequence,
            salt: u64_at(bytes, 32),
        })
    }
}

pub(crate) fn segment_bytes_valid(bytes: u32) -> bool {
    bytes.is_multiple_of(BLOCK) && (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchHeader {
    pub checksum: u32,
    pub previous: u32,
    pub digest: u32,
    pub body_bytes: u32,
    pub records: u32,
    pub number: u64,
    pub epoch: u64,
    pub head: u64,
    pub mark: Position,
}

impl BatchHeader {
    /// The bytes of the header; sets its checksum.
    pub(crate) fn seal(&mut self, seed: Seed, offset: u32) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[..4].copy_from_slice(BATCH_MAGIC);
        bytes[8..12].copy_from_slice(&self.previous.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.digest.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.records.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.head.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.mark.segment.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.mark.offset.to_le_bytes());
        self.checksum = seed.checksum(offset, &bytes[8..]);
        bytes[4..8].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// `None`: there is no batch of this segment at this offset. `bytes` are at least [`BATCH_HEADER_BYTES`].
    pub(crate) fn decode(bytes: &[u8], seed: Seed, offset: u32) -> Option<BatchHeader> {
        if &bytes[..4] != BATCH_MAGIC {
            return None;
        }
        let checksum = u32_at(bytes, 4);
        if checksum != seed.checksum(offset, &bytes[8..BATCH_HEADER_BYTES]) {
            return None;
        }
        Some(BatchHeader {
            checksum,
            previous: u32_at(bytes, 8),
            digest: u32_at(bytes, 12),
            body_bytes: u32_at(bytes, 16),
            records: u32_at(bytes, 20),
            number: u64_at(bytes, 24),
            epoch: u64_at(bytes, 32),
            head: u64_at(bytes, 40),
            mark: Position {
                segment: u64_at(bytes, 48),
                offset: u32_at(bytes, 56),
            },
        })
    }

    /// What the batch takes in its segment.
    pub(crate) fn extent_bytes(&self) -> u64 {
        padded(BATCH_HEADER_BYTES as u64 + u64::from(self.body_bytes))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tag {
    Entry = 1,
    Moved = 2,
    HardState = 3,
    Truncate = 4,
    Compact = 5,
    Reset = 6,
    Remove = 7,
}

impl Tag {
    fn decode(byte: u8) -> Option<Tag> {
        Some(match byte {
            1 => Tag::Entry,
            2 => Tag::Moved,
            3 => Tag::HardState,
            4 => Tag::Truncate,
            5 => Tag::Compact,
            6 => Tag::Reset,
            7 => Tag::Remove,
            _ => return None,
        })
    }
}

/// A record without its checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record<'a> {
    pub tag: Tag,
    pub kind: u8,
    pub group: GroupId,
    pub index: u64,
    pub term: u64,
    pub data: &'a [u8],
}

impl<'a> Record<'a> {
    pub(crate) fn point(&self) -> LogPoint {
        LogPoint {
            index: self.index,
            term: self.term,
        }
    }

    /// Appends the record with room for its checksum, which [`seal_record`] sets. `data` is below 4 GiB.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[self.tag as u8, self.kind, 0, 0]);
        out.extend_from_slice(&(self.data.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.group.0.to_le_bytes());
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.term.to_le_bytes());
        out.extend_from_slice(self.data);
    }

    /// The record at the front and how long it is; the checksum is not looked at. `None`: there is no whole record.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<(Record<'a>, usize)> {
        let head = bytes.get(..RECORD_HEADER_BYTES)?;
        let data_bytes = usize::try_from(u32_at(head, 8)).ok()?;
        let end = RECORD_HEADER_BYTES.checked_add(data_bytes)?;
        let data = bytes.get(RECORD_HEADER_BYTES..end)?;
        if u16_at(head, 6) != 0 {
            return None;
        }
        let record = Record {
            tag: Tag::decode(head[4])?,
            kind: head[5],
            group: GroupId(u64_at(head, 12)),
            index: u64_at(head, 20),
            term: u64_at(head, 28),
            data,
        };
        Some((record, end))
    }
}

/// Sets the checksum of a whole record that stands at `offset`.
pub(crate) fn seal_record(bytes: &mut [u8], seed: Seed, offset: u32) -> u32 {
    let checksum = seed.checksum(offset, &bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

/// The checksum of a whole record, if it is right.
pub(crate) fn record_checksum(bytes: &[u8], seed: Seed, offset: u32) -> Option<u32> {
    let checksum = u32_at(bytes, 0);
    (checksum == seed.checksum(offset, &bytes[4..])).then_some(checksum)
}

/// The digest of the records so far with one more checksum.
pub(crate) fn digest(digest: u32, checksum: u32) -> u32 {
    crc32c::crc32c_append(digest, &checksum.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_are_read_as_written(
            sequence in 0..SEQUENCE_MAX, salt: u64, number: u64, epoch: u64, head: u64, segment: u64, offset: u32,
            previous: u32, digest: u32, blocks in 4u32..1000,
        ) {
            let header = SegmentHeader { segment_bytes: blocks * BLOCK, sequence, salt };
            let [first, second] = HEADER_COPIES;
            let bytes = header.encode(first);
            prop_assert_eq!(SegmentHeader::decode(&bytes, first), Ok(header));
            prop_assert_eq!(SegmentHeader::decode(&bytes, second), Err(SegmentHeaderError::Damaged));

            let mark = Position { segment, offset };
            let mut header = BatchHeader {
                checksum: 0, previous, digest, body_bytes: blocks, records: 3, number, epoch, head, mark,
            };
            let seed = Seed::of_segment(salt, sequence);
            let bytes = header.seal(seed, BATCHES_BEGIN);
            prop_assert_eq!(BatchHeader::decode(&bytes, seed, BATCHES_BEGIN), Some(header));
            // Neither at another place, nor in the segment's next life.
            prop_assert_eq!(BatchHeader::decode(&bytes, seed, BATCHES_BEGIN + BLOCK), None);
            let next = Seed::of_segment(salt, sequence + 1);
            prop_assert_eq!(BatchHeader::decode(&bytes, next, BATCHES_BEGIN), None);
        }

        #[test]
        fn records_are_read_as_written(
            tag in 1u8..8, kind: u8, group: u64, index: u64, term: u64, data: Vec<u8>, bit: prop::sample::Index,
        ) {
            let tag = Tag::decode(tag).unwrap();
            let record = Record { tag, kind, group: GroupId(group), index, term, data: &data };
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            prop_assert_eq!(Record::decode(&bytes), Some((record, bytes.len())));
            prop_assert_eq!(Record::decode(&bytes[..bytes.len() - 1]), None);
            let seed = Seed::of_segment(1, 1);
            let checksum = seal_record(&mut bytes, seed, 9000);
            prop_assert_eq!(record_checksum(&bytes, seed, 9000), Some(checksum));
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(record_checksum(&bytes, seed, 9000), None);
        }
    }
}
