//! What a simulated member keeps through a crash.

use std::collections::BTreeMap;

use diwan_raft::{Configuration, Entry, HardState, LogId, LogState, Payload, SnapshotMeta, Write};

use crate::random::Random;

/// A snapshot of the key-value state.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: crate::machine::Machine,
}

#[derive(Clone, Debug, Default)]
struct Durable {
    hard_state: HardState,
    compacted: LogId,
    entries: BTreeMap<u64, Entry>,
}

impl Durable {
    fn carry_out(&mut self, write: Write) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(reset) = write.reset {
            self.compacted = reset;
            self.entries.clear();
        }
        if let Some(first) = write.append.first() {
            self.entries.split_off(&first.id.index);
        }
        self.entries.extend(
            write
                .append
                .into_iter()
                .map(|entry| (entry.id.index, entry)),
        );
        if let Some(compact) = write.compact {
            self.compacted = compact;
            self.entries = self.entries.split_off(&(compact.index + 1));
        }
    }
}

/// The disk of one member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    durable: Durable,
    unsynced: Vec<Write>,
    pub(crate) snapshot: Option<Snapshot>,
}

impl Store {
    pub(crate) fn write(&mut self, writes: Vec<Write>) {
        self.unsynced.extend(writes);
    }

    pub(crate) fn sync(&mut self) {
        for write in self.unsynced.drain(..) {
            self.durable.carry_out(write);
        }
    }

    /// Power is lost: of what was not synced a random part of the front stays.
    pub(crate) fn crash(&mut self, random: &mut Random) -> bool {
        let kept = random.below(self.unsynced.len() as u64 + 1);
        let torn = kept < self.unsynced.len() as u64;
        self.unsynced.truncate(usize::try_from(kept).unwrap_or(0));
        self.sync();
        torn
    }

    pub(crate) fn recover(&self) -> (HardState, LogState) {
        let durable = &self.durable;
        let mut log = LogState {
            compacted: durable.compacted,
            last: durable
                .entries
                .keys()
                .next_back()
                .copied()
                .unwrap_or(durable.compacted.index),
            ..LogState::default()
        };
        if let Some(snapshot) = &self.snapshot {
            log.configurations.push((
                snapshot.meta.last.index,
                Configuration::clone(&snapshot.meta.configuration),
            ));
        }
        for entry in durable.entries.values() {
            if log
                .terms
                .last()
                .is_none_or(|(_, term)| *term != entry.id.term)
            {
                log.terms.push((entry.id.index, entry.id.term));
            }
            if let Payload::Configuration(configuration) = &entry.payload {
                log.configurations
                    .push((entry.id.index, Configuration::clone(configuration)));
            }
        }
        log.configurations.sort_by_key(|(index, _)| *index);
        (durable.hard_state.clone(), log)
    }

    pub(crate) fn read(&self, low: u64, high: u64) -> Vec<Entry> {
        self.durable
            .entries
            .range(low..=high)
            .map(|(_, entry)| entry.clone())
            .collect()
    }
}
