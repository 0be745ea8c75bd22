//! What an operator decides, and what waits for a decision.

use diwan_seata::{BranchStatus, BranchType, ExceptionCode, GlobalStatus};
use diwan_tx::state::{Decision, Kind, Operate};

use crate::world::{COMMITTED, ROLLBACKED, SECOND, World, code, status};

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
