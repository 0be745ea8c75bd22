//! Three or five real nodes under load, on disks that forget what was not synced. Members are killed with kill -9, and then
//! lose what no sync covered; they are frozen and thawed, restarted one after the other, and the power fails for all of them.
//! Their disks are full for a while, and, where that can be had, ways between them are cut, both ways or one.
//! Clients put unique values and get them linearizably; in the end one order has to explain all they saw.
//!
//! ```text
//! diwan-kills --store target/debug/examples/kv --disk disk.so --place DIR [--kills 30] [--members 3] [--seed S] [--lies]
//! ```

mod client;
mod history;
mod member;
mod rewind;

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use diwan_kills::network::Network;
use diwan_sim::{Action, Random};

use crate::client::{Answer, Client};
use crate::history::{History, bytes_of, value_of};
use crate::member::{Member, Program};
use crate::rewind::{Losses, Share};

/// Kills members of a group and checks what clients were promised. Exit code 1 if a promise was broken, 2 if that could not
/// be found out.
#[derive(Parser)]
struct Arguments {
    /// The program of a member.
    #[arg(long)]
    store: PathBuf,
    /// What disk.c is built to.
    #[arg(long)]
    disk: PathBuf,
    /// A folder for the members' data.
    #[arg(long)]
    place: PathBuf,
    /// The first of the members' ports.
    #[arg(long, default_value_t = 24900)]
    port: u16,
    /// How many processes are killed.
    #[arg(long, default_value_t = 30)]
    kills: u32,
    /// How many members there are.
    #[arg(long, default_value_t = 3)]
    members: usize,
    /// Where chance begins; random without it.
    #[arg(long)]
    seed: Option<u64>,
    /// Once the group is at work, fdatasync does nothing: a promise has to break.
    #[arg(long)]
    lies: bool,
    /// All that is not durable is lost, not any part of it.
    #[arg(long)]
    lose_all: bool,
    /// Nothing but the power fails, of all members at once.
    #[arg(long)]
    power_only: bool,
    /// Cuts ways between members, too: this process has to have a network namespace of its own.
    #[arg(long)]
    partitions: bool,
    /// The size of the log's segments.
    #[arg(long, default_value_t = 1 << 20)]
    segment_bytes: u32,
    /// The members keep their log in this engine.
    #[arg(long)]
    log: Option<String>,
    /// Kills that engine and starts it again.
    #[arg(long, requires = "log")]
    engine: Option<PathBuf>,
}

const CLIENTS: u64 = 8;
/// Within this time after the last fault a put has to succeed.
const RECOVERY: Duration = Duration::from_secs(20);

/// What the clients and the faults share.
struct Shared {
    history: History,
    addresses: Vec<SocketAddrV4>,
    ports: Vec<u16>,
    leader: AtomicU16,
    stop: AtomicBool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = diwan_kills::seed(arguments.seed);
    println!("seed {seed}");
    let mut group = match Group::begin(&arguments, seed) {
        Ok(group) => group,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let shared = group.shared.clone();
            let random = Random::new(seed ^ (number + 1) << 32);
            thread::spawn(move || work(&shared, random))
        })
        .collect();
    let outcome = group.live_through(arguments.kills, arguments.lies);
    group.shared.stop.store(true, Ordering::Relaxed);
    for client in clients {
        // A client that panicked has said why.
        let _ = client.join();
    }
    // Whatever else went wrong: a broken promise is worse.
    let outcome = match (outcome, group.shared.history.violation()) {
        (_, Some(broken)) => Err(broken),
        (Ok(()), None) => group.check(),
        (Err(why), None) => Err(why),
    };
    let (history, losses, faults) = (group.shared.history.counts(), group.losses, group.faults);
    println!("{faults:?}\n{losses:?}\n{history:?}");
    match outcome {
        Ok(())
            // Nodes whose logs are in an engine write nothing to their disks.
            if arguments.log.is_none()
                && (losses.sectors_lost == 0
                    || faults.full_disks > 10 && faults.full_disks_felt == 0)
                || history.puts == 0
                || history.gets == 0 =>
        {
            println!("nothing was tried");
            ExitCode::from(2)
        }
        Ok(()) => {
            println!(
                "seed {seed}: {} kills, {} of {} unsynced sectors lost, {} acknowledged puts, {} gets: nothing lost",
                faults.kills, losses.sectors_lost, losses.sectors, history.puts, history.gets
            );
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!(
                "{why}\nseed {seed}: BROKEN after {} kills: {}",
                faults.kills,
                why.lines().next().unwrap_or_default()
            );
            ExitCode::FAILURE
        }
    }
}

