//! The event loop: one queue of everything that will happen, in the order of simulated time.

use std::collections::BTreeMap;

use diwan_raft::{PeerId, Purpose, Token};

use crate::client::{Ask, Client, History};
use crate::fault::{Faults, Luck};
use crate::group::Watched;
use crate::network::Network;
use crate::node::{Clock, Node};
use crate::options::Options;
use crate::random::Random;
use crate::report::{Counts, Report, Violation};
use crate::store::Store;
use crate::traffic::Packet;
use crate::watch::Ping;

/// Lives through one world.
pub fn run(options: &Options) -> Report {
    let mut world = World::new(options);
    world.live();
    world.report()
}

pub(crate) const ELECTION_TIMEOUT_MICROS: u64 = 1_000_000;
const CLIENTS: usize = 6;
const HALF_CALM_MICROS: u64 = 20_000_000;

pub(crate) enum Event {
    Arrives(Packet),
    /// What a node's members said meanwhile leaves together.
    Departs {
        node: usize,
        life: u64,
    },
    Timer {
        node: usize,
        group: usize,
        life: u64,
        at: u64,
    },
    Synced {
        node: usize,
        life: u64,
    },
    ReadBack {
        node: usize,
        group: usize,
        life: u64,
        purpose: Purpose,
        low: u64,
        high: u64,
        bytes_max: usize,
    },
    Applied {
        node: usize,
        group: usize,
        life: u64,
        index: u64,
    },
    Fetched {
        node: usize,
        group: usize,
        life: u64,
        token: Token,
        from: usize,
    },
    Resume {
        node: usize,
    },
    Start {
        node: usize,
    },
    Part {
        node: usize,
    },
    Crash {
        node: usize,
        life: u64,
    },
    /// A node whose disk is full looks for room.
    Room {
        node: usize,
        life: u64,
    },
    /// Somebody has made room on a full disk.
    Free {
        node: usize,
    },
    /// The operator looks whether a member that is gone for good is still one.
    Operator,
    /// A node looks after the others.
    Watch {
        node: usize,
        life: u64,
    },
    Ping(Ping),
    Client {
        client: Client,
    },
    Arrive {
        ask: u64,
        node: usize,
    },
    GiveUp {
        ask: u64,
    },
    Fault,
    Calm,
    /// The end of the time in which one member alone is cut off.
    HalfCalm,
}

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Event>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) random: Random,
    pub(crate) counts: Counts,
    pub(crate) faults: Faults,
    pub(crate) groups: Vec<Watched>,
    pub(crate) history: History,
    pub(crate) asks: BTreeMap<u64, Ask>,
    pub(crate) next_ask: u64,
    digest: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) calm_since: Option<u64>,
}

impl World {
    fn new(options: &Options) -> Self {
        let mut random = Random::new(options.seed);
        let members = if random.permille(500) { 3 } else { 5 }.min(options.nodes);
        let node = |place: usize, random: &mut Random| Node {
            id: Node::name(place, 0),
            store: Store::new(options.seed ^ (place as u64 + 1) << 40),
            clock: Clock::new(random.below(1_000_000_000), 1_000_000),
            alive: None,
            life: 0,
            paused_until: 0,
            disk_factor: 1,
            disk_may_fail: false,
        };
        let nodes: Vec<Node> = (0..options.nodes)
            .map(|place| node(place, &mut random))
            .collect();
        let faults = Faults::new(
            members,
            if options.hostile_elections {
                Luck::of_elections()
            } else if options.hostile_changes {
                Luck::of_changes()
            } else {
                Luck::draw(&mut random)
            },
        );
        let mut world = Self {
            options: options.clone(),
            now: 0,
            order: 0,
            queue: BTreeMap::new(),
            nodes,
            network: Network::calm(),
            random,
            counts: Counts::default(),
            faults,
            groups: (0..options.groups.max(1))
                .map(|_| Watched::default())
                .collect(),
            history: History::default(),
            asks: BTreeMap::new(),
            next_ask: 1,
            digest: 0xcbf2_9ce4_8422_2325,
            violation: None,
            calm_since: None,
        };
        for node in 0..options.nodes {
            world.drift(node);
            world.at(0, Event::Start { node });
        }
        for _ in 0..CLIENTS * world.groups.len() {
            let client = Client::Guesser;
            world.after(1_000_000, Event::Client { client });
        }
        world.after(3_000_000, Event::Fault);
        world.at(options.minutes * 60_000_000, Event::Calm);
        world
    }

    pub(crate) fn after(&mut self, micros: u64, event: Event) {
        self.at(self.now + micros, event);
    }

    pub(crate) fn at(&mut self, micros: u64, event: Event) {
        self.order += 1;
        self.queue.insert((micros.max(self.now), self.order), event);
    }

    pub(crate) fn drift(&mut self, node: usize) {
        let drift = self.options.drift_ppm;
        let rate = 1_000_000 - drift + self.random.below(2 * drift + 1);
        self.nodes[node].clock.set_rate(self.now, rate);
    }

    pub(crate) fn in_calm(&self) -> bool {
        self.calm_since.is_some()
    }

