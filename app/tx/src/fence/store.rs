//! The rule over a store.

use std::future::Future;

use thiserror::Error;

use super::rule::{Decision, FenceStatus, Operation, Refusal, decide};
use crate::Branch;

/// The original's columns are so long.
const XID_MAX: usize = 128;
const ACTION_MAX: usize = 64;

/// Which row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FenceKey {
    xid: String,
    branch: i64,
    action: String,
}

impl FenceKey {
    /// Of a TCC branch.
    ///
    /// # Errors
    /// When the xid is longer than 128 characters, or the action's name than 64.
    pub fn branch(branch: &Branch) -> Result<Self, KeyTooLong> {
        Self::new(branch.xid.clone(), branch.id, &branch.resource)
    }

    /// Of a step of a saga: the saga's id, or another one that its calls have in common, and the step's name.
    ///
    /// # Errors
    /// When both are longer than 127 characters, or the name than 64.
    pub fn step(saga: &str, step: &str) -> Result<Self, KeyTooLong> {
        Self::new(format!("{saga}/{step}"), 0, step)
    }

    fn new(xid: String, branch: i64, action: &str) -> Result<Self, KeyTooLong> {
        if xid.chars().count() > XID_MAX || action.chars().count() > ACTION_MAX {
            return Err(KeyTooLong);
        }
        Ok(Self {
            xid,
            branch,
            action: action.to_owned(),
        })
    }

    /// Column `xid`; with [`branch_id`](Self::branch_id) it is the row's key.
    pub fn xid(&self) -> &str {
        &self.xid
    }

    /// Column `branch_id`.
    pub fn branch_id(&self) -> i64 {
        self.branch
    }

    /// Column `action_name`.
    pub fn action(&self) -> &str {
        &self.action
    }
}

/// A key that has no room in the original's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a fence's key has at most {XID_MAX} characters, and an action's name {ACTION_MAX}")]
pub struct KeyTooLong;

/// A local transaction of a store, with the rows of its fence in it. It is the caller's, who commits it with the business' own change, or
/// rolls it back.
pub trait FenceStore: Send {
    /// Why the store fails.
    type Error: Send;

    /// What the row says; `None` if there is none. No other local transaction may change it before this one ends.
    fn row(
        &mut self,
        key: &FenceKey,
    ) -> impl Future<Output = Result<Option<FenceStatus>, Self::Error>> + Send;

