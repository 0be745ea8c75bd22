//! A log on an engine that a company already operates: etcd, or a database that speaks PostgreSQL's wire. The protocol is pure:
//! it asks the engine by [`Request`]s, whose replies may be lost or late, and knows no clock but the one it is given.
//!
//! Commands stand in the engine in numbered blocks. One node owns the log, in a term; each transaction that changes the log
//! checks the term, and an append the block's number, too: whoever was an owner can change nothing any more, however late
//! what it sent arrives. An owner whose reply is lost looks at what stands in the block's place before anything else, and
//! sends the same bytes again if nothing does. The lease only tells others when to take the log; nothing rests on it but
//! lease reads, if they are opted in.

mod ask;
mod block;
#[cfg(feature = "contract")]
pub mod contract;
pub mod fuzz;
mod log;
mod record;

pub use ask::{Failure, Head, Reply, Request, Seen, VALUE_BYTES_MAX};
pub use block::{BLOCK_BYTES, Block, BlockError, COMMAND_BYTES};
pub use log::{Config, Leadership, Log, LogError, Outcome, Refusal, Status, Step};
pub use record::{Owner, Position, RecordError, Snapshot};
