//! A global transaction and its branches, as they are kept and as they stand in a snapshot.

use diwan_seata::{BranchStatus, BranchType, GlobalStatus};
use prost::Message;

use super::command::Begin;

/// A transaction.
#[derive(Clone, PartialEq, Message)]
pub struct Global {
    /// Its number.
    #[prost(sint64, tag = "1")]
    pub id: i64,
    /// Its name for clients: a label and the number.
    #[prost(string, tag = "2")]
    pub xid: String,
    /// Whose.
    #[prost(string, tag = "3")]
    pub application: String,
    /// Its group.
    #[prost(string, tag = "4")]
    pub group: String,
    /// What it is called.
    #[prost(string, tag = "5")]
    pub name: String,
    /// It may last so long.
    #[prost(uint32, tag = "6")]
    pub timeout_ms: u32,
    /// When it began, in the log's microseconds.
    #[prost(uint64, tag = "7")]
    pub begun_us: u64,
    /// Where it is.
    #[prost(uint32, tag = "8")]
    status: u32,
    /// In the order in which they were registered.
    #[prost(message, repeated, tag = "9")]
    pub branches: Vec<Branch>,
    /// How often its branches were told in vain.
    #[prost(uint32, tag = "10")]
    pub tries: u32,
    /// When something is to be done about it, in the log's microseconds; 0 for never.
    #[prost(uint64, tag = "11")]
    pub due_us: u64,
    /// Where the call for the saga as a whole is.
    #[prost(uint32, tag = "12")]
    pub saga_call: u32,
    /// What the last call in vain came to.
    #[prost(string, tag = "13")]
    pub trouble: String,
    /// The client that asked for the decision has been answered.
    #[prost(bool, tag = "14")]
    pub settled: bool,
    /// Boxed: most transactions that are open have none.
    #[prost(message, optional, boxed, tag = "15")]
    told: Option<Box<Told>>,
}

/// Branches that need not be told anything any more, in the order in which they came to that.
#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(message, repeated, tag = "1")]
    branches: Vec<Branch>,
}

/// A branch.
#[derive(Clone, PartialEq, Message)]
pub struct Branch {
    /// Its number.
    #[prost(sint64, tag = "1")]
    pub id: i64,
    #[prost(uint32, tag = "2")]
    branch_type: u32,
    /// What it changes.
    #[prost(string, tag = "3")]
    pub resource: String,
    /// Whose: `application:ip:port`.
    #[prost(string, tag = "4")]
    pub client: String,
    /// Its rows, as long as they are locked.
    #[prost(string, tag = "5")]
    pub lock_key: String,
    /// What it wants to be told.
    #[prost(string, tag = "6")]
    pub application_data: String,
    #[prost(uint32, tag = "7")]
    status: u32,
    /// Where the call to it is.
    #[prost(uint32, tag = "8")]
    pub call: u32,
}

/// A call that is to be made in this round.
pub(super) const TO_BE_CALLED: u32 = 0;
/// One that is on its way.
pub(super) const CALLED: u32 = 1;
/// One that was made in vain in this round.
pub(super) const IN_VAIN: u32 = 2;

impl Global {
    pub(super) fn begin(id: i64, begin: Begin, now_us: u64) -> Self {
        let mut global = Self {
            id,
            xid: format!("{}{id}", begin.label),
            application: begin.application,
            group: begin.group,
            name: begin.name,
            timeout_ms: begin.timeout_ms,
            begun_us: now_us,
            ..Self::default()
        };
        global.set_status(GlobalStatus::Begin);
        global.due_us = global.deadline_us();
        global
    }

    /// Where it is.
    pub fn status(&self) -> GlobalStatus {
        let byte = u8::try_from(self.status).ok();
        byte.and_then(GlobalStatus::from_byte)
            .unwrap_or(GlobalStatus::UnKnown)
    }

    pub(super) fn set_status(&mut self, status: GlobalStatus) {
        self.status = status.byte().into();
    }

    /// When its time is over.
    pub(super) fn deadline_us(&self) -> u64 {
        let timeout_us = u64::from(self.timeout_ms) * 1_000;
        self.begun_us.saturating_add(timeout_us)
    }

    /// Source: apache/incubator-seata:server/src/main/java/org/apache/seata/server/session/GlobalSession.java (`isSaga`).
    pub(super) fn is_saga(&self) -> bool {
        match self.branches.first() {
            Some(first) => first.branch_type() == BranchType::Saga,
            None => self.name.starts_with("$Saga_"),
        }
    }

    /// Whether all that a commit does to its branches can be done later.
    pub(super) fn is_at(&self) -> bool {
        let mut branches = self.branches.iter();
        !self.is_saga() && branches.all(|branch| branch.branch_type() == BranchType::At)
    }

    /// Whether nothing is done about it until somebody decides.
    pub fn is_stuck(&self) -> bool {
        matches!(
            self.status(),
            GlobalStatus::CommitFailed
                | GlobalStatus::RollbackFailed
                | GlobalStatus::TimeoutRollbackFailed
        )
    }

    /// Branches that need not be told anything any more.
    pub fn told(&self) -> &[Branch] {
        self.told.as_ref().map_or(&[], |told| &told.branches)
    }

    /// These need not be told anything any more.
    pub(super) fn tell_no_more(&mut self, is: impl Fn(&Branch) -> bool) {
        let done = self.branches.extract_if(.., |branch| is(branch));
        let done: Vec<Branch> = done.collect();
        if !done.is_empty() {
            let told = self.told.get_or_insert_default();
            told.branches.extend(done);
        }
    }

    pub(super) fn branch(&mut self, id: i64) -> Option<&mut Branch> {
        self.branches.iter_mut().find(|branch| branch.id == id)
    }

    /// The resource of a saga as a whole.
    pub(super) fn saga_resource(&self) -> String {
        format!("{}#{}", self.application, self.group)
    }
}

impl Branch {
    pub(super) fn new(id: i64, branch_type: BranchType) -> Self {
        Self {
            id,
            branch_type: branch_type.byte().into(),
            status: BranchStatus::Registered.byte().into(),
            ..Self::default()
        }
    }

    /// Its kind.
    pub fn branch_type(&self) -> BranchType {
        let byte = u8::try_from(self.branch_type).ok();
        byte.and_then(BranchType::from_byte)
            .unwrap_or(BranchType::At)
    }

    /// Where it is.
    pub fn status(&self) -> BranchStatus {
        let byte = u8::try_from(self.status).ok();
        byte.and_then(BranchStatus::from_byte)
            .unwrap_or(BranchStatus::Unknown)
    }

    pub(super) fn set_status(&mut self, status: BranchStatus) {
        self.status = status.byte().into();
    }

    /// Whether there is no second phase for it.
    pub(super) fn is_done(&self, commit: bool) -> bool {
        match self.status() {
            BranchStatus::PhaseOneFailed => true,
            BranchStatus::PhaseOneReadOnly => commit && self.branch_type() == BranchType::Xa,
            _ => false,
        }
    }
}
