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
    let Some((head, is_usual)) = d.object_of_any(draft, last)? else {
        return Ok(Cow::Borrowed(""));
    };
    let mut text = Cow::Borrowed("");
    if is_usual {
        text = d.str()?.unwrap_or_default();
        d.object_end(head)?;
        return Ok(text);
    }
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

/// What `new BigDecimal(String)` takes: digits with at most one point, then perhaps an exponent.
fn is_decimal(text: &str) -> bool {
    let bytes = text.as_bytes();
    let signed = |at: usize| usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
    let digits = |at: usize| {
        bytes[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let start = signed(0);
    let whole = digits(start);
    let mut at = start + whole;
    let mut count = whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        at += 1 + fraction;
        count += fraction;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        at += signed(at);
        let exponent = digits(at);
        at += exponent;
        count *= exponent.min(1);
    }
    count > 0 && at == bytes.len()
}

#[cfg(test)]
mod tests {
    use super::is_decimal;

    #[test]
    fn decimals() {
        for good in ["0", "-1.50", "+.5", "5.", "1E+30", "1e5", "12345678.90"] {
            assert!(is_decimal(good), "{good}");
        }
        for bad in [
            "", "-", ".", "e5", "1e", "1e+", "1.2.3", "0x1", "1 ", "\u{661}",
        ] {
            assert!(!is_decimal(bad), "{bad}");
        }
    }
}
