//! Messages in protocol buffers: the length of a message's name (u32), its name, its bytes. Numbers that stand for something are those
//! of Seata's own codec, but for the reasons of failures.
//! Source: apache/incubator-seata:serializer/seata-serializer-protobuf/.

mod read;
mod shapes;
mod write;

use prost::DecodeError;
use thiserror::Error;

use crate::ExceptionCode;
use crate::binary::MERGED_MAX;

pub(crate) use read::decode;
pub(crate) use write::encode;

/// A body is no message in protocol buffers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtobufError {
    /// The name at the beginning is not there.
    #[error("byte 0: a name of {announced} bytes is announced, {left} are left")]
    Name {
        /// What stands there.
        announced: u32,
        /// What is left for it.
        left: usize,
    },
    /// No message has this name, or not here.
    #[error("{0:?} is no message here")]
    Message(String),
    /// It is not what its name says.
    #[error("{name}: {error}")]
    Content {
        /// What it should be.
        name: String,
        /// What is wrong.
        error: DecodeError,
    },
    /// Too many messages in one.
    #[error("{0} messages in one, {MERGED_MAX} are the most")]
    TooMany(usize),
    /// A number stands for nothing.
    #[error("{number} is no {what}")]
    Value {
        /// What it should be.
        what: &'static str,
        /// What stands there.
        number: i32,
    },
}

/// Of the messages' names, after the root.
const PACKAGE: &str = "protocol.protobuf.";
/// Before the names of messages in merged ones.
const TYPE_URL: &str = "type.googleapis.com/";

/// Reasons of failures, in the order of their numbers: others than in Seata's own codec, and fewer.
const CODES: [ExceptionCode; 18] = [
    ExceptionCode::Unknown,
    ExceptionCode::LockKeyConflict,
    ExceptionCode::Io,
    ExceptionCode::BranchRollbackFailedRetriable,
    ExceptionCode::BranchRollbackFailedUnretriable,
    ExceptionCode::BranchRegisterFailed,
    ExceptionCode::BranchReportFailed,
    ExceptionCode::LockableCheckFailed,
    ExceptionCode::BranchTransactionNotExist,
    ExceptionCode::GlobalTransactionNotExist,
    ExceptionCode::GlobalTransactionNotActive,
    ExceptionCode::GlobalTransactionStatusInvalid,
    ExceptionCode::FailedToSendBranchCommitRequest,
    ExceptionCode::FailedToSendBranchRollbackRequest,
    ExceptionCode::FailedToAddBranch,
    ExceptionCode::FailedLockGlobalTransaction,
    ExceptionCode::FailedWriteSession,
    ExceptionCode::FailedStore,
];

/// The number of the nearest reason that there is.
fn code_number(code: ExceptionCode) -> i32 {
    let code = match code {
        ExceptionCode::LockKeyConflictFailFast => ExceptionCode::LockKeyConflict,
        code => code,
    };
    let place = CODES.iter().position(|one| *one == code);
    place
        .and_then(|place| i32::try_from(place).ok())
        .unwrap_or(0)
}
