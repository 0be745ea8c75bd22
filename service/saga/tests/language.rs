//! Machines that load, machines that are refused, and what is said about both.
#![allow(clippy::unwrap_used, reason = "a test")]

use diwan_saga::lang::{Doubt, Fault, Recover, load, load_named};

fn machine(states: &str) -> String {
    format!(r#"{{"Name": "m", "Version": "1", "StartState": "A", "States": {{{states}}}}}"#)
}

fn fault(states: &str) -> (String, Fault) {
    let error = load(&machine(states)).unwrap_err();
    (error.place.path.to_string(), *error.what)
}

#[test]
fn a_name_that_leads_nowhere_is_refused_with_its_place() {
    let text = "{\"Name\": \"m\", \"StartState\": \"A\",\n \"States\": {\n  \"A\": {\"Type\": \"Succeed\",\n   \"Next\": \"B\"}}}";
    let error = load_named(Some("m.json"), text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "m.json:4:12: /States/A/Next: state `B` does not exist"
    );
    // Seata does not look at compensations, and one of its own machines has none.
    let machine = load(&machine(
        r#""A": {"Type": "ServiceTask", "CompensateState": "C"}"#,
    ))
    .unwrap();
    let said: Vec<&Doubt> = machine
        .warnings
        .iter()
        .map(|warning| &warning.what)
        .collect();
    assert!(said.contains(&&Doubt::NoSuchState("C".into())), "{said:?}");
}

#[test]
fn cycles_need_a_way_out() {
    let cycle =
        r#""A": {"Type": "ServiceTask", "Next": "B"}, "B": {"Type": "ServiceTask", "Next": "A""#;
    let (path, what) = fault(&format!("{cycle}}}"));
    assert_eq!(
        (path.as_str(), what),
        ("/States/A", Fault::Endless(vec!["A".into(), "B".into()]))
    );
    let out = r#", "Catch": [{"Exceptions": ["E"], "Next": "C"}]}, "C": {"Type": "Fail"}"#;
    load(&machine(&format!("{cycle}{out}"))).unwrap();
    assert!(matches!(
        fault(r#""A": {"Type": "ScriptTask", "ScriptContent": "1", "Next": "A"}"#).1,
        Fault::Endless(_)
    ));
}

#[test]
fn a_machine_that_calls_itself_is_refused() {
    let (path, what) = fault(r#""A": {"Type": "SubStateMachine", "StateMachineName": "m"}"#);
    assert_eq!(
        (path.as_str(), what),
        ("/States/A/StateMachineName", Fault::Recursive)
    );
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    let text = machine(
        r#""A": {"Type": "ServiceTask", "ServiceName": "s", "ServiceMethod": "m", "Catches": [], "listener": "", "Retry": [{"MaxAttempt": 1, "MaxAttempts": 2}]}"#,
    );
    let machine = load(&text).unwrap();
    let said: Vec<String> = machine.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "1:188: /States/A/Retry/0/MaxAttempt: unknown key `MaxAttempt` is ignored; did you mean `MaxAttempts`?",
            "1:143: /States/A/Catches: unknown key `Catches` is ignored; did you mean `Catch`?",
            "1:159: /States/A/listener: unknown key `listener` is ignored",
        ]
    );
}

#[test]
fn a_key_that_stands_twice_is_named() {
    let text = machine(r#""A": {"Type": "Succeed"}, "A": {"Type": "Fail"}"#);
    let machine = load(&text).unwrap();
    assert_eq!(machine.warnings.len(), 1);
    assert_eq!(machine.warnings[0].what, Doubt::DuplicateKey("A".into()));
}

#[test]
fn what_has_no_meaning_is_refused_with_the_reason() {
    for (states, path, what) in [
        (
            r#""A": {"Type": "Loop"}"#,
            "/States/A/Type",
            "state type `Loop` is not supported",
        ),
        (
            r#""A": {"Type": "Parallel"}"#,
            "/States/A",
            "`Branches` is missing",
        ),
        (r#""A": {"Next": "A"}"#, "/States/A", "`Type` is missing"),
        (
            r#""A": 1"#,
            "/States/A",
            "expected an object, found a number",
        ),
        (
            r##""A": {"Type": "ServiceTask", "Status": {"#root": "OK"}}"##,
            "/States/A/Status/#root",
            "`OK` is not a status (SU, FA, UN, SK or RU)",
        ),
        (
            r#""A": {"Type": "ServiceTask", "Input": ["$.[a"]}"#,
            "/States/A/Input/0",
            "expression `$.[a`: at byte 2: `]` is missing",
        ),
        (
            r#""A": {"Type": "ServiceTask", "Input": ["$.T(java.lang.Runtime)"]}"#,
            "/States/A/Input/0",
            "expression `$.T(java.lang.Runtime)`: at byte 0: `T` is not supported",
        ),
        (
            r#""A": {"Type": "ScriptTask", "ScriptContent": "def x = 1"}"#,
            "/States/A/ScriptContent",
            "script: at byte 0: `def` cannot be translated",
        ),
        (
            r#""A": {"Type": "ScriptTask", "ScriptType": "python", "ScriptContent": "1"}"#,
            "/States/A/ScriptType",
            "`scripts in python` is not supported by this engine yet",
        ),
        (
            r#""A": {"Type": "ServiceTask", "CompensateState": "B"}, "B": {"Type": "Succeed"}"#,
            "/States/A/CompensateState",
            "`B` is not a task, which a compensation must be",
        ),
    ] {
        let error = load(&machine(states)).unwrap_err();
        assert_eq!(
            (
                error.place.path.to_string().as_str(),
                error.what.to_string().as_str()
            ),
            (path, what)
        );
    }
    let error = load("{\n \"Name\": }").unwrap_err();
    assert_eq!(error.place.line, Some((2, 10)));
    assert!(matches!(
        *load(&" ".repeat((1 << 20) + 1)).unwrap_err().what,
        Fault::TooLarge(_)
    ));
    let deep = "[".repeat(100_000);
    assert!(matches!(*load(&deep).unwrap_err().what, Fault::Json(_)));
}

#[test]
fn branches_of_forks_meet() {
    let fork = |rest: &str| {
        fault(&format!(
            r#""A": {{"Type": "Fork", "Branches": ["B", "C"]}}, {rest}"#
        ))
        .1
        .to_string()
    };
    let task = r#"{"Type": "ServiceTask", "Next": "#;
    assert_eq!(
        fork(&format!(
            r#""B": {task}"D"}}, "C": {task}"D"}}, "D": {{"Type": "Succeed"}}"#
        )),
        "fork: no branch leads to a Join"
    );
    assert_eq!(
        fork(&format!(
            r#""B": {task}"J"}}, "C": {task}"K"}}, "J": {{"Type": "Join"}}, "K": {{"Type": "Join"}}"#
        )),
        "fork: its branches meet at several joins"
    );
    assert_eq!(
        fork(&format!(
            r#""B": {task}"D"}}, "C": {task}"D"}}, "D": {task}"J"}}, "J": {{"Type": "Join"}}"#
        )),
        "fork: `D` is in two of its branches"
    );
    assert_eq!(
        fork(&format!(
            r#""B": {task}"A"}}, "C": {task}"J"}}, "J": {{"Type": "Join"}}"#
        )),
        "fork: it is within itself, or too deep"
    );
    assert_eq!(
        fault(r#""A": {"Type": "Fork"}"#).1.to_string(),
        "`Branches` is missing"
    );
}

#[test]
fn pivot_recovery_in_both_spellings() {
    let with = |attributes: &str| {
        load(&format!(
            r#"{{"Name": "m", "StartState": "A", {attributes}, "States": {{"A": {{"Type": "Succeed"}}}}}}"#
        ))
    };
    let portable =
        with(r#""RecoverStrategy": "Forward", "Extensions": {"recover": "Pivot"}"#).unwrap();
    assert_eq!(
        (portable.recover, portable.warnings.len()),
        (Some(Recover::Pivot), 0)
    );
    let bare = with(r#""RecoverStrategy": "Pivot""#).unwrap();
    assert_eq!(bare.recover, Some(Recover::Pivot));
    assert!(matches!(bare.warnings[0].what, Doubt::NotSeata(_)));
    assert!(with(r#""RecoverStrategy": "Backward""#).is_err());
}
