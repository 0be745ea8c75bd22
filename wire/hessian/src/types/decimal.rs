//! Java types that travel as an object with one text field.

use std::borrow::Cow;
use std::fmt;

use crate::class::{Typed, typed};
use crate::decode::{Decode, Decoder, ObjectHead};
use crate::dialect::Dialect;
use crate::encode::{Encode, Encoder};
use crate::error::{Error, Result};
use crate::java_type::JavaType;

/// Reads an object of one text field, of either line's class, or the bare text; null is empty.
fn decode_text<'de>(
    d: &mut Decoder<'de>,
    draft: &'static Typed,
    last: &'static Typed,
) -> Result<Cow<'de, str>> {
    if d.peek()? <= 0x1f {
        return Ok(d.str()?.unwrap_or_default());
    }
    let Some(head) = begin_handle(d, draft, last)? else {
        return Ok(Cow::Borrowed(""));
    };
    let mut text = Cow::Borrowed("");
    for index in 0..d.field_count(head) {
        if d.field_bytes(head, index) == draft.class.fields[0].as_bytes() {
            text = d.str()?.unwrap_or_default();
        } else {
            d.skip()?;
        }
    }
    d.object_end(head)?;
    Ok(text)
}

/// The class in the dialect that is written.
pub(super) fn handle(
    dialect: Dialect,
    draft: &'static Typed,
    last: &'static Typed,
) -> &'static Typed {
    match dialect {
        Dialect::Draft => draft,
        Dialect::Final => last,
    }
}

/// Begins an object of either class.
pub(super) fn begin_handle(
    d: &mut Decoder<'_>,
    draft: &'static Typed,
    last: &'static Typed,
) -> Result<Option<ObjectHead>> {
    let Some((head, _)) = d.object_of_any(draft, last)? else {
        return Ok(None);
    };
    Ok(Some(head))
}

macro_rules! text_class {
    ($(#[$doc:meta])* $rust:ident, $java:literal, $draft:literal, $last:literal, $field:literal, $check:expr, $default:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $rust(String);

        impl $rust {
            /// Takes the text if it is one Java would take.
            pub fn new(text: impl Into<String>) -> Option<Self> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                check(&text).then_some($rust(text))
            }

            /// The text, as Java's `toString` gives it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Default for $rust {
            fn default() -> Self {
                $rust($default.into())
            }
        }

        impl fmt::Display for $rust {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Encode for $rust {
            fn encode(&self, e: &mut Encoder<'_>) {
                e.object_of(handle(e.dialect(), typed!($draft, &[$field]), typed!($last, &[$field])));
                e.str(&self.0);
            }
        }

        impl<'de> Decode<'de> for $rust {
            fn decode(d: &mut Decoder<'de>) -> Result<Self> {
                let offset = d.position();
                let text = decode_text(d, typed!($draft, &[$field]), typed!($last, &[$field]))?;
                if text.is_empty() {
                    return Ok(Self::default());
                }
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok($rust(text.into_owned()))
                } else {
                    Err(Error::Invalid { offset, wanted: $java, text: text.into() })
                }
            }

            fn absent() -> Option<Self> {
                Some(Self::default())
            }
        }

        impl JavaType for $rust {
            fn java_type() -> Cow<'static, str> {
                Cow::Borrowed($java)
            }
        }
    };
}

text_class!(
    /// `java.math.BigDecimal` by its decimal text, digits and scale as written; null is zero.
    ///
    /// An object of one field `value` (`StringValueSerializer`).
    BigDecimal, "java.math.BigDecimal", "java.math.BigDecimal", "java.math.BigDecimal", "value", is_decimal, "0"
);
text_class!(
    /// `java.util.Locale` by its text, `zh_CN`; null is the root locale.
    ///
    /// Java writes a handle in its place (`LocaleSerializer`, `LocaleHandle`), each line with a class of its own.
    Locale, "java.util.Locale", "com.caucho.hessian.io.LocaleHandle",
    "com.alibaba.com.caucho.hessian.io.LocaleHandle", "value", |_| true, ""
);
text_class!(
    /// `java.lang.Class`: the name of a class. An object of one field `name` (`ClassSerializer`).
    JavaClass, "java.lang.Class", "java.lang.Class", "java.lang.Class", "name", |_| true, ""
);

/// What `new BigDecimal(String)` takes.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && whole.len() + fraction.len() > 0
        && exponent.is_none_or(|e| {
            let e = e.strip_prefix(['+', '-']).unwrap_or(e);
            !e.is_empty() && digits(e)
        })
}
