//! What changed of this node's own instances, to be told to other nodes: each of them is a cursor into it.

use std::collections::VecDeque;

use super::ids::RegistId;
use super::instance::Edition;
use super::service::ServiceId;

/// The last changes of this node's own instances, by their numbers.
#[derive(Debug)]
pub(super) struct OwnChanges {
    /// The highest number.
    number: u64,
    changes: VecDeque<OwnChange>,
    /// So many are kept for nodes that have not heard of them.
    kept_max: usize,
}

#[derive(Debug)]
pub(super) struct OwnChange {
    pub(super) number: u64,
    pub(super) service: ServiceId,
    pub(super) id: RegistId,
    /// Its client took it back.
    pub(super) withdrawn: Option<Edition>,
}

impl OwnChanges {
    pub(super) fn new(kept_max: usize) -> Self {
        Self {
            number: 0,
            changes: VecDeque::new(),
            kept_max: kept_max.max(1),
        }
    }

    /// The highest number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// An instance changes, or goes; the number of that.
    pub(super) fn add(
        &mut self,
        service: ServiceId,
        id: &RegistId,
        withdrawn: Option<Edition>,
    ) -> u64 {
        if self.changes.len() >= self.kept_max {
            self.changes.pop_front();
        }
        self.number += 1;
        self.changes.push_back(OwnChange {
            number: self.number,
            service,
            id: id.clone(),
            withdrawn,
        });
        self.number
    }

    /// All changes after this number; None if some of them are not kept any more.
    pub(super) fn after(&self, number: u64) -> Option<impl Iterator<Item = &OwnChange>> {
        let first = self.number - self.changes.len() as u64 + 1;
        let skipped = (number + 1).checked_sub(first)?;
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        Some(self.changes.range(skipped.min(self.changes.len())..))
    }
}
