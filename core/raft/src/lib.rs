//! Raft for one group, as a pure state machine: messages, proposals, time and completed writes go in; a [`Ready`] with
//! messages to send, writes to make and committed entries to apply comes out of [`Raft::ready`]. There is no clock, no
//! random source, no thread, socket or file in it; the runtime performs what it asks for, and so does the simulator.
//! The protocol is JRaft's: what [`Body`] says has the meaning of JRaft's messages, so that a member may stand in a group
//! with JRaft's own.

mod change;
mod config;
mod configuration;
mod durable;
mod election;
mod entry;
mod follower;
#[doc(hidden)]
pub mod fuzz;
mod leader;
mod log;
mod message;
#[cfg(feature = "museum")]
pub mod museum;
mod peer;
mod progress;
mod quiesce;
mod raft;
mod read;
mod ready;
mod time;

pub use config::Config;
pub use configuration::Configuration;
pub use entry::{Entry, LogId, Payload};
pub use log::LogState;
pub use message::{
    AppendRequest, AppendResponse, Body, ErrorCode, InstallRequest, Outgoing, SnapshotMeta, Token,
    VoteRequest,
};
pub use peer::{PeerId, PeerParseError, Priority};
pub use raft::{Counters, PeerStatus, Raft, Role, Start, Status};
pub use ready::{
    ChangeError, Event, Fetch, HardState, ProposeError, Purpose, ReadBack, ReadError, ReadReady,
    Ready, StepError, Write,
};
pub use time::Time;

/// Checks an invariant of Raft. On in every build but the museum's, where the simulator itself must find the damage.
macro_rules! invariant {
    ($condition:expr, $($message:tt)+) => {
        if !cfg!(feature = "museum") {
            assert!($condition, $($message)+);
        }
    };
}
pub(crate) use invariant;

/// Whether an old bug is to be present: never outside the museum.
macro_rules! bug {
    ($raft:expr, $name:ident) => {{
        #[cfg(feature = "museum")]
        {
            $raft.config.bugs.contains(crate::museum::Bug::$name)
        }
        #[cfg(not(feature = "museum"))]
        {
            let _ = &$raft;
            false
        }
    }};
}
pub(crate) use bug;
