//! Disks that are damaged while their member is down, and the operator who does what the log's error says: the member is
//! removed, and the machine joins again with an empty disk and another name.
//!
//! Another name, because somebody who knows an old configuration alone might ask the empty member for its vote, which an
//! earlier life had given.

use diwan_raft::{Configuration, Start};
use diwan_replica::store::StoreError;
use diwan_wal::Error;

use crate::fault::Damaged;
use crate::node::Node;
use crate::store::{Kept, Store};
use crate::world::{Event, World};

impl World {
    /// A sector of the machine's log goes bad while it is down, if all groups can do without it for good.
    pub(crate) fn damage_disk(&mut self, node: usize) {
        if self.faults.damaged.is_some() || !self.can_do_without(node) {
            return;
        }
        let power = self.random.permille(600);
        self.crash(node, power);
        let it = &mut self.nodes[node];
        it.store.heal();
        it.disk_may_fail = false;
        if it.store.damage(&mut self.random) {
            self.counts.add("sectors corrupted");
            self.faults.damaged = Some(Damaged {
                node,
                replaced: false,
            });
        }
        let down = self.random.between(1_000, 3_000_000);
        self.after(down, Event::Start { node });
    }

    /// Whether every configuration that still matters has a majority without this machine. The last committed one of each
    /// group has to be in force at all its members, and no change may be under way.
    pub(crate) fn can_do_without(&self, node: usize) -> bool {
        self.all_groups().all(|group| {
            let leader = self.leader(group);
            let leader = leader.and_then(|leader| self.nodes[leader].member(group));
            leader.is_some_and(|leader| {
                let id = &self.nodes[node].id;
                let configuration = leader.group.raft().configuration();
                leader.is_settled()
                    && (configuration.peers.len() >= 3 || !configuration.peers.contains(id))
                    && self.all_agree(group, configuration)
            })
        })
    }

    /// What is to be done with what opening the log has shown. None if the node does not start now.
    pub(crate) fn judge_opening(
        &mut self,
        node: usize,
        opened: Result<(Vec<Start>, Kept), StoreError>,
    ) -> Option<Vec<Start>> {
        let waits = |it: Damaged| it.node == node && !it.replaced;
        let damaged = self.faults.damaged.is_some_and(waits);
        match opened {
            Ok((starts, Kept::All)) => {
                if damaged {
                    self.counts.add("damage that nothing in use suffered");
                    self.faults.damaged = None;
                }
                return Some(starts);
            }
            // The documented limit: nothing behind the last batch says that it was durable.
            Ok((_, Kept::Proven)) if damaged => {
                self.counts.add("corrupt ends cut like torn tails");
                self.replace_disk(node);
            }
            Ok((_, kept)) => self.violated(format!(
                "node {node} opens a log that has lost what was durable: {kept:?}"
            )),
            Err(StoreError::Wal(Error::Corrupt { .. })) if damaged => {
                self.counts.add("corrupt logs refused");
                self.replace_disk(node);
            }
            Err(StoreError::Wal(Error::Full)) => {
                self.counts.add("starts put off by a full disk");
                self.nodes[node].store.kill();
                self.after(700_000, Event::Start { node });
            }
            Err(error) => {
                self.nodes[node].life += 1;
                self.disk_failed(node, format!("it cannot start: {error}"));
            }
        }
        None
    }

    fn replace_disk(&mut self, node: usize) {
        self.counts.add("disks replaced");
        self.faults.damaged = Some(Damaged {
            node,
            replaced: true,
        });
        let it = &mut self.nodes[node];
        it.life += 1;
        let replaced = it.id.index() + 1;
        it.id = Node::name(node, replaced);
        let seed = self.random.bits();
        it.store = Store::new(seed);
        let down = self.random.between(1_000, 3_000_000);
        self.after(down, Event::Start { node });
        self.after(1_000, Event::Operator);
    }

    /// Puts the machine's new member, or nobody, in place of the one whose disk is gone, in each group.
    pub(crate) fn replace_member(&mut self) {
        let with_new = self.random.permille(500);
        let delay = self.random.between(300_000, 1_500_000);
        self.after(delay, Event::Operator);
        let mut replaced = true;
        for group in self.all_groups() {
            replaced &= self.replace_member_of(group, with_new);
        }
        if replaced && self.faults.damaged.take_if(|it| it.replaced).is_some() {
            self.counts.add("members replaced");
        }
    }

    /// Whether nobody is left to be replaced in this group.
    fn replace_member_of(&mut self, group: usize, with_new: bool) -> bool {
        let Some(leader) = self.leader(group) else {
            return false;
        };
        let Some(member) = self.nodes[leader].member(group) else {
            return false;
        };
        let configuration = member.group.raft().configuration().clone();
        let current = |member: &_| self.nodes[self.place_of(member)].id == *member;
        if configuration.members().iter().all(current) {
            return member.is_settled();
        }
        let renamed = |members: &[_]| {
            let kept = members.iter().filter(|member| current(member) || with_new);
            kept.map(|member| self.nodes[self.place_of(member)].id.clone())
                .collect()
        };
        let target = Configuration {
            learners: renamed(&configuration.learners),
            ..Configuration::of(renamed(&configuration.peers))
        };
        if let Some(member) = self.nodes[leader].member_mut(group)
            && member.change_members(target)
        {
            self.counts.add("replacements begun");
        }
        self.turn(leader, group);
        false
    }
}
