//! What becomes of sagas that do not end well: the rules that Seata's coordinator has for its engine, those that only we have,
//! and what operators may decide.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::cell::Cell;
use std::rc::Rc;

use diwan_saga::engine::{Command, Config, Effect, Kind, Refused, Reply, Sagas, Status};
use serde_json::{Value, json};
use world::*;

const MINUTE: u64 = 60_000;

/// A switch that a participant looks at.
fn switch(on: bool) -> (Rc<Cell<bool>>, Rc<Cell<bool>>) {
    let one = Rc::new(Cell::new(on));
    (Rc::clone(&one), one)
}

#[test]
fn commit_failure_retries_commit() {
    let (broken, seen) = switch(true);
    let mut world = World::with(&two_steps(json!(null)), move |call| {
        match &*call.service.method {
            "b" if seen.get() => fails("Broken"),
            method => done(json!(method)),
        }
    });
    world.start("two", json!({})).unwrap();
    world.tells("UN", &["A SU", "B UN"]);
    assert_eq!(world.saga().recovery.as_ref().unwrap().due_ms, 1_000);
    assert!(world.saga().recovery.as_ref().unwrap().is_forward);
    world.until(10_000);
    assert_eq!(
        world.calls,
        ["0 a []", "0 b []", "1000 b []", "3000 b []", "7000 b []"]
    );
    assert_eq!(world.sagas.recovering().count(), 1);
    broken.set(false);
    world.until(20_000);
    world.tells("SU", &["A SU", "B UN", "B UN", "B UN", "B UN", "B SU"]);
    assert_eq!(world.sagas.recovering().count(), 0);
    let ids: Vec<String> = (0..6)
        .map(|number| world.saga().record_id(number))
        .collect();
    assert_eq!(ids, ["0", "1", "1.1", "1.2", "1.3", "1.4"]);
}

#[test]
fn compensation_failure_retries_compensation() {
    let (broken, seen) = switch(true);
    let machine = machine(
        "two",
        json!(null),
        json!({
            "A": task("a", json!({"CompensateState": "UndoA", "Next": "B"})),
            "B": task("b", json!({"CompensateState": "UndoB", "Catch": [{"Exceptions": ["java.lang.Throwable"], "Next": "Undo"}]})),
            "UndoA": task("undoA", json!(null)), "UndoB": task("undoB", json!(null)),
            "Undo": {"Type": "CompensationTrigger", "Next": "Failed"}, "Failed": {"Type": "Fail"},
        }),
    );
    let mut world = World::with(&machine, move |call| match &*call.service.method {
        "b" => fails("Broken"),
        "undoA" if seen.get() => fails("Broken"),
        _ => done(json!(1)),
    });
    world.start("two", json!({})).unwrap();
    world.tells("UN/UN", &["A SU/UN", "B UN/SU", "UndoB SU", "UndoA UN"]);
    assert!(!world.saga().recovery.as_ref().unwrap().is_forward);
    world.until(2_000);
    broken.set(false);
    world.until(MINUTE);
    // What is undone is not undone again.
    assert_eq!(
        world.calls,
        [
            "0 a []",
            "0 b []",
            "0 undoB []",
            "0 undoA []",
            "1000 undoA []",
            "3000 undoA []"
        ]
    );
    world.tells(
        "UN/SU",
        &[
            "A SU/SU", "B UN/SU", "UndoB SU", "UndoA UN", "UndoA UN", "UndoA SU",
        ],
    );
    assert_eq!(world.saga().record_id(4), "0-2");
}

#[test]
fn timeout_compensates_by_default() {
    for attributes in [json!(null), json!({"RecoverStrategy": "Compensate"})] {
        let mut world = World::with(&two_steps(attributes), |call| match &*call.service.method {
            "b" if call.attempt == 1 => fails("Broken"),
            method => done(json!(method)),
        });
        world.start("two", json!({})).unwrap();
        world.until(29 * MINUTE);
        assert_eq!(world.saga().compensation, None);
        world.until(31 * MINUTE);
        assert_eq!(
            (world.saga().status, world.saga().compensation),
            (Status::Unknown, Some(Status::Succeeded))
        );
        assert_eq!(world.calls.last().unwrap(), "1800000 undoA [\"a\"]");
        assert_eq!(world.sagas.recovering().count(), 0);
    }
}

