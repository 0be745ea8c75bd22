//! Strings and `byte[]`.

use std::borrow::Cow;

use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, Encoder};
use crate::error::Result;
use crate::java_type::JavaType;

const STRING: Cow<'static, str> = Cow::Borrowed("java.lang.String");
const BYTES: Cow<'static, str> = Cow::Borrowed("[B");

impl Encode for str {
    #[inline]
    fn encode(&self, e: &mut Encoder<'_>) {
        e.str(self);
    }
}

impl Encode for String {
    #[inline]
    fn encode(&self, e: &mut Encoder<'_>) {
        e.str(self);
    }
}

/// Null is the empty string; `Option<String>` keeps the difference.
impl<'de> Decode<'de> for String {
    #[inline]
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        d.string()
    }

    fn absent() -> Option<Self> {
        Some(String::new())
    }
}

impl JavaType for String {
    fn java_type() -> Cow<'static, str> {
        STRING
    }
}

impl JavaType for str {
    fn java_type() -> Cow<'static, str> {
        STRING
    }
}

impl Encode for Cow<'_, str> {
    #[inline]
    fn encode(&self, e: &mut Encoder<'_>) {
        e.str(self);
    }
}

/// Lent from the input where it can be; null is the empty string.
impl<'de: 'a, 'a> Decode<'de> for Cow<'a, str> {
    #[inline]
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        Ok(d.str()?.unwrap_or_default())
    }

    fn absent() -> Option<Self> {
        Some(Cow::Borrowed(""))
    }
}

impl JavaType for Cow<'_, str> {
    fn java_type() -> Cow<'static, str> {
        STRING
    }
}

/// Java's `byte[]`. (`Vec<u8>` is one too; this newtype says so.)
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

impl Encode for Bytes {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.bytes(&self.0);
    }
}

/// Null is the empty array.
impl<'de> Decode<'de> for Bytes {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        Ok(Bytes(d.bytes()?.map(Cow::into_owned).unwrap_or_default()))
    }

    fn absent() -> Option<Self> {
        Some(Bytes::default())
    }
}

impl JavaType for Bytes {
    fn java_type() -> Cow<'static, str> {
        BYTES
    }
}

impl Encode for Cow<'_, [u8]> {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.bytes(self);
    }
}

/// Lent from the input where it can be; null is the empty array.
impl<'de: 'a, 'a> Decode<'de> for Cow<'a, [u8]> {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        Ok(d.bytes()?.unwrap_or_default())
    }

    fn absent() -> Option<Self> {
        Some(Cow::Borrowed(&[]))
    }
}

impl JavaType for Cow<'_, [u8]> {
    fn java_type() -> Cow<'static, str> {
        BYTES
    }
}

impl Encode for Vec<u8> {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.bytes(self);
    }
}

impl Encode for [u8] {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.bytes(self);
    }
}

/// Null is the empty array.
impl<'de> Decode<'de> for Vec<u8> {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        Ok(d.bytes()?.map(Cow::into_owned).unwrap_or_default())
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

impl JavaType for Vec<u8> {
    fn java_type() -> Cow<'static, str> {
        BYTES
    }
}
