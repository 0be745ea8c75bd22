//! Who may register: whoever signs with a key that this node knows.
//!
//! The original reserves the names (sofastack/sofa-registry:core/.../core/constants/AttributeKeyConstants.java) and lets a client's
//! `AuthManager` fill them in; how is left open. Here `!Signature` is the HMAC-SHA256, in hexadecimal, of `dataInfoId`, `registId` and
//! `!Timestamp`, each on a line of its own (LF between them), with the secret of `!AccessKey`.

use std::collections::BTreeMap;
use std::fmt;

use diwan_registry_wire::BaseRegister;
use ring::hmac;

use crate::state::{ServiceName, Setting};

const ALGORITHM: &str = "HmacSHA256";
/// Clocks of clients may differ so much, and what is signed is worth something for so long.
const SKEW_MS_MAX: u64 = 300_000;
/// A secret has so many bytes at least.
const SECRET_BYTES_MIN: usize = 16;

/// Keys there may be in the log.
const KEYS_MAX: usize = 10_000;

/// The setting that holds the keys which all nodes know: secrets by access key. No client is told what is in it.
pub(super) fn setting() -> ServiceName {
    ServiceName::new("registry.access.keys", Some("9600"), Some("CONFIG"))
}

/// What is in that setting.
pub(super) type Secrets = BTreeMap<String, String>;

/// Adds a key, or gives it another secret.
pub(super) fn add(secrets: &mut Secrets, key: &str, secret: &str) -> Result<(), AccessKeysError> {
    let is_word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    if !is_word(key) || !is_word(secret) {
        return Err(AccessKeysError::Word);
    }
    if secret.len() < SECRET_BYTES_MIN {
        return Err(AccessKeysError::TooShort);
    }
    secrets.insert(key.to_owned(), secret.to_owned());
    match secrets.len() > KEYS_MAX {
        true => Err(AccessKeysError::Many),
        false => Ok(()),
    }
}

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
    /// A key or a secret is no word.
    #[error("an access key and its secret are words without spaces")]
    Word,
    /// A secret is too short.
    #[error("the secret has less than {SECRET_BYTES_MIN} bytes")]
    TooShort,
    /// There are too many.
    #[error("there are {KEYS_MAX} access keys already")]
    Many,
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
            if keys.insert(key.to_owned(), secret_key(secret)).is_some() {
                return Err(AccessKeysError::Twice(line));
            }
        }
        match keys.is_empty() {
            true => Err(AccessKeysError::Empty),
            false => Ok(Self(keys)),
        }
    }

    /// The keys of the log.
    fn of(setting: &Setting) -> Result<Self, serde_json::Error> {
        let keys = setting.json::<Secrets>()?.into_iter();
        let keys = keys.map(|(key, secret)| (key, secret_key(&secret)));
        Ok(Self(keys.collect()))
    }
}

/// Who may register at this node.
pub(super) struct Access {
    /// The keys of this node's file.
    file: AccessKeys,
    /// Those of the log.
    shared: AccessKeys,
}

impl Access {
    pub(super) fn new(file: Option<AccessKeys>) -> Self {
        Self {
            file: file.unwrap_or_default(),
            shared: AccessKeys::default(),
        }
    }

    fn is_open(&self) -> bool {
        self.file.0.is_empty() && self.shared.0.is_empty()
    }

    /// The keys of the log are others now. Whether what is registered may have been signed with none of them.
    pub(super) fn told(&mut self, setting: &Setting) -> Result<bool, serde_json::Error> {
        let was_open = self.is_open();
        let new = AccessKeys::of(setting)?;
        let old = std::mem::replace(&mut self.shared, new);
        let is_kept = |key: &String| self.shared.0.contains_key(key);
        Ok(was_open != self.is_open() || !old.0.keys().all(is_kept))
    }

    /// Whether a registration is signed as it should be, if it has to be.
    pub(super) fn check(
        &self,
        base: &BaseRegister,
        service: &ServiceName,
        unix_ms: u64,
    ) -> Result<(), Denied> {
        if self.is_open() {
            return Ok(());
        }
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
        let secret = self.shared.0.get(key).or_else(|| self.file.0.get(key));
        let secret = secret.ok_or(Denied::Signature)?;
        let signature = hexadecimal(signature).ok_or(Denied::Signature)?;
        hmac::verify(secret, signed.as_bytes(), &signature).map_err(|_| Denied::Signature)
    }
}

fn secret_key(secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
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

    fn access() -> Access {
        Access::new(Some(keys()))
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
            |changes: &[(&str, Option<&str>)], now| access().check(&signed(changes), &name(), now);
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
        let denied = access().check(&signed(&[]), &other, NOW);
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

    #[test]
    fn keys_of_the_log_count_beside_those_of_the_file_and_whoever_used_one_that_goes_signs_again() {
        let setting = |text: &str| Setting {
            version: diwan_registry_wire::Version(1),
            value: Some(text.into()),
        };
        let mut access = Access::new(None);
        let checked = |access: &Access| access.check(&signed(&[]), &name(), NOW);
        assert_eq!(access.check(&BaseRegister::default(), &name(), NOW), Ok(()));
        let one = r#"{"ak-one":"0123456789abcdef"}"#;
        let both = r#"{"ak-one":"0123456789abcdef","ak-two":"0123456789abcdef"}"#;
        let two = r#"{"ak-two":"0123456789abcdef"}"#;
        for (text, all_again, allowed) in [
            (one, true, Ok(())),
            (both, false, Ok(())),
            (two, true, Err(Denied::Signature)),
            ("", true, Ok(())),
        ] {
            assert_eq!(access.told(&setting(text)).ok(), Some(all_again), "{text}");
            assert_eq!(checked(&access), allowed, "{text}");
        }
        let mut access = Access::new(Some(keys()));
        assert_eq!(access.told(&setting(two)).ok(), Some(false));
        assert!(access.told(&setting("{")).is_err());
        assert_eq!(checked(&access), Ok(()));
    }

    #[test]
    fn a_key_is_a_word_with_a_long_secret() {
        let mut secrets = Secrets::new();
        for (key, secret, error) in [
            ("", "0123456789abcdef", Some(AccessKeysError::Word)),
            ("a b", "0123456789abcdef", Some(AccessKeysError::Word)),
            ("a", "0123456789abcde ", Some(AccessKeysError::Word)),
            ("a", "0123456789abcde", Some(AccessKeysError::TooShort)),
            ("a", "0123456789abcdef", None),
        ] {
            assert_eq!(
                add(&mut secrets, key, secret).err(),
                error,
                "{key:?} {secret:?}"
            );
        }
        assert_eq!(secrets.len(), 1);
    }

    proptest! {
        #[test]
        fn any_signature_is_read(text in ".{0,80}") {
            let denied = access().check(&signed(&[("!Signature", Some(&text))]), &name(), NOW);
            prop_assert_eq!(denied, Err(Denied::Signature));
        }
    }
}
