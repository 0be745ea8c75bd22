//! Who may register: whoever signs with a key that this node knows.
//!
//! The original reserves the names (sofastack/sofa-registry:core/.../core/constants/AttributeKeyConstants.java) and lets a client's
//! `AuthManager` fill them in; how is left open. Here `!Signature` is the HMAC-SHA256, in hexadecimal, of `dataInfoId`, `registId` and
//! `!Timestamp`, each on a line of its own (LF between them), with the secret of `!AccessKey`.

use std::collections::BTreeMap;
use std::fmt;

use diwan_registry_wire::BaseRegister;
use ring::hmac;

use crate::state::ServiceName;

const ALGORITHM: &str = "HmacSHA256";
/// Clocks of clients may differ so much, and what is signed is worth something for so long.
const SKEW_MS_MAX: u64 = 300_000;
/// A secret has so many bytes at least.
const SECRET_BYTES_MIN: usize = 16;

/// The keys with which registrations are signed.
#[derive(Clone, Default)]
pub struct AccessKeys(BTreeMap<String, hmac::Key>);

/// Secrets are nobody's business.
impl fmt::Debug for AccessKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a list of keys is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessKeysError {
    /// A line is none.
    #[error("line {0}: it must be an access key and its secret, with a space between them")]
    Line(usize),
    /// A secret is too short.
    #[error("line {0}: the secret has less than {SECRET_BYTES_MIN} bytes")]
    Short(usize),
    /// A key is there twice.
    #[error("line {0}: this access key is there already")]
    Twice(usize),
    /// There are none.
    #[error("there is no access key in it")]
    Empty,
}

/// Why a registration is refused for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("this registry wants signed registrations: attribute {0} is missing")]
    Missing(&'static str),
    #[error("registrations are signed by {ALGORITHM}, not by {0:?}")]
    Algorithm(String),
    #[error("!Timestamp {0:?}: it must be milliseconds since 1970, at most 300 s from now")]
    Timestamp(String),
    /// It is not said which.
    #[error("no such access key, or not its signature")]
    Signature,
}

