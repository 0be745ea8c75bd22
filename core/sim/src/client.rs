//! Clients that put and get, and remember what they saw.

use std::collections::BTreeMap;

use crate::linear::{Action, Operation, is_linearizable};

/// An operation under way or done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) client: usize,
    pub(crate) key: u64,
    /// None: a get.
    pub(crate) put: Option<u64>,
    pub(crate) called: u64,
}

/// What clients saw, by key.
#[derive(Debug, Default)]
pub(crate) struct History {
    done: BTreeMap<u64, Vec<Operation>>,
}

/// A key is left for the next one after this many operations: the search for an order grows with them.
pub(crate) const OPERATIONS_PER_KEY: u64 = 60;

impl History {
    pub(crate) fn record(&mut self, ask: Ask, seen: Option<u64>, returned: u64) {
        let action = match ask.put {
            Some(value) => Action::Put(value),
            None => Action::Get(seen.unwrap_or(0)),
        };
        self.done.entry(ask.key).or_default().push(Operation {
            action,
            called: ask.called,
            returned,
        });
    }

    /// The first key whose operations no order explains.
    pub(crate) fn first_violation(&self) -> Option<(u64, &[Operation])> {
        let broken = self
            .done
            .iter()
            .find(|(_, operations)| operations.len() <= 512 && !is_linearizable(operations));
        broken.map(|(key, operations)| (*key, operations.as_slice()))
    }
}
