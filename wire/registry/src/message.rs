//! Any of the messages, and the class that names it in a frame.

use diwan_hessian::{Decode, Decoder, Dialect, Encode, Encoder, Limits};

use crate::codec::{Codec, DecodeError, HESSIAN, PROTOBUF};
use crate::pb;
use crate::push::{MultiReceivedData, ReceivedConfigData, ReceivedData};
use crate::register::{
    ConfiguratorRegister, PublisherRegister, RegisterResponse, SubscriberRegister,
    SyncConfigRequest, SyncConfigResponse, SyncResult,
};

/// No message has more containers inside each other; a push of 100,000 instances has some 300,000 elements.
const LIMITS: Limits = Limits {
    depth_max: 16,
    elements_max: 2_000_000,
};

macro_rules! messages {
    ($(#[$what:meta])* $enum:ident { $($name:ident = $class:literal $(, $pb:ident)?;)* }) => {
        $(#[$what])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "named as the original names them")]
        pub enum $enum {
            $($name(messages!(@type $name)),)*
        }

        impl $enum {
            /// The class that names this message in a frame.
            pub fn class(&self, codec: Codec) -> &'static str {
                match (self, codec) {
                    $($((Self::$name(_), Codec::Protobuf) => messages!(@pb $pb $class),)?
                    (Self::$name(_), _) => concat!("com.alipay.sofa.registry.core.model.", $class),)*
                }
            }

            /// Reads the content of a frame with this class and serializer, and tells in which form to answer.
            /// # Errors
            /// The class is none of these, or the content is not this message.
            pub fn decode(class: &[u8], serializer: u8, content: &[u8]) -> Result<(Self, Codec), DecodeError> {
                match serializer {
                    HESSIAN => {
                        $(let name = concat!("com.alipay.sofa.registry.core.model.", $class);
                        if class == name.as_bytes() {
                            let (message, dialect) = hessian(name, content)?;
                            return Ok((Self::$name(message), Codec::Hessian(dialect)));
                        })*
                    }
                    PROTOBUF => {
                        $($(if class == messages!(@pb $pb $class).as_bytes() {
                            let message = protobuf::<pb::$pb>(messages!(@pb $pb $class), content)?;
                            return Ok((Self::$name(message.into()), Codec::Protobuf));
                        })?)*
                    }
                    other => return Err(DecodeError::Serializer(other)),
                }
                let class = String::from_utf8_lossy(class).chars().take(120).collect();
                Err(DecodeError::UnknownClass(class))
            }

            /// Appends the content of a frame. What has no form in protocol buffers is written as nothing.
            pub fn encode(&self, codec: Codec, out: &mut Vec<u8>) {
                match (self, codec) {
                    $((Self::$name(message), Codec::Hessian(dialect)) => message.encode(&mut Encoder::new(dialect, out)),
                    $((Self::$name(message), Codec::Protobuf) => write(&pb::$pb::from(message), out),)?)*
                    #[allow(unreachable_patterns, reason = "most messages have both forms")]
                    _ => {}
                }
            }
        }
    };
    (@type Result) => { SyncResult };
    (@type $name:ident) => { $name };
    (@pb $pb:ident $class:literal) => { concat!("com.alipay.sofa.registry.common.model.client.pb.", $class, "Pb") };
}

messages! {
    /// What a client sends.
    Request {
        PublisherRegister = "PublisherRegister", PublisherRegisterPb;
        SubscriberRegister = "SubscriberRegister", SubscriberRegisterPb;
        ConfiguratorRegister = "ConfiguratorRegister";
        SyncConfigRequest = "SyncConfigRequest", SyncConfigRequestPb;
    }
}

messages! {
    /// What a server sends of its own accord; the client answers a [`SyncResult`].
    Push {
        ReceivedData = "ReceivedData", ReceivedDataPb;
        MultiReceivedData = "MultiReceivedData", MultiReceivedDataPb;
        ReceivedConfigData = "ReceivedConfigData", ReceivedConfigDataPb;
    }
}

messages! {
    /// What either answers.
    Answer {
        RegisterResponse = "RegisterResponse", RegisterResponsePb;
        SyncConfigResponse = "SyncConfigResponse", SyncConfigResponsePb;
        Result = "Result", ResultPb;
    }
}

fn hessian<'a, T: Decode<'a>>(
    class: &'static str,
    content: &'a [u8],
) -> Result<(T, Dialect), DecodeError> {
    let mut decoder = Decoder::with(content, None, LIMITS);
    let damaged = |what: String| DecodeError::Damaged { class, what };
    let message = T::decode(&mut decoder).map_err(|error| damaged(error.to_string()))?;
    if !decoder.is_empty() {
        return Err(damaged("bytes are left".into()));
    }
    // Objects are written differently in the two.
    let dialect = decoder.dialect().unwrap_or(Dialect::Draft);
    Ok((message, dialect))
}

fn protobuf<T: prost::Message + Default>(
    class: &'static str,
    content: &[u8],
) -> Result<T, DecodeError> {
    T::decode(content).map_err(|error| DecodeError::Damaged {
        class,
        what: error.to_string(),
    })
}

fn write(message: &impl prost::Message, out: &mut Vec<u8>) {
    let written = message.encode(out);
    debug_assert!(written.is_ok(), "a growing buffer has room");
}
