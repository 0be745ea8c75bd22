//! Registry nodes that are killed, frozen, cut off and restarted while clients publish and subscribe. No list that a client is
//! pushed may miss an instance that lives and was known everywhere; in the end everybody knows the same, and nothing dead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use diwan_bolt::{Decoded, Frame, FrameWriter, Head, Kind, Status, decode};
use diwan_hessian::Dialect;
use diwan_kills::network::Network;
use diwan_kills::process::{Process, command};
use diwan_registry_wire::{
    Answer, BaseRegister, Codec, DataBox, PublisherRegister, Push, Request, SubscriberRegister,
    SyncResult,
};
use diwan_sim::Random;
use rustix::process::Signal;

/// Kills registry nodes and looks at what their clients are told.
#[derive(Parser)]
struct Arguments {
    /// The `diwan` program
    #[arg(long)]
    diwan: PathBuf,
    /// A directory for everything
    #[arg(long)]
    place: PathBuf,
    /// Ten ports for each node from here on are free
    #[arg(long)]
    port: u16,
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// How often something goes wrong
    #[arg(long, default_value_t = 6)]
    faults: u32,
    /// Cut ways between nodes, too: this process has a network namespace of its own
    #[arg(long)]
    partitions: bool,
    /// All chance follows from it
    #[arg(long)]
    seed: Option<u64>,
}

const SERVICES: usize = 3;
const CODEC: Codec = Codec::Hessian(Dialect::Draft);

/// A service and an instance's name, which is also what it publishes.
type Key = (usize, String);

#[derive(Default)]
struct Truth {
    /// Published.
    living: BTreeSet<Key>,
    /// Which nodes have shown them.
    shown: BTreeMap<Key, BTreeSet<usize>>,
    /// Shown by all nodes: no list may miss them.
    established: BTreeSet<Key>,
    /// What each client was told last.
    views: BTreeMap<(usize, usize), BTreeSet<String>>,
    broken: Option<String>,
}

struct Shared {
    truth: Mutex<Truth>,
    sessions: Vec<SocketAddr>,
    stop: AtomicBool,
    churn: AtomicBool,
    pushes: AtomicU64,
    reconnections: AtomicU64,
    next: AtomicU64,
}

impl Shared {
    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = diwan_kills::seed(arguments.seed);
    println!("seed {seed}");
    match live(&arguments, seed) {
        Ok(said) => {
            println!("seed {seed}: {said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("seed {seed}: BROKEN: {why}");
            ExitCode::FAILURE
        }
    }
}

struct Node {
    address: SocketAddrV4,
    namespace: Option<PathBuf>,
    config: PathBuf,
    session: SocketAddr,
    process: Process,
}

impl Node {
    fn start(&mut self, program: &PathBuf) -> Result<(), String> {
        let text = |error: std::io::Error| format!("{}: {error}", program.display());
        let mut log = File::options();
        let log = log.create(true).append(true).open(self.process.log());
        let log = log.map_err(text)?;
        let mut command = command(self.namespace.as_deref(), program);
        command.args(["server", "--config"]).arg(&self.config);
        self.process.start(&mut command, log).map_err(text)
    }

