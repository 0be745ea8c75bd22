use thiserror::Error;

use crate::{Command, Frame, Head, Kind, Version};

/// Largest frame accepted unless configured otherwise. The original has no limit.
pub const FRAME_BYTES_MAX_DEFAULT: usize = 64 << 20;

/// Outcome of [`decode`].
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole frame stands at the front of the buffer.
    Frame {
        /// The frame.
        frame: Frame<'a>,
        /// How many bytes of the buffer it takes.
        bytes: usize,
    },
    /// More bytes are needed: at least `bytes` in all, as far as can be told yet.
    Incomplete {
        /// Lower bound of the frame's length.
        bytes: usize,
    },
    /// A frame longer than the limit begins here. Its length is known, so the stream can be resumed behind it.
    TooLarge(RefusedFrame),
}

/// A frame that is longer than the limit and was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedFrame {
    /// The fixed part, for an answer.
    pub head: Head,
    /// Length of the whole frame.
    pub bytes: u64,
}

/// Framing is lost: nothing after this point of the stream can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The first byte is no protocol version.
    #[error("byte 0: protocol {0} is not Bolt 1 or 2")]
    Protocol(u8),
    /// The second byte of a version 2 frame is neither 1 nor 2.
    #[error("byte 1: Bolt 2 has no version {0}")]
    Version(u8),
    /// Neither request, oneway nor response.
    #[error("byte {offset}: unknown frame type {value}")]
    Type {
        /// Position in the frame.
        offset: usize,
        /// What stood there.
        value: u8,
    },
    /// A length is negative.
    #[error("byte {offset}: negative {field} length {value}")]
    NegativeLength {
        /// Position in the frame.
        offset: usize,
        /// Which of class, header and content.
        field: &'static str,
        /// What stood there.
        value: i32,
    },
    /// The trailer does not match the frame.
    #[error("byte {offset}: CRC32 is {actual:08x}, the frame says {expected:08x}")]
    Crc {
        /// Position of the trailer in the frame.
        offset: usize,
        /// What the frame says.
        expected: u32,
        /// What its bytes give.
        actual: u32,
    },
}

/// Reads the frame at the front of `input`, of at most `frame_bytes_max` bytes.
///
/// Layout: `sofastack/sofa-bolt:com/alipay/remoting/rpc/protocol/RpcProtocol.java` and `RpcProtocolV2.java`.
///
/// # Errors
/// When the bytes cannot be a Bolt frame; the connection must then be closed.
pub fn decode(input: &[u8], frame_bytes_max: usize) -> Result<Decoded<'_>, DecodeError> {
    let Some(&protocol) = input.first() else {
        return Ok(Decoded::Incomplete { bytes: 20 });
    };
    // Offsets of the type byte and of what follows the codec byte depend on the version.
    let (v2, type_at) = match protocol {
        1 => (false, 1),
        2 => (true, 2),
        other => return Err(DecodeError::Protocol(other)),
    };
    if v2
        && let Some(&version) = input.get(1)
        && !(1..=2).contains(&version)
    {
        return Err(DecodeError::Version(version));
    }
    let Some(&type_byte) = input.get(type_at) else {
        return Ok(Decoded::Incomplete { bytes: 20 });
    };
    let field_at = type_at + 9 + usize::from(v2);
    let (field_bytes, head_bytes) = match type_byte {
        0 => (2, field_at + 2 + 8),
        1 | 2 => (4, field_at + 4 + 8),
        value => {
            return Err(DecodeError::Type {
                offset: type_at,
                value,
            });
        }
    };
    let Some(fixed) = input.get(..head_bytes) else {
        return Ok(Decoded::Incomplete { bytes: head_bytes });
    };

    let kind = match type_byte {
        0 => Kind::Response {
            status: u16_at(fixed, field_at),
        },
        1 => Kind::Request {
            timeout_ms: i32_at(fixed, field_at),
        },
        _ => Kind::Oneway {
            timeout_ms: i32_at(fixed, field_at),
        },
    };
    let head = Head {
        version: match (v2, fixed[1]) {
            (false, _) => Version::V1,
            (true, 1) => Version::V2,
            (true, _) => Version::V2Crc,
        },
        kind,
        command: Command::from_code(u16_at(fixed, type_at + 1)),
        id: i32_at(fixed, type_at + 4) as u32,
        codec: fixed[type_at + 8],
        switch: if v2 { fixed[type_at + 9] } else { 0 },
    };

    let lengths_at = field_at + field_bytes;
    let class_bytes = length(
        u16_at(fixed, lengths_at) as i16 as i32,
        lengths_at,
        "class name",
    )?;
    let header_bytes = length(
        u16_at(fixed, lengths_at + 2) as i16 as i32,
        lengths_at + 2,
        "header",
    )?;
    let content_bytes = length(i32_at(fixed, lengths_at + 4), lengths_at + 4, "content")?;
    let crc_bytes = if head.has_crc() { 4 } else { 0 };
    let crc_at = head_bytes as u64 + class_bytes + header_bytes + content_bytes;
    let bytes = crc_at + crc_bytes;
    if bytes > frame_bytes_max as u64 {
        return Ok(Decoded::TooLarge(RefusedFrame { head, bytes }));
    }
    // Bounded by `frame_bytes_max`, a usize.
    let (bytes, crc_at) = (bytes as usize, crc_at as usize);
    let Some(whole) = input.get(..bytes) else {
        return Ok(Decoded::Incomplete { bytes });
    };

    if head.has_crc() {
        let expected = i32_at(whole, crc_at) as u32;
        let actual = crc32fast::hash(&whole[..crc_at]);
        if expected != actual {
            return Err(DecodeError::Crc {
                offset: crc_at,
                expected,
                actual,
            });
        }
    }
    let (class, rest) = whole[head_bytes..crc_at].split_at(class_bytes as usize);
    let (header, content) = rest.split_at(header_bytes as usize);
    Ok(Decoded::Frame {
        frame: Frame {
            head,
            class,
            header,
            content,
        },
        bytes,
    })
}

fn length(value: i32, offset: usize, field: &'static str) -> Result<u64, DecodeError> {
    u64::try_from(value).map_err(|_| DecodeError::NegativeLength {
        offset,
        field,
        value,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