    fn live(&mut self) {
        while let Some(((now, _), event)) = self.queue.pop_first() {
            self.now = now;
            self.happen(event);
            if self.violation.is_some()
                || self
                    .calm_since
                    .is_some_and(|since| self.now > since + 40_000_000)
            {
                break;
            }
        }
        self.check_end();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(packet) => match self.pause_of(self.place_of(&packet.to)) {
                Some(until) => self.at(until, Event::Arrives(packet)),
                None => self.receive(packet),
            },
            Event::Departs { node, life } => self.departs(node, life),
            Event::Timer {
                node,
                group,
                life,
                at,
            } => {
                let it = &self.nodes[node];
                if it.life == life && it.member(group).is_some_and(|it| it.timer == at) {
                    match self.pause_of(node) {
                        Some(until) => self.arm(node, group, until),
                        None => self.turn(node, group),
                    }
                }
            }
            Event::Synced { node, life } => {
                if self.nodes[node].life == life {
                    self.synced(node);
                }
            }
            Event::ReadBack {
                node,
                group,
                life,
                purpose,
                low,
                high,
                bytes_max,
            } => {
                if self.nodes[node].life == life {
                    self.counts.add("entries read back");
                    let store = &self.nodes[node].store;
                    let entries = match store.read(group, low, high, bytes_max) {
                        Ok(entries) => entries,
                        Err(error) => {
                            return self.violated(format!(
                                "node {node} cannot read {low}..={high} back: {error}"
                            ));
                        }
                    };
                    if let Some(member) = self.nodes[node].member_mut(group) {
                        member.group.raft_mut().entries_read(&purpose, entries);
                        self.turn(node, group);
                    }
                }
            }
            Event::Applied {
                node,
                group,
                life,
                index,
            } => {
                let it = &mut self.nodes[node];
                if it.life == life
                    && let Some(member) = it.member_mut(group)
                {
                    member.group.applied(index);
                    self.turn(node, group);
                }
            }
            Event::Fetched {
                node,
                group,
                life,
                token,
                from,
            } => {
                if self.nodes[node].life == life {
                    self.fetched(node, group, token, from);
                }
            }
            Event::Resume { node } => self.turn_all(node),
            Event::Start { node } => self.start(node),
            Event::Part { node } => {
                if !self.in_calm() {
                    self.partition(node);
                }
            }
            Event::Crash { node, life } => {
                if self.nodes[node].life == life {
                    self.counts.add("power failures after a word");
                    self.crash(node, true);
                    let down = self.random.between(1_000, 2_000_000);
                    self.after(down, Event::Start { node });
                }
            }
            Event::Room { node, life } => {
                if self.nodes[node].life == life {
                    self.look_for_room(node);
                }
            }
            Event::Free { node } => self.nodes[node].store.set_full(None),
            Event::Operator => self.replace_member(),
            Event::Watch { node, life } => self.watch(node, life),
            Event::Ping(ping) => self.ping_arrives(ping),
            Event::Client { client } => self.client_asks(client),
            Event::Arrive { ask, node } => self.ask_arrives(ask, node),
            Event::GiveUp { ask } => self.finish_unknown(ask),
            Event::Fault => self.inject(),
            Event::Calm => {
                self.calm();
                self.calm_since = Some(self.now);
                for group in self.all_groups() {
                    self.client_asks(Client::Searcher { group });
                }
                if self.options.hostile_changes || self.random.permille(500) {
                    self.deafen_leader();
                    self.after(HALF_CALM_MICROS, Event::HalfCalm);
                }
            }
            Event::HalfCalm => {
                self.check_busy(20, "with one deaf member");
                self.network = Network::calm();
            }
        }
    }

    /// When a node that does nothing now goes on: what it should do meanwhile is put off until then.
    pub(crate) fn pause_of(&self, node: usize) -> Option<u64> {
        let until = self.nodes[node].paused_until;
        (until > self.now).then_some(until)
    }

    /// Everything that happens goes into the digest.
    pub(crate) fn trace(&mut self, parts: &[u64]) {
        for part in parts.iter().chain([&self.now]) {
            for byte in part.to_le_bytes() {
                self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }

    pub(crate) fn violated(&mut self, what: String) {
        let violation = Violation {
            seconds: self.now / 1_000_000,
            micros: self.now % 1_000_000,
            what,
        };
        self.violation.get_or_insert(violation);
    }

    pub(crate) fn check(&mut self, result: Result<(), String>) {
        if let Err(what) = result {
            self.violated(what);
        }
    }

    pub(crate) fn place_of(&self, peer: &PeerId) -> usize {
        usize::from(peer.port() - 7000)
    }

    fn report(mut self) -> Report {
        for it in &self.nodes {
            for member in it.alive.iter().flat_map(|alive| &alive.members) {
                let counters = member.group.raft().status().counters;
                self.counts
                    .add_many("entries refused as unfitting", counters.rejected_appends);
                self.counts
                    .add_many("commits told without entries", counters.commit_messages);
                self.counts.add_many(
                    "step-downs without majority",
                    counters.step_downs_without_majority,
                );
            }
        }
        Report {
            seed: self.options.seed,
            digest: self.digest,
            lived_micros: self.now,
            counts: self.counts,
            violation: self.violation,
        }
    }
}
