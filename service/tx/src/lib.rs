//! The coordinator of distributed transactions, to which Seata's clients speak unchanged. [`state`] decides, and goes through the log;
//! [`edge`] brings it to clients.

pub mod edge;
pub mod state;
