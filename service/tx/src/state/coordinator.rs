//! The transactions, and what clients ask of them. Sources of what each request does: apache/incubator-seata:
//! server/src/main/java/org/apache/seata/server/{coordinator/{DefaultCore,AbstractCore},transaction/{at/ATCore,saga/SagaCore}}.java.

use std::collections::BTreeSet;
use std::sync::Arc;

use diwan_log::Table;
use diwan_seata::{BranchEnd, BranchStatus, BranchType, ExceptionCode, GlobalStatus};
use serde_json::Value;

use super::command::{
    Answer, Begin, Decision, GlobalReport, Kind, Operate, Operation, Register, Report,
};
use super::global::{Branch, CALLED, Global, Origin, TO_BE_CALLED};
use super::locks::{Locks, Owner};
use super::record::Pools;

/// Bounds and times.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Transactions that are open at a time.
    pub transactions_max: usize,
    /// Branches of one transaction.
    pub branches_max: usize,
    /// Rows that one branch locks.
    pub rows_max: usize,
    /// Bytes of what a branch wants to be told.
    pub data_bytes_max: usize,
    /// After so long what was done in vain is tried again, in microseconds; each time twice as long.
    pub first_retry_us: u64,
    /// But not longer than this.
    pub longest_retry_us: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            transactions_max: 1_000_000,
            branches_max: 10_000,
            rows_max: 100_000,
            data_bytes_max: 1 << 20,
            first_retry_us: 1_000_000,
            longest_retry_us: 30_000_000,
        }
    }
}

/// What is to be done in the world, by the node that leads.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A branch is to be told to commit or to roll back, until [`Kind::Ended`] says what came of it.
    Call {
        /// Which transaction.
        transaction: i64,
        /// Commit, or roll back.
        commit: bool,
        /// What the branch is told.
        end: BranchEnd,
        /// Whose it is: `application:ip:port`; empty for a saga.
        client: String,
    },
    /// All branches were told once: whoever asked for the decision can be answered.
    Settled {
        /// Which transaction.
        transaction: i64,
        /// Where it is.
        status: GlobalStatus,
    },
    /// A transaction has ended and is forgotten.
    Ended {
        /// It, as it was at last.
        global: Arc<Global>,
        /// How.
        status: GlobalStatus,
    },
}

/// A row and who has locked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockView {
    /// Database.
    pub resource: String,
    /// `table:key`.
    pub row: String,
    /// Of which transaction.
    pub transaction: i64,
    /// By which branch.
    pub branch: i64,
}

/// The state.
#[derive(Debug)]
pub struct Coordinator {
    pub(super) config: Config,
    pub(super) globals: Table<i64, Arc<Global>>,
    pub(super) pools: Pools,
    pub(super) locks: Locks,
    /// When something is to be done about which transaction.
    pub(super) due: BTreeSet<(u64, i64)>,
    /// Of a transaction or branch.
    pub(super) last_id: i64,
    /// The log's time, in microseconds.
    pub(super) now_us: u64,
    /// How many have begun and ended since this process knows, by how they ended.
    pub(super) begun: u64,
    pub(super) ended: [u64; GlobalStatus::ALL.len()],
    pub(super) effects: Vec<Effect>,
}

/// Transactions that one [`Kind::Tick`] looks at.
const TICK_MAX: usize = 1_000;

/// Numbers are times: milliseconds since 2020 in the upper bits, so that a coordinator that has lost its data gives none again that
/// stands in undo logs and fences.
const EPOCH_MS: u64 = 1_577_836_800_000;
const SEQUENCE_BITS: u32 = 22;

