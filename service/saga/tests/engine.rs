//! What machines do, attribute by attribute.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use diwan_saga::engine::{Code, Command, Config, Exception, Kind, Outcome, Refused, Reply};
use serde_json::{Value, json};
use world::*;

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
