//! How a machine starts, and how it ends.

use std::collections::BTreeMap;

use diwan_raft::{Config, Configuration, Raft};
use diwan_replica::{Group, WriteQueue};

use crate::node::{Alive, Node};
use crate::store::SEGMENT_BYTES;
use crate::world::{Event, World};

impl World {
    pub(crate) fn start(&mut self, node: usize) {
        if self.nodes[node].alive.is_some() {
            return;
        }
        let first = self.faults.first_members;
        let initial = match node < first && self.nodes[node].id.index() == 0 {
            true => Configuration::of((0..first).map(|place| Node::name(place, 0)).collect()),
            false => Configuration::default(),
        };
        let it = &mut self.nodes[node];
        it.life += 1;
        let mut config = Config::new(it.id.clone(), initial);
        config.seed = self.options.seed ^ (node as u64) << 32 ^ it.life << 48 ^ 0x5eed;
        config.lease_reads = self.options.lease_reads;
        config.append_timeout = std::time::Duration::from_millis(700);
        config.install_timeout = std::time::Duration::from_secs(5);
        config.cache_bytes_max = 4_000;
        config.message_entries_max = if self.options.hostile_elections {
            1
        } else {
            16
        };
        config.inflight_messages_max = if self.options.hostile_elections { 1 } else { 8 };
        config.catch_up_margin = 50;
        config.quiesce_after = std::time::Duration::from_millis(200);
        #[cfg(feature = "museum")]
        {
            config.bugs = self.options.bugs;
        }
        #[cfg(feature = "museum")]
        if self.options.trusts_page_cache {
            it.store.trust_page_cache();
        }
        let opened = it.store.open(it.life, &mut self.counts);
        let Some(start) = self.judge_opening(node, opened) else {
            return;
        };
        let it = &mut self.nodes[node];
        let snapshot = it.store.snapshot.clone();
        let machine = snapshot
            .as_ref()
            .map(|snapshot| snapshot.state.clone())
            .unwrap_or_default();
        let applied = snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.meta.last.index);
        let now = it.clock.local(self.now);
        let liveness = self.new_liveness(node, now);
        let it = &mut self.nodes[node];
        let configurations = start.log.configurations.iter().cloned().collect();
        let raft = Raft::new(config, start, now);
        it.alive = Some(Alive {
            group: Group::new(raft),
            machine,
            timer: u64::MAX,
            queue: WriteQueue::new(u64::from(SEGMENT_BYTES) / 4),
            syncing: None,
            liveness,
            changing: false,
            asked: BTreeMap::new(),
            configurations,
            applied,
        });
        self.counts.add("starts");
        if self.options.idles {
            let life = self.nodes[node].life;
            self.after(0, Event::Watch { node, life });
        }
        self.turn(node);
    }

    /// A member's process dies, or its machine loses power.
    pub(crate) fn crash(&mut self, node: usize, power: bool) {
        let it = &mut self.nodes[node];
        if it.alive.take().is_some() {
            it.life += 1;
            match power {
                true => it.store.crash(),
                false => it.store.kill(),
            }
            self.counts.add(if power {
                "power failures"
            } else {
                "killed processes"
            });
            let asked: Vec<u64> = self
                .asks
                .keys()
                .copied()
                .filter(|ask| self.faults.holder(*ask) == Some(node))
                .collect();
            for ask in asked {
                self.finish_unknown(ask);
            }
        }
    }
}
