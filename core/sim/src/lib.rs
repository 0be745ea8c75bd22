//! A simulated world that tries to break a Raft group: the production core, groups and wire codecs run unchanged on a
//! network, disks and clocks that follow from a seed. [`run`] lives through one world and returns its [`Report`]; the same
//! seed always gives the same report, digest included.

mod check;
mod client;
mod disk;
mod durable;
pub mod engine;
mod fault;
mod group;
mod life;
mod linear;
mod machine;
mod network;
mod node;
mod operator;
mod options;
mod persist;
mod random;
mod report;
mod snapshots;
mod store;
mod traffic;
mod turn;
mod watch;
mod world;

pub use disk::{DiskCounts, SimDisk, SimFile};
pub use linear::{Action, Operation, is_linearizable};
pub use options::Options;
pub use random::Random;
pub use report::{Counts, Report, Violation};
pub use world::run;
