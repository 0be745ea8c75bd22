//! The node's thread: everything but the disk happens on it, one turn after the other.

mod messages;
mod proposals;

use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use diwan_log::Event as LogEvent;
use diwan_log::provider::{Applier, Guest, Scribe};
use diwan_net::Workers;
use diwan_net::bolt::Responder;
use diwan_raft::{
    ChangeError, Config, Configuration, Event, PeerId, Raft, Role, Status, Time, Token,
};
use diwan_replica::{Budget, Group, GroupReady, Throttle, store};
use diwan_wal::{GroupId, OsFile, Reader};
use tokio::sync::{Notify, mpsc, watch};

use crate::admission::Admission;
use crate::clock;
use crate::dial::Dialing;
use crate::directory::DataDirectory;
use crate::disk::{Disk, DiskEvent};
use crate::error::StartError;
use crate::group::{Changed, Hosted};
use crate::metrics::{DiskCounts, GroupMetrics, NodeMetrics};
use crate::peers::Peers;
use crate::service::Services;
use crate::snapshot::{self, Snapshots};
use crate::start::{Seed, group_id};
use crate::traffic::{OpenRequests, Outboxes};
use crate::watch::Watch;
pub(crate) use messages::{Reply, respond};

/// How much longer the members of a node that starts wait for word of a leader, for each of them.
const START_TIMEOUT: Duration = Duration::from_micros(400);
/// Of a busy group's commits nearly all are told by entries within this time. Otherwise each commit costs a message to each follower and
/// its answer, a tenth of a command's CPU time.
const COMMIT_DELAY: Duration = Duration::from_millis(2);

/// Something to do on the node's thread.
pub(crate) type Task = Box<dyn FnOnce(&Rc<Node>) + Send>;

/// A node, on its own thread.
pub struct Node {
    pub(crate) id: PeerId,
    hosted: RefCell<Vec<Hosted>>,
    names: HashMap<String, usize>,
    wal_ids: HashMap<GroupId, usize>,
    /// Groups for which something is to be done.
    dirty: RefCell<Vec<usize>>,
    /// When groups want to be looked at; at most one entry for each, which may be too early.
    timers: RefCell<BinaryHeap<Reverse<(Time, usize)>>>,
    pub(crate) watch: RefCell<Watch>,
    budget: RefCell<Budget>,
    disk: Disk,
    reader: Reader<OsFile>,
    io: std_mpsc::Sender<Box<dyn FnOnce() + Send>>,
    peers: OnceCell<RefCell<Peers>>,
    responders: RefCell<HashMap<Token, Reply>>,
    outboxes: RefCell<Outboxes>,
    open: RefCell<OpenRequests>,
    parked: RefCell<HashMap<u64, Responder>>,
    pub(crate) services: RefCell<Services>,
    pub(crate) guests: RefCell<HashMap<String, Rc<dyn Guest>>>,
    next_token: Cell<u64>,
    wake: Notify,
    tasks: mpsc::UnboundedSender<Task>,
    /// Snapshots that others pull: reader, directory, index, last use.
    pub(crate) readers: RefCell<HashMap<i64, Pulled>>,
    pub(crate) next_reader: Cell<i64>,
    /// Pieces of snapshots that others pull here, and that this node pulls.
    pub(crate) served: RefCell<Throttle>,
    pub(crate) pulled: RefCell<Throttle>,
    /// Keeps the directory for this process: let go once the log is closed.
    _directory: DataDirectory,
    /// Let go at last: whoever waits for the node's end sees it.
    failed: watch::Sender<Option<String>>,
    /// It carries nothing out any more.
    stopped: Cell<bool>,
    pub(crate) counts: Counts,
    pub(crate) admission: Admission,
    disk_counts: DiskCounts,
}

/// A snapshot that another member pulls.
pub(crate) struct Pulled {
    pub(crate) group: usize,
    pub(crate) path: PathBuf,
    pub(crate) index: u64,
    pub(crate) used: Instant,
}

/// Counters of a node.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) malformed: Cell<u64>,
    pub(crate) damaged_entries: Cell<u64>,
    pub(crate) unknown_groups: Cell<u64>,
    pub(crate) refused_steps: Cell<u64>,
    pub(crate) cache_trims: Cell<u64>,
    pub(crate) snapshots_damaged: Cell<u64>,
    pub(crate) pieces_delayed: Cell<u64>,
}

