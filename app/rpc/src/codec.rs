//! How the arguments and results of a method travel: one table of functions for each method.

use std::borrow::Cow;
use std::fmt::Display;

use diwan_hessian::{Decode, Decoder, Encode, Encoder, JavaType, Result as HessianResult};
use diwan_sofarpc::names::codec as code;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The codecs of one method with arguments `A` (a tuple), value `T` and exception `E`.
#[derive(Debug)]
pub struct Codecs<A, T, E> {
    pub(crate) hessian: Option<HessianCodec<A, T, E>>,
    pub(crate) json: Option<ContentCodec<A, T>>,
    pub(crate) protobuf: Option<ContentCodec<A, T>>,
    /// The codec that was added first: a consumer speaks it unless told otherwise.
    pub(crate) first: u8,
}

#[derive(Debug)]
pub(crate) struct HessianCodec<A, T, E> {
    pub(crate) encode_arguments: fn(&A, &mut Encoder<'_>),
    pub(crate) decode_arguments: for<'de> fn(&mut Decoder<'de>) -> HessianResult<A>,
    pub(crate) encode_value: fn(&T) -> &dyn Encode,
    pub(crate) decode_value: for<'de> fn(&mut Decoder<'de>) -> HessianResult<T>,
    pub(crate) encode_exception: fn(&E) -> &dyn Encode,
    pub(crate) decode_exception: for<'de> fn(&mut Decoder<'de>) -> HessianResult<E>,
}

/// A codec whose content is nothing but the arguments or the value.
#[derive(Debug)]
pub(crate) struct ContentCodec<A, T> {
    pub(crate) encode_arguments: fn(&A) -> Result<Vec<u8>, String>,
    pub(crate) decode_arguments: fn(&[u8]) -> Result<A, String>,
    pub(crate) encode_value: fn(&T) -> Result<Vec<u8>, String>,
    pub(crate) decode_value: fn(&[u8]) -> Result<T, String>,
}

impl<A, T, E> Codecs<A, T, E> {
    /// No codec yet.
    pub fn new() -> Self {
        Self {
            hessian: None,
            json: None,
            protobuf: None,
            first: 0,
        }
    }

    /// Adds Hessian.
    pub fn hessian(mut self) -> Self
    where
        A: HessianArguments,
        T: Encode + for<'de> Decode<'de>,
        E: Encode + for<'de> Decode<'de>,
    {
        self.added(code::HESSIAN2);
        self.hessian = Some(HessianCodec {
            encode_arguments: A::encode,
            decode_arguments: |decoder| A::decode(decoder),
            encode_value: |value| value,
            decode_value: |decoder| T::decode(decoder),
            encode_exception: |exception| exception,
            decode_exception: |decoder| E::decode(decoder),
        });
        self
    }

    /// Adds JSON (codec 12): the only argument itself, or an array of several, as Jackson writes them
    /// (`sofastack/sofa-rpc:codec/codec-jackson/.../JacksonSerializer.java`).
    pub fn json(mut self) -> Self
    where
        A: JsonArguments,
        T: Serialize + DeserializeOwned,
    {
        self.added(code::JSON);
        self.json = Some(ContentCodec {
            encode_arguments: A::encode,
            decode_arguments: A::decode,
            encode_value: |value| serde_json::to_vec(value).map_err(text),
            decode_value: |content| serde_json::from_slice(content).map_err(text),
        });
        self
    }

    pub(crate) fn content(&self, codec: u8) -> Option<&ContentCodec<A, T>> {
        match codec {
            code::JSON => self.json.as_ref(),
            code::PROTOBUF => self.protobuf.as_ref(),
            _ => None,
        }
    }

    fn added(&mut self, codec: u8) {
        if self.first == 0 {
            self.first = codec;
        }
    }
}

