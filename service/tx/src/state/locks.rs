//! Global row locks: while a transaction may still be rolled back, nobody else changes the rows that it has changed.

use foldhash::quality::RandomState;
use hashbrown::{HashMap, HashSet};

/// Whose a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) transaction: i64,
    /// The first branch of it that locked the row.
    pub(super) branch: i64,
}

/// All locks. They are not in snapshots: branches say which rows they have locked.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// By resource; rows as `table:key`.
    resources: HashMap<Box<str>, HashMap<Box<str>, Owner, RandomState>, RandomState>,
    count: usize,
}

/// The rows of a lock key: `table:key,key;table:key`. What has no form is no row, as in the original.
/// Source: apache/incubator-seata:server/src/main/java/org/apache/seata/server/lock/AbstractLockManager.java.
pub(super) fn rows(lock_key: &str) -> impl Iterator<Item = (&str, &str)> {
    let tables = lock_key.split(';');
    let tables = tables.map_while(|table| table.split_once(':'));
    tables.flat_map(|(table, keys)| {
        let keys = keys.split(',').filter(|key| !key.trim().is_empty());
        keys.map(move |key| (table, key))
    })
}

/// A lock key without this row, `table:key`.
pub(super) fn without(lock_key: &str, row: &str) -> String {
    let kept = rows(lock_key).map(|(table, key)| format!("{table}:{key}"));
    let kept: Vec<String> = kept.filter(|one| one != row).collect();
    kept.join(";")
}

/// How a row is looked up.
fn row((table, key): (&str, &str), buffer: &mut String) {
    buffer.clear();
    buffer.push_str(table);
    buffer.push(':');
    buffer.push_str(key);
}

impl Locks {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The first owner of one of these rows who is not this transaction.
    pub(super) fn conflict(
        &self,
        resource: &str,
        lock_key: &str,
        transaction: i64,
    ) -> Option<Owner> {
        let locked = self.resources.get(resource)?;
        let mut buffer = String::new();
        rows(lock_key).find_map(|one| {
            row(one, &mut buffer);
            let owner = locked.get(buffer.as_str())?;
            (owner.transaction != transaction).then_some(*owner)
        })
    }

    /// Whether this transaction has locked this row, `table:key`.
    pub(super) fn has(&self, resource: &str, row: &str, transaction: i64) -> bool {
        let owner = self.resources.get(resource).and_then(|rows| rows.get(row));
        owner.is_some_and(|owner| owner.transaction == transaction)
    }

    /// Locks rows that nobody else has locked.
    pub(super) fn lock(&mut self, resource: &str, lock_key: &str, owner: Owner) {
        let mut rows = rows(lock_key).peekable();
        if rows.peek().is_none() {
            return;
        }
        if !self.resources.contains_key(resource) {
            self.resources.insert(resource.into(), HashMap::default());
        }
        let Some(locked) = self.resources.get_mut(resource) else {
            return;
        };
        let mut buffer = String::new();
        for one in rows {
            row(one, &mut buffer);
            if !locked.contains_key(buffer.as_str()) {
                locked.insert(buffer.as_str().into(), owner);
                self.count += 1;
            }
        }
    }

    /// Frees the rows that a branch has locked.
    pub(super) fn free(&mut self, resource: &str, lock_key: &str, owner: Owner) {
        let Some(locked) = self.resources.get_mut(resource) else {
            return;
        };
        let mut buffer = String::new();
        for one in rows(lock_key) {
            row(one, &mut buffer);
            if locked.get(buffer.as_str()) == Some(&owner) {
                locked.remove(buffer.as_str());
                self.count -= 1;
            }
        }
        if locked.is_empty() {
            self.resources.remove(resource);
        }
    }

    /// Who holds what: resource, `table:key`, owner.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str, Owner)> {
        self.resources.iter().flat_map(|(resource, rows)| {
            let rows = rows.iter();
            rows.map(move |(row, owner)| (&**resource, &**row, *owner))
        })
    }

    /// How many different rows a lock key has.
    pub(super) fn rows_of(lock_key: &str) -> usize {
        rows(lock_key).collect::<HashSet<_, RandomState>>().len()
    }
}
