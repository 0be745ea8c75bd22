//! The checksum that an entry may carry. JRaft's members write and verify it where they are told to
//! (sofastack/sofa-jraft:jraft-core/src/main/java/com/alipay/sofa/jraft/entity/{LogEntry,LogId,Checksum}.java and
//! `RaftOptions.enableLogEntryChecksum`): the exclusive or of the entry's type and the CRC-64s of its place (index and term,
//! eight bytes each, big-endian), of each member's name, and of its data unless that is empty.

use crate::entry::EntryMeta;

/// CRC-64/ECMA-182 as JRaft has it: nothing is reflected, begins at 0, no final exclusive or
/// (sofastack/sofa-jraft:jraft-core/src/main/java/com/alipay/sofa/jraft/util/CRC64.java).
const POLYNOMIAL: u64 = 0x42f0_e1eb_a9ea_3693;

/// `TABLES[n]` carries a byte over the n bytes that follow it, so that eight are looked up at once.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u64) << 56;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc >> 63;
            crc = (crc << 1) ^ (POLYNOMIAL * carry);
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut further = 1;
    while further < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[further - 1][byte];
            tables[further][byte] = (crc << 8) ^ tables[0][(crc >> 56) as usize];
            byte += 1;
        }
        further += 1;
    }
    tables
}

/// JRaft's CRC-64 of `bytes`; 0 of none.
pub fn crc64(bytes: &[u8]) -> u64 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(0, |crc: u64, eight| {
        let crc = (crc ^ u64::from_be_bytes(*eight)).to_be_bytes();
        let looked_up = crc.iter().zip(TABLES.iter().rev());
        looked_up.fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)])
    });
    rest.iter().fold(crc, |crc, byte| {
        (crc << 8) ^ TABLES[0][usize::from((crc >> 56) as u8 ^ byte)]
    })
}

/// The checksum of the entry that stands at `index` and says `meta` and `data`. The names of members count as they are written:
/// JRaft writes them as it hashes them.
pub fn entry_checksum(index: i64, meta: &EntryMeta, data: &[u8]) -> i64 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&index.to_be_bytes());
    place[8..].copy_from_slice(&meta.term.to_be_bytes());
    let members = [
        &meta.peers,
        &meta.old_peers,
        &meta.learners,
        &meta.old_learners,
    ];
    let members = members.into_iter().flatten();
    let members = members.fold(0, |sum, name| sum ^ crc64(name.as_bytes()));
    i64::from(meta.kind) ^ (crc64(&place) ^ members ^ crc64(data)).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry::EntryType;

    /// As CRC64.java has it: one byte at a time.
    fn slow(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |crc, byte| {
            (0..8).fold(crc ^ (u64::from(*byte) << 56), |crc, _| {
                (crc << 1) ^ if crc >> 63 == 1 { POLYNOMIAL } else { 0 }
            })
        })
    }

    fn meta(kind: EntryType, term: i64) -> EntryMeta {
        EntryMeta {
            term,
            kind: kind.into(),
            ..EntryMeta::default()
        }
    }

    /// What JRaft's own CRC64.java says, put together as LogEntry.java does.
    #[test]
    fn jrafts_checksums() {
        assert_eq!(crc64(b"123456789"), 0x6c40_df5f_0b49_7347);
        let thousand: Vec<u8> = (0..1000).map(|nth| (nth * 7) as u8).collect();
        assert_eq!(crc64(&thousand), 0x0e28_3990_c7ea_fa41);
        let data = entry_checksum(5, &meta(EntryType::Data, 1), b"hello");
        assert_eq!(data, 1_190_752_416_463_884_307);
        let no_op = entry_checksum(9, &meta(EntryType::NoOp, 7), b"");
        assert_eq!(no_op, -6_595_071_398_807_758_739);
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let configuration = EntryMeta {
            peers: names(&["127.0.0.1:8701", "127.0.0.1:8702:1", "127.0.0.1:8703::10"]),
            old_peers: names(&["127.0.0.1:8701"]),
            learners: names(&["127.0.0.1:8709"]),
            ..meta(EntryType::Configuration, 3)
        };
        let configuration = entry_checksum(12, &configuration, b"");
        assert_eq!(configuration, 2_021_917_137_460_752_043);
    }

    proptest! {
        #[test]
        fn eight_bytes_at_once_are_the_same(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(crc64(&bytes), slow(&bytes));
        }

        #[test]
        fn one_wrong_bit_is_noticed(
            mut data in prop::collection::vec(any::<u8>(), 1..100), at: prop::sample::Index, bit in 0_u8..8,
        ) {
            let meta = meta(EntryType::Data, 1);
            let before = entry_checksum(1, &meta, &data);
            let at = at.index(data.len());
            data[at] ^= 1 << bit;
            prop_assert_ne!(entry_checksum(1, &meta, &data), before);
        }
    }
}
