//! Bodies of frames, in whatever serializer and compressor a client is configured with (`transport.serialization` and
//! `transport.compressor`). What was read says how its sender speaks; answers go back the same way.
//! Sources: apache/incubator-seata:core/src/main/java/org/apache/seata/core/serializer/SerializerType.java,
//! apache/incubator-seata:core/src/main/java/org/apache/seata/core/compressor/CompressorType.java.

use thiserror::Error;

use crate::Message;
use crate::binary::{self, MessageError};
use crate::compress::{self, CompressionError, Compressor};
use crate::frame::{self, Form, Kind};
use crate::hessian::{self, HessianError};
use crate::protobuf::{self, ProtobufError};

/// How a peer writes its bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speech {
    /// Its serializer.
    pub codec: Codec,
    /// Its compressor.
    pub compressor: Compressor,
}

impl Speech {
    /// What clients use unless told otherwise.
    pub const USUAL: Self = Self {
        codec: Codec::Seata,
        compressor: Compressor::None,
    };

    /// Its numbers in a frame.
    pub fn form(self) -> Form {
        Form {
            codec: match self.codec {
                Codec::Seata => 1,
                Codec::Protobuf(_) => 2,
                Codec::Hessian(_) => 0x16,
            },
            compressor: self.compressor.byte(),
        }
    }
}

/// A serializer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Seata's own: [`binary`].
    Seata,
    /// Protocol buffers.
    Protobuf(Names),
    /// Java objects.
    Hessian(Names),
}

/// What the classes of a client are called: Seata moved from `io.seata` to `org.apache.seata` with version 2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `org.apache.seata`.
    Apache,
    /// `io.seata`.
    Io,
}

impl Names {
    pub(crate) const ALL: [Self; 2] = [Self::Apache, Self::Io];

    pub(crate) fn root(self) -> &'static str {
        match self {
            Self::Apache => "org.apache.seata.",
            Self::Io => "io.seata.",
        }
    }

    /// Whose class or message this is, and the rest of its name.
    pub(crate) fn strip(name: &str) -> Option<(Self, &str)> {
        let mut all = Self::ALL.into_iter();
        all.find_map(|names| Some((names, name.strip_prefix(names.root())?)))
    }
}

/// A body cannot be read; other frames can.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// A serializer that is not spoken here.
    #[error(
        "serializer {0:#04x}{known} is not spoken here: set the client's transport.serialization to seata, protobuf or hessian",
        known = name(&CODECS, *.0)
    )]
    Codec(u8),
    /// A compressor that is not spoken here.
    #[error(
        "compressor {0}{known} is not spoken here: set the client's transport.compressor to none, gzip, lz4, deflater or zstd",
        known = name(&COMPRESSORS, *.0)
    )]
    Compressor(u8),
    /// It cannot be decompressed.
    #[error("compressed body: {0}")]
    Compression(#[from] CompressionError),
    /// It is no message in Seata's own codec.
    #[error("body: {0}")]
    Seata(#[from] MessageError),
    /// It is no message in protocol buffers.
    #[error("body in protobuf: {0}")]
    Protobuf(#[from] ProtobufError),
    /// It is no message of Java objects.
    #[error("body in hessian: {0}")]
    Hessian(#[from] HessianError),
}

/// Serializers of clients that are refused. Jackson's has a number and nothing else.
const CODECS: [(u8, &str); 7] = [
    (0x04, "kryo"),
    (0x08, "fst"),
    (0x28, "grpc"),
    (0x32, "jackson"),
    (0x56, "fury"),
    (0x57, "fory"),
    (0x64, "fastjson2"),
];
/// Compressors of clients that are refused.
const COMPRESSORS: [(u8, &str); 3] = [(2, "zip"), (3, "7z"), (4, "bzip2")];

fn name(of: &[(u8, &str)], byte: u8) -> String {
    let known = of.iter().find(|(number, _)| *number == byte);
    known.map_or(String::new(), |(_, name)| format!(" ({name})"))
}

/// Reads a body, and how it is written.
///
/// # Errors
/// When its form is not spoken here, or it is no message.
pub fn decode(form: Form, bytes: &[u8]) -> Result<(Message, Speech), BodyError> {
    let compressor =
        Compressor::of(form.compressor, bytes).ok_or(BodyError::Compressor(form.compressor))?;
    if !matches!(form.codec, 1 | 2 | 0x16) {
        return Err(BodyError::Codec(form.codec));
    }
    let plain = compress::decompress(compressor, bytes)?;
    let (message, codec) = match form.codec {
        1 => (binary::decode(&plain)?, Codec::Seata),
        2 => {
            let (message, names) = protobuf::decode(&plain)?;
            (message, Codec::Protobuf(names))
        }
        _ => {
            let (message, names) = hessian::decode(&plain)?;
            (message, Codec::Hessian(names))
        }
    };
    Ok((message, Speech { codec, compressor }))
}

/// Appends a message.
pub fn encode(speech: Speech, message: &Message, out: &mut Vec<u8>) {
    match speech.compressor {
        Compressor::None => plain(speech.codec, message, out),
        compressor => {
            let mut bytes = Vec::new();
            plain(speech.codec, message, &mut bytes);
            compress::compress(compressor, &bytes, out);
        }
    }
}

fn plain(codec: Codec, message: &Message, out: &mut Vec<u8>) {
    match codec {
        Codec::Seata => binary::encode(message, out),
        Codec::Protobuf(names) => protobuf::encode(names, message, out),
        Codec::Hessian(names) => hessian::encode(names, message, out),
    }
}

/// Appends a frame with a message.
pub fn write(out: &mut Vec<u8>, kind: Kind, speech: Speech, id: i32, message: &Message) {
    frame::write(out, kind, speech.form(), id, |out| {
        encode(speech, message, out);
    });
}
