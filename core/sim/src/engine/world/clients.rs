//! Clients that put and get, and remember what they saw.

use super::{Event, NODES, PATIENCE_MICROS, World};
use crate::client::{Ask, Client, OPERATIONS_PER_KEY};
use crate::machine;

impl World {
    pub(super) fn client(&mut self) {
        let ask = self.next_ask;
        self.next_ask += 1;
        let put = self.random.permille(600).then_some(ask);
        let key = ask / OPERATIONS_PER_KEY;
        let called = self.now;
        self.asks.insert(
            ask,
            Ask {
                client: Client::Guesser,
                key,
                put,
                called,
            },
        );
        let node = match self.random.permille(if put.is_some() { 900 } else { 500 }) {
            true => self.last_leader,
            false => self.random.below(NODES as u64) as usize,
        };
        let delay = self.random.between(100, 2_000);
        self.after(delay, Event::Put { ask, node });
        self.after(PATIENCE_MICROS, Event::GiveUp { ask });
    }

    pub(super) fn put(&mut self, ask: u64, node: usize) {
        let Some(asked) = self.asks.get(&ask).copied() else {
            return;
        };
        let (life, now) = (self.nodes[node].life, self.local(node));
        if self.nodes[node].alive.is_none() {
            return self.finish_refused(ask);
        }
        let mut refused = false;
        let padding = self.random.below(40) as usize;
        self.with(node, life, |alive| {
            match asked.put {
                Some(value) => {
                    let put = machine::put(asked.key, value, padding);
                    refused = alive.log.propose(ask, put).is_err();
                }
                None => alive.log.read(ask),
            }
            alive.log.advance(now);
        });
        if refused {
            self.finish_refused(ask);
        }
    }

    fn finish(&mut self, ask: u64) -> Option<Ask> {
        let asked = self.asks.remove(&ask)?;
        let think = self.random.between(500, 20_000);
        self.after(think, Event::Client);
        Some(asked)
    }

    pub(super) fn finish_put(&mut self, ask: u64, index: u64) {
        if let Some(asked) = self.finish(ask) {
            self.counts.add("puts acknowledged");
            self.acknowledged_in_calm += u64::from(self.in_calm());
            self.acknowledged.insert(index, asked.put.unwrap_or(0));
            self.history.record(asked, None, self.now);
        }
    }

    pub(super) fn finish_get(&mut self, node: usize, ask: u64) {
        let Some(alive) = &self.nodes[node].alive else {
            return;
        };
        let Some(key) = self.asks.get(&ask).map(|asked| asked.key) else {
            return;
        };
        let seen = alive.machine.get(key);
        if let Some(asked) = self.finish(ask) {
            self.counts.add("gets answered");
            self.history.record(asked, Some(seen), self.now);
        }
    }

    pub(super) fn finish_failed(&mut self, ask: u64) {
        if self.finish(ask).is_some() {
            self.counts.add("operations refused");
        }
    }

    pub(super) fn finish_refused(&mut self, ask: u64) {
        self.refused.insert(ask);
        if self.places.contains_key(&ask) {
            self.violated(format!("put {ask} is refused, and was carried out"));
        }
        self.finish_failed(ask);
    }

    pub(super) fn finish_unknown(&mut self, ask: u64) {
        if let Some(asked) = self.finish(ask) {
            self.counts.add("operations with unknown outcome");
            if asked.put.is_some() {
                self.history.record(asked, None, u64::MAX);
            }
        }
    }
}
