//! How the writes of a node's members reach its disk, one sync at a time, and what it does when the disk fails or is full.

use std::collections::BTreeSet;

use diwan_replica::Flushed;

use crate::group;
use crate::store::SEGMENT_BYTES;
use crate::world::{Event, World};

/// The groups of which something is made durable.
pub(crate) fn groups_of(flushed: &Flushed) -> BTreeSet<usize> {
    let ids = flushed.groups.keys().chain(flushed.hard_states.keys());
    ids.map(|id| group::of_wal_id(*id)).collect()
}

impl World {
    /// Gives the disk what waits for it, if it is free.
    pub(crate) fn start_sync(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        let Some(alive) = it.alive.as_mut().filter(|alive| alive.syncing.is_none()) else {
            return;
        };
        let was_full = alive.queue.is_full();
        let flushed = match it.store.flush(&mut alive.queue) {
            Ok(flushed) => flushed,
            Err(error) => return self.disk_failed(node, error.to_string()),
        };
        let full = alive.queue.is_full();
        if full != was_full {
            for member in &mut alive.members {
                member.group.raft_mut().disk_full(full);
            }
            if alive.members.len() > 1 {
                // The others have something to say about it, too.
                self.after(0, Event::Resume { node });
            }
        }
        let it = &self.nodes[node];
        let (life, factor) = (it.life, it.disk_factor);
        match (was_full, full) {
            (false, true) => {
                self.counts.add("writes refused by a full disk");
                let delay = self.random.between(20_000, 500_000);
                self.after(delay, Event::Room { node, life });
            }
            (true, true) if flushed.bytes > 0 => self.counts.add("writes by way of the reserve"),
            (true, false) => self.counts.add("full disks with room again"),
            _ => {}
        }
        if flushed.bytes > 0 {
            if groups_of(&flushed).len() > 1 {
                self.counts.add("syncs of several groups");
            }
            if let Some(alive) = &mut self.nodes[node].alive {
                alive.syncing = Some(flushed);
            }
            let latency = self.random.between(100, 5_000) * factor;
            self.after(latency, Event::Synced { node, life });
        }
    }

    /// Entries that were refused are tried again.
    pub(crate) fn look_for_room(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        let life = it.life;
        let Some(alive) = &it.alive else { return };
        if alive.syncing.is_none() {
            if let Err(error) = it.store.look_for_room() {
                return self.disk_failed(node, error.to_string());
            }
            self.start_sync(node);
        }
        let alive = self.nodes[node].alive.as_ref();
        if alive.is_some_and(|alive| alive.queue.is_full()) {
            let delay = self.random.between(2_000, 200_000);
            self.after(delay, Event::Room { node, life });
        }
    }

    pub(crate) fn synced(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        if let Err(error) = it.store.sync() {
            return self.disk_failed(node, error.to_string());
        }
        if let Some(alive) = &mut it.alive {
            let flushed = alive.syncing.take().unwrap_or_default();
            let groups = groups_of(&flushed);
            for (id, sequence) in flushed.hard_states {
                let group = group::of_wal_id(id);
                let told = it.store.told.entry(group).or_default();
                told.hard_state_persisted(sequence);
                let raft = alive.members[group].group.raft_mut();
                raft.hard_state_persisted(sequence);
            }
            for (id, sequence) in flushed.groups {
                let group = group::of_wal_id(id);
                it.store.told.entry(group).or_default().persisted(sequence);
                alive.members[group].group.raft_mut().persisted(sequence);
            }
            self.start_sync(node);
            for group in groups {
                self.turn(node, group);
            }
        }
    }

    /// A node whose disk failed stops: it must not go on as if its writes were durable.
    pub(crate) fn disk_failed(&mut self, node: usize, error: String) {
        if !std::mem::take(&mut self.nodes[node].disk_may_fail) {
            return self.violated(format!("the disk of node {node} fails: {error}"));
        }
        self.counts.add("members stopped by their disk");
        // With the machine, or alone: then the page cache may show what the disk refused.
        let power = self.random.chance(1, 2);
        self.crash(node, power);
        let store = &mut self.nodes[node].store;
        match power {
            true => store.crash(),
            false => store.kill(),
        }
        let down = self.random.between(1_000, 3_000_000);
        self.after(down, Event::Start { node });
    }

    /// Others fill the disk, for a while.
    pub(crate) fn fill_disk(&mut self, node: usize) {
        self.counts.add("disks full");
        let free = self.random.below(2 * u64::from(SEGMENT_BYTES));
        let snapshots_fit = self.random.permille(250);
        let store = &mut self.nodes[node].store;
        store.set_full(Some((free, snapshots_fit)));
        let until = self.random.between(500_000, 20_000_000);
        self.after(until, Event::Free { node });
    }
}
