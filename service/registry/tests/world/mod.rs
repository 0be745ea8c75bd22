//! Several nodes and their clients in virtual time, with cut connections, partitions, crashes, slow clients and clocks that jump. All
//! that happens follows from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diwan_registry::state::{
    Config, ConnectionId, Content, Now, Publication, PushId, RegistId, Registry, ServiceName,
    Start, Subscription,
};
use diwan_registry_wire::nodes::{Instance, NodesAnswer, NodesMessage};
use diwan_registry_wire::{DataBox, Scope, Version};
use diwan_sim::Random;

/// One step of time.
const STEP_MS: u64 = 10;
/// A call between nodes is given up.
const CALL_MS: u64 = 2_000;
const CELL: &str = "cell";

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Nodes stop at once and start again.
    pub crashes: bool,
    /// Ways between nodes are cut.
    pub partitions: bool,
    /// Clients lose their connections and come back, here or elsewhere.
    pub cuts: bool,
    /// Nodes stop at once, all of them.
    pub power: bool,
    /// Clocks jump.
    pub clocks: bool,
}

type Key = (usize, RegistId);

struct Node {
    registry: Option<Registry>,
    epoch: u64,
    serving: bool,
    version: Version,
    /// What it has written down.
    disk: BTreeMap<(ServiceName, RegistId), Instance>,
    clock_ms: i64,
    connections: BTreeMap<ConnectionId, usize>,
    starts_at: u64,
}

struct Client {
    /// The node and its connection.
    connected: Option<(usize, ConnectionId)>,
    connects_at: u64,
    /// Registered at the time, in this order; the rest follows.
    registered: usize,
    publishes: BTreeMap<Key, i64>,
    subscribes: BTreeSet<usize>,
    /// By service: the version and the list.
    views: BTreeMap<usize, (Version, BTreeSet<String>)>,
    /// It acknowledges after so long.
    slow_ms: u64,
}

enum Way {
    Ask(NodesMessage),
    Answer(NodesAnswer),
    Silence,
}

struct Letter {
    at: u64,
    from: usize,
    to: usize,
    /// The life of the one who asked.
    epoch: u64,
    way: Way,
}

struct Acknowledgement {
    at: u64,
    node: usize,
    epoch: u64,
    connection: ConnectionId,
    push: PushId,
}

pub struct World {
    random: Random,
    now_ms: u64,
    config: Config,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    letters: Vec<Letter>,
    acknowledgements: Vec<Acknowledgement>,
    cut: BTreeSet<(usize, usize)>,
    next_connection: u64,
    next_instance: u64,
    /// Instances that every node has shown at the same time and whose clients live: they must not be missing anywhere.
    established: BTreeSet<Key>,
    services: usize,
    quiet_until: u64,
    faults: Faults,
    pub counts: Counts,
    /// What is told of the instance that TRACE names, of nodes and of ways.
    trace: Option<String>,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub crashes: u64,
    pub partitions: u64,
    pub cuts: u64,
    pub power: u64,
    pub clocks: u64,
    pub pushes: u64,
    pub established: u64,
    pub withdrawn: u64,
    pub moved: u64,
}

fn name(service: usize) -> ServiceName {
    ServiceName::new(&format!("s{service}"), None, None)
}

fn node_name(node: usize) -> String {
    format!("n{node}")
}

impl World {
    pub fn new(seed: u64, nodes: usize, clients: usize, services: usize, faults: Faults) -> Self {
        let mut random = Random::new(seed);
        let clock = |random: &mut Random| match faults.clocks {
            true => random.below(10_000) as i64 - 5_000,
            false => 0,
        };
        let mut world = Self {
            now_ms: 1_000_000,
            config: Config {
                // Some are so forgetful that whoever was away is told everything.
                changes_max: if seed.is_multiple_of(3) { 10 } else { 1_000 },
                message_bytes: 1 << random.between(8, 18),
                ..Config::default()
            },
            nodes: (0..nodes)
                .map(|_| Node {
                    registry: None,
                    epoch: 0,
                    serving: false,
                    version: Version::NO_DATUM,
                    disk: BTreeMap::new(),
                    clock_ms: clock(&mut random),
                    connections: BTreeMap::new(),
                    starts_at: 0,
                })
                .collect(),
            clients: (0..clients)
                .map(|_| Client {
                    connected: None,
                    connects_at: 1_000_000 + random.below(1_000),
                    registered: 0,
                    publishes: BTreeMap::new(),
                    subscribes: (0..services).filter(|_| random.chance(1, 2)).collect(),
                    views: BTreeMap::new(),
                    slow_ms: if random.chance(1, 8) {
                        2_500
                    } else {
                        random.below(20)
                    },
                })
                .collect(),
            letters: Vec::new(),
            acknowledgements: Vec::new(),
            cut: BTreeSet::new(),
            next_connection: 1,
            next_instance: 1,
            established: BTreeSet::new(),
            services,
            quiet_until: 0,
            faults,
            counts: Counts::default(),
            trace: std::env::var("TRACE").ok(),
            random,
        };
        for client in 0..clients {
            for _ in 0..world.random.below(4) {
                world.publish_new(client);
            }
        }
        world
    }

