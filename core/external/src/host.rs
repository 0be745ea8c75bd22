//! What drives the protocol of logs on an engine: their state machines, who waits for them, timers, and the engine's client. All
//! of it on one thread, beside whatever else runs there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use diwan_engine::{
    Config, Failure, Leadership, Log, Outcome, Position, Refusal, Reply, Request, Status, Step,
    VALUE_BYTES_MAX,
};
use diwan_log::provider::{Applier, Clocks, Entry, Guest, Kind, Proposed, Read, Scribe};
use diwan_log::{Committed, Event, LogTime, ProposalError, ReadError, StateMachine};
use diwan_runtime::clock;
use tokio::sync::Notify;

use crate::client::Client;

/// How much longer than the first node in a log's order each further one leaves a log to those before it.
const PATIENCE: Duration = Duration::from_millis(100);

/// How nodes take part in their logs.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node's name.
    pub node: String,
    /// The names of all nodes; which of them takes a log first follows from its name.
    pub members: Vec<String>,
    /// Other nodes leave a log to its owner as long as it shows a sign of life this often.
    pub lease: Duration,
    /// Whether an owner answers reads without asking the engine while nobody can have taken its log.
    pub lease_reads: bool,
    /// A snapshot is taken when so many bytes were appended since the last one, or as many as that has.
    pub snapshot_log_bytes: u64,
    /// Larger snapshots are neither written nor read; the log then grows.
    pub snapshot_bytes_max: u64,
    /// Another one for each start of each node.
    pub seed: u64,
}

/// A log that a node takes part in.
pub struct LogOptions {
    /// Its name, the same on all nodes, without slashes.
    pub name: String,
    /// Whether entries are commands as they are, without time and sessions.
    pub plain: bool,
    /// Makes the state machine.
    pub machine: Box<dyn FnOnce() -> Box<dyn StateMachine> + Send>,
}

/// One log as its operators see it.
#[derive(Clone, Debug)]
pub struct LogStatus {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub status: Status,
    /// Whether the state machine was told that this replica leads.
    pub leading: bool,
    /// The time of the state.
    pub time: LogTime,
    /// What happened since the start.
    pub counts: Counts,
}

/// What a log counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks, commands and bytes of commands that were applied.
    pub applied: (u64, u64, u64),
    /// Blocks that this node appended.
    pub appended: u64,
    /// Bytes of the largest block's commands.
    pub largest: u64,
    /// Requests to the engine, and those without a reply.
    pub requests: (u64, u64),
    /// Proposals that were not taken.
    pub refused: u64,
    /// Times this node began to lead.
    pub leaderships: u64,
    /// Snapshots frozen here, and restored.
    pub snapshots: (u64, u64),
}

/// The logs of one node on one engine.
pub struct Host {
    logs: Vec<Rc<Hosted>>,
}

/// One log.
struct Hosted {
    name: String,
    client: Client,
    members: Vec<String>,
    snapshot_bytes_max: u64,
    inner: RefCell<Inner>,
    wake: Notify,
    stopped: Cell<bool>,
    failed: Box<dyn Fn(String)>,
}

struct Inner {
    log: Log,
    machine: Applier,
    scribe: Scribe,
    next_ticket: u64,
    proposals: HashMap<u64, Proposed>,
    reads: HashMap<u64, Read>,
    counts: Counts,
}

impl Host {
    /// Takes part in logs from now on, on the thread that runs the current local set. `failed` is told why this node must stop.
    /// # Errors
    /// A log cannot be opened.
    pub async fn start(
        client: Client,
        options: Options,
        logs: Vec<LogOptions>,
        failed: impl Fn(String) + Clone + 'static,
    ) -> Result<Self, Failure> {
        let mut hosted = Vec::new();
        for (nth, log) in (0_u64..).zip(logs) {
            client.open(&log.name).await?;
            let mut config = Config::new(&log.name, &options.node, options.seed ^ nth << 48);
            config.lease = options.lease;
            config.poll = options.lease / 12;
            let rank = before(&log.name, &options.node, &options.members).count();
            config.patience = PATIENCE * u32::try_from(rank).unwrap_or(0);
            config.lease_reads = options.lease_reads;
            config.snapshot_log_bytes = options.snapshot_log_bytes;
            config.snapshot_bytes_max = options.snapshot_bytes_max;
            let replica = Rc::new(Hosted {
                name: log.name,
                client: client.of_log(),
                members: options.members.clone(),
                snapshot_bytes_max: options.snapshot_bytes_max,
                inner: RefCell::new(Inner {
                    log: Log::new(config, now()),
                    machine: Applier::new((log.machine)(), log.plain),
                    scribe: Scribe::new(log.plain),
                    next_ticket: 0,
                    proposals: HashMap::new(),
                    reads: HashMap::new(),
                    counts: Counts::default(),
                }),
                wake: Notify::new(),
                stopped: Cell::new(false),
                failed: Box::new(failed.clone()),
            });
            tokio::task::spawn_local(replica.clone().run());
            tokio::task::spawn_local(replica.clone().watch());
            hosted.push(replica);
        }
        Ok(Self { logs: hosted })
    }