/// A client: one request after the other, until it is told to stop.
fn work(shared: &Shared, mut random: Random) {
    let mut client = Client::new(&shared.addresses);
    while !shared.stop.load(Ordering::Relaxed) {
        let key = shared.history.key(&mut random);
        if random.chance(2, 5) {
            // Gets go to any member.
            let port = *random.pick(&shared.ports);
            let called = shared.history.now();
            get(shared, &mut client, port, key, called);
        } else {
            put(shared, &mut client, &mut random, key);
        }
    }
}

fn name(key: u64) -> String {
    format!("key-{key:012}")
}

fn put(shared: &Shared, client: &mut Client, random: &mut Random, key: u64) {
    let value = shared.history.value();
    let bytes = bytes_of(value);
    while !shared.stop.load(Ordering::Relaxed) {
        let port = shared.leader.load(Ordering::Relaxed);
        let called = shared.history.now();
        let answer = client.put(port, &name(key), &bytes);
        let returned = shared.history.now();
        match answer {
            Answer::Done(_) => {
                return shared
                    .history
                    .record(key, Action::Put(value), called, Some(returned));
            }
            Answer::Unknown => {
                look_elsewhere(shared, random, port);
                return shared.history.record(key, Action::Put(value), called, None);
            }
            Answer::NotDone(Some(leader)) if shared.ports.contains(&leader) => {
                shared.leader.store(leader, Ordering::Relaxed);
            }
            Answer::NotDone(_) => look_elsewhere(shared, random, port),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn look_elsewhere(shared: &Shared, random: &mut Random, from: u16) {
    let other = *random.pick(&shared.ports);
    let _ = shared
        .leader
        .compare_exchange(from, other, Ordering::Relaxed, Ordering::Relaxed);
}

/// Whether there was an answer.
fn get(shared: &Shared, client: &mut Client, port: u16, key: u64, called: u64) -> bool {
    let Answer::Done(found) = client.get(port, &name(key)) else {
        thread::sleep(Duration::from_millis(5));
        return false;
    };
    let returned = shared.history.now();
    let value = match found {
        None => 0,
        // What nobody has put is what no order explains.
        Some(bytes) => value_of(&bytes).unwrap_or(u64::MAX),
    };
    shared
        .history
        .record(key, Action::Get(value), called, Some(returned));
    true
}

/// What happened to the members.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    kills: u32,
    freezes: u32,
    power_failures: u32,
    rolling_restarts: u32,
    partitions: u32,
    one_way_partitions: u32,
    full_disks: u32,
    full_disks_felt: u32,
    engine_kills: u32,
}

struct Group {
    members: Vec<Member>,
    program: Program,
    shared: Arc<Shared>,
    network: Network,
    random: Random,
    lose_all: bool,
    power_only: bool,
    engine: Option<PathBuf>,
    losses: Losses,
    faults: Faults,
}

impl Group {
    fn begin(arguments: &Arguments, seed: u64) -> Result<Group, String> {
        let absolute = |path: &PathBuf| {
            path.canonicalize()
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let place = absolute(&arguments.place)?;
        let ports: Vec<u16> = (0..arguments.members)
            .map(|number| arguments.port + number as u16)
            .collect();
        let network = match arguments.partitions {
            true => Network::of_namespaces(&ports)?,
            false => Network::loopback(&ports),
        };
        let addresses = network.addresses().to_vec();
        let peers: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let member = |(number, address): (usize, &SocketAddrV4)| {
            let place = place.join(address.port().to_string());
            Member::new(place, *address, network.namespace(number))
        };
        let members: Result<Vec<Member>, _> = addresses.iter().enumerate().map(member).collect();
        let mut group = Group {
            members: members.map_err(|error| error.to_string())?,
            program: Program {
                path: absolute(&arguments.store)?,
                disk: absolute(&arguments.disk)?,
                lies: place.join("lies"),
                segment_bytes: arguments.segment_bytes,
                peers: peers.join(","),
                log: arguments.log.clone(),
            },
            shared: Arc::new(Shared {
                history: History::new(),
                addresses,
                leader: AtomicU16::new(ports[0]),
                ports,
                stop: AtomicBool::new(false),
            }),
            network,
            random: Random::new(seed),
            lose_all: arguments.lose_all,
            power_only: arguments.power_only,
            engine: arguments.engine.clone(),
            losses: Losses::default(),
            faults: Faults::default(),
        };
        for member in &mut group.members {
            member.start(&group.program)?;
        }
        if group.network.can_cut() {
            group.network.prove()?;
        }
        Ok(group)
    }

    fn live_through(&mut self, kills: u32, lies: bool) -> Result<(), String> {
        self.await_put()?;
        if lies {
            // First the log has its spare segments: of those without a head the node says that they are damaged.
            thread::sleep(Duration::from_secs(4));
            std::fs::write(&self.program.lies, "").map_err(|error| error.to_string())?;
        }
        let mut told = 0;
        // A short run may meet only synced disks: then it goes on until one has lost something.
        while self.faults.kills < kills
            || self.losses.sectors_lost == 0
                && self.faults.kills < 10 * kills
                && self.program.log.is_none()
        {
            if self.faults.kills >= told + 50 {
                told = self.faults.kills;
                println!("{told} of {kills} kills");
            }
            self.rest(50, 800);
            match self.random.below(14) {
                _ if self.power_only => self.power_fails()?,
                0..=2 => {
                    let victim = self.anyone();
                    self.kill_and_restart(&[victim])?;
                }
                3 | 4 => {
                    let leader = self.leader();
                    self.kill_and_restart(&[leader])?;
                }
                5 => self.power_fails()?,
                6 => {
                    let frozen = self.anyone();
                    self.freeze(frozen);
                }
                7 => {
                    let leader = self.leader();
                    self.freeze(leader);
                }
                8 => self.kill_beside_a_frozen_one()?,
                9 => self.restart_all_in_turn()?,
                10 | 11 if self.network.can_cut() => self.partition()?,
                10 | 11 if self.engine.is_some() => self.kill_engine()?,
                _ => self.fill_disks()?,
            }
            for member in &mut self.members {
                if let Some(status) = member.ended() {
                    return Err(format!(
                        "the member on {} ended by itself ({status}): {}",
                        member.address,
                        member.last_words()
                    ));
                }
            }
            self.await_put()?;
        }
        Ok(())
    }

    fn anyone(&mut self) -> usize {
        self.random.below(self.members.len() as u64) as usize
    }

    fn leader(&self) -> usize {
        let port = self.shared.leader.load(Ordering::Relaxed);
        self.shared
            .ports
            .iter()
            .position(|known| *known == port)
            .unwrap_or(0)
    }

    fn rest(&mut self, low_ms: u64, high_ms: u64) {
        thread::sleep(Duration::from_millis(self.random.between(low_ms, high_ms)));
    }

    fn kill(&mut self, victims: &[usize]) -> Result<(), String> {
        for victim in victims {
            self.members[*victim].kill();
        }
        for victim in victims {
            self.faults.kills += 1;
            self.lose(*victim)?;
        }
        Ok(())
    }

    fn lose(&mut self, victim: usize) -> Result<(), String> {
        let share = match self.lose_all {
            true => Share::Everything,
            false => Share::any(&mut self.random),
        };
        let lost = self.members[victim].lose(share, &mut self.random)?;
        self.losses.add(lost);
        Ok(())
    }

    fn kill_and_restart(&mut self, victims: &[usize]) -> Result<(), String> {
        self.kill(victims)?;
        self.rest(0, 1000);
        for victim in victims {
            self.members[*victim].start(&self.program)?;
        }
        Ok(())
    }

    fn power_fails(&mut self) -> Result<(), String> {
        self.faults.power_failures += 1;
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.kill_and_restart(&all)
    }

    /// For longer than it may lead, now and then.
    fn freeze(&mut self, victim: usize) {
        self.faults.freezes += 1;
        self.members[victim].freeze();
        self.rest(100, 1500);
        self.members[victim].thaw();
    }

    /// The one that was killed comes back while the other one does not move: nobody can decide alone.
    fn kill_beside_a_frozen_one(&mut self) -> Result<(), String> {
        self.faults.freezes += 1;
        let frozen = self.anyone();
        let killed = (frozen + 1) % self.members.len();
        self.members[frozen].freeze();
        self.rest(50, 500);
        let result = self.kill_and_restart(&[killed]);
        self.rest(50, 500);
        self.members[frozen].thaw();
        result
    }

    /// Some ways are cut for a while; now and then somebody is killed meanwhile.
    fn partition(&mut self) -> Result<(), String> {
        let count = self.members.len();
        let one = match self.random.chance(1, 2) {
            true => self.leader(),
            false => self.anyone(),
        };
        let others: Vec<usize> = (0..count).filter(|other| *other != one).collect();
        let (out, back) = match self.random.below(4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        // From all others, or from some: then the rest hears both.
        let all = self.random.chance(2, 3);
        for other in others {
            if !all && self.random.chance(1, 2) {
                continue;
            }
            if out {
                self.network.cut(one, other)?;
            }
            if back {
                self.network.cut(other, one)?;
            }
        }
        self.faults.partitions += 1;
        self.faults.one_way_partitions += u32::from(out != back);
        self.rest(200, 3000);
        if self.random.chance(1, 3) {
            let victim = self.anyone();
            self.kill_and_restart(&[victim])?;
        }
        self.network.heal()
    }

    fn kill_engine(&mut self) -> Result<(), String> {
        let Some(engine) = &self.engine else {
            return Ok(());
        };
        self.faults.engine_kills += 1;
        let status = std::process::Command::new(engine).status();
        match status.map_err(|error| error.to_string())?.success() {
            true => Ok(()),
            false => Err(format!("{} failed", engine.display())),
        }
    }

    /// One disk or all of them are full for a while.
    fn fill_disks(&mut self) -> Result<(), String> {
        let victims: Vec<usize> = match self.random.below(3) {
            0 => (0..self.members.len()).collect(),
            1 => vec![self.leader()],
            _ => vec![self.anyone()],
        };
        let error = |error: std::io::Error| error.to_string();
        for victim in &victims {
            self.faults.full_disks += 1;
            let bytes = match self.random.chance(1, 2) {
                true => 0,
                false => self.random.below(3 << 20),
            };
            self.members[*victim].fill(bytes).map_err(error)?;
        }
        self.rest(300, 3000);
        let killed = self.random.chance(1, 4);
        if killed {
            self.kill(&victims)?;
        }
        for victim in &victims {
            let felt = self.members[*victim].empty().map_err(error)?;
            self.faults.full_disks_felt += u32::from(felt);
            if killed {
                self.members[*victim].start(&self.program)?;
            }
        }
        self.await_life(victims)
    }

    /// Waits until all members that were in need answer; those that have stopped are started again.
    fn await_life(&mut self, mut victims: Vec<usize>) -> Result<(), String> {
        let (key, began) = (name(u64::MAX >> 32), Instant::now());
        let mut client = Client::new(&self.shared.addresses);
        while let Some(awaited) = victims.last() {
            let port = self.members[*awaited].address.port();
            if let Answer::Done(_) = client.get(port, &key) {
                victims.pop();
                continue;
            }
            for victim in 0..self.members.len() {
                self.must_run(victim)?;
            }
            if began.elapsed() > RECOVERY {
                return Err(format!(
                    "the member on port {port} does not answer within {RECOVERY:?} after disks were full\n{}",
                    self.last_words()
                ));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A member whose disk is full does not end.
    fn must_run(&mut self, victim: usize) -> Result<(), String> {
        let member = &mut self.members[victim];
        match member.ended() {
            None => Ok(()),
            Some(status) => Err(format!(
                "the member on {} ended with its disk full ({status}): {}",
                member.address,
                member.last_words()
            )),
        }
    }

    /// The ends of all logs.
    fn last_words(&self) -> String {
        let words = |member: &Member| format!("{}:\n    {}", member.address, member.last_words());
        let words: Vec<String> = self.members.iter().map(words).collect();
        words.join("\n")
    }

    fn restart_all_in_turn(&mut self) -> Result<(), String> {
        self.faults.rolling_restarts += 1;
        for place in 0..self.members.len() {
            self.members[place].stop()?;
            self.lose(place)?;
            self.members[place].start(&self.program)?;
            self.rest(0, 400);
        }
        Ok(())
    }

    /// Waits until a client is told that a put is done.
    fn await_put(&self) -> Result<(), String> {
        let (before, began) = (self.shared.history.counts().puts, Instant::now());
        while self.shared.history.counts().puts == before {
            if began.elapsed() > RECOVERY {
                return Err(format!(
                    "no put is acknowledged within {RECOVERY:?}\n{}",
                    self.last_words()
                ));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Every key is read once more; then one order has to explain what was seen of it.
    fn check(&self) -> Result<(), String> {
        let keys = self.shared.history.keys();
        let asked: Vec<Result<(), String>> = thread::scope(|scope| {
            let readers: Vec<_> = keys
                .chunks(keys.len().div_ceil(CLIENTS as usize).max(1))
                .map(|keys| scope.spawn(|| read_all(&self.shared, keys)))
                .collect();
            let panicked = |_| Err("a reader panicked".to_owned());
            readers
                .into_iter()
                .map(|reader| reader.join().unwrap_or_else(panicked))
                .collect()
        });
        asked.into_iter().collect::<Result<(), String>>()?;
        self.shared.history.violation().map_or(Ok(()), Err)
    }
}

fn read_all(shared: &Shared, keys: &[u64]) -> Result<(), String> {
    let mut client = Client::new(&shared.addresses);
    for (place, key) in keys.iter().enumerate() {
        let began = Instant::now();
        let mut attempt = place;
        while !get(
            shared,
            &mut client,
            shared.ports[attempt % shared.ports.len()],
            *key,
            shared.history.now(),
        ) {
            attempt += 1;
            if began.elapsed() > RECOVERY {
                return Err(format!("key {key} cannot be read within {RECOVERY:?}"));
            }
        }
    }
    Ok(())
}