    /// Adds a row. False, and nothing is changed, if there is one.
    fn insert(
        &mut self,
        key: &FenceKey,
        status: FenceStatus,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Changes a row that [`row`](Self::row) has found. False if it is gone.
    fn update(
        &mut self,
        key: &FenceKey,
        from: FenceStatus,
        to: FenceStatus,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// What is left to be done. Either way the local transaction is to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says whether the business' change is to be made"]
pub enum Entered {
    /// The business' own change.
    Do,
    /// Nothing: it was done before, or there is nothing to be undone.
    Nothing,
}

/// The local transaction is to be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FenceError<E> {
    /// The operation must not be done.
    #[error("{0}")]
    Refused(Refusal),
    /// Others change the same row at the same time: again, later.
    #[error("others work on the same branch")]
    Contended,
    /// The store fails.
    #[error("{0}")]
    Store(E),
}

/// Before the business' change, in its local transaction: writes the row and says what is left to be done.
///
/// # Errors
/// When it must not be done, or the store fails.
pub async fn enter<S: FenceStore>(
    store: &mut S,
    key: &FenceKey,
    operation: Operation,
) -> Result<Entered, FenceError<S::Error>> {
    // The row of a first step is expected not to be there: it is not looked for, because a database may then lock where it would be.
    let mut row = match operation {
        Operation::Try | Operation::Act => None,
        Operation::Commit | Operation::Rollback | Operation::Compensate => {
            store.row(key).await.map_err(FenceError::Store)?
        }
    };
    // Whoever finds no row may find one when he writes it; it stays then.
    for _ in 0..2 {
        let (status, left) = match decide(row, operation) {
            Decision::Do(status) => (status, Entered::Do),
            Decision::Only(status) => (status, Entered::Nothing),
            Decision::Done => return Ok(Entered::Nothing),
            Decision::Refuse(refusal) => return Err(FenceError::Refused(refusal)),
        };
        let written = match row {
            None => store.insert(key, status).await,
            Some(from) => store.update(key, from, status).await,
        };
        if written.map_err(FenceError::Store)? {
            return Ok(left);
        }
        row = store.row(key).await.map_err(FenceError::Store)?;
    }
    Err(FenceError::Contended)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Rows, and what others do to them just before the next write.
    #[derive(Default)]
    struct Memory {
        rows: BTreeMap<FenceKey, FenceStatus>,
        others: Vec<Option<FenceStatus>>,
    }

    impl Memory {
        fn others_write(&mut self, key: &FenceKey) {
            match self.others.pop() {
                Some(Some(status)) => drop(self.rows.insert(key.clone(), status)),
                Some(None) => drop(self.rows.remove(key)),
                None => {}
            }
        }
    }

    impl FenceStore for Memory {
        type Error = ();

        async fn row(&mut self, key: &FenceKey) -> Result<Option<FenceStatus>, ()> {
            Ok(self.rows.get(key).copied())
        }

        async fn insert(&mut self, key: &FenceKey, status: FenceStatus) -> Result<bool, ()> {
            self.others_write(key);
            let is_new = !self.rows.contains_key(key);
            if is_new {
                self.rows.insert(key.clone(), status);
            }
            Ok(is_new)
        }

        async fn update(
            &mut self,
            key: &FenceKey,
            from: FenceStatus,
            to: FenceStatus,
        ) -> Result<bool, ()> {
            self.others_write(key);
            let is_there = self.rows.get(key) == Some(&from);
            if is_there {
                self.rows.insert(key.clone(), to);
            }
            Ok(is_there)
        }
    }

    fn key() -> FenceKey {
        let branch = Branch {
            xid: "x".into(),
            id: 7,
            resource: "debit".into(),
        };
        FenceKey::branch(&branch).unwrap()
    }

    #[tokio::test]
    async fn the_store_says_what_the_rule_says() {
        let rows = [
            None,
            Some(FenceStatus::Tried),
            Some(FenceStatus::Committed),
            Some(FenceStatus::RolledBack),
            Some(FenceStatus::Suspended),
        ];
        for (row, operation) in rows
            .into_iter()
            .flat_map(|row| Operation::ALL.map(|operation| (row, operation)))
        {
            let mut memory = Memory::default();
            memory.rows.extend(row.map(|status| (key(), status)));
            let entered = enter(&mut memory, &key(), operation).await;
            let (expected, after) = match decide(row, operation) {
                Decision::Do(status) => (Ok(Entered::Do), Some(status)),
                Decision::Only(status) => (Ok(Entered::Nothing), Some(status)),
                Decision::Done => (Ok(Entered::Nothing), row),
                Decision::Refuse(refusal) => (Err(FenceError::Refused(refusal)), row),
            };
            assert_eq!(entered, expected, "{operation:?} of {row:?}");
            assert_eq!(
                memory.rows.get(&key()).copied(),
                after,
                "{operation:?} of {row:?}"
            );
        }
    }

    #[tokio::test]
    async fn who_is_overtaken_decides_again() {
        let overtaken = |by| Memory {
            others: vec![Some(by)],
            ..Memory::default()
        };
        // The rollback came between the try's look and its write.
        let mut memory = overtaken(FenceStatus::Suspended);
        let tried = enter(&mut memory, &key(), Operation::Try).await;
        assert_eq!(tried, Err(FenceError::Refused(Refusal::RolledBackBefore)));
        // The try came between the rollback's look and its write.
        let mut memory = overtaken(FenceStatus::Tried);
        let undone = enter(&mut memory, &key(), Operation::Rollback).await;
        assert_eq!(undone, Ok(Entered::Do));
        assert_eq!(memory.rows[&key()], FenceStatus::RolledBack);
        // Somebody deletes and writes it all the time.
        let mut memory = Memory {
            others: vec![None, Some(FenceStatus::Tried)],
            ..Memory::default()
        };
        let undone = enter(&mut memory, &key(), Operation::Rollback).await;
        assert_eq!(undone, Err(FenceError::Contended));
    }

    #[test]
    fn keys_have_room_in_the_originals_table() {
        assert!(FenceKey::step(&"s".repeat(122), "Debit").is_ok());
        assert_eq!(FenceKey::step(&"s".repeat(123), "Debit"), Err(KeyTooLong));
        assert_eq!(FenceKey::step("s", &"d".repeat(65)), Err(KeyTooLong));
        assert_ne!(FenceKey::step("s", "a"), FenceKey::step("s", "b"));
    }
}
