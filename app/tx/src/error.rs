use std::time::Duration;

use diwan_seata::{ExceptionCode, GlobalStatus};
use thiserror::Error;

/// Why a coordinator was not asked, or did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TxError {
    /// There was no connection to any coordinator for so long; nothing was sent.
    #[error("no coordinator was connected within {0:?}")]
    NotConnected(Duration),
    /// Too many requests wait for their answers; nothing was sent.
    #[error("{0} requests wait for a coordinator already")]
    TooManyRequests(usize),
    /// Something is too long for Seata's protocol; nothing was sent.
    #[error("the {what} has {bytes} bytes, {limit} are the most")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// No answer in time: whether it was done is unknown.
    #[error("the coordinator has not answered within {0:?}")]
    Timeout(Duration),
    /// The connection ended before the answer: whether it was done is unknown.
    #[error("the connection ended before the answer: {0}")]
    ConnectionLost(String),
    /// The answer is to something else: whether it was done is unknown.
    #[error("the coordinator answered something else: {0}")]
    UnexpectedAnswer(String),
    /// The coordinator refuses; it has done nothing.
    #[error("the coordinator refuses ({code}): {why}")]
    Refused {
        /// For programs.
        code: ExceptionCode,
        /// For people.
        why: String,
    },
    /// The thread that holds the connections is gone: whether it was done is unknown.
    #[error("the client has stopped")]
    Stopped,
}

impl TxError {
    /// Whether it is certain that the coordinator has not done what it was asked for.
    pub fn was_not_executed(&self) -> bool {
        matches!(
            self,
            Self::NotConnected(_)
                | Self::TooManyRequests(_)
                | Self::TooLong { .. }
                | Self::Refused { .. }
        )
    }
}

/// Why a client cannot be set up as asked.
#[derive(Debug, Error)]
pub enum TxSetupError {
    /// There is no address of a coordinator.
    #[error("a client of transactions needs at least one coordinator's address")]
    NoCoordinator,
    /// It is not `host:port`.
    #[error("{0:?} is no address of a coordinator: host:port is needed")]
    Address(String),
    /// A second one of the same name.
    #[error("there is a resource {0:?} already")]
    Duplicate(String),
    /// Names of resources travel in one text, separated by commas.
    #[error("{0:?} is no name of a resource: it is empty, too long or has a comma")]
    Resource(String),
    /// The client of the process was installed before.
    #[error("this process has a client of transactions already")]
    Installed,
    /// The threads that hold connections cannot be had.
    #[error("threads for connections: {0}")]
    Io(#[from] std::io::Error),
}

/// Why work that was to be a transaction, or part of one, is not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransactionError {
    /// No client was installed: see [`TxClient::install`](crate::TxClient::install).
    #[error("there is no client of transactions in this process: call TxClient::install")]
    NoClient,
    /// [`Propagation::Never`](crate::Propagation::Never) inside of a transaction; the work was not begun.
    #[error("{name} must not run in a transaction, and is in {xid}")]
    InTransaction {
        /// Of the work.
        name: String,
        /// The transaction.
        xid: String,
    },
    /// [`Propagation::Mandatory`](crate::Propagation::Mandatory) outside of one; the work was not begun.
    #[error("{0} must run in a transaction, and is in none")]
    NotInTransaction(String),
    /// The transaction did not begin; the work was not begun.
    #[error("the transaction did not begin: {0}")]
    Begin(TxError),
    /// The work is done, but the transaction was too late and is rolled back.
    #[error("transaction {xid} took too long and is rolled back ({status})")]
    TimedOut {
        /// The transaction.
        xid: String,
        /// Where it is.
        status: GlobalStatus,
    },
    /// The work is done, but somebody else has decided that the transaction is rolled back.
    #[error("transaction {xid} is not committed but {status}")]
    RolledBack {
        /// The transaction.
        xid: String,
        /// Where it is.
        status: GlobalStatus,
    },
    /// The work is done, and the coordinator knows the transaction no more: whether it was committed or rolled back is unknown.
    #[error("transaction {xid} is {status}: whether it was committed is unknown")]
    Unknown {
        /// The transaction.
        xid: String,
        /// Where it is.
        status: GlobalStatus,
    },
    /// The work is done, and the coordinator could not be asked to commit: the transaction is committed if it was heard, and rolled back
    /// when its time is over if it was not.
    #[error("whether transaction {xid} is committed is unknown: {error}")]
    Commit {
        /// The transaction.
        xid: String,
        /// What happened at last.
        error: TxError,
    },
}

impl TransactionError {
    /// Whether it is certain that the work's transaction is not committed and never will be; it may not have begun.
    pub fn was_not_committed(&self) -> bool {
        !matches!(self, Self::Unknown { .. } | Self::Commit { .. })
    }
}
