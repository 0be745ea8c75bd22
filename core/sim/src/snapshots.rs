//! Snapshots: taken, and fetched from others.

use diwan_raft::Token;

use crate::store::Snapshot;
use crate::world::World;

const SNAPSHOT_ENTRIES: u64 = 200;

impl World {
    pub(crate) fn maybe_snapshot(&mut self, node: usize) {
        let it = &self.nodes[node];
        let taken = it
            .store
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.meta.last.index);
        if it
            .alive
            .as_ref()
            .is_some_and(|alive| alive.applied >= taken + SNAPSHOT_ENTRIES)
        {
            self.take_snapshot(node);
        }
    }

    pub(crate) fn take_snapshot(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        let Some(alive) = &mut it.alive else { return };
        if it.store.refuses_snapshots() {
            return self.counts.add("snapshots refused by a full disk");
        }
        let index = alive.group.raft().applied_index();
        if index != alive.applied
            || it
                .store
                .snapshot
                .as_ref()
                .is_some_and(|taken| taken.meta.last.index >= index)
        {
            return;
        }
        let Some(meta) = alive.group.raft().snapshot_meta(index) else {
            return;
        };
        it.store.snapshot = Some(Snapshot {
            meta,
            state: alive.machine.clone(),
        });
        alive.group.raft_mut().compact(index, 20);
        self.counts.add("snapshots taken");
    }

    pub(crate) fn fetched(&mut self, node: usize, token: Token, from: usize) {
        let reachable =
            !self.network.cut.contains(&(from, node)) && !self.network.cut.contains(&(node, from));
        let snapshot = self.nodes[from]
            .store
            .snapshot
            .clone()
            .filter(|_| reachable && self.nodes[from].alive.is_some());
        let it = &mut self.nodes[node];
        let Some(alive) = &mut it.alive else { return };
        let snapshot = snapshot.filter(|_| !it.store.refuses_snapshots());
        let wanted = alive.group.raft().fetching(token);
        match snapshot.filter(|snapshot| Some(snapshot.meta.last) == wanted) {
            Some(snapshot) => {
                if alive.group.raft_mut().begin_install(token) {
                    self.counts.add("snapshots installed");
                    it.store.snapshot = Some(snapshot.clone());
                    alive.machine = snapshot.state;
                    alive.applied = snapshot.meta.last.index;
                    alive.group.snapshot_installed(token, snapshot.meta);
                }
            }
            None => {
                self.counts.add("snapshot fetches failed");
                alive.group.raft_mut().snapshot_failed(token, "gone");
            }
        }
        self.turn(node);
    }
}