/// Counts one.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Node {
    pub(crate) fn new(seed: Seed) -> Result<Rc<Self>, StartError> {
        let Seed {
            options,
            directory,
            wal,
            groups,
            tasks,
            failed,
        } = seed;
        let now = clock::now();
        let start_timeout = START_TIMEOUT * u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let timeouts = groups.iter().map(|(group, ..)| group.election_timeout);
        let timeout = timeouts.min().unwrap_or(Duration::from_secs(1));
        let reader = wal.reader();
        let jraft = groups
            .iter()
            .map(|(group, ..)| group.jraft.clone())
            .collect();
        let mut hosted = Vec::new();
        let mut names = HashMap::new();
        let mut wal_ids = HashMap::new();
        for (group, start, path) in groups {
            let mut config = Config::new(options.id.clone(), group.initial)
                .with_election_timeout(group.election_timeout);
            config.seed = options.seed ^ group_id(&group.name).0;
            config.start_timeout = config.start_timeout.max(start_timeout);
            config.lease_reads = group.lease_reads;
            config.commit_delay = COMMIT_DELAY;
            let mut machine = Applier::new((group.machine)(), group.plain);
            let newest = start.snapshot.clone();
            if let Some(meta) = &newest {
                let damaged = |error: std::io::Error| StartError::Snapshot {
                    path: snapshot::path_of(&path, meta.last.index),
                    what: error.to_string(),
                };
                snapshot::restore(&path, meta.last.index, &mut machine).map_err(damaged)?;
                machine.event(&LogEvent::Restored {
                    index: meta.last.index,
                });
            }
            names.insert(group.name.clone(), hosted.len());
            wal_ids.insert(group_id(&group.name), hosted.len());
            hosted.push(Hosted {
                wal_id: group_id(&group.name),
                group: Group::new(Raft::new(config, start, now)),
                scribe: Scribe::new(group.plain),
                machine,
                election_timeout: group.election_timeout,
                entry_checksums: group.entry_checksums,
                dirty: true,
                deadline: Time::NEVER,
                timer: Time::NEVER,
                next_ticket: 0,
                proposals: HashMap::new(),
                refused: (0, 0),
                reads: HashMap::new(),
                changes: Vec::new(),
                leading_at: None,
                snapshots: Snapshots {
                    newest_bytes: newest
                        .as_ref()
                        .map_or(0, |meta| snapshot::bytes_of(&path, meta.last.index)),
                    directory: path,
                    newest,
                    busy: false,
                    taken: 0,
                    fetched_bytes: 0,
                    log_bytes: 0,
                    log_bytes_max: group.snapshot_log_bytes,
                    keep_entries: group.snapshot_keep_entries,
                    waiting: Vec::new(),
                },
                name: group.name,
            });
        }
        let thread = |what: &str| {
            let what = what.to_owned();
            move |error| StartError::Io { what, error }
        };
        let disk_counts = DiskCounts::new(wal.stats());
        let tell = tasks.clone();
        let disk = Disk::start(wal, options.wal.segment_bytes, move |event| {
            let _ = tell.send(Box::new(move |node: &Rc<Self>| node.disk_event(event)));
        })
        .map_err(thread("the disk thread"))?;
        let (io, todo) = std_mpsc::channel::<Box<dyn FnOnce() + Send>>();
        std::thread::Builder::new()
            .name("diwan-files".into())
            .spawn(move || todo.into_iter().for_each(|task| task()))
            .map_err(thread("the thread for files"))?;
        let first_reader = i64::try_from(options.seed >> 2).unwrap_or(1);
        Ok(Rc::new(Self {
            id: options.id,
            _directory: directory,
            hosted: RefCell::new(hosted),
            dirty: RefCell::new((0..names.len()).collect()),
            timers: RefCell::default(),
            watch: RefCell::new(Watch::new(timeout, options.seed)),
            budget: RefCell::new(Budget::new(options.limits, names.len())),
            names,
            wal_ids,
            disk,
            reader,
            io,
            peers: OnceCell::new(),
            responders: RefCell::new(HashMap::new()),
            outboxes: RefCell::default(),
            open: RefCell::default(),
            parked: RefCell::new(HashMap::new()),
            services: RefCell::default(),
            guests: RefCell::default(),
            next_token: Cell::new(options.seed >> 1),
            wake: Notify::new(),
            tasks,
            readers: RefCell::new(HashMap::new()),
            next_reader: Cell::new(first_reader),
            served: RefCell::new(Throttle::new(options.snapshot_bytes_per_second, now)),
            pulled: RefCell::new(Throttle::new(options.snapshot_bytes_per_second, now)),
            failed,
            stopped: Cell::new(false),
            counts: Counts::default(),
            admission: Admission::new(options.token, jraft),
            disk_counts,
        }))
    }

    pub(crate) fn begin(self: &Rc<Self>, workers: Workers, dialing: Dialing) {
        let peers = Peers::new(workers, self.tasks.clone(), dialing);
        let _ = self.peers.set(RefCell::new(peers));
        self.wake.notify_one();
    }

    /// Ends `run`: once nobody holds the node, its files are closed and its directory is free.
    pub(crate) fn stop(&self) {
        self.stopped.set(true);
        self.wake.notify_one();
    }

    pub(crate) async fn run(self: Rc<Self>, mut todo: mpsc::UnboundedReceiver<Task>) {
        while !self.stopped.get() {
            let deadline = if self.peers.get().is_some() {
                self.turn()
            } else {
                Time::NEVER
            };
            let wait = deadline.since(clock::now()).min(Duration::from_secs(3600));
            tokio::select! {
                biased;
                task = todo.recv() => {
                    let Some(task) = task else { return };
                    task(&self);
                    while let Ok(task) = todo.try_recv() {
                        task(&self);
                    }
                }
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Carries out what the groups want, until they want nothing. Returns when time itself makes them want something.
    fn turn(self: &Rc<Self>) -> Time {
        loop {
            let now = clock::now();
            let mut done: Vec<Box<dyn FnOnce()>> = Vec::new();
            let mut job = Vec::new();
            self.timers_ended(now);
            let expired = self.open.borrow_mut().expire(now);
            self.unanswered(expired);
            let next = self.watch_nodes(now);
            let mut all = self.hosted.borrow_mut();
            for place in self.dirty.take() {
                let hosted = &mut all[place];
                hosted.dirty = false;
                hosted.group.advance(now);
                loop {
                    let ready = hosted.group.ready(hosted.election_timeout * 2, now);
                    if ready.is_empty() {
                        break;
                    }
                    self.perform(place, hosted, ready, &mut job, &mut done);
                }
                self.budget.borrow_mut().set(place, hosted.group.held());
                hosted.deadline = hosted.group.next_deadline();
                if hosted.deadline < hosted.timer {
                    hosted.timer = hosted.deadline;
                    self.timers
                        .borrow_mut()
                        .push(Reverse((hosted.timer, place)));
                }
            }
            self.trim_caches(&mut all);
            let longest = self.budget.borrow_mut().longest_log();
            if let Some(place) = longest {
                self.shorten_log(place, &mut all[place]);
            }
            drop(all);
            self.outboxes.borrow_mut().flush();
            if !job.is_empty() {
                self.disk.write(job);
            }
            // Whoever waited may ask for more at once: no group is borrowed any more.
            if done.is_empty() {
                let timers = self.timers.borrow();
                let timer = timers
                    .peek()
                    .map_or(Time::NEVER, |Reverse((timer, _))| *timer);
                return next.min(timer).min(self.open.borrow().next_deadline());
            }
            done.into_iter().for_each(|done| done());
        }
    }

    /// Takes a snapshot of the group with the longest log, unless that would write much more than it makes free.
    fn shorten_log(self: &Rc<Self>, place: usize, hosted: &mut Hosted) {
        let snapshots = &hosted.snapshots;
        if snapshots.log_bytes >= snapshots.newest_bytes / 4 {
            self.take_snapshot(place, hosted);
        }
    }

    /// The groups with most in memory give, if all together have too much.
    fn trim_caches(&self, all: &mut [Hosted]) {
        let mut budget = self.budget.borrow_mut();
        let Some((bytes_max, places)) = budget.too_large() else {
            return;
        };
        count(&self.counts.cache_trims);
        for place in places {
            let group = &mut all[place].group;
            group.raft_mut().trim_cache(bytes_max);
            budget.set(place, group.held());
        }
    }

    /// Marks the groups whose time has come.
    fn timers_ended(&self, now: Time) {
        let (mut timers, mut all) = (self.timers.borrow_mut(), self.hosted.borrow_mut());
        while let Some(&Reverse((timer, place))) = timers.peek().filter(|timer| timer.0.0 <= now) {
            timers.pop();
            let hosted = &mut all[place];
            if timer != hosted.timer {
                // A nearer one has taken its place.
                continue;
            }
            hosted.timer = Time::NEVER;
            if now >= hosted.deadline {
                self.mark(place, hosted);
            } else if hosted.deadline < Time::NEVER {
                hosted.timer = hosted.deadline;
                timers.push(Reverse((hosted.timer, place)));
            }
        }
    }

    fn mark(&self, place: usize, hosted: &mut Hosted) {
        if !std::mem::replace(&mut hosted.dirty, true) {
            self.dirty.borrow_mut().push(place);
        }
    }

    fn perform(
        self: &Rc<Self>,
        place: usize,
        hosted: &mut Hosted,
        ready: GroupReady,
        job: &mut Vec<(GroupId, diwan_raft::Write)>,
        done: &mut Vec<Box<dyn FnOnce()>>,
    ) {
        if let Some(write) = ready.write {
            job.push((hosted.wal_id, write));
        }
        for message in ready.messages {
            self.send(place, hosted, message);
        }
        for event in ready.events {
            self.event(hosted, event, done);
        }
        self.apply(place, hosted, ready.apply, done);
        self.ended(hosted, ready.outcomes, ready.reads, done);
        for wanted in ready.read_back {
            let (reader, wal_id) = (self.reader.clone(), hosted.wal_id);
            self.on_files(
                move || {
                    store::read_back(
                        &reader,
                        wal_id,
                        wanted.low,
                        wanted.high,
                        wanted.bytes_max as u64,
                    )
                    .map(|entries| (wanted.purpose, entries))
                },
                move |node, result| match result {
                    Ok((purpose, entries)) => node.with_group(place, |hosted| {
                        hosted.group.raft_mut().entries_read(&purpose, entries)
                    }),
                    Err(error) => node.fail(format!("entries cannot be read back: {error}")),
                },
            );
        }
        for peer in ready.offers {
            self.offer(place, hosted, &peer);
        }
        if let Some(fetch) = ready.fetch {
            tokio::task::spawn_local(self.clone().fetch(place, fetch));
        }
    }

    fn event(&self, hosted: &mut Hosted, event: Event, done: &mut Vec<Box<dyn FnOnce()>>) {
        match event {
            Event::Role { role, term, leader } => {
                let name = leader.as_ref().map(PeerId::to_string);
                tracing::info!(group = hosted.name, node = %self.id, ?role, term, leader = name, "role");
                if role != Role::Leader {
                    hosted.leading_at = None;
                    if let Some(epoch) = hosted.scribe.end() {
                        hosted.machine.event(&LogEvent::StopLeading { epoch });
                    }
                    hosted.machine.event(&match name {
                        Some(leader) => LogEvent::Following {
                            leader,
                            epoch: term,
                        },
                        None => LogEvent::NoLeader,
                    });
                }
            }
            Event::Leading { term, index } => hosted.leading_at = Some((term, index)),
            Event::Configuration {
                configuration,
                index,
            } => {
                tracing::info!(group = hosted.name, node = %self.id, index, %configuration, "configuration committed");
                self.watch.borrow_mut().members_changed();
                if !configuration.is_joint() {
                    let names = |peers: &[PeerId]| peers.iter().map(PeerId::to_string).collect();
                    let (voters, learners) =
                        (names(&configuration.peers), names(&configuration.learners));
                    hosted
                        .machine
                        .event(&LogEvent::Members { voters, learners });
                }
            }
            Event::ChangeEnded(result) => {
                tracing::info!(group = hosted.name, node = %self.id, ?result, "membership change ended");
                for changed in hosted.changes.drain(..) {
                    let result = result.clone();
                    done.push(Box::new(move || changed(result)));
                }
            }
            Event::TransferFailed(to) => {
                tracing::warn!(group = hosted.name, node = %self.id, %to, "leadership was not taken over in time");
            }
        }
    }

    pub(crate) fn with_group<T>(&self, place: usize, act: impl FnOnce(&mut Hosted) -> T) -> T {
        let hosted = &mut self.hosted.borrow_mut()[place];
        self.mark(place, hosted);
        self.wake.notify_one();
        if hosted.group.raft().is_quiesced() {
            // No timer tells it the time.
            hosted.group.advance(clock::now());
        }
        act(hosted)
    }

    pub(crate) fn group_count(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn each_group(&self, look: impl FnMut(&Hosted)) {
        self.hosted.borrow().iter().for_each(look);
    }

    /// Where a group stands on this node.
    pub(crate) fn place_of(&self, group: &str) -> Option<usize> {
        self.names.get(group).copied()
    }

    /// Runs `work` where files may block, and `then` here with what it returned.
    pub(crate) fn on_files<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&Rc<Self>, T) + Send + 'static,
    ) {
        let tasks = self.tasks.clone();
        let _ = self.io.send(Box::new(move || {
            let result = work();
            let _ = tasks.send(Box::new(move |node: &Rc<Self>| then(node, result)));
        }));
    }

    fn disk_event(&self, event: DiskEvent) {
        match event {
            DiskEvent::Durable {
                flushed,
                synced,
                wal,
            } => {
                self.disk_counts.add(synced.as_ref(), wal);
                for (wal_id, sequence) in flushed.hard_states {
                    self.with_wal_id(wal_id, |raft| raft.hard_state_persisted(sequence));
                }
                for (wal_id, sequence) in flushed.groups {
                    self.with_wal_id(wal_id, |raft| raft.persisted(sequence));
                }
            }
            DiskEvent::Full(full) => {
                match full {
                    true => {
                        tracing::error!(node = %self.id, "the disk is full: entries are refused until there is room")
                    }
                    false => tracing::info!(node = %self.id, "the disk has room again"),
                }
                for place in 0..self.names.len() {
                    self.with_group(place, |hosted| hosted.group.raft_mut().disk_full(full));
                }
            }
            DiskEvent::Failed(error) => self.fail(error.to_string()),
        }
    }

    fn with_wal_id(&self, wal_id: GroupId, act: impl FnOnce(&mut Raft)) {
        if let Some(&place) = self.wal_ids.get(&wal_id) {
            self.with_group(place, |hosted| act(hosted.group.raft_mut()));
        }
    }

    /// What was promised can no longer be kept: nothing is answered any more.
    /// The node has to stop, and says why: whoever waits for [`crate::NodeHandle::failed`] hears of it.
    pub fn fail(&self, why: String) {
        tracing::error!(node = %self.id, why, "this node has failed");
        self.responders.borrow_mut().clear();
        let first = self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(why.clone());
            first
        });
        if first {
            // Groups may be in use where it failed.
            let _ = self.tasks.send(Box::new(move |node: &Rc<Self>| {
                for hosted in node.hosted.borrow_mut().iter_mut() {
                    hosted.machine.event(&LogEvent::Failed { why: why.clone() });
                }
            }));
        }
    }

    /// Hands leadership of every group on. The groups that get another leader, if all goes well.
    pub(crate) fn hand_over_all(&self) -> Vec<usize> {
        let mut handed_over = Vec::new();
        for place in 0..self.names.len() {
            self.with_group(place, |hosted| {
                let raft = hosted.group.raft_mut();
                let others = raft.configuration().peers.iter().any(|it| *it != self.id);
                if raft.role() == Role::Leader && others {
                    handed_over.push(place);
                }
                raft.hand_over();
            });
        }
        handed_over
    }

    /// Those of `groups` without a leader that is known here.
    pub(crate) fn leaderless(&self, mut groups: Vec<usize>) -> Vec<usize> {
        let all = self.hosted.borrow();
        groups.retain(|&place| all[place].group.raft().leader().is_none());
        groups
    }

    /// Changes the members of a group that this node leads.
    pub(crate) fn change(&self, place: usize, target: Configuration, done: Changed) {
        let refused = self.with_group(place, |hosted| {
            match hosted.group.raft_mut().change_members(target) {
                Ok(()) => {
                    hosted.changes.push(done);
                    None
                }
                Err(error) => Some((done, error)),
            }
        });
        if let Some((done, error)) = refused {
            done(Err(error));
        }
    }

    /// Where a group stands here; None if there is no such group.
    pub fn status(&self, group: &str) -> Option<Status> {
        let place = self.place_of(group)?;
        Some(self.hosted.borrow()[place].group.raft().status())
    }

    /// This member's name.
    pub fn id(&self) -> &PeerId {
        &self.id
    }

    /// Takes a snapshot of a group now, if anything was applied since the last one.
    pub fn snapshot(self: &Rc<Self>, group: &str) {
        if let Some(place) = self.place_of(group) {
            self.with_group(place, |hosted| self.take_snapshot(place, hosted));
        }
    }

    /// What the node counted, and where its groups stand.
    pub fn metrics(&self) -> NodeMetrics {
        let mut groups: Vec<GroupMetrics> =
            self.hosted.borrow().iter().map(Hosted::metrics).collect();
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        NodeMetrics {
            id: self.id.clone(),
            groups,
            disk: self.disk_counts.state(),
            batches_sent: self.outboxes.borrow().sent,
            malformed: self.counts.malformed.get(),
            damaged_entries: self.counts.damaged_entries.get(),
            unknown_groups: self.counts.unknown_groups.get(),
            refused_steps: self.counts.refused_steps.get(),
            untokened: self.admission.untokened.get(),
            hellos_refused: self.admission.hellos_refused.get(),
            hellos_failed: self.admission.hellos_failed.get(),
            held: self.budget.borrow().total(),
            cache_trims: self.counts.cache_trims.get(),
            snapshots_damaged: self.counts.snapshots_damaged.get(),
            pieces_delayed: self.counts.pieces_delayed.get(),
        }
    }

    /// The names of the groups here.
    pub fn groups(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.keys().cloned().collect();
        names.sort();
        names
    }

    /// Hands leadership of a group to `to`.
    /// # Errors
    /// This node does not lead it, or `to` cannot.
    pub fn transfer(&self, group: &str, to: &PeerId) -> Result<(), ChangeError> {
        let place = self.place_of(group).ok_or(ChangeError::NotLeader)?;
        self.with_group(place, |hosted| hosted.group.raft_mut().transfer_leader(to))
    }

    pub(crate) fn take_snapshot(self: &Rc<Self>, place: usize, hosted: &mut Hosted) {
        let index = hosted.group.raft().applied_index();
        let taken = hosted
            .snapshots
            .newest
            .as_ref()
            .map_or(0, |meta| meta.last.index);
        let Some(meta) = hosted
            .group
            .raft()
            .snapshot_meta(index)
            .filter(|_| index > taken && !hosted.snapshots.busy)
        else {
            if !hosted.snapshots.busy {
                hosted
                    .snapshots
                    .waiting
                    .drain(..)
                    .for_each(|waiting| waiting(Ok(())));
            }
            return;
        };
        hosted.snapshots.busy = true;
        hosted.snapshots.log_bytes = 0;
        let state = hosted.machine.snapshot();
        let directory = hosted.snapshots.directory.clone();
        let pinned = self.pinned(place);
        self.on_files(
            move || {
                let result = snapshot::write(&directory, &meta, state);
                let cleaned = result
                    .and_then(|()| snapshot::remove_older(&directory, meta.last.index, &pinned));
                cleaned.map(|()| (snapshot::bytes_of(&directory, meta.last.index), meta))
            },
            move |node, result| node.snapshot_written(place, result),
        );
    }

    fn pinned(&self, place: usize) -> Vec<u64> {
        let mut readers = self.readers.borrow_mut();
        readers.retain(|_, pulled| pulled.used.elapsed() < Duration::from_secs(300));
        readers
            .values()
            .filter(|pulled| pulled.group == place)
            .map(|pulled| pulled.index)
            .collect()
    }

    fn snapshot_written(
        &self,
        place: usize,
        result: std::io::Result<(u64, diwan_raft::SnapshotMeta)>,
    ) {
        let waiting = self.with_group(place, |hosted| {
            hosted.snapshots.busy = false;
            // A newer one may have come from the leader meanwhile: ours ends before the log begins.
            let known = hosted.snapshots.newest.as_ref();
            let known = known.map_or(0, |meta| meta.last.index);
            if let Ok((bytes, meta)) = &result
                && meta.last.index > known
            {
                tracing::info!(
                    group = hosted.name,
                    index = meta.last.index,
                    "snapshot taken"
                );
                hosted.snapshots.taken += 1;
                hosted.snapshots.newest = Some(meta.clone());
                hosted.snapshots.newest_bytes = *bytes;
                hosted
                    .group
                    .raft_mut()
                    .compact(meta.last.index, hosted.snapshots.keep_entries);
            }
            std::mem::take(&mut hosted.snapshots.waiting)
        });
        if let Err(error) = &result {
            tracing::error!(%error, "a snapshot could not be written");
        }
        for waiting in waiting {
            waiting(result.as_ref().map(|_| ()).map_err(ToString::to_string));
        }
    }
}

fn leader_name(group: &Group) -> Option<String> {
    group.raft().leader().map(PeerId::to_string)
}
