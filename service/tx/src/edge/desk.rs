//! Requests on their way to the log and answers on their way back. What comes in one turn of the thread goes into the log as one batch.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use diwan_seata::{BranchEnd, BranchType, ExceptionCode, GlobalStatus, Message as Spoken};
use prost::Message;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::call::{CallResult, Channel, Resources};
use super::peers::{self, Answered, Call, Kind as Asked, Read, Reply, Said, Where};
use super::request::{Responder, Shape, message};
use super::{Barrier, Leadership, NotDone, Options, Proposer, Task};
use crate::state::{Answer, Answers, Batch, Effect, Ended, Kind, Operation, Shared, Signal};

/// For so long a request is tried while nobody leads; clients wait for 30 s.
const PATIENCE: Duration = Duration::from_secs(10);
/// Then again after this.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(50);
/// Resource managers are told to delete old undo logs after this, and from then on once a day: what is older than so many days.
/// Source: apache/incubator-seata:server/src/main/java/org/apache/seata/server/coordinator/DefaultCoordinator.java (`undoLogDelete`).
const FIRST_UNDO_LOG_DELETE: Duration = Duration::from_secs(3 * 60);
const UNDO_LOG_DELETE: Duration = Duration::from_secs(24 * 60 * 60);
const UNDO_LOG_DAYS: i16 = 7;
/// Requests that have no answer yet; one more is refused.
const REQUESTS_MAX: usize = 100_000;
/// Operations of one batch.
const BATCH_MAX: usize = 4_000;

/// What is done with an answer.
pub(super) enum Then {
    Client(Responder, Shape),
    /// Another node, which thinks that this one leads.
    Peer(Reply),
    /// Somebody on this node.
    Here(Reply),
    /// Nobody asked.
    Own,
}

/// An operation that has no answer yet.
pub(super) struct Job {
    then: Then,
    deadline: Instant,
}

/// What the node's thread tells this one.
enum Told {
    Batch(u64, Result<Bytes, NotDone>),
    Read(u64, bool),
}

pub(super) struct Desk {
    shared: Shared,
    propose: Proposer,
    barrier: Barrier,
    nodes: Option<peers::Nodes>,
    tasks: mpsc::UnboundedSender<Task>,
    /// What xids begin with.
    pub(super) label: String,
    resources: Resources,
    leads: Cell<bool>,
    leadership: watch::Sender<Leadership>,
    /// This node's.
    pub(super) ports: Where,
    waking: Notify,
    batch: RefCell<Vec<(Operation, Job)>>,
    reads: RefCell<Vec<(Read, Job)>>,
    next: Cell<u64>,
    proposed: RefCell<HashMap<u64, Vec<(Operation, Job)>>>,
    reading: RefCell<HashMap<u64, Vec<(Read, Job)>>>,
    /// Decisions whose branches are being told.
    waiting: RefCell<HashMap<i64, Vec<(Operation, Job)>>>,
    /// Transactions whose decision is on its way through the log.
    deciding: RefCell<HashSet<i64>>,
    /// Those of them that have settled before the answer to the decision was seen.
    settled: RefCell<HashMap<i64, GlobalStatus>>,
    /// Requests that have no answer yet.
    unanswered: Cell<usize>,
    ticking: Cell<bool>,
    /// The log's time, and when that was.
    clock: Cell<(u64, Instant)>,
    malformed: Cell<u64>,
}

impl Desk {
    pub(super) fn new(
        options: Options,
        tasks: mpsc::UnboundedSender<Task>,
        leadership: watch::Sender<Leadership>,
    ) -> (Rc<Self>, mpsc::UnboundedReceiver<Signal>) {
        let desk = Rc::new(Self {
            shared: options.shared,
            propose: options.propose,
            barrier: options.barrier,
            nodes: options.nodes,
            tasks,
            label: format!("{}:", options.advertise),
            resources: Resources::default(),
            leads: Cell::new(false),
            leadership,
            ports: Where {
                transaction: options.advertise.clone(),
                control: options.control,
            },
            waking: Notify::new(),
            batch: RefCell::default(),
            reads: RefCell::default(),
            next: Cell::new(0),
            proposed: RefCell::default(),
            reading: RefCell::default(),
            waiting: RefCell::default(),
            deciding: RefCell::default(),
            settled: RefCell::default(),
            unanswered: Cell::new(0),
            ticking: Cell::new(false),
            clock: Cell::new((0, Instant::now())),
            malformed: Cell::new(0),
        });
        (desk, options.signals)
    }

