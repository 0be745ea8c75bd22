//! Sagas stop, and leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::{Effect, Ended, Refused, Reply, SagaKey};
use super::saga::Saga;
use super::sagas::Sagas;

/// How long a saga from the archive stays if nobody does anything with it.
const RELOADED_MS: u64 = 60 * 60_000;

impl Sagas {
    /// A saga has stopped: the one above goes on; or it is recovered, or leaves.
    pub(super) fn stopped(&mut self, key: SagaKey) {
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
            let leaves_ms = self.world.now_ms.saturating_add(retention_ms);
            self.with(key, |step| {
                step.saga.leaves_ms = Some(leaves_ms);
                step.world.arm(step.saga, leaves_ms);
            });
        }
    }

    /// A saga leaves with all that it started, unless it runs.
    pub(super) fn leave(&mut self, key: SagaKey) {
        let stays = self.saga(key).is_none_or(|saga| {
            saga.is_running || saga.recovery.is_some() || !saga.pending.is_empty()
        });
        if stays {
            return;
        }
        let Some(saga) = self.remove(key) else {
            return;
        };
        let mut children = Vec::new();
        let mut open = children_of(&saga);
        while let Some(key) = open.pop() {
            if let Some(child) = self.remove(key) {
                open.extend(children_of(&child));
                children.push(*child);
            }
        }
        let ended = Box::new(Ended { saga, children });
        self.world.effects.push(Effect::Ended(ended));
    }

    /// Puts a saga that has left, and all that it started, back.
    pub(super) fn reload(&mut self, ended: Ended) -> Result<Reply, Refused> {
        let Ended { saga, children } = ended;
        let id = saga.id.to_string();
        let count = 1 + children.len();
        let most = self.world.config.sagas_max;
        if self.len() + count > most {
            return Err(Refused::TooMuch("living sagas", most));
        }
        let mut all: Vec<Saga> = std::iter::once(*saga).chain(children).collect();
        for saga in &all {
            if self.by_id.contains_key(&saga.id) {
                return Err(Refused::SagaExists(saga.id.to_string()));
            }
            if saga.is_running || !saga.pending.is_empty() || self.check(saga).is_err() {
                return Err(Refused::NotAnEnd(id));
            }
        }
        let business_key = all[0].business_key.clone();
        let business_key = business_key.map(|key| (Arc::clone(&all[0].tenant), key));
        if let Some(key) = business_key
            .as_ref()
            .filter(|key| self.by_business_key.contains_key(key))
        {
            return Err(Refused::BusinessKeyInUse(key.1.to_string()));
        }
        let mut keys = BTreeMap::new();
        for saga in &mut all {
            let key = self.place()?;
            keys.insert(saga.key, key);
            saga.key = key;
        }
        let root = all[0].key;
        let renamed = |key: SagaKey| keys.get(&key).copied();
        for mut saga in all {
            saga.parent = saga
                .parent
                .and_then(|(key, record)| Some((renamed(key)?, record)));
            for record in &mut saga.records {
                record.child = record.child.and_then(renamed);
            }
            saga.recovery = None;
            saga.armed_ms = None;
            saga.leaves_ms = None;
            self.by_id.insert(Arc::clone(&saga.id), saga.key);
            let slot = saga.key.slot as usize;
            self.slots[slot].saga = Some(Box::new(saga));
        }
        if let Some(key) = business_key {
            self.by_business_key.insert(key, root);
        }
        let leaves_ms = self.world.now_ms + self.world.config.retention_ms.max(RELOADED_MS);
        self.with(root, |step| {
            step.saga.leaves_ms = Some(leaves_ms);
            step.world.arm(step.saga, leaves_ms);
        });
        Ok(Reply::Started(root))
    }

    fn remove(&mut self, key: SagaKey) -> Option<Box<Saga>> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let mut saga = slot.saga.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot);
        self.by_id.remove(&saga.id);
        if let (Some(business_key), None) = (&saga.business_key, saga.parent) {
            let tenant = Arc::clone(&saga.tenant);
            self.by_business_key
                .remove(&(tenant, Arc::clone(business_key)));
        }
        self.world.disarm(&mut saga);
        Some(saga)
    }
}

/// Those that a saga started, the first one last. Several states may have tried one.
fn children_of(saga: &Saga) -> Vec<SagaKey> {
    saga.records
        .iter()
        .rev()
        .filter_map(|one| one.child)
        .collect()
}
