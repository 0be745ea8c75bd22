//! The state machine under test: registers.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

/// Registers by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) registers: BTreeMap<u64, u64>,
}

/// A put as it lies in the log.
pub(crate) fn put(key: u64, value: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(16);
    bytes.put_u64(key);
    bytes.put_u64(value);
    bytes.freeze()
}

impl Machine {
    pub(crate) fn apply(&mut self, command: &[u8]) {
        if let ([key, value], []) = command.as_chunks::<8>() {
            self.registers
                .insert(u64::from_be_bytes(*key), u64::from_be_bytes(*value));
        }
    }

    pub(crate) fn get(&self, key: u64) -> u64 {
        self.registers.get(&key).copied().unwrap_or(0)
    }
}
