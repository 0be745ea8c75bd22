//! What goes wrong, and when it stops.

use std::collections::BTreeMap;

use diwan_raft::{Configuration, PeerId, Role};

use crate::network::Network;
use crate::world::{ELECTION_TIMEOUT_MICROS, Event, World};

/// What the faults need to remember.
pub(crate) struct Faults {
    pub(crate) first_members: usize,
    /// Where clients believe the leader is.
    pub(crate) last_leader: usize,
    /// Which node works on which question of a client.
    held: BTreeMap<u64, usize>,
}

impl Faults {
    pub(crate) fn new(first_members: usize) -> Self {
        Self {
            first_members,
            last_leader: 0,
            held: BTreeMap::new(),
        }
    }

    pub(crate) fn hold(&mut self, ask: u64, node: usize) {
        self.held.insert(ask, node);
    }

    pub(crate) fn holder(&self, ask: u64) -> Option<usize> {
        self.held.get(&ask).copied()
    }

    pub(crate) fn release(&mut self, ask: u64) {
        self.held.remove(&ask);
    }
}

impl World {
    /// One fault, and the time of the next one.
    pub(crate) fn inject(&mut self) {
        if self.in_calm() {
            return;
        }
        let choice = self.random.below(21);
        self.trace(&[4, choice]);
        let node = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap_or(0);
        let victim = if self.random.permille(400) {
            self.leader().unwrap_or(node)
        } else {
            node
        };
        match choice {
            0..=3 => {
                let power = self.random.permille(600);
                self.crash(victim, power);
                let down = self.random.between(1_000, 8_000_000);
                self.after(down, Event::Start { node: victim });
            }
            4 => {
                // The whole group loses power at once.
                self.counts.add("power failures of all");
                for node in 0..self.nodes.len() {
                    self.crash(node, true);
                    let down = self.random.between(1_000, 1_000_000);
                    self.after(down, Event::Start { node });
                }
            }
            5..=6 => {
                self.counts.add("pauses");
                let until = self.now + self.random.between(10_000, 4 * ELECTION_TIMEOUT_MICROS);
                self.nodes[victim].paused_until = until;
                self.after(until - self.now, Event::Resume { node: victim });
            }
            7..=9 => self.partition(victim),
            10 => self.heal(),
            11 => self.disturb(),
            12 => {
                self.counts.add("slow disks");
                self.nodes[victim].disk_factor = self.random.between(1, 300);
            }
            13 => {
                self.counts.add("clock changes");
                self.drift(victim);
            }
            14..=15 => self.transfer(),
            16..=18 => self.change_members(),
            19 => self.take_snapshot(victim),
            _ => {
                self.counts.add("failing syncs");
                self.nodes[victim].disk_may_fail = true;
                self.nodes[victim].store.fail_next_sync();
            }
        }
        if self.random.permille(300) {
            self.heal();
        }
        let pause = self.random.between(100_000, 3_000_000);
        self.after(pause, Event::Fault);
    }

    fn leader(&self) -> Option<usize> {
        let leads = |place: &usize| {
            self.nodes[*place]
                .alive
                .as_ref()
                .is_some_and(|alive| alive.group.raft().role() == Role::Leader)
        };
        (0..self.nodes.len()).filter(leads).max_by_key(|place| {
            self.nodes[*place]
                .alive
                .as_ref()
                .map(|it| it.group.raft().term())
        })
    }

    fn partition(&mut self, victim: usize) {
        let all = self.nodes.len();
        self.network.cut.clear();
        match self.random.below(4) {
            0 => {
                self.counts.add("partitions");
                let side: Vec<bool> = (0..all).map(|_| self.random.permille(500)).collect();
                for a in 0..all {
                    for b in 0..all {
                        if side[a] != side[b] {
                            self.network.cut.insert((a, b));
                        }
                    }
                }
            }
            1 => {
                self.counts.add("isolated members");
                for other in (0..all).filter(|other| *other != victim) {
                    self.network.cut.insert((victim, other));
                    self.network.cut.insert((other, victim));
                }
            }
            2 => {
                self.counts.add("one-way partitions");
                let deaf = self.random.permille(500);
                for other in (0..all).filter(|other| *other != victim) {
                    self.network.cut.insert(if deaf {
                        (other, victim)
                    } else {
                        (victim, other)
                    });
                }
            }
            _ => {
                // Two halves that only the victim can reach: nobody has a majority's view but it.
                self.counts.add("bridges");
                for a in (0..all).filter(|a| *a != victim) {
                    for b in (0..all).filter(|b| *b != victim && (*b < all / 2) != (a < all / 2)) {
                        self.network.cut.insert((a, b));
                    }
                }
            }
        }
    }

    fn heal(&mut self) {
        self.counts.add("healings");
        self.network = Network::calm();
    }

    fn disturb(&mut self) {
        self.counts.add("disturbed networks");
        self.network.loss_permille = self.random.below(200);
        self.network.duplicate_permille = self.random.below(200);
        self.network.slow_permille = self.random.below(100);
        self.network.delay_micros = (100, self.random.between(200, 100_000));
    }

    fn transfer(&mut self) {
        let Some(leader) = self.leader() else { return };
        let Some(alive) = &mut self.nodes[leader].alive else {
            return;
        };
        let peers = alive.group.raft().configuration().peers.clone();
        if peers.is_empty() {
            return;
        }
        let peer = self.random.pick(&peers).clone();
        if alive.group.raft_mut().transfer_leader(&peer).is_ok() {
            self.counts.add("transfers");
        }
        self.turn(leader);
    }

    fn change_members(&mut self) {
        let Some(leader) = self.leader() else { return };
        let voters = self.random.between(1, 5).max(self.random.between(1, 5));
        let mut places: Vec<PeerId> = self.nodes.iter().map(|node| node.id.clone()).collect();
        for at in (1..places.len()).rev() {
            let other = usize::try_from(self.random.below(at as u64 + 1)).unwrap_or(0);
            places.swap(at, other);
        }
        let learners = places.split_off(usize::try_from(voters).unwrap_or(1).min(places.len()));
        let learners = learners
            .into_iter()
            .filter(|_| self.random.permille(400))
            .collect();
        let target = Configuration {
            learners,
            ..Configuration::of(places)
        };
        let Some(alive) = &mut self.nodes[leader].alive else {
            return;
        };
        if alive.group.raft_mut().change_members(target).is_ok() {
            self.counts.add("membership changes");
        }
        self.turn(leader);
    }

    /// All faults stop, and everybody is up.
    pub(crate) fn calm(&mut self) {
        self.network = Network::calm();
        for node in 0..self.nodes.len() {
            self.nodes[node].disk_factor = 1;
            self.nodes[node].paused_until = 0;
            self.after(0, Event::Start { node });
            self.after(0, Event::Resume { node });
        }
    }
}
