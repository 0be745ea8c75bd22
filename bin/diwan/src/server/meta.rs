//! The node's own store: a few small registers that every member holds. It shows that the group commits and answers, and
//! later roles stand beside it. Clients' data does not belong here.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use diwan_log::{Command, SnapshotWriter, StateMachine};

/// Limits of the store; a put beyond them is refused.
pub(crate) const ENTRIES_MAX: usize = 1_000;
pub(crate) const KEY_BYTES_MAX: usize = 200;
pub(crate) const VALUE_BYTES_MAX: usize = 64 << 10;

/// The registers, shared with those who read behind a barrier.
#[derive(Clone, Default)]
pub(crate) struct Registers(Arc<Mutex<BTreeMap<Bytes, Bytes>>>);

impl Registers {
    fn map(&self) -> MutexGuard<'_, BTreeMap<Bytes, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: &str) -> Option<Bytes> {
        self.map().get(key.as_bytes()).cloned()
    }
}

/// The command that sets a register: `u8 1, u16 key length, key, value`.
/// # Errors
/// Key or value is too long.
pub(crate) fn put(key: &str, value: &[u8]) -> Result<Bytes, String> {
    let key_bytes = u16::try_from(key.len())
        .ok()
        .filter(|_| key.len() <= KEY_BYTES_MAX);
    let Some(key_bytes) = key_bytes else {
        return Err(format!("a key has at most {KEY_BYTES_MAX} bytes"));
    };
    if value.len() > VALUE_BYTES_MAX {
        return Err(format!("a value has at most {VALUE_BYTES_MAX} bytes"));
    }
    let mut command = BytesMut::with_capacity(3 + key.len() + value.len());
    command.put_u8(PUT);
    command.put_u16(key_bytes);
    command.put_slice(key.as_bytes());
    command.put_slice(value);
    Ok(command.freeze())
}

const PUT: u8 = 1;

fn parse(command: &Bytes) -> Option<(Bytes, Bytes)> {
    let (head, rest) = command.split_first_chunk::<3>()?;
    let key = usize::from(u16::from_be_bytes([head[1], head[2]]));
    (head[0] == PUT && key <= rest.len())
        .then(|| (command.slice(3..3 + key), command.slice(3 + key..)))
}

/// A replica of the store.
pub(crate) struct Meta(pub(crate) Registers);

/// What a command answers: nothing, or why it was refused.
const MALFORMED: Bytes = Bytes::from_static(b"not a command of this version");
const FULL: Bytes = Bytes::from_static(b"the store is full");

impl StateMachine for Meta {
    fn apply(&mut self, command: Command<'_>) -> Bytes {
        let Some((key, value)) = parse(command.data) else {
            return MALFORMED;
        };
        let mut map = self.0.map();
        if map.len() >= ENTRIES_MAX && !map.contains_key(&key) {
            return FULL;
        }
        // Copies, so that a small value does not keep the memory of a whole message.
        map.insert(Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value));
        Bytes::new()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let frozen = self.0.map().clone();
        Box::new(move |out: &mut dyn Write| {
            for (key, value) in &frozen {
                for part in [key, value] {
                    out.write_all(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes())?;
                    out.write_all(part)?;
                }
            }
            Ok(())
        })
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let longest = ENTRIES_MAX * (KEY_BYTES_MAX + VALUE_BYTES_MAX + 8) + 1;
        let mut bytes = Vec::new();
        snapshot.take(longest as u64).read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        let mut part = || -> Option<Bytes> {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            rest = after;
            Some(Bytes::copy_from_slice(part))
        };
        let mut map = BTreeMap::new();
        while let Some(key) = part() {
            map.insert(key, part().ok_or(io::ErrorKind::UnexpectedEof)?);
        }
        if !rest.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a snapshot of the node's store",
            ));
        }
        *self.0.map() = map;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use diwan_log::LogTime;

    use super::*;

    fn apply(meta: &mut Meta, data: Bytes) -> Bytes {
        meta.apply(Command {
            index: 1,
            epoch: 1,
            time: LogTime(0),
            data: &data,
        })
    }

    #[test]
    fn a_snapshot_brings_the_registers_back() {
        let mut meta = Meta(Registers::default());
        assert_eq!(apply(&mut meta, put("owner", b"Ann").unwrap()), "");
        assert_eq!(apply(&mut meta, put("empty", b"").unwrap()), "");
        assert_eq!(
            apply(&mut meta, Bytes::from_static(b"\x01\xff\xffx")),
            MALFORMED
        );
        let mut snapshot = Vec::new();
        meta.snapshot()(&mut snapshot).unwrap();
        let mut other = Meta(Registers::default());
        other.restore(&mut snapshot.as_slice()).unwrap();
        assert_eq!(other.0.get("owner"), Some(Bytes::from_static(b"Ann")));
        assert_eq!(other.0.get("empty"), Some(Bytes::new()));
        assert!(other.restore(&mut &snapshot[..snapshot.len() - 1]).is_err());
    }

    #[test]
    fn the_store_is_bounded() {
        let mut meta = Meta(Registers::default());
        for number in 0..ENTRIES_MAX {
            apply(&mut meta, put(&number.to_string(), b"").unwrap());
        }
        assert_eq!(apply(&mut meta, put("one more", b"").unwrap()), FULL);
        assert_eq!(apply(&mut meta, put("7", b"changed").unwrap()), "");
        assert!(put(&"k".repeat(KEY_BYTES_MAX + 1), b"").is_err());
        assert!(put("k", &vec![0; VALUE_BYTES_MAX + 1]).is_err());
    }
}
