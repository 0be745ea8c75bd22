//! What the coordinator is told, as it stands in the log, and what it answers. Commands come in batches: one entry of the log for all
//! that came together.

use diwan_seata::{ExceptionCode, GlobalStatus};
use prost::{Message, Oneof};

/// Operations that are carried out one after the other.
#[derive(Clone, PartialEq, Message)]
pub struct Batch {
    /// In this order.
    #[prost(message, repeated, tag = "1")]
    pub operations: Vec<Operation>,
}

/// One operation; without a kind it is one of a version that this one does not know, and changes nothing.
#[derive(Clone, PartialEq, Message)]
pub struct Operation {
    /// Which.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub kind: Option<Kind>,
}

impl From<Kind> for Operation {
    fn from(kind: Kind) -> Self {
        Self { kind: Some(kind) }
    }
}

/// The operations there are.
#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    /// A transaction begins.
    #[prost(message, tag = "1")]
    Begin(Begin),
    /// A branch takes part.
    #[prost(message, tag = "2")]
    Register(Register),
    /// How a branch does.
    #[prost(message, tag = "3")]
    Report(Report),
    /// A transaction is to be committed.
    #[prost(sint64, tag = "4")]
    Commit(i64),
    /// A transaction is to be rolled back.
    #[prost(sint64, tag = "5")]
    Rollback(i64),
    /// A saga says where it is.
    #[prost(message, tag = "6")]
    GlobalReport(GlobalReport),
    /// What came of a call to a branch.
    #[prost(message, tag = "7")]
    Ended(Ended),
    /// Time has passed: transactions whose time is over are rolled back, what is to be tried again is.
    #[prost(uint32, tag = "8")]
    Tick(u32),
    /// An operator decides.
    #[prost(message, tag = "9")]
    Operate(Operate),
    /// Somebody is there again who was missed: what waits to be tried again is tried now.
    #[prost(sint64, tag = "10")]
    TryNow(i64),
}

/// A transaction begins.
#[derive(Clone, PartialEq, Message)]
pub struct Begin {
    /// Its xid's part before the number.
    #[prost(string, tag = "1")]
    pub label: String,
    /// Whose.
    #[prost(string, tag = "2")]
    pub application: String,
    /// Its group.
    #[prost(string, tag = "3")]
    pub group: String,
    /// Its name.
    #[prost(string, tag = "4")]
    pub name: String,
    /// It may last so long.
    #[prost(uint32, tag = "5")]
    pub timeout_ms: u32,
}

/// A branch takes part.
#[derive(Clone, PartialEq, Message)]
pub struct Register {
    /// In which transaction.
    #[prost(sint64, tag = "1")]
    pub transaction: i64,
    /// Its kind, [`diwan_seata::BranchType`].
    #[prost(uint32, tag = "2")]
    pub branch_type: u32,
    /// What it changes.
    #[prost(string, tag = "3")]
    pub resource: String,
    /// Whose: `application:ip:port`.
    #[prost(string, tag = "4")]
    pub client: String,
    /// Its rows.
    #[prost(string, tag = "5")]
    pub lock_key: String,
    /// What it wants to be told in the second phase.
    #[prost(string, tag = "6")]
    pub application_data: String,
}

/// How a branch does.
#[derive(Clone, PartialEq, Message)]
pub struct Report {
    /// In which transaction.
    #[prost(sint64, tag = "1")]
    pub transaction: i64,
    /// Which branch.
    #[prost(sint64, tag = "2")]
    pub branch: i64,
    /// How, [`diwan_seata::BranchStatus`].
    #[prost(uint32, tag = "3")]
    pub status: u32,
    /// What it wants to be told in the second phase; empty if what it said before stands.
    #[prost(string, tag = "4")]
    pub application_data: String,
}

/// A saga says where it is.
#[derive(Clone, PartialEq, Message)]
pub struct GlobalReport {
    /// Which transaction.
    #[prost(sint64, tag = "1")]
    pub transaction: i64,
    /// Where, [`GlobalStatus`].
    #[prost(uint32, tag = "2")]
    pub status: u32,
}

