//! Members that are told what to do by commands, one at a time, and what they do.
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use diwan_raft::{
    Body, Config, Configuration, Entry, Event, Fetch, HardState, LogId, LogState, Outgoing,
    Payload, PeerId, Purpose, Raft, Role, SnapshotMeta, Start, Time,
};

/// A member and what it keeps.
struct Member {
    id: PeerId,
    raft: Option<Raft>,
    lives: u64,
    initial: Configuration,
    /// What is configured otherwise than by default: `name=value`.
    options: Vec<String>,
    /// The member's clock in thousandths of the world's, and how far it is ahead.
    clock_permille: u64,
    ahead_ms: u64,
    hard_state: HardState,
    compacted: LogId,
    entries: BTreeMap<u64, Entry>,
    snapshot: Option<SnapshotMeta>,
    /// Writes wait for `sync`.
    holds_writes: bool,
    /// Entries wait for room, terms and votes do not.
    is_full: bool,
    held: Vec<diwan_raft::Write>,
    /// Snapshots are not there before `fetched`.
    holds_fetch: bool,
    fetch: Option<Fetch>,
}

#[derive(Default)]
pub(crate) struct World {
    /// Old bugs that are present.
    #[cfg(feature = "museum")]
    pub(crate) bugs: diwan_raft::museum::Bugs,
    /// The first thing that must never be, seen from outside.
    pub(crate) wrong: Option<String>,
    /// What was applied, by whom first.
    applied: BTreeMap<u64, (u16, Entry)>,
    /// Who led which term.
    leaders: BTreeMap<u64, u16>,
    now_ms: u64,
    members: BTreeMap<u16, Member>,
    /// Messages on their way: from, message.
    way: Vec<(u16, Outgoing)>,
    cut: BTreeSet<(u16, u16)>,
    /// Messages that left since the last `traffic`.
    sent: usize,
    quiet: bool,
    /// Messages are written down as they arrive.
    shows: bool,
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
    /// Carries a command out and tells what came of it.
    pub(crate) fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut out = String::new();
        let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<u16>().unwrap());
        match words[0] {
            "group" => {
                for name in numbers(words[1]) {
                    self.add(name, configuration(words[1], ""), &words[2..]);
                }
            }
            "learner" => {
                let name = number(1);
                let voters: Vec<_> = self.members.keys().map(u16::to_string).collect();
                let initial = configuration(&voters.join(","), words[1]);
                for member in self.members.values_mut() {
                    member.initial = initial.clone();
                }
                self.add(name, initial, &words[2..]);
                for name in self.members.keys().copied().collect::<Vec<_>>() {
                    self.start(name);
                }
            }
            "spare" => self.add(number(1), Configuration::default(), &words[2..]),
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
            "handover" => self.raft(number(1)).hand_over(),
            "hold" => self.member(number(1)).holds_writes = true,
            "full" => self.member(number(1)).is_full = true,
            "room" => {
                self.member(number(1)).is_full = false;
                self.raft(number(1)).disk_full(false);
                let member = self.member(number(1));
                for write in std::mem::take(&mut member.held) {
                    member.persist(write);
                }
            }
            // The nodes of all answer each other's pings, or not.
            "nodes" => {
                for raft in self
                    .members
                    .values_mut()
                    .filter_map(|member| member.raft.as_mut())
                {
                    raft.nodes_answer(words[1] == "answer");
                }
            }
            "sync" => {
                // All of its writes, or so many of them.
                let member = self.member(number(1));
                let count = words.get(2).map(|count| count.parse().unwrap());
                member.holds_writes = count.is_some();
                let count = count.unwrap_or(member.held.len());
                for write in member.held.drain(..count).collect::<Vec<_>>() {
                    member.persist(write);
                }
            }
            "delay" => self.member(number(1)).holds_fetch = true,
            "fetched" => {
                let member = self.member(number(1));
                member.holds_fetch = false;
                if let Some(fetch) = member.fetch.take() {
                    member.fetched(&fetch, words.get(2).copied(), &mut out);
                }
            }
            "crash" => {
                let member = self.member(number(1));
                member.raft = None;
                member.fetch = None;
                member.held.clear();
                self.way.retain(|(from, _)| *from != number(1));
            }
            "start" => self.start(number(1)),
            "change" => {
                let mut target = configuration(words[2], words.get(3).copied().unwrap_or(""));
                // With their priorities.
                for peer in &mut target.peers {
                    if let Some(member) = self.members.get(&peer.port()) {
                        *peer = member.id.clone();
                    }
                }
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
            // Somebody must lead by now.
            "led" => {
                let leads = |member: &Member| {
                    let raft = member.raft.as_ref();
                    raft.is_some_and(|raft| raft.role() == Role::Leader)
                };
                if !self.members.values().any(leads) {
                    self.is_wrong("nobody leads".into());
                }
            }
            "quiet" => self.quiet = true,
            "loud" => self.quiet = false,
            "show" => self.shows = true,
            "hide" => self.shows = false,
            "status" => self.status(&mut out),
            "traffic" => {
                writeln!(
                    out,
                    "{} messages since the last look",
                    std::mem::take(&mut self.sent)
                )
                .unwrap();
            }
            "progress" => self.progress(number(1), &mut out),
            other => panic!("no command {other}"),
        }
        self.turns(&mut out);
        if self.quiet && !matches!(words[0], "status" | "progress") {
            String::new()
        } else {
            out
        }
    }

    fn is_wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// Election safety, and state-machine safety.
    fn check(&mut self, name: u16, events: &[Event], apply: &[Entry]) {
        for event in events {
            if let Event::Role {
                role: Role::Leader,
                term,
                ..
            } = event
            {
                let first = *self.leaders.entry(*term).or_insert(name);
                if first != name {
                    self.is_wrong(format!("{first} and {name} both lead term {term}"));
                }
            }
        }
        for entry in apply {
            let found = (name, entry.clone());
            let (first, known) = self.applied.entry(entry.id.index).or_insert(found);
            if known != entry {
                let (first, known) = (*first, at(known.id));
                let found = at(entry.id);
                self.is_wrong(format!(
                    "{name} applies {found} where {first} applied {known}"
                ));
            }
        }
    }

    fn add(&mut self, name: u16, initial: Configuration, options: &[&str]) {
        let member = Member {
            id: peer(name),
            raft: None,
            lives: 0,
            initial,
            options: options.iter().map(|word| (*word).to_owned()).collect(),
            clock_permille: 1000,
            ahead_ms: 0,
            hard_state: HardState::default(),
            compacted: LogId::default(),
            entries: BTreeMap::new(),
            snapshot: None,
            holds_writes: false,
            is_full: false,
            held: Vec::new(),
            holds_fetch: false,
            fetch: None,
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
        #[cfg(feature = "museum")]
        let bugs = self.bugs;
        let member = self.member(name);
        member.lives += 1;
        let mut config = Config::new(member.id.clone(), member.initial.clone());
        config.seed = u64::from(name) * 1000 + member.lives;
        config.clock_drift_permille = 10;
        #[cfg(feature = "museum")]
        {
            config.bugs = bugs;
        }
        for option in &member.options {
            configure(&mut config, option);
        }
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
                    if self.shows {
                        let (now_ms, said) = (self.now_ms, said(&message.body));
                        writeln!(out, "{now_ms:>6} {from}->{to} {said}").unwrap();
                    }
                    if let Err(error) = raft.step(&peer(from), message.token, message.body)
                        && self.shows
                    {
                        writeln!(out, "       {to} refuses: {error}").unwrap();
                    }
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
            if let Some(fetch) = ready.fetch {
                match member.holds_fetch {
                    true => member.fetch = Some(fetch),
                    false => {
                        let mut said = String::new();
                        member.fetched(&fetch, None, &mut said);
                        for line in said.lines() {
                            writeln!(out, "{now_ms:>6} {line}").unwrap();
                        }
                    }
                }
            }
            if let Some(write) = ready.write {
                member.write(write);
            }
            self.check(name, &ready.events, &ready.apply);
            self.sent += ready.messages.len();
            self.way
                .extend(ready.messages.into_iter().map(|message| (name, message)));
        }
    }

    /// How a leader sends to the others.
    fn progress(&self, name: u16, out: &mut String) {
        let raft = self.members[&name].raft.as_ref().unwrap();
        for peer in raft.status().peers {
            let (port, matched, on_way) = (peer.peer.port(), peer.matched, peer.inflight);
            writeln!(
                out,
                "{port} {} holds {matched}, {on_way} on the way",
                peer.state
            )
            .unwrap();
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
                "{name} {:?} term {} leader {leader} last {} stable {} committed {} of [{configuration}]{}",
                status.role,
                status.term,
                at(status.last),
                status.stable,
                status.committed,
                if status.quiesced { " silent" } else { "" }
            )
            .unwrap();
        }
    }
}