    pub(super) async fn run(
        self: Rc<Self>,
        mut todo: mpsc::UnboundedReceiver<Task>,
        mut signals: mpsc::UnboundedReceiver<Signal>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut delete =
            tokio::time::interval_at(Instant::now() + FIRST_UNDO_LOG_DELETE, UNDO_LOG_DELETE);
        loop {
            tokio::select! {
                biased;
                // What the log says comes before the answers to what was proposed.
                signal = signals.recv() => {
                    let Some(signal) = signal else { return };
                    self.signalled(signal);
                    while let Ok(signal) = signals.try_recv() {
                        self.signalled(signal);
                    }
                }
                task = todo.recv() => {
                    let Some(task) = task else { return };
                    task(&self);
                    while let Ok(task) = todo.try_recv() {
                        task(&self);
                    }
                }
                () = self.waking.notified() => self.flush(),
                _ = tick.tick() => self.tick(),
                _ = delete.tick() => self.delete_undo_logs(),
            }
        }
    }

    /// Each node tells those that are connected to it. Whatever is no database does not mind.
    fn delete_undo_logs(&self) {
        for (resource, channel) in self.resources.each() {
            let message = Spoken::UndoLogDelete {
                branch_type: BranchType::At,
                resource_id: resource.to_string(),
                save_days: UNDO_LOG_DAYS,
            };
            channel.tell(&message);
        }
    }

    pub(super) fn count_malformed(&self) {
        self.malformed.set(self.malformed.get() + 1);
    }

    /// An operation is to be carried out, here or by the node that leads.
    pub(super) fn submit(self: &Rc<Self>, operation: Operation, then: Then) {
        if let Some(job) = self.accept(then) {
            self.dispatch(operation, job);
        }
    }

    /// One more request, unless there are too many.
    fn accept(&self, then: Then) -> Option<Job> {
        self.unanswered.set(self.unanswered.get() + 1);
        if self.unanswered.get() > REQUESTS_MAX && !matches!(then, Then::Own) {
            self.refuse(then, "too many requests wait for their answers", false);
            return None;
        }
        let deadline = Instant::now() + PATIENCE;
        Some(Job { then, deadline })
    }

    fn dispatch(self: &Rc<Self>, operation: Operation, job: Job) {
        if self.leads.get() {
            if let Some(Kind::Commit(id) | Kind::Rollback(id)) = &operation.kind {
                self.deciding.borrow_mut().insert(*id);
            }
            self.batch.borrow_mut().push((operation, job));
            self.waking.notify_one();
        } else {
            self.forward(Asked::Operation(operation), job);
        }
    }

    /// The state is to be looked at, here or by the node that leads.
    pub(super) fn read(self: &Rc<Self>, read: Read, then: Then) {
        if let Some(job) = self.accept(then) {
            self.dispatch_read(read, job);
        }
    }

    fn dispatch_read(self: &Rc<Self>, read: Read, job: Job) {
        if self.leads.get() {
            self.reads.borrow_mut().push((read, job));
            self.waking.notify_one();
        } else {
            self.forward(Asked::Read(read), job);
        }
    }