    fn end(&mut self, signal: Signal) {
        self.process.signal(signal);
        let _ = self.process.wait();
    }
}

fn nodes(arguments: &Arguments, network: &Network) -> Result<Vec<Node>, String> {
    let all: Vec<String> = network
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut nodes = Vec::new();
    for (place, address) in network.addresses().iter().enumerate() {
        let (ip, port) = (address.ip(), address.port());
        let directory = arguments.place.join(place.to_string());
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let config = directory.join("config.toml");
        let text = format!(
            "node = \"{address}\"\nadmin = \"127.0.0.1:{}\"\ndata = {:?}\npeers = {all:?}\n[tx]\nenabled = false\n[saga]\nenabled = false\n[registry]\nenabled = true\n\
             listen = \"{ip}:{}\"\nsession_http = \"{ip}:{}\"\nmeta_http = \"{ip}:{}\"\n",
            port + 1,
            directory.join("data"),
            port + 2,
            port + 3,
            port + 4,
        );
        std::fs::write(&config, text).map_err(|error| error.to_string())?;
        nodes.push(Node {
            address: *address,
            namespace: network.namespace(place),
            config,
            session: SocketAddr::from((*ip, port + 2)),
            process: Process::new(directory.join("log")),
        });
    }
    Ok(nodes)
}

fn live(arguments: &Arguments, seed: u64) -> Result<String, String> {
    let began = Instant::now();
    let mut random = Random::new(seed);
    let ports: Vec<u16> = (0..arguments.nodes)
        .map(|node| arguments.port + 10 * node as u16)
        .collect();
    let mut network = match arguments.partitions {
        true => Network::of_namespaces(&ports)?,
        false => Network::loopback(&ports),
    };
    let mut nodes = nodes(arguments, &network)?;
    for node in &mut nodes {
        node.start(&arguments.diwan)?;
    }
    let shared = Arc::new(Shared {
        truth: Mutex::default(),
        sessions: nodes.iter().map(|node| node.session).collect(),
        stop: AtomicBool::new(false),
        churn: AtomicBool::new(true),
        pushes: AtomicU64::new(0),
        reconnections: AtomicU64::new(0),
        next: AtomicU64::new(0),
    });
    let clients: Vec<_> = (0..arguments.clients)
        .map(|number| {
            let (shared, random) = (
                shared.clone(),
                Random::new(seed ^ (number as u64 + 1) << 32),
            );
            thread::spawn(move || Client::new(number, shared, random).run())
        })
        .collect();
    let outcome = (|| {
        if network.can_cut() {
            thread::sleep(Duration::from_secs(1));
            network.prove()?;
        }
        wait(&shared, Duration::from_secs(30), |truth| {
            truth.living.len() >= arguments.clients
        })?;
        let mut said = BTreeMap::<&str, u32>::new();
        for _ in 0..arguments.faults {
            establish(&shared)?;
            let what = fault(&mut nodes, &mut network, &arguments.diwan, &mut random)?;
            *said.entry(what).or_default() += 1;
            println!("{:.1} s {what}", began.elapsed().as_secs_f64());
            for node in &mut nodes {
                let ended = node.process.ended();
                if let Some(status) = ended {
                    return Err(format!(
                        "node {} ended ({status}): {}",
                        node.address,
                        node.process.last_words()
                    ));
                }
            }
        }
        establish(&shared)?;
        shared.churn.store(false, Ordering::Relaxed);
        // As long as a lost node's instances are kept, and a little more.
        wait(&shared, Duration::from_secs(45), |truth| {
            all_know(truth, arguments.clients)
        })?;
        let truth = shared.truth();
        let (living, established) = (truth.living.len(), truth.established.len());
        Ok(format!(
            "{said:?}: {} pushes, {} connections, {} instances live, {} known everywhere: none was missing",
            shared.pushes.load(Ordering::Relaxed),
            shared.reconnections.load(Ordering::Relaxed),
            living,
            established
        ))
    })();
    shared.stop.store(true, Ordering::Relaxed);
    for client in clients {
        let _ = client.join();
    }
    outcome
}

fn all_know(truth: &Truth, clients: usize) -> bool {
    let list = |service: usize| -> BTreeSet<String> {
        let living = truth.living.iter().filter(|(of, _)| *of == service);
        living.map(|(_, id)| id.clone()).collect()
    };
    (0..SERVICES).all(|service| {
        let list = list(service);
        (0..clients).all(|client| truth.views.get(&(client, service)) == Some(&list))
    })
}

/// In what a view differs from the truth.
fn wrong(truth: &Truth, (of, view): (&(usize, usize), &BTreeSet<String>)) -> Option<String> {
    let living = truth.living.iter().filter(|(service, _)| *service == of.1);
    let living: BTreeSet<String> = living.map(|(_, id)| id.clone()).collect();
    let (missing, dead) = (living.difference(view), view.difference(&living));
    let (missing, dead): (Vec<_>, Vec<_>) = (missing.collect(), dead.collect());
    (living != *view).then(|| {
        format!(
            "client {} of service {}: missing {missing:?}, dead {dead:?}",
            of.0, of.1
        )
    })
}

fn wait(
    shared: &Shared,
    patience: Duration,
    enough: impl Fn(&Truth) -> bool,
) -> Result<(), String> {
    let until = Instant::now() + patience;
    loop {
        {
            let truth = shared.truth();
            if let Some(broken) = &truth.broken {
                return Err(broken.clone());
            }
            if enough(&truth) {
                return Ok(());
            }
            if Instant::now() > until {
                let views = truth.views.iter();
                let wrong: Vec<String> = views.filter_map(|view| wrong(&truth, view)).collect();
                return Err(format!(
                    "not everybody knows the truth after {patience:?}: {wrong:#?}"
                ));
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A quiet while; what all nodes have shown by then counts as known everywhere.
fn establish(shared: &Shared) -> Result<(), String> {
    let _ = wait(shared, Duration::from_secs(4), |_| false);
    let mut truth = shared.truth();
    if let Some(broken) = &truth.broken {
        return Err(broken.clone());
    }
    let nodes = shared.sessions.len();
    let shown = |key: &&Key| truth.shown.get(*key).is_some_and(|by| by.len() == nodes);
    let known: BTreeSet<Key> = truth.living.iter().filter(shown).cloned().collect();
    truth.established.extend(known);
    Ok(())
}

/// Something goes wrong, and is mended.
fn fault(
    nodes: &mut [Node],
    network: &mut Network,
    program: &PathBuf,
    random: &mut Random,
) -> Result<&'static str, String> {
    let one = random.below(nodes.len() as u64) as usize;
    let rest = |random: &mut Random, low, high| {
        thread::sleep(Duration::from_millis(random.between(low, high)));
    };
    match random.below(if network.can_cut() { 6 } else { 4 }) {
        0 => {
            nodes[one].end(Signal::KILL);
            rest(random, 0, 4_000);
            nodes[one].start(program)?;
            Ok("killed")
        }
        1 => {
            for node in nodes.iter_mut() {
                node.process.signal(Signal::KILL);
            }
            for node in nodes.iter_mut() {
                node.end(Signal::KILL);
                node.start(program)?;
            }
            Ok("all killed")
        }
        2 => {
            nodes[one].process.signal(Signal::STOP);
            rest(random, 500, 8_000);
            nodes[one].process.signal(Signal::CONT);
            Ok("frozen")
        }
        3 => {
            for node in nodes.iter_mut() {
                node.end(Signal::TERM);
                node.start(program)?;
                rest(random, 4_000, 5_000);
            }
            Ok("restarted in turn")
        }
        _ => {
            let two_ways = random.chance(2, 3);
            for other in 0..nodes.len() {
                network.cut(one, other)?;
                if two_ways {
                    network.cut(other, one)?;
                }
            }
            rest(random, 1_000, 12_000);
            network.heal()?;
            Ok("cut off")
        }
    }
}

struct Client {
    number: usize,
    shared: Arc<Shared>,
    random: Random,
    instances: Vec<Key>,
    versions: BTreeMap<usize, i64>,
    /// Where it is connected.
    at: usize,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    next_id: u32,
    heard: Instant,
}

impl Client {
    fn new(number: usize, shared: Arc<Shared>, random: Random) -> Self {
        Self {
            number,
            shared,
            random,
            instances: Vec::new(),
            versions: BTreeMap::new(),
            at: 0,
        }
    }

    fn run(mut self) {
        for _ in 0..2 {
            self.begin();
        }
        while !self.shared.stop.load(Ordering::Relaxed) {
            let node = self.random.below(self.shared.sessions.len() as u64) as usize;
            let session = self.shared.sessions[node];
            self.at = node;
            if let Ok(connection) = Connection::open(session) {
                self.shared.reconnections.fetch_add(1, Ordering::Relaxed);
                // It ends when the connection does.
                let _ = self.stay(connection);
            }
            thread::sleep(Duration::from_millis(self.random.below(200)));
        }
    }

    fn begin(&mut self) {
        let service = self.random.below(SERVICES as u64) as usize;
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.instances.push((service, format!("instance-{number}")));
    }

    fn stay(&mut self, mut connection: Connection) -> std::io::Result<()> {
        for key in self.instances.clone() {
            self.publish(&mut connection, &key, true)?;
        }
        for service in 0..SERVICES {
            let request = Request::SubscriberRegister(SubscriberRegister {
                scope: Some("global".into()),
                base: base(
                    service,
                    format!("subscriber-{}-{service}", self.number),
                    "REGISTER",
                    1,
                ),
                ..SubscriberRegister::default()
            });
            self.ask(&mut connection, &request)?;
        }
        let mut next_beat = Instant::now();
        let mut next_change = Instant::now();
        while !self.shared.stop.load(Ordering::Relaxed) {
            if Instant::now() >= next_beat {
                next_beat = Instant::now() + Duration::from_millis(500);
                connection.beat()?;
            }
            self.read(&mut connection, None)?;
            if self.shared.churn.load(Ordering::Relaxed)
                && self.random.chance(1, 100)
                && Instant::now() >= next_change
            {
                next_change = Instant::now() + Duration::from_secs(2);
                if self.instances.len() > 2 {
                    let key = self.instances.remove(0);
                    {
                        let mut truth = self.shared.truth();
                        truth.living.remove(&key);
                        truth.established.remove(&key);
                    }
                    self.publish(&mut connection, &key, false)?;
                } else {
                    self.begin();
                    let key = self.instances[self.instances.len() - 1].clone();
                    self.publish(&mut connection, &key, true)?;
                }
            }
        }
        Ok(())
    }

    fn publish(
        &mut self,
        connection: &mut Connection,
        key: &Key,
        register: bool,
    ) -> std::io::Result<()> {
        let event = if register { "REGISTER" } else { "UNREGISTER" };
        let request = Request::PublisherRegister(PublisherRegister {
            data_list: Some(vec![DataBox {
                data: Some(key.1.clone()),
            }]),
            base: base(key.0, key.1.clone(), event, if register { 1 } else { 2 }),
        });
        if register {
            let mut truth = self.shared.truth();
            truth.living.insert(key.clone());
        }
        self.ask(connection, &request)
    }

    fn ask(&mut self, connection: &mut Connection, request: &Request) -> std::io::Result<()> {
        let id = connection.send(request)?;
        let until = Instant::now() + Duration::from_secs(3);
        while !self.read(connection, Some(id))? {
            if Instant::now() > until {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Reads what has come, and acknowledges pushes. Whether it was the answer that is waited for.
    fn read(&mut self, connection: &mut Connection, answer: Option<u32>) -> std::io::Result<bool> {
        let mut buffer = [0; 64 << 10];
        match connection.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                connection.heard = Instant::now();
                connection.input.extend_from_slice(&buffer[..count]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if connection.heard.elapsed() > Duration::from_secs(3) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        let input = std::mem::take(&mut connection.input);
        let mut rest = &input[..];
        let mut answered = false;
        loop {
            match decode(rest, diwan_bolt::FRAME_BYTES_MAX_DEFAULT) {
                Ok(Decoded::Frame { frame, bytes }) => {
                    match frame.head.kind {
                        Kind::Response { .. } => answered |= Some(frame.head.id) == answer,
                        _ => {
                            self.pushed(&frame);
                            connection.acknowledge(&frame)?;
                        }
                    }
                    rest = &rest[bytes..];
                }
                Ok(_) => break,
                Err(error) => return Err(std::io::Error::other(error)),
            }
        }
        connection.input = rest.to_vec();
        Ok(answered)
    }

    fn pushed(&mut self, frame: &Frame<'_>) {
        let Ok((Push::ReceivedData(data), _)) =
            Push::decode(frame.class, frame.head.codec, frame.content)
        else {
            return;
        };
        self.shared.pushes.fetch_add(1, Ordering::Relaxed);
        let service = data
            .data_id
            .as_deref()
            .and_then(|name| name.strip_prefix("service-"));
        let service: usize = service.and_then(|number| number.parse().ok()).unwrap_or(0);
        let zones = data.data.unwrap_or_default();
        let list: BTreeSet<String> = zones
            .into_values()
            .flatten()
            .filter_map(|item| item.data)
            .collect();
        let version = data.version.unwrap_or_default();
        let mut truth = self.shared.truth();
        for id in &list {
            let by = truth.shown.entry((service, id.clone())).or_default();
            by.insert(self.at);
        }
        let established = truth.established.iter().filter(|(of, _)| *of == service);
        let missing = established.map(|(_, id)| id).find(|id| !list.contains(*id));
        if let Some(missing) = missing
            && truth.broken.is_none()
        {
            truth.broken = Some(format!(
                "client {} at {} is told of service {service} without {missing}, which lives: {list:?}, version {version}",
                self.number, self.at
            ));
        }
        // As clients do: what is not newer is not taken.
        let known = self.versions.entry(service).or_default();
        if version > *known {
            *known = version;
            truth.views.insert((self.number, service), list);
        }
    }
}

fn base(service: usize, id: String, event: &str, version: i64) -> BaseRegister {
    BaseRegister {
        data_id: Some(format!("service-{service}")),
        regist_id: Some(id),
        event_type: Some(event.into()),
        version: Some(version),
        timestamp: Some(version),
        ..BaseRegister::default()
    }
}

impl Connection {
    fn open(to: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, Duration::from_millis(500))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_millis(50)))?;
        stream.set_write_timeout(Some(Duration::from_secs(1)))?;
        Ok(Self {
            stream,
            input: Vec::new(),
            next_id: 1,
            heard: Instant::now(),
        })
    }

    fn write(
        &mut self,
        head: Head,
        class: &str,
        content: impl FnOnce(&mut Vec<u8>),
    ) -> std::io::Result<()> {
        let mut out = Vec::new();
        let mut writer = FrameWriter::begin(&mut out, head, class.as_bytes());
        content(writer.content());
        writer.finish().map_err(std::io::Error::other)?;
        self.stream.write_all(&out)
    }

    fn next_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    fn send(&mut self, request: &Request) -> std::io::Result<u32> {
        let id = self.next_id();
        let head = Head::request(id, CODEC.byte(), 3_000);
        self.write(head, request.class(CODEC), |out| request.encode(CODEC, out))?;
        Ok(id)
    }

    fn beat(&mut self) -> std::io::Result<()> {
        let id = self.next_id();
        self.write(Head::heartbeat(id, CODEC.byte()), "", |_| {})
    }

    fn acknowledge(&mut self, push: &Frame<'_>) -> std::io::Result<()> {
        let answer = Answer::Result(SyncResult {
            success: true,
            message: None,
        });
        let head = push.head.response(Status::Success);
        self.write(head, answer.class(CODEC), |out| answer.encode(CODEC, out))
    }
}
