//! The second phase: branches are told in order, in rounds, until each of them has done it.

use std::sync::Arc;

use diwan_seata::{BranchStatus, GlobalStatus};

use super::SAGA;
use super::command::Ended;
use super::coordinator::{Coordinator, Effect, branch_call, is_committing, saga_call};
use super::global::{Branch, CALLED, Global, IN_VAIN, TO_BE_CALLED};
use super::locks::{Locks, Owner, without};

/// An XA branch that its database does not know may not be there yet: for so long, or as long as its transaction may last.
/// Source: apache/incubator-seata:server/src/main/java/org/apache/seata/server/coordinator/DefaultCore.java (`isXaerNotaTimeout`).
const XAER_NOTA_US: u64 = 60_000_000;

/// What is done next about a transaction.
enum Next {
    /// Calls are on their way.
    Wait,
    /// There are more to be made.
    Call,
    /// Every branch was told.
    RoundOver,
}

impl Coordinator {
    /// A decision, and its first consequences.
    pub(super) fn decide(&mut self, id: i64, status: GlobalStatus) {
        let commit = is_committing(status);
        let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        global.status = status;
        self.due.remove(&(global.due_us, id));
        global.due_us = 0;
        // What is committed cannot be rolled back any more; what a branch that has failed or only read has locked, nobody needs.
        unlock(&mut self.locks, global, |branch| {
            commit || branch.is_done(commit)
        });
        if !global.is_saga() {
            global.tell_no_more(|branch| branch.is_done(commit));
        }
        self.go_on(id);
    }

    /// An operator's decision: it may turn round what was decided.
    pub(super) fn decide_again(&mut self, id: i64, commit: bool) {
        let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        self.due.remove(&(global.due_us, id));
        global.due_us = 0;
        global.status = match commit {
            true => GlobalStatus::CommitRetrying,
            false => GlobalStatus::RollbackRetrying,
        };
        begin_round(global);
        self.go_on(id);
    }

    /// The time of a transaction whose branches were told in vain.
    pub(super) fn try_again(&mut self, id: i64) {
        let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        self.due.remove(&(global.due_us, id));
        global.due_us = 0;
        begin_round(global);
        self.go_on(id);
    }

