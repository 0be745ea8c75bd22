//! Sagas stop, and leave.

use std::sync::Arc;

use super::command::{Effect, Ended, SagaKey};
use super::saga::Saga;
use super::sagas::Sagas;

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
