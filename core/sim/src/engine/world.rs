//! The event loop: one queue of everything that will happen, in the order of simulated time.

mod check;
mod clients;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use diwan_engine::{Config, Failure, Leadership, Log, Outcome, Position, Reply, Request, Step};

use super::{Flaw, Model, Options};
use crate::client::{Ask, History};
use crate::machine::{self, Machine};
use crate::random::Random;
use crate::report::{Counts, Report, Violation};

const NODES: usize = 3;
const CLIENTS: u64 = 5;
const FAULTS_MICROS: u64 = 60_000_000;
const CALM_MICROS: u64 = 20_000_000;
const LEASE: Duration = Duration::from_secs(1);
/// A request without a reply is given up after this.
const TIMEOUT_MICROS: u64 = 500_000;
/// A client waits so long for an answer.
const PATIENCE_MICROS: u64 = 4_000_000;
const SNAPSHOT_LOG_BYTES: u64 = 2_500;
const PIECE_BYTES: usize = 200;
const KEEP_BLOCKS: u64 = 4;
const LOG: &str = "sim";

enum Event {
    Arrive {
        node: usize,
        life: u64,
        id: u64,
        request: Request,
        /// The network made two of it.
        doubled: bool,
    },
    Reply {
        node: usize,
        life: u64,
        id: u64,
        reply: Result<Reply, Failure>,
    },
    Wake {
        node: usize,
        life: u64,
    },
    Hint {
        node: usize,
    },
    Frozen {
        node: usize,
        life: u64,
        position: Position,
        pieces: Vec<Bytes>,
    },
    Client,
    Put {
        ask: u64,
        node: usize,
    },
    GiveUp {
        ask: u64,
    },
    Fault,
    Start {
        node: usize,
    },
}

struct Node {
    life: u64,
    alive: Option<Alive>,
    paused_until: u64,
    /// It does not reach the engine.
    cut_until: u64,
    /// Its clock's rate against the world's, in millionths.
    rate: u64,
}

struct Alive {
    log: Log,
    machine: Machine,
    wakes: u64,
    ends: bool,
}

struct World {
    options: Options,
    random: Random,
    now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    model: Model,
    /// What the engine was some time ago.
    old: Model,
    old_at: u64,
    away_until: u64,
    full_until: u64,
    disturbed_until: u64,
    nodes: Vec<Node>,
    last_leader: usize,
    asks: BTreeMap<u64, Ask>,
    next_ask: u64,
    history: History,
    leaders: BTreeMap<u64, usize>,
    /// Every command that was applied: by index, and by what it puts.
    applied: BTreeMap<u64, Bytes>,
    places: BTreeMap<u64, u64>,
    acknowledged: BTreeMap<u64, u64>,
    refused: BTreeSet<u64>,
    acknowledged_in_calm: u64,
    counts: Counts,
    violation: Option<Violation>,
    digest: u64,
}

/// Lives through one world.
pub fn run(options: &Options) -> Report {
    let mut world = World::new(*options);
    world.live();
    Report {
        seed: options.seed,
        digest: world.digest,
        lived_micros: world.now,
        counts: world.counts,
        violation: world.violation,
    }
}

