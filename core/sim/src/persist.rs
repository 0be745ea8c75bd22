//! How a member's writes reach its disk, one sync at a time, and what it does when the disk fails or is full.

use diwan_raft::Write;
use diwan_replica::store;
use diwan_wal::Error;

use crate::node::Syncing;
use crate::store::SEGMENT_BYTES;
use crate::world::{Event, World};

/// How many writes go into one batch: a batch has to fit into a segment.
fn first_batch(queued: &[Write]) -> usize {
    let mut bytes = 0;
    let fits = |write: &&Write| {
        bytes += 256
            + write
                .append
                .iter()
                .map(|it| it.weight() + 64)
                .sum::<usize>();
        bytes < SEGMENT_BYTES as usize / 2
    };
    queued.iter().take_while(fits).count().max(1)
}

impl World {
    /// Gives the disk what waits for it, if it is free.
    pub(crate) fn start_sync(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        let Some(alive) = &mut it.alive else { return };
        if alive.syncing.is_some() || alive.queued.is_empty() {
            return;
        }
        if !alive.full && !self.write_entries(node) {
            return;
        }
        let it = &mut self.nodes[node];
        let Some(alive) = it.alive.as_mut().filter(|alive| alive.full) else {
            return;
        };
        // Term, vote and the beginning of the log go through on a full disk, entries wait.
        let Some(write) = store::without_entries(&alive.queued) else {
            return;
        };
        match it.store.write(std::slice::from_ref(&write)) {
            Ok(()) => {
                store::keep_entries(&mut alive.queued);
                self.counts.add("writes by way of the reserve");
                self.begin_sync(node, write.sequence, false);
            }
            Err(Error::Full) => self.counts.add("reserves used up"),
            Err(error) => self.disk_failed(node, error.to_string()),
        }
    }

    /// Writes what comes first. False if the node is down afterwards.
    fn write_entries(&mut self, node: usize) -> bool {
        let it = &mut self.nodes[node];
        let Some(alive) = &mut it.alive else {
            return false;
        };
        let count = first_batch(&alive.queued);
        match it.store.write(&alive.queued[..count]) {
            Ok(()) => {
                let last = alive.queued.drain(..count).next_back();
                if let Some(last) = last {
                    if std::mem::take(&mut alive.full) {
                        alive.group.raft_mut().set_disk_full(false);
                        self.counts.add("full disks with room again");
                    }
                    self.begin_sync(node, last.sequence, true);
                }
            }
            Err(Error::Full) => {
                self.counts.add("writes refused by a full disk");
                alive.full = true;
                alive.group.raft_mut().set_disk_full(true);
                let (life, delay) = (it.life, self.random.between(20_000, 500_000));
                self.after(delay, Event::Room { node, life });
            }
            Err(error) => {
                self.disk_failed(node, error.to_string());
                return false;
            }
        }
        true
    }

    /// Entries that were refused are tried again.
    pub(crate) fn look_for_room(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        let life = it.life;
        let Some(alive) = &mut it.alive else { return };
        if alive.syncing.is_some() {
            return self.after(2_000, Event::Room { node, life });
        }
        if let Err(error) = it.store.look_for_room() {
            return self.disk_failed(node, error.to_string());
        }
        self.write_entries(node);
    }

    fn begin_sync(&mut self, node: usize, sequence: u64, entries: bool) {
        let it = &mut self.nodes[node];
        if let Some(alive) = &mut it.alive {
            alive.syncing = Some(Syncing { sequence, entries });
        }
        let (life, factor) = (it.life, it.disk_factor);
        let latency = self.random.between(100, 5_000) * factor;
        self.after(latency, Event::Synced { node, life });
    }

    pub(crate) fn synced(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        if let Err(error) = it.store.sync() {
            return self.disk_failed(node, error.to_string());
        }
        if let Some(alive) = &mut it.alive {
            let raft = alive.group.raft_mut();
            match alive.syncing.take() {
                Some(synced) if synced.entries => raft.persisted(synced.sequence),
                Some(synced) => raft.persisted_without_entries(synced.sequence),
                None => {}
            }
            self.start_sync(node);
            self.turn(node);
        }
    }

    /// A member whose disk failed stops: it must not go on as if its writes were durable.
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