/// `lease`, or a limit: `name=value`.
fn configure(config: &mut Config, option: &str) {
    let Some((name, value)) = option.split_once('=') else {
        assert_eq!(option, "lease");
        config.lease_reads = true;
        return;
    };
    let value: usize = value.parse().unwrap();
    match name {
        "cache" => config.cache_bytes_max = value,
        "delay" => config.commit_delay = std::time::Duration::from_millis(value as u64),
        "entries" => config.message_entries_max = value,
        "inflight" => config.inflight_messages_max = value,
        "margin" => config.catch_up_margin = value as u64,
        "reads" => config.reads_max = value,
        "uncommitted" => config.uncommitted_bytes_max = value,
        other => panic!("no option {other}"),
    }
}

fn said(body: &Body) -> String {
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    match body {
        Body::VoteRequest(vote) => {
            let kind = if vote.pre_vote { "pre-vote" } else { "vote" };
            format!(
                "asks for a {kind} in term {}, log ends at {}",
                vote.term,
                at(vote.last)
            )
        }
        Body::VoteResponse { term, granted } => format!("{}, term {term}", yes(*granted)),
        Body::AppendRequest(append) => {
            let kind = match (append.heartbeat, append.entries.len()) {
                (true, _) => "heartbeat".to_owned(),
                (_, 0) => "probe".to_owned(),
                (_, 1) => "1 entry".to_owned(),
                (_, count) => format!("{count} entries"),
            };
            format!(
                "{kind} after {}, committed {}",
                at(append.prev),
                append.committed
            )
        }
        Body::AppendResponse(response) => {
            let last = response.last_index.map(|last| format!(", last {last}"));
            let last = last.unwrap_or_default();
            format!("{}, term {}{last}", yes(response.success), response.term)
        }
        Body::InstallRequest(install) => format!("snapshot at {}", at(install.meta.last)),
        Body::InstallResponse { success, .. } => format!("snapshot: {}", yes(*success)),
        Body::TimeoutNowRequest { term } => format!("stand at once, term {term}"),
        Body::TimeoutNowResponse { success, .. } => format!("stands: {}", yes(*success)),
        Body::ReadIndexRequest { .. } => "up to where may be read?".to_owned(),
        Body::ReadIndexResponse { index, success } => {
            format!("read at {index}: {}", yes(*success))
        }
        Body::Error { message, .. } => format!("error: {message}"),
    }
}

