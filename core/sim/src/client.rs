//! Clients that put and get, and remember what they saw.

use std::collections::BTreeMap;

use diwan_raft::Role;

use crate::linear::{Action, Operation, is_linearizable};
use crate::machine;
use crate::world::{Event, World};

/// An operation under way or done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) client: Client,
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

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Client {
    /// Asks any group, and guesses which node leads it.
    Guesser,
    /// Asks one group, and one node after the other until one leads, as real clients do: when faults have stopped it finds any
    /// leader soon, where those who guess may not find the only member of a group among six nodes.
    Searcher {
        /// Which one.
        group: usize,
    },
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

impl World {
    pub(crate) fn client_asks(&mut self, client: Client) {
        let ask = self.next_ask;
        self.next_ask += 1;
        let (group, searches) = match client {
            Client::Guesser => (self.pick_group(), false),
            Client::Searcher { group } => (group, true),
        };
        let groups = self.groups.len() as u64;
        let key = ask / (OPERATIONS_PER_KEY * groups) * groups + group as u64;
        let put = (searches || self.random.permille(600)).then_some(ask);
        self.asks.insert(
            ask,
            Ask {
                client,
                key,
                put,
                called: self.now,
            },
        );
        let node = match self.random.permille(700) {
            _ if searches => self.groups[group].searched,
            true => self.groups[group].last_leader,
            false => usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap_or(0),
        };
        let delay = self.random.between(100, 3_000);
        self.after(delay, Event::Arrive { ask, node });
        self.after(4_000_000, Event::GiveUp { ask });
    }

    pub(crate) fn ask_arrives(&mut self, ask: u64, node: usize) {
        let Some(asked) = self.asks.get(&ask).copied() else {
            return;
        };
        if let Some(until) = self.pause_of(node) {
            return self.at(until, Event::Arrive { ask, node });
        }
        let now = self.nodes[node].clock.local(self.now);
        let group = self.group_of_key(asked.key);
        let Some(alive) = &mut self.nodes[node].alive else {
            return self.finish_failed(ask);
        };
        let member = &mut alive.members[group];
        member.group.advance(now);
        self.faults.hold(ask, node);
        match asked.put {
            Some(value) => {
                let put = machine::put(asked.key, value, self.options.padding_bytes);
                if member.group.propose(put, ask).is_err() {
                    if alive.queue.is_full() && member.group.raft().role() == Role::Leader {
                        self.counts.add("proposals refused by a full disk");
                    }
                    let leader = member.group.raft().leader().cloned();
                    if asked.client != Client::Guesser {
                        self.groups[group].searched = (node + 1) % self.nodes.len();
                    }
                    self.groups[group].last_leader = match leader {
                        Some(leader) => self.place_of(&leader),
                        None => self.random.below(self.nodes.len() as u64) as usize,
                    };
                    self.finish_failed(ask);
                }
            }
            None => member.group.read(ask),
        }
        self.turn(node, group);
    }

    pub(crate) fn finish(&mut self, ask: u64) -> Option<Ask> {
        let asked = self.asks.remove(&ask)?;
        self.faults.release(ask);
        let laziness = match self.options.idles {
            true if asked.client != Client::Guesser => 15,
            true => 150,
            false => 1,
        };
        let think = self.random.between(1_000, 60_000) * laziness;
        self.after(
            think,
            Event::Client {
                client: asked.client,
            },
        );
        Some(asked)
    }

    pub(crate) fn finish_put(&mut self, ask: u64, index: u64) {
        if let Some(asked) = self.finish(ask) {
            self.counts.add("puts acknowledged");
            let in_calm = self.in_calm();
            let group = self.group_of_key(asked.key);
            let group = &mut self.groups[group];
            group.acknowledged_in_calm += u64::from(in_calm);
            group.promises.acknowledges(index, asked.put.unwrap_or(0));
            self.history.record(asked, None, self.now);
        }
    }

    pub(crate) fn finish_read(&mut self, node: usize, ask: u64) {
        let Some(key) = self.asks.get(&ask).map(|asked| asked.key) else {
            return;
        };
        let group = self.group_of_key(key);
        let member = self.nodes[node].member(group);
        let Some(value) = member.map(|member| member.machine.get(key)) else {
            return;
        };
        if let Some(asked) = self.finish(ask) {
            self.counts.add("gets answered");
            self.history.record(asked, Some(value), self.now);
        }
    }

    pub(crate) fn finish_failed(&mut self, ask: u64) {
        if self.finish(ask).is_some() {
            self.counts.add("operations refused");
        }
    }

    pub(crate) fn finish_unknown(&mut self, ask: u64) {
        if let Some(asked) = self.finish(ask) {
            if let Client::Searcher { group } = asked.client {
                let nodes = self.nodes.len();
                let searched = &mut self.groups[group].searched;
                *searched = (*searched + 1) % nodes;
            }
            self.counts.add("operations with unknown outcome");
            if asked.put.is_some() {
                self.history.record(asked, None, u64::MAX);
            }
        }
    }
}
