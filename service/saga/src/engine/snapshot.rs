//! The whole state, to be kept and taken up again.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::command::MachineId;
use super::config::Config;
use super::saga::Saga;
use super::sagas::{Sagas, Slot};
use super::timers::Timer;
use crate::lang::{self, Digest, LoadError};

/// The whole state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    config: Config,
    now_ms: u64,
    machines: Vec<Definition>,
    slots: Vec<(u32, Option<Box<Saga>>)>,
    free: Vec<u32>,
    timers: BTreeSet<Timer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logs: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Definition {
    tenant: Arc<str>,
    name: Arc<str>,
    version: String,
    digest: Digest,
    text: Arc<str>,
}

/// Why a snapshot cannot be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A machine does not load any more.
    #[error("machine `{0}`: {1}")]
    Machine(String, LoadError),
    /// A machine's text is not what it was.
    #[error("machine `{0}` has another digest than when it was defined")]
    Digest(String),
    /// A saga refers to something that is not there.
    #[error("the snapshot does not hold together: {0}")]
    Broken(&'static str),
}

impl Sagas {
    /// The whole state.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let definition = |defined: &super::sagas::Defined| Definition {
            tenant: Arc::clone(&defined.tenant),
            name: Arc::clone(&defined.machine.name),
            version: defined.machine.version.clone(),
            digest: defined.machine.digest,
            text: Arc::clone(&defined.machine.text),
        };
        Snapshot {
            config: self.world.config.clone(),
            now_ms: self.world.now_ms,
            machines: self.machines.iter().map(definition).collect(),
            slots: self
                .slots
                .iter()
                .map(|slot| (slot.generation, slot.saga.clone()))
                .collect(),
            free: self.free.clone(),
            timers: self.world.timers.all(),
            logs: self.logs,
        }
    }

    /// Takes a state up again.
    /// # Errors
    /// A machine does not load as it did, or the snapshot does not hold together.
    pub fn restore(snapshot: Snapshot) -> Result<Self, RestoreError> {
        let mut sagas = Self::new(snapshot.config);
        sagas.world.now_ms = snapshot.now_ms;
        for (id, definition) in (0_u32..).zip(snapshot.machines) {
            let name = || definition.name.to_string();
            let machine = lang::load(&definition.text)
                .map_err(|error| RestoreError::Machine(name(), error))?;
            if machine.digest != definition.digest {
                return Err(RestoreError::Digest(name()));
            }
            sagas.add_machine(definition.tenant, machine, MachineId(id));
        }
        let mut places = BTreeSet::new();
        for (number, (generation, saga)) in (0_u32..).zip(snapshot.slots) {
            if let Some(saga) = &saga {
                sagas.check(saga)?;
                sagas.by_id.insert(Arc::clone(&saga.id), saga.key);
                if let (Some(business_key), None) = (&saga.business_key, saga.parent) {
                    let key = (Arc::clone(&saga.tenant), Arc::clone(business_key));
                    sagas.by_business_key.insert(key, saga.key);
                }
            } else {
                places.insert(number);
            }
            sagas.slots.push(Slot { generation, saga });
        }
        if places != snapshot.free.iter().copied().collect() || places.len() != snapshot.free.len()
        {
            return Err(RestoreError::Broken("free places"));
        }
        for timer in snapshot.timers {
            let saga = sagas.saga(timer.saga);
            if saga.is_some_and(|saga| saga.armed_ms == Some(timer.at_ms)) {
                sagas.world.timers.insert(timer);
            }
        }
        sagas.free = snapshot.free;
        sagas.logs = snapshot.logs;
        Ok(sagas)
    }

    /// A saga only refers to what its machine and its history have.
    pub(super) fn check(&self, saga: &Saga) -> Result<(), RestoreError> {
        let machine = self
            .machine(saga.machine)
            .ok_or(RestoreError::Broken("a saga without its machine"))?;
        let is_record = |number: u32| (number as usize) < saga.records.len();
        let records = saga.records.iter().all(|record| {
            usize::from(record.state.0) < machine.states.len()
                && [record.compensates, record.retries, record.compensation]
                    .into_iter()
                    .flatten()
                    .all(is_record)
        });
        let pending = saga.pending.iter().all(|pending| is_record(pending.record));
        let undoing = saga.run.undoing.iter().all(|undoing| {
            let done = undoing.done.iter().map(|(_, record)| *record);
            undoing.stack.iter().copied().chain(done).all(is_record)
        });
        let members = saga.run.repeats.iter().all(|repeat| {
            usize::from(repeat.state.0) < machine.states.len()
                && repeat.members.iter().all(|member| is_record(member.record))
        });
        let forks = saga.run.forks.iter().all(|forked| {
            machine.states.get(usize::from(forked.fork.0)).is_some()
                && forked
                    .waiting
                    .iter()
                    .all(|state| usize::from(state.0) < machine.states.len())
        });
        let run = saga
            .run
            .last
            .into_iter()
            .chain(saga.run.retried)
            .all(is_record);
        if records && pending && undoing && members && forks && run {
            Ok(())
        } else {
            Err(RestoreError::Broken("a saga without its history"))
        }
    }
}
