//! The Raft groups of one node, as pure as the core under them: [`Group`] keeps what belongs to one group beside its
//! [`diwan_raft::Raft`] (proposals that wait for their outcome, reads that wait to be applied); [`WriteQueue`] brings the
//! writes of all into the log that they share; [`Budget`] bounds what all hold in memory together; [`Liveness`] watches the
//! other nodes; [`wire`] maps the core's messages to JRaft's and back, [`batch`] puts many into one frame, and [`hello`] proves on
//! a new connection that both sides know the cluster's token. Sockets, files and threads are the runtime's, or the simulator's.

pub mod batch;
mod budget;
#[doc(hidden)]
pub mod fuzz;
mod group;
pub mod hello;
mod liveness;
mod outcome;
mod queue;
pub mod store;
mod throttle;
pub mod wire;

pub use budget::{Budget, Held, Limits};
pub use group::{Apply, Group, GroupReady};
pub use liveness::Liveness;
pub use outcome::{Outcome, ReadOutcome};
pub use queue::{Flushed, WriteQueue};
pub use throttle::Throttle;
