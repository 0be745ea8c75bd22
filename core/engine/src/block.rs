//! A block as it stands in the engine: commands that were appended together, and where in the log's history they belong.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

const MAGIC: &[u8; 4] = b"DwBk";
const VERSION: u8 = 1;
/// Magic, version; number, term, nonce, first index; chain, count.
const HEAD_BYTES: usize = 4 + 1 + 4 * 8 + 2 * 4;
const CHECKSUM_BYTES: usize = 4;

/// Bytes of a block without its commands.
pub const BLOCK_BYTES: usize = HEAD_BYTES + CHECKSUM_BYTES;
/// Bytes of a block for each command beside the command's own.
pub const COMMAND_BYTES: usize = 4;

/// Commands that were appended together. In the engine: `"DwBk", u8 version, u64 number, u64 term, u64 nonce, u64 first, u32
/// chain, u32 count`, for each command `u32 length` and its bytes, then CRC-32C of all this. Numbers are big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number, from 0.
    pub number: u64,
    /// The term of the owner that wrote it.
    pub term: u64,
    /// The owner's nonce.
    pub nonce: u64,
    /// The index of its first command.
    pub first: u64,
    /// The checksum of the block before it; of the first block, that of the log's name.
    pub chain: u32,
    /// The commands, at least one.
    pub commands: Vec<Bytes>,
}

/// Why bytes are no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// They do not begin as blocks do.
    #[error("it is not a block")]
    Magic,
    /// Another version of Diwan wrote it.
    #[error(
        "version {0} of the blocks' format, this program knows {VERSION}: run the version that wrote it"
    )]
    Version(u8),
    /// Its checksum is not that of its bytes.
    #[error("its checksum is {found:08x}, its bytes' {computed:08x}: it was changed")]
    Checksum {
        /// The one in the block.
        found: u32,
        /// That of the bytes.
        computed: u32,
    },
    /// Its lengths are not those of its bytes.
    #[error("its {0} bytes are not those that its lengths say")]
    Length(usize),
}

impl Block {
    /// The bytes for the engine, and their checksum, which is the next block's chain.
    pub fn write(&self) -> (Bytes, u32) {
        let commands: usize = self
            .commands
            .iter()
            .map(|it| COMMAND_BYTES + it.len())
            .sum();
        let mut out = BytesMut::with_capacity(BLOCK_BYTES + commands);
        out.put_slice(MAGIC);
        out.put_u8(VERSION);
        for number in [self.number, self.term, self.nonce, self.first] {
            out.put_u64(number);
        }
        out.put_u32(self.chain);
        out.put_u32(count(self.commands.len()));
        for command in &self.commands {
            out.put_u32(count(command.len()));
            out.put_slice(command);
        }
        let checksum = crc32c::crc32c(&out);
        out.put_u32(checksum);
        (out.freeze(), checksum)
    }

    /// Reads a block and its checksum.
    /// # Errors
    /// It is none, or was changed.
    pub fn read(bytes: &Bytes) -> Result<(Self, u32), BlockError> {
        let length = || BlockError::Length(bytes.len());
        if !bytes.starts_with(MAGIC) {
            return Err(BlockError::Magic);
        }
        match bytes.get(MAGIC.len()) {
            Some(&VERSION) => {}
            Some(&other) => return Err(BlockError::Version(other)),
            None => return Err(length()),
        }
        let (covered, found) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or_else(length)?;
        let found = u32::from_be_bytes(*found);
        let computed = crc32c::crc32c(covered);
        if covered.len() < HEAD_BYTES {
            return Err(length());
        }
        if found != computed {
            return Err(BlockError::Checksum { found, computed });
        }
        let mut rest = bytes.slice(MAGIC.len() + 1..covered.len());
        let mut block = Self {
            number: rest.get_u64(),
            term: rest.get_u64(),
            nonce: rest.get_u64(),
            first: rest.get_u64(),
            chain: rest.get_u32(),
            commands: Vec::new(),
        };
        for _ in 0..rest.get_u32() {
            let bytes = rest.try_get_u32().map_err(|_| length())? as usize;
            if bytes > rest.len() {
                return Err(length());
            }
            block.commands.push(rest.split_to(bytes));
        }
        match rest.is_empty() && !block.commands.is_empty() {
            true => Ok((block, found)),
            false => Err(length()),
        }
    }

    /// The index of its last command.
    pub fn last(&self) -> u64 {
        self.first + self.commands.len() as u64 - 1
    }
}

/// Blocks are smaller than 4 GiB.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks() -> impl Strategy<Value = Block> {
        let command = proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        let numbers = any::<(u64, u64, u64, u32, u32)>();
        (numbers, proptest::collection::vec(command, 1..8)).prop_map(|(numbers, commands)| Block {
            number: numbers.0,
            term: numbers.1,
            nonce: numbers.2,
            first: numbers.3.into(),
            chain: numbers.4,
            commands,
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(block in blocks()) {
            let (bytes, checksum) = block.write();
            let commands: usize = block.commands.iter().map(|it| it.len() + COMMAND_BYTES).sum();
            prop_assert_eq!(bytes.len(), BLOCK_BYTES + commands);
            prop_assert_eq!(Block::read(&bytes), Ok((block, checksum)));
        }

        #[test]
        fn what_was_changed_is_refused(block in blocks(), place: prop::sample::Index, change in 1..=255_u8) {
            let mut bytes = block.write().0.to_vec();
            let place = place.index(bytes.len());
            bytes[place] ^= change;
            prop_assert!(Block::read(&bytes.into()).is_err());
        }

        #[test]
        fn what_was_cut_is_refused(block in blocks(), end: prop::sample::Index) {
            let bytes = block.write().0;
            prop_assert!(Block::read(&bytes.slice(..end.index(bytes.len()))).is_err());
        }

        /// A checksum is no proof: whatever follows it must be read or refused, too.
        #[test]
        fn any_bytes_are_read_or_refused(rest: Vec<u8>) {
            let mut bytes = [&MAGIC[..], &[VERSION], &rest].concat();
            bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
            let bytes = Bytes::from(bytes);
            if let Ok((block, _)) = Block::read(&bytes) {
                prop_assert_eq!(block.write().0, bytes);
            }
        }
    }
}
