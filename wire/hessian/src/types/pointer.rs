//! References, boxes and options: no bytes of their own.

use std::borrow::Cow;
use std::sync::Arc;

use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, Encoder};
use crate::error::Result;
use crate::java_type::JavaType;

macro_rules! pointer {
    ($pointer:ty) => {
        impl<T: Encode + ?Sized> Encode for $pointer {
            #[inline]
            fn encode(&self, e: &mut Encoder<'_>) {
                (**self).encode(e);
            }
        }

        impl<T: JavaType + ?Sized> JavaType for $pointer {
            fn java_type() -> Cow<'static, str> {
                T::java_type()
            }

            fn java_boxed() -> Cow<'static, str> {
                T::java_boxed()
            }
        }
    };
}

pointer!(&T);
pointer!(Box<T>);
pointer!(Arc<T>);

impl<'de, T: Decode<'de>> Decode<'de> for Box<T> {
    #[inline]
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        d.charge_size::<T>()?;
        T::decode(d).map(Box::new)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Box::new)
    }
}

impl<'de, T: Decode<'de>> Decode<'de> for Arc<T> {
    #[inline]
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        d.charge_size::<T>()?;
        T::decode(d).map(Arc::new)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Arc::new)
    }
}

/// `None` is null.
impl<T: Encode> Encode for Option<T> {
    #[inline]
    fn encode(&self, e: &mut Encoder<'_>) {
        match self {
            Some(value) => value.encode(e),
            None => e.null(),
        }
    }
}

impl<'de, T: Decode<'de>> Decode<'de> for Option<T> {
    #[inline]
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        if d.take_null()? {
            Ok(None)
        } else {
            T::decode(d).map(Some)
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: JavaType> JavaType for Option<T> {
    fn java_type() -> Cow<'static, str> {
        T::java_boxed()
    }
}