    fn now(&self, node: usize) -> Now {
        Now {
            monotonic: Duration::from_millis(self.now_ms),
            unix_ms: (1_800_000_000_000 + self.now_ms as i64 + self.nodes[node].clock_ms) as u64,
        }
    }

    /// The same name means the same instance.
    fn publish_new(&mut self, client: usize) {
        let service = self.random.below(self.services as u64) as usize;
        let id = RegistId::new(&format!("i{}", self.next_instance));
        self.next_instance += 1;
        self.clients[client].publishes.insert((service, id), 1);
    }

    /// So long, with whatever goes wrong.
    pub fn run(&mut self, millis: u64, disturbed: bool) -> Result<(), String> {
        if !disturbed {
            self.cut.clear();
        }
        let end = self.now_ms + millis;
        while self.now_ms < end {
            self.now_ms += STEP_MS;
            if disturbed {
                self.disturb();
            }
            self.start_nodes();
            self.deliver();
            for client in 0..self.clients.len() {
                self.client_acts(client, disturbed);
            }
            for node in 0..self.nodes.len() {
                self.turn(node)?;
            }
            self.establish();
        }
        Ok(())
    }

    fn tell(&self, id: Option<&RegistId>, what: &str) {
        if let Some(trace) = &self.trace
            && id.is_none_or(|id| id.to_string() == *trace)
        {
            eprintln!("{} {what}", self.now_ms);
        }
    }

    fn disturb(&mut self) {
        let faults = self.faults;
        if faults.cuts && self.random.chance(1, 100) {
            let client = self.random.below(self.clients.len() as u64) as usize;
            let it = &self.clients[client];
            // Who is cut off again and again is away for longer than any grace.
            if it.connected.is_some() && it.registered >= it.publishes.len() {
                self.counts.cuts += 1;
                let wait = self.random.below(1_200);
                self.disconnect(client, wait);
            }
        }
        if faults.clocks && self.random.chance(1, 1_000) {
            let node = self.random.below(self.nodes.len() as u64) as usize;
            self.counts.clocks += 1;
            self.nodes[node].clock_ms += self.random.below(4_000) as i64 - 2_000;
        }
        if self.now_ms < self.quiet_until {
            return;
        }
        if faults.partitions && !self.cut.is_empty() {
            // The partition ends; then there is time to recover.
            self.cut.clear();
            self.tell(None, "all ways are open");
            self.quiet_until = self.now_ms + 12_000;
            return;
        }
        match self.random.below(600) {
            0 if faults.partitions => {
                self.counts.partitions += 1;
                let count = self.nodes.len();
                match self.random.below(3) {
                    // One is alone, or is not heard, or hears nobody.
                    0 => {
                        let one = self.random.below(count as u64) as usize;
                        let ways = self.random.between(1, 3);
                        for other in 0..count {
                            if ways & 1 > 0 {
                                self.cut.insert((one, other));
                            }
                            if ways & 2 > 0 {
                                self.cut.insert((other, one));
                            }
                        }
                    }
                    // Two do not hear each other.
                    1 => {
                        let one = self.random.below(count as u64) as usize;
                        let other = (one + 1) % count;
                        self.cut.extend([(one, other), (other, one)]);
                    }
                    // Nobody hears anybody.
                    _ => {
                        for one in 0..count {
                            for other in 0..count {
                                self.cut.insert((one, other));
                            }
                        }
                    }
                }
                self.quiet_until = self.now_ms + 500 + self.random.below(18_000);
                self.tell(None, &format!("cut: {:?}", self.cut));
            }
            1 if faults.crashes => {
                self.counts.crashes += 1;
                let node = self.random.below(self.nodes.len() as u64) as usize;
                self.crash(node);
                self.quiet_until = self.now_ms + 15_000;
            }
            2 if faults.power => {
                self.counts.power += 1;
                for node in 0..self.nodes.len() {
                    self.crash(node);
                }
                self.quiet_until = self.now_ms + 20_000;
            }
            _ => {}
        }
    }

