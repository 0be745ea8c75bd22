//! Zstandard. Java's side asks a frame's head how long its content is, and makes room for just that: so the head says it.
//! Source: apache/incubator-seata:compressor/seata-compressor-zstd/src/main/java/org/apache/seata/compressor/zstd/ZstdUtil.java.

use std::io::Read;

use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::BODY_BYTES_MAX;

/// Four bytes of magic, then the descriptor, then the window's.
const DESCRIPTOR: usize = 4;
const HEAD_BYTES: usize = 6;
/// In the descriptor: the content's size is there, in four bytes.
const SIZE_IN_FOUR_BYTES: u8 = 0b1000_0000;
/// In the descriptor: the content's size, whether there is no window, and the dictionary.
const SIZE_WINDOW_DICTIONARY: u8 = 0b1110_0011;

pub(super) fn reader(bytes: &[u8]) -> Result<impl Read, String> {
    StreamingDecoder::new_with_max_window_size(bytes, BODY_BYTES_MAX as u64)
        .map_err(|error| error.to_string())
}

pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>) {
    let mut frame = compress_to_vec(bytes, CompressionLevel::Fastest);
    let size = u32::try_from(bytes.len());
    // The encoder leaves the size out; see RFC 8878, 3.1.1.1.
    if let (Ok(size), Some(descriptor)) = (size, frame.get_mut(DESCRIPTOR))
        && *descriptor & SIZE_WINDOW_DICTIONARY == 0
    {
        *descriptor |= SIZE_IN_FOUR_BYTES;
        out.extend(&frame[..HEAD_BYTES]);
        out.extend(size.to_le_bytes());
        out.extend(&frame[HEAD_BYTES..]);
    } else {
        out.extend(frame);
    }
}
