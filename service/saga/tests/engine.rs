//! What machines do, attribute by attribute.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use diwan_saga::engine::{Code, Command, Config, Exception, Kind, Outcome, Refused, Reply, Status};
use serde_json::{Value, json};
use world::*;

fn echo(call: &diwan_saga::engine::Call) -> Option<Outcome> {
    done(json!(&*call.service.method))
}

/// States that run once; the first is `A`.
fn run(
    states: Value,
    params: Value,
    answer: impl FnMut(&diwan_saga::engine::Call) -> Option<Outcome> + 'static,
) -> World {
    let mut world = World::with(&machine("m", json!(null), states), answer);
    world.start("m", params).unwrap();
    world
}

#[test]
fn input_and_output_are_evaluated_and_null_is_left_out() {
    let states = json!({
        "A": task("a", json!({"Input": [{"x": "$.[x]", "none": "$.[none]", "list": ["$.[none]", "$.[x]"], "fix": "a"}, "$.[none]"], "Output": {"r": "$.#root", "code": "$.code", "y": 1}, "Next": "B"})),
        "B": task("b", json!({"Input": ["$.[r]", "$.[code] + 1", "$.[y]"]})),
    });
    let world = run(states, json!({"x": 1, "none": null}), |call| {
        match &*call.service.method {
            "a" => done(json!({"code": 7})),
            _ => done(Value::Null),
        }
    });
    assert_eq!(
        world.calls,
        [
            r#"0 a [{"x":1,"list":[null,1],"fix":"a"},null]"#,
            r#"0 b [{"code":7},8,1]"#
        ]
    );
    world.tells("SU", &["A SU", "B SU"]);
}

#[test]
fn an_input_that_cannot_be_evaluated_ends_the_saga_before_the_call() {
    let states = json!({"A": task("a", json!({"Next": "B"})), "B": task("b", json!({"Input": ["$.[none].x"]}))});
    let world = run(states, json!({}), echo);
    world.tells("FA", &["A SU"]);
    assert_eq!(
        world.saga().exception.as_ref().unwrap().code,
        Some(Code::VariablesAssign)
    );
    assert_eq!(world.calls, ["0 a []"]);
}

#[test]
fn a_state_that_ran_before_an_input_error_stays_to_be_compensated() {
    let bad = Cell::new(true);
    let states = json!({
        "A": task("a", json!({"CompensateState": "Undo", "Input": ["$.[x].y"]})), "Undo": task("undo", json!(null)),
    });
    let mut world = run(states, json!({"x": {"y": 1}}), move |call| {
        match &*call.service.method {
            "a" if bad.replace(false) => network(Kind::ReadTimeout),
            method => done(json!(method)),
        }
    });
    world.tells("UN", &["A UN"]);
    world.forward(json!({"x": null})).unwrap();
    world.tells("UN", &["A UN"]);
    world.compensate(json!({})).unwrap();
    world.tells("UN/SU", &["A UN/SU", "Undo SU"]);
}

#[test]
fn choices_take_the_first_that_holds() {
    let states = json!({
        "A": {"Type": "Choice", "Choices": [{"Expression": "[x] > 5", "Next": "B"}, {"Expression": "[x] > 1", "Next": "C"}], "Default": "D"},
        "B": task("b", json!(null)), "C": task("c", json!(null)), "D": {"Type": "Fail", "ErrorCode": "E", "Message": "m"},
    });
    for (x, status, states_gone) in [
        (9, "SU", vec!["B SU"]),
        (3, "SU", vec!["C SU"]),
        (0, "FA", vec![]),
    ] {
        let world = run(states.clone(), json!({"x": x}), echo);
        world.tells(status, &states_gone);
    }
    let world = run(states, json!({"x": 0}), echo);
    assert_eq!(
        world.saga().vars.get("_statemachine_error_code_"),
        Some(&json!("E"))
    );
}

