//! What the coordinator knows and decides: a deterministic state machine, commands in, answers and calls out. It has no clock: time
//! is the log's.

mod command;
mod coordinator;
mod global;
mod locks;
mod machine;
mod phase_two;
mod pool;
mod record;
mod snapshot;

pub use command::*;
pub use coordinator::{Config, Coordinator, Effect, LockView};
pub use global::{Branch, Global, Origin};
pub(crate) use global::{has_failed, is_stopped};
pub use machine::{Shared, Signal};

/// The branch that stands for a saga as a whole.
pub const SAGA: i64 = -1;
