//! What goes wrong, and when it stops.

use std::collections::BTreeMap;

use diwan_raft::{Configuration, PeerId, Role};

use crate::network::Network;
use crate::random::Random;
use crate::world::{ELECTION_TIMEOUT_MICROS, Event, World};

/// What kind of bad luck a world has. Worlds differ: one that suffers everything at once rarely gets far enough for the
/// rare coincidences that a world with one kind of trouble meets every minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Luck {
    /// How often each kind of fault comes, as weights.
    weights: [u64; 12],
    /// Longest time between faults.
    pause_micros: u64,
    /// Power failures right after a member said something that others count on, in so many of 1000 such messages.
    pub(crate) crash_after_word_permille: u64,
    /// Partitions right after a membership change has begun.
    part_after_change_permille: u64,
}

impl Luck {
    pub(crate) fn draw(random: &mut Random) -> Self {
        // kill, blackout, pause, partition, heal, disturb, slow disk, clock, transfer, full disk, damage, members / snapshot
        let mut weights = [4, 1, 2, 3, 1, 1, 1, 1, 2, 1, 1, 3];
        for weight in &mut weights {
            *weight = match random.below(4) {
                0 => 0,
                1 => *weight,
                2 => *weight * 3,
                _ => 1,
            };
        }
        weights[4] = weights[4].max(1);
        let pause_micros = *random.pick(&[300_000, 1_000_000, 3_000_000]);
        let crash_after_word_permille = *random.pick(&[0, 0, 2, 20]);
        let part_after_change_permille = *random.pick(&[0, 500, 900]);
        Self {
            weights,
            pause_micros,
            crash_after_word_permille,
            part_after_change_permille,
        }
    }

    /// Elections that go wrong all the time: members lose power as soon as they have said something, and links fail.
    pub(crate) fn of_elections() -> Self {
        Self {
            weights: [6, 1, 1, 6, 3, 3, 4, 0, 2, 1, 0, 0],
            pause_micros: 800_000,
            crash_after_word_permille: 150,
            part_after_change_permille: 0,
        }
    }

    /// Members that change all the time, in a group that falls apart whenever they do.
    pub(crate) fn of_changes() -> Self {
        Self {
            weights: [3, 1, 1, 4, 2, 1, 1, 0, 2, 0, 0, 8],
            pause_micros: 700_000,
            crash_after_word_permille: 2,
            part_after_change_permille: 900,
        }
    }

    fn choose(&self, random: &mut Random) -> usize {
        let mut at = random.below(self.weights.iter().sum::<u64>().max(1));
        for (choice, weight) in self.weights.iter().enumerate() {
            if at < *weight {
                return choice;
            }
            at -= weight;
        }
        0
    }
}

/// What the faults need to remember.
pub(crate) struct Faults {
    pub(crate) first_members: usize,
    /// Which node works on which question of a client.
    held: BTreeMap<u64, usize>,
    pub(crate) luck: Luck,
    /// The machine whose disk was damaged, until that is settled: one at a time.
    pub(crate) damaged: Option<Damaged>,
}

/// A machine whose disk was damaged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Damaged {
    pub(crate) node: usize,
    /// Its disk was replaced; what is left is the group's membership.
    pub(crate) replaced: bool,
}

impl Faults {
    pub(crate) fn new(first_members: usize, luck: Luck) -> Self {
        Self {
            first_members,
            held: BTreeMap::new(),
            luck,
            damaged: None,
        }
    }

