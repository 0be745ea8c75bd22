//! One instance of a service: what each node knows of it.

use std::sync::Arc;
use std::time::Duration;

use diwan_registry_wire::nodes;
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

/// What an instance publishes, in one piece of memory: for each item the length of its text plus one as u32, or 0 for none, and
/// the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Data(Arc<[u8]>);

impl Data {
    pub(super) fn new<'a>(items: impl Iterator<Item = Option<&'a str>> + Clone) -> Self {
        let bytes = items.clone().map(|item| 4 + item.map_or(0, str::len));
        let mut all = Vec::with_capacity(bytes.sum());
        for item in items {
            let length = item.map_or(0, |item| item.len() + 1);
            all.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
            all.extend_from_slice(item.unwrap_or_default().as_bytes());
        }
        Self(all.into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn items(&self) -> impl Iterator<Item = Option<String>> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let length = u32::from_le_bytes(*length) as usize;
            let (text, after) = after.split_at_checked(length.saturating_sub(1))?;
            rest = after;
            Some((length > 0).then(|| String::from_utf8_lossy(text).into_owned()))
        })
    }
}

/// What one node says of an instance: each node has its own copy, so that the late end of an old connection cannot remove an
/// instance that has moved.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) origin: OriginId,
    /// Among the changes of its origin.
    pub(super) number: u64,
    pub(super) data: Data,
    /// The cell in which it runs.
    pub(super) cell: Arc<str>,
    pub(super) edition: Edition,
    pub(super) owner: Owner,
    /// It was published before its node started, and its client has not come back yet.
    pub(super) provisional: bool,
    /// [`Copy::sum`], once it is put.
    pub(super) sum: u64,
}

impl Copy {
    pub(super) fn publishes_the_same(&self, other: &Self) -> bool {
        self.data == other.data && self.cell == other.cell
    }

    /// For digests: everything of an instance that clients see. `seed`: what the sums of its service's instances begin with.
    pub(super) fn sum(&self, seed: u64, id: &RegistId) -> u64 {
        let sum = Sum::new(seed).with(&[u8::from(self.provisional)]);
        let sum = match id {
            RegistId::Uuid(uuid) => sum.with(uuid),
            RegistId::Text(text) => sum.with(text.as_bytes()),
        };
        let (version, timestamp) = self.edition;
        let sum = sum.with(&version.to_le_bytes());
        let sum = sum.with(&timestamp.to_le_bytes());
        sum.with(self.cell.as_bytes())
            .with(self.data.bytes())
            .finish()
    }

    pub(super) fn to_wire(&self) -> nodes::Instance {
        let items = self.data.items().map(|data| nodes::Item { data });
        nodes::Instance {
            items: items.collect(),
            cell: self.cell.to_string(),
            version: self.edition.0,
            timestamp: self.edition.1,
            provisional: self.provisional,
        }
    }
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
