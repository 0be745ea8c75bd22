//! All sagas that live.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::calls::call_of;
use super::command::{
    Call, CallId, Command, Effect, Ended, MachineId, Outcome, Refused, Reply, SagaKey,
};
use super::config::Config;
use super::exception::{Code, Exception};
use super::operate;
use super::recover::is_past_pivot;
use super::saga::{Operation, Record, Run, Saga, Waits, bytes};
use super::status::Status;
use super::step::{Due, Flow, Step, Timer, Work, World};
use super::task::Result as Came;
use crate::expr::Vars;
use crate::lang::{self, Machine, Recover};

/// Timers that one [`Command::Tick`] serves; [`Sagas::due_ms`] tells whether there are more.
const TIMERS_AT_ONCE: usize = 10_000;

/// All sagas that live, and the machines that they run.
#[derive(Debug)]
pub struct Sagas {
    pub(super) world: World,
    pub(super) machines: Vec<Defined>,
    /// The latest one of each tenant's names.
    pub(super) latest: BTreeMap<Arc<str>, BTreeMap<Arc<str>, MachineId>>,
    pub(super) slots: Vec<Slot>,
    /// Places without a saga, the next one last.
    pub(super) free: Vec<u32>,
    /// Only ever asked for one.
    pub(super) by_id: HashMap<Arc<str>, SagaKey>,
    pub(super) by_business_key: BTreeMap<(Arc<str>, Arc<str>), SagaKey>,
}

#[derive(Debug)]
pub(super) struct Defined {
    pub tenant: Arc<str>,
    pub machine: Arc<Machine>,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub generation: u32,
    pub saga: Option<Box<Saga>>,
}