/// What came of a call to a branch.
#[derive(Clone, PartialEq, Message)]
pub struct Ended {
    /// Of which transaction.
    #[prost(sint64, tag = "1")]
    pub transaction: i64,
    /// Which branch; [`SAGA`](super::SAGA) for the saga as a whole.
    #[prost(sint64, tag = "2")]
    pub branch: i64,
    /// What was asked: to commit, or to roll back.
    #[prost(bool, tag = "3")]
    pub commit: bool,
    /// Where it is, [`diwan_seata::BranchStatus`]; none if nobody was there to answer, or nobody did.
    #[prost(uint32, optional, tag = "4")]
    pub status: Option<u32>,
    /// Why not, for people.
    #[prost(string, tag = "5")]
    pub why: String,
}

/// An operator decides.
#[derive(Clone, PartialEq, Message)]
pub struct Operate {
    /// On which transaction.
    #[prost(sint64, tag = "1")]
    pub transaction: i64,
    /// What, [`Decision`].
    #[prost(uint32, tag = "2")]
    pub decision: u32,
    /// On which of its branches, if on one alone.
    #[prost(sint64, tag = "3")]
    pub branch: i64,
    /// On a row of which resource, if on one alone.
    #[prost(string, tag = "4")]
    pub resource: String,
    /// On which row, `table:key`.
    #[prost(string, tag = "5")]
    pub row: String,
}

/// What an operator may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Decision {
    /// Try now what is to be tried.
    Retry = 1,
    /// Commit.
    Commit = 2,
    /// Roll back.
    Rollback = 3,
    /// Forget it: whoever decides so has looked after its branches. Its locks are free.
    Forget = 4,
    /// Tell its branches nothing more until somebody decides again.
    Stop = 5,
    /// Forget one of its branches, as if it had been told. Its locks are free.
    ForgetBranch = 6,
    /// Tell one of its branches nothing more until that one is started.
    StopBranch = 7,
    /// Tell a branch again that was stopped.
    StartBranch = 8,
    /// Free a row that it has locked.
    FreeRow = 9,
}

impl Decision {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        let all = [
            Self::Retry,
            Self::Commit,
            Self::Rollback,
            Self::Forget,
            Self::Stop,
            Self::ForgetBranch,
            Self::StopBranch,
            Self::StartBranch,
            Self::FreeRow,
        ];
        all.into_iter().find(|one| *one as u32 == number)
    }
}

/// The answers to a batch, in its order.
#[derive(Clone, PartialEq, Message)]
pub struct Answers {
    /// One for each operation.
    #[prost(message, repeated, tag = "1")]
    pub answers: Vec<Answer>,
}

/// The answer to an operation.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    /// Why it was refused; none if it was not.
    #[prost(string, optional, tag = "1")]
    pub refused: Option<String>,
    /// The same for programs, [`ExceptionCode`].
    #[prost(uint32, tag = "2")]
    pub code: u32,
    /// The transaction that began, or the branch that was registered.
    #[prost(sint64, tag = "3")]
    pub id: i64,
    /// Where the transaction is, [`GlobalStatus`].
    #[prost(uint32, tag = "4")]
    pub status: u32,
    /// The transaction's branches are being told: whoever asked is answered when all of them were, once.
    #[prost(bool, tag = "5")]
    pub waiting: bool,
}

impl Answer {
    pub(super) fn id(id: i64) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }

    pub(super) fn status(status: GlobalStatus) -> Self {
        Self {
            status: status.byte().into(),
            ..Self::default()
        }
    }

    pub(super) fn waiting(status: GlobalStatus) -> Self {
        Self {
            waiting: true,
            ..Self::status(status)
        }
    }

    pub(super) fn refusal(code: ExceptionCode, why: String) -> Self {
        Self {
            refused: Some(why),
            code: code.byte().into(),
            ..Self::default()
        }
    }
}
