//! A global transaction and its branches, as they are kept.

use std::sync::Arc;

use diwan_seata::{BranchStatus, BranchType, GlobalStatus};

/// A transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// Its number.
    pub id: i64,
    /// What it has in common with others.
    pub origin: Arc<Origin>,
    /// It may last so long.
    pub timeout_ms: u32,
    /// When it began, in the log's microseconds.
    pub begun_us: u64,
    /// Where it is.
    pub status: GlobalStatus,
    /// In the order in which they were registered.
    pub branches: Vec<Branch>,
    /// Branches that need not be told anything any more, in the order in which they came to that.
    pub told: Vec<Branch>,
    /// How often its branches were told in vain.
    pub tries: u32,
    /// When something is to be done about it, in the log's microseconds; 0 for never.
    pub due_us: u64,
    /// Where the call for the saga as a whole is.
    pub saga_call: u8,
    /// What the last call in vain came to.
    pub trouble: Box<str>,
    /// The client that asked for the decision has been answered.
    pub settled: bool,
}

/// Who begins a transaction, and what it is called: the same for many of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// What stands before the number in xids.
    pub label: String,
    /// Whose.
    pub application: String,
    /// Its group.
    pub group: String,
    /// What it is called.
    pub name: String,
}

/// A branch.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Its number.
    pub id: i64,
    /// Its kind.
    pub branch_type: BranchType,
    /// What it changes.
    pub resource: Arc<str>,
    /// Whose: `application:ip:port`.
    pub client: Arc<str>,
    /// Its rows, as long as they are locked.
    pub lock_key: Box<str>,
    /// What it wants to be told.
    pub application_data: Box<str>,
    /// Where it is.
    pub status: BranchStatus,
    /// Where the call to it is.
    pub call: u8,
}

/// A call that is to be made in this round.
pub(super) const TO_BE_CALLED: u8 = 0;
/// One that is on its way.
pub(super) const CALLED: u8 = 1;
/// One that was made in vain in this round.
pub(super) const IN_VAIN: u8 = 2;

impl Global {
    pub(super) fn begin(id: i64, origin: Arc<Origin>, timeout_ms: u32, now_us: u64) -> Self {
        let mut global = Self {
            id,
            origin,
            timeout_ms,
            begun_us: now_us,
            status: GlobalStatus::Begin,
            branches: Vec::new(),
            told: Vec::new(),
            tries: 0,
            due_us: 0,
            saga_call: TO_BE_CALLED,
            trouble: Box::default(),
            settled: false,
        };
        global.due_us = global.deadline_us();
        global
    }

    /// Its name for clients: a label and the number.
    pub fn xid(&self) -> String {
        format!("{}{}", self.origin.label, self.id)
    }

    /// When its time is over.
    pub(super) fn deadline_us(&self) -> u64 {
        let timeout_us = u64::from(self.timeout_ms) * 1_000;
        self.begun_us.saturating_add(timeout_us)
    }

    /// Source: apache/incubator-seata:server/src/main/java/org/apache/seata/server/session/GlobalSession.java (`isSaga`).
    pub(super) fn is_saga(&self) -> bool {
        match self.branches.first() {
            Some(first) => first.branch_type == BranchType::Saga,
            None => self.origin.name.starts_with("$Saga_"),
        }
    }

    /// Whether all that a commit does to its branches can be done later.
    pub(super) fn is_at(&self) -> bool {
        let mut branches = self.branches.iter();
        !self.is_saga() && branches.all(|branch| branch.branch_type == BranchType::At)
    }

    /// Whether nothing is done about it until somebody decides.
    pub fn is_stuck(&self) -> bool {
        has_failed(self.status) || is_stopped(self.status)
    }

    /// These need not be told anything any more.
    pub(super) fn tell_no_more(&mut self, is: impl Fn(&Branch) -> bool) {
        let done = self.branches.extract_if(.., |branch| is(branch));
        self.told.extend(done);
    }

    pub(super) fn branch(&mut self, id: i64) -> Option<&mut Branch> {
        self.branches.iter_mut().find(|branch| branch.id == id)
    }

    /// The resource of a saga as a whole.
    pub(super) fn saga_resource(&self) -> String {
        format!("{}#{}", self.origin.application, self.origin.group)
    }
}

/// Whether a branch has said that it never can.
pub(crate) fn has_failed(status: GlobalStatus) -> bool {
    matches!(
        status,
        GlobalStatus::CommitFailed
            | GlobalStatus::RollbackFailed
            | GlobalStatus::TimeoutRollbackFailed
    )
}

/// Whether an operator wants the branches left alone.
pub(crate) fn is_stopped(status: GlobalStatus) -> bool {
    matches!(
        status,
        GlobalStatus::StopCommitOrCommitRetry | GlobalStatus::StopRollbackOrRollbackRetry
    )
}

impl Branch {
    /// Whether there is no second phase for it.
    pub(super) fn is_done(&self, commit: bool) -> bool {
        match self.status {
            BranchStatus::PhaseOneFailed => true,
            BranchStatus::PhaseOneReadOnly => commit && self.branch_type == BranchType::Xa,
            _ => false,
        }
    }
}
