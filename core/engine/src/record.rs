//! What stands in the engine as text, for those who look at it with the engine's own tools: who owns a log, and its snapshot.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::block::Block;

/// Who owns a log, as text: `v1 NONCE LEASE_MS NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Another one each time a log is taken.
    pub nonce: u64,
    /// Others leave it the log as long as it shows a sign of life this often.
    pub lease: Duration,
    /// The node.
    pub name: String,
}

impl Owner {
    /// The nonce of one who copies a log here: until it resigns, not all of the log is there, and no node takes it.
    pub const COPYING: u64 = 0;
}

/// A snapshot of a log, as text: `v1 ID next=N index=N epoch=N chain=HEX pieces=N bytes=N crc=HEX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// A number that is higher than those of all earlier ones.
    pub id: u64,
    /// What it holds.
    pub position: Position,
    /// Its pieces.
    pub pieces: u32,
    /// Bytes of all pieces.
    pub bytes: u64,
    /// CRC-32C of all pieces.
    pub checksum: u32,
}

/// How far a state has come in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the first block that is not in it.
    pub next: u64,
    /// The index of the last command in it; 0 if there is none.
    pub index: u64,
    /// The term of the last block in it.
    pub epoch: u64,
    /// The checksum of the last block in it.
    pub chain: u32,
}

impl Position {
    /// The beginning of a log.
    pub fn beginning(log: &str) -> Self {
        Self {
            next: 0,
            index: 0,
            epoch: 0,
            chain: crc32c::crc32c(log.as_bytes()),
        }
    }

    /// Whether a block is the next one.
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, block: &Block) -> Result<(), String> {
        let Block {
            number,
            term,
            first,
            chain,
            ..
        } = *block;
        match () {
            () if number != self.next => Err(format!("it calls itself block {number}")),
            () if chain != self.chain => Err(format!(
                "it follows a block with checksum {chain:08x}, not {:08x}: it is of another log, or the one before it was changed",
                self.chain
            )),
            () if first != self.index + 1 => Err(format!(
                "it begins with command {first}, not {}",
                self.index + 1
            )),
            () if term < self.epoch => Err(format!(
                "it is of term {term}, the one before it of {}",
                self.epoch
            )),
            () => Ok(()),
        }
    }

    /// The position behind a block with this checksum.
    pub fn after(block: &Block, checksum: u32) -> Self {
        Self {
            next: block.number + 1,
            index: block.last(),
            epoch: block.term,
            chain: checksum,
        }
    }
}

/// A text in the engine is not one that this version of Diwan writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not {1} of this version of Diwan")]
pub struct RecordError(String, &'static str);

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nonce, lease, name } = self;
        write!(out, "v1 {nonce:016x} {} {name}", lease.as_millis())
    }
}

impl FromStr for Owner {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let read = || {
            let mut parts = text.strip_prefix("v1 ")?.splitn(3, ' ');
            Some(Self {
                nonce: u64::from_str_radix(parts.next()?, 16).ok()?,
                lease: Duration::from_millis(parts.next()?.parse().ok()?),
                name: parts.next()?.to_owned(),
            })
        };
        read().ok_or_else(|| RecordError(text.to_owned(), "an owner"))
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position {
            next,
            index,
            epoch,
            chain,
        } = self.position;
        write!(
            out,
            "v1 {:016x} next={next} index={index} epoch={epoch} chain={chain:08x} pieces={} bytes={} crc={:08x}",
            self.id, self.pieces, self.bytes, self.checksum
        )
    }
}

impl FromStr for Snapshot {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let read = || {
            let mut parts = text.strip_prefix("v1 ")?.split(' ');
            let id = u64::from_str_radix(parts.next()?, 16).ok()?;
            let mut value = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
            let snapshot = Self {
                id,
                position: Position {
                    next: value("next")?.parse().ok()?,
                    index: value("index")?.parse().ok()?,
                    epoch: value("epoch")?.parse().ok()?,
                    chain: u32::from_str_radix(value("chain")?, 16).ok()?,
                },
                pieces: value("pieces")?.parse().ok()?,
                bytes: value("bytes")?.parse().ok()?,
                checksum: u32::from_str_radix(value("crc")?, 16).ok()?,
            };
            parts.next().is_none().then_some(snapshot)
        };
        read().ok_or_else(|| RecordError(text.to_owned(), "a snapshot"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(nonce: u64, ms: u32, name in "[a-z0-9:. -]*", of: (u64, u64, u64, u32), rest: (u32, u64, u32)) {
            let lease = Duration::from_millis(ms.into());
            let owner = Owner { nonce, lease, name };
            prop_assert_eq!(owner.to_string().parse(), Ok(owner));
            let position = Position { next: of.0, index: of.1, epoch: of.2, chain: of.3 };
            let snapshot = Snapshot { id: nonce, position, pieces: rest.0, bytes: rest.1, checksum: rest.2 };
            prop_assert_eq!(snapshot.to_string().parse(), Ok(snapshot));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(v1 )?[0-9a-f =nextidpchrs]*") {
            if let Ok(snapshot) = text.parse::<Snapshot>() {
                prop_assert_eq!(snapshot.to_string().parse(), Ok(snapshot));
            }
            if let Ok(owner) = text.parse::<Owner>() {
                prop_assert_eq!(owner.to_string().parse(), Ok(owner));
            }
        }
    }
}
