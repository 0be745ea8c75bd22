//! Frames of protocol version 1:
//! ```text
//! da da | version u8 | full length u32 | head length u16 | kind u8 | codec u8 | compressor u8 | id i32 | head map | body
//! ```
//! Integers are big-endian. The full length counts from the first byte, the head length is 16 and the head map's.
//! Source: apache/incubator-seata:core/src/main/java/org/apache/seata/core/rpc/netty/v1/{ProtocolDecoderV1,ProtocolEncoderV1,
//! HeadMapSerializer}.java.

use thiserror::Error;

/// The two bytes that each frame begins with.
pub const MAGIC: [u8; 2] = [0xda, 0xda];
/// The version of the protocol.
pub const VERSION: u8 = 1;
/// Bytes before the head map.
pub const HEAD_BYTES: usize = 16;
/// Largest frame, as in the original.
/// Source: apache/incubator-seata:core/src/main/java/org/apache/seata/core/protocol/ProtocolConstants.java.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Waits for an answer under its id.
    Request,
    /// An answer.
    Response,
    /// No answer is waited for by the caller; merged requests travel so, and are answered all the same.
    Oneway,
    /// Is somebody there?
    Ping,
    /// Yes.
    Pong,
}

impl Kind {
    fn byte(self) -> u8 {
        self as u8
    }

    fn of(byte: u8) -> Option<Self> {
        [
            Self::Request,
            Self::Response,
            Self::Oneway,
            Self::Ping,
            Self::Pong,
        ]
        .into_iter()
        .find(|kind| kind.byte() == byte)
    }
}

/// How bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The serializer's number: 1 is Seata's own.
    pub codec: u8,
    /// The compressor's number: 0 is none.
    pub compressor: u8,
}

impl Form {
    /// What clients use unless told otherwise: Seata's codec, uncompressed.
    pub const USUAL: Self = Self {
        codec: 1,
        compressor: 0,
    };
}

/// A frame in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is for.
    pub kind: Kind,
    /// How its body is written.
    pub form: Form,
    /// Chosen by the sender of the request; each side counts for itself.
    pub id: i32,
    /// Pairs of texts, each an i16 length and bytes. No client is known to send any.
    pub head_map: &'a [u8],
    /// The message.
    pub body: &'a [u8],
}

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
    /// More bytes are needed: at least `bytes` in all.
    Incomplete {
        /// Lower bound of the frame's length.
        bytes: usize,
    },
}

/// Framing is lost: nothing after this point of the stream can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// It does not begin as a frame does.
    #[error("byte {offset}: {value:#04x} begins no frame of Seata's")]
    Magic {
        /// Position in the frame.
        offset: usize,
        /// What stood there.
        value: u8,
    },
    /// The protocol of clients before 0.7, whose frames do not even say how long they are. No client in use speaks it.
    /// Source: apache/incubator-seata:core/src/main/java/org/apache/seata/core/rpc/netty/v0/ProtocolDecoderV0.java.
    #[error("byte 2: version 0 of the protocol, of clients before Seata 0.7: use a later one")]
    Old,
    /// Another version of the protocol.
    #[error("byte 2: version {0} of the protocol, 1 is understood")]
    Version(u8),
    /// The length leaves no room for the head, or is beyond the limit.
    #[error("byte 3: a frame of {bytes} bytes, {HEAD_BYTES} to {limit} are allowed")]
    Length {
        /// What stood there.
        bytes: u32,
        /// The largest allowed.
        limit: usize,
    },
    /// The head is shorter than it is, or longer than its frame.
    #[error("byte 7: a head of {head} bytes in a frame of {bytes}")]
    HeadLength {
        /// What stood there.
        head: u16,
        /// Of the frame.
        bytes: u32,
    },
    /// None of the kinds there are.
    #[error("byte 9: unknown kind of frame {0}")]
    Kind(u8),
}

/// Reads the frame at the front of `input`.
///
/// # Errors
/// When there is none.
pub fn decode(input: &[u8], limit: usize) -> Result<Decoded<'_>, FrameError> {
    for (offset, magic) in MAGIC.into_iter().enumerate() {
        match input.get(offset) {
            Some(value) if *value != magic => {
                return Err(FrameError::Magic {
                    offset,
                    value: *value,
                });
            }
            _ => {}
        }
    }
    match input.get(2) {
        None | Some(&VERSION) => {}
        // The upper half of its flags.
        Some(0) => return Err(FrameError::Old),
        Some(version) => return Err(FrameError::Version(*version)),
    }
    let incomplete = Decoded::Incomplete { bytes: HEAD_BYTES };
    let Some(length) = input.get(3..7).and_then(|bytes| bytes.first_chunk()) else {
        return Ok(incomplete);
    };
    let length = u32::from_be_bytes(*length);
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if !(HEAD_BYTES..=limit).contains(&bytes) {
        return Err(FrameError::Length {
            bytes: length,
            limit,
        });
    }
    let Some(head) = input.first_chunk::<HEAD_BYTES>() else {
        return Ok(incomplete);
    };
    let head_length = u16::from_be_bytes([head[7], head[8]]);
    let head_bytes = usize::from(head_length);
    if !(HEAD_BYTES..=bytes).contains(&head_bytes) {
        return Err(FrameError::HeadLength {
            head: head_length,
            bytes: length,
        });
    }
    let kind = Kind::of(head[9]).ok_or(FrameError::Kind(head[9]))?;
    let Some(whole) = input.get(..bytes) else {
        return Ok(Decoded::Incomplete { bytes });
    };
    Ok(Decoded::Frame {
        frame: Frame {
            kind,
            form: Form {
                codec: head[10],
                compressor: head[11],
            },
            id: i32::from_be_bytes([head[12], head[13], head[14], head[15]]),
            head_map: &whole[HEAD_BYTES..head_bytes],
            body: &whole[head_bytes..],
        },
        bytes,
    })
}

/// Appends a frame whose body `write_body` appends.
pub fn write(
    out: &mut Vec<u8>,
    kind: Kind,
    form: Form,
    id: i32,
    write_body: impl FnOnce(&mut Vec<u8>),
) {
    let begin = out.len();
    out.extend(MAGIC);
    out.push(VERSION);
    out.extend([0; 4]);
    out.extend((HEAD_BYTES as u16).to_be_bytes());
    out.extend([kind.byte(), form.codec, form.compressor]);
    out.extend(id.to_be_bytes());
    write_body(out);
    // Bodies are bounded by what was read, far below.
    let length = u32::try_from(out.len() - begin).unwrap_or(u32::MAX);
    out[begin + 3..begin + 7].copy_from_slice(&length.to_be_bytes());
}