    /// A saga's engine has said that it is not done: it is asked to go on, after a while.
    pub(super) fn saga_waits(&mut self, id: i64, status: GlobalStatus) {
        if let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) {
            global.status = status;
            global.saga_call = IN_VAIN;
        }
        self.wait(id);
    }

    /// Tells the next branches, or ends the transaction, or waits.
    fn go_on(&mut self, id: i64) {
        let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        let status = global.status;
        let commit = is_committing(status);
        if global.is_saga() {
            if global.saga_call == TO_BE_CALLED {
                global.saga_call = CALLED;
                self.effects.push(saga_call(global, commit));
            }
            return;
        }
        if global.branches.is_empty() {
            return self.end(id, ended(status));
        }
        match next(global, commit) {
            Next::Wait => {}
            Next::Call => {
                let all_at_once = status == GlobalStatus::AsyncCommitting;
                let places: Vec<usize> = match commit {
                    true => (0..global.branches.len()).collect(),
                    false => (0..global.branches.len()).rev().collect(),
                };
                for place in places {
                    if global.branches[place].call == TO_BE_CALLED {
                        global.branches[place].call = CALLED;
                        let call = branch_call(global, &global.branches[place], commit);
                        self.effects.push(call);
                        if !all_at_once {
                            break;
                        }
                    }
                }
            }
            Next::RoundOver => {
                if let Some(retrying) = retrying(status) {
                    global.status = retrying;
                }
                self.wait(id);
            }
        }
    }

    /// Nothing more in this round.
    fn wait(&mut self, id: i64) {
        let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        let doublings = global.tries.min(20);
        global.tries = global.tries.saturating_add(1);
        let pause = self.config.first_retry_us << doublings;
        self.due.remove(&(global.due_us, id));
        global.due_us = self.now_us + pause.min(self.config.longest_retry_us);
        self.due.insert((global.due_us, id));
        self.settled(id);
    }

    fn settled(&mut self, id: i64) {
        if let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut)
            && !global.settled
        {
            global.settled = true;
            let status = global.status;
            self.effects.push(Effect::Settled {
                transaction: id,
                status,
            });
        }
    }

    /// A transaction is over.
    pub(super) fn end(&mut self, id: i64, status: GlobalStatus) {
        let Some(mut kept) = self.globals.remove(&id) else {
            return;
        };
        let global = Arc::make_mut(&mut kept);
        unlock(&mut self.locks, global, |_| true);
        self.due.remove(&(global.due_us, id));
        self.ended[usize::from(status.byte())] += 1;
        global.status = status;
        if !global.settled {
            self.effects.push(Effect::Settled {
                transaction: id,
                status,
            });
        }
        self.effects.push(Effect::Ended {
            global: kept,
            status,
        });
    }

    /// An operator wants its branches left alone.
    /// Source: apache/incubator-seata:server/src/main/java/org/apache/seata/server/console/impl/AbstractGlobalService.java
    /// (`stopGlobalRetry`).
    pub(super) fn stop(&mut self, id: i64, commits: bool) {
        let stopped = match commits {
            true => GlobalStatus::StopCommitOrCommitRetry,
            false => GlobalStatus::StopRollbackOrRollbackRetry,
        };
        self.fail(id, stopped);
    }

    /// An operator has looked after a branch. The others are told what they were to be told.
    pub(super) fn forget_branch(&mut self, id: i64, branch: i64) {
        let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        unlock(&mut self.locks, global, |one| one.id == branch);
        global.tell_no_more(|one| one.id == branch);
        self.told(id);
    }

    /// An operator wants this branch left alone; the others are told what they were to be told, also the older ones.
    /// Source: apache/incubator-seata:server/src/main/java/org/apache/seata/server/console/impl/AbstractBranchService.java
    /// (`stopBranchRetry`), server/coordinator/DefaultCore.java.
    pub(super) fn stop_branch(&mut self, id: i64, branch: i64) {
        let global = self.globals.get_mut(&id).map(Arc::make_mut);
        if let Some(branch) = global.and_then(|global| global.branch(branch)) {
            branch.status = BranchStatus::StopRetry;
            branch.call = IN_VAIN;
        }
        self.told(id);
    }

    /// A branch that was stopped is told again, now unless the transaction as a whole is left alone.
    pub(super) fn start_branch(&mut self, id: i64, branch: i64) {
        let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        if let Some(branch) = global.branch(branch) {
            branch.status = BranchStatus::Registered;
            branch.call = TO_BE_CALLED;
        }
        match global.due_us > 0 {
            true => self.try_again(id),
            false => self.told(id),
        }
    }

    /// An operator frees a row, whichever branch of the transaction has locked it.
    pub(super) fn free_row(&mut self, id: i64, resource: &str, row: &str) {
        let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        for branch in &mut global.branches {
            if *branch.resource == *resource {
                let owner = Owner {
                    transaction: id,
                    branch: branch.id,
                };
                self.locks.free(resource, row, owner);
                branch.lock_key = without(&branch.lock_key, row).into();
            }
        }
    }

    /// Goes on with the others once one need not be told any more, or was told in vain.
    fn told(&mut self, id: i64) {
        let Some(global) = self.globals.get(&id) else {
            return;
        };
        if !global.is_stuck() && global.due_us == 0 {
            self.go_on(id);
        } else if global.branches.is_empty() {
            let ended = self::ended(global.status);
            self.end(id, ended);
        }
    }

    /// A branch says that it never can: nothing is done any more until somebody decides.
    fn fail(&mut self, id: i64, status: GlobalStatus) {
        if let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) {
            self.due.remove(&(global.due_us, id));
            global.due_us = 0;
            global.status = status;
        }
        self.settled(id);
    }

    /// What came of a call.
    pub(super) fn call_ended(&mut self, ended: &Ended) {
        let id = ended.transaction;
        let status = ended.status.and_then(|status| u8::try_from(status).ok());
        let status = status.and_then(BranchStatus::from_byte);
        let now_us = self.now_us;
        let Some(global) = self.globals.get_mut(&id).map(Arc::make_mut) else {
            return;
        };
        // An answer to what was asked before an operator decided otherwise.
        if is_committing(global.status) != ended.commit || global.status == GlobalStatus::Begin {
            return;
        }
        if !ended.why.is_empty() {
            global.trouble = ended.why.as_str().into();
        }
        if ended.branch == SAGA {
            return self.saga_call_ended(id, ended.commit, status);
        }
        let nota_us = u64::from(global.timeout_ms) * 1_000;
        let nota_over = now_us
            > global
                .deadline_us()
                .saturating_add(nota_us.max(XAER_NOTA_US));
        let Some(branch) = global.branch(ended.branch) else {
            return;
        };
        let done = match status {
            Some(BranchStatus::PhaseTwoCommitted) => ended.commit,
            Some(BranchStatus::PhaseTwoRollbacked) => !ended.commit,
            Some(
                BranchStatus::PhaseTwoCommitFailedXaerNotaRetryable
                | BranchStatus::PhaseTwoRollbackFailedXaerNotaRetryable,
            ) => nota_over,
            Some(BranchStatus::PhaseTwoCommitFailedUnretryable) if ended.commit => {
                branch.call = IN_VAIN;
                return self.fail(id, GlobalStatus::CommitFailed);
            }
            Some(BranchStatus::PhaseTwoRollbackFailedUnretryable) if !ended.commit => {
                branch.call = IN_VAIN;
                let failed = match is_timeout(global.status) {
                    true => GlobalStatus::TimeoutRollbackFailed,
                    false => GlobalStatus::RollbackFailed,
                };
                return self.fail(id, failed);
            }
            _ => false,
        };
        if done {
            branch.status = match ended.commit {
                true => BranchStatus::PhaseTwoCommitted,
                false => BranchStatus::PhaseTwoRollbacked,
            };
            unlock(&mut self.locks, global, |branch| branch.id == ended.branch);
            global.tell_no_more(|branch| branch.id == ended.branch);
        } else if branch.call == CALLED {
            branch.call = IN_VAIN;
        } else {
            // The late answer to an earlier call.
            return;
        }
        self.told(id);
    }

    /// What the engine of a saga says.
    /// Source: apache/incubator-seata:server/src/main/java/org/apache/seata/server/transaction/saga/SagaCore.java.
    fn saga_call_ended(&mut self, id: i64, commit: bool, status: Option<BranchStatus>) {
        let Some(global) = self
            .globals
            .get(&id)
            .filter(|global| global.saga_call == CALLED)
        else {
            return;
        };
        let timed_out = is_timeout(global.status);
        match (status, commit) {
            (Some(BranchStatus::PhaseTwoCommitted), true) => self.end(id, GlobalStatus::Committed),
            (Some(BranchStatus::PhaseTwoRollbacked), true) => {
                self.end(id, GlobalStatus::Rollbacked)
            }
            (Some(BranchStatus::PhaseTwoRollbacked), false) => self.end(id, ended(global.status)),
            (Some(BranchStatus::PhaseOneFailed), true) => self.end(id, GlobalStatus::Finished),
            (Some(BranchStatus::PhaseTwoCommitFailedUnretryable), true) => {
                self.fail(id, GlobalStatus::CommitFailed);
            }
            (Some(BranchStatus::PhaseTwoRollbackFailedUnretryable), false) => {
                self.fail(
                    id,
                    match timed_out {
                        true => GlobalStatus::TimeoutRollbackFailed,
                        false => GlobalStatus::RollbackFailed,
                    },
                );
            }
            // It goes the other way from now on.
            (Some(BranchStatus::PhaseTwoRollbackFailedRetryable), true) => {
                self.saga_waits(id, GlobalStatus::RollbackRetrying);
            }
            (Some(BranchStatus::PhaseTwoCommitFailedRetryable), false) => {
                self.saga_waits(id, GlobalStatus::CommitRetrying);
            }
            (_, true) => self.saga_waits(id, GlobalStatus::CommitRetrying),
            (_, false) => self.saga_waits(
                id,
                match timed_out {
                    true => GlobalStatus::TimeoutRollbackRetrying,
                    false => GlobalStatus::RollbackRetrying,
                },
            ),
        }
    }
}