impl Coordinator {
    /// Nothing is known. `seed` is a secret of this process.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            globals: Table::new(seed),
            pools: Pools::default(),
            locks: Locks::default(),
            due: BTreeSet::new(),
            last_id: 0,
            now_us: 0,
            begun: 0,
            ended: [0; GlobalStatus::ALL.len()],
            effects: Vec::new(),
        }
    }

    /// Carries out an operation at a time of the log, in microseconds.
    pub fn apply(&mut self, operation: Operation, now_us: u64) -> Answer {
        self.now_us = self.now_us.max(now_us);
        match operation.kind {
            Some(Kind::Begin(begin)) => self.begin(begin),
            Some(Kind::Register(register)) => self.register(register),
            Some(Kind::Report(report)) => self.report(report),
            Some(Kind::Commit(id)) => self.commit(id),
            Some(Kind::Rollback(id)) => self.rollback(id),
            Some(Kind::GlobalReport(report)) => self.global_report(&report),
            Some(Kind::Ended(ended)) => {
                self.call_ended(&ended);
                Answer::default()
            }
            Some(Kind::Tick(_)) => {
                self.tick();
                Answer::default()
            }
            Some(Kind::Operate(operate)) => self.operate(&operate),
            Some(Kind::TryNow(id)) => {
                if self.waits(id) {
                    self.try_again(id);
                }
                Answer::default()
            }
            None => Answer::refusal(
                ExceptionCode::Unknown,
                "an operation of another version of Diwan".to_owned(),
            ),
        }
    }

    /// What is to be done in the world since this was last asked.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// When [`Kind::Tick`] has something to do, by the log's time in microseconds.
    pub fn next_due_us(&self) -> Option<u64> {
        self.due.first().map(|(due_us, _)| *due_us)
    }

    /// The log's time of the last operation, in microseconds.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Where a transaction is. One that is not known has finished, or never began.
    pub fn status(&self, id: i64) -> GlobalStatus {
        self.globals
            .get(&id)
            .map_or(GlobalStatus::Finished, |global| global.status)
    }

    /// A transaction.
    pub fn global(&self, id: i64) -> Option<&Global> {
        self.globals.get(&id).map(Arc::as_ref)
    }

    /// All transactions that are open, in no order.
    pub fn globals(&self) -> impl Iterator<Item = &Global> {
        self.globals.iter().map(|(_, global)| &**global)
    }

    /// How many transactions are open.
    pub fn len(&self) -> usize {
        self.globals.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.globals.is_empty()
    }

    /// How many have begun since this process knows of them.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// How many have ended since this process knows of them, by how.
    pub fn ended(&self) -> impl Iterator<Item = (GlobalStatus, u64)> {
        GlobalStatus::ALL.iter().copied().zip(self.ended)
    }

    /// How many rows are locked.
    pub fn locked_rows(&self) -> usize {
        self.locks.count()
    }

    /// All locks, in no order.
    pub fn locks(&self) -> impl Iterator<Item = LockView> {
        self.locks.iter().map(|(resource, row, owner)| LockView {
            resource: resource.to_owned(),
            row: row.to_owned(),
            transaction: owner.transaction,
            branch: owner.branch,
        })
    }

    /// Whether a transaction could lock rows now.
    pub fn is_lockable(&self, resource: &str, lock_key: &str, transaction: i64) -> bool {
        self.locks
            .conflict(resource, lock_key, transaction)
            .is_none()
    }

    /// Whether a transaction waits until its branches are told again.
    fn waits(&self, id: i64) -> bool {
        let global = self.globals.get(&id);
        global.is_some_and(|global| global.due_us > 0 && global.status != GlobalStatus::Begin)
    }

    /// The transactions that wait until one of these resources is told again.
    pub fn waiting_for(&self, is: impl Fn(&str) -> bool) -> Vec<i64> {
        let due = self.due.iter().filter(|(_, id)| self.waits(*id));
        let due = due.filter(|(_, id)| {
            self.globals.get(id).is_some_and(|global| {
                let mut branches = global.branches.iter();
                branches.any(|branch| is(&branch.resource))
                    || global.is_saga() && is(&global.saga_resource())
            })
        });
        due.map(|(_, id)| *id).collect()
    }

    /// The calls that are on their way: a node that begins to lead makes them again.
    pub fn outstanding(&self) -> Vec<Effect> {
        let mut calls = Vec::new();
        for global in self.globals() {
            let commit = is_committing(global.status);
            if global.saga_call == CALLED {
                calls.push(saga_call(global, commit));
            }
            let called = global.branches.iter();
            let called = called.filter(|branch| branch.call == CALLED);
            calls.extend(called.map(|branch| branch_call(global, branch, commit)));
        }
        calls
    }

    fn next_id(&mut self) -> i64 {
        let ms = (self.now_us / 1_000).saturating_sub(EPOCH_MS);
        let from_time = i64::try_from(ms << SEQUENCE_BITS).unwrap_or(i64::MAX / 2);
        self.last_id = from_time.max(self.last_id + 1);
        self.last_id
    }

    fn begin(&mut self, begin: Begin) -> Answer {
        let limit = self.config.transactions_max;
        if self.globals.len() >= limit {
            let why = format!("{limit} transactions are open");
            return Answer::refusal(ExceptionCode::BeginFailed, why);
        }
        self.begun += 1;
        let id = self.next_id();
        let origin = self.pools.origins.share(Origin {
            label: begin.label,
            application: begin.application,
            group: begin.group,
            name: begin.name,
        });
        let global = Global::begin(id, origin, begin.timeout_ms, self.now_us);
        self.due.insert((global.due_us, id));
        self.globals.insert(id, Arc::new(global));
        Answer::id(id)
    }

    fn register(&mut self, register: Register) -> Answer {
        let id = register.transaction;
        let Some(global) = self.globals.get(&id) else {
            return not_there(id);
        };
        let branch_type = u8::try_from(register.branch_type).ok();
        let Some(branch_type) = branch_type.and_then(BranchType::from_byte) else {
            return refuse_branch("it is of no kind that is known");
        };
        // A saga adds steps while it is compensated.
        if branch_type != BranchType::Saga && global.status != GlobalStatus::Begin {
            let why = format!("transaction {} is {}", global.xid(), global.status);
            return Answer::refusal(ExceptionCode::GlobalTransactionNotActive, why);
        }
        let Config {
            branches_max,
            rows_max,
            data_bytes_max,
            ..
        } = self.config;
        if global.branches.len() >= branches_max {
            return refuse_branch(&format!("{branches_max} branches take part already"));
        }
        if register.application_data.len() > data_bytes_max {
            return refuse_branch(&format!("its data have more than {data_bytes_max} bytes"));
        }
        let locks = match branch_type {
            BranchType::At => register.lock_key.as_str(),
            BranchType::Tcc | BranchType::Saga | BranchType::SagaAnnotation | BranchType::Xa => "",
        };
        if Locks::rows_of(locks) > rows_max {
            return refuse_branch(&format!("it locks more than {rows_max} rows"));
        }
        if let Some(owner) = self.locks.conflict(&register.resource, locks, id) {
            return self.refuse_locks(owner, &register.application_data);
        }
        let branch_id = self.next_id();
        let owner = Owner {
            transaction: id,
            branch: branch_id,
        };
        self.locks.lock(&register.resource, locks, owner);
        let branch = Branch {
            id: branch_id,
            branch_type,
            lock_key: locks.into(),
            resource: self.pools.names.share(register.resource),
            client: self.pools.names.share(register.client),
            application_data: register.application_data.into(),
            status: BranchStatus::Registered,
            call: TO_BE_CALLED,
        };
        if let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) {
            global.branches.push(branch);
        }
        Answer::id(branch_id)
    }

    /// Clients wait for a row and try again, unless its owner is being rolled back and waits for them: they hold the database's own
    /// lock if they do not commit by themselves.
    fn refuse_locks(&self, owner: Owner, application_data: &str) -> Answer {
        let xid = self
            .globals
            .get(&owner.transaction)
            .map(|global| global.xid());
        let why = format!(
            "a row is locked by transaction {}, branch {}",
            xid.as_deref().unwrap_or("?"),
            owner.branch
        );
        let rolls_back = matches!(
            self.status(owner.transaction),
            GlobalStatus::Rollbacking
                | GlobalStatus::RollbackRetrying
                | GlobalStatus::TimeoutRollbacking
                | GlobalStatus::TimeoutRollbackRetrying
        );
        let code = match rolls_back && !commits_by_itself(application_data) {
            true => ExceptionCode::LockKeyConflictFailFast,
            false => ExceptionCode::LockKeyConflict,
        };
        Answer::refusal(code, why)
    }

    fn report(&mut self, report: Report) -> Answer {
        let id = report.transaction;
        let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) else {
            return not_there(id);
        };
        let Some(branch) = global.branch(report.branch) else {
            let why = format!("transaction {id} has no branch {}", report.branch);
            return Answer::refusal(ExceptionCode::BranchTransactionNotExist, why);
        };
        let status = u8::try_from(report.status).ok();
        let Some(status) = status.and_then(BranchStatus::from_byte) else {
            let why = format!("a branch has no status {}", report.status);
            return Answer::refusal(ExceptionCode::BranchReportFailed, why);
        };
        if !report.application_data.is_empty() {
            branch.application_data = report.application_data.into();
        }
        // What its call comes to counts more than what was said while it was on its way.
        if branch.call == TO_BE_CALLED {
            branch.status = status;
        }
        Answer::default()
    }

    fn commit(&mut self, id: i64) -> Answer {
        let Some(global) = self.globals.get(&id) else {
            return Answer::status(GlobalStatus::Finished);
        };
        match global.status {
            GlobalStatus::Begin if global.deadline_us() < self.now_us => {
                self.decide(id, GlobalStatus::TimeoutRollbacking);
                Answer::status(GlobalStatus::TimeoutRollbacking)
            }
            GlobalStatus::Begin if global.is_at() => {
                self.decide(id, GlobalStatus::AsyncCommitting);
                Answer::status(GlobalStatus::Committed)
            }
            GlobalStatus::Begin => self.decide_and_wait(id, GlobalStatus::Committing),
            GlobalStatus::AsyncCommitting => Answer::status(GlobalStatus::Committed),
            status => Answer::status(status),
        }
    }

    fn rollback(&mut self, id: i64) -> Answer {
        match self.globals.get(&id).map(|global| global.status) {
            None => Answer::status(GlobalStatus::Finished),
            Some(GlobalStatus::Begin) => self.decide_and_wait(id, GlobalStatus::Rollbacking),
            Some(status) => Answer::status(status),
        }
    }

    fn decide_and_wait(&mut self, id: i64, status: GlobalStatus) -> Answer {
        self.decide(id, status);
        match self.globals.get(&id).is_some() {
            true => Answer::waiting(status),
            // Nobody had to be told.
            false if status == GlobalStatus::Committing => Answer::status(GlobalStatus::Committed),
            false => Answer::status(GlobalStatus::Rollbacked),
        }
    }

    fn global_report(&mut self, report: &GlobalReport) -> Answer {
        let id = report.transaction;
        let status = u8::try_from(report.status).ok();
        let Some(status) = status.and_then(GlobalStatus::from_byte) else {
            let why = format!("a transaction has no status {}", report.status);
            return Answer::refusal(ExceptionCode::GlobalTransactionStatusInvalid, why);
        };
        let Some(global) = self.globals.get(&id) else {
            return Answer::status(status);
        };
        if !global.is_saga() {
            return Answer::status(global.status);
        }
        match status {
            GlobalStatus::Committed => self.end(id, GlobalStatus::Committed),
            GlobalStatus::Rollbacked => self.end(id, GlobalStatus::Rollbacked),
            GlobalStatus::Finished => self.end(id, GlobalStatus::Finished),
            GlobalStatus::RollbackRetrying
            | GlobalStatus::TimeoutRollbackRetrying
            | GlobalStatus::UnKnown => self.saga_waits(id, GlobalStatus::RollbackRetrying),
            GlobalStatus::CommitRetrying => self.saga_waits(id, GlobalStatus::CommitRetrying),
            _ => {
                if let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) {
                    global.status = status;
                }
            }
        }
        Answer::status(status)
    }

    fn tick(&mut self) {
        let due = self.due.iter();
        let due = due.take_while(|(due_us, _)| *due_us <= self.now_us);
        let due: Vec<i64> = due.take(TICK_MAX).map(|(_, id)| *id).collect();
        for id in due {
            match self.status(id) {
                GlobalStatus::Begin => self.decide(id, GlobalStatus::TimeoutRollbacking),
                _ => self.try_again(id),
            }
        }
    }

    fn operate(&mut self, operate: &Operate) -> Answer {
        let id = operate.transaction;
        let Some(global) = self.globals.get(&id) else {
            return not_there(id);
        };
        let status = global.status;
        let commits = is_committing(status);
        match Decision::from_number(operate.decision) {
            Some(Decision::Retry) if status == GlobalStatus::Begin => {
                let why = format!("transaction {id} is not decided yet");
                return Answer::refusal(ExceptionCode::GlobalTransactionStatusInvalid, why);
            }
            Some(Decision::Retry) => self.decide_again(id, commits),
            Some(Decision::Commit) if status == GlobalStatus::Begin => {
                return self.commit(id);
            }
            Some(Decision::Rollback) if status == GlobalStatus::Begin => {
                return self.rollback(id);
            }
            Some(Decision::Commit) => self.decide_again(id, true),
            Some(Decision::Rollback) => self.decide_again(id, false),
            Some(Decision::Forget) => self.end(id, GlobalStatus::Finished),
            Some(
                Decision::Stop
                | Decision::ForgetBranch
                | Decision::StopBranch
                | Decision::StartBranch,
            ) if status == GlobalStatus::Begin => {
                let why = format!("transaction {id} is not decided yet");
                return Answer::refusal(ExceptionCode::GlobalTransactionStatusInvalid, why);
            }
            Some(Decision::Stop) if global.is_stuck() => {
                let why = format!(
                    "nothing is done about transaction {id}: it is {}",
                    status.name()
                );
                return Answer::refusal(ExceptionCode::GlobalTransactionStatusInvalid, why);
            }
            Some(Decision::Stop) => self.stop(id, commits),
            Some(
                decision @ (Decision::ForgetBranch | Decision::StopBranch | Decision::StartBranch),
            ) => {
                let branch = operate.branch;
                if let Err(refusal) = may_operate(global, branch, decision) {
                    return refusal;
                }
                match decision {
                    Decision::StopBranch => self.stop_branch(id, branch),
                    Decision::StartBranch => self.start_branch(id, branch),
                    _ => self.forget_branch(id, branch),
                }
            }
            Some(Decision::FreeRow) => {
                let (resource, row) = (&operate.resource, &operate.row);
                if !self.locks.has(resource, row, id) {
                    let why = format!("transaction {id} has not locked row {row} of {resource}");
                    return Answer::refusal(ExceptionCode::Unknown, why);
                }
                self.free_row(id, resource, row);
            }
            None => {
                let why = "a decision of another version of Diwan".to_owned();
                return Answer::refusal(ExceptionCode::Unknown, why);
            }
        }
        Answer::status(self.status(id))
    }

    /// What stands in a snapshot comes back.
    pub(super) fn put_back(&mut self, global: Global) {
        for branch in &global.branches {
            let owner = Owner {
                transaction: global.id,
                branch: branch.id,
            };
            self.locks.lock(&branch.resource, &branch.lock_key, owner);
        }
        if global.due_us > 0 {
            self.due.insert((global.due_us, global.id));
        }
        self.globals.insert(global.id, Arc::new(global));
    }
}

