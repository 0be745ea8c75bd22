//! What is said, whatever it is written in. Texts that Java has as null are empty here: Seata's codec does not tell them apart.
//! Sources: apache/incubator-seata:core/src/main/java/org/apache/seata/core/protocol/.

use crate::{BranchStatus, BranchType, ExceptionCode, GlobalStatus};

/// How a request ended, at the front of each answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Why it failed, for people; None if it succeeded.
    pub failure: Option<String>,
    /// Why it failed, for programs.
    pub code: ExceptionCode,
}

impl Outcome {
    /// It succeeded.
    pub const SUCCESS: Self = Self {
        failure: None,
        code: ExceptionCode::Unknown,
    };

    /// It failed.
    pub fn failure(code: ExceptionCode, why: impl Into<String>) -> Self {
        Self {
            failure: Some(why.into()),
            code,
        }
    }
}

#[expect(
    clippy::derivable_impls,
    reason = "what successes carry, said where it is used"
)]
impl Default for ExceptionCode {
    fn default() -> Self {
        Self::Unknown
    }
}

/// Who speaks, at the beginning of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identify {
    /// Version of the client.
    pub version: String,
    /// Application.
    pub application_id: String,
    /// Group of transactions that it is in.
    pub transaction_group: String,
    /// Lines `key=value`.
    pub extra_data: String,
}

/// The coordinator's answer to [`Identify`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identified {
    /// Whether it is accepted.
    pub accepted: bool,
    /// Version of the coordinator.
    pub version: String,
}

/// Which transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xid {
    /// `ip:port:number`.
    pub xid: String,
    /// Nothing that is known.
    pub extra_data: String,
}

/// A branch as its resource manager describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchRegister {
    /// Of which transaction.
    pub xid: String,
    /// Its kind.
    pub branch_type: BranchType,
    /// What it changes: a database, or the name of a TCC action.
    pub resource_id: String,
    /// Rows: `table:key,key;table:key`.
    pub lock_key: String,
    /// What the resource manager wants to be told in the second phase.
    pub application_data: String,
}

/// How a branch does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchReport {
    /// Of which transaction.
    pub xid: String,
    /// Which branch.
    pub branch_id: i64,
    /// How it does.
    pub status: BranchStatus,
    /// What it changes.
    pub resource_id: String,
    /// What the resource manager wants to be told in the second phase.
    pub application_data: String,
    /// Its kind.
    pub branch_type: BranchType,
}

/// The coordinator orders a branch to commit or to roll back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchEnd {
    /// Of which transaction.
    pub xid: String,
    /// Which branch.
    pub branch_id: i64,
    /// Its kind.
    pub branch_type: BranchType,
    /// What it changes.
    pub resource_id: String,
    /// What was registered or reported with it.
    pub application_data: String,
}

/// The resource manager's answer to [`BranchEnd`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchEnded {
    /// How it went.
    pub outcome: Outcome,
    /// Of which transaction.
    pub xid: String,
    /// Which branch.
    pub branch_id: i64,
    /// Where it is now.
    pub status: BranchStatus,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// TM to TC: a global transaction begins.
    GlobalBegin {
        /// It may last so long, in milliseconds.
        timeout_ms: i32,
        /// Its name.
        name: String,
    },
    /// The answer.
    GlobalBeginResult {
        /// How it went.
        outcome: Outcome,
        /// The transaction.
        xid: String,
        /// Nothing that is known.
        extra_data: String,
    },
    /// TC to RM: commit a branch.
    BranchCommit(BranchEnd),
    /// The answer.
    BranchCommitResult(BranchEnded),
    /// TC to RM: roll a branch back.
    BranchRollback(BranchEnd),
    /// The answer.
    BranchRollbackResult(BranchEnded),
    /// TM to TC: commit.
    GlobalCommit(Xid),
    /// The answer.
    GlobalCommitResult(Outcome, GlobalStatus),
    /// TM to TC: roll back.
    GlobalRollback(Xid),
    /// The answer.
    GlobalRollbackResult(Outcome, GlobalStatus),
    /// RM to TC: a branch takes part.
    BranchRegister(BranchRegister),
    /// The answer.
    BranchRegisterResult {
        /// How it went.
        outcome: Outcome,
        /// The branch; 0 after a failure.
        branch_id: i64,
    },
    /// RM to TC: how a branch does.
    BranchReport(BranchReport),
    /// The answer.
    BranchReportResult(Outcome),
    /// TM to TC: how far is it?
    GlobalStatus(Xid),
    /// The answer.
    GlobalStatusResult(Outcome, GlobalStatus),
    /// TM to TC: how a saga ended.
    GlobalReport {
        /// Which.
        xid: Xid,
        /// How; None if the byte says nothing.
        status: Option<GlobalStatus>,
    },
    /// The answer.
    GlobalReportResult(Outcome, GlobalStatus),
    /// RM to TC: could these rows be locked?
    GlobalLockQuery(BranchRegister),
    /// The answer.
    GlobalLockQueryResult {
        /// How it went.
        outcome: Outcome,
        /// Whether nobody else holds one.
        lockable: bool,
    },
    /// Several requests of an RM in one frame.
    Merge {
        /// The requests.
        messages: Vec<Message>,
        /// The ids that they would have had by themselves; empty in old clients' frames.
        ids: Vec<i32>,
    },
    /// The answers in the order of the requests.
    MergeResult(Vec<Message>),
    /// A TM says who it is.
    RegisterTm(Identify),
    /// The answer.
    RegisterTmResult(Identified),
    /// An RM says who it is, and which resources it has, separated by commas.
    RegisterRm {
        /// Who.
        identify: Identify,
        /// Which.
        resource_ids: String,
    },
    /// The answer.
    RegisterRmResult(Identified),
    /// TC to RM: undo logs that are older need not be kept.
    UndoLogDelete {
        /// Kind of branch.
        branch_type: BranchType,
        /// Of which resource.
        resource_id: String,
        /// Older than so many days.
        save_days: i16,
    },
    /// Several answers in one frame, in any order.
    BatchResult {
        /// The answers.
        messages: Vec<Message>,
        /// Which requests they are of.
        ids: Vec<i32>,
    },
}
