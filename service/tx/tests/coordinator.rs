//! The coordinator in virtual time: what each request does, and that no schedule of calls, failures and changes of leader leaves a
//! transaction half done.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};

use diwan_seata::{BranchStatus, BranchType, ExceptionCode, GlobalStatus};
use diwan_tx::state::{
    Answer, Begin, Config, Coordinator, Decision, Effect, Ended, GlobalReport, Kind, Operate,
    Register, Report, SAGA,
};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000;
const NOON: u64 = 1_800_000_000 * SECOND;

/// A coordinator, and the calls that it wants made.
struct World {
    state: Coordinator,
    now_us: u64,
    calls: Vec<Call>,
    settled: Vec<(i64, GlobalStatus)>,
    ended: Vec<(i64, GlobalStatus)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Call {
    transaction: i64,
    branch: i64,
    commit: bool,
    resource: String,
    data: String,
}

impl World {
    fn new() -> Self {
        Self {
            state: Coordinator::new(Config::default(), 1),
            now_us: NOON,
            calls: Vec::new(),
            settled: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn apply(&mut self, kind: Kind) -> Answer {
        let answer = self.state.apply(kind.into(), self.now_us);
        let effects = self.state.effects();
        self.perform(effects);
        answer
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Call {
                    transaction,
                    commit,
                    end,
                    ..
                } => self.calls.push(Call {
                    transaction,
                    branch: end.branch_id,
                    commit,
                    resource: end.resource_id,
                    data: end.application_data,
                }),
                Effect::Settled {
                    transaction,
                    status,
                } => self.settled.push((transaction, status)),
                Effect::Ended { global, status } => self.ended.push((global.id, status)),
            }
        }
    }

    fn begin(&mut self, name: &str) -> i64 {
        let begin = Begin {
            label: "127.0.0.1:8091:".into(),
            application: "app".into(),
            group: "group".into(),
            name: name.into(),
            timeout_ms: 60_000,
        };
        self.apply(Kind::Begin(begin)).id
    }

    fn register(
        &mut self,
        transaction: i64,
        branch_type: BranchType,
        resource: &str,
        lock_key: &str,
    ) -> Answer {
        self.apply(Kind::Register(Register {
            transaction,
            branch_type: branch_type.byte().into(),
            resource: resource.into(),
            client: "app:10.0.0.1:4000".into(),
            lock_key: lock_key.into(),
            application_data: format!("data of {resource}"),
        }))
    }

    fn operate(&mut self, transaction: i64, decision: Decision, branch: i64) -> Answer {
        self.apply(Kind::Operate(Operate {
            transaction,
            decision: decision as u32,
            branch,
            ..Operate::default()
        }))
    }

    /// The branch says that its first phase has failed.
    fn fail(&mut self, transaction: i64, branch: i64) -> Answer {
        self.apply(Kind::Report(Report {
            transaction,
            branch,
            status: BranchStatus::PhaseOneFailed.byte().into(),
            ..Report::default()
        }))
    }

    /// Which rows are locked, and whose they are.
    fn locked(&self) -> BTreeMap<String, (i64, i64)> {
        let locks = self.state.locks();
        locks
            .map(|lock| (lock.row, (lock.transaction, lock.branch)))
            .collect()
    }

    fn tcc(&mut self, transaction: i64, resource: &str) -> i64 {
        let answer = self.register(transaction, BranchType::Tcc, resource, "");
        assert_eq!(answer.refused, None);
        answer.id
    }

    fn end(&mut self, call: &Call, status: Option<BranchStatus>) {
        self.apply(Kind::Ended(Ended {
            transaction: call.transaction,
            branch: call.branch,
            commit: call.commit,
            status: status.map(|status| status.byte().into()),
            why: if status.is_none() {
                "nobody".into()
            } else {
                String::new()
            },
        }));
    }

