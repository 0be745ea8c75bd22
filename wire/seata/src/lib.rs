//! Seata's RPC: what transaction managers (TM) and resource managers (RM) say to the coordinator (TC), and it to them. Pure
//! functions over bytes.
//!
//! A connection carries [frames](frame::Frame). The body of one is a [`Message`], in one of Seata's codecs; [`binary`] is the one
//! that clients use unless told otherwise.

pub mod binary;
pub mod frame;
pub mod fuzz;
mod message;
mod status;

pub use message::*;
pub use status::{BranchStatus, BranchType, ExceptionCode, GlobalStatus};
