//! Seata's RPC: what transaction managers (TM) and resource managers (RM) say to the coordinator (TC), and it to them. Pure
//! functions over bytes.
//!
//! A connection carries [frames](frame::Frame). The [`body`] of one is a [`Message`], in one of Seata's serializers and compressors;
//! [`binary`] is the one that clients use unless told otherwise.

pub mod binary;
pub mod body;
mod compress;
pub mod frame;
pub mod fuzz;
mod hessian;
mod message;
mod protobuf;
mod status;

pub use compress::{BODY_BYTES_MAX, CompressionError, Compressor, Lz4Error, Lz4Problem};
pub use hessian::HessianError;
pub use message::*;
pub use protobuf::ProtobufError;
pub use status::{BranchStatus, BranchType, ExceptionCode, GlobalStatus};
