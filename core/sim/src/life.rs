//! How a machine starts, and how it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use diwan_raft::{Config, Configuration, Raft, Start, Time};
use diwan_replica::{Group, WriteQueue};

use crate::group;
use crate::machine::Machine;
use crate::node::{Alive, Member, Node};
use crate::persist::groups_of;
use crate::store::SEGMENT_BYTES;
use crate::traffic::Outboxes;
use crate::world::{Event, World};

impl World {
    pub(crate) fn start(&mut self, node: usize) {
        if self.nodes[node].alive.is_some() {
            return;
        }
        let groups = self.groups.len();
        let it = &mut self.nodes[node];
        it.life += 1;
        #[cfg(feature = "museum")]
        if self.options.trusts_page_cache {
            it.store.trust_page_cache();
        }
        let opened = it.store.open(groups, it.life, &mut self.counts);
        let Some(starts) = self.judge_opening(node, opened) else {
            return;
        };
        for (group, start) in starts.iter().enumerate() {
            let told = self.nodes[node].store.told.entry(group).or_default();
            if let Err(what) = told.starts(start) {
                return self.violated(format!("node {node}, {}: {what}", group::name(group)));
            }
        }
        let now = self.nodes[node].clock.local(self.now);
        let members = starts
            .into_iter()
            .enumerate()
            .map(|(group, start)| self.new_member(node, group, start, now))
            .collect();
        let liveness = self.new_liveness(node, now);
        self.nodes[node].alive = Some(Alive {
            members,
            queue: WriteQueue::new(u64::from(SEGMENT_BYTES) / 4),
            syncing: None,
            liveness,
            outboxes: Outboxes::default(),
        });
        self.counts.add("starts");
        if self.options.idles {
            let life = self.nodes[node].life;
            self.after(0, Event::Watch { node, life });
        }
        self.turn_all(node);
    }

    /// A group's member as it comes from the disk.
    fn new_member(&self, node: usize, group: usize, start: Start, now: Time) -> Member {
        let snapshot = self.nodes[node].store.snapshots.get(&group);
        let machine = snapshot.map_or_else(Machine::default, |it| it.state.clone());
        let applied = snapshot.map_or(0, |it| it.meta.last.index);
        let configurations = start.log.configurations.iter().cloned().collect();
        let raft = Raft::new(self.config(node, group), start, now);
        Member {
            group: Group::new(raft),
            machine,
            timer: u64::MAX,
            changing: false,
            asked: BTreeMap::new(),
            configurations,
            applied,
        }
    }

    fn config(&self, node: usize, group: usize) -> Config {
        let (it, options) = (&self.nodes[node], &self.options);
        let first = self.faults.first_members;
        let initial = match node < first && it.id.index() == 0 {
            true => Configuration::of((0..first).map(|place| Node::name(place, 0)).collect()),
            false => Configuration::default(),
        };
        let mut config = Config::new(it.id.clone(), initial);
        config.seed =
            options.seed ^ (node as u64) << 32 ^ (group as u64) << 40 ^ it.life << 48 ^ 0x5eed;
        config.lease_reads = options.lease_reads;
        config.append_timeout = Duration::from_millis(700);
        config.install_timeout = Duration::from_secs(5);
        config.cache_bytes_max = 4_000;
        let (entries, inflight) = match options.hostile_elections {
            true => (1, 1),
            false => (16, 8),
        };
        config.message_entries_max = entries;
        config.inflight_messages_max = inflight;
        config.catch_up_margin = 50;
        config.quiesce_after = Duration::from_millis(200);
        config.commit_delay = options.commit_delay;
        #[cfg(feature = "museum")]
        {
            config.bugs = options.bugs;
        }
        config
    }

    /// A node's process dies, or its machine loses power.
    pub(crate) fn crash(&mut self, node: usize, power: bool) {
        let it = &mut self.nodes[node];
        if let Some(alive) = it.alive.take() {
            it.life += 1;
            if alive.syncing.is_some_and(|it| groups_of(&it).len() > 1) {
                self.counts.add("crashes amid syncs of several groups");
            }
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