#[test]
fn timeout_of_a_call_without_answer_compensates_what_may_have_been_done() {
    let config = Config {
        call_timeout_ms: 60 * MINUTE,
        ..lasting()
    };
    let mut world = World::new(config, |call| match &*call.service.method {
        "b" => None,
        method => done(json!(method)),
    });
    world.define(&two_steps(json!(null)));
    world.start("two", json!({})).unwrap();
    world.until(31 * MINUTE);
    world.tells("UN/SU", &["A SU/SU", "B UN/SU", "UndoB SU", "UndoA SU"]);
    // The answer comes at last.
    let late = world.open[0];
    assert_eq!(world.returned(late, done(json!(1)).unwrap()), Reply::Late);
    world.tells("UN/SU", &["A SU/SU", "B UN/SU", "UndoB SU", "UndoA SU"]);
}

#[test]
fn timeout_goes_forward_with_recover_strategy_forward() {
    let (broken, seen) = switch(true);
    let mut world = World::with(
        &two_steps(json!({"RecoverStrategy": "Forward"})),
        move |call| match &*call.service.method {
            "b" if seen.get() => fails("Broken"),
            method => done(json!(method)),
        },
    );
    world.start("two", json!({})).unwrap();
    world.until(60 * MINUTE);
    assert_eq!(
        (world.saga().status, world.saga().compensation),
        (Status::Unknown, None)
    );
    broken.set(false);
    world.until(70 * MINUTE);
    assert_eq!(
        (world.saga().status, world.saga().compensation),
        (Status::Succeeded, None)
    );
    assert!(!world.calls.iter().any(|call| call.contains("undo")));
}

#[test]
fn operator_can_compensate_a_saga_that_cannot_go_forward() {
    let mut world =
        World::with(
            &two_steps(json!({"RecoverStrategy": "Forward"})),
            |call| match &*call.service.method {
                "b" => fails("Broken"),
                method => done(json!(method)),
            },
        );
    world.start("two", json!({})).unwrap();
    world.until(5_000);
    assert_eq!(world.sagas.recovering().count(), 1);
    world.compensate(json!({})).unwrap();
    assert_eq!(
        (world.saga().status, world.saga().compensation),
        (Status::Unknown, Some(Status::Succeeded))
    );
    assert_eq!(world.sagas.recovering().count(), 0);
    let calls = world.calls.len();
    world.until(90 * MINUTE);
    assert_eq!(world.calls.len(), calls);
    // All is undone: there is nothing to go forward from.
    assert!(matches!(
        world.forward(json!({})),
        Err(Refused::CannotForward(..))
    ));
}

#[test]
fn operator_can_compensate_a_saga_that_runs_but_not_twice() {
    let mut world = World::with(&two_steps(json!(null)), |call| {
        match &*call.service.method {
            "b" | "undoB" => None,
            method => done(json!(method)),
        }
    });
    world.start("two", json!({})).unwrap();
    world.compensate(json!({})).unwrap();
    world.tells("UN/RU", &["A SU", "B UN/RU", "UndoB RU"]);
    assert_eq!(
        world.compensate(json!({})),
        Err(Refused::Running("s".into()))
    );
    assert_eq!(world.forward(json!({})), Err(Refused::Running("s".into())));
    let undo = world.open[1];
    assert_eq!(world.returned(undo, done(json!(1)).unwrap()), Reply::Done);
    world.tells("UN/SU", &["A SU/SU", "B UN/SU", "UndoB SU", "UndoA SU"]);
}

#[test]
fn skipping_really_skips() {
    let machine = machine(
        "three",
        json!(null),
        json!({
            "A": task("a", json!({"CompensateState": "Undo", "Next": "B"})),
            "B": task("b", json!({"CompensateState": "Undo", "Next": "C"})),
            "C": task("c", json!(null)), "Undo": task("undo", json!(null)),
        }),
    );
    let mut world = World::with(&machine, |call| match &*call.service.method {
        "b" => fails("Broken"),
        method => done(json!(method)),
    });
    world.start("three", json!({})).unwrap();
    world.skip().unwrap();
    world.tells("SU", &["A SU", "B SK", "C SU"]);
    assert_eq!(world.calls, ["0 a []", "0 b []", "0 c []"]);
    assert_eq!(world.forward(json!({})), Ok(Reply::Done));
    // Nobody knows whether B was done.
    world.compensate(json!({})).unwrap();
    world.tells(
        "SU/SU",
        &["A SU/SU", "B SK/SU", "C SU", "Undo SU", "Undo SU"],
    );
}

#[test]
fn skipping_the_last_state_ends_the_saga() {
    let mut world = World::with(&two_steps(json!(null)), |call| {
        match &*call.service.method {
            "b" => fails("Broken"),
            method => done(json!(method)),
        }
    });
    world.start("two", json!({})).unwrap();
    world.skip().unwrap();
    world.tells("SU", &["A SU", "B SK"]);
    assert_eq!(world.sagas.recovering().count(), 0);
}