/// Frees what these branches have locked. A row that a later branch of the transaction has locked too is that one's then: it may
/// have to be rolled back yet.
fn unlock(locks: &mut Locks, global: &mut Global, these: impl Fn(&Branch) -> bool) {
    let transaction = global.id;
    // The last one first: what goes too has no rows any more when what came before it looks for an heir.
    for place in (0..global.branches.len()).rev() {
        let (before, heirs) = global.branches.split_at_mut(place + 1);
        let branch = &mut before[place];
        if branch.lock_key.is_empty() || !these(branch) {
            continue;
        }
        let lock_key = std::mem::take(&mut branch.lock_key);
        let owner = |branch: &Branch| Owner {
            transaction,
            branch: branch.id,
        };
        locks.free(&branch.resource, &lock_key, owner(branch));
        for heir in heirs {
            if !heir.lock_key.is_empty() && heir.resource == branch.resource {
                locks.lock(&heir.resource, &heir.lock_key, owner(heir));
            }
        }
    }
}

fn begin_round(global: &mut Global) {
    global.saga_call = TO_BE_CALLED;
    for branch in &mut global.branches {
        if branch.status != BranchStatus::StopRetry {
            branch.call = TO_BE_CALLED;
        }
    }
}

fn next(global: &Global, commit: bool) -> Next {
    // What an operator has stopped holds nobody else up.
    let told = global.branches.iter();
    let told = told.filter(|branch| branch.status != BranchStatus::StopRetry);
    let any = |call| told.clone().any(|branch| branch.call == call);
    if any(CALLED) {
        Next::Wait
    } else if !commit && any(IN_VAIN) {
        // What came before a branch is rolled back after it.
        Next::RoundOver
    } else if any(TO_BE_CALLED) {
        Next::Call
    } else {
        Next::RoundOver
    }
}

fn is_timeout(status: GlobalStatus) -> bool {
    matches!(
        status,
        GlobalStatus::TimeoutRollbacking
            | GlobalStatus::TimeoutRollbackRetrying
            | GlobalStatus::TimeoutRollbackFailed
    )
}

/// What a transaction in this status is once its branches have all been told.
fn ended(status: GlobalStatus) -> GlobalStatus {
    match status {
        _ if is_committing(status) => GlobalStatus::Committed,
        _ if is_timeout(status) => GlobalStatus::TimeoutRollbacked,
        _ => GlobalStatus::Rollbacked,
    }
}

/// What a transaction in this status is after a round in vain.
fn retrying(status: GlobalStatus) -> Option<GlobalStatus> {
    match status {
        GlobalStatus::Committing => Some(GlobalStatus::CommitRetrying),
        GlobalStatus::Rollbacking => Some(GlobalStatus::RollbackRetrying),
        GlobalStatus::TimeoutRollbacking => Some(GlobalStatus::TimeoutRollbackRetrying),
        _ => None,
    }
}