impl<A: Message + Default, T: Message + Default, E> Codecs<(A,), T, E> {
    /// Adds protocol buffers (codec 11): the content is the message of the only argument
    /// (`sofastack/sofa-rpc:codec/codec-protobuf/.../ProtobufSerializer.java`).
    pub fn protobuf(mut self) -> Self {
        self.added(code::PROTOBUF);
        self.protobuf = Some(ContentCodec {
            encode_arguments: |arguments| Ok(arguments.0.encode_to_vec()),
            decode_arguments: |content| A::decode(content).map(|message| (message,)).map_err(text),
            encode_value: |value| Ok(value.encode_to_vec()),
            decode_value: |content| T::decode(content).map_err(text),
        });
        self
    }
}

impl<A, T, E> Default for Codecs<A, T, E> {
    fn default() -> Self {
        Self::new()
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// A tuple of arguments that Hessian can carry.
pub trait HessianArguments: Sized {
    /// Writes one after the other.
    fn encode(&self, encoder: &mut Encoder<'_>);
    /// Reads one after the other.
    ///
    /// # Errors
    /// When one is not of its type.
    fn decode(decoder: &mut Decoder<'_>) -> HessianResult<Self>;
    /// Java signature of each.
    fn java_types() -> Vec<Cow<'static, str>>;
}

/// A tuple of arguments that JSON can carry.
pub trait JsonArguments: Sized {
    /// The content of a request.
    ///
    /// # Errors
    /// When a value has no JSON form.
    fn encode(&self) -> Result<Vec<u8>, String>;
    /// Reads the content of a request.
    ///
    /// # Errors
    /// When it is no JSON or of other types.
    fn decode(content: &[u8]) -> Result<Self, String>;
}

impl JsonArguments for () {
    fn encode(&self) -> Result<Vec<u8>, String> {
        Ok(b"[]".to_vec())
    }
    fn decode(_: &[u8]) -> Result<Self, String> {
        Ok(())
    }
}

impl<A: Serialize + DeserializeOwned> JsonArguments for (A,) {
    fn encode(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(&self.0).map_err(text)
    }
    fn decode(content: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(content)
            .map(|argument| (argument,))
            .map_err(text)
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:tt),*);)*) => {$(
        impl<$($name: Encode + for<'de> Decode<'de> + JavaType),*> HessianArguments for ($($name,)*) {
            fn encode(&self, _encoder: &mut Encoder<'_>) {
                $(self.$index.encode(_encoder);)*
            }
            fn decode(_decoder: &mut Decoder<'_>) -> HessianResult<Self> {
                Ok(($($name::decode(_decoder)?,)*))
            }
            fn java_types() -> Vec<Cow<'static, str>> {
                vec![$($name::java_type()),*]
            }
        }
    )*};
}

tuples! {
    ();
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, F 4);
    (A 0, B 1, C 2, D 3, F 4, G 5);
    (A 0, B 1, C 2, D 3, F 4, G 5, H 6);
    (A 0, B 1, C 2, D 3, F 4, G 5, H 6, I 7);
    (A 0, B 1, C 2, D 3, F 4, G 5, H 6, I 7, J 8);
    (A 0, B 1, C 2, D 3, F 4, G 5, H 6, I 7, J 8, K 9);
}

macro_rules! json_tuples {
    ($(($($name:ident $index:tt),*);)*) => {$(
        impl<$($name: Serialize + DeserializeOwned),*> JsonArguments for ($($name,)*) {
            fn encode(&self) -> Result<Vec<u8>, String> {
                serde_json::to_vec(self).map_err(text)
            }
            fn decode(content: &[u8]) -> Result<Self, String> {
                serde_json::from_slice(content).map_err(text)
            }
        }
    )*};
}

json_tuples! {
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, F 4);
    (A 0, B 1, C 2, D 3, F 4, G 5);
    (A 0, B 1, C 2, D 3, F 4, G 5, H 6);
    (A 0, B 1, C 2, D 3, F 4, G 5, H 6, I 7);
}
