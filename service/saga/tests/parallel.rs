//! The state type Parallel: tasks at once.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::cell::Cell;
use std::rc::Rc;

use diwan_saga::check::{Source, check};
use diwan_saga::engine::{Call, Outcome};
use diwan_saga::lang::load_named;
use serde_json::{Value, json};
use world::*;

/// B, C and B again at once; then D.
fn parallel(attributes: Value, changes: Value) -> Value {
    let mut first = map(
        json!({"Type": "Parallel", "Branches": ["B", "C", "B"], "Output": {"all": "$.#root"}, "Next": "D"}),
    );
    first.extend(map(attributes));
    let mut states = map(json!({
        "B": task("b", json!({"Next": "C", "CompensateState": "UndoB", "Input": ["$.[x]"]})),
        "C": task("c", json!({"Output": {"c": "$.#root"}})),
        "D": task("d", json!({"Input": ["$.[all]", "$.[c]"]})),
        "UndoB": task("undoB", json!(null)),
        "Back": {"Type": "CompensationTrigger", "Next": "Failed"}, "Failed": {"Type": "Fail"},
    }));
    states.insert("A".into(), first.into());
    states.extend(map(changes));
    machine("parallel", json!(null), states.into())
}

fn run(machine: &Value, answer: impl FnMut(&Call) -> Option<Outcome> + 'static) -> World {
    let mut world = World::with(machine, answer);
    world
        .start("parallel", json!({"x": 1, "list": [1, 2]}))
        .unwrap();
    world
}

fn echo(call: &Call) -> Option<Outcome> {
    done(json!(&*call.service.method))
}