impl World {
    fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        let drift = if options.flaw == Some(Flaw::ShortLeases) {
            600_000
        } else {
            20_000
        };
        let mut model = Model::default();
        model.flaw = options.flaw;
        let nodes = (0..NODES).map(|_| Node {
            life: 0,
            alive: None,
            paused_until: 0,
            cut_until: 0,
            rate: random.between(1_000_000 - drift, 1_000_000 + drift),
        });
        let nodes = nodes.collect();
        Self {
            options,
            random,
            now: 0,
            queue: BTreeMap::new(),
            queued: 0,
            old: model.clone(),
            model,
            old_at: 0,
            away_until: 0,
            full_until: 0,
            disturbed_until: 0,
            nodes,
            last_leader: 0,
            asks: BTreeMap::new(),
            next_ask: 1,
            history: History::default(),
            leaders: BTreeMap::new(),
            applied: BTreeMap::new(),
            places: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            refused: BTreeSet::new(),
            acknowledged_in_calm: 0,
            counts: Counts::default(),
            violation: None,
            digest: 0xcbf2_9ce4_8422_2325,
        }
    }

    fn live(&mut self) {
        for node in 0..NODES {
            self.after(1, Event::Start { node });
        }
        for client in 0..CLIENTS {
            self.after(1_000 * client, Event::Client);
        }
        self.after(2_000_000, Event::Fault);
        while self.violation.is_none()
            && let Some(((at, _), event)) = self.queue.pop_first()
        {
            if at > FAULTS_MICROS + CALM_MICROS {
                break;
            }
            self.now = at;
            self.happen(event);
        }
        self.check_end();
    }

    fn after(&mut self, micros: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + micros, self.queued), event);
    }

    fn in_calm(&self) -> bool {
        self.now >= FAULTS_MICROS
    }

    fn violated(&mut self, what: String) {
        self.violation.get_or_insert(Violation {
            seconds: self.now / 1_000_000,
            micros: self.now % 1_000_000,
            what,
        });
    }

    fn remember(&mut self, what: u64) {
        self.digest = (self.digest ^ what).wrapping_mul(0x0100_0000_01b3);
    }

    fn local(&self, node: usize) -> Duration {
        let micros = u128::from(self.now) * u128::from(self.nodes[node].rate) / 1_000_000;
        Duration::from_micros(micros as u64)
    }

    fn happen(&mut self, event: Event) {
        // A node that stands still hears of it later.
        let postponed = match &event {
            Event::Reply { node, .. }
            | Event::Wake { node, .. }
            | Event::Hint { node }
            | Event::Frozen { node, .. }
            | Event::Put { node, .. } => self.nodes[*node].paused_until,
            _ => 0,
        };
        if postponed > self.now {
            return self.after(postponed - self.now, event);
        }
        match event {
            Event::Arrive {
                node,
                life,
                id,
                request,
                doubled,
            } => self.arrive(node, life, id, request, doubled),
            Event::Reply {
                node,
                life,
                id,
                reply,
            } => {
                let now = self.local(node);
                self.with(node, life, |alive| alive.log.reply(id, reply, now));
            }
            Event::Wake { node, life } => {
                let now = self.local(node);
                self.with(node, life, |alive| {
                    alive.wakes -= 1;
                    alive.log.advance(now);
                });
            }
            Event::Hint { node } => {
                let (life, now) = (self.nodes[node].life, self.local(node));
                self.with(node, life, |alive| alive.log.hint(now));
            }
            Event::Frozen {
                node,
                life,
                position,
                pieces,
            } => {
                let now = self.local(node);
                self.with(node, life, |alive| {
                    alive.log.snapshot_written(position, Ok(pieces));
                    alive.log.advance(now);
                });
            }
            Event::Client => self.client(),
            Event::Put { ask, node } => self.put(ask, node),
            Event::GiveUp { ask } => self.finish_unknown(ask),
            Event::Fault => self.fault(),
            Event::Start { node } => self.start(node),
        }
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].alive.is_some() {
            return;
        }
        let now = self.local(node);
        let seed = self.random.bits();
        let mut config = Config::new(LOG, &format!("node {node}"), seed);
        config.lease = LEASE;
        config.poll = Duration::from_millis(100);
        config.patience = Duration::from_millis(30 * node as u64);
        config.lease_reads =
            self.options.seed.is_multiple_of(3) || self.options.flaw == Some(Flaw::ShortLeases);
        config.snapshot_log_bytes = SNAPSHOT_LOG_BYTES;
        config.keep_blocks = KEEP_BLOCKS;
        config.block_bytes_max = 600;
        let it = &mut self.nodes[node];
        it.life += 1;
        it.alive = Some(Alive {
            log: Log::new(config, now),
            machine: Machine::default(),
            wakes: 0,
            ends: false,
        });
        let life = it.life;
        self.with(node, life, |alive| alive.log.advance(now));
    }

    fn kill(&mut self, node: usize) {
        self.nodes[node].alive = None;
        self.nodes[node].paused_until = 0;
        let back = self.random.between(1_000, 4_000_000);
        self.after(back, Event::Start { node });
    }

    /// Does something to a node, and then what it wants.
    fn with(&mut self, node: usize, life: u64, something: impl FnOnce(&mut Alive)) {
        let it = &mut self.nodes[node];
        let Some(alive) = it.alive.as_mut().filter(|_| it.life == life) else {
            return;
        };
        something(alive);
        loop {
            let Some(alive) = &mut self.nodes[node].alive else {
                return;
            };
            let (requests, steps) = (alive.log.requests(), alive.log.steps());
            if requests.is_empty() && steps.is_empty() {
                break;
            }
            for (id, request) in requests {
                self.send(node, life, id, request);
            }
            for step in steps {
                self.step(node, step);
            }
        }
        let Some(alive) = &mut self.nodes[node].alive else {
            return;
        };
        if alive.ends && alive.log.is_free() {
            self.counts.add("logs left in good order");
            return self.kill(node);
        }
        if alive.wakes == 0 {
            alive.wakes += 1;
            let deadline = alive.log.next_deadline();
            let local = self.local(node);
            let wait = deadline.saturating_sub(local).as_micros() as u64;
            let wait = wait * 1_000_000 / self.nodes[node].rate;
            self.after(wait.min(1_000_000) + 1, Event::Wake { node, life });
        }
    }

    fn step(&mut self, node: usize, step: Step) {
        match step {
            Step::Apply { block, tickets } => {
                for (place, command) in block.commands.iter().enumerate() {
                    let index = block.first + place as u64;
                    self.apply(node, index, command);
                    if let Some(ticket) = tickets.get(place) {
                        self.finish_put(*ticket, index);
                    }
                }
                self.remember(block.number);
            }
            Step::Restore { pieces, .. } => {
                self.counts.add("snapshots restored");
                let bytes: Vec<u8> = pieces.concat();
                let Some(alive) = &mut self.nodes[node].alive else {
                    return;
                };
                alive.machine = Machine::default();
                for pair in bytes.chunks(16) {
                    alive.machine.apply(pair);
                }
            }
            Step::Ended { ticket, outcome } => match outcome {
                Outcome::Unknown => self.finish_unknown(ticket),
                Outcome::NotCarriedOut => self.finish_refused(ticket),
                Outcome::NoSpace => {
                    self.counts.add("puts refused for want of space");
                    self.finish_refused(ticket);
                }
            },
            Step::Read {
                ticket,
                confirmed: true,
            } => self.finish_get(node, ticket),
            Step::Read { ticket, .. } => self.finish_failed(ticket),
            Step::Leadership(Leadership::Start { epoch }) => {
                self.counts.add("leaderships");
                self.remember(epoch);
                let first = *self.leaders.entry(epoch).or_insert(node);
                if self.leaders.keys().next_back() == Some(&epoch) {
                    self.last_leader = node;
                }
                if first != node {
                    self.violated(format!(
                        "node {node} leads term {epoch}, as node {first} did"
                    ));
                }
            }
            Step::Leadership(_) => {}
            Step::Snapshot(position) => {
                self.counts.add("snapshots frozen");
                let Some(alive) = &self.nodes[node].alive else {
                    return;
                };
                let mut pairs = BytesMut::new();
                for (key, value) in &alive.machine.registers {
                    pairs.extend_from_slice(&machine::put(*key, *value, 0));
                }
                let pairs = pairs.freeze();
                let pieces = pairs.chunks(PIECE_BYTES / 16 * 16);
                let pieces = pieces.map(Bytes::copy_from_slice).collect();
                let life = self.nodes[node].life;
                let micros = self.random.between(1_000, 200_000);
                self.after(
                    micros,
                    Event::Frozen {
                        node,
                        life,
                        position,
                        pieces,
                    },
                );
            }
            Step::Failed(error) => self.violated(format!("node {node} stops: {error}")),
        }
    }

    fn apply(&mut self, node: usize, index: u64, command: &Bytes) {
        let known = self.applied.entry(index).or_insert_with(|| command.clone());
        if known != command {
            self.violated(format!("node {node} applies another command at {index}"));
        }
        if let Some(value) = command.last_chunk().map(|last| u64::from_be_bytes(*last)) {
            let place = *self.places.entry(value).or_insert(index);
            if place != index {
                self.violated(format!(
                    "put {value} is carried out at {place} and at {index}"
                ));
            }
            if self.refused.contains(&value) {
                self.violated(format!("put {value} was refused, and is carried out"));
            }
        }
        if let Some(alive) = &mut self.nodes[node].alive {
            alive.machine.apply(command);
        }
    }

    // The way to the engine and back.

    fn send(&mut self, node: usize, life: u64, id: u64, request: Request) {
        let lost = Err(Failure::Unknown("no reply in time".into()));
        self.after(
            TIMEOUT_MICROS,
            Event::Reply {
                node,
                life,
                id,
                reply: lost,
            },
        );
        let trouble = self.trouble();
        if self.nodes[node].cut_until > self.now || self.faulty(trouble) {
            self.counts.add("requests lost");
            return;
        }
        let mut delay = self.random.between(100, 3_000);
        if self.faulty(trouble) {
            self.counts.add("requests late");
            delay = self.random.between(100_000, 8_000_000);
        }
        let doubled = self.faulty(trouble);
        let arrive = |request| Event::Arrive {
            node,
            life,
            id,
            request,
            doubled,
        };
        if doubled {
            self.counts.add("requests doubled");
            let later = self.random.between(100, 4_000_000);
            self.after(later, arrive(request.clone()));
        }
        self.after(delay, arrive(request));
    }

    /// How many in a thousand messages something happens to.
    fn trouble(&self) -> u64 {
        match self.disturbed_until > self.now {
            true => 150,
            false => 10,
        }
    }

    fn faulty(&mut self, permille: u64) -> bool {
        !self.in_calm() && self.random.permille(permille)
    }

    fn arrive(&mut self, node: usize, life: u64, id: u64, request: Request, doubled: bool) {
        if self.away_until > self.now {
            self.counts.add("requests to an engine that is away");
            return;
        }
        if self.now >= self.old_at + 400_000 {
            (self.old, self.old_at) = (self.model.clone(), self.now);
        }
        self.model.no_space = self.full_until > self.now;
        let look = request == Request::Look;
        let appends = matches!(request, Request::Append { .. });
        let hints = appends || matches!(request, Request::Take { .. } | Request::Resign { .. });
        let sealed = matches!(request, Request::Seal { .. });
        let mut reply = match look && self.options.flaw == Some(Flaw::OldLooks) {
            true => self.old.carry_out(request),
            false => self.model.carry_out(request),
        };
        match &reply {
            Ok(Reply::Refused) if appends => self.counts.add("appends refused"),
            Ok(Reply::Refused) if sealed => self.counts.add("seals refused"),
            Ok(Reply::Done) if sealed => self.counts.add("snapshots sealed"),
            Ok(Reply::Taken { .. }) => self.counts.add("logs taken"),
            _ => {}
        }
        if hints && reply == Ok(Reply::Done) {
            for node in 0..NODES {
                if self.random.permille(800) {
                    let delay = self.random.between(100, 2_000);
                    self.after(delay, Event::Hint { node });
                }
            }
        }
        if self.options.flaw == Some(Flaw::ReadsWithoutBarrier)
            && let Ok(Reply::Head(head)) = &mut reply
            && let Some(alive) = &self.nodes[node].alive
            && alive.log.status().leads
        {
            head.seen.next = head.seen.next.min(alive.log.status().position.next);
        }
        if doubled && reply.is_err() {
            // It would say what became of one of the two only.
            return;
        }
        let trouble = self.trouble();
        if self.faulty(trouble) || self.nodes[node].cut_until > self.now {
            self.counts.add("replies lost");
            if appends && self.options.flaw == Some(Flaw::UnknownIsNo) {
                let reply = Err(Failure::ReadOnly("said of a lost reply".into()));
                self.after(
                    1_000,
                    Event::Reply {
                        node,
                        life,
                        id,
                        reply,
                    },
                );
            }
            return;
        }
        let delay = self.random.between(100, 3_000);
        self.after(
            delay,
            Event::Reply {
                node,
                life,
                id,
                reply,
            },
        );
    }

    // Faults.

    fn fault(&mut self) {
        if self.in_calm() {
            return;
        }
        let node = self.random.below(NODES as u64) as usize;
        // Most of what is interesting happens to who leads.
        let node = if self.random.permille(600) {
            self.last_leader
        } else {
            node
        };
        let short = self.now + self.random.between(50_000, 1_500_000);
        let long = self.now + self.random.between(500_000, 5_000_000);
        match self.random.below(11) {
            0 | 1 => {
                self.counts.add("nodes killed");
                self.kill(node);
            }
            2 | 3 => {
                self.counts.add("nodes that stood still");
                self.nodes[node].paused_until = long;
            }
            4 => {
                self.counts.add("nodes cut off");
                self.nodes[node].cut_until = long;
            }
            5 => {
                self.counts.add("times the engine was away");
                self.away_until = long.min(self.now + 3_000_000);
            }
            6 => {
                self.counts.add("times the engine was full");
                self.full_until = short;
            }
            7 | 8 => {
                self.counts.add("disturbed networks");
                self.disturbed_until = long;
            }
            9 => {
                self.counts.add("nodes that were asked to rest");
                let (life, now) = (self.nodes[node].life, self.local(node));
                let pause = Duration::from_micros(self.random.between(0, 2_000_000));
                self.with(node, life, |alive| alive.log.rest(pause, now));
            }
            _ => {
                self.counts.add("nodes that were asked to stop");
                let (life, now) = (self.nodes[node].life, self.local(node));
                self.with(node, life, |alive| {
                    alive.ends = true;
                    alive.log.retire(now);
                });
            }
        }
        let next = self.random.between(200_000, 3_000_000);
        self.after(next, Event::Fault);
    }
}