impl AccessKeys {
    /// Reads lines of a key and its secret; empty ones, and those that begin with `#`, are passed by.
    /// # Errors
    /// A line is something else.
    pub fn parse(text: &str) -> Result<Self, AccessKeysError> {
        let mut keys = BTreeMap::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let mut words = text.split_whitespace();
            let (Some(key), Some(secret), None) = (words.next(), words.next(), words.next()) else {
                return Err(AccessKeysError::Line(line));
            };
            if secret.len() < SECRET_BYTES_MIN {
                return Err(AccessKeysError::Short(line));
            }
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            if keys.insert(key.to_owned(), secret).is_some() {
                return Err(AccessKeysError::Twice(line));
            }
        }
        match keys.is_empty() {
            true => Err(AccessKeysError::Empty),
            false => Ok(Self(keys)),
        }
    }

    /// Whether a registration is signed as it should be.
    pub(super) fn check(
        &self,
        base: &BaseRegister,
        service: &ServiceName,
        unix_ms: u64,
    ) -> Result<(), Denied> {
        let attribute = |name: &'static str| {
            let attributes = base.attributes.as_ref();
            let value = attributes.and_then(|attributes| attributes.get(name));
            value.map(String::as_str).ok_or(Denied::Missing(name))
        };
        let key = attribute("!AccessKey")?;
        let algorithm = attribute("!Algorithm")?;
        let timestamp = attribute("!Timestamp")?;
        let signature = attribute("!Signature")?;
        if algorithm != ALGORITHM {
            return Err(Denied::Algorithm(algorithm.chars().take(40).collect()));
        }
        let signed_at = timestamp.parse::<u64>().ok();
        if signed_at.is_none_or(|at| at.abs_diff(unix_ms) > SKEW_MS_MAX) {
            return Err(Denied::Timestamp(timestamp.chars().take(40).collect()));
        }
        let regist_id = base.regist_id.as_deref().unwrap_or_default();
        let signed = format!("{service}\n{regist_id}\n{timestamp}");
        let secret = self.0.get(key).ok_or(Denied::Signature)?;
        let signature = hexadecimal(signature).ok_or(Denied::Signature)?;
        hmac::verify(secret, signed.as_bytes(), &signature).map_err(|_| Denied::Signature)
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| {
        let digit = char::from(*byte).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || text.len() > 64 {
        return None;
    }
    let byte = |[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn name() -> ServiceName {
        ServiceName::new("com.x.S:1.0@DEFAULT", None, Some("SOFA"))
    }

    fn keys() -> AccessKeys {
        AccessKeys::parse("# two\nak-one 0123456789abcdef\n\nak-two fedcba9876543210\n").unwrap()
    }

    /// The signature is what Python says:
    /// `hmac.new(b'0123456789abcdef', b'com.x.S:1.0@DEFAULT#@#DEFAULT_INSTANCE_ID#@#SOFA\nid-7\n1800000000000', 'sha256').hexdigest()`
    fn signed(changes: &[(&str, Option<&str>)]) -> BaseRegister {
        let mut attributes: BTreeMap<String, String> = [
            ("!AccessKey", "ak-one"),
            ("!Algorithm", "HmacSHA256"),
            ("!Timestamp", "1800000000000"),
            ("!Signature", SIGNATURE),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        for (key, value) in changes {
            match value {
                Some(value) => drop(attributes.insert((*key).to_owned(), (*value).to_owned())),
                None => drop(attributes.remove(*key)),
            }
        }
        BaseRegister {
            regist_id: Some("id-7".into()),
            attributes: Some(attributes),
            ..BaseRegister::default()
        }
    }

    const SIGNATURE: &str = "7a2551b1cb4617ee4d30591464be696cf976cab49adb9dd18edf4eaa79b8c40f";

    #[test]
    fn only_what_is_signed_well_and_lately_is_taken() {
        let check =
            |changes: &[(&str, Option<&str>)], now| keys().check(&signed(changes), &name(), now);
        assert_eq!(check(&[], NOW), Ok(()));
        assert_eq!(check(&[], NOW + SKEW_MS_MAX), Ok(()));
        assert_eq!(check(&[], NOW - SKEW_MS_MAX), Ok(()));
        let late = Err(Denied::Timestamp("1800000000000".into()));
        assert_eq!(check(&[], NOW + SKEW_MS_MAX + 1), late);
        let upper = SIGNATURE.to_uppercase();
        assert_eq!(check(&[("!Signature", Some(&upper))], NOW), Ok(()));
        for name in ["!AccessKey", "!Algorithm", "!Timestamp", "!Signature"] {
            assert_eq!(check(&[(name, None)], NOW), Err(Denied::Missing(name)));
        }
        for (name, value) in [
            ("!AccessKey", "ak-two"),
            ("!AccessKey", "ak-three"),
            ("!Signature", ""),
            ("!Signature", "xyz"),
            ("!Signature", &SIGNATURE[2..]),
            ("!Timestamp", "1800000000001"),
        ] {
            let denied = check(&[(name, Some(value))], NOW);
            assert_eq!(denied, Err(Denied::Signature), "{name} {value}");
        }
        let algorithm = check(&[("!Algorithm", Some("MD5"))], NOW);
        assert_eq!(algorithm, Err(Denied::Algorithm("MD5".into())));
        let timestamp = check(&[("!Timestamp", Some("soon"))], NOW);
        assert_eq!(timestamp, Err(Denied::Timestamp("soon".into())));
        let other = ServiceName::new("com.x.T:1.0@DEFAULT", None, Some("SOFA"));
        let denied = keys().check(&signed(&[]), &other, NOW);
        assert_eq!(denied, Err(Denied::Signature));
    }

    #[test]
    fn lists_of_keys_are_checked_line_by_line_and_tell_no_secrets() {
        for (text, error) in [
            ("", AccessKeysError::Empty),
            ("# none\n", AccessKeysError::Empty),
            ("\nak", AccessKeysError::Line(2)),
            ("ak 0123456789abcdef x", AccessKeysError::Line(1)),
            ("ak 0123456789abcde", AccessKeysError::Short(1)),
            (
                "ak 0123456789abcdef\nak 0123456789abcdef",
                AccessKeysError::Twice(2),
            ),
        ] {
            assert_eq!(AccessKeys::parse(text).err(), Some(error), "{text:?}");
        }
        assert_eq!(format!("{:?}", keys()), r#"{"ak-one", "ak-two"}"#);
    }

    proptest! {
        #[test]
        fn any_signature_is_read(text in ".{0,80}") {
            let denied = keys().check(&signed(&[("!Signature", Some(&text))]), &name(), NOW);
            prop_assert_eq!(denied, Err(Denied::Signature));
        }
    }
}
