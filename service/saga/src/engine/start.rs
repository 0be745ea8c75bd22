//! Machines are defined, sagas start.

use std::sync::Arc;

use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::command::{MachineId, Refused, Reply, SagaKey};
use super::saga::{Run, Saga, bytes};
use super::sagas::{Defined, Sagas, Slot};
use super::status::Status;
use super::step::Flow;
use crate::expr::Vars;
use crate::lang::{self, Machine};

impl Sagas {
    pub(super) fn define(&mut self, tenant: &str, text: &str) -> Result<MachineId, Refused> {
        let most = self.world.config.machines_max;
        let machine = lang::load(text).map_err(|error| Refused::Machine(Box::new(error)))?;
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

    pub(super) fn find_machine(&self, tenant: &str, name: &str) -> Option<MachineId> {
        self.latest.get(tenant)?.get(name).copied()
    }

    pub(super) fn start(
        &mut self,
        id: Arc<str>,
        machine: &str,
        tenant: &str,
        business_key: Option<String>,
        params: Map<String, Value>,
    ) -> Result<Reply, Refused> {
        if self.by_id.contains_key(&id) {
            return Err(Refused::SagaExists(id.to_string()));
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
        let key = self.create(id, machine, tenant, business_key, None, 0, params)?;
        Ok(Reply::Started(key))
    }

    pub(super) fn check_size(&self, params: &Map<String, Value>) -> Result<(), Refused> {
        let most = self.world.config.variables_max;
        if params.len() > most {
            return Err(Refused::TooMuch("variables", most));
        }
        let most = self.world.config.value_bytes_max;
        let size = params.iter().fold(0_usize, |sum, (key, value)| {
            sum.saturating_add(key.len() + 4)
                .saturating_add(bytes(value))
        });
        if size > most {
            return Err(Refused::TooMuch("bytes of parameters", most));
        }
        Ok(())
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "they are what a saga starts with"
    )]
    pub(super) fn create(
        &mut self,
        id: Arc<str>,
        machine: MachineId,
        tenant: Arc<str>,
        business_key: Option<Arc<str>>,
        parent: Option<(SagaKey, u32)>,
        depth: u32,
        params: Map<String, Value>,
    ) -> Result<SagaKey, Refused> {
        let key = self.place()?;
        let mut vars = Vars::default();
        vars.extend(params);
        if let Some(business_key) = &business_key {
            vars.set(&"_business_key_".into(), Value::from(&**business_key));
            if parent.is_none() {
                let named = (Arc::clone(&tenant), Arc::clone(business_key));
                self.by_business_key.insert(named, key);
            }
        }
        self.by_id.insert(Arc::clone(&id), key);
        let now_ms = self.world.now_ms;
        let deadline_ms = now_ms.saturating_add(self.world.config.transaction_timeout_ms);
        let saga = Saga {
            id,
            key,
            machine,
            tenant,
            business_key,
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
            leaves_ms: None,
            armed_ms: None,
            thrown: false,
            sequence: 0,
            calls: 0,
            run: Run::default(),
            pending: SmallVec::new(),
        };
        self.slots[key.slot as usize].saga = Some(Box::new(saga));
        let start = self.machines[machine.0 as usize].machine.start;
        self.with(key, |step| {
            step.proceed(Flow::Next(start));
            // It has a call by now, as a rule, whose time comes earlier.
            if parent.is_none() {
                step.world.arm(step.saga, deadline_ms);
            }
        });
        Ok(key)
    }

    /// A place for another saga.
    pub(super) fn place(&mut self) -> Result<SagaKey, Refused> {
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
        Ok(SagaKey { slot, generation })
    }
}