impl Member {
    fn fetched(&mut self, fetch: &Fetch, failed: Option<&str>, out: &mut String) {
        let (name, meta) = (self.id.port(), fetch.request.meta.clone());
        let raft = self.raft.as_mut().unwrap();
        if failed.is_some() {
            writeln!(out, "{name} gets no snapshot at {}", meta.last.index).unwrap();
            raft.snapshot_failed(fetch.token, "it broke");
        } else if raft.begin_install(fetch.token) {
            writeln!(out, "{name} installs a snapshot at {}", meta.last.index).unwrap();
            self.snapshot = Some(meta.clone());
            raft.snapshot_installed(fetch.token, meta);
        } else {
            let index = meta.last.index;
            writeln!(out, "{name} needs the snapshot at {index} no more").unwrap();
        }
    }

    fn clock(&self, now_ms: u64) -> Time {
        Time(now_ms * self.clock_permille + self.ahead_ms * 1000)
    }

    fn write(&mut self, mut write: diwan_raft::Write) {
        if self.is_full && !(write.append.is_empty() && self.held.is_empty()) {
            if let Some(hard_state) = write.hard_state.take() {
                self.hard_state = hard_state;
            }
            let sequence = write.sequence;
            self.held.push(write);
            let raft = self.raft.as_mut().unwrap();
            raft.hard_state_persisted(sequence);
            raft.disk_full(true);
        } else if self.holds_writes {
            self.held.push(write);
        } else {
            self.persist(write);
        }
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
