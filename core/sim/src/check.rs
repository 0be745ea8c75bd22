//! What must always hold, checked from outside the core.

use std::collections::BTreeMap;

use bytes::Bytes;
use diwan_raft::{Entry, Payload, Raft, Role};

use crate::group;
use crate::world::World;

/// What the group has promised so far.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    leaders: BTreeMap<u64, usize>,
    /// Every entry that any member was told to apply.
    committed: BTreeMap<u64, Committed>,
    /// Every put that a client was told is done: index, value.
    acknowledged: BTreeMap<u64, u64>,
}

/// An entry that is committed, and the term of who was told so first.
#[derive(Debug)]
struct Committed {
    entry: (u64, Option<Bytes>),
    told_in: u64,
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
        for (index, known) in self.committed.range(compacted + 1..) {
            // Votes that come late make a leader of a term that is over: it need not have what later terms committed, and
            // commits nothing.
            if known.told_in > term {
                continue;
            }
            let committed = known.entry.0;
            if raft.term_at(*index) != Some(committed) {
                return Err(format!(
                    "node {node} leads term {term} without the committed entry {index} of term {committed}: it has {:?}",
                    raft.term_at(*index)
                ));
            }
        }
        Ok(())
    }

    /// State-machine safety: every member applies the same entry at an index.
    pub(crate) fn applies(&mut self, node: usize, term: u64, entry: &Entry) -> Result<(), String> {
        let found = (entry.id.term, data(entry));
        let known = &self
            .committed
            .entry(entry.id.index)
            .or_insert_with(|| Committed {
                entry: found.clone(),
                told_in: term,
            })
            .entry;
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
                .and_then(|known| known.entry.1.as_deref());
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

impl World {
    pub(crate) fn check_end(&mut self) {
        if self.violation.is_none() {
            let open: Vec<u64> = self.asks.keys().copied().collect();
            for ask in open {
                self.finish_unknown(ask);
            }
            for group in self.all_groups() {
                let result = self.groups[group].promises.nothing_lost();
                self.check(result);
            }
        }
        if let Some((key, operations)) = self.history.first_violation() {
            let what = format!("no order explains what clients saw of key {key}: {operations:?}");
            // A wrong answer weighs more than a group that stands still.
            self.violation = None;
            self.violated(what);
        }
        if self.violation.is_none() && self.calm_since.is_some() {
            self.check_alive();
        }
    }

    /// Every group must have served so many puts of busy clients in the calm.
    pub(crate) fn check_busy(&mut self, puts: u64, when: &str) {
        for group in self.all_groups() {
            let done = self.groups[group].acknowledged_in_calm;
            if done < self.busy(puts) {
                let states = self.nodes.iter().map(|node| node.describe(group));
                let states: Vec<String> = states.collect();
                self.violated(format!(
                    "only {done} puts {when} in {}: {}",
                    group::name(group),
                    states.join("; ")
                ));
            }
        }
    }

    /// When faults have stopped the groups must serve, and their members must become alike.
    pub(crate) fn check_alive(&mut self) {
        self.check_busy(50, "in the calm");
        if self.violation.is_none() {
            self.all_groups().for_each(|group| self.check_alike(group));
        }
    }

    fn check_alike(&mut self, group: usize) {
        let last = self.groups[group].promises.last_committed();
        let mut members = self.nodes.iter().filter_map(|it| it.member(group));
        let leader = members.find(|it| it.group.raft().role() == Role::Leader);
        let members = leader.map(|it| it.group.raft().configuration().members());
        for member in members.unwrap_or_default() {
            let node = &self.nodes[self.place_of(&member)];
            if node.id != member {
                return self.violated(format!("{member}, whose disk is gone, is still a member"));
            }
            let applied = node.member(group).map_or(0, |it| it.applied);
            if applied + 500 < last {
                return self.violated(format!(
                    "{member} stands at {applied} after the calm, {} at {last}",
                    group::name(group)
                ));
            }
        }
    }

    /// The configuration that a member has in force is the one that its own log holds.
    pub(crate) fn check_configuration(&mut self, node: usize, group: usize) {
        let Some(member) = self.nodes[node].member(group) else {
            return;
        };
        let in_force = member.group.raft().configuration();
        let logged = member.configurations.values().next_back();
        if logged.is_some_and(|logged| logged != in_force) {
            let what = format!("node {node} has [{in_force}] in force, its log says {logged:?}");
            self.violated(what);
        }
    }
}
