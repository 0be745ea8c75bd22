//! The engine. [`Sagas`] holds the sagas that live, takes a [`Command`] with the time at which it was proposed, and returns
//! what is to be answered and what is to be done. What it decides is what Seata decides, where nothing else is said:
//! `apache/incubator-seata:saga/seata-saga-engine` is named where a rule comes from.

mod calls;
mod command;
mod compensate;
mod config;
mod decide;
mod exception;
mod family;
mod fork;
mod history;
mod leave;
mod operate;
mod recover;
mod repeat;
mod saga;
mod sagas;
mod script;
mod settle;
mod snapshot;
mod start;
mod status;
mod step;
mod task;
mod timers;

pub use command::{
    Args, Call, CallId, Command, Effect, Ended, MachineId, Outcome, Refused, Reply, SagaKey,
};
pub use config::Config;
pub use exception::{Code, Exception, Kind};
pub use saga::{Record, Recovery, Saga};
pub use sagas::Sagas;
pub use snapshot::{RestoreError, Snapshot};
pub use status::Status;
