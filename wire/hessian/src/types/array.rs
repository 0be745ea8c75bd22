//! Java arrays: lists whose class starts with `[`.

use std::borrow::Cow;

use super::collections::encode_items;
use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, Encoder};
use crate::error::Result;
use crate::java_type::{JavaType, array_class, array_of};

/// A Java array of `T`: `JavaArray<i32>` is `int[]`, `JavaArray<String>` is `String[]`. (`byte[]` is
/// [`Bytes`](super::Bytes), `char[]` a string.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JavaArray<T>(pub Vec<T>);

impl<T> Default for JavaArray<T> {
    fn default() -> Self {
        JavaArray(Vec::new())
    }
}

impl<T> From<Vec<T>> for JavaArray<T> {
    fn from(items: Vec<T>) -> Self {
        JavaArray(items)
    }
}

impl<T: Encode + JavaType> Encode for JavaArray<T> {
    fn encode(&self, e: &mut Encoder<'_>) {
        let element = T::java_type();
        match &*element {
            "java.lang.String" => encode_items(e, Some("[string"), self.0.iter()),
            "int" => encode_items(e, Some("[int"), self.0.iter()),
            other => encode_items(e, Some(&array_class(other)), self.0.iter()),
        }
    }
}

/// A list or array of any class; null is empty.
impl<'de, T: Decode<'de>> Decode<'de> for JavaArray<T> {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        Vec::from_list(d).map(JavaArray)
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

impl<T: JavaType> JavaType for JavaArray<T> {
    fn java_type() -> Cow<'static, str> {
        Cow::Owned(array_of(&T::java_type()))
    }
}

/// Reading a list whatever `T` is: `Vec<u8>` itself reads bytes.
trait FromList<'de>: Sized {
    fn from_list(d: &mut Decoder<'de>) -> Result<Self>;
}

impl<'de, T: Decode<'de>> FromList<'de> for Vec<T> {
    fn from_list(d: &mut Decoder<'de>) -> Result<Self> {
        Decode::decode(d)
    }
}
