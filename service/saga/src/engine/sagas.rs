//! All sagas that live.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::calls::call_of;
use super::command::{Call, CallId, Command, Effect, MachineId, Outcome, Refused, Reply, SagaKey};
use super::config::Config;
use super::family::children_past_pivot;
use super::operate;
use super::saga::{Record, Saga, Waits};
use super::step::{Flow, Step, World};
use super::timers::Timers;
use crate::lang::{Machine, Recover};

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
    pub(super) by_id: HashMap<Arc<str>, SagaKey, RandomState>,
    pub(super) by_business_key: BTreeMap<(Arc<str>, Arc<str>), SagaKey>,
    /// Over how many logs sagas are spread, if this is the first of them and it was told.
    pub(super) logs: Option<u32>,
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
                epoch: 0,
                effects: Vec::new(),
                timers: Timers::default(),
                work: VecDeque::new(),
            },
            machines: Vec::new(),
            latest: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::default(),
            by_business_key: BTreeMap::new(),
            logs: None,
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
        if !self.world.work.is_empty() {
            self.work();
        }
        std::mem::swap(&mut self.world.effects, effects);
        reply
    }

    /// From now on commands are those of another leadership of the log. Whoever leads makes the calls that have no outcome, so that calls
    /// may have been made more often than one node knows.
    pub fn in_leadership(&mut self, epoch: u64) {
        self.world.epoch = epoch;
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
            } => self.start(id, &machine, &tenant, business_key, params),
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
            Command::Spread { logs } => self.spread(logs),
            Command::Reload(ended) => self.reload(*ended),
            Command::Forget { saga } => {
                let key = self.root(&saga)?;
                if self
                    .saga(key)
                    .is_some_and(|saga| saga.is_running || saga.waiting() > 0)
                {
                    return Err(Refused::Running(saga));
                }
                self.with(key, |step| step.drop_plan());
                self.leave(key);
                Ok(Reply::Done)
            }
        }
    }

    fn spread(&mut self, logs: u32) -> Result<Reply, Refused> {
        // Sagas of a log that was never told are in one.
        let is_used = !self.machines.is_empty() || !self.is_empty();
        let known = self.logs.or(is_used.then_some(1)).unwrap_or(logs);
        self.logs = Some(known);
        match known == logs {
            true => Ok(Reply::Done),
            false => Err(Refused::Spread(known)),
        }
    }

    fn returned(&mut self, call: CallId, outcome: Outcome) -> Reply {
        match self.with(call.saga, |step| step.returned(call.number, outcome)) {
            Some(true) => Reply::Done,
            _ => Reply::Late,
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

    pub(super) fn saga(&self, key: SagaKey) -> Option<&Saga> {
        let slot = self.slots.get(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        slot.saga.as_deref()
    }

    pub(super) fn saga_mut(&mut self, key: SagaKey) -> Option<&mut Saga> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        slot.saga.as_deref_mut()
    }

    pub(super) fn with<T>(
        &mut self,
        key: SagaKey,
        run: impl FnOnce(&mut Step<'_>) -> T,
    ) -> Option<T> {
        self.with_children(key, false, |step, _| run(step))
    }

    pub(super) fn with_children<T>(
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
        let slots = &self.slots;
        let machines = &self.machines;
        let machine = &machines[saga.machine.0 as usize].machine;
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
            machine,
            world: &mut self.world,
            is_automatic,
            is_child_past_pivot,
            at: None,
            ready: Vec::new(),
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

    /// The time of the last command.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.world.now_ms
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

    /// The latest machine of each tenant's names, with the tenant.
    pub fn latest_machines(&self) -> impl Iterator<Item = (&str, &Machine)> {
        self.latest.iter().flat_map(|(tenant, names)| {
            let machines = names.values().filter_map(|id| self.machine(*id));
            machines.map(move |machine| (&**tenant, &**machine))
        })
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

    /// When a [`Command::Tick`] is due next, or somewhat earlier: what was due then may be done meanwhile.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        self.world.timers.first().map(|timer| timer.at_ms)
    }
}
