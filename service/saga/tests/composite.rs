//! States that are many: the elements of a loop, and sagas that states start.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::cell::Cell;
use std::rc::Rc;

use diwan_saga::engine::{Call, Code, Command, Outcome, Refused, Status};
use serde_json::{Value, json};
use world::*;

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
#[test]
fn an_element_whose_input_is_too_large_ends_the_saga() {
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
}

fn with_child(answer: impl FnMut(&Call) -> Option<Outcome> + 'static) -> World {
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
