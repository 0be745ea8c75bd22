//! Orders of the coordinator to commit or to roll back a branch.

use std::collections::BTreeMap;

use diwan_seata::BranchEnd;

use super::Connection;

/// An order that is being carried out.
pub(crate) type OrderId = u64;

/// Which branch is told what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    xid: String,
    branch_id: i64,
    pub(super) commit: bool,
}

impl Key {
    pub(super) fn new(end: &BranchEnd, commit: bool) -> Self {
        Self {
            xid: end.xid.clone(),
            branch_id: end.branch_id,
            commit,
        }
    }
}

/// Who waits for the outcome of an order.
pub(super) type Asked = Vec<(Connection, i32)>;

/// All of them. The same order that comes while the first is being carried out waits for its outcome: the coordinator repeats what
/// took long.
#[derive(Default)]
pub(super) struct Orders {
    all: BTreeMap<OrderId, (Key, Asked)>,
    by_key: BTreeMap<Key, OrderId>,
    next: OrderId,
}

/// What to do about an order that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It is to be carried out.
    New(OrderId),
    /// It is being carried out.
    Again,
    /// There are too many already.
    TooMany,
}

impl Orders {
    pub(super) fn came(
        &mut self,
        key: Key,
        connection: Connection,
        id: i32,
        orders_max: usize,
    ) -> Came {
        if let Some(order) = self.by_key.get(&key)
            && let Some((_, asked)) = self.all.get_mut(order)
        {
            // Of one connection the newest id is enough: its coordinator has given the older one up.
            asked.retain(|(other, _)| *other != connection);
            asked.push((connection, id));
            return Came::Again;
        }
        if self.all.len() >= orders_max {
            return Came::TooMany;
        }
        self.next += 1;
        self.all
            .insert(self.next, (key.clone(), vec![(connection, id)]));
        self.by_key.insert(key, self.next);
        Came::New(self.next)
    }

    pub(super) fn ended(&mut self, order: OrderId) -> Option<(Key, Asked)> {
        let (key, asked) = self.all.remove(&order)?;
        self.by_key.remove(&key);
        Some((key, asked))
    }
}
