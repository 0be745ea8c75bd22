//! The name of a member: `ip:port[:idx[:priority]]`.
//! (sofastack/sofa-jraft:jraft-core/src/main/java/com/alipay/sofa/jraft/entity/PeerId.java)

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// A member of a group. Two names are the same member when address and index agree; the priority is a property of it.
#[derive(Clone)]
pub struct PeerId(Arc<Inner>);

struct Inner {
    host: Box<str>,
    port: u16,
    index: u32,
    priority: Priority,
}

/// A member's standing in elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// -1 or less: this member stands whenever its election timer ends.
    Off,
    /// 0: never leads.
    Never,
    /// 1 and more: waits while a member of higher priority may still stand.
    Level(u32),
}

/// Why a text is not the name of a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a peer: want ip:port[:idx[:priority]]")]
pub struct PeerParseError {
    text: String,
}

/// The longest accepted name: hostile messages may hold anything.
const NAME_BYTES_MAX: usize = 300;

impl PeerId {
    /// A member without index and with priorities off.
    pub fn new(host: &str, port: u16) -> Self {
        Self::with(host, port, 0, Priority::Off)
    }

    /// A member by all its parts.
    pub fn with(host: &str, port: u16, index: u32, priority: Priority) -> Self {
        Self(Arc::new(Inner {
            host: host.into(),
            port,
            index,
            priority,
        }))
    }

    /// Host name or address.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Distinguishes members of one group at one address; 0 is the usual one.
    pub fn index(&self) -> u32 {
        self.0.index
    }

    /// Standing in elections.
    pub fn priority(&self) -> Priority {
        self.0.priority
    }
}

impl FromStr for PeerId {
    type Err = PeerParseError;

    fn from_str(text: &str) -> Result<Self, PeerParseError> {
        parse(text).ok_or_else(|| PeerParseError {
            text: text.chars().take(80).collect(),
        })
    }
}

fn parse(text: &str) -> Option<PeerId> {
    if text.len() > NAME_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    // An IPv6 address stands in brackets and has colons of its own.
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let end = inner.find(']')?;
            (&text[..end + 2], inner[end + 1..].strip_prefix(':')?)
        }
        None => text.split_once(':')?,
    };
    let mut parts = rest.split(':');
    let port = parts.next()?.parse().ok()?;
    let index = match parts.next() {
        None | Some("") => 0,
        Some(index) => index.parse().ok()?,
    };
    let priority = match parts.next() {
        None => Priority::Off,
        Some(priority) => match priority.parse::<i32>().ok()? {
            ..0 => Priority::Off,
            0 => Priority::Never,
            level => Priority::Level(level.unsigned_abs()),
        },
    };
    let known = !host.is_empty() && parts.next().is_none();
    known.then(|| PeerId::with(host, port, index, priority))
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host(), self.port())?;
        match (self.index(), self.priority()) {
            (0, Priority::Off) => Ok(()),
            (index, Priority::Off) => write!(f, ":{index}"),
            (0, Priority::Never) => write!(f, "::0"),
            (0, Priority::Level(level)) => write!(f, "::{level}"),
            (index, Priority::Never) => write!(f, ":{index}:0"),
            (index, Priority::Level(level)) => write!(f, ":{index}:{level}"),
        }
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for PeerId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PeerId {}

impl PartialOrd for PeerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PeerId {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.port(), self.host(), self.index()).cmp(&(other.port(), other.host(), other.index()))
    }
}

impl Hash for PeerId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.port(), self.host(), self.index()).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_as_jraft_does() {
        for text in [
            "127.0.0.1:8701",
            "127.0.0.1:8701:2",
            "127.0.0.1:8701::100",
            "127.0.0.1:8701:2:0",
            "[::1]:8701",
        ] {
            assert_eq!(text.parse::<PeerId>().unwrap().to_string(), text);
        }
        assert_eq!("h:1:0:-1".parse::<PeerId>().unwrap().to_string(), "h:1");
        for text in [
            "",
            "a",
            ":1",
            "a:",
            "a:x",
            "a:70000",
            "a:1:x",
            "a:1:0:x",
            "a:1:0:1:1",
            "a b:1",
            "[::1:1",
        ] {
            assert!(text.parse::<PeerId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_priority_does_not_make_another_member() {
        let plain: PeerId = "h:1".parse().unwrap();
        assert_eq!(plain, "h:1::7".parse().unwrap());
        assert_ne!(plain, "h:1:1".parse().unwrap());
    }
}
