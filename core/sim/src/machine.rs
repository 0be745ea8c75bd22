//! The state machine under test: registers.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

/// Registers by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) registers: BTreeMap<u64, u64>,
}

/// A put as it lies in the log: the key, so many bytes of no meaning, the value.
pub(crate) fn put(key: u64, value: u64, padding_bytes: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(16 + padding_bytes);
    bytes.put_u64(key);
    bytes.put_bytes(0xa5, padding_bytes);
    bytes.put_u64(value);
    bytes.freeze()
}

/// The key of a put, which is 0 if it is none.
pub(crate) fn key(put: &[u8]) -> u64 {
    put.first_chunk().map_or(0, |key| u64::from_be_bytes(*key))
}

impl Machine {
    pub(crate) fn apply(&mut self, command: &[u8]) {
        if let (Some(key), Some(value)) = (command.first_chunk(), command.last_chunk()) {
            self.registers
                .insert(u64::from_be_bytes(*key), u64::from_be_bytes(*value));
        }
    }

    pub(crate) fn get(&self, key: u64) -> u64 {
        self.registers.get(&key).copied().unwrap_or(0)
    }
}
