//! Distributed transactions for an application: Seata's transaction manager (TM) and resource manager (RM), over Seata's RPC to a
//! coordinator, Diwan's or the original's.
//!
//! A [`TxClient`] keeps the connections. [`Transactional`] runs work as a transaction, or as part of the one that it is called in;
//! [`current_xid`] says which, and [`XidFilter`] and [`http`] carry it to other services. A [`TccAction`] is a branch that is tried,
//! then committed or rolled back; a [`fence`] keeps its steps in order whatever the network does. What is sent when is decided in
//! `state/`, which knows no clock and no socket.

mod client;
mod connection;
mod context;
mod counters;
mod data;
mod driver;
mod error;
pub mod fence;
pub mod http;
mod options;
mod rpc;
mod state;
mod tcc;
mod transactional;

pub use client::TxClient;
pub use context::{current_xid, in_transaction, outside};
pub use counters::Counters;
pub use diwan_seata::{BranchStatus, BranchType, ExceptionCode, GlobalStatus};
pub use error::{TransactionError, TxError, TxSetupError};
pub use options::TxOptions;
pub use rpc::XidFilter;
pub use tcc::{Branch, PrepareError, Tcc, TccAction};
pub use transactional::{Propagation, Transactional};