/// Whether the branches of a transaction in this status are to be committed.
pub(super) fn is_committing(status: GlobalStatus) -> bool {
    matches!(
        status,
        GlobalStatus::Committing
            | GlobalStatus::CommitRetrying
            | GlobalStatus::AsyncCommitting
            | GlobalStatus::Committed
            | GlobalStatus::CommitFailed
            | GlobalStatus::StopCommitOrCommitRetry
    )
}

pub(super) fn branch_call(global: &Global, branch: &Branch, commit: bool) -> Effect {
    Effect::Call {
        transaction: global.id,
        commit,
        end: BranchEnd {
            xid: global.xid(),
            branch_id: branch.id,
            branch_type: branch.branch_type,
            resource_id: branch.resource.to_string(),
            application_data: branch.application_data.to_string(),
        },
        client: branch.client.to_string(),
    }
}

/// The saga's own engine does what is to be done; it is told the status by its name.
pub(super) fn saga_call(global: &Global, commit: bool) -> Effect {
    Effect::Call {
        transaction: global.id,
        commit,
        end: BranchEnd {
            xid: global.xid(),
            branch_id: super::SAGA,
            branch_type: BranchType::Saga,
            resource_id: global.saga_resource(),
            application_data: global.status.name().to_owned(),
        },
        client: String::new(),
    }
}

