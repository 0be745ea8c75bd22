//! A simulated world that tries to lose money: transfers between banks, as sagas and as TCC transactions. The engine of sagas, the
//! coordinator, the form of their commands in the log, their snapshots and the participants' fence are the production code;
//! nodes, messages, the banks' stores and the clock follow from a seed. [`run`] lives through one schedule; the same seed
//! always gives the same report, digest included.
//!
//! Whoever is paid may spend it at once, so that a credit that is taken back leaves somebody short.

mod bank;
mod group;
mod machines;
mod requests;
mod tcc;
mod verdict;
mod world;

pub use diwan_sim::{Counts, Report, Violation};
pub use machines::machines;
pub use world::{Flaw, Options, run};