    /// The names of the logs, and the ways into them for those who serve their clients.
    pub fn logs(&self) -> impl Iterator<Item = (&str, Rc<dyn Guest>)> {
        let logs = self.logs.iter();
        logs.map(|log| (log.name.as_str(), log.clone() as Rc<dyn Guest>))
    }

    /// How the logs stand, in the order in which they were given.
    pub fn status(&self) -> Vec<LogStatus> {
        self.logs.iter().map(|log| log.status()).collect()
    }

    /// Takes a snapshot of a log as soon as it can, if this node owns it. False if there is no such log.
    pub fn snapshot(&self, name: &str) -> bool {
        let found = self.logs.iter().find(|log| log.name == name);
        if let Some(log) = found {
            log.inner.borrow_mut().log.take_snapshot();
            log.wake.notify_one();
        }
        found.is_some()
    }

    /// Leaves a log to others for a while, if it is this node's.
    pub fn rest(&self, name: &str, pause: Duration) {
        if let Some(log) = self.logs.iter().find(|log| log.name == name) {
            log.inner.borrow_mut().log.rest(pause, now());
            log.wake.notify_one();
        }
    }

    /// Leaves the logs to others and takes none any more; waits until that is done, `within` at most.
    pub async fn stop(&self, within: Duration) {
        for log in &self.logs {
            log.inner.borrow_mut().log.retire(now());
            log.wake.notify_one();
        }
        let gone = async {
            while !self.logs.iter().all(|log| log.inner.borrow().log.is_free()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(within, gone).await;
        for log in &self.logs {
            log.stopped.set(true);
            log.wake.notify_one();
        }
    }
}

impl Guest for Hosted {
    fn propose(&self, kind: Kind, data: Bytes, done: Proposed) {
        let mut inner = self.inner.borrow_mut();
        inner.log.advance(now());
        let proposed = inner.propose(&self.name, kind, data);
        match proposed {
            Ok(ticket) => {
                inner.proposals.insert(ticket, done);
                self.wake.notify_one();
            }
            Err(error) => {
                inner.counts.refused += 1;
                drop(inner);
                done(Err(error));
            }
        }
    }

    fn read(&self, done: Read) {
        if self.stopped.get() {
            return done(Err(ReadError::NoLeader));
        }
        let mut inner = self.inner.borrow_mut();
        let ticket = inner.ticket();
        inner.reads.insert(ticket, done);
        inner.log.advance(now());
        inner.log.read(ticket);
        self.wake.notify_one();
    }

    fn members(&self) -> Vec<String> {
        self.members.clone()
    }
}

impl Inner {
    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn propose(&mut self, name: &str, kind: Kind, data: Bytes) -> Result<u64, ProposalError> {
        let ticket = self.ticket();
        let clocks = Clocks {
            monotonic: clock::now().0,
            wall: clock::wall(),
        };
        let leader = || self.log.status().owner;
        let (entry, ahead) =
            self.scribe
                .write(kind, data, clocks)
                .map_err(|error| match error {
                    ProposalError::NotLeader { .. } => {
                        ProposalError::NotLeader { leader: leader() }
                    }
                    error => error,
                })?;
        if let Some(ahead) = ahead {
            let ahead_s = ahead as f64 / 1e6;
            tracing::warn!(
                log = name,
                ahead_s,
                "this machine's wall clock is off the log's time"
            );
        }
        let proposed = self.log.propose(ticket, entry);
        proposed.map(|()| ticket).map_err(|refusal| match refusal {
            Refusal::NotLeader { leader } => ProposalError::NotLeader { leader },
            Refusal::Busy => ProposalError::Busy,
            Refusal::NoSpace => ProposalError::DiskFull,
            Refusal::TooLarge { bytes, limit } => ProposalError::TooLarge { bytes, limit },
        })
    }
}

impl Hosted {
    fn status(&self) -> LogStatus {
        let inner = self.inner.borrow();
        LogStatus {
            name: self.name.clone(),
            status: inner.log.status(),
            leading: inner.scribe.epoch().is_some(),
            time: inner.machine.time(),
            counts: inner.counts,
        }
    }

    async fn watch(self: Rc<Self>) {
        let mut changes = self.client.changes(&self.name);
        while changes.changed().await.is_ok() && !self.stopped.get() {
            self.inner.borrow_mut().log.hint(now());
            self.wake.notify_one();
        }
    }

    async fn run(self: Rc<Self>) {
        while !self.stopped.get() {
            self.inner.borrow_mut().log.advance(now());
            self.turn();
            let deadline = self.inner.borrow().log.next_deadline();
            let wait = deadline.saturating_sub(now()).min(Duration::from_secs(60));
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        // Nobody is told anything any more but that.
        let mut inner = self.inner.borrow_mut();
        let proposals: Vec<Proposed> = inner.proposals.drain().map(|it| it.1).collect();
        let reads: Vec<Read> = inner.reads.drain().map(|it| it.1).collect();
        drop(inner);
        proposals
            .into_iter()
            .for_each(|done| done(Err(ProposalError::Unknown)));
        reads
            .into_iter()
            .for_each(|done| done(Err(ReadError::NoLeader)));
    }

    /// Does what the log wants, until it wants nothing.
    fn turn(self: &Rc<Self>) {
        loop {
            let mut done: Vec<Box<dyn FnOnce()>> = Vec::new();
            let mut inner = self.inner.borrow_mut();
            let (requests, steps) = (inner.log.requests(), inner.log.steps());
            if requests.is_empty() && steps.is_empty() {
                return;
            }
            for (id, request) in requests {
                inner.counts.requests.0 += 1;
                tokio::task::spawn_local(self.clone().ask(id, request));
            }
            for step in steps {
                if let Err(why) = self.step(&mut inner, step, &mut done) {
                    inner.machine.event(&Event::Failed { why: why.clone() });
                    tracing::error!(log = self.name, why, "this log has failed");
                    self.stopped.set(true);
                    (self.failed)(format!("log {}: {why}", self.name));
                    self.wake.notify_one();
                    break;
                }
            }
            drop(inner);
            // Whoever waited may ask for more at once.
            done.into_iter().for_each(|done| done());
            if self.stopped.get() {
                return;
            }
        }
    }

    async fn ask(self: Rc<Self>, id: u64, request: Request) {
        let appends = matches!(request, Request::Append { .. });
        let reply = self.client.call(&self.name, request).await;
        {
            let mut inner = self.inner.borrow_mut();
            match &reply {
                Err(failure) => {
                    inner.counts.requests.1 += 1;
                    tracing::debug!(log = self.name, %failure, "the engine gave no reply");
                }
                Ok(Reply::Done) if appends => inner.counts.appended += 1,
                Ok(_) => {}
            }
            inner.log.reply(id, reply, now());
        }
        self.turn();
        self.wake.notify_one();
    }

    fn step(
        self: &Rc<Self>,
        inner: &mut Inner,
        step: Step,
        done: &mut Vec<Box<dyn FnOnce()>>,
    ) -> Result<(), String> {
        match step {
            Step::Apply { block, tickets } => {
                let entries: Vec<Entry<'_>> = (block.first..)
                    .zip(&block.commands)
                    .map(|(index, data)| Entry {
                        index,
                        epoch: block.term,
                        data,
                    })
                    .collect();
                let bytes: usize = block.commands.iter().map(Bytes::len).sum();
                let applied = &mut inner.counts.applied;
                applied.0 += 1;
                applied.1 += entries.len() as u64;
                applied.2 += bytes as u64;
                inner.counts.largest = inner.counts.largest.max(bytes as u64);
                let ended = inner.machine.apply(&entries);
                let ended = ended.map_err(|error| error.to_string())?;
                for ((ticket, index), ended) in tickets.into_iter().zip(block.first..).zip(ended) {
                    if let Some(proposed) = inner.proposals.remove(&ticket) {
                        let result = ended.map(|answer| Committed { index, answer });
                        done.push(Box::new(move || proposed(result)));
                    }
                }
            }
            Step::Restore { snapshot, pieces } => {
                let mut reader = Pieces(pieces.into_iter().collect());
                let restored = inner.machine.restore(&mut reader);
                restored.map_err(|error| format!("snapshot {:016x}: {error}", snapshot.id))?;
                let index = snapshot.position.index;
                inner.counts.snapshots.1 += 1;
                inner.machine.event(&Event::Restored { index });
                tracing::info!(log = self.name, index, "snapshot restored");
            }
            Step::Ended { ticket, outcome } => {
                if let Some(proposed) = inner.proposals.remove(&ticket) {
                    let error = match outcome {
                        Outcome::NotCarriedOut => ProposalError::NotLeader {
                            leader: inner.log.status().owner,
                        },
                        Outcome::NoSpace => ProposalError::DiskFull,
                        Outcome::Unknown => ProposalError::Unknown,
                    };
                    done.push(Box::new(move || proposed(Err(error))));
                }
            }
            Step::Read { ticket, confirmed } => {
                if let Some(read) = inner.reads.remove(&ticket) {
                    let result = match confirmed {
                        true => Ok(()),
                        false => Err(ReadError::NotConfirmed),
                    };
                    // Others must not change the state before it is read: it is told before anything else happens.
                    done.push(Box::new(move || read(result)));
                }
            }
            Step::Leadership(leadership) => self.leadership(inner, leadership),
            Step::Snapshot(position) => self.freeze(inner, position),
            Step::Failed(error) => return Err(error.to_string()),
        }
        Ok(())
    }

    fn leadership(&self, inner: &mut Inner, leadership: Leadership) {
        tracing::info!(log = self.name, ?leadership, "leadership");
        let event = match leadership {
            Leadership::Start { epoch } => {
                let time = inner.machine.time();
                inner.scribe.begin(epoch, time, clock::now().0);
                inner.counts.leaderships += 1;
                Event::StartLeading { epoch }
            }
            Leadership::Stop { epoch } => {
                inner.scribe.end();
                Event::StopLeading { epoch }
            }
            Leadership::Following { leader, epoch } => Event::Following { leader, epoch },
            Leadership::Nobody => Event::NoLeader,
        };
        inner.machine.event(&event);
    }

    fn freeze(self: &Rc<Self>, inner: &mut Inner, position: Position) {
        inner.counts.snapshots.0 += 1;
        let writer = inner.machine.snapshot();
        let mut pieces = PieceWriter {
            pieces: Vec::new(),
            last: BytesMut::new(),
            left: self.snapshot_bytes_max,
        };
        let written = tokio::task::spawn_blocking(move || {
            let written = writer(&mut pieces);
            written.map(|()| pieces.finish())
        });
        let hosted = self.clone();
        tokio::task::spawn_local(async move {
            let pieces = match written.await {
                Ok(written) => written.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = &pieces {
                tracing::error!(log = hosted.name, why, "a snapshot could not be written");
            }
            hosted
                .inner
                .borrow_mut()
                .log
                .snapshot_written(position, pieces);
            hosted.wake.notify_one();
        });
    }
}

/// The nodes before this one in the order in which they take a log: by rendezvous hashing, so that logs are spread.
pub(crate) fn before<'a>(
    log: &str,
    node: &str,
    members: &'a [String],
) -> impl Iterator<Item = &'a String> {
    let weight = |member: &str| {
        let bytes = log.bytes().chain([0]).chain(member.bytes());
        // FNV-1a, with its bits mixed once more: names differ in their last bytes.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    let own = weight(node);
    members.iter().filter(move |member| weight(member) > own)
}

/// Cuts what is written into pieces.
struct PieceWriter {
    pieces: Vec<Bytes>,
    last: BytesMut,
    left: u64,
}

impl PieceWriter {
    fn finish(mut self) -> Vec<Bytes> {
        if !self.last.is_empty() {
            self.pieces.push(self.last.freeze());
        }
        self.pieces
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = VALUE_BYTES_MAX - self.last.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.left = self.left.checked_sub(taken.len() as u64).ok_or_else(|| {
            let what =
                "the state has more bytes than a snapshot may have (engine.snapshot_bytes_max)";
            io::Error::new(io::ErrorKind::FileTooLarge, what)
        })?;
        self.last.extend_from_slice(taken);
        if self.last.len() == VALUE_BYTES_MAX {
            self.pieces.push(self.last.split().freeze());
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads pieces one after the other.
struct Pieces(std::collections::VecDeque<Bytes>);

impl io::Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.0.front_mut() {
            if !piece.has_remaining() {
                self.0.pop_front();
                continue;
            }
            return piece.reader().read(buffer);
        }
        Ok(0)
    }
}

/// CLOCK_BOOTTIME: no lease outlives a suspended machine.
fn now() -> Duration {
    Duration::from_micros(clock::now().0)
}