#[test]
fn branches_are_one_task_each_and_their_results_are_a_list() {
    let world = run(&parallel(json!(null), json!(null)), echo);
    world.tells(
        "SU",
        &[
            "A-parallel-0-B SU",
            "A-parallel-1-C SU",
            "A-parallel-2-B SU",
            "D SU",
        ],
    );
    assert_eq!(
        world.calls,
        ["0 b [1]", "0 c []", "0 b [1]", r#"0 d [["b","c","b"],"c"]"#]
    );
}

#[test]
fn as_many_run_at_once_as_may() {
    let mut world = run(&parallel(json!({"Parallel": 2}), json!(null)), |_| None);
    assert_eq!(world.calls.len(), 2);
    let c = world.open[1];
    world.returned(c, done(json!(1)).unwrap());
    assert_eq!(world.calls.len(), 3);
}

#[test]
fn a_task_that_is_a_branch_is_also_a_state_of_its_own() {
    let world = run(&parallel(json!({"Next": "B"}), json!(null)), echo);
    world.tells(
        "SU",
        &[
            "A-parallel-0-B SU",
            "A-parallel-1-C SU",
            "A-parallel-2-B SU",
            "B SU",
            "C SU",
        ],
    );
}

#[test]
fn what_a_branch_catches_leads_the_whole_elsewhere_when_the_others_are_done() {
    let caught = |next: &str| json!({"C": task("c", json!({"Catch": [{"Exceptions": ["E"], "Next": next}]}))});
    let answer = |call: &Call| match &*call.service.method {
        "c" => fails("E"),
        _ => echo(call),
    };
    let world = run(&parallel(json!(null), caught("D")), answer);
    world.tells(
        "UN",
        &[
            "A-parallel-0-B SU",
            "A-parallel-1-C FA",
            "A-parallel-2-B SU",
            "D SU",
        ],
    );
    let world = run(&parallel(json!({"Parallel": 1}), caught("Back")), answer);
    world.tells(
        "UN/SU",
        &["A-parallel-0-B SU/SU", "A-parallel-1-C FA", "UndoB SU"],
    );
}

#[test]
fn what_failed_is_done_again_and_what_did_not_start_starts() {
    let broken = Rc::new(Cell::new(true));
    let seen = Rc::clone(&broken);
    let mut world = run(
        &parallel(json!({"Parallel": 1}), json!(null)),
        move |call| match &*call.service.method {
            "c" if seen.get() => fails("E"),
            _ => echo(call),
        },
    );
    world.tells("UN", &["A-parallel-0-B SU", "A-parallel-1-C FA"]);
    broken.set(false);
    world.until(1_000);
    world.tells(
        "SU",
        &[
            "A-parallel-0-B SU",
            "A-parallel-1-C FA",
            "A-parallel-1-C SU",
            "A-parallel-2-B SU",
            "D SU",
        ],
    );
    assert_eq!(world.calls.last().unwrap(), r#"1000 d [["b","c","b"],"c"]"#);
}

#[test]
fn a_branch_may_loop() {
    let changes = json!({"C": task("c", json!({"Loop": {"Collection": "$.[list]"}}))});
    let world = run(&parallel(json!(null), changes), echo);
    assert_eq!(
        world.calls.last().unwrap(),
        r#"0 d [["b",["c","c"],"b"],null]"#
    );
}

#[test]
fn what_is_wrong_with_a_branch_is_said_where_it_stands() {
    let fault = |attributes: Value, changes: Value| {
        let text = serde_json::to_string_pretty(&parallel(attributes, changes)).unwrap();
        load_named(Some("m.json"), &text).unwrap_err().to_string()
    };
    for (attributes, changes, told) in [
        (
            json!({"Branches": ["B", "Back"]}),
            json!(null),
            "/States/A/Branches/1: fork: `Back` is no task, as branches of a Parallel must be",
        ),
        (
            json!({"Branches": ["Nowhere"]}),
            json!(null),
            "/States/A/Branches/0: state `Nowhere` does not exist",
        ),
        (
            json!({"Branches": []}),
            json!(null),
            "/States/A: `Branches` is missing",
        ),
        (
            json!(null),
            json!({"C": task("c", json!({"Output": {"c": "$.[c"}}))}),
            "/States/C/Output/c: expression",
        ),
        (
            json!(null),
            json!({"A-parallel-0-B": task("c", json!(null))}),
            "a state is called `A-parallel-0-B`",
        ),
        (
            json!({"Branches": ["0-parallel-1-B"]}),
            json!({
                "0-parallel-1-B": task("b", json!(null)),
                "A-parallel-0-0": {"Type": "Parallel", "Branches": ["C", "B"]},
            }),
            "two branches of Parallel states are called `A-parallel-0-0-parallel-1-B`",
        ),
    ] {
        let said = fault(attributes, changes);
        assert!(said.contains(told), "{said}");
    }
    let text = parallel(
        json!({"Loop": {}}),
        json!({"B": task("b", json!({"Catches": []}))}),
    )
    .to_string();
    let machine = load_named(None, &text).unwrap();
    let said: Vec<String> = machine
        .warnings
        .iter()
        .map(|warning| warning.what.to_string())
        .collect();
    assert_eq!(
        said,
        [
            "unknown key `Loop` is ignored",
            "unknown key `Catches` is ignored; did you mean `Catch`?"
        ]
    );
}

#[test]
fn a_parallel_is_checked_with_its_branches_in_it() {
    let found = |machine: &Value| {
        let (file, text) = ("m.json", serde_json::to_string_pretty(machine).unwrap());
        let found = check(&[Source { file, text: &text }], true);
        let told = found.iter().map(ToString::to_string);
        told.collect::<Vec<_>>()
    };
    let caught = json!({"C": task("c", json!({"Catch": [{"Exceptions": ["java.lang.Throwable"], "Next": "Back"}]}))});
    assert_eq!(found(&parallel(json!(null), caught.clone())), [""; 0]);
    let mut moving = parallel(json!(null), caught);
    moving["States"]["B"]["Extensions"] = json!({"effect": "debit"});
    let told = found(&moving);
    let twice = "`B` moves money and is called more than once with the same input: who carries a call out once takes it once";
    assert!(told.iter().any(|one| one.contains(twice)), "{told:?}");
}
