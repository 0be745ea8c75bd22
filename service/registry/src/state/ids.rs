//! Names of services and of registrations.

use std::fmt;

use diwan_registry_wire::nodes;
use serde::{Deserialize, Serialize};

/// What is published and subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceName {
    /// Its name, for SOFARPC `interface:version@DEFAULT`.
    pub data_id: String,
    /// The tenant.
    pub instance_id: String,
    /// Its group.
    pub group: String,
}

impl ServiceName {
    /// Client's names with the original's defaults for what they leave out.
    /// sofastack/sofa-registry:core/.../constants/ValueConstants (`DEFAULT_INSTANCE_ID`, `DEFAULT_GROUP`).
    pub fn new(data_id: &str, instance_id: Option<&str>, group: Option<&str>) -> Self {
        let or = |value: Option<&str>, default: &str| match value.map(str::trim) {
            None | Some("") => default.to_owned(),
            Some(value) => value.to_owned(),
        };
        Self {
            data_id: data_id.to_owned(),
            instance_id: or(instance_id, "DEFAULT_INSTANCE_ID"),
            group: or(group, "DEFAULT_GROUP"),
        }
    }
}

impl ServiceName {
    /// What [`ServiceName`] is displayed as; what is left out gets its default.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, "#@#");
        let data_id = parts.next().unwrap_or_default();
        Self::new(data_id, parts.next(), parts.next())
    }
}

impl From<&ServiceName> for nodes::Name {
    fn from(name: &ServiceName) -> Self {
        Self {
            data_id: name.data_id.clone(),
            instance_id: name.instance_id.clone(),
            group: name.group.clone(),
        }
    }
}

impl From<nodes::Name> for ServiceName {
    fn from(name: nodes::Name) -> Self {
        Self {
            data_id: name.data_id,
            instance_id: name.instance_id,
            group: name.group,
        }
    }
}

/// `dataId#@#instanceId#@#group`, as the original writes it.
impl fmt::Display for ServiceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            data_id,
            instance_id,
            group,
        } = self;
        write!(out, "{data_id}#@#{instance_id}#@#{group}")
    }
}

/// A registration's name. Clients draw UUIDs; there are millions of them, so they take 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegistId {
    /// A UUID in lower case with hyphens.
    Uuid([u8; 16]),
    /// Anything else.
    Text(Box<str>),
}

impl RegistId {
    /// None is before it.
    pub(super) const FIRST: Self = Self::Uuid([0; 16]);

    /// A name as a client wrote it.
    pub fn new(text: &str) -> Self {
        match uuid(text) {
            Some(uuid) => Self::Uuid(uuid.to_be_bytes()),
            None => Self::Text(text.into()),
        }
    }
}

/// Only what [`RegistId`] writes again in the same way.
fn uuid(text: &str) -> Option<u128> {
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut uuid = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let digit = match byte {
            b'-' if matches!(at, 8 | 13 | 18 | 23) => continue,
            _ if matches!(at, 8 | 13 | 18 | 23) => return None,
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        uuid = uuid << 4 | u128::from(digit);
    }
    Some(uuid)
}

impl fmt::Display for RegistId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(out),
            Self::Uuid(uuid) => {
                let uuid = u128::from_be_bytes(*uuid);
                let part = |low: u32, bits: u32| uuid >> low & ((1 << bits) - 1);
                write!(
                    out,
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    part(96, 32),
                    part(80, 16),
                    part(64, 16),
                    part(48, 16),
                    part(0, 48)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_written_as_it_was(text in "[0-9a-fA-F-]{0,40}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}") {
            prop_assert_eq!(RegistId::new(&text).to_string(), text);
        }
    }

    #[test]
    fn uuids_are_small() {
        let id = RegistId::new("f49df89f-7c91-4cb4-953c-34dac25eaa95");
        let number: u128 = 0xf49df89f_7c91_4cb4_953c_34dac25eaa95;
        assert_eq!(id, RegistId::Uuid(number.to_be_bytes()));
        assert_eq!(size_of::<RegistId>(), 24);
        assert!(matches!(
            RegistId::new("F49DF89F-7c91-4cb4-953c-34dac25eaa95"),
            RegistId::Text(_)
        ));
    }

    #[test]
    fn names_have_the_originals_defaults() {
        let name = ServiceName::new("com.x.Svc:1.0@DEFAULT", None, Some("SOFA"));
        assert_eq!(
            name.to_string(),
            "com.x.Svc:1.0@DEFAULT#@#DEFAULT_INSTANCE_ID#@#SOFA"
        );
        assert_eq!(ServiceName::parse(&name.to_string()), name);
        assert_eq!(ServiceName::parse("s"), ServiceName::new("s", None, None));
    }
}
