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