    pub fn crash(&mut self, node: usize) {
        self.tell(None, &format!("node {node} stops"));
        self.nodes[node].registry = None;
        self.nodes[node].starts_at = self.now_ms + 100 + self.random.below(6_000);
        for client in 0..self.clients.len() {
            if self.clients[client]
                .connected
                .is_some_and(|(to, _)| to == node)
            {
                // As the Java client: up to 5 s for each address that does not answer.
                let wait = 100 + self.random.below(5_000);
                self.disconnect(client, wait);
            }
        }
        self.nodes[node].connections.clear();
    }

    /// One after the other, each as soon as the one before it serves again.
    pub fn restart_in_turn(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.crash(node);
            self.run(12_000, false)?;
        }
        Ok(())
    }

    fn start_nodes(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].registry.is_some() || self.now_ms < self.nodes[node].starts_at {
                continue;
            }
            let disk = self.nodes[node].disk.iter();
            let recovered = disk.map(|((service, id), instance)| {
                Publication::new(service.clone(), id.clone(), instance.clone())
            });
            let recovered = recovered.collect();
            self.nodes[node].epoch += 1;
            self.nodes[node].serving = false;
            let start = Start {
                node: node_name(node),
                epoch: self.nodes[node].epoch,
                address: node_name(node),
                nodes: (0..self.nodes.len()).map(node_name).collect(),
                recovered,
                version: self.nodes[node].version,
            };
            let mut registry = Registry::start(self.config.clone(), start, self.now(node));
            registry.write_down();
            self.tell(None, &format!("node {node} starts"));
            self.nodes[node].registry = Some(registry);
        }
    }

    fn disconnect(&mut self, client: usize, wait_ms: u64) {
        let it = &mut self.clients[client];
        it.connects_at = self.now_ms + wait_ms;
        if let Some((node, connection)) = it.connected.take() {
            self.nodes[node].connections.remove(&connection);
            let now = self.now(node);
            for (_, id) in self.clients[client].publishes.keys() {
                self.tell(Some(id), &format!("its client leaves node {node}"));
            }
            if let Some(registry) = &mut self.nodes[node].registry {
                registry.disconnected(connection, now);
            }
        }
    }

    fn client_acts(&mut self, client: usize, disturbed: bool) {
        let Some((node, connection)) = self.clients[client].connected else {
            return self.connect(client);
        };
        let now = self.now(node);
        let cell = CELL.to_owned();
        let Some(registry) = &mut self.nodes[node].registry else {
            return;
        };
        let it = &mut self.clients[client];
        // One registration after the other, as the Java client.
        let place = it.registered;
        it.registered += 1;
        if place < it.publishes.len() {
            if let Some(((service, id), version)) = it.publishes.iter().nth(place) {
                let publication = Publication {
                    service: name(*service),
                    id: id.clone(),
                    data: vec![DataBox {
                        data: Some(format!("{id}")),
                    }],
                    cell,
                    version: *version,
                    timestamp: 0,
                };
                let _ = registry.publish(connection, publication, now);
                let id = id.clone();
                self.tell(Some(&id), &format!("published at node {node}"));
            }
        } else if let Some(service) = it.subscribes.iter().nth(place - it.publishes.len()) {
            let subscription = Subscription {
                service: name(*service),
                id: RegistId::new(&format!("c{client}-{service}")),
                scope: Scope::Global,
                cell,
            };
            let _ = registry.subscribe(connection, subscription, now);
        } else if disturbed && self.random.chance(1, 400) {
            // Something new, something less.
            if self.random.chance(1, 2) && !it.publishes.is_empty() {
                let place = self.random.below(it.publishes.len() as u64) as usize;
                let key = it.publishes.keys().nth(place).cloned();
                if let Some(key) = key {
                    let version = it.publishes.remove(&key).unwrap_or_default();
                    self.established.remove(&key);
                    self.counts.withdrawn += 1;
                    registry.unpublish(connection, &name(key.0), &key.1, (version + 1, 0), now);
                    it.registered -= 1;
                }
            } else {
                self.publish_new(client);
                // All again: what is known already changes nothing.
                self.clients[client].registered = 0;
            }
        }
    }

    fn connect(&mut self, client: usize) {
        if self.now_ms < self.clients[client].connects_at {
            return;
        }
        let up = (0..self.nodes.len()).filter(|node| self.nodes[*node].registry.is_some());
        let up: Vec<usize> = up.collect();
        if up.is_empty() {
            return;
        }
        let node = *self.random.pick(&up);
        let Some(registry) = &mut self.nodes[node].registry else {
            return;
        };
        self.counts.moved += 1;
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        registry.connected(connection);
        self.nodes[node].connections.insert(connection, client);
        self.clients[client].connected = Some((node, connection));
        self.clients[client].registered = 0;
    }

    fn deliver(&mut self) {
        let now = self.now_ms;
        let due = |letters: &mut Vec<Letter>| {
            let (due, rest) = std::mem::take(letters)
                .into_iter()
                .partition::<Vec<_>, _>(|letter| letter.at <= now);
            *letters = rest;
            due
        };
        for letter in due(&mut self.letters) {
            let Letter {
                from,
                to,
                epoch,
                way,
                ..
            } = letter;
            let at = self.now(to);
            match way {
                Way::Ask(message) => {
                    let cut = self.cut.contains(&(from, to));
                    let answer = match &mut self.nodes[to].registry {
                        Some(registry) if !cut => Some(registry.received(message, at)),
                        _ => None,
                    };
                    // A silence is found out only in time, or at once if nobody listens.
                    let (way, wait) = match answer {
                        Some(answer) => (Way::Answer(answer), 1 + self.random.below(10)),
                        None if cut => (Way::Silence, CALL_MS),
                        None => (Way::Silence, 10),
                    };
                    self.letters.push(Letter {
                        at: now + wait,
                        from: to,
                        to: from,
                        epoch,
                        way,
                    });
                }
                Way::Answer(_) | Way::Silence if epoch != self.nodes[to].epoch => {}
                Way::Answer(answer) => {
                    if self.cut.contains(&(from, to)) {
                        let way = Way::Silence;
                        self.letters.push(Letter {
                            at: now + CALL_MS,
                            from,
                            to,
                            epoch,
                            way,
                        });
                    } else if let Some(registry) = &mut self.nodes[to].registry {
                        registry.answered(&node_name(from), answer, at);
                    }
                }
                Way::Silence => {
                    if let Some(registry) = &mut self.nodes[to].registry {
                        registry.unanswered(&node_name(from), at);
                    }
                }
            }
        }
        let (due, rest) = std::mem::take(&mut self.acknowledgements)
            .into_iter()
            .partition::<Vec<_>, _>(|one| one.at <= now);
        self.acknowledgements = rest;
        for one in due {
            let at = self.now(one.node);
            let node = &mut self.nodes[one.node];
            if let Some(registry) = &mut node.registry
                && node.epoch == one.epoch
            {
                registry.acknowledged(one.connection, one.push, true, at);
            }
        }
    }

    fn turn(&mut self, node: usize) -> Result<(), String> {
        let now = self.now(node);
        let Node {
            registry,
            serving,
            disk,
            epoch,
            version,
            ..
        } = &mut self.nodes[node];
        let (Some(registry), epoch) = (registry, *epoch) else {
            return Ok(());
        };
        registry.advance(now);
        if registry.is_serving() && !std::mem::replace(serving, true) {
            // What it knew before its start is told, or not needed.
            let pictures = (0..).map_while(|service| registry.picture(service));
            let all = pictures.flatten().filter_map(|written| {
                let key = ((*written.service).clone(), written.id);
                Some((key, written.instance?))
            });
            *disk = all.collect();
            if self.trace.is_some() {
                eprintln!("{} node {node} serves", self.now_ms);
            }
        }
        let outgoing = registry.outgoing(now);
        *version = registry.version();
        let messages = registry.to_nodes(now);
        for written in registry.changes() {
            let key = ((*written.service).clone(), written.id);
            if self
                .trace
                .as_ref()
                .is_some_and(|trace| key.1.to_string() == *trace)
            {
                let is = if written.instance.is_some() {
                    "shows"
                } else {
                    "hides"
                };
                eprintln!("{} node {node} {is} it", self.now_ms);
            }
            match written.instance {
                Some(instance) => drop(disk.insert(key, instance)),
                None => drop(disk.remove(&key)),
            }
        }
        for (to, message) in messages {
            let to = to[1..].parse().unwrap_or(0);
            let at = self.now_ms + 1 + self.random.below(10);
            let way = Way::Ask(message);
            self.letters.push(Letter {
                at,
                from: node,
                to,
                epoch,
                way,
            });
        }
        for push in outgoing {
            let Some(&client) = self.nodes[node].connections.get(&push.connection) else {
                continue;
            };
            self.counts.pushes += 1;
            self.acknowledgements.push(Acknowledgement {
                at: self.now_ms + self.clients[client].slow_ms,
                node,
                epoch,
                connection: push.connection,
                push: push.push,
            });
            let Content::Instances {
                version, instances, ..
            } = &push.content
            else {
                continue;
            };
            let boxes = instances.zones().values().flatten();
            let list: BTreeSet<String> = boxes.filter_map(|one| one.data.clone()).collect();
            let service = push.service.data_id[1..].parse().unwrap_or(0);
            self.seen(client, node, service, *version, list)?;
        }
        Ok(())
    }

    /// A client is pushed a list.
    fn seen(
        &mut self,
        client: usize,
        node: usize,
        service: usize,
        version: Version,
        list: BTreeSet<String>,
    ) -> Result<(), String> {
        let missing = self
            .established
            .iter()
            .filter(|(of, id)| *of == service && !list.contains(&id.to_string()));
        if let Some((_, id)) = missing.into_iter().next() {
            return Err(format!(
                "at {} node {node} tells client {client} of service {service} without {id}, which lives: {list:?}",
                self.now_ms
            ));
        }
        let view = self.clients[client].views.entry(service).or_default();
        if version > view.0 {
            *view = (version, list);
        }
        Ok(())
    }

    /// What all nodes show at the same time counts as established.
    fn establish(&mut self) {
        if !self.now_ms.is_multiple_of(200) || self.nodes.iter().any(|node| node.registry.is_none())
        {
            return;
        }
        let shown: Vec<BTreeSet<Key>> =
            (0..self.nodes.len()).map(|node| self.shown(node)).collect();
        let living = self
            .clients
            .iter()
            .flat_map(|client| client.publishes.keys());
        for key in living {
            if shown.iter().all(|shown| shown.contains(key)) && self.established.insert(key.clone())
            {
                self.counts.established += 1;
            }
        }
    }

    fn shown(&self, node: usize) -> BTreeSet<Key> {
        let disk = self.nodes[node].disk.keys();
        disk.map(|(service, id)| (service.data_id[1..].parse().unwrap_or(0), id.clone()))
            .collect()
    }

    /// After a quiet time everybody must know the same, and the truth.
    pub fn check_converged(&self) -> Result<(), String> {
        let living: BTreeSet<Key> = self
            .clients
            .iter()
            .flat_map(|client| client.publishes.keys().cloned())
            .collect();
        for node in 0..self.nodes.len() {
            let Some(registry) = &self.nodes[node].registry else {
                return Err(format!("node {node} is down"));
            };
            if !registry.is_serving() {
                return Err(format!("node {node} does not serve"));
            }
            let states = registry.nodes();
            if states.iter().any(|state| !state.synced || state.behind > 0) {
                return Err(format!("node {node}: {states:?}"));
            }
            // Nothing is left of whoever has gone, and nothing is kept twice but by who vouches for it.
            let counts = registry.counts(self.now(node));
            let (living_max, nodes) = (living.len() as u64, self.nodes.len() as u64);
            if counts.instances > living_max
                || counts.copies > living_max * nodes
                || counts.withdrawn > self.counts.withdrawn
                || counts.connections > self.clients.len() as u64
            {
                return Err(format!(
                    "node {node} keeps too much of {living_max}: {counts:?}"
                ));
            }
            let shown = self.shown(node);
            if shown != living {
                let missing: Vec<_> = living.difference(&shown).collect();
                let dead: Vec<_> = shown.difference(&living).collect();
                return Err(format!(
                    "node {node} misses {missing:?} and shows the dead {dead:?}"
                ));
            }
        }
        for (number, client) in self.clients.iter().enumerate() {
            for service in &client.subscribes {
                let true_list: BTreeSet<String> = living
                    .iter()
                    .filter(|(of, _)| of == service)
                    .map(|(_, id)| id.to_string())
                    .collect();
                let view = client.views.get(service).map(|(_, list)| list);
                if view != Some(&true_list) {
                    return Err(format!(
                        "client {number} at {:?} sees {view:?} of service {service} instead of {true_list:?}",
                        client.connected
                    ));
                }
            }
        }
        Ok(())
    }

    pub fn established(&self) -> usize {
        self.established.len()
    }
}