    fn take(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    fn resources(&self) -> Vec<&str> {
        self.calls.iter().map(|call| &*call.resource).collect()
    }

    /// Time passes, and the log is told so.
    fn pass(&mut self, us: u64) {
        self.now_us += us;
        self.apply(Kind::Tick(0));
    }

    fn status(&self, transaction: i64) -> GlobalStatus {
        self.state.status(transaction)
    }
}

fn status(answer: &Answer) -> GlobalStatus {
    GlobalStatus::from_byte(u8::try_from(answer.status).unwrap()).unwrap()
}

fn code(answer: &Answer) -> ExceptionCode {
    assert!(answer.refused.is_some());
    ExceptionCode::from_byte(u8::try_from(answer.code).unwrap()).unwrap()
}

const COMMITTED: Option<BranchStatus> = Some(BranchStatus::PhaseTwoCommitted);
const ROLLBACKED: Option<BranchStatus> = Some(BranchStatus::PhaseTwoRollbacked);

#[test]
fn empty_transactions_end_at_once_and_numbers_grow_with_time() {
    let mut world = World::new();
    let (one, other) = (world.begin("a"), world.begin("b"));
    assert!(one < other);
    assert_eq!(
        status(&world.apply(Kind::Commit(one))),
        GlobalStatus::Committed
    );
    assert_eq!(
        status(&world.apply(Kind::Rollback(other))),
        GlobalStatus::Rollbacked
    );
    assert_eq!(
        status(&world.apply(Kind::Commit(one))),
        GlobalStatus::Finished
    );
    assert!(world.state.is_empty() && world.state.next_due_us().is_none());
    world.pass(SECOND);
    // One that has lost its data gives none of these again.
    let mut again = World::new();
    again.now_us = world.now_us;
    assert!(again.begin("c") > other);
}

#[test]
fn commits_are_told_in_order_and_rollbacks_backwards() {
    for commit in [true, false] {
        let mut world = World::new();
        let id = world.begin("t");
        world.tcc(id, "a");
        world.tcc(id, "b");
        let decision = if commit {
            Kind::Commit(id)
        } else {
            Kind::Rollback(id)
        };
        let answer = world.apply(decision);
        assert!(answer.waiting);
        let mut seen = Vec::new();
        while let Some(call) = world.calls.pop() {
            assert!(world.calls.is_empty(), "one after the other");
            assert_eq!(call.data, format!("data of {}", call.resource));
            seen.push(call.resource.clone());
            world.end(&call, if commit { COMMITTED } else { ROLLBACKED });
        }
        let (order, end) = match commit {
            true => (["a", "b"], GlobalStatus::Committed),
            false => (["b", "a"], GlobalStatus::Rollbacked),
        };
        assert_eq!(seen, order);
        assert_eq!(
            (world.settled, world.ended),
            (vec![(id, end)], vec![(id, end)])
        );
        assert!(world.state.is_empty());
    }
}

#[test]
fn what_was_told_in_vain_is_told_again_after_longer_and_longer() {
    let mut world = World::new();
    let id = world.begin("t");
    world.tcc(id, "a");
    world.tcc(id, "b");
    world.apply(Kind::Commit(id));
    let mut pauses = Vec::new();
    for attempt in 0..8 {
        let call = world.take().remove(0);
        assert_eq!(call.resource, "a");
        world.end(&call, None);
        if attempt == 0 {
            // The other one is told all the same.
            let other = world.take().remove(0);
            world.end(&other, COMMITTED);
            assert_eq!(world.settled, [(id, GlobalStatus::CommitRetrying)]);
        }
        assert!(world.calls.is_empty());
        let due = world.state.next_due_us().unwrap();
        pauses.push((due - world.now_us) / SECOND);
        world.pass(due - world.now_us);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    assert_eq!(&*world.state.global(id).unwrap().trouble, "nobody");
    // The late answer to the first call counts, too.
    let call = world.take().remove(0);
    world.end(&call, COMMITTED);
    world.end(&call, COMMITTED);
    assert_eq!(world.ended, [(id, GlobalStatus::Committed)]);
    assert_eq!(world.settled.len(), 1, "whoever asked is answered once");
}

#[test]
fn a_rollback_goes_no_further_back_than_what_is_not_rolled_back() {
    let mut world = World::new();
    let id = world.begin("t");
    world.tcc(id, "a");
    world.tcc(id, "b");
    world.apply(Kind::Rollback(id));
    let call = world.take().remove(0);
    world.end(&call, Some(BranchStatus::PhaseTwoRollbackFailedRetryable));
    assert!(world.calls.is_empty());
    assert_eq!(world.status(id), GlobalStatus::RollbackRetrying);
    world.pass(SECOND);
    assert_eq!(world.resources(), ["b"]);
    let call = world.take().remove(0);
    world.end(&call, ROLLBACKED);
    assert_eq!(world.resources(), ["a"]);
}

#[test]
fn who_comes_back_is_told_at_once() {
    let mut world = World::new();
    let id = world.begin("t");
    world.tcc(id, "a");
    world.apply(Kind::Commit(id));
    let call = world.take().remove(0);
    world.end(&call, None);
    assert!(
        world
            .state
            .waiting_for(|resource| resource == "b")
            .is_empty()
    );
    assert_eq!(world.state.waiting_for(|resource| resource == "a"), [id]);
    world.apply(Kind::TryNow(id));
    assert_eq!(world.take().len(), 1);
    world.apply(Kind::TryNow(id));
    assert_eq!(world.take().len(), 0, "it is being told already");
}

#[test]
fn time_that_is_over_rolls_back_and_a_late_commit_hears_so() {
    let mut world = World::new();
    let (one, other) = (world.begin("a"), world.begin("b"));
    world.tcc(one, "x");
    world.now_us += 61 * SECOND;
    let answer = world.apply(Kind::Commit(one));
    assert_eq!(status(&answer), GlobalStatus::TimeoutRollbacking);
    world.pass(0);
    assert_eq!(world.ended, [(other, GlobalStatus::TimeoutRollbacked)]);
    let call = world.take().remove(0);
    assert!(!call.commit);
    world.end(&call, None);
    assert_eq!(world.status(one), GlobalStatus::TimeoutRollbackRetrying);
    world.pass(SECOND);
    let call = world.take().remove(0);
    world.end(&call, ROLLBACKED);
    assert_eq!(world.ended[1], (one, GlobalStatus::TimeoutRollbacked));
}

#[test]
fn rows_are_locked_until_the_commit_or_until_they_are_rolled_back() {
    let mut world = World::new();
    let (one, other) = (world.begin("a"), world.begin("b"));
    world.register(one, BranchType::At, "db", "t:1,2;u:1");
    // The same rows again, in another branch of its own.
    world.register(one, BranchType::At, "db", "t:2,3");
    assert_eq!(world.state.locked_rows(), 4);
    let refused = world.register(other, BranchType::At, "db", "t:4,3");
    assert_eq!(code(&refused), ExceptionCode::LockKeyConflict);
    assert!(
        world.state.is_lockable("db", "t:4", other),
        "all or nothing"
    );
    assert!(world.state.is_lockable("db", "t:1", one));
    assert!(world.state.is_lockable("other", "t:1", other));
    // A row of the second branch is free when that is rolled back; one that both have locked is the first one's.
    world.apply(Kind::Rollback(one));
    let call = world.take().remove(0);
    world.end(&call, ROLLBACKED);
    assert!(world.state.is_lockable("db", "t:3", other));
    assert!(!world.state.is_lockable("db", "t:2", other));
    let call = world.take().remove(0);
    world.end(&call, ROLLBACKED);
    assert_eq!(world.state.locked_rows(), 0);
    // Committed: free at once, before anybody was told.
    world.register(other, BranchType::At, "db", "t:1");
    let answer = world.apply(Kind::Commit(other));
    assert_eq!(
        (status(&answer), answer.waiting),
        (GlobalStatus::Committed, false)
    );
    assert_eq!(world.status(other), GlobalStatus::AsyncCommitting);
    assert_eq!(world.state.locked_rows(), 0);
    assert_eq!(world.take().len(), 1);
}

#[test]
fn a_client_that_holds_the_row_itself_does_not_wait_for_a_rollback() {
    let mut world = World::new();
    let (one, other) = (world.begin("a"), world.begin("b"));
    world.register(one, BranchType::At, "db", "t:1");
    world.apply(Kind::Rollback(one));
    let mut register = |application_data: &str| {
        world.apply(Kind::Register(Register {
            transaction: other,
            resource: "db".into(),
            lock_key: "t:1".into(),
            application_data: application_data.into(),
            ..Register::default()
        }))
    };
    assert_eq!(code(&register("")), ExceptionCode::LockKeyConflict);
    assert_eq!(
        code(&register(r#"{"autoCommit":true}"#)),
        ExceptionCode::LockKeyConflict
    );
    assert_eq!(
        code(&register(r#"{"autoCommit":false}"#)),
        ExceptionCode::LockKeyConflictFailFast
    );
    assert_eq!(
        code(&register(r#"{"autoCommit"#)),
        ExceptionCode::LockKeyConflict
    );
}

#[test]
fn branches_that_failed_or_only_read_are_not_told() {
    let mut world = World::new();
    let id = world.begin("t");
    let failed = world.tcc(id, "a");
    world.tcc(id, "b");
    let read = world.register(id, BranchType::Xa, "c", "").id;
    let report = |branch, status: BranchStatus| {
        Kind::Report(Report {
            transaction: id,
            branch,
            status: status.byte().into(),
            application_data: String::new(),
        })
    };
    world.apply(report(failed, BranchStatus::PhaseOneFailed));
    world.apply(report(read, BranchStatus::PhaseOneReadOnly));
    let unknown = world.apply(report(99, BranchStatus::PhaseOneDone));
    assert_eq!(code(&unknown), ExceptionCode::BranchTransactionNotExist);
    world.apply(Kind::Commit(id));
    let call = world.take().remove(0);
    assert_eq!(call.resource, "b");
    world.end(&call, COMMITTED);
    assert_eq!(world.ended, [(id, GlobalStatus::Committed)]);
}

#[test]
fn what_is_too_late_or_unknown_is_refused() {
    let mut world = World::new();
    let id = world.begin("t");
    world.tcc(id, "a");
    world.apply(Kind::Rollback(id));
    let late = world.register(id, BranchType::Tcc, "b", "");
    assert_eq!(code(&late), ExceptionCode::GlobalTransactionNotActive);
    let unknown = world.register(1, BranchType::Tcc, "b", "");
    assert_eq!(code(&unknown), ExceptionCode::GlobalTransactionNotExist);
    let open = world.begin("open");
    let odd = world.apply(Kind::Register(Register {
        transaction: open,
        branch_type: 9,
        ..Register::default()
    }));
    assert_eq!(code(&odd), ExceptionCode::FailedToAddBranch);
    assert_eq!(
        status(&world.apply(Kind::Commit(1))),
        GlobalStatus::Finished
    );
    assert_eq!(
        status(&world.apply(Kind::Commit(id))),
        GlobalStatus::Rollbacking
    );
}

#[test]
fn bounds_are_kept() {
    let mut world = World::new();
    world.state = Coordinator::new(
        Config {
            transactions_max: 1,
            branches_max: 1,
            rows_max: 2,
            data_bytes_max: 20,
            ..Config::default()
        },
        1,
    );
    let id = world.begin("t");
    let refused = world.apply(Kind::Begin(Begin::default()));
    assert_eq!(code(&refused), ExceptionCode::BeginFailed);
    let rows = world.register(id, BranchType::At, "db", "t:1,2,3");
    assert_eq!(code(&rows), ExceptionCode::FailedToAddBranch);
    let data = world.register(id, BranchType::At, "a database with a long name", "");
    assert_eq!(code(&data), ExceptionCode::FailedToAddBranch);
    assert_eq!(world.state.locked_rows(), 0);
    world.register(id, BranchType::At, "db", "t:1,2,2");
    let second = world.register(id, BranchType::At, "db", "t:4");
    assert_eq!(code(&second), ExceptionCode::FailedToAddBranch);
}

#[test]
fn what_never_can_be_done_waits_for_a_decision() {
    for (decision, end) in [
        (Decision::Retry, GlobalStatus::Rollbacked),
        (Decision::Rollback, GlobalStatus::Rollbacked),
        (Decision::Commit, GlobalStatus::Committed),
        (Decision::Forget, GlobalStatus::Finished),
    ] {
        let mut world = World::new();
        let id = world.begin("t");
        world.register(id, BranchType::At, "db", "t:1");
        world.apply(Kind::Rollback(id));
        let call = world.take().remove(0);
        world.end(&call, Some(BranchStatus::PhaseTwoRollbackFailedUnretryable));
        assert_eq!(world.settled, [(id, GlobalStatus::RollbackFailed)]);
        assert!(world.state.global(id).unwrap().is_stuck());
        assert_eq!(world.state.locked_rows(), 1, "its rows stay locked");
        world.pass(1_000 * SECOND);
        assert_eq!(world.take(), []);
        world.operate(id, decision, 0);
        for call in world.take() {
            assert_eq!(call.commit, decision == Decision::Commit);
            world.end(&call, if call.commit { COMMITTED } else { ROLLBACKED });
        }
        assert_eq!(
            (world.ended, world.state.locked_rows()),
            (vec![(id, end)], 0)
        );
    }
}

#[test]
fn an_operator_stops_a_transaction_and_forgets_a_branch() {
    for (commit, stopped, end) in [
        (
            true,
            GlobalStatus::StopCommitOrCommitRetry,
            GlobalStatus::Committed,
        ),
        (
            false,
            GlobalStatus::StopRollbackOrRollbackRetry,
            GlobalStatus::Rollbacked,
        ),
    ] {
        let done = if commit { COMMITTED } else { ROLLBACKED };
        let mut world = World::new();
        let id = world.begin("t");
        let operate = |world: &mut World, decision, branch| world.operate(id, decision, branch);
        let branches = ["a", "b", "c"].map(|resource| world.tcc(id, resource));
        for decision in [Decision::Stop, Decision::ForgetBranch] {
            let early = operate(&mut world, decision, branches[0]);
            assert_eq!(code(&early), ExceptionCode::GlobalTransactionStatusInvalid);
        }
        world.apply(if commit {
            Kind::Commit(id)
        } else {
            Kind::Rollback(id)
        });
        let call = world.take().remove(0);
        assert_eq!(status(&operate(&mut world, Decision::Stop, 0)), stopped);
        assert_eq!(world.settled, [(id, stopped)]);
        assert!(world.state.global(id).unwrap().is_stuck());
        let twice = operate(&mut world, Decision::Stop, 0);
        assert_eq!(code(&twice), ExceptionCode::GlobalTransactionStatusInvalid);
        // What was on its way counts, and nobody else is told.
        world.end(&call, done);
        world.pass(1_000 * SECOND);
        assert_eq!(world.take(), []);
        assert_eq!(world.state.global(id).unwrap().branches.len(), 2);
        let gone = operate(&mut world, Decision::ForgetBranch, call.branch);
        assert_eq!(code(&gone), ExceptionCode::BranchTransactionNotExist);
        assert_eq!(
            status(&operate(&mut world, Decision::ForgetBranch, branches[1])),
            stopped
        );
        operate(&mut world, Decision::Retry, 0);
        let call = world.take().remove(0);
        assert!(call.branch != branches[1]);
        // Its participant is away for good.
        world.end(&call, None);
        operate(&mut world, Decision::ForgetBranch, call.branch);
        assert_eq!(world.ended, [(id, end)]);
    }
}

/// In the original too a branch that is stopped holds nobody else up, and keeps its transaction open.
#[test]
fn an_operator_stops_one_branch_and_starts_it_again() {
    for commit in [true, false] {
        let done = if commit { COMMITTED } else { ROLLBACKED };
        let mut world = World::new();
        let id = world.begin("t");
        let branches = ["a", "b", "c"].map(|resource| world.tcc(id, resource));
        let operate = |world: &mut World, decision, branch| world.operate(id, decision, branch);
        let early = operate(&mut world, Decision::StopBranch, branches[1]);
        assert_eq!(code(&early), ExceptionCode::GlobalTransactionStatusInvalid);
        world.apply(if commit {
            Kind::Commit(id)
        } else {
            Kind::Rollback(id)
        });
        let refused = operate(&mut world, Decision::StartBranch, branches[1]);
        assert!(refused.refused.unwrap().contains("is not stopped"));
        // Once before it is told, once while it is.
        let first = world.take().remove(0);
        operate(&mut world, Decision::StopBranch, branches[1]);
        operate(&mut world, Decision::StopBranch, first.branch);
        let twice = operate(&mut world, Decision::StopBranch, first.branch);
        assert!(twice.refused.unwrap().contains("is stopped already"));
        let last = world.take().remove(0);
        assert!(!branches[1..2].contains(&last.branch) && last.branch != first.branch);
        world.end(&last, done);
        world.pass(1_000 * SECOND);
        assert_eq!((world.take(), world.ended.len()), (vec![], 0));
        // The late answer to a call that was on its way counts.
        world.end(&first, done);
        operate(&mut world, Decision::Retry, 0);
        assert_eq!(world.take(), []);
        operate(&mut world, Decision::StartBranch, branches[1]);
        let call = world.take().remove(0);
        assert_eq!(call.branch, branches[1]);
        world.end(&call, done);
        assert_eq!(world.ended.len(), 1);
    }
}

/// A branch fails after it has locked a row; the transaction tries again with another. The row is locked until that one is rolled back.
#[test]
fn a_row_stays_locked_as_long_as_any_branch_needs_it() {
    let mut world = World::new();
    let id = world.begin("t");
    let failed = world.register(id, BranchType::At, "db", "account:1,2").id;
    world.fail(id, failed);
    world.register(id, BranchType::At, "db", "account:2,3");
    let other = world.begin("other");
    world.apply(Kind::Rollback(id));
    assert!(world.state.is_lockable("db", "account:1", other));
    assert!(!world.state.is_lockable("db", "account:2", other));
    let call = world.take().remove(0);
    world.end(&call, ROLLBACKED);
    assert_eq!(world.ended, [(id, GlobalStatus::Rollbacked)]);
    assert_eq!(world.state.locked_rows(), 0);
}

#[test]
fn an_operator_frees_one_row() {
    let mut world = World::new();
    let id = world.begin("t");
    for _ in 0..2 {
        world.register(id, BranchType::At, "db", "account:1,2;t:3");
    }
    let free = |world: &mut World, row: &str| {
        world.apply(Kind::Operate(Operate {
            transaction: id,
            decision: Decision::FreeRow as u32,
            resource: "db".into(),
            row: row.into(),
            ..Operate::default()
        }))
    };
    assert_eq!(free(&mut world, "account:2").refused, None);
    for wrong in ["account:2", "account:1,t:3", ""] {
        let why = free(&mut world, wrong).refused.unwrap();
        assert!(why.contains("has not locked"), "{why}");
    }
    assert_eq!(world.state.locked_rows(), 2);
    assert_eq!(
        &*world.state.global(id).unwrap().branches[1].lock_key,
        "account:1;t:3"
    );
}

#[test]
fn a_saga_is_told_as_a_whole_and_may_go_the_other_way() {
    let mut world = World::new();
    let id = world.begin("$Saga_transfer");
    world.register(id, BranchType::Saga, "app#group", "");
    world.apply(Kind::Rollback(id));
    let call = world.take().remove(0);
    assert_eq!(
        (call.branch, &*call.resource, &*call.data),
        (SAGA, "app#group", "Rollbacking")
    );
    world.end(&call, Some(BranchStatus::PhaseTwoCommitFailedRetryable));
    assert_eq!(world.status(id), GlobalStatus::CommitRetrying);
    world.pass(SECOND);
    let call = world.take().remove(0);
    assert_eq!((call.commit, &*call.data), (true, "CommitRetrying"));
    world.end(&call, COMMITTED);
    assert_eq!(world.ended, [(id, GlobalStatus::Committed)]);

    let report = |transaction, status: GlobalStatus| {
        Kind::GlobalReport(GlobalReport {
            transaction,
            status: status.byte().into(),
        })
    };
    for (said, ends) in [
        (GlobalStatus::Committed, true),
        (GlobalStatus::Rollbacked, true),
        (GlobalStatus::Finished, true),
        (GlobalStatus::RollbackRetrying, false),
        (GlobalStatus::CommitRetrying, false),
    ] {
        let mut world = World::new();
        let id = world.begin("$Saga_transfer");
        assert_eq!(status(&world.apply(report(id, said))), said);
        assert_eq!(world.state.is_empty(), ends);
        world.pass(SECOND);
        assert_eq!(world.take().len(), usize::from(!ends));
        assert_eq!(status(&world.apply(report(7, said))), said);
    }
}

/// Ten thousand want the same rows at once, and again and again: one has them, each other is told so and holds nothing, and when the one
/// ends the next has them.
#[test]
fn a_storm_for_the_same_rows_lets_one_through_after_the_other() {
    let mut world = World::new();
    let ids: Vec<i64> = (0..10_000).map(|_| world.begin("t")).collect();
    for round in 0..3 {
        let mut winner = None;
        for id in &ids[round..] {
            let answer = world.register(*id, BranchType::At, "db", "account:1,2,3");
            match (&answer.refused, winner) {
                (None, None) => winner = Some(*id),
                (refused, _) => {
                    assert!(refused.is_some(), "{id} has rows of {winner:?}");
                    assert_eq!(code(&answer), ExceptionCode::LockKeyConflict);
                }
            }
            assert_eq!(world.state.locked_rows(), 3);
        }
        assert_eq!(winner, Some(ids[round]));
        world.apply(Kind::Commit(ids[round]));
        assert_eq!(world.state.locked_rows(), 0);
    }
    let open = world.state.globals();
    let holding = open.filter(|global| global.branches.iter().any(|one| !one.lock_key.is_empty()));
    assert_eq!(holding.count(), 0);
}

/// What happens in a schedule.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    Register(usize, BranchType, u8),
    /// The last branch fails in its first phase.
    Fail(usize),
    Commit(usize),
    Rollback(usize),
    /// An operator stops its last branch, or starts it again.
    Stop(usize),
    Start(usize),
    /// A call comes to something; which one, and to what.
    Answer(usize, u8),
    /// The last answer comes again.
    Again,
    Pass(u64),
    /// Another node leads: what is on its way is asked for again.
    Leader,
    /// The state goes through a snapshot.
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    let kinds = prop::sample::select(vec![BranchType::At, BranchType::Tcc, BranchType::Xa]);
    prop_oneof![
        2 => Just(Step::Begin),
        4 => (0_usize..6, kinds, 0_u8..6).prop_map(|(at, kind, row)| Step::Register(at, kind, row)),
        1 => (0_usize..6).prop_map(Step::Fail),
        1 => (0_usize..6).prop_map(Step::Stop),
        1 => (0_usize..6).prop_map(Step::Start),
        2 => (0_usize..6).prop_map(Step::Commit),
        2 => (0_usize..6).prop_map(Step::Rollback),
        8 => (0_usize..8, 0_u8..6).prop_map(|(at, how)| Step::Answer(at, how)),
        1 => Just(Step::Again),
        2 => (0_u64..40_000_000).prop_map(Step::Pass),
        1 => Just(Step::Leader),
        1 => Just(Step::Snapshot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens, a branch is done one way only, all branches of a transaction the same way, the way that was promised; and
    /// once everybody answers, nothing is left, no lock and no transaction.
    #[test]
    fn nothing_is_left_half_done(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        let mut begun: Vec<i64> = Vec::new();
        let mut promised: BTreeMap<i64, bool> = BTreeMap::new();
        let mut done: BTreeMap<i64, BTreeMap<i64, bool>> = BTreeMap::new();
        let mut last: Option<(Call, Option<BranchStatus>)> = None;
        let mut register: BTreeSet<i64> = BTreeSet::new();
        let pick = |begun: &[i64], at: usize| begun.get(begun.len().checked_sub(1 + at)?).copied();
        for step in steps {
            match step {
                Step::Begin => {
                    let id = world.begin("t");
                    begun.push(id);
                }
                Step::Register(at, kind, row) => {
                    if let Some(id) = pick(&begun, at) {
                        let answer = world.register(id, kind, "db", &format!("t:{row}"));
                        if answer.refused.is_none() {
                            prop_assert!(register.insert(answer.id));
                        }
                    }
                }
                Step::Fail(at) | Step::Stop(at) | Step::Start(at) => {
                    let global = pick(&begun, at).and_then(|id| world.state.global(id));
                    if let Some((id, branch)) = global.and_then(|it| Some((it.id, it.branches.last()?.id))) {
                        match step {
                            Step::Fail(_) => {
                                world.fail(id, branch);
                                register.remove(&branch);
                            }
                            Step::Stop(_) => drop(world.operate(id, Decision::StopBranch, branch)),
                            _ => drop(world.operate(id, Decision::StartBranch, branch)),
                        }
                    }
                }
                Step::Commit(at) | Step::Rollback(at) => {
                    let commits = matches!(step, Step::Commit(_));
                    if let Some(id) = pick(&begun, at) {
                        let answer = world.apply(if commits { Kind::Commit(id) } else { Kind::Rollback(id) });
                        let says = match status(&answer) {
                            GlobalStatus::Committed | GlobalStatus::Committing | GlobalStatus::CommitRetrying => Some(true),
                            GlobalStatus::Finished | GlobalStatus::AsyncCommitting => None,
                            _ => Some(false),
                        };
                        if let Some(says) = says {
                            prop_assert_eq!(*promised.entry(id).or_insert(says), says);
                        }
                    }
                }
                Step::Answer(at, how) => {
                    if !world.calls.is_empty() {
                        let at = at % world.calls.len();
                        let call = world.calls.remove(at);
                        let did = if call.commit { COMMITTED } else { ROLLBACKED };
                        let failed = match call.commit {
                            true => BranchStatus::PhaseTwoCommitFailedRetryable,
                            false => BranchStatus::PhaseTwoRollbackFailedRetryable,
                        };
                        let result = match how {
                            0 => None,
                            1 => Some(failed),
                            // It did it, and nobody heard of it.
                            2 => {
                                done.entry(call.transaction).or_default().insert(call.branch, call.commit);
                                None
                            }
                            _ => {
                                let before = done.entry(call.transaction).or_default().insert(call.branch, call.commit);
                                prop_assert!(before.is_none_or(|before| before == call.commit));
                                did
                            }
                        };
                        world.end(&call, result);
                        last = Some((call, result));
                    }
                }
                Step::Again => {
                    if let Some((call, result)) = &last {
                        world.end(call, *result);
                    }
                }
                Step::Pass(us) => world.pass(us),
                Step::Leader => {
                    world.calls.clear();
                    let outstanding = world.state.outstanding();
                    world.perform(outstanding);
                }
                Step::Snapshot => {
                    let before = (world.state.len(), world.locked());
                    world.state = through_a_snapshot(&world.state);
                    prop_assert_eq!((world.state.len(), world.locked()), before);
                    world.calls.clear();
                    let outstanding = world.state.outstanding();
                    world.perform(outstanding);
                }
            }
        }
        // Everybody is there and does what is asked.
        let stopped: Vec<(i64, i64)> = world.state.globals().flat_map(|global| {
            let branches = global.branches.iter();
            branches.filter(|branch| branch.status == BranchStatus::StopRetry).map(|branch| (global.id, branch.id))
        }).collect();
        for (id, branch) in stopped {
            world.operate(id, Decision::StartBranch, branch);
        }
        let outstanding = world.state.outstanding();
        world.calls.clear();
        world.perform(outstanding);
        for _ in 0..2_000 {
            if world.state.is_empty() {
                break;
            }
            for call in world.take() {
                let before = done.entry(call.transaction).or_default().insert(call.branch, call.commit);
                prop_assert!(before.is_none_or(|before| before == call.commit));
                world.end(&call, if call.commit { COMMITTED } else { ROLLBACKED });
            }
            world.pass(SECOND);
        }
        prop_assert_eq!(world.state.len(), 0);
        prop_assert_eq!(world.state.locked_rows(), 0);
        prop_assert_eq!(world.state.next_due_us(), None);
        for (transaction, branches) in &done {
            let ways: BTreeSet<bool> = branches.values().copied().collect();
            prop_assert_eq!(ways.len(), 1, "transaction {} is half done", transaction);
            if let Some(promised) = promised.get(transaction) {
                prop_assert!(ways.contains(promised));
            }
        }
        let told: BTreeSet<i64> = done.values().flat_map(|branches| branches.keys().copied()).collect();
        prop_assert!(register.is_subset(&told), "every branch was told");
    }
}

/// Rows, a branch that was told, one that was told in vain: written by the version before transactions shared their names.
#[test]
fn a_snapshot_stays_as_it_is_written() {
    let mut world = World::new();
    let id = world.begin("transfer");
    world.tcc(id, "debit");
    world.register(id, BranchType::At, "jdbc:bank", "account:1,2;log:3");
    world.tcc(id, "credit");
    world.apply(Kind::Rollback(id));
    let call = world.take().remove(0);
    world.end(&call, ROLLBACKED);
    let call = world.take().remove(0);
    world.end(&call, None);
    let mut bytes = Vec::new();
    world.state.snapshot()(&mut bytes).unwrap();
    let written: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, include_str!("snapshot.hex").trim_end());
    through_a_snapshot(&world.state).snapshot()(&mut bytes).unwrap();
    assert_eq!(bytes[..bytes.len() / 2], bytes[bytes.len() / 2..]);
}

/// The state as another node would have it from this one's snapshot.
fn through_a_snapshot(state: &Coordinator) -> Coordinator {
    let mut bytes = Vec::new();
    state.snapshot()(&mut bytes).unwrap();
    let again = Coordinator::restored(Config::default(), 7, &mut &bytes[..]).unwrap();
    for cut in [0, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        assert!(
            Coordinator::restored(Config::default(), 7, &mut &bytes[..cut]).is_err()
                || cut == bytes.len()
        );
    }
    again
}