    /// To the node that leads; what another node has forwarded goes back instead, and its own efforts go to nobody else.
    fn forward(self: &Rc<Self>, asked: Asked, job: Job) {
        match job.then {
            Then::Own | Then::Peer(_) => {
                return self.refuse(job.then, "this node does not lead", false);
            }
            Then::Client(..) | Then::Here(_) => {}
        }
        let leader = self.leadership.borrow().leader.clone();
        let (Some(nodes), Some(leader)) = (&self.nodes, leader) else {
            return self.later(asked, job, "nobody leads");
        };
        let said = Said {
            kind: Some(asked.clone()),
        };
        let called = (nodes.call)(&leader, said.encode_to_vec().into());
        let desk = self.clone();
        tokio::task::spawn_local(async move {
            let answered = match called.await {
                Ok(content) => Answered::decode(&content[..]).map_err(|error| error.to_string()),
                Err(why) => Err(why),
            };
            match answered {
                Ok(Answered {
                    answer: Some(answer),
                    ..
                }) => desk.finish(job.then, answer),
                Ok(Answered { why, unknown, .. }) => {
                    let why = why.unwrap_or_default();
                    desk.not_done(asked, job, &why, unknown);
                }
                Err(why) => desk.not_done(asked, job, &why, true),
            }
        });
    }

    /// Something was not carried out, or that is unknown: it is tried again if that does no harm.
    fn not_done(self: &Rc<Self>, asked: Asked, job: Job, why: &str, unknown: bool) {
        let harmless = match &asked {
            Asked::Operation(operation) => !matches!(
                operation.kind,
                Some(Kind::Begin(_) | Kind::Register(_)) | None
            ),
            Asked::Read(_) | Asked::Call(_) | Asked::Where(_) => true,
        };
        match unknown && !harmless {
            true => self.refuse(job.then, why, true),
            false => self.later(asked, job, why),
        }
    }

