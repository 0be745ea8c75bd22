//! LZ4: in frames since Seata 2.6, before in blocks that nobody but the library lz4-java writes:
//! ```text
//! "LZ4Block" | token u8 | compressed length u32 | length u32 | checksum u32 | bytes
//! ```
//! Integers are little-endian. The token's upper half is the method (1: as it is, 2: LZ4), the lower one says how long a block may be.
//! A block without bytes ends them.
//! Sources: lz4/lz4-java:src/java/net/jpountz/lz4/{LZ4BlockInputStream,LZ4BlockOutputStream,LZ4FrameInputStream}.java.

use std::io::{Read, Write};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use thiserror::Error;
use twox_hash::XxHash32;

use super::{BODY_BYTES_MAX, CompressionError};

const MAGIC: [u8; 8] = *b"LZ4Block";
const HEAD_BYTES: usize = MAGIC.len() + 13;
const RAW: u8 = 0x10;
const LZ4: u8 = 0x20;
/// Of the shortest block that can be announced.
const LEVEL_ZERO_BITS: u8 = 10;
/// Blocks are written in this level: 64 KiB.
const LEVEL: u8 = 6;
const SEED: u32 = 0x9747_b28c;
/// Java drops the upper four bits.
const CHECKSUM_BITS: u32 = 0x0fff_ffff;

/// What is wrong with a block.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("byte {offset}: {problem}")]
pub struct Lz4Error {
    /// Where the block begins.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: Lz4Problem,
}

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Lz4Problem {
    /// There is less than it says, or no last block.
    #[error("it ends too early")]
    Short,
    /// It does not begin as blocks do.
    #[error("no block begins here")]
    Magic,
    /// Its lengths or its method cannot be.
    #[error("method {token:#04x} with {compressed} bytes for {plain}")]
    Head {
        /// Method and level.
        token: u8,
        /// Length.
        compressed: u32,
        /// Length of what comes out.
        plain: u32,
    },
    /// What it holds is broken.
    #[error("it cannot be decompressed")]
    Broken,
    /// What it holds is something else.
    #[error("the checksum is another")]
    Checksum,
}

/// Of frames.
const FRAME_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// Whether these are not blocks.
pub(super) fn is_frame(bytes: &[u8]) -> bool {
    bytes.starts_with(&FRAME_MAGIC)
}

pub(super) fn frame_reader(bytes: &[u8]) -> impl Read {
    FrameDecoder::new(bytes)
}

pub(super) fn compress_frame(bytes: &[u8], out: &mut Vec<u8>) {
    let mut writer = FrameEncoder::new(&mut *out);
    // Nothing fails that is written to memory.
    let _ = writer.write_all(bytes);
    let _ = writer.finish();
}

pub(super) fn decompress(bytes: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut plain = Vec::new();
    let mut offset = 0;
    loop {
        let error = |problem| Lz4Error { offset, problem };
        let rest = &bytes[offset..];
        let Some(head) = rest.first_chunk::<HEAD_BYTES>() else {
            return Err(error(Lz4Problem::Short).into());
        };
        if !head.starts_with(&MAGIC) {
            return Err(error(Lz4Problem::Magic).into());
        }
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (token, compressed, length, checksum) = (head[8], number(9), number(13), number(17));
        let block_max = 1_u32 << (LEVEL_ZERO_BITS + (token & 0x0f));
        let method = token & 0xf0;
        let sound = match method {
            RAW => compressed == length,
            LZ4 => (compressed == 0) == (length == 0),
            _ => false,
        };
        if !sound || length > block_max {
            return Err(error(Lz4Problem::Head {
                token,
                compressed,
                plain: length,
            })
            .into());
        }
        if length == 0 {
            return Ok(plain);
        }
        let begin = plain.len();
        let end = begin + length as usize;
        if end > BODY_BYTES_MAX {
            return Err(CompressionError::TooLarge);
        }
        let Some(content) = rest[HEAD_BYTES..].get(..compressed as usize) else {
            return Err(error(Lz4Problem::Short).into());
        };
        if method == RAW {
            plain.extend(content);
        } else {
            plain.resize(end, 0);
            let done = lz4_flex::block::decompress_into(content, &mut plain[begin..]);
            if !matches!(done, Ok(bytes) if bytes == length as usize) {
                return Err(error(Lz4Problem::Broken).into());
            }
        }
        if XxHash32::oneshot(SEED, &plain[begin..]) & CHECKSUM_BITS != checksum & CHECKSUM_BITS {
            return Err(error(Lz4Problem::Checksum).into());
        }
        offset += HEAD_BYTES + compressed as usize;
    }
}

pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>) {
    for block in bytes.chunks(1 << (LEVEL_ZERO_BITS + LEVEL)) {
        let compressed = lz4_flex::block::compress(block);
        let (method, content) = match compressed.len() < block.len() {
            true => (LZ4, &compressed[..]),
            false => (RAW, block),
        };
        let checksum = XxHash32::oneshot(SEED, block) & CHECKSUM_BITS;
        head(out, method, content.len(), block.len(), checksum);
        out.extend(content);
    }
    head(out, RAW, 0, 0, 0);
}

fn head(out: &mut Vec<u8>, method: u8, compressed: usize, plain: usize, checksum: u32) {
    out.extend(MAGIC);
    out.push(method | LEVEL);
    // Blocks are short.
    out.extend((compressed as u32).to_le_bytes());
    out.extend((plain as u32).to_le_bytes());
    out.extend(checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn blocks_that_lie_are_told_from_those_that_do_not() {
        let plain = b"the same the same the same the same the same the same".repeat(4_000);
        let mut good = Vec::new();
        compress(&plain, &mut good);
        assert!(good.len() * 10 < plain.len());
        assert_eq!(decompress(&good).unwrap(), plain);
        let problem = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            match decompress(&bytes) {
                Err(CompressionError::Lz4(error)) => (error.offset, error.problem),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(problem(&|bytes| bytes[0] = 0), (0, Lz4Problem::Magic));
        assert_eq!(problem(&|bytes| bytes.truncate(9)), (0, Lz4Problem::Short));
        let last = good.len() - HEAD_BYTES;
        assert_eq!(
            problem(&|bytes| bytes.truncate(last)),
            (last, Lz4Problem::Short)
        );
        assert_eq!(problem(&|bytes| bytes[17] ^= 1), (0, Lz4Problem::Checksum));
        assert!(matches!(
            problem(&|bytes| bytes[8] = 0x36).1,
            Lz4Problem::Head { token: 0x36, .. }
        ));
        assert!(matches!(
            problem(&|bytes| bytes[16] = 1).1,
            Lz4Problem::Head { .. }
        ));
        assert_eq!(problem(&|bytes| bytes[HEAD_BYTES + 1] ^= 0xff).0, 0);
    }
}