/// What an AT client says of itself in its branch's data.
/// Source: apache/incubator-seata:server/src/main/java/org/apache/seata/server/transaction/at/ATCore.java.
fn commits_by_itself(application_data: &str) -> bool {
    if !application_data.contains("autoCommit") {
        return true;
    }
    let data = serde_json::from_str::<Value>(application_data);
    data.ok().and_then(|data| data.get("autoCommit")?.as_bool()) != Some(false)
}

/// Whether an operator may decide about one branch alone, or why not.
fn may_operate(global: &Global, branch: i64, decision: Decision) -> Result<(), Answer> {
    let id = global.id;
    if global.is_saga() {
        let why = "the branches of a saga are its engine's".to_owned();
        return Err(Answer::refusal(ExceptionCode::Unknown, why));
    }
    let Some(found) = global.branches.iter().find(|one| one.id == branch) else {
        let why = format!("transaction {id} has no branch {branch}, or it was told");
        return Err(Answer::refusal(
            ExceptionCode::BranchTransactionNotExist,
            why,
        ));
    };
    let is_stopped = found.status == BranchStatus::StopRetry;
    let why = match decision {
        Decision::StopBranch if is_stopped => "is stopped already",
        Decision::StartBranch if !is_stopped => "is not stopped",
        _ => return Ok(()),
    };
    let why = format!("branch {branch} of transaction {id} {why}");
    Err(Answer::refusal(ExceptionCode::Unknown, why))
}

fn not_there(id: i64) -> Answer {
    Answer::refusal(
        ExceptionCode::GlobalTransactionNotExist,
        format!("there is no transaction {id}, or it has finished"),
    )
}

fn refuse_branch(why: &str) -> Answer {
    Answer::refusal(
        ExceptionCode::FailedToAddBranch,
        format!("the branch is refused: {why}"),
    )
}
