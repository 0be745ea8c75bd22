//! Scenarios as texts: commands and what came of them, after the manner of etcd-io/raft's `testdata`. Each file in `scenarios/`
//! begins with what it shows; a line that begins with `>` is a command, the lines under it are its effect. `UPDATE=1 cargo
//! test -p diwan-raft --test scenarios` writes the effects anew: read them before they are committed.
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use diwan_raft::{
    Config, Configuration, Entry, Event, HardState, LogId, LogState, Outgoing, Payload, PeerId,
    Purpose, Raft, SnapshotMeta, Start, Time,
};

#[test]
fn scenarios() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert!(names.len() >= 10, "the scenarios are not there");
    let mut wrong = Vec::new();
    for path in names {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut world = World::default();
        let mut result = String::new();
        for line in text
            .lines()
            .filter(|line| line.starts_with(['#', '>']) || line.is_empty())
        {
            writeln!(result, "{line}").unwrap();
            if let Some(command) = line.strip_prefix("> ") {
                result.push_str(&world.run(command));
            }
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &result).unwrap();
        } else if result != text {
            wrong.push(format!("{}:\n{result}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not as written:\n{}", wrong.join("\n"));
}

/// A member and what it keeps.
struct Member {
    id: PeerId,
    raft: Option<Raft>,
    lives: u64,
    initial: Configuration,
    lease: bool,
    /// The member's clock in thousandths of the world's, and how far it is ahead.
    clock_permille: u64,
    ahead_ms: u64,
    hard_state: HardState,
    compacted: LogId,
    entries: BTreeMap<u64, Entry>,
    snapshot: Option<SnapshotMeta>,
    /// Writes wait for `sync`.
    holds_writes: bool,
    /// Entries wait for `room`; what else a write holds goes through.
    full: bool,
    held: Vec<diwan_raft::Write>,
}

#[derive(Default)]
struct World {
    now_ms: u64,
    members: BTreeMap<u16, Member>,
    /// Messages on their way: from, message.
    way: Vec<(u16, Outgoing)>,
    cut: BTreeSet<(u16, u16)>,
    quiet: bool,
}

fn peer(name: u16) -> PeerId {
    PeerId::new("m", name)
}

fn numbers(words: &str) -> Vec<u16> {
    words
        .split(',')
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().unwrap())
        .collect()
}

fn configuration(voters: &str, learners: &str) -> Configuration {
    let peers = |words: &str| numbers(words).into_iter().map(peer).collect();
    Configuration {
        learners: peers(learners),
        ..Configuration::of(peers(voters))
    }
}

