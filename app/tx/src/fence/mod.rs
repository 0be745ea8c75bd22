//! Steps of a branch in their order, whatever the network does.
//!
//! A rollback may come before the try that it undoes, or without it; a commit or a rollback may come twice; a try may come after its
//! rollback. A row for each branch, written in the same local transaction as the business' own change, tells them apart: [`enter`]
//! says what is left to be done. [`decide`] is the whole rule.

#[cfg(feature = "mysql")]
pub mod mysql;
mod rule;
mod store;

pub use rule::{Decision, FenceStatus, Operation, Refusal, decide};
pub use store::{Entered, FenceError, FenceKey, FenceStore, KeyTooLong, enter};
