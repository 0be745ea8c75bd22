//! Compressed bodies. What comes out is bounded, whatever was put in.
//! Sources: apache/incubator-seata:compressor/seata-compressor-{gzip,deflater,lz4,zstd}/.

mod lz4;
mod zstd;

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use thiserror::Error;

pub use lz4::{Lz4Error, Lz4Problem};

/// The largest body after decompression.
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// A compressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressor {
    /// As it is.
    None,
    /// gzip.
    Gzip,
    /// LZ4 in frames, as since Seata 2.6.
    Lz4,
    /// LZ4 in the library lz4-java's own blocks, as before.
    Lz4Blocks,
    /// zlib.
    Deflater,
    /// Zstandard.
    Zstd,
}

impl Compressor {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Gzip,
        Self::Lz4,
        Self::Lz4Blocks,
        Self::Deflater,
        Self::Zstd,
    ];

    /// Its number in a frame.
    pub fn byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Lz4 | Self::Lz4Blocks => 5,
            Self::Deflater => 6,
            Self::Zstd => 7,
        }
    }

    /// Which one has this number and wrote these bytes, if it is spoken here.
    pub(crate) fn of(byte: u8, bytes: &[u8]) -> Option<Self> {
        match byte {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            5 if lz4::is_frame(bytes) => Some(Self::Lz4),
            5 => Some(Self::Lz4Blocks),
            6 => Some(Self::Deflater),
            7 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// What was compressed cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompressionError {
    /// There would be too much of it.
    #[error("more than {BODY_BYTES_MAX} bytes would come out")]
    TooLarge,
    /// It is not what it says it is.
    #[error("{compressor:?}: {why}")]
    Broken {
        /// Of whom.
        compressor: Compressor,
        /// What it says.
        why: String,
    },
    /// LZ4's blocks are not what they should be.
    #[error("Lz4: {0}")]
    Lz4(#[from] Lz4Error),
}

pub(crate) fn decompress(
    compressor: Compressor,
    bytes: &[u8],
) -> Result<Cow<'_, [u8]>, CompressionError> {
    let read = match compressor {
        Compressor::None => return Ok(Cow::Borrowed(bytes)),
        Compressor::Gzip => read(MultiGzDecoder::new(bytes)),
        Compressor::Deflater => read(ZlibDecoder::new(bytes)),
        Compressor::Zstd => zstd::reader(bytes).and_then(read),
        Compressor::Lz4 => read(lz4::frame_reader(bytes)),
        Compressor::Lz4Blocks => return lz4::decompress(bytes).map(Cow::Owned),
    };
    let plain = read.map_err(|why| CompressionError::Broken { compressor, why })?;
    match plain.len() > BODY_BYTES_MAX {
        true => Err(CompressionError::TooLarge),
        false => Ok(Cow::Owned(plain)),
    }
}

/// A byte more than is allowed, at most.
fn read(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let mut reader = reader.take(BODY_BYTES_MAX as u64 + 1);
    match reader.read_to_end(&mut plain) {
        Ok(_) => Ok(plain),
        Err(error) => Err(error.to_string()),
    }
}

/// Appends what is compressed.
pub(crate) fn compress(compressor: Compressor, bytes: &[u8], out: &mut Vec<u8>) {
    match compressor {
        Compressor::None => out.extend(bytes),
        Compressor::Gzip => {
            let mut writer = GzEncoder::new(&mut *out, flate2::Compression::fast());
            // Nothing fails that is written to memory.
            let _ = writer.write_all(bytes);
            let _ = writer.finish();
        }
        Compressor::Deflater => {
            let mut writer = ZlibEncoder::new(&mut *out, flate2::Compression::fast());
            let _ = writer.write_all(bytes);
            let _ = writer.finish();
        }
        Compressor::Lz4 => lz4::compress_frame(bytes, out),
        Compressor::Lz4Blocks => lz4::compress(bytes, out),
        Compressor::Zstd => zstd::compress(bytes, out),
    }
}
