//! Branches that run at once, and meet.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::cell::Cell;
use std::rc::Rc;

use diwan_saga::engine::{Call, Code, Outcome, Reply};
use serde_json::{Value, json};
use world::*;

/// A; then B, C with E at once; then D.
fn forking(fork: Value, changes: Value) -> Value {
    let mut states = map(json!({
        "A": task("a", json!({"CompensateState": "Undo", "Next": "Fork"})),
        "B": task("b", json!({"CompensateState": "UndoB", "Next": "Join"})),
        "C": task("c", json!({"CompensateState": "UndoC", "Next": "E"})),
        "E": task("e", json!({"CompensateState": "UndoE", "Next": "Join"})),
        "Join": {"Type": "Join", "Next": "D"}, "D": task("d", json!(null)),
        "Undo": task("undoA", json!(null)), "UndoB": task("undoB", json!(null)), "UndoC": task("undoC", json!(null)), "UndoE": task("undoE", json!(null)),
        "Back": {"Type": "CompensationTrigger", "Next": "Failed"}, "Failed": {"Type": "Fail"},
    }));
    let mut attributes = map(json!({"Type": "Fork", "Branches": ["B", "C"]}));
    attributes.extend(map(fork));
    states.insert("Fork".into(), attributes.into());
    states.extend(map(changes));
    machine("fork", json!(null), states.into())
}

fn run(machine: &Value, answer: impl FnMut(&Call) -> Option<Outcome> + 'static) -> World {
    let mut world = World::with(machine, answer);
    world.start("fork", json!({})).unwrap();
    world
}

fn methods(world: &World) -> Vec<&str> {
    world
        .calls
        .iter()
        .map(|call| call.split(' ').nth(1).unwrap())
        .collect()
}

#[test]
fn branches_run_at_once_and_the_join_waits() {
    let mut world = run(&forking(json!(null), json!(null)), |call| {
        match &*call.service.method {
            "b" | "c" => None,
            method => done(json!(method)),
        }
    });
    assert_eq!(methods(&world), ["a", "b", "c"]);
    let (b, c) = (world.open[0], world.open[1]);
    world.returned(b, done(json!(1)).unwrap());
    world.tells("RU", &["A SU", "B SU", "C RU"]);
    world.returned(c, done(json!(1)).unwrap());
    world.tells("SU", &["A SU", "B SU", "C SU", "E SU", "D SU"]);
}

#[test]
fn only_as_many_run_as_may() {
    let mut world = run(
        &forking(json!({"Parallel": 1}), json!(null)),
        |call| match &*call.service.method {
            "b" => None,
            method => done(json!(method)),
        },
    );
    assert_eq!(methods(&world), ["a", "b"]);
    let b = world.open[0];
    world.returned(b, done(json!(1)).unwrap());
    assert_eq!(methods(&world), ["a", "b", "c", "e", "d"]);
}

#[test]
fn a_branch_that_fails_is_heard_when_the_others_are_done_and_is_done_again_alone() {
    let broken = Rc::new(Cell::new(true));
    let seen = Rc::clone(&broken);
    let mut world = run(
        &forking(json!(null), json!(null)),
        move |call| match &*call.service.method {
            "b" if seen.get() => fails("E"),
            "c" => None,
            method => done(json!(method)),
        },
    );
    world.tells("RU", &["A SU", "B UN", "C RU"]);
    let c = world.open[0];
    world.returned(c, done(json!(1)).unwrap());
    world.tells("UN", &["A SU", "B UN", "C SU", "E SU"]);
    broken.set(false);
    world.until(1_000);
    world.tells("SU", &["A SU", "B UN", "C SU", "E SU", "B SU", "D SU"]);
    assert_eq!(methods(&world), ["a", "b", "c", "e", "b", "d"]);
}

#[test]
fn compensation_waits_for_the_other_branches_and_undoes_them_all() {
    let changes = json!({"B": task("b", json!({"CompensateState": "UndoB", "Next": "Join", "Catch": [{"Exceptions": ["E"], "Next": "Back"}]}))});
    let mut world = run(&forking(json!(null), changes), |call| {
        match &*call.service.method {
            "b" => fails("E"),
            "c" => None,
            method => done(json!(method)),
        }
    });
    assert_eq!(methods(&world), ["a", "b", "c"]);
    let c = world.open[0];
    world.returned(c, done(json!(1)).unwrap());
    world.tells(
        "UN/SU",
        &[
            "A SU/SU", "B UN/SU", "C SU/SU", "E SU/SU", "UndoE SU", "UndoC SU", "UndoB SU",
            "Undo SU",
        ],
    );
}

