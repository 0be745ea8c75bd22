//! Groups: the nodes of a world may host several, over one log each and in common packets.

use std::ops::Range;

use diwan_wal::GroupId;

use crate::check::Promises;
use crate::world::World;

/// What the world knows of a group.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) promises: Promises,
    /// Where clients believe the leader is.
    pub(crate) last_leader: usize,
    /// Which node the client that searches asks next.
    pub(crate) searched: usize,
    pub(crate) acknowledged_in_calm: u64,
}

/// The name of a group in messages.
pub(crate) fn name(group: usize) -> String {
    match group {
        0 => "sim".into(),
        _ => format!("sim-{group}"),
    }
}

/// A group's number in logs and batches.
pub(crate) fn wal_id(group: usize) -> GroupId {
    GroupId(1 + group as u64)
}

/// The group with this number, whether there is one or not.
pub(crate) fn of_wal_id(id: GroupId) -> usize {
    usize::try_from(id.0.wrapping_sub(1)).unwrap_or(usize::MAX)
}

impl World {
    pub(crate) fn all_groups(&self) -> Range<usize> {
        0..self.groups.len()
    }

    /// One of them; a world with one leaves nothing to chance.
    pub(crate) fn pick_group(&mut self) -> usize {
        match self.groups.len() {
            1 => 0,
            groups => usize::try_from(self.random.below(groups as u64)).unwrap_or(0),
        }
    }

    /// The group in which clients put and get a key.
    pub(crate) fn group_of_key(&self, key: u64) -> usize {
        usize::try_from(key % self.groups.len() as u64).unwrap_or(0)
    }
}
