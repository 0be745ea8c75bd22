//! How many fields a message may have: an empty entry is two bytes in a frame and more than a hundred in memory, so that
//! the length of a frame alone bounds nothing.

use bytes::Buf as _;
use prost::encoding::{WireType, decode_key, decode_varint};

/// Messages with more fields than this are refused. The largest list of snapshot files has fewer.
pub(crate) const FIELDS_MAX: usize = 400_000;

/// Whether `content` has at most `FIELDS_MAX` fields, with those of the messages inside, which have one of the numbers
/// `nested`. Damage is for the decoder to find.
pub(crate) fn are_few(content: &[u8], nested: &[u32]) -> bool {
    // A field has two bytes and more.
    if content.len() / 2 <= FIELDS_MAX {
        return true;
    }
    let mut left = FIELDS_MAX;
    count(content, nested, &mut left).is_some()
}

fn count(mut content: &[u8], nested: &[u32], left: &mut usize) -> Option<()> {
    while let Ok((number, wire_type)) = decode_key(&mut content) {
        *left = left.checked_sub(1)?;
        let bytes = match wire_type {
            WireType::Varint => {
                if decode_varint(&mut content).is_err() {
                    break;
                }
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => match decode_varint(&mut content) {
                Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
                Err(_) => break,
            },
            WireType::StartGroup | WireType::EndGroup => 0,
        };
        let Some(inner) = content.get(..bytes) else {
            break;
        };
        if wire_type == WireType::LengthDelimited && nested.contains(&number) {
            count(inner, &[], left)?;
        }
        content.advance(bytes);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Message, MetaError, SnapshotFiles};

    const APPEND: &[u8] = b"com.alipay.sofa.jraft.rpc.RpcRequests$AppendEntriesRequest";

    #[test]
    fn small_frames_do_not_become_large_messages() {
        let entries = |count: usize| Bytes::from(b"\x3a\x00".repeat(count));
        assert!(Message::decode(APPEND, entries(FIELDS_MAX)).is_ok());
        assert!(Message::decode(APPEND, entries(FIELDS_MAX + 1)).is_err());
        // As many names within one entry.
        let mut names = b"\x3a\x82\xea\x30".to_vec();
        names.extend(b"\x1a\x00".repeat(FIELDS_MAX + 1));
        assert_eq!(names.len(), 4 + 800_002);
        assert!(Message::decode(APPEND, names.into()).is_err());
        let files = Bytes::from(b"\x12\x00".repeat(FIELDS_MAX + 1));
        assert!(matches!(
            SnapshotFiles::read(files),
            Err(MetaError::Damaged(_))
        ));
    }

    #[test]
    fn data_is_no_fields() {
        let mut content = b"\x4a\x80\x80\x80\x04".to_vec();
        content.resize(5 + (8 << 20), 0x08);
        assert!(Message::decode(APPEND, content.into()).is_ok());
    }
}
