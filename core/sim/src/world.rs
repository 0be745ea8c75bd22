//! The event loop: one queue of everything that will happen, in the order of simulated time.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use diwan_jraft::Message;
use diwan_raft::{
    Body, Config, Configuration, Event as RaftEvent, Payload, PeerId, Purpose, Raft, Role, Time,
    Token,
};
use diwan_replica::wire::{self, RequestKind};
use diwan_replica::{Group, Outcome, WriteQueue};

use crate::check::Promises;
use crate::client::{Ask, History, SEARCHER};
use crate::fault::{Faults, Luck};
use crate::network::Network;
use crate::node::{Alive, Clock, Node};
use crate::random::Random;
use crate::report::{Counts, Report, Violation};
use crate::store::{GROUP as GROUP_ID, SEGMENT_BYTES, Snapshot, Store};
use crate::watch::Ping;

/// What a world is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// Simulated minutes with faults; a calm phase follows.
    pub minutes: u64,
    /// Machines that exist; three or five of them are members at first.
    pub nodes: usize,
    /// Whether leaders answer reads from their leases.
    pub lease_reads: bool,
    /// Whether elections go wrong all the time, and entries travel one by one.
    pub hostile_elections: bool,
    /// Whether members change all the time, and the group falls apart while they do.
    pub hostile_changes: bool,
    /// Whether clients take their time, and nodes watch each other so that an idle group may be silent.
    pub idles: bool,
    /// What puts carry beside key and value: large ones fill disks.
    pub padding_bytes: usize,
    /// Largest clock error in parts per million.
    pub drift_ppm: u64,
    /// Old bugs that are to be present.
    #[cfg(feature = "museum")]
    pub bugs: diwan_raft::museum::Bugs,
    /// Whether the log trusts what a failed sync left in the page cache.
    #[cfg(feature = "museum")]
    pub trusts_page_cache: bool,
}

impl Options {
    /// A world as the tests use it: everything but the seed at its usual value.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            minutes: 2,
            nodes: 6,
            lease_reads: seed.is_multiple_of(3),
            hostile_elections: seed % 4 == 1,
            hostile_changes: seed % 8 == 3,
            idles: seed % 8 == 7,
            padding_bytes: if seed % 4 == 2 { 1_500 } else { 0 },
            drift_ppm: 10_000,
            #[cfg(feature = "museum")]
            bugs: diwan_raft::museum::Bugs::default(),
            #[cfg(feature = "museum")]
            trusts_page_cache: false,
        }
    }
}

/// Lives through one world.
pub fn run(options: &Options) -> Report {
    let mut world = World::new(options);
    world.live();
    world.report()
}

pub(crate) const ELECTION_TIMEOUT_MICROS: u64 = 1_000_000;
const CLIENTS: usize = 6;
const HALF_CALM_MICROS: u64 = 20_000_000;
const SNAPSHOT_ENTRIES: u64 = 200;
const GROUP: &str = "sim";

/// A message on its way, as bytes.
pub(crate) struct Packet {
    to: PeerId,
    from: PeerId,
    token: Token,
    message: Bytes,
    class: &'static str,
    request: bool,
}