#[test]
fn a_join_that_waits_for_too_long_ends_the_saga() {
    let mut world = run(
        &forking(json!({"AwaitTimeout": 5_000}), json!(null)),
        |call| match &*call.service.method {
            "e" => None,
            method => done(json!(method)),
        },
    );
    world.until(4_999);
    world.tells("RU", &["A SU", "B SU", "C SU", "E RU"]);
    world.until(5_000);
    world.tells("UN", &["A SU", "B SU", "C SU", "E UN"]);
    assert_eq!(
        world.saga().exception.as_ref().unwrap().code,
        Some(Code::Timeout)
    );
    assert!(world.saga().recovery.is_some());
}

/// B of the fork is a fork itself, of F and G, followed by H.
fn nested(answer: impl FnMut(&Call) -> Option<Outcome> + 'static) -> World {
    let changes = json!({
        "B": {"Type": "Fork", "Branches": ["F", "G"], "Parallel": 1},
        "F": task("f", json!({"CompensateState": "UndoB", "Next": "Inner"})), "G": task("g", json!({"CompensateState": "UndoC", "Next": "Inner"})),
        "Inner": {"Type": "Join", "Next": "H"}, "H": task("h", json!({"Next": "Join"})),
    });
    run(&forking(json!(null), changes), answer)
}

#[test]
fn forks_within_forks() {
    let world = nested(|call| done(json!(&*call.service.method)));
    world.tells(
        "SU",
        &["A SU", "C SU", "F SU", "E SU", "G SU", "H SU", "D SU"],
    );
    let broken = Rc::new(Cell::new(true));
    let seen = Rc::clone(&broken);
    let mut world = nested(move |call| match &*call.service.method {
        "g" if seen.get() => fails("E"),
        method => done(json!(method)),
    });
    world.tells("UN", &["A SU", "C SU", "F SU", "E SU", "G UN"]);
    broken.set(false);
    world.until(1_000);
    world.tells(
        "SU",
        &[
            "A SU", "C SU", "F SU", "E SU", "G UN", "G SU", "H SU", "D SU",
        ],
    );
}

#[test]
fn skipping_what_failed_in_a_branch() {
    let mut world = nested(|call| match &*call.service.method {
        "g" => fails("E"),
        method => done(json!(method)),
    });
    world.skip().unwrap();
    world.tells(
        "SU",
        &["A SU", "C SU", "F SU", "E SU", "G SK", "H SU", "D SU"],
    );
}

#[test]
fn a_branch_may_end_the_machine() {
    let changes = json!({"B": {"Type": "Choice", "Choices": [{"Expression": "true", "Next": "Failed"}], "Default": "Join"}});
    let world = run(&forking(json!(null), changes), |call| {
        done(json!(&*call.service.method))
    });
    world.tells("UN", &["A SU", "C SU", "E SU"]);
}

/// B of the fork is a loop.
fn with_loop(answer: impl FnMut(&Call) -> Option<Outcome> + 'static, params: Value) -> World {
    let element = json!({"CompensateState": "UndoB", "Next": "Join", "Input": ["$.[one]"], "Loop": {"Collection": "$.[all]", "ElementVariableName": "one", "Parallel": 2}});
    let changes =
        json!({"B": task("b", element), "UndoB": task("undoB", json!({"Input": ["$.[one]"]}))});
    let mut world = World::with(&forking(json!(null), changes), answer);
    world.start("fork", params).unwrap();
    world
}

