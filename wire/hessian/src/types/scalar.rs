//! Numbers, booleans, characters, dates and `()`.

use std::borrow::Cow;

use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, Encoder};
use crate::error::{Error, Result};
use crate::java_type::JavaType;

/// One primitive: how it is written, how it is read, its Java names, and what a missing field is.
macro_rules! primitive {
    ($rust:ty, $java:literal, $boxed:literal, |$e:ident, $v:ident| $write:expr, |$d:ident| $read:expr) => {
        impl Encode for $rust {
            #[inline]
            fn encode(&self, $e: &mut Encoder<'_>) {
                let $v = *self;
                $write
            }
        }

        impl<'de> Decode<'de> for $rust {
            #[inline]
            fn decode($d: &mut Decoder<'de>) -> Result<Self> {
                $read
            }

            fn absent() -> Option<Self> {
                Some(<$rust>::default())
            }
        }

        impl JavaType for $rust {
            fn java_type() -> Cow<'static, str> {
                Cow::Borrowed($java)
            }

            fn java_boxed() -> Cow<'static, str> {
                Cow::Borrowed($boxed)
            }
        }
    };
}

primitive!(
    bool,
    "boolean",
    "java.lang.Boolean",
    |e, v| e.bool(v),
    |d| d.bool()
);
primitive!(
    i8,
    "byte",
    "java.lang.Byte",
    |e, v| e.int(i32::from(v)),
    |d| narrow(d, "byte")
);
primitive!(
    i16,
    "short",
    "java.lang.Short",
    |e, v| e.int(i32::from(v)),
    |d| narrow(d, "short")
);
primitive!(i32, "int", "java.lang.Integer", |e, v| e.int(v), |d| d
    .int());
primitive!(i64, "long", "java.lang.Long", |e, v| e.long(v), |d| d
    .long());
primitive!(
    f32,
    "float",
    "java.lang.Float",
    |e, v| e.double(f64::from(v)),
    |d| float(d)
);
primitive!(f64, "double", "java.lang.Double", |e, v| e.double(v), |d| d
    .double());
primitive!(
    char,
    "char",
    "java.lang.Character",
    |e, v| e.str(v.encode_utf8(&mut [0; 4])),
    |d| character(d)
);

fn narrow<T: TryFrom<i32>>(d: &mut Decoder<'_>, wanted: &'static str) -> Result<T> {
    let offset = d.position();
    T::try_from(d.int()?).map_err(|_| Error::Range { offset, wanted })
}

/// A float is written as the double of the same value, so the way back rounds nothing. A double that is no float was
/// computed as one elsewhere; Java casts it.
fn float(d: &mut Decoder<'_>) -> Result<f32> {
    d.double().map(|value| value as f32)
}

/// A `char` is a string of one unit (`BasicSerializer`, code CHARACTER); null is NUL.
fn character(d: &mut Decoder<'_>) -> Result<char> {
    let offset = d.position();
    let Some(text) = d.str()? else {
        return Ok('\0');
    };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(Error::Invalid {
            offset,
            wanted: "char",
            text: text.into(),
        }),
    }
}

/// What a `void` method returns.
impl Encode for () {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.null();
    }
}

impl<'de> Decode<'de> for () {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        d.skip()
    }

    fn absent() -> Option<Self> {
        Some(())
    }
}

impl JavaType for () {
    fn java_type() -> Cow<'static, str> {
        Cow::Borrowed("void")
    }
}
