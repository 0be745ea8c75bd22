//! Snapshots: taken, and fetched from others.

use diwan_raft::{PeerId, Token};

use crate::store::Snapshot;
use crate::world::World;

const SNAPSHOT_ENTRIES: u64 = 200;

impl World {
    pub(crate) fn maybe_snapshot(&mut self, node: usize, group: usize) {
        let it = &self.nodes[node];
        let taken = it.store.snapshots.get(&group);
        let taken = taken.map_or(0, |snapshot| snapshot.meta.last.index);
        let member = it.member(group);
        if member.is_some_and(|member| member.applied >= taken + SNAPSHOT_ENTRIES) {
            self.take_snapshot(node, group);
        }
    }

    pub(crate) fn take_snapshot(&mut self, node: usize, group: usize) {
        let it = &mut self.nodes[node];
        let Some(alive) = &mut it.alive else { return };
        if it.store.refuses_snapshots() {
            return self.counts.add("snapshots refused by a full disk");
        }
        let member = &mut alive.members[group];
        let index = member.group.raft().applied_index();
        let taken = it.store.snapshots.get(&group);
        if index != member.applied || taken.is_some_and(|taken| taken.meta.last.index >= index) {
            return;
        }
        let Some(meta) = member.group.raft().snapshot_meta(index) else {
            return;
        };
        let state = member.machine.clone();
        it.store.snapshots.insert(group, Snapshot { meta, state });
        member.group.raft_mut().compact(index, 20);
        self.counts.add("snapshots taken");
    }

    /// A follower needs what its leader's log no longer has.
    pub(crate) fn offer_snapshot(&mut self, node: usize, group: usize, peer: &PeerId) {
        let it = &mut self.nodes[node];
        let Some(alive) = &mut it.alive else { return };
        let raft = alive.members[group].group.raft_mut();
        match it.store.snapshots.get(&group) {
            Some(snapshot) => {
                self.counts.add("snapshots offered");
                raft.offer_snapshot(peer, snapshot.meta.clone(), "remote://sim/1".into());
            }
            None => raft.snapshot_refused(peer),
        }
    }

    pub(crate) fn fetched(&mut self, node: usize, group: usize, token: Token, from: usize) {
        let cut = &self.network.cut;
        let reachable = !cut.contains(&(from, node)) && !cut.contains(&(node, from));
        let there = self.nodes[from].store.snapshots.get(&group).cloned();
        let snapshot = there.filter(|_| reachable && self.nodes[from].alive.is_some());
        let it = &mut self.nodes[node];
        let Some(alive) = &mut it.alive else { return };
        let member = &mut alive.members[group];
        let snapshot = snapshot.filter(|_| !it.store.refuses_snapshots());
        let wanted = member.group.raft().fetching(token);
        match snapshot.filter(|snapshot| Some(snapshot.meta.last) == wanted) {
            Some(snapshot) => {
                if member.group.raft_mut().begin_install(token) {
                    self.counts.add("snapshots installed");
                    it.store.snapshots.insert(group, snapshot.clone());
                    member.machine = snapshot.state;
                    member.applied = snapshot.meta.last.index;
                    member.group.snapshot_installed(token, snapshot.meta);
                }
            }
            None => {
                self.counts.add("snapshot fetches failed");
                member.group.raft_mut().snapshot_failed(token, "gone");
            }
        }
        self.turn(node, group);
    }
}