    pub(crate) fn damaged_node(&self) -> Option<usize> {
        self.damaged.map(|damaged| damaged.node)
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
        let luck = self.faults.luck;
        let choice = luck.choose(&mut self.random);
        self.trace(&[4, choice as u64]);
        let group = self.pick_group();
        let node = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap_or(0);
        let victim = if self.random.permille(400) {
            self.leader(group).unwrap_or(node)
        } else {
            node
        };
        match choice {
            0 => {
                let power = self.random.permille(600);
                self.crash(victim, power);
                let down = self.random.between(1_000, 8_000_000);
                self.after(down, Event::Start { node: victim });
            }
            1 => {
                // All lose power at once.
                self.counts.add("power failures of all");
                for node in 0..self.nodes.len() {
                    self.crash(node, true);
                    let down = self.random.between(1_000, 1_000_000);
                    self.after(down, Event::Start { node });
                }
            }
            2 => {
                self.counts.add("pauses");
                let until = self.now + self.random.between(10_000, 4 * ELECTION_TIMEOUT_MICROS);
                self.nodes[victim].paused_until = until;
                self.after(until - self.now, Event::Resume { node: victim });
            }
            3 => self.partition(victim),
            4 => self.heal(),
            5 => self.disturb(),
            6 if self.random.permille(500) && self.faults.damaged_node() != Some(victim) => {
                self.counts.add("failing syncs");
                self.nodes[victim].disk_may_fail = true;
                self.nodes[victim].store.fail_next_sync();
            }
            6 => {
                self.counts.add("slow disks");
                self.nodes[victim].disk_factor = self.random.between(1, 300);
            }
            7 => {
                self.counts.add("clock changes");
                self.drift(victim);
            }
            8 => self.transfer(group),
            9 => self.fill_disk(victim),
            10 => self.damage_disk(victim),
            _ if self.random.permille(800) => self.change_members(group),
            _ => self.take_snapshot(victim, group),
        }
        if self.random.permille(300) {
            self.heal();
        }
        let pause = self.random.between(100_000, luck.pause_micros);
        self.after(pause, Event::Fault);
    }

    pub(crate) fn leader(&self, group: usize) -> Option<usize> {
        let leads = |place: &usize| {
            let member = self.nodes[*place].member(group);
            member.is_some_and(|it| it.group.raft().role() == Role::Leader)
        };
        (0..self.nodes.len()).filter(leads).max_by_key(|place| {
            let member = self.nodes[*place].member(group);
            member.map(|it| it.group.raft().term())
        })
    }

    pub(crate) fn partition(&mut self, victim: usize) {
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

    fn transfer(&mut self, group: usize) {
        let Some(leader) = self.leader(group) else {
            return;
        };
        let Some(member) = self.nodes[leader].member_mut(group) else {
            return;
        };
        let peers = member.group.raft().configuration().peers.clone();
        if peers.is_empty() {
            return;
        }
        let peer = self.random.pick(&peers).clone();
        if member.group.raft_mut().transfer_leader(&peer).is_ok() {
            self.counts.add("transfers");
        }
        self.turn(leader, group);
    }

    fn change_members(&mut self, group: usize) {
        let Some(leader) = self.leader(group) else {
            return;
        };
        let voters = self.random.between(1, 5).max(self.random.between(1, 5));
        // Nobody counts on a machine whose disk may be gone.
        let sound = (0..self.nodes.len()).filter(|node| self.faults.damaged_node() != Some(*node));
        let mut places: Vec<PeerId> = sound.map(|node| self.nodes[node].id.clone()).collect();
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
        let Some(member) = self.nodes[leader].member_mut(group) else {
            return;
        };
        if member.change_members(target) {
            self.counts.add("membership changes");
            if self
                .random
                .permille(self.faults.luck.part_after_change_permille)
            {
                let delay = self.random.below(60_000);
                self.after(delay, Event::Part { node: leader });
            }
        }
        self.turn(leader, group);
    }

    /// Whoever leads a group hears nobody from now on, though all hear it: the others must find another leader.
    pub(crate) fn deafen_leader(&mut self) {
        let group = self.pick_group();
        let Some(leader) = self.leader(group) else {
            return;
        };
        let Some(member) = self.nodes[leader].member(group) else {
            return;
        };
        let others = member.group.raft().configuration().peers.len() >= 3;
        // In the middle of a change the leader may be one of two whose votes are both needed.
        if others && self.can_do_without(leader) {
            self.counts.add("deaf leaders");
            for other in (0..self.nodes.len()).filter(|other| *other != leader) {
                self.network.cut.insert((other, leader));
            }
        }
    }

    /// Whether all members of a group's `configuration` are up and have it in force.
    pub(crate) fn all_agree(&self, group: usize, configuration: &Configuration) -> bool {
        configuration.members().iter().all(|member| {
            let other = &self.nodes[self.place_of(member)];
            let raft = other.member(group).map(|other| other.group.raft());
            other.id == *member && raft.is_some_and(|it| it.configuration() == configuration)
        })
    }

    /// All faults stop, and everybody is up.
    pub(crate) fn calm(&mut self) {
        self.network = Network::calm();
        for node in 0..self.nodes.len() {
            self.nodes[node].disk_factor = 1;
            self.nodes[node].paused_until = 0;
            self.nodes[node].store.heal();
            self.nodes[node].store.set_full(None);
            self.after(0, Event::Start { node });
            self.after(0, Event::Resume { node });
        }
    }
}
