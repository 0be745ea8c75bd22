//! The coordinator in virtual time: what each request does, and that no schedule of calls, failures and changes of leader leaves a
//! transaction half done.
#![allow(clippy::unwrap_used, reason = "a test")]

mod operator;
mod schedules;
mod world;

use diwan_seata::{BranchStatus, BranchType, ExceptionCode, GlobalStatus};
use diwan_tx::state::{Begin, Config, Coordinator, GlobalReport, Kind, Register, Report, SAGA};

use world::{COMMITTED, ROLLBACKED, SECOND, World, code, status};

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