#[test]
fn statuses_are_decided_by_rules_exceptions_and_updates() {
    let with = |attributes: Value| json!({"A": task("a", attributes)});
    let rules = json!({"Status": {"#root.code == 'S'": "SU", "#root.code == 'U'": "UN", "$Exception{Known}": "FA", "$Exception{java.lang.Throwable}": "UN"}});
    for (attributes, answer, status) in [
        (rules.clone(), done(json!({"code": "S"})), "SU"),
        (rules.clone(), done(json!({"code": "U"})), "UN"),
        // Nothing holds.
        (
            json!({"Status": {"#root == 1": "SU"}}),
            done(json!(2)),
            "FA",
        ),
        (
            json!({"Status": {"#root == 1": "SU"}, "IsForUpdate": true}),
            done(json!(2)),
            "UN",
        ),
        // An expression about nothing cannot be evaluated: what is changed is unknown then.
        (
            json!({"Status": {"#root.code == 1": "SU"}, "IsForUpdate": true}),
            done(json!(null)),
            "UN",
        ),
        (
            json!({"Status": {"$Exception{Known}": "FA"}, "IsForUpdate": true}),
            fails("Known"),
            "FA",
        ),
        (
            json!({"Status": {"$Exception{Known}": "FA"}, "IsForUpdate": true}),
            fails("Other"),
            "UN",
        ),
        (json!(null), fails("Any"), "FA"),
        (json!({"IsForUpdate": true}), fails("Any"), "UN"),
        (json!({"IsForUpdate": true}), network(Kind::Connect), "FA"),
        (
            json!({"IsForUpdate": true}),
            network(Kind::ConnectTimeout),
            "UN",
        ),
        (
            json!({"IsForUpdate": true}),
            network(Kind::ReadTimeout),
            "UN",
        ),
        (json!(null), network(Kind::ReadTimeout), "FA"),
    ] {
        let told = format!("{attributes} {answer:?}");
        let world = run(with(attributes), json!({}), move |_| answer.clone());
        assert_eq!(world.saga().records[0].status.name(), status, "{told}");
        assert_eq!(world.saga().status.name(), status, "{told}");
    }
}

#[test]
fn a_caught_exception_leads_on_and_the_next_state_stands_for_itself() {
    let states = json!({
        "A": task("a", json!({"Catch": [{"Exceptions": ["Other"], "Next": "C"}, {"Exceptions": ["Base"], "Next": "B"}], "Next": "C"})),
        "B": task("b", json!({"CompensateState": "Undo", "Next": "C"})), "C": task("c", json!(null)), "Undo": task("undo", json!(null)),
    });
    let world = run(states, json!({}), |call| match &*call.service.method {
        "a" => Some(Outcome::Exception(Exception {
            ancestors: vec!["Base".into()],
            ..Exception::business("Derived", "m")
        })),
        method => done(json!(method)),
    });
    world.tells("UN", &["A FA", "B SU", "C SU"]);
    assert_eq!(&*world.saga().exception.as_ref().unwrap().class, "Derived");
}

#[test]
fn calls_are_made_again_after_the_pauses_of_their_rule() {
    let retry = json!([{"Exceptions": ["Business"], "IntervalSeconds": 2, "MaxAttempts": 1, "BackoffRate": 1.0}, {"IntervalSeconds": 1.5, "MaxAttempts": 4, "BackoffRate": 2}]);
    let states = json!({"A": task("a", json!({"Retry": retry, "IsForUpdate": true}))});
    let mut world = run(states, json!({}), |call| {
        if call.attempt == 2 {
            fails("Business")
        } else {
            network(Kind::Connect)
        }
    });
    assert!(world.saga().is_running);
    world.until(17_499);
    assert!(world.saga().is_running);
    world.until(18_000);
    let times: Vec<u64> = world
        .calls
        .iter()
        .map(|call| call.split(' ').next().unwrap().parse().unwrap())
        .collect();
    // Connect +1.5, Business +2, Connect +3, +6, +9: interval * rate * count.
    assert_eq!(times[..5], [0, 1_500, 3_500, 6_500, 12_500]);
    world.until(21_500);
    assert_eq!(world.calls.len(), 6);
    // The second attempt may have been carried out, for all that is known.
    world.tells("UN", &["A UN"]);
}

