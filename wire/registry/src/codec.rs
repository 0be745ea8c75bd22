//! The two forms of a message's content.

use diwan_hessian::Dialect;

/// How the content of a frame is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Hessian, in the dialect of the one who wrote first.
    Hessian(Dialect),
    /// Protocol buffers (sofastack/sofa-registry:.../bolt/serializer/ProtobufSerializer.java).
    Protobuf,
}

impl Codec {
    /// The serializer byte of frames.
    pub fn byte(self) -> u8 {
        match self {
            Self::Hessian(_) => HESSIAN,
            Self::Protobuf => PROTOBUF,
        }
    }
}

pub(crate) const HESSIAN: u8 = 1;
pub(crate) const PROTOBUF: u8 = 11;

/// Why the content of a frame is not the message that its class names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The registry has no such message.
    #[error("no message of the registry's has the class `{0}`")]
    UnknownClass(String),
    /// The serializer is none of the two.
    #[error("serializer {0}: it must be {HESSIAN} (Hessian) or {PROTOBUF} (protocol buffers)")]
    Serializer(u8),
    /// The content is damaged.
    #[error("the content of {class} is damaged: {what}")]
    Damaged {
        /// The class.
        class: &'static str,
        /// What the decoder says.
        what: String,
    },
}
