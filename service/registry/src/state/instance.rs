//! One instance of a service: what each node knows of it.

use std::sync::Arc;
use std::time::Duration;

use diwan_registry_wire::{DataBox, nodes};
use smallvec::SmallVec;

use super::connection::ConnectionId;
use super::ids::RegistId;
use super::origin::{OriginId, Sum};

/// Who answers for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A connection.
    Connection(ConnectionId),
    /// Nobody, since its connection ended; it is removed then unless it registers again.
    Grace(Duration),
    /// Nobody; the shrink guard keeps it, until the guard ends.
    Held,
    /// The node that it comes from.
    Node,
}

/// How often a client changed what it publishes, and when, by its own clock: the highest is the newest.
pub(super) type Edition = (i64, i64);

/// What one node says of an instance: each node has its own copy, so that the late end of an old connection cannot remove an
/// instance that has moved.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) origin: OriginId,
    /// Among the changes of its origin.
    pub(super) number: u64,
    pub(super) data: Arc<[DataBox]>,
    /// The cell in which it runs.
    pub(super) cell: Arc<str>,
    pub(super) edition: Edition,
    pub(super) owner: Owner,
    /// It was published before its node started, and its client has not come back yet.
    pub(super) provisional: bool,
    /// For digests.
    pub(super) sum: u64,
}

impl Copy {
    pub(super) fn publishes_the_same(&self, data: &[DataBox], cell: &str) -> bool {
        *self.data == *data && *self.cell == *cell
    }

    pub(super) fn to_wire(&self) -> nodes::Instance {
        let item = |item: &DataBox| nodes::Item {
            data: item.data.clone(),
        };
        nodes::Instance {
            items: self.data.iter().map(item).collect(),
            cell: self.cell.to_string(),
            version: self.edition.0,
            timestamp: self.edition.1,
            provisional: self.provisional,
        }
    }
}

/// For digests: everything of an instance that clients see.
pub(super) fn sum(
    service: u64,
    id: &RegistId,
    data: &[DataBox],
    cell: &str,
    edition: Edition,
    provisional: bool,
) -> u64 {
    let mut sum = Sum::new(service).with(&[u8::from(provisional)]);
    sum = match id {
        RegistId::Uuid(uuid) => sum.with(&uuid.to_le_bytes()),
        RegistId::Text(text) => sum.with(text.as_bytes()),
    };
    sum = sum.with(&edition.0.to_le_bytes());
    sum = sum.with(&edition.1.to_le_bytes()).with(cell.as_bytes());
    for item in data {
        sum = match &item.data {
            Some(data) => sum.with(data.as_bytes()),
            None => sum.with(&[0, 1]),
        };
    }
    sum.finish()
}

/// All copies of one instance; nearly always one.
pub(super) type Copies = SmallVec<[Copy; 1]>;

pub(super) fn of_origin(copies: &Copies, origin: OriginId) -> Option<&Copy> {
    copies.iter().find(|copy| copy.origin == origin)
}

/// The copy that is shown: the newest, unless it was taken back. All nodes choose the same.
pub(super) fn shown(copies: &Copies, withdrawn: Option<Edition>) -> Option<&Copy> {
    let current = copies
        .iter()
        .filter(|copy| withdrawn.is_none_or(|withdrawn| copy.edition > withdrawn));
    current.max_by_key(|copy| (copy.edition, copy.sum))
}