impl World {
    fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut out = String::new();
        let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<u16>().unwrap());
        match words[0] {
            "group" => {
                for name in numbers(words[1]) {
                    self.add(name, configuration(words[1], ""), words.contains(&"lease"));
                }
            }
            "spare" => self.add(number(1), Configuration::default(), false),
            "priority" => self.give_priority(number(1), words[2]),
            "clock" => self.member(number(1)).clock_permille = words[2].parse().unwrap(),
            "campaign" => {
                // Its clock jumps, so that its election timer ends.
                self.member(number(1)).ahead_ms += 2500;
                let now_ms = self.now_ms;
                let now = self.member(number(1)).clock(now_ms);
                self.raft(number(1)).advance(now);
            }
            "run" => self.settle(words[1].parse().unwrap(), &mut out),
            "propose" => match self.raft(number(1)).propose(words[2].to_owned().into()) {
                Ok(id) => writeln!(out, "{} proposed as {}", words[2], at(id)).unwrap(),
                Err(error) => writeln!(out, "{error}").unwrap(),
            },
            "read" => self.raft(number(1)).read_index(words[2].parse().unwrap()),
            "cut" => {
                for a in numbers(words[1]) {
                    for b in numbers(words[2]) {
                        self.cut.insert((a, b));
                        if words.get(3) != Some(&"oneway") {
                            self.cut.insert((b, a));
                        }
                    }
                }
            }
            "heal" => self.cut.clear(),
            "lose" => self.way.clear(),
            "hold" => self.member(number(1)).holds_writes = true,
            "full" => {
                let member = self.member(number(1));
                member.full = true;
                member.raft.as_mut().expect("it is up").set_disk_full(true);
            }
            "room" => {
                let member = self.member(number(1));
                member.full = false;
                for write in std::mem::take(&mut member.held) {
                    member.persist(write);
                }
                member.raft.as_mut().expect("it is up").set_disk_full(false);
            }
            "sync" => {
                let member = self.member(number(1));
                member.holds_writes = false;
                for write in std::mem::take(&mut member.held) {
                    member.persist(write);
                }
            }
            "crash" => {
                let member = self.member(number(1));
                member.raft = None;
                member.held.clear();
                self.way.retain(|(from, _)| *from != number(1));
            }
            "start" => self.start(number(1)),
            "change" => {
                let target = configuration(words[2], words.get(3).copied().unwrap_or(""));
                if let Err(error) = self.raft(number(1)).change_members(target) {
                    writeln!(out, "{error}").unwrap();
                }
            }
            "reset" => {
                self.raft(number(1))
                    .reset_peers(configuration(words[2], ""))
                    .unwrap();
            }
            "transfer" => {
                if let Err(error) = self.raft(number(1)).transfer_leader(&peer(number(2))) {
                    writeln!(out, "{error}").unwrap();
                }
            }
            "snapshot" => {
                let member = self.member(number(1));
                let raft = member.raft.as_mut().unwrap();
                let index = raft.applied_index();
                member.snapshot = raft.snapshot_meta(index);
                raft.compact(index, 0);
                writeln!(out, "{} snapshot at {index}", number(1)).unwrap();
            }
            "quiet" => self.quiet = true,
            "loud" => self.quiet = false,
            "status" => self.status(&mut out),
            other => panic!("no command {other}"),
        }
        self.turns(&mut out);
        if self.quiet && words[0] != "status" {
            String::new()
        } else {
            out
        }
    }

    fn add(&mut self, name: u16, initial: Configuration, lease: bool) {
        let member = Member {
            id: peer(name),
            raft: None,
            lives: 0,
            initial,
            lease,
            clock_permille: 1000,
            ahead_ms: 0,
            hard_state: HardState::default(),
            compacted: LogId::default(),
            entries: BTreeMap::new(),
            snapshot: None,
            holds_writes: false,
            full: false,
            held: Vec::new(),
        };
        self.members.insert(name, member);
        self.start(name);
    }

    fn give_priority(&mut self, name: u16, level: &str) {
        let own: PeerId = format!("m:{name}::{level}").parse().unwrap();
        for member in self.members.values_mut() {
            for known in member
                .initial
                .peers
                .iter_mut()
                .filter(|known| **known == own)
            {
                *known = own.clone();
            }
        }
        self.member(name).id = own;
        for name in self.members.keys().copied().collect::<Vec<_>>() {
            self.start(name);
        }
    }

    fn member(&mut self, name: u16) -> &mut Member {
        self.members.get_mut(&name).unwrap()
    }

    fn raft(&mut self, name: u16) -> &mut Raft {
        self.member(name).raft.as_mut().expect("it is up")
    }

    fn start(&mut self, name: u16) {
        let now_ms = self.now_ms;
        let member = self.member(name);
        member.lives += 1;
        let mut config = Config::new(member.id.clone(), member.initial.clone());
        config.seed = u64::from(name) * 1000 + member.lives;
        config.lease_reads = member.lease;
        config.clock_drift_permille = 10;
        let mut log = LogState {
            compacted: member.compacted,
            last: member.compacted.index,
            ..LogState::default()
        };
        log.configurations.extend(
            member
                .snapshot
                .iter()
                .map(|meta| (meta.last.index, meta.configuration.clone())),
        );
        for entry in member.entries.values() {
            log.last = entry.id.index;
            if log
                .terms
                .last()
                .is_none_or(|(_, term)| *term != entry.id.term)
            {
                log.terms.push((entry.id.index, entry.id.term));
            }
            if let Payload::Configuration(configuration) = &entry.payload {
                log.configurations
                    .push((entry.id.index, Configuration::clone(configuration)));
            }
        }
        let start = Start {
            hard_state: member.hard_state.clone(),
            log,
            snapshot: member.snapshot.clone(),
        };
        let now = member.clock(now_ms);
        member.raft = Some(Raft::new(config, start, now));
    }

    /// Time passes in steps of 10 ms; every message takes one step.
    fn settle(&mut self, ms: u64, out: &mut String) {
        for _ in 0..ms / 10 {
            self.now_ms += 10;
            for (from, message) in std::mem::take(&mut self.way) {
                let to = message.to.port();
                if self.cut.contains(&(from, to)) {
                    continue;
                }
                if let Some(raft) = self
                    .members
                    .get_mut(&to)
                    .and_then(|member| member.raft.as_mut())
                {
                    let _ = raft.step(&peer(from), message.token, message.body);
                }
            }
            let now_ms = self.now_ms;
            for member in self.members.values_mut() {
                let now = member.clock(now_ms);
                if let Some(raft) = &mut member.raft {
                    raft.advance(now);
                }
            }
            self.turns(out);
        }
    }

    fn turns(&mut self, out: &mut String) {
        for name in self.members.keys().copied().collect::<Vec<_>>() {
            self.turn(name, out);
        }
    }

    fn turn(&mut self, name: u16, out: &mut String) {
        let now_ms = self.now_ms;
        loop {
            let member = self.members.get_mut(&name).unwrap();
            let Some(raft) = &mut member.raft else { return };
            let ready = raft.ready();
            if ready.is_empty() {
                return;
            }
            for event in &ready.events {
                if let Some(line) = describe(event) {
                    writeln!(out, "{now_ms:>6} {name} {line}").unwrap();
                }
            }
            for entry in &ready.apply {
                if let Payload::Data(data) = &entry.payload {
                    writeln!(
                        out,
                        "{now_ms:>6} {name} applies {} {}",
                        at(entry.id),
                        String::from_utf8_lossy(data)
                    )
                    .unwrap();
                }
            }
            if let Some(last) = ready.apply.last() {
                raft.applied(last.id.index);
            }
            for read in &ready.reads {
                match &read.index {
                    Ok(index) => writeln!(
                        out,
                        "{now_ms:>6} {name} read {} may be served at {index}",
                        read.context
                    )
                    .unwrap(),
                    Err(error) => writeln!(
                        out,
                        "{now_ms:>6} {name} read {} fails: {error}",
                        read.context
                    )
                    .unwrap(),
                }
            }
            for read in &ready.read_back {
                let entries = member
                    .entries
                    .range(read.low..=read.high)
                    .map(|(_, entry)| entry.clone())
                    .collect();
                raft.entries_read(&read.purpose.clone(), entries);
                if read.purpose != Purpose::Apply {
                    writeln!(
                        out,
                        "{now_ms:>6} {name} reads {}..={} back",
                        read.low, read.high
                    )
                    .unwrap();
                }
            }
            for peer in &ready.offers {
                match &member.snapshot {
                    Some(meta) => {
                        writeln!(
                            out,
                            "{now_ms:>6} {name} offers {} its snapshot at {}",
                            peer.port(),
                            meta.last.index
                        )
                        .unwrap();
                        raft.offer_snapshot(peer, meta.clone(), "remote://m:1/1".into());
                    }
                    None => raft.snapshot_refused(peer),
                }
            }
            if let Some(fetch) = ready.fetch
                && raft.begin_install(fetch.token)
            {
                let meta = fetch.request.meta.clone();
                writeln!(
                    out,
                    "{now_ms:>6} {name} installs a snapshot at {}",
                    meta.last.index
                )
                .unwrap();
                member.snapshot = Some(meta.clone());
                raft.snapshot_installed(fetch.token, meta);
            }
            if let Some(mut write) = ready.write {
                match (member.full, member.holds_writes) {
                    (true, _) => {
                        if let Some(hard_state) = write.hard_state.take() {
                            member.hard_state = hard_state;
                        }
                        let raft = member.raft.as_mut().unwrap();
                        raft.persisted_without_entries(write.sequence);
                        member.held.push(write);
                    }
                    (_, true) => member.held.push(write),
                    (_, false) => member.persist(write),
                }
            }
            self.way
                .extend(ready.messages.into_iter().map(|message| (name, message)));
        }
    }

    fn status(&self, out: &mut String) {
        for (name, member) in &self.members {
            let Some(raft) = &member.raft else {
                writeln!(out, "{name} is down").unwrap();
                continue;
            };
            let status = raft.status();
            let leader = status
                .leader
                .map_or_else(|| "-".to_owned(), |leader| leader.port().to_string());
            let configuration = status.configuration.to_string().replace("m:", "");
            writeln!(
                out,
                "{name} {:?} term {} leader {leader} last {} stable {} committed {} of [{configuration}]",
                status.role,
                status.term,
                at(status.last),
                status.stable,
                status.committed
            )
            .unwrap();
        }
    }
}