    fn later(self: &Rc<Self>, asked: Asked, job: Job, why: &str) {
        if Instant::now() > job.deadline {
            return self.refuse(job.then, why, false);
        }
        let desk = self.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(PAUSE).await;
            match asked {
                Asked::Operation(operation) => desk.dispatch(operation, job),
                Asked::Read(read) => desk.dispatch_read(read, job),
                Asked::Call(_) | Asked::Where(_) => {}
            }
        });
    }

    fn refuse(&self, then: Then, why: &str, unknown: bool) {
        self.unanswered.set(self.unanswered.get() - 1);
        match then {
            Then::Own => {}
            Then::Peer(to) | Then::Here(to) => peers::reply(
                to,
                &Answered {
                    why: Some(why.to_owned()),
                    unknown,
                    ..Answered::default()
                },
            ),
            Then::Client(responder, shape) => {
                tracing::warn!(why, unknown, "a request is not carried out");
                let answer = Answer {
                    refused: Some(why.to_owned()),
                    code: ExceptionCode::FailedStore.byte().into(),
                    ..Answer::default()
                };
                responder.send(message(&shape, &answer, &self.label));
            }
        }
    }

    fn finish(&self, then: Then, answer: Answer) {
        self.unanswered.set(self.unanswered.get() - 1);
        match then {
            Then::Own => {}
            Then::Peer(to) | Then::Here(to) => peers::reply(
                to,
                &Answered {
                    answer: Some(answer),
                    ..Answered::default()
                },
            ),
            Then::Client(responder, shape) => {
                responder.send(message(&shape, &answer, &self.label));
            }
        }
    }

    /// Sends to the log what has come since the last time.
    fn flush(self: &Rc<Self>) {
        loop {
            let mut batch = self.batch.borrow_mut();
            if batch.is_empty() {
                break;
            }
            let taken = batch.len().min(BATCH_MAX);
            let rest = batch.split_off(taken);
            let jobs = std::mem::replace(&mut *batch, rest);
            drop(batch);
            let (operations, jobs): (Vec<Operation>, Vec<Job>) = jobs.into_iter().unzip();
            let batch = Batch { operations };
            let command = batch.encode_to_vec();
            let number = self.number();
            let jobs = batch.operations.into_iter().zip(jobs).collect();
            self.proposed.borrow_mut().insert(number, jobs);
            let told = self.teller(move |result| Told::Batch(number, result));
            (self.propose)(command.into(), told);
        }
        let reads = std::mem::take(&mut *self.reads.borrow_mut());
        if !reads.is_empty() {
            let number = self.number();
            self.reading.borrow_mut().insert(number, reads);
            let told = self.teller(move |sure| Told::Read(number, sure));
            (self.barrier)(told);
        }
    }

    fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    fn teller<T: Send + 'static>(
        &self,
        told: impl FnOnce(T) -> Told + Send + 'static,
    ) -> Box<dyn FnOnce(T) + Send> {
        let tasks = self.tasks.clone();
        Box::new(move |result| {
            let told = told(result);
            let _ = tasks.send(Box::new(move |desk: &Rc<Self>| desk.told(told)));
        })
    }

    fn told(self: &Rc<Self>, told: Told) {
        match told {
            Told::Batch(number, Ok(content)) => {
                let jobs = self.proposed.borrow_mut().remove(&number);
                let answers = Answers::decode(&content[..]).unwrap_or_default().answers;
                for ((operation, job), answer) in jobs.unwrap_or_default().into_iter().zip(answers)
                {
                    self.answered(operation, job, answer);
                }
                self.ticking.set(false);
            }
            Told::Batch(number, Err(not_done)) => {
                let unknown = matches!(not_done, NotDone::Unknown(_));
                let why = not_done.to_string();
                let jobs = self.proposed.borrow_mut().remove(&number);
                for (operation, job) in jobs.unwrap_or_default() {
                    self.not_done(Asked::Operation(operation), job, &why, unknown);
                }
                self.ticking.set(false);
            }
            Told::Read(number, sure) => {
                let reads = self.reading.borrow_mut().remove(&number);
                for (read, job) in reads.unwrap_or_default() {
                    match sure {
                        true => {
                            let answer = self.look(&read);
                            self.finish(job.then, answer);
                        }
                        false => self.later(Asked::Read(read), job, "nobody leads"),
                    }
                }
            }
        }
    }

    fn look(&self, read: &Read) -> Answer {
        let state = self.shared.lock();
        match &read.rows {
            None => Answer {
                status: state.status(read.transaction).byte().into(),
                ..Answer::default()
            },
            Some(rows) => Answer {
                id: state
                    .is_lockable(&rows.resource, &rows.lock_key, read.transaction)
                    .into(),
                ..Answer::default()
            },
        }
    }

    fn answered(self: &Rc<Self>, operation: Operation, job: Job, answer: Answer) {
        let Some(Kind::Commit(transaction) | Kind::Rollback(transaction)) = operation.kind else {
            return self.finish(job.then, answer);
        };
        self.deciding.borrow_mut().remove(&transaction);
        let settled = self.settled.borrow_mut().remove(&transaction);
        if !answer.waiting {
            return self.finish(job.then, answer);
        }
        match settled {
            Some(status) => self.finish(job.then, decided(status)),
            None => {
                let mut waiting = self.waiting.borrow_mut();
                waiting
                    .entry(transaction)
                    .or_default()
                    .push((operation, job));
            }
        }
    }

    fn signalled(self: &Rc<Self>, signal: Signal) {
        self.hear_time();
        match signal {
            Signal::Leads { epoch } => {
                self.leads.set(true);
                let leader = self.nodes.as_ref().map(|nodes| nodes.name.clone());
                self.leadership.send_replace(Leadership { leader, epoch });
                let outstanding = self.shared.lock().outstanding();
                tracing::info!(calls = outstanding.len(), "this node leads the coordinator");
                self.perform(outstanding);
            }
            Signal::Follows(leader) => {
                self.leads.set(false);
                self.leadership.send_modify(|known| match leader {
                    Some((leader, epoch)) => {
                        *known = Leadership {
                            leader: Some(leader),
                            epoch,
                        };
                    }
                    None => known.leader = None,
                });
                self.deciding.borrow_mut().clear();
                self.settled.borrow_mut().clear();
                // Whoever waits asks the one that leads now.
                let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
                for (operation, job) in waiting.into_values().flatten() {
                    self.later(Asked::Operation(operation), job, "nobody leads");
                }
            }
            Signal::Effects(effects) => self.perform(effects),
        }
    }

    fn perform(self: &Rc<Self>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Call {
                    transaction,
                    commit,
                    end,
                    client,
                } => self.call(transaction, commit, end, client),
                Effect::Settled {
                    transaction,
                    status,
                } => match self.waiting.borrow_mut().remove(&transaction) {
                    Some(jobs) => {
                        for (_, job) in jobs {
                            self.finish(job.then, decided(status));
                        }
                    }
                    None if self.deciding.borrow().contains(&transaction) => {
                        self.settled.borrow_mut().insert(transaction, status);
                    }
                    None => {}
                },
                Effect::Ended { global, status } => {
                    tracing::debug!(xid = global.xid(), %status, "a transaction has ended");
                }
            }
        }
    }

    pub(super) fn channel_of(&self, end: &BranchEnd, client: &str) -> Option<Rc<Channel>> {
        self.resources.of(end, client)
    }

    fn call(self: &Rc<Self>, transaction: i64, commit: bool, end: BranchEnd, client: String) {
        let branch = end.branch_id;
        let desk = self.clone();
        let ended = move |result: CallResult| {
            desk.call_ended(transaction, branch, commit, result);
        };
        if let Some(channel) = self.channel_of(&end, &client) {
            return channel.call(commit, end, Box::new(ended));
        }
        let desk = self.clone();
        tokio::task::spawn_local(async move {
            let mut result = None;
            if let Some(nodes) = &desk.nodes {
                let others = nodes.all.borrow().clone();
                for other in others.iter().filter(|other| **other != nodes.name) {
                    let said = Said {
                        kind: Some(Asked::Call(Call::new(commit, &end, &client))),
                    };
                    let called = (nodes.call)(other, said.encode_to_vec().into()).await;
                    let answered = called
                        .ok()
                        .and_then(|content| Answered::decode(&content[..]).ok());
                    result = answered.and_then(Answered::into_call);
                    if result.is_some() {
                        break;
                    }
                }
            }
            let nobody = || {
                Err(format!(
                    "no resource manager of {} is connected",
                    end.resource_id
                ))
            };
            ended(result.unwrap_or_else(nobody));
        });
    }

    fn call_ended(
        self: &Rc<Self>,
        transaction: i64,
        branch: i64,
        commit: bool,
        result: CallResult,
    ) {
        let (status, why) = match result {
            Ok(status) => (Some(status.byte().into()), String::new()),
            Err(why) => {
                tracing::warn!(
                    transaction,
                    branch,
                    commit,
                    why,
                    "a branch was told in vain"
                );
                (None, why)
            }
        };
        let ended = Kind::Ended(Ended {
            transaction,
            branch,
            commit,
            status,
            why,
        });
        self.submit(ended.into(), Then::Own);
    }

    pub(super) fn resources_came(self: &Rc<Self>, channel: &Rc<Channel>, new: Vec<Rc<str>>) {
        self.resources.came(channel, &new);
        if self.leads.get() {
            let is_new = |resource: &str| new.iter().any(|one| **one == *resource);
            let missed = self.shared.lock().waiting_for(is_new);
            for id in missed {
                self.submit(Kind::TryNow(id).into(), Then::Own);
            }
        }
    }

    pub(super) fn resources_went(&self, channel: &Rc<Channel>) {
        self.resources.went(channel);
    }

    fn hear_time(&self) {
        let now_us = self.shared.lock().now_us();
        if now_us != self.clock.get().0 {
            self.clock.set((now_us, Instant::now()));
        }
    }

    /// Says to the log that time has passed, if that makes a difference.
    fn tick(self: &Rc<Self>) {
        if !self.leads.get() || self.ticking.get() {
            return;
        }
        let Some(due_us) = self.shared.lock().next_due_us() else {
            return;
        };
        self.hear_time();
        let (heard_us, at) = self.clock.get();
        let passed = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
        if heard_us.saturating_add(passed) >= due_us {
            self.ticking.set(true);
            self.submit(Kind::Tick(0).into(), Then::Own);
        }
    }
}

fn decided(status: GlobalStatus) -> Answer {
    Answer {
        status: status.byte().into(),
        ..Answer::default()
    }
}