#[test]
fn an_attempt_in_doubt_is_not_forgotten() {
    let retry = json!([{"Exceptions": ["java.lang.Throwable"], "IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 1}]);
    let known = json!({"$Exception{Known}": "FA"});
    for (first, last, status) in [
        (network(Kind::ReadTimeout), network(Kind::Connect), "UN"),
        (fails("Unknown"), network(Kind::Connect), "UN"),
        (network(Kind::Connect), network(Kind::Connect), "FA"),
        // By the state's rules it was not done the first time.
        (fails("Known"), network(Kind::Connect), "FA"),
        // The participant knows best.
        (network(Kind::ReadTimeout), fails("Known"), "FA"),
    ] {
        let told = format!("{first:?} {last:?}");
        let states =
            json!({"A": task("a", json!({"Retry": retry, "IsForUpdate": true, "Status": known}))});
        let mut world = run(states, json!({}), move |call| {
            if call.attempt == 1 {
                first.clone()
            } else {
                last.clone()
            }
        });
        world.until(1_000);
        assert_eq!(world.saga().records[0].status.name(), status, "{told}");
    }
}

#[test]
fn a_call_without_answer_is_unknown_in_the_end() {
    let states = json!({"A": task("a", json!({"IsForUpdate": true}))});
    let mut world = run(states, json!({}), |_| None);
    world.until(299_999);
    world.tells("RU", &["A RU"]);
    world.until(300_000);
    world.tells("UN", &["A UN"]);
    let call = world.open[0];
    assert_eq!(world.returned(call, done(json!(1)).unwrap()), Reply::Late);
    world.tells("UN", &["A UN"]);
}

#[test]
fn answers_that_come_twice_or_for_nobody_change_nothing() {
    let states = json!({"A": task("a", json!({"Next": "B"})), "B": task("b", json!(null))});
    let mut world = run(states, json!({}), |_| None);
    let a = world.open[0];
    assert_eq!(world.returned(a, done(json!(1)).unwrap()), Reply::Done);
    assert_eq!(world.returned(a, done(json!(2)).unwrap()), Reply::Late);
    let mut strange = a;
    strange.saga.slot = 77;
    assert_eq!(
        world.returned(strange, done(json!(2)).unwrap()),
        Reply::Late
    );
    world.tells("RU", &["A SU", "B RU"]);
}

#[test]
fn an_asynchronous_state_does_not_hold_the_machine_up() {
    let states = json!({"A": task("a", json!({"IsAsync": true, "Output": {"r": "$.#root"}, "Next": "B"})), "B": task("b", json!(null))});
    let mut world = World::new(Config::default(), |call| {
        if &*call.service.method == "a" {
            None
        } else {
            done(json!(1))
        }
    });
    world.define(&machine("m", json!(null), states));
    world.start("m", json!({})).unwrap();
    // It stays until the call has an outcome.
    world.tells("SU", &["A SU", "B SU"]);
    assert_eq!(world.sagas.outstanding().count(), 1);
    let forget = Command::Forget { saga: "s".into() };
    assert_eq!(world.apply(forget), Err(Refused::Running("s".into())));
    let a = world.open[0];
    world.returned(a, done(json!(1)).unwrap());
    assert_eq!((world.ended.len(), world.sagas.len()), (1, 0));
    assert_eq!(world.ended[0].saga.vars.get("r"), None);
}

#[test]
fn what_changed_something_and_cannot_be_undone_stops_compensation() {
    let states = json!({
        "A": task("a", json!({"IsForUpdate": true, "Next": "B"})), "B": task("b", json!({"Catch": [{"Exceptions": ["java.lang.Exception"], "Next": "C"}]})),
        "C": {"Type": "CompensationTrigger"},
    });
    let world = run(states, json!({}), |call| {
        if &*call.service.method == "b" {
            fails("E")
        } else {
            done(json!(1))
        }
    });
    world.tells("UN", &["A SU", "B FA"]);
    assert_eq!(
        world.saga().exception.as_ref().unwrap().code,
        Some(Code::CompensationNotFound)
    );
}

#[test]
fn a_compensation_that_does_not_exist_is_no_compensation() {
    let states = json!({"A": task("a", json!({"CompensateState": "Nowhere"}))});
    let mut world = run(states, json!({}), echo);
    world.compensate(json!({})).unwrap();
    world.tells("SU/UN", &["A SU"]);
}

fn looping(parallel: u32, attributes: Value) -> Value {
    let mut repeat = map(
        json!({"Parallel": parallel, "Collection": "$.[list]", "ElementVariableName": "element", "ElementIndexName": "index"}),
    );
    repeat.extend(map(attributes));
    json!({
        "A": task("a", json!({"Loop": repeat, "CompensateState": "Undo", "Input": ["$.[index]", "$.[element]"], "Output": {"r": "$.#root"}, "Catch": [{"Exceptions": ["java.lang.Throwable"], "Next": "Back"}], "Next": "B"})),
        "B": task("b", json!({"Input": ["$.[loopResult]"]})),
        "Undo": task("undo", json!({"Input": ["$.[index]", "$.[element]", "$.[r]"]})),
        "Back": {"Type": "CompensationTrigger"},
    })
}

#[test]
fn a_loop_runs_as_many_at_once_as_it_may() {
    let mut world = run(
        looping(2, json!({})),
        json!({"list": ["x", "y", "z"]}),
        |_| None,
    );
    assert_eq!(world.calls, ["0 a [0,\"x\"]", "0 a [1,\"y\"]"]);
    let (first, second) = (world.open[0], world.open[1]);
    world.returned(second, done(json!("R1")).unwrap());
    assert_eq!(world.calls[2..], ["0 a [2,\"z\"]"]);
    world.returned(first, done(json!("R0")).unwrap());
    let third = world.open[2];
    world.returned(third, done(json!("R2")).unwrap());
    assert_eq!(
        world.calls[3..],
        [r#"0 b [[{"r":"R0"},{"r":"R1"},{"r":"R2"}]]"#]
    );
    world.tells("RU", &["A-loop-0 SU", "A-loop-1 SU", "A-loop-2 SU", "B RU"]);
}

#[test]
fn a_loop_that_fails_is_compensated_with_the_elements_that_it_had() {
    let world = run(
        looping(3, json!({})),
        json!({"list": ["x", "y", "z"]}),
        |call| match (&*call.service.method, call.element) {
            ("a", Some(1)) => fails("E"),
            ("a", index) => done(json!({"id": index})),
            (method, _) => done(json!(method)),
        },
    );
    world.tells(
        "UN/SU",
        &[
            "A-loop-0 SU/SU",
            "A-loop-1 UN/SU",
            "A-loop-2 SU/SU",
            "Undo SU",
            "Undo SU",
            "Undo SU",
        ],
    );
    assert_eq!(
        world.calls[3..],
        [
            r#"0 undo [2,"z",{"id":2}]"#,
            r#"0 undo [1,"y",null]"#,
            r#"0 undo [0,"x",{"id":0}]"#
        ]
    );
}

#[test]
fn a_loop_ends_when_its_condition_holds() {
    let condition =
        json!({"CompletionCondition": "[nrOfCompletedInstances] / [nrOfInstances] >= 0.5"});
    let world = run(looping(1, condition), json!({"list": [1, 2, 3, 4]}), echo);
    world.tells("SU", &["A-loop-0 SU", "A-loop-1 SU", "B SU"]);
    let wrong = json!({"CompletionCondition": "[none] / 2"});
    let world = run(looping(1, wrong), json!({"list": [1, 2]}), echo);
    world.tells("FA", &[]);
}

#[test]
fn a_loop_over_nothing_is_none() {
    for list in [json!([]), json!("text"), json!(null)] {
        let world = run(looping(2, json!({})), json!({"list": list}), echo);
        world.tells("SU", &["A SU", "B SU"]);
    }
    let long: Vec<u32> = (0..5_000).collect();
    let world = run(looping(2, json!({})), json!({"list": long}), echo);
    assert_eq!(
        world.saga().exception.as_ref().unwrap().code,
        Some(Code::TooLarge)
    );
}

#[test]
fn going_forward_does_what_failed_in_a_loop_and_no_more() {
    let broken = Rc::new(Cell::new(true));
    let seen = Rc::clone(&broken);
    let mut states = looping(1, json!({}));
    states["A"]["Catch"] = json!([]);
    let mut world = run(
        states,
        json!({"list": ["x", "y", "z", "w"]}),
        move |call| match (&*call.service.method, call.element) {
            ("a", Some(1)) if seen.get() => fails("E"),
            (method, _) => done(json!(method)),
        },
    );
    world.tells("UN", &["A-loop-0 SU", "A-loop-1 UN"]);
    broken.set(false);
    let before = world.calls.len();
    world.forward(json!({})).unwrap();
    assert_eq!(
        world.calls[before..before + 3],
        [r#"0 a [1,"y"]"#, r#"0 a [2,"z"]"#, r#"0 a [3,"w"]"#]
    );
    world.tells(
        "SU",
        &[
            "A-loop-0 SU",
            "A-loop-1 UN",
            "A-loop-1 SU",
            "A-loop-2 SU",
            "A-loop-3 SU",
            "B SU",
        ],
    );
    assert_eq!(world.saga().record_id(2), "1.1");
}

/// A, then a machine of two states, then C.
fn with_child(answer: impl FnMut(&diwan_saga::engine::Call) -> Option<Outcome> + 'static) -> World {
    let child = machine(
        "child",
        json!(null),
        json!({
            "A": task("x", json!({"CompensateState": "UndoX", "Next": "Y", "Input": ["$.[p]"], "Output": {"x": "$.#root"}})),
            "Y": task("y", json!({"CompensateState": "UndoY"})),
            "UndoX": task("undoX", json!({"Input": ["$.[q]"]})), "UndoY": task("undoY", json!(null)),
        }),
    );
    let parent = machine(
        "parent",
        json!(null),
        json!({
            "A": task("a", json!({"CompensateState": "UndoA", "Next": "B"})),
            "B": {"Type": "SubStateMachine", "StateMachineName": "child", "Input": [{"p": "$.[x]"}], "Output": {"fromChild": "$.#root"}, "CompensateState": "UndoB", "Next": "C"},
            "C": task("c", json!({"Input": ["$.[fromChild].x"]})),
            "UndoA": task("undoA", json!(null)), "UndoB": {"Type": "CompensateSubMachine", "Input": [{"q": 5}]},
        }),
    );
    let mut world = World::with(&child, answer);
    world.define(&parent);
    world.start("parent", json!({"x": 4})).unwrap();
    world
}

#[test]
fn a_sub_machine_is_a_saga_of_its_own() {
    let mut world = with_child(echo);
    world.tells("SU", &["A SU", "B SU", "C SU"]);
    assert_eq!(world.calls, ["0 a []", "0 x [4]", "0 y []", "0 c [\"x\"]"]);
    let child = world.sagas.get("s:0").unwrap();
    assert_eq!(world.history_of(child).0, "SU");
    world.compensate(json!({})).unwrap();
    assert_eq!(
        world.calls[4..],
        ["0 undoY []", "0 undoX [5]", "0 undoA []"]
    );
    world.tells(
        "SU/SU",
        &["A SU/SU", "B SU/SU", "C SU", "UndoB SU", "UndoA SU"],
    );
    assert_eq!(world.history_of(world.sagas.get("s:0").unwrap()).0, "SU/SU");
    assert!(matches!(
        world.apply(Command::Forget { saga: "s:0".into() }),
        Err(Refused::NotARoot(..))
    ));
    // All of them leave together.
    world.apply(Command::Forget { saga: "s".into() }).unwrap();
    assert_eq!((world.sagas.len(), world.ended[0].children.len()), (0, 1));
}

#[test]
fn a_saga_comes_back_from_the_archive_to_be_undone() {
    let mut world = with_child(echo);
    world.apply(Command::Forget { saga: "s".into() }).unwrap();
    let ended = Box::new(world.ended.pop().unwrap());
    let mut changed = ended.clone();
    changed.saga.records.clear();
    changed.saga.machine.0 = 7;
    assert_eq!(
        world.apply(Command::Reload(changed)),
        Err(Refused::NotAnEnd("s".into()))
    );
    world.start_as("other", "child", json!({})).unwrap();
    world.apply(Command::Reload(ended.clone())).unwrap();
    assert_eq!(
        world.apply(Command::Reload(ended)),
        Err(Refused::SagaExists("s".into()))
    );
    world.tells("SU", &["A SU", "B SU", "C SU"]);
    let before = world.calls.len();
    world.compensate(json!({})).unwrap();
    assert_eq!(
        world.calls[before..],
        ["0 undoY []", "0 undoX [5]", "0 undoA []"]
    );
    world.tells(
        "SU/SU",
        &["A SU/SU", "B SU/SU", "C SU", "UndoB SU", "UndoA SU"],
    );
    assert_eq!(world.sagas.len(), 3);
}

#[test]
fn going_forward_goes_into_the_sub_machine() {
    let broken = Rc::new(Cell::new(true));
    let seen = Rc::clone(&broken);
    let mut world = with_child(move |call| match &*call.service.method {
        "y" if seen.get() => fails("E"),
        method => done(json!(method)),
    });
    // A sub-machine that failed is no exception: the machine goes on, as Seata's does.
    world.tells("UN", &["A SU", "B UN", "C SU"]);
    broken.set(false);
    world.compensate(json!({})).unwrap();
    world.tells(
        "UN/SU",
        &["A SU/SU", "B UN/SU", "C SU", "UndoB SU", "UndoA SU"],
    );

    let broken = Rc::new(Cell::new(true));
    let seen = Rc::clone(&broken);
    let mut world = with_child(move |call| match &*call.service.method {
        "y" if seen.get() => None,
        method => done(json!(method)),
    });
    world.compensate(json!({})).unwrap();
    world.tells("UN/SU", &["A SU/SU", "B UN/SU", "UndoB SU", "UndoA SU"]);
    assert_eq!(
        world.history_of(world.sagas.get("s:0").unwrap()),
        (
            "UN/SU".into(),
            ["A SU/SU", "Y UN/SU", "UndoY SU", "UndoX SU"]
                .map(Into::into)
                .to_vec()
        )
    );
}

#[test]
fn a_sub_machine_that_is_retried_goes_on_where_it_was() {
    let broken = Rc::new(Cell::new(true));
    let seen = Rc::clone(&broken);
    let child = machine(
        "child",
        json!(null),
        json!({"A": task("x", json!({"IsForUpdate": true, "Next": "Y"})), "Y": task("y", json!({"IsForUpdate": true}))}),
    );
    let parent = machine(
        "parent",
        json!(null),
        json!({"A": {"Type": "SubStateMachine", "StateMachineName": "child"}}),
    );
    let mut world = World::with(&child, move |call| match &*call.service.method {
        "y" if seen.get() => fails("E"),
        method => done(json!(method)),
    });
    world.define(&parent);
    world.start("parent", json!({})).unwrap();
    world.tells("UN", &["A UN"]);
    broken.set(false);
    world.until(1_000);
    world.tells("SU", &["A UN", "A SU"]);
    assert_eq!(world.calls, ["0 x []", "0 y []", "1000 y []"]);
}

#[test]
fn sagas_within_sagas_have_an_end() {
    let (one, other) = (
        machine(
            "one",
            json!(null),
            json!({"A": {"Type": "SubStateMachine", "StateMachineName": "other"}}),
        ),
        machine(
            "other",
            json!(null),
            json!({"A": {"Type": "SubStateMachine", "StateMachineName": "one"}}),
        ),
    );
    let mut world = World::with(&one, echo);
    world.define(&other);
    world.start("one", json!({})).unwrap();
    assert_eq!(world.sagas.len(), 17);
    assert!(!world.saga().is_running);
    let missing = machine(
        "missing",
        json!(null),
        json!({"A": {"Type": "SubStateMachine", "StateMachineName": "none"}}),
    );
    world.define(&missing);
    world.start_as("x", "missing", json!({})).unwrap();
    let saga = world.sagas.get("x").unwrap();
    assert_eq!(
        saga.exception.as_ref().unwrap().code,
        Some(Code::SubMachine)
    );
    // What never started did nothing.
    let undone = Command::Compensate {
        saga: "x".into(),
        params: map(json!({})),
    };
    world.apply(undone).unwrap();
    assert_eq!(
        world.sagas.get("x").unwrap().compensation,
        Some(Status::Succeeded)
    );
}

#[test]
fn histories_that_are_overwritten() {
    let both = json!({"IsRetryPersistModeUpdate": true, "IsCompensatePersistModeUpdate": true});
    let count = Rc::new(Cell::new(0));
    let seen = Rc::clone(&count);
    let mut world = World::with(&two_steps(both), move |call| {
        seen.set(seen.get() + 1);
        match &*call.service.method {
            "b" if seen.get() < 5 => fails("E"),
            "undoA" if seen.get() < 9 => fails("E"),
            method => done(json!(method)),
        }
    });
    world.start("two", json!({})).unwrap();
    for _ in 0..3 {
        let _ = world.forward(json!({}));
    }
    world.tells("SU", &["A SU", "B SU"]);
    for _ in 0..4 {
        world.compensate(json!({})).unwrap();
    }
    world.tells("SU/SU", &["A SU/SU", "B SU/SU", "UndoB SU", "UndoA SU"]);
}

#[test]
fn a_script_decides_without_a_call() {
    let states = json!({
        "A": {"Type": "ScriptTask", "ScriptContent": "if (x > 3) { throw new IllegalStateException('large') }; return 'x' + x", "Input": [{"x": "$.[x]"}], "Output": {"y": "$.#root"}, "Next": "B", "Catch": [{"Exceptions": ["java.lang.RuntimeException"], "Next": "C"}]},
        "B": task("b", json!({"Input": ["$.[y]"]})), "C": {"Type": "Fail"},
    });
    let world = run(states.clone(), json!({"x": 1}), echo);
    assert_eq!(world.calls, ["0 b [\"x1\"]"]);
    let world = run(states.clone(), json!({"x": 4}), echo);
    world.tells("FA", &[]);
    assert_eq!(
        &*world.saga().exception.as_ref().unwrap().class,
        "java.lang.IllegalStateException"
    );
    let world = run(states, json!({}), echo);
    assert_eq!(world.calls, ["0 b [\"xnull\"]"]);
}

#[test]
fn a_machine_that_never_waits_ends() {
    let states = json!({
        "A": {"Type": "ScriptTask", "ScriptContent": "1", "Next": "B"},
        "B": {"Type": "Choice", "Choices": [{"Expression": "[never] == 1", "Next": "C"}], "Default": "A"}, "C": {"Type": "Succeed"},
    });
    let world = run(states, json!({}), echo);
    assert_eq!(
        world.saga().exception.as_ref().unwrap().code,
        Some(Code::TooLarge)
    );
    let states = json!({
        "A": task("a", json!({"Next": "B"})),
        "B": {"Type": "Choice", "Choices": [{"Expression": "[never] == 1", "Next": "C"}], "Default": "A"}, "C": {"Type": "Succeed"},
    });
    let world = run(states, json!({}), echo);
    assert_eq!(
        (world.saga().records.len(), world.saga().is_running),
        (10_000, false)
    );
}

#[test]
fn bounds_have_answers() {
    let config = Config {
        sagas_max: 2,
        value_bytes_max: 100,
        machines_max: 1,
        ..lasting()
    };
    let big = "x".repeat(200);
    let seen = big.clone();
    let mut world = World::new(config, move |_| done(json!(seen)));
    world.define(&two_steps(json!(null)));
    let other = Command::Define {
        tenant: TENANT.into(),
        text: machine("other", json!(null), json!({"A": {"Type": "Succeed"}})).to_string(),
    };
    assert_eq!(world.apply(other), Err(Refused::TooMuch("machines", 1)));
    assert_eq!(
        world.start("two", json!({"x": big})),
        Err(Refused::TooMuch("bytes of parameters", 100))
    );
    assert_eq!(
        world.start("none", json!({})),
        Err(Refused::NoSuchMachine("none".into()))
    );
    world.start("two", json!({})).unwrap();
    // What is too large was carried out all the same.
    world.tells("UN", &["A UN"]);
    assert_eq!(
        world.start("two", json!({})),
        Err(Refused::SagaExists("s".into()))
    );
    world.start_as("t", "two", json!({})).unwrap();
    assert_eq!(
        world.start_as("u", "two", json!({})),
        Err(Refused::TooMuch("living sagas", 2))
    );
    let forget = |saga: &str| Command::Forget { saga: saga.into() };
    assert_eq!(
        world.apply(forget("u")),
        Err(Refused::NoSuchSaga("u".into()))
    );
    world.apply(forget("t")).unwrap();
    world.start_as("u", "two", json!({})).unwrap();
    assert!(matches!(
        world.apply(Command::Define {
            tenant: TENANT.into(),
            text: "{".into()
        }),
        Err(Refused::Machine(_))
    ));
}

#[test]
fn values_that_wrap_themselves_have_an_end() {
    let states = json!({
        "A": task("a", json!({"Input": [{"p": "$.[p]"}], "Output": {"p": "$.#root"}, "Next": "B"})),
        "B": {"Type": "Choice", "Choices": [{"Expression": "[never] == 1", "Next": "C"}], "Default": "A"}, "C": {"Type": "Succeed"},
    });
    let deep = run(states, json!({"p": 1}), |call| {
        done(Value::clone(&call.args[0]))
    });
    assert_eq!(
        deep.saga().exception.as_ref().unwrap().code,
        Some(Code::TooLarge)
    );
    assert!(deep.saga().records.len() < 110);
    let mut states = looping(1, json!({}));
    states["A"]["Input"] = json!([{"x": "$.[list]", "y": "$.[list]", "z": ["$.[list]"]}]);
    let list: Vec<String> = (0..4_000).map(|number| format!("{number:0100}")).collect();
    let wide = run(states, json!({"list": list}), |call| {
        done(Value::clone(&call.args[0]))
    });
    assert_eq!(
        wide.saga().exception.as_ref().unwrap().code,
        Some(Code::TooLarge)
    );
    let many: serde_json::Map<String, Value> = (0..1_001)
        .map(|number| (number.to_string(), json!(1)))
        .collect();
    let mut world = World::with(&two_steps(json!(null)), echo);
    assert_eq!(
        world.start("two", many.into()),
        Err(Refused::TooMuch("variables", 1_000))
    );
}

#[test]
fn business_keys_are_unique_while_they_live() {
    let names = Rc::new(RefCell::new(Vec::new()));
    let mut world = World::new(Config::default(), |_| None);
    world.define(&machine("m", json!(null), json!({"A": task("a", json!({"Input": ["$.[_business_key_]", {"n": "$Sequence.BUSINESS_KEY|SIMPLE"}]}))})));
    let start = |id: &str| Command::Start {
        id: id.into(),
        machine: "m".into(),
        tenant: TENANT.into(),
        business_key: Some("order 1".into()),
        params: map(json!({})),
    };
    world.apply(start("s")).unwrap();
    names.borrow_mut().push(world.calls[0].clone());
    assert_eq!(*names.borrow(), [r#"0 a ["order 1",{"n":"s-0"}]"#]);
    assert_eq!(
        world.apply(start("t")),
        Err(Refused::BusinessKeyInUse("order 1".into()))
    );
    assert_eq!(
        world.saga().vars.get("A_business_key_"),
        Some(&json!("s-0"))
    );
    let call = world.open[0];
    world.returned(call, done(json!(1)).unwrap());
    world.apply(start("t")).unwrap();
}
