//! The Raft groups of one node, as pure as the core under them: [`Group`] keeps what belongs to one group beside its
//! [`diwan_raft::Raft`] (proposals that wait for their outcome, reads that wait to be applied); [`wire`] maps the core's
//! messages to JRaft's and back. Sockets, files and threads are the runtime's, or the simulator's.

#[doc(hidden)]
pub mod fuzz;
mod group;
mod outcome;
pub mod store;
pub mod wire;

pub use group::{Apply, Group, GroupReady};
pub use outcome::{Outcome, ReadOutcome};
