//! What must always hold, checked from outside the core.

use std::collections::BTreeMap;

use bytes::Bytes;
use diwan_raft::{Entry, Payload, Raft};

/// What the group has promised so far.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    leaders: BTreeMap<u64, usize>,
    /// Every entry that any member was told to apply.
    committed: BTreeMap<u64, (u64, Option<Bytes>)>,
    /// Every put that a client was told is done: index, value.
    acknowledged: BTreeMap<u64, u64>,
}

fn data(entry: &Entry) -> Option<Bytes> {
    match &entry.payload {
        Payload::Data(data) => Some(data.clone()),
        Payload::NoOp | Payload::Configuration(_) => None,
    }
}

impl Promises {
    pub(crate) fn last_committed(&self) -> u64 {
        self.committed.keys().next_back().copied().unwrap_or(0)
    }

    /// Election safety and leader completeness.
    pub(crate) fn leads(&mut self, node: usize, raft: &Raft) -> Result<(), String> {
        let term = raft.term();
        let first = *self.leaders.entry(term).or_insert(node);
        if first != node {
            return Err(format!("nodes {first} and {node} both lead term {term}"));
        }
        let compacted = raft.status().compacted.index;
        for (index, (committed, _)) in self.committed.range(compacted + 1..) {
            if raft.term_at(*index) != Some(*committed) {
                return Err(format!(
                    "node {node} leads term {term} without the committed entry {index} of term {committed}: it has {:?}",
                    raft.term_at(*index)
                ));
            }
        }
        Ok(())
    }

    /// State-machine safety: every member applies the same entry at an index.
    pub(crate) fn applies(&mut self, node: usize, entry: &Entry) -> Result<(), String> {
        let found = (entry.id.term, data(entry));
        let known = self
            .committed
            .entry(entry.id.index)
            .or_insert_with(|| found.clone());
        match *known == found {
            true => Ok(()),
            false => Err(format!(
                "node {node} applies {found:?} at {}, others applied {known:?}",
                entry.id.index
            )),
        }
    }

    /// A client was told that its put is done.
    pub(crate) fn acknowledges(&mut self, index: u64, value: u64) {
        self.acknowledged.insert(index, value);
    }

    /// Nothing acknowledged is lost: what a client was told is what was applied.
    pub(crate) fn nothing_lost(&self) -> Result<(), String> {
        for (index, value) in &self.acknowledged {
            let applied = self
                .committed
                .get(index)
                .and_then(|(_, data)| data.as_deref());
            if applied
                .and_then(|data| data.last_chunk::<8>())
                .is_none_or(|last| u64::from_be_bytes(*last) != *value)
            {
                return Err(format!(
                    "the acknowledged put of {value} at {index} is not what was applied: {applied:?}"
                ));
            }
        }
        Ok(())
    }
}