#[test]
fn recovery_is_never_given_up_and_its_history_stays_short() {
    let mut world =
        World::with(
            &two_steps(json!({"RecoverStrategy": "Forward"})),
            |call| match &*call.service.method {
                "b" => fails("Broken"),
                method => done(json!(method)),
            },
        );
    world.start("two", json!({})).unwrap();
    world.until(100 * 24 * 60 * MINUTE);
    // Once in five minutes.
    assert!(
        (28_000..30_000).contains(&world.calls.len()),
        "{}",
        world.calls.len()
    );
    assert_eq!(world.saga().records.len(), 256);
    let recovery = world.saga().recovery.clone().unwrap();
    assert!(recovery.due_ms - world.now_ms <= 5 * MINUTE);
    assert!(recovery.tries > 28_000);
    world.apply(Command::Forget { saga: "s".into() }).unwrap();
    assert_eq!(world.ended.len(), 1);
    assert_eq!((world.sagas.len(), world.sagas.due_ms()), (0, None));
}

#[test]
fn without_recovery_a_saga_ends_before_its_next_call_when_its_time_is_over() {
    let config = Config {
        recovers: false,
        ..lasting()
    };
    let mut world = World::new(config, |call| match &*call.service.method {
        "a" => None,
        method => done(json!(method)),
    });
    world.define(&two_steps(json!(null)));
    world.start("two", json!({})).unwrap();
    world.until(4 * MINUTE);
    let a = world.open[0];
    world.returned(a, done(json!("a")).unwrap());
    world.tells("SU", &["A SU", "B SU"]);

    let config = Config {
        recovers: false,
        call_timeout_ms: 60 * MINUTE,
        ..lasting()
    };
    let mut world = World::new(config, |_| None);
    world.define(&two_steps(json!(null)));
    world.start("two", json!({})).unwrap();
    world.until(40 * MINUTE);
    let a = world.open[0];
    world.returned(a, done(json!("a")).unwrap());
    world.tells("UN", &["A SU"]);
    assert!(
        world
            .saga()
            .exception
            .as_ref()
            .unwrap()
            .message
            .contains("has timed out")
    );
}

/// Money leaves one account, and comes to another one, from where it may be spent at once.
fn transfer(states: Value) -> Value {
    let mut all = map(json!({
        "A": task("debit", json!({"CompensateState": "Refund", "Extensions": {"effect": "debit"}, "Next": "Credit"})),
        "Credit": task("credit", json!({"IsForUpdate": true, "CompensateState": "TakeBack", "Extensions": {"effect": "credit"}, "Next": "Tell"})),
        "Tell": task("tell", json!({"IsForUpdate": true})),
        "Refund": task("refund", json!({"Extensions": {"effect": "credit"}})),
        "TakeBack": task("takeBack", json!(null)),
    }));
    all.extend(map(states));
    let attributes = json!({"RecoverStrategy": "Forward", "Extensions": {"recover": "Pivot"}});
    machine("transfer", attributes, all.into())
}

#[test]
fn pivot_before_the_credit_is_called_recovery_compensates() {
    let mut world = World::with(&transfer(json!(null)), |call| match &*call.service.method {
        "debit" => fails("Broken"),
        method => done(json!(method)),
    });
    world.start("transfer", json!({})).unwrap();
    world.until(MINUTE);
    assert_eq!(world.calls, ["0 debit []", "1000 refund []"]);
    world.tells("UN/SU", &["A UN/SU", "Refund SU"]);
}

#[test]
fn pivot_once_the_credit_is_called_recovery_goes_forward() {
    let (broken, seen) = switch(true);
    let mut world = World::with(&transfer(json!(null)), move |call| {
        match &*call.service.method {
            "credit" | "tell" if seen.get() => network(Kind::ReadTimeout),
            method => done(json!(method)),
        }
    });
    world.start("transfer", json!({})).unwrap();
    world.until(40 * MINUTE);
    assert_eq!(world.saga().compensation, None);
    broken.set(false);
    world.until(50 * MINUTE);
    assert_eq!(
        (world.saga().status, world.saga().compensation),
        (Status::Succeeded, None)
    );
    assert!(
        !world
            .calls
            .iter()
            .any(|call| call.contains("refund") || call.contains("takeBack"))
    );
}

#[test]
fn pivot_a_credit_that_certainly_failed_is_none() {
    let mut world = World::with(&transfer(json!(null)), move |call| {
        match &*call.service.method {
            "credit" => network(Kind::Connect),
            method => done(json!(method)),
        }
    });
    world.start("transfer", json!({})).unwrap();
    world.until(MINUTE);
    world.tells("UN/SU", &["A SU/SU", "Credit FA", "Refund SU"]);
}