pub(crate) enum Event {
    Arrives(Packet),
    Timer {
        node: usize,
        life: u64,
        at: u64,
    },
    Synced {
        node: usize,
        life: u64,
    },
    ReadBack {
        node: usize,
        life: u64,
        purpose: Purpose,
        low: u64,
        high: u64,
        bytes_max: usize,
    },
    Applied {
        node: usize,
        life: u64,
        index: u64,
    },
    Fetched {
        node: usize,
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
    /// A member whose disk is full looks for room.
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
        client: usize,
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
    pub(crate) promises: Promises,
    pub(crate) history: History,
    pub(crate) asks: BTreeMap<u64, Ask>,
    pub(crate) next_ask: u64,
    digest: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) calm_since: Option<u64>,
    pub(crate) acknowledged_in_calm: u64,
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
            promises: Promises::default(),
            history: History::default(),
            asks: BTreeMap::new(),
            next_ask: 1,
            digest: 0xcbf2_9ce4_8422_2325,
            violation: None,
            calm_since: None,
            acknowledged_in_calm: 0,
        };
        for node in 0..options.nodes {
            world.drift(node);
            world.at(0, Event::Start { node });
        }
        for client in 0..CLIENTS {
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
            Event::Arrives(packet) if self.paused(self.place_of(&packet.to)) => {
                let until = self.nodes[self.place_of(&packet.to)].paused_until;
                self.at(until, Event::Arrives(packet));
            }
            Event::Arrives(packet) => self.receive(packet),
            Event::Timer { node, life, at } => {
                if self.nodes[node].life == life
                    && self.nodes[node]
                        .alive
                        .as_ref()
                        .is_some_and(|it| it.timer == at)
                {
                    if self.paused(node) {
                        let until = self.nodes[node].paused_until;
                        if let Some(alive) = &mut self.nodes[node].alive {
                            alive.timer = until;
                        }
                        self.at(
                            until,
                            Event::Timer {
                                node,
                                life,
                                at: until,
                            },
                        );
                    } else {
                        self.turn(node);
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
                life,
                purpose,
                low,
                high,
                bytes_max,
            } => {
                if self.nodes[node].life == life {
                    self.counts.add("entries read back");
                    let entries = match self.nodes[node].store.read(low, high, bytes_max) {
                        Ok(entries) => entries,
                        Err(error) => {
                            return self.violated(format!(
                                "node {node} cannot read {low}..={high} back: {error}"
                            ));
                        }
                    };
                    if let Some(alive) = &mut self.nodes[node].alive {
                        alive.group.raft_mut().entries_read(&purpose, entries);
                        self.turn(node);
                    }
                }
            }
            Event::Applied { node, life, index } => {
                let it = &mut self.nodes[node];
                if let Some(alive) = it.alive.as_mut().filter(|_| it.life == life) {
                    alive.group.applied(index);
                    self.turn(node);
                }
            }
            Event::Fetched {
                node,
                life,
                token,
                from,
            } => {
                if self.nodes[node].life == life {
                    self.fetched(node, token, from);
                }
            }
            Event::Resume { node } => self.turn(node),
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
                self.client_asks(SEARCHER);
                if self.options.hostile_changes || self.random.permille(500) {
                    self.deafen_leader();
                    self.after(HALF_CALM_MICROS, Event::HalfCalm);
                }
            }
            Event::HalfCalm => {
                if self.acknowledged_in_calm < self.busy(20) {
                    let what = self.describe("with one deaf member");
                    self.violated(what);
                }
                self.network = Network::calm();
            }
        }
    }

    fn paused(&self, node: usize) -> bool {
        self.nodes[node].paused_until > self.now
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

    fn start(&mut self, node: usize) {
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

    fn receive(&mut self, packet: Packet) {
        let Packet {
            to,
            from,
            token,
            message,
            class,
            request,
        } = packet;
        let (sender, target) = (from, to);
        let (from, to) = (self.place_of(&sender), self.place_of(&target));
        self.trace(&[1, to as u64, from as u64, token.0, message.len() as u64]);
        if self.nodes[to].id != target {
            return self.counts.add("packets for members that are gone");
        }
        let now = self.nodes[to].clock.local(self.now);
        let Some(alive) = &mut self.nodes[to].alive else {
            return;
        };
        let decoded = Message::decode(class.as_bytes(), message).map_err(|error| error.to_string());
        let body = decoded.and_then(|message| match request {
            true => wire::read_request(message)
                .map(|request| request.body)
                .map_err(|error| error.to_string()),
            false => wire::read_answer(message).map_err(|error| error.to_string()),
        });
        let body = match body {
            Ok(body) => body,
            Err(error) => {
                return self.violated(format!(
                    "node {to} cannot read what node {from} wrote: {error}"
                ));
            }
        };
        if let Some(kind) = RequestKind::of(&body) {
            alive.asked.insert((sender.clone(), token), kind);
        }
        alive.group.advance(now);
        let result = alive.group.raft_mut().step(&sender, token, body);
        if let Err(error) = result {
            match error {
                diwan_raft::StepError::NoRequest(_) => self.counts.add("answers nobody waited for"),
                diwan_raft::StepError::NotMember(_) => self.counts.add("requests of non-members"),
                other => self.violated(format!("node {to} refuses node {from}: {other}")),
            }
        }
        self.turn(to);
    }

    /// Performs what a member wants done.
    pub(crate) fn turn(&mut self, node: usize) {
        let now = self.nodes[node].clock.local(self.now);
        if self.nodes[node].paused_until > self.now {
            return;
        }
        if let Some(alive) = &mut self.nodes[node].alive {
            alive.group.advance(now);
        }
        loop {
            let Some(alive) = &mut self.nodes[node].alive else {
                return;
            };
            let ready = alive.group.ready(
                std::time::Duration::from_micros(2 * ELECTION_TIMEOUT_MICROS),
                now,
            );
            if ready.is_empty() {
                break;
            }
            let life = self.nodes[node].life;
            for event in ready.events {
                self.raft_event(node, event);
            }
            let it = &mut self.nodes[node];
            if let (Some(write), Some(alive)) = (&ready.write, &mut it.alive) {
                alive.note_configurations(write, it.store.snapshot.as_ref());
            }
            if let Some(write) = ready.write {
                self.trace(&[2, node as u64, write.sequence, write.append.len() as u64]);
                if let Some(alive) = &mut self.nodes[node].alive {
                    alive.queue.push(GROUP_ID, write);
                }
                self.start_sync(node);
            }
            for message in ready.messages {
                self.send(node, &message.to, message.token, message.body);
            }
            for read in ready.read_back {
                let delay = self.random.between(50, 3_000);
                self.after(
                    delay,
                    Event::ReadBack {
                        node,
                        life,
                        purpose: read.purpose,
                        low: read.low,
                        high: read.high,
                        bytes_max: read.bytes_max,
                    },
                );
            }
            for peer in ready.offers {
                let snapshot = self.nodes[node].store.snapshot.clone();
                if let Some(alive) = &mut self.nodes[node].alive {
                    match snapshot {
                        Some(snapshot) => {
                            self.counts.add("snapshots offered");
                            alive.group.raft_mut().offer_snapshot(
                                &peer,
                                snapshot.meta,
                                "remote://sim/1".into(),
                            );
                        }
                        None => alive.group.raft_mut().snapshot_refused(&peer),
                    }
                }
            }
            if let Some(fetch) = ready.fetch {
                let from = self.place_of(&fetch.from);
                let delay = self.random.between(1_000, 400_000);
                self.after(
                    delay,
                    Event::Fetched {
                        node,
                        life,
                        token: fetch.token,
                        from,
                    },
                );
            }
            self.apply(node, ready.apply);
            for (ticket, outcome) in ready.outcomes {
                match outcome {
                    Outcome::NotCommitted => self.finish_failed(ticket),
                    Outcome::Unknown => self.finish_unknown(ticket),
                    Outcome::Committed(_) => {}
                }
            }
            for (context, outcome) in ready.reads {
                match outcome {
                    Ok(()) => self.finish_read(node, context),
                    Err(_) => self.finish_failed(context),
                }
            }
        }
        self.check_configuration(node);
        self.set_timer(node);
    }

    fn set_timer(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        let Some(alive) = &mut it.alive else { return };
        let deadline = alive.group.next_deadline();
        if deadline == Time::NEVER {
            return;
        }
        let at = it.clock.world(deadline).max(self.now + 1);
        if at != alive.timer {
            alive.timer = at;
            let life = it.life;
            self.at(at, Event::Timer { node, life, at });
        }
    }

    fn raft_event(&mut self, node: usize, event: RaftEvent) {
        match event {
            RaftEvent::Role { role, term, .. } => {
                self.trace(&[3, node as u64, role as u64, term]);
                if role == Role::Leader {
                    self.counts.add("leaders elected");
                    if let Some(alive) = &self.nodes[node].alive {
                        let result = self.promises.leads(node, alive.group.raft());
                        self.check(result);
                    }
                }
            }
            RaftEvent::Configuration { configuration, .. } => {
                let name = if configuration.is_joint() {
                    "joint configurations"
                } else {
                    "configurations"
                };
                self.counts.add(name);
            }
            RaftEvent::ChangeEnded(result) => {
                if let Some(alive) = &mut self.nodes[node].alive {
                    alive.changing = false;
                }
                self.counts.add(match result {
                    Ok(()) => "membership changes completed",
                    Err(_) => "membership changes failed",
                });
            }
            RaftEvent::TransferFailed(_) => self.counts.add("transfers failed"),
            RaftEvent::Leading { .. } => {}
        }
    }

    fn send(&mut self, node: usize, to: &PeerId, token: Token, body: Body) {
        let own = self.nodes[node].id.clone();
        let word = match &body {
            Body::VoteRequest(vote) => !vote.pre_vote,
            Body::VoteResponse { granted, .. } => *granted,
            Body::AppendResponse(append) => append.success && self.random.permille(20),
            _ => false,
        };
        if word
            && !self.in_calm()
            && self
                .random
                .permille(self.faults.luck.crash_after_word_permille)
        {
            let (delay, life) = (self.random.below(4_000), self.nodes[node].life);
            self.after(delay, Event::Crash { node, life });
        }
        let request = RequestKind::of(&body).is_some();
        let message = if request {
            match wire::request(GROUP, &own, to, body) {
                Some(message) => message,
                None => return self.violated("a request that is none".into()),
            }
        } else {
            let Some(alive) = &mut self.nodes[node].alive else {
                return;
            };
            let Some(kind) = alive.asked.remove(&(to.clone(), token)) else {
                // A request that came twice is answered twice; the second answer finds nobody.
                return;
            };
            wire::answer(body, kind)
        };
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        let (bytes, class, place) = (bytes.freeze(), message.class(), self.place_of(to));
        let arrivals = self.network.arrivals(node, place, &mut self.random);
        match arrivals.len() {
            0 => self.counts.add("packets lost"),
            1 => self.counts.add("packets"),
            _ => self.counts.add("packets doubled"),
        }
        for delay in arrivals {
            let message = bytes.clone();
            self.after(
                delay,
                Event::Arrives(Packet {
                    to: to.clone(),
                    from: own.clone(),
                    token,
                    message,
                    class,
                    request,
                }),
            );
        }
    }

    fn apply(&mut self, node: usize, apply: Vec<diwan_replica::Apply>) {
        let Some(last) = apply.last().map(|apply| apply.entry.id.index) else {
            return;
        };
        let alive = self.nodes[node].alive.as_ref();
        let term = alive.map_or(0, |alive| alive.group.raft().term());
        for diwan_replica::Apply { entry, ticket } in apply {
            let result = self.promises.applies(node, term, &entry);
            self.check(result);
            if let (Some(alive), Payload::Data(data)) =
                (&mut self.nodes[node].alive, &entry.payload)
            {
                alive.machine.apply(data);
            }
            if let Some(ticket) = ticket {
                self.finish_put(ticket, entry.id.index);
            }
        }
        let life = self.nodes[node].life;
        let leads = self.nodes[node]
            .alive
            .as_ref()
            .is_some_and(|it| it.group.raft().role() == Role::Leader);
        if leads && self.options.hostile_elections && !self.in_calm() && self.random.permille(20) {
            let delay = self.random.below(3_000);
            self.after(delay, Event::Crash { node, life });
        }
        let slow = self.random.permille(100);
        if let Some(alive) = &mut self.nodes[node].alive {
            alive.applied = last;
            if !slow {
                alive.group.applied(last);
            }
        }
        if slow {
            let delay = self.random.between(1, 20_000);
            self.after(
                delay,
                Event::Applied {
                    node,
                    life,
                    index: last,
                },
            );
        } else {
            self.maybe_snapshot(node);
        }
    }

    fn maybe_snapshot(&mut self, node: usize) {
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

    fn fetched(&mut self, node: usize, token: Token, from: usize) {
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

    fn report(mut self) -> Report {
        for it in &self.nodes {
            if let Some(alive) = &it.alive {
                let counters = alive.group.raft().status().counters;
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