impl Member {
    fn clock(&self, now_ms: u64) -> Time {
        Time(now_ms * self.clock_permille + self.ahead_ms * 1000)
    }

    fn persist(&mut self, write: diwan_raft::Write) {
        let sequence = write.sequence;
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(reset) = write.reset {
            self.compacted = reset;
            self.entries.clear();
        }
        if let Some(first) = write.append.first() {
            self.entries.split_off(&first.id.index);
        }
        self.entries.extend(
            write
                .append
                .into_iter()
                .map(|entry| (entry.id.index, entry)),
        );
        if let Some(compact) = write.compact {
            self.compacted = compact;
            self.entries = self.entries.split_off(&(compact.index + 1));
        }
        self.raft.as_mut().unwrap().persisted(sequence);
    }
}

fn at(id: LogId) -> String {
    format!("{}.{}", id.term, id.index)
}

fn describe(event: &Event) -> Option<String> {
    Some(match event {
        Event::Role { role, term, leader } => match leader {
            Some(leader) => format!("is {role:?} in term {term} under {}", leader.port()),
            None => format!("is {role:?} in term {term}"),
        },
        Event::Leading { term, index } => format!("leads term {term}, all before {index} is known"),
        Event::Configuration {
            index,
            configuration,
        } => {
            format!(
                "learns at {index}: [{}]",
                configuration.to_string().replace("m:", "")
            )
        }
        Event::ChangeEnded(Ok(())) => "change of members done".into(),
        Event::ChangeEnded(Err(error)) => format!("change of members: {error}"),
        Event::TransferFailed(to) => format!("{} did not take over", to.port()),
    })
}