#[test]
fn pivot_a_credit_that_failed_for_certain_after_it_failed_in_doubt_stays_one() {
    let calls = Cell::new(0);
    let mut world = World::with(&transfer(json!(null)), move |call| {
        match &*call.service.method {
            "credit" => {
                calls.set(calls.get() + 1);
                network(if calls.get() == 1 {
                    Kind::ReadTimeout
                } else {
                    Kind::Connect
                })
            }
            method => done(json!(method)),
        }
    });
    world.start("transfer", json!({})).unwrap();
    world.until(60 * MINUTE);
    assert_eq!(
        (world.saga().status, world.saga().compensation),
        (Status::Unknown, None)
    );
    assert!(world.saga().recovery.as_ref().unwrap().is_forward);
}

#[test]
fn pivot_a_compensation_trigger_past_it_does_not_compensate() {
    let (broken, seen) = switch(true);
    let states = json!({
        "Tell": task("tell", json!({"IsForUpdate": true, "Catch": [{"Exceptions": ["java.lang.Throwable"], "Next": "Undo"}]})),
        "Undo": {"Type": "CompensationTrigger"},
    });
    let mut world = World::with(&transfer(states), move |call| match &*call.service.method {
        "tell" if seen.get() => fails("Broken"),
        method => done(json!(method)),
    });
    world.start("transfer", json!({})).unwrap();
    world.tells("UN", &["A SU", "Credit SU", "Tell UN"]);
    broken.set(false);
    world.until(MINUTE);
    world.tells("SU", &["A SU", "Credit SU", "Tell UN", "Tell SU"]);
}

#[test]
fn pivot_a_credit_of_a_sub_machine_counts() {
    let child = machine(
        "pay",
        json!(null),
        json!({"A": task("credit", json!({"IsForUpdate": true, "Extensions": {"effect": "credit"}, "CompensateState": "Undo"})), "Undo": task("takeBack", json!(null))}),
    );
    let states =
        json!({"Credit": {"Type": "SubStateMachine", "StateMachineName": "pay", "Next": "Tell"}});
    let mut world = World::with(&child, move |call| match &*call.service.method {
        "credit" => network(Kind::ReadTimeout),
        method => done(json!(method)),
    });
    world.define(&transfer(states));
    world.start("transfer", json!({})).unwrap();
    world.until(60 * MINUTE);
    assert_eq!(world.saga().compensation, None);
    assert!(world.saga().recovery.as_ref().unwrap().is_forward);
    assert!(
        !world
            .calls
            .iter()
            .any(|call| call.contains("refund") || call.contains("takeBack"))
    );
}

#[test]
fn a_new_leader_finds_the_calls_that_have_no_answer() {
    let mut world = World::with(&two_steps(json!(null)), |call| {
        match &*call.service.method {
            "b" => None,
            method => done(json!(method)),
        }
    });
    world.start("two", json!({})).unwrap();
    let taken_up = Sagas::restore(world.sagas.snapshot()).unwrap();
    let calls: Vec<_> = taken_up.outstanding().collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (&*calls[0].service.method, calls[0].id),
        ("b", world.open[0])
    );
    let mut effects = Vec::new();
    let mut taken_up = taken_up;
    let returned = Command::Returned {
        call: calls[0].id,
        outcome: done(json!(1)).unwrap(),
    };
    taken_up.apply(1, returned.clone(), &mut effects).unwrap();
    assert!(matches!(
        effects[..],
        [Effect::Stopped {
            status: Status::Succeeded,
            ..
        }]
    ));
    assert_eq!(taken_up.apply(2, returned, &mut effects), Ok(Reply::Late));
    assert_eq!(taken_up.outstanding().count(), 0);
}

/// A node that begins to lead makes the calls again that have no outcome. That its attempt reaches nobody says nothing of the earlier one,
/// which may have taken the money.
#[test]
fn a_call_made_again_by_another_leader_may_have_been_carried_out() {
    for (epochs, status) in [([1, 1], Status::Failed), ([1, 2], Status::Unknown)] {
        let mut world = World::with(&two_steps(json!({})), |_| None);
        world.sagas.in_leadership(epochs[0]);
        world.start("two", json!({})).unwrap();
        let call = world.open[0];
        world.sagas.in_leadership(epochs[1]);
        world.returned(call, network(Kind::Connect).unwrap());
        assert_eq!(world.saga().records[0].status, status);
    }
}