#[test]
fn a_loop_in_a_branch_runs_beside_the_other_branch() {
    let mut world = with_loop(|_| None, json!({"all": [1, 2, 3]}));
    assert_eq!(methods(&world), ["a"]);
    let a = world.open[0];
    world.returned(a, done(json!(1)).unwrap());
    assert_eq!(methods(&world)[1..], ["b", "b", "c"]);
    let (one, other, c) = (world.open[1], world.open[2], world.open[3]);
    world.returned(c, done(json!(1)).unwrap());
    let e = world.open[4];
    world.returned(e, done(json!(1)).unwrap());
    world.returned(other, done(json!(1)).unwrap());
    world.returned(one, done(json!(1)).unwrap());
    assert_eq!(methods(&world)[4..], ["e", "b"]);
    let last = world.open[5];
    world.returned(last, done(json!(1)).unwrap());
    world.tells(
        "RU",
        &[
            "A SU",
            "B-loop-0 SU",
            "B-loop-1 SU",
            "C SU",
            "E SU",
            "B-loop-2 SU",
            "D RU",
        ],
    );
}

#[test]
fn elements_that_failed_in_a_branch_are_done_again_alone() {
    let broken = Rc::new(Cell::new(true));
    let seen = Rc::clone(&broken);
    let mut world = with_loop(
        move |call| match (&*call.service.method, call.element) {
            ("b", Some(1)) if seen.get() => fails("E"),
            (method, _) => done(json!(method)),
        },
        json!({"all": [1, 2]}),
    );
    world.tells(
        "UN",
        &["A SU", "B-loop-0 SU", "B-loop-1 UN", "C SU", "E SU"],
    );
    broken.set(false);
    world.until(1_000);
    world.tells(
        "SU",
        &[
            "A SU",
            "B-loop-0 SU",
            "B-loop-1 UN",
            "C SU",
            "E SU",
            "B-loop-1 SU",
            "D SU",
        ],
    );
}

#[test]
fn the_elements_of_a_branch_are_undone_one_by_one() {
    let mut world = with_loop(
        |call| match &*call.service.method {
            "c" => fails("E"),
            method => done(json!(method)),
        },
        json!({"all": [1, 2]}),
    );
    world.tells("UN", &["A SU", "B-loop-0 SU", "B-loop-1 SU", "C UN"]);
    world.compensate(json!({})).unwrap();
    let undone: Vec<&str> = world
        .calls
        .iter()
        .map(|call| call.split_once(' ').unwrap().1)
        .filter(|call| call.starts_with("undo"))
        .collect();
    assert_eq!(undone, ["undoC []", "undoB [2]", "undoB [1]", "undoA []"]);
}

#[test]
fn loops_in_two_branches_do_not_mix() {
    let element = |method: &str| {
        task(
            method,
            json!({"Next": "Join", "Input": ["$.[one]"], "Loop": {"Collection": format!("$.[{method}s]"), "ElementVariableName": "one"}}),
        )
    };
    let changes = json!({"B": element("b"), "C": element("c")});
    let mut world = World::with(&forking(json!(null), changes), |_| None);
    world
        .start("fork", json!({"bs": [1, 2], "cs": ["x"]}))
        .unwrap();
    for _ in 0..4 {
        let next = *world.open.last().unwrap();
        world.returned(next, done(json!(1)).unwrap());
    }
    let calls: Vec<&str> = world
        .calls
        .iter()
        .map(|call| call.split_once(' ').unwrap().1)
        .collect();
    assert_eq!(calls, ["a []", "b [1]", "c [\"x\"]"]);
    let b = world.open[1];
    world.returned(b, done(json!(1)).unwrap());
    let b = *world.open.last().unwrap();
    world.returned(b, done(json!(1)).unwrap());
    world.tells(
        "RU",
        &["A SU", "B-loop-0 SU", "C-loop-0 SU", "B-loop-1 SU", "D RU"],
    );
}

#[test]
fn a_join_that_waits_for_a_loop_for_too_long_ends_the_saga() {
    let element =
        json!({"Next": "Join", "CompensateState": "UndoB", "Loop": {"Collection": "$.[all]"}});
    let machine = forking(
        json!({"AwaitTimeout": 5_000}),
        json!({"B": task("b", element)}),
    );
    let mut world = World::with(&machine, |call| match &*call.service.method {
        "b" => None,
        method => done(json!(method)),
    });
    world.start("fork", json!({"all": [1, 2]})).unwrap();
    world.until(5_000);
    world.tells("UN", &["A SU", "B-loop-0 UN", "C SU", "E SU"]);
    let b = world.open[0];
    assert_eq!(world.returned(b, done(json!(1)).unwrap()), Reply::Late);
}