impl Sagas {
    /// None yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            world: World {
                config,
                now_ms: 0,
                effects: Vec::new(),
                timers: BTreeSet::new(),
                work: VecDeque::new(),
            },
            machines: Vec::new(),
            latest: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            by_business_key: BTreeMap::new(),
        }
    }

    /// Carries a command out at a time, and adds what is to be done to `effects`. Time does not go back.
    /// # Errors
    /// The command does nothing, and the error says why.
    pub fn apply(
        &mut self,
        now_ms: u64,
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, Refused> {
        self.world.now_ms = self.world.now_ms.max(now_ms);
        std::mem::swap(&mut self.world.effects, effects);
        let reply = self.carry_out(command);
        self.work();
        std::mem::swap(&mut self.world.effects, effects);
        reply
    }

    fn carry_out(&mut self, command: Command) -> Result<Reply, Refused> {
        match command {
            Command::Define { tenant, text } => self.define(&tenant, &text).map(Reply::Defined),
            Command::Start {
                id,
                machine,
                tenant,
                business_key,
                params,
            } => self.start(&id, &machine, &tenant, business_key, params),
            Command::Returned { call, outcome } => Ok(self.returned(call, outcome)),
            Command::Tick => {
                self.tick();
                Ok(Reply::Done)
            }
            Command::Forward { saga, params, skip } => {
                let key = self.root(&saga)?;
                self.check_size(&params)?;
                self.operate(key, |step, child| step.forward(params, skip, child))
            }
            Command::Compensate { saga, params } => {
                let key = self.root(&saga)?;
                self.check_size(&params)?;
                self.operate(key, |step, _| step.compensate(params))
            }
            Command::Forget { saga } => {
                let key = self.root(&saga)?;
                if self.saga(key).is_some_and(|saga| saga.is_running) {
                    return Err(Refused::Running(saga));
                }
                self.with(key, |step| step.drop_plan());
                self.leave(key);
                Ok(Reply::Done)
            }
        }
    }

    fn define(&mut self, tenant: &str, text: &str) -> Result<MachineId, Refused> {
        let most = self.world.config.machines_max;
        let machine = lang::load(text)?;
        let known = self
            .latest
            .get(tenant)
            .and_then(|names| names.get(&machine.name));
        if let Some(known) = known
            && self.machines[known.0 as usize].machine.digest == machine.digest
        {
            return Ok(*known);
        }
        let id = match u32::try_from(self.machines.len()) {
            Ok(id) if self.machines.len() < most => MachineId(id),
            _ => return Err(Refused::TooMuch("machines", most)),
        };
        self.add_machine(tenant.into(), machine, id);
        Ok(id)
    }

    pub(super) fn add_machine(&mut self, tenant: Arc<str>, machine: Machine, id: MachineId) {
        let names = self.latest.entry(Arc::clone(&tenant)).or_default();
        names.insert(Arc::clone(&machine.name), id);
        let machine = Arc::new(machine);
        self.machines.push(Defined { tenant, machine });
    }

    fn find_machine(&self, tenant: &str, name: &str) -> Option<MachineId> {
        self.latest.get(tenant)?.get(name).copied()
    }

    fn start(
        &mut self,
        id: &str,
        machine: &str,
        tenant: &str,
        business_key: Option<String>,
        params: Map<String, Value>,
    ) -> Result<Reply, Refused> {
        if self.by_id.contains_key(id) {
            return Err(Refused::SagaExists(id.into()));
        }
        let Some(machine) = self.find_machine(tenant, machine) else {
            return Err(Refused::NoSuchMachine(machine.into()));
        };
        let tenant = Arc::clone(&self.machines[machine.0 as usize].tenant);
        let business_key: Option<Arc<str>> = business_key
            .filter(|key| !key.trim().is_empty())
            .map(Into::into);
        if let Some(key) = &business_key
            && self
                .by_business_key
                .contains_key(&(Arc::clone(&tenant), Arc::clone(key)))
        {
            return Err(Refused::BusinessKeyInUse(key.to_string()));
        }
        self.check_size(&params)?;
        let key = self.create(id.into(), machine, tenant, business_key, None, 0, params)?;
        Ok(Reply::Started(key))
    }

    fn check_size(&self, params: &Map<String, Value>) -> Result<(), Refused> {
        let most = self.world.config.value_bytes_max;
        let size: usize = params
            .iter()
            .map(|(key, value)| key.len() + 4 + bytes(value))
            .sum();
        if size > most {
            return Err(Refused::TooMuch("bytes of parameters", most));
        }
        Ok(())
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "they are what a saga starts with"
    )]
    fn create(
        &mut self,
        id: Arc<str>,
        machine: MachineId,
        tenant: Arc<str>,
        business_key: Option<Arc<str>>,
        parent: Option<(SagaKey, u32)>,
        depth: u32,
        params: Map<String, Value>,
    ) -> Result<SagaKey, Refused> {
        let most = self.world.config.sagas_max;
        if self.len() >= most {
            return Err(Refused::TooMuch("living sagas", most));
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len())
                    .map_err(|_| Refused::TooMuch("living sagas", most))?;
                self.slots.push(Slot::default());
                slot
            }
        };
        let generation = self.slots[slot as usize].generation;
        let key = SagaKey { slot, generation };
        let mut vars = Vars::default();
        vars.extend(params);
        if let Some(key) = &business_key {
            vars.set(&"_business_key_".into(), (&**key).into());
        }
        let now_ms = self.world.now_ms;
        let deadline_ms = now_ms.saturating_add(self.world.config.transaction_timeout_ms);
        let saga = Saga {
            id: Arc::clone(&id),
            key,
            machine,
            tenant: Arc::clone(&tenant),
            business_key: business_key.clone(),
            parent,
            depth,
            started_ms: now_ms,
            ended_ms: None,
            status: Status::Running,
            compensation: None,
            is_running: true,
            vars,
            exception: None,
            records: Vec::new(),
            recovery: None,
            deadline_ms,
            is_timed_out: false,
            thrown: false,
            sequence: 0,
            calls: 0,
            run: Run::default(),
            pending: Vec::new(),
        };
        self.slots[slot as usize].saga = Some(Box::new(saga));
        self.by_id.insert(id, key);
        if let (Some(business_key), None) = (business_key, parent) {
            self.by_business_key.insert((tenant, business_key), key);
        }
        if parent.is_none() {
            self.world.timers.insert(deadline_timer(key, deadline_ms));
        }
        let start = self.machines[machine.0 as usize].machine.start;
        self.with(key, |step| step.proceed(Flow::Next(start)));
        Ok(key)
    }

    fn returned(&mut self, call: CallId, outcome: Outcome) -> Reply {
        match self.with(call.saga, |step| step.returned(call.number, outcome)) {
            Some(true) => Reply::Done,
            _ => Reply::Late,
        }
    }

    fn tick(&mut self) {
        for _ in 0..TIMERS_AT_ONCE {
            match self.world.timers.first() {
                Some(timer) if timer.at_ms <= self.world.now_ms => {}
                _ => return,
            }
            let Some(timer) = self.world.timers.pop_first() else {
                return;
            };
            match timer.what {
                Due::Call(number) => {
                    self.with(timer.saga, |step| step.call_due(number));
                }
                Due::Deadline => {
                    self.with(timer.saga, |step| {
                        let flow = step.deadline();
                        step.proceed(flow);
                    });
                }
                Due::Recovery => {
                    self.with_children(timer.saga, true, |step, child| step.recover(child));
                }
                Due::Leaving => self.leave(timer.saga),
            }
            self.work();
        }
    }

    /// Somebody operates on a saga.
    fn operate(
        &mut self,
        key: SagaKey,
        operation: impl FnOnce(&mut Step<'_>, operate::ChildCompensation<'_>) -> Result<Flow, Refused>,
    ) -> Result<Reply, Refused> {
        let done = self.with_children(key, false, |step, child| {
            let flow = operation(step, child)?;
            if step.saga.is_running {
                step.drop_plan();
            }
            step.proceed(flow);
            Ok(())
        });
        done.unwrap_or(Ok(())).map(|()| Reply::Done)
    }

    /// Does what sagas want of each other, until they want nothing more.
    fn work(&mut self) {
        while let Some(work) = self.world.work.pop_front() {
            match work {
                Work::Start {
                    parent,
                    record,
                    machine,
                    params,
                } => self.start_child(parent, record, &machine, params),
                Work::Forward {
                    parent,
                    record,
                    child,
                    params,
                } => self.forward_child(parent, record, child, params),
                Work::Compensate {
                    parent,
                    record,
                    child,
                    params,
                } => self.compensate_child(parent, record, child, params),
                Work::Abandon(key) => {
                    self.with(key, |step| {
                        if step.saga.is_running {
                            step.abandon();
                            if step.saga.status == Status::Running {
                                step.saga.status = Status::Unknown;
                            }
                            if step.saga.compensation == Some(Status::Running) {
                                step.saga.compensation = Some(Status::Unknown);
                            }
                            step.saga.is_running = false;
                            step.saga.ended_ms = Some(step.world.now_ms);
                        }
                    });
                }
                Work::Stopped(key) => self.stopped(key),
            }
        }
    }

    fn start_child(
        &mut self,
        parent: SagaKey,
        record: u32,
        machine: &str,
        params: Map<String, Value>,
    ) {
        let Some(above) = self.saga_mut(parent) else {
            return;
        };
        let tenant = Arc::clone(&above.tenant);
        let depth = above.depth + 1;
        let id: Arc<str> = format!("{}:{}", above.id, above.sequence).into();
        above.sequence = above.sequence.wrapping_add(1);
        let business_key = above.records[record as usize]
            .business_key
            .clone()
            .map(Into::into);
        let created = match self.find_machine(&tenant, machine) {
            None => Err(Refused::NoSuchMachine(machine.into())),
            Some(_) if depth > self.world.config.depth_max => {
                let most = self.world.config.depth_max as usize;
                Err(Refused::TooMuch("sagas within sagas", most))
            }
            Some(machine) => self.check_size(&params).and_then(|()| {
                self.create(
                    id,
                    machine,
                    tenant,
                    business_key,
                    Some((parent, record)),
                    depth,
                    params,
                )
            }),
        };
        match created {
            Ok(child) => {
                if let Some(above) = self.saga_mut(parent) {
                    above.records[record as usize].child = Some(child);
                }
            }
            Err(refused) => {
                let exception = Exception::engine(Code::SubMachine, refused.to_string());
                self.with(parent, |step| {
                    step.child_came_to(record, Came::threw(exception))
                });
            }
        }
    }

    fn forward_child(
        &mut self,
        parent: SagaKey,
        record: u32,
        child: SagaKey,
        params: Map<String, Value>,
    ) {
        let compensation = self.saga(child).map(|child| child.compensation);
        let Some(compensation) = compensation else {
            return;
        };
        if compensation == Some(Status::Succeeded) {
            // It is undone: a new one starts.
            let machine = self.saga(child).map(|child| child.machine);
            if let Some(machine) = machine {
                let name = Arc::clone(&self.machines[machine.0 as usize].machine.name);
                self.start_child(parent, record, &name, params);
            }
            return;
        }
        if let Some(child) = self.saga_mut(child) {
            child.parent = Some((parent, record));
        }
        let done = self.with_children(child, false, |step, child| {
            let flow = step.forward(params, false, child)?;
            let stays = flow == Flow::Wait;
            step.proceed(flow);
            Ok(stays)
        });
        self.child_done(parent, record, child, done);
    }

    fn compensate_child(
        &mut self,
        parent: SagaKey,
        record: u32,
        child: SagaKey,
        params: Map<String, Value>,
    ) {
        if let Some(child) = self.saga_mut(child) {
            child.parent = Some((parent, record));
        }
        let done = self.with_children(child, false, |step, _| {
            let flow = step.compensate(params)?;
            let stays = flow == Flow::Wait && !step.saga.is_running;
            step.proceed(flow);
            Ok(stays)
        });
        self.child_done(parent, record, child, done);
    }

    /// A child that has nothing to do, or refuses, has come to something at once.
    fn child_done(
        &mut self,
        parent: SagaKey,
        record: u32,
        child: SagaKey,
        done: Option<Result<bool, Refused>>,
    ) {
        match done {
            Some(Ok(true)) => self.tell_parent(child),
            Some(Ok(false)) | None => {}
            Some(Err(refused)) => {
                let exception = operate::refused(&refused);
                self.with(parent, |step| {
                    step.child_came_to(record, Came::threw(exception))
                });
            }
        }
    }

    /// A saga has stopped: the one above goes on; or it is recovered, or leaves.
    fn stopped(&mut self, key: SagaKey) {
        let Some(saga) = self.saga(key) else {
            return;
        };
        if saga.is_running {
            return;
        }
        if saga.parent.is_some() {
            self.tell_parent(key);
            return;
        }
        let (status, compensation) = (saga.status, saga.compensation);
        let recovers_ms = self.with(key, |step| step.plan()).flatten();
        self.world.effects.push(Effect::Stopped {
            saga: key,
            status,
            compensation,
            recovers_ms,
        });
        let Some(saga) = self.saga(key) else {
            return;
        };
        if recovers_ms.is_some() || !saga.pending.is_empty() {
            return;
        }
        let retention_ms = self.world.config.retention_ms;
        if retention_ms == 0 {
            self.leave(key);
        } else {
            self.world.timers.insert(Timer {
                at_ms: self.world.now_ms.saturating_add(retention_ms),
                saga: key,
                what: Due::Leaving,
            });
        }
    }

    /// `SubStateMachineHandler.decideStatus` and `ServiceTaskStateHandler.compensateSubStateMachine`.
    fn tell_parent(&mut self, key: SagaKey) {
        let Some(child) = self.saga(key) else {
            return;
        };
        let Some((parent, record)) = child.parent else {
            return;
        };
        let Some(above) = self.saga(parent) else {
            return;
        };
        let compensates = above.records[record as usize].compensates.is_some();
        let is_forward = above.run.operation == Operation::Forward;
        let came = if child.thrown {
            let unknown = || Exception::engine(Code::SubMachine, "the saga failed");
            Came::threw(child.exception.clone().unwrap_or_else(unknown))
        } else {
            let status = if compensates {
                child.compensation
            } else {
                Some(match (child.status, child.compensation) {
                    (Status::Succeeded, _) if is_forward => Status::Succeeded,
                    (status, None | Some(Status::Failed)) => status,
                    (_, Some(Status::Succeeded)) => Status::Failed,
                    _ => Status::Unknown,
                })
            };
            let mut output = child.vars.to_map();
            if let (Some(status), false) = (status, compensates) {
                output.insert(
                    "_sub_statemachine_execution_status_".into(),
                    status.name().into(),
                );
            }
            Came {
                output: Some(Value::Object(output)),
                status,
                ..Came::default()
            }
        };
        self.with(parent, |step| step.child_came_to(record, came));
    }

    /// A saga leaves with all that it started, unless it runs.
    fn leave(&mut self, key: SagaKey) {
        let stays = self.saga(key).is_none_or(|saga| {
            saga.is_running || saga.recovery.is_some() || !saga.pending.is_empty()
        });
        if stays {
            return;
        }
        let mut left = Vec::new();
        let mut open = vec![key];
        while let Some(key) = open.pop() {
            let Some(saga) = self.remove(key) else {
                continue;
            };
            let mut children: Vec<SagaKey> =
                saga.records.iter().filter_map(|one| one.child).collect();
            children.dedup();
            open.extend(children.into_iter().rev());
            left.push(*saga);
        }
        let children = left.split_off(1.min(left.len()));
        if let Some(saga) = left.pop() {
            self.world
                .effects
                .push(Effect::Ended(Box::new(Ended { saga, children })));
        }
    }

    fn remove(&mut self, key: SagaKey) -> Option<Box<Saga>> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let saga = slot.saga.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot);
        self.by_id.remove(&saga.id);
        if let (Some(business_key), None) = (&saga.business_key, saga.parent) {
            let tenant = Arc::clone(&saga.tenant);
            self.by_business_key
                .remove(&(tenant, Arc::clone(business_key)));
        }
        self.world
            .timers
            .remove(&deadline_timer(key, saga.deadline_ms));
        Some(saga)
    }

    fn root(&self, id: &str) -> Result<SagaKey, Refused> {
        let key = self.by_id.get(id).copied();
        let key = key.ok_or_else(|| Refused::NoSuchSaga(id.into()))?;
        match self.saga(key).and_then(|saga| saga.parent) {
            Some((parent, _)) => {
                let parent = self.saga(parent).map(|parent| parent.id.to_string());
                Err(Refused::NotARoot(id.into(), parent.unwrap_or_default()))
            }
            None => Ok(key),
        }
    }

    fn saga(&self, key: SagaKey) -> Option<&Saga> {
        let slot = self.slots.get(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        slot.saga.as_deref()
    }

    fn saga_mut(&mut self, key: SagaKey) -> Option<&mut Saga> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        slot.saga.as_deref_mut()
    }

    fn with<T>(&mut self, key: SagaKey, run: impl FnOnce(&mut Step<'_>) -> T) -> Option<T> {
        self.with_children(key, false, |step, _| run(step))
    }

    fn with_children<T>(
        &mut self,
        key: SagaKey,
        is_automatic: bool,
        run: impl FnOnce(&mut Step<'_>, operate::ChildCompensation<'_>) -> T,
    ) -> Option<T> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let mut saga = slot.saga.take()?;
        let machine = Arc::clone(&self.machines[saga.machine.0 as usize].machine);
        let slots = &self.slots;
        let machines = &self.machines;
        let is_child_past_pivot =
            machine.recover == Some(Recover::Pivot) && children_past_pivot(slots, machines, &saga);
        let child = |record: &Record| {
            let key = record.child?;
            let slot = slots.get(key.slot as usize)?;
            let child = slot
                .saga
                .as_ref()
                .filter(|_| slot.generation == key.generation)?;
            child.compensation
        };
        let mut step = Step {
            saga: &mut saga,
            machine: &machine,
            world: &mut self.world,
            is_automatic,
            is_child_past_pivot,
        };
        let done = run(&mut step, &child);
        self.slots[key.slot as usize].saga = Some(saga);
        Some(done)
    }

    /// How many sagas live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether no saga lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A living saga.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Saga> {
        self.saga(*self.by_id.get(id)?)
    }

    /// A living saga by its key.
    #[must_use]
    pub fn by_key(&self, key: SagaKey) -> Option<&Saga> {
        self.saga(key)
    }

    /// All living sagas.
    pub fn iter(&self) -> impl Iterator<Item = &Saga> {
        self.slots.iter().filter_map(|slot| slot.saga.as_deref())
    }

    /// The sagas that did not end well, and are recovered until somebody decides.
    pub fn recovering(&self) -> impl Iterator<Item = &Saga> {
        self.iter().filter(|saga| saga.recovery.is_some())
    }

    /// A machine.
    #[must_use]
    pub fn machine(&self, id: MachineId) -> Option<&Arc<Machine>> {
        Some(&self.machines.get(id.0 as usize)?.machine)
    }

    /// The calls that have no outcome yet: what a new leader makes again.
    pub fn outstanding(&self) -> impl Iterator<Item = Call> {
        self.iter().flat_map(|saga| {
            let machine = &self.machines[saga.machine.0 as usize].machine;
            saga.pending
                .iter()
                .filter(|pending| matches!(pending.waits, Waits::Answer(_)))
                .filter_map(move |pending| call_of(saga, machine, pending))
        })
    }

    /// When a [`Command::Tick`] is due next.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        self.world.timers.first().map(|timer| timer.at_ms)
    }
}

fn deadline_timer(saga: SagaKey, at_ms: u64) -> Timer {
    let what = Due::Deadline;
    Timer { at_ms, saga, what }
}

/// Whether a saga that another one started has called a credit that may have been carried out.
fn children_past_pivot(slots: &[Slot], machines: &[Defined], saga: &Saga) -> bool {
    saga.records
        .iter()
        .filter(|record| record.compensates.is_none())
        .filter_map(|record| record.child)
        .filter_map(|key| slots.get(key.slot as usize)?.saga.as_deref())
        .any(|child| {
            // A credit that the child has undone moves nothing any more.
            child.compensation != Some(Status::Succeeded)
                && (is_past_pivot(child, &machines[child.machine.0 as usize].machine)
                    || children_past_pivot(slots, machines, child))
        })
}
