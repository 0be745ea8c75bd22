//! What `check` finds, one rule at a time; and that it refuses none of Seata's machines for what is not an error by name.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::path::{Path, PathBuf};

use diwan_saga::check::{Finding, Rule, Severity, Source, check};
use diwan_saga::lang::load;
use serde_json::{Value, json};
use world::{machine, map, task};

fn found(machines: &[&Value], strict: bool) -> Vec<Finding> {
    let texts: Vec<String> = machines.iter().map(ToString::to_string).collect();
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|text| Source {
            file: "m.json",
            text,
        })
        .collect();
    check(&sources, strict)
}

/// Severity, rule, state and path of each finding.
fn told(machine: &Value, strict: bool) -> Vec<String> {
    let tell = |finding: &Finding| {
        let severity = if finding.severity == Severity::Error {
            "error"
        } else {
            "warning"
        };
        let place = finding.place.path.to_string();
        let state = place.strip_prefix("/States").unwrap_or(&place);
        let path = finding.path.join(" > ");
        format!("{severity} {} {state} {path}", finding.rule.name())
            .trim_end()
            .to_owned()
    };
    found(&[machine], strict).iter().map(tell).collect()
}

fn with(mut value: Value, attributes: Value) -> Value {
    value.as_object_mut().unwrap().extend(map(attributes));
    value
}

/// Takes 10 from somebody; undone by `Refund`.
fn debit(attributes: Value) -> Value {
    let money = json!({"effect": "debit", "account": "$.[from]", "amount": "$.[amount]"});
    let call = json!({"Input": ["$.[from]", "$.[amount]"], "CompensateState": "Refund", "Extensions": money, "Next": "B"});
    with(task("debit", call), attributes)
}

fn credit(attributes: Value) -> Value {
    let money = json!({"effect": "credit", "account": "$.[to]", "amount": "$.[amount]"});
    let call = json!({"Input": ["$.[to]", "$.[amount]"], "IsForUpdate": true, "Extensions": money});
    with(task("credit", call), attributes)
}

fn refund() -> Value {
    task("refund", json!({"Input": ["$.[from]", "$.[amount]"]}))
}

fn pivot() -> Value {
    json!({"RecoverStrategy": "Forward", "Extensions": {"recover": "Pivot"}})
}

fn transfer(attributes: Value, states: Value) -> Value {
    let mut all = map(json!({"A": debit(json!({})), "B": credit(json!({})), "Refund": refund()}));
    all.extend(map(states));
    all.retain(|_, state| !state.is_null());
    machine("transfer", attributes, Value::Object(all))
}

#[test]
fn a_transfer_with_a_pivot_is_accepted() {
    assert_eq!(told(&transfer(pivot(), json!({})), true), [""; 0]);
}

#[test]
fn each_rule_refuses_with_the_way_on_which_it_happens() {
    let undo = json!({"Type": "CompensationTrigger", "Next": "Failed"});
    let failed = json!({"Type": "Fail"});
    let any = json!(["java.lang.Throwable"]);
    let cases = [
        (
            "without a pivot the time may be over when the credit is paid",
            transfer(json!({}), json!({})),
            vec!["error credit-undone /B A > B is done, but does not answer > the time is over"],
        ),
        (
            "and a Catch may lead to compensation",
            transfer(
                json!({"RecoverStrategy": "Forward"}),
                json!({
            "B": credit(json!({"CompensateState": "TakeBack", "Catch": [{"Exceptions": any, "Next": "Undo"}]})),
            "TakeBack": task("takeBack", json!({"Input": ["$.[to]", "$.[amount]"]})), "Undo": undo, "Failed": failed}),
            ),
            vec!["error credit-undone /B A > B is done, but does not answer > Undo"],
        ),
        (
            "the credit comes first",
            transfer(
                pivot(),
                json!({"A": credit(json!({"Next": "B"})), "B": debit(json!({"Next": null}))}),
            ),
            vec!["error credit-first /A", "error credit-first /B A"],
        ),
        (
            "the debit is refused, and it goes on",
            transfer(
                pivot(),
                json!({
            "A": debit(json!({"Status": {"#root == true": "SU", "#root == false": "FA", "$Exception{java.lang.Throwable}": "UN"}}))}),
            ),
            vec!["error credit-first /B A answers false"],
        ),
        (
            "a failure ends the saga, and the debit stays",
            transfer(
                pivot(),
                json!({
            "B": credit(json!({"Catch": [{"Exceptions": any, "Next": "Failed"}]})), "Failed": failed}),
            ),
            vec!["error debit-lost /A A > B is not reached > Failed"],
        ),
        (
            "the debit cannot be undone",
            transfer(
                pivot(),
                json!({"A": debit(json!({"CompensateState": null, "IsForUpdate": true})), "Refund": null}),
            ),
            vec!["error uncompensated /A A > the time is over: compensation"],
        ),
        (
            "two credits, or one of them",
            transfer(
                pivot(),
                json!({
            "B": {"Type": "Choice", "Choices": [{"Expression": "[fee] > 0", "Next": "Fee"}], "Default": "C"},
            "Fee": credit(json!({"Next": "C"})), "C": credit(json!({}))}),
            ),
            vec!["error unbalanced /C A > B chooses C > C"],
        ),
        (
            "no answer is no failure",
            transfer(
                pivot(),
                json!({"B": credit(json!({"Status": {"#root == true": "SU", "$Exception{java.lang.Throwable}": "FA"}}))}),
            ),
            vec![
                "error unbalanced /B A > B is done, but does not answer",
                "error status /B",
            ],
        ),
        (
            "a retry without bound",
            transfer(
                pivot(),
                json!({"A": debit(json!({"Retry": [{"MaxAttempts": 1000}]}))}),
            ),
            vec!["error retry /A"],
        ),
        (
            "a compensation of another account",
            transfer(
                pivot(),
                json!({
            "Refund": with(refund(), json!({"Extensions": {"effect": "credit", "account": "$.[to]", "amount": "$.[amount]"}}))}),
            ),
            vec!["error call /A"],
        ),
        (
            "a debit that nobody waits for",
            transfer(pivot(), json!({"A": debit(json!({"IsAsync": true}))})),
            vec!["error call /A", "error credit-first /B A is not waited for"],
        ),
        (
            "a misspelt key",
            transfer(pivot(), json!({"B": credit(json!({"Catches": []}))})),
            vec!["error unknown-key /B/Catches"],
        ),
        (
            "a state that nothing leads to",
            transfer(pivot(), json!({"C": {"Type": "Succeed"}})),
            vec!["error unreachable /C"],
        ),
        (
            "it is done, but does not know it",
            transfer(
                json!({"RecoverStrategy": "Forward"}),
                json!({
            "B": credit(json!({"Catch": [{"Exceptions": any, "Next": "B"}], "Next": "C"})), "C": {"Type": "Succeed"}}),
            ),
            vec!["error stuck /A A > B refuses"],
        ),
    ];
    let mut wrong = Vec::new();
    for (what, machine, expected) in cases {
        let told = told(&machine, false);
        let fits = told.len() >= expected.len()
            && expected
                .iter()
                .all(|one| told.iter().any(|told| told.starts_with(one)));
        if !fits {
            wrong.push(format!(
                "{what}:\n    {}\n  not\n    {}",
                told.join("\n    "),
                expected.join("\n    ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_moves_no_money_is_warned_of_unless_one_is_strict() {
    let states = json!({
        "A": task("a", json!({"IsForUpdate": true, "Catches": [], "Retry": [{"MaxAttempts": 1000}],
            "Status": {"#root == true": "SU", "$Exception{java.lang.Throwable}": "FA"}})),
    });
    let machine = machine("m", json!({}), states);
    let rules = |strict| {
        told(&machine, strict)
            .into_iter()
            .map(|told| told.split(" >").next().unwrap().to_owned())
    };
    let expected = [
        "unknown-key /A/Catches",
        "retry /A",
        "status /A",
        "uncompensated /A A answers what no Status knows",
    ];
    assert_eq!(
        rules(false).collect::<Vec<_>>(),
        expected.map(|one| format!("warning {one}"))
    );
    assert_eq!(
        rules(true).collect::<Vec<_>>(),
        expected.map(|one| format!("error {one}"))
    );
}

#[test]
fn passes_of_a_cycle_are_compensated_with_the_last_variables() {
    let machine = machine(
        "m",
        json!({}),
        json!({
            "A": task("a", json!({"CompensateState": "Undo", "Next": "B"})),
            "B": {"Type": "Choice", "Choices": [{"Expression": "[more] == true", "Next": "A"}], "Default": "C"},
            "C": {"Type": "Succeed"}, "Undo": task("undo", json!({"Input": ["$.[number]"]})),
        }),
    );
    assert_eq!(
        told(&machine, true),
        ["warning cycle-variables /A A > B > A"]
    );
}

#[test]
fn machines_are_looked_for_among_the_files() {
    let start = |name: &str, inner: &str| {
        machine(
            name,
            json!({}),
            json!({"A": {"Type": "SubStateMachine", "StateMachineName": inner}}),
        )
    };
    let (one, other) = (start("one", "other"), start("other", "one"));
    let rules = |machines: &[&Value]| -> Vec<(Rule, Vec<String>)> {
        let found = found(machines, false);
        found
            .into_iter()
            .map(|finding| (finding.rule, finding.path))
            .collect()
    };
    let circle = |names: [&str; 3]| (Rule::Recursion, names.map(str::to_owned).to_vec());
    assert_eq!(rules(&[&one]), [(Rule::Name, vec![])]);
    assert_eq!(
        rules(&[&one, &other]),
        [
            circle(["one", "other", "one"]),
            circle(["other", "one", "other"])
        ]
    );
}

/// What the issue calls an error for any machine.
const ANY: &[Rule] = &[
    Rule::Load,
    Rule::Name,
    Rule::Unreachable,
    Rule::Endless,
    Rule::Recursion,
];

#[test]
fn no_machine_of_seatas_is_refused_for_less() {
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/seata-saga");
    let root = std::env::var_os("SEATA_SAGA_CONFORMANCE").map_or(beside, PathBuf::from);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/machines");
    for folder in [root, own] {
        let Ok(files) = std::fs::read_dir(&folder) else {
            println!("skipped: no machines of Seata's in {}", folder.display());
            continue;
        };
        let files = files.map(|file| file.unwrap().path());
        let mut texts: Vec<(String, String)> = files
            .map(|file| {
                (
                    file.display().to_string(),
                    std::fs::read_to_string(file).unwrap(),
                )
            })
            .filter(|(_, text)| load(text).is_ok())
            .collect();
        texts.sort();
        let sources: Vec<Source<'_>> = texts
            .iter()
            .map(|(file, text)| Source { file, text })
            .collect();
        let found = check(&sources, false);
        let errors = found
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        for finding in errors {
            assert!(ANY.contains(&finding.rule), "{finding}");
            println!("{finding}");
        }
        println!("{} machines", texts.len());
    }
}

#[test]
fn large_machines_are_looked_at_in_bounds() {
    let mut states = serde_json::Map::new();
    for number in 0..4_000 {
        let next = format!("S{}", number + 1);
        states.insert(
            format!("S{number}"),
            task("x", json!({"CompensateState": "Undo", "Next": next})),
        );
    }
    states.insert("S4000".into(), json!({"Type": "Succeed"}));
    states.insert("Undo".into(), task("undo", json!({})));
    let machine = with(
        machine("m", json!({}), Value::Object(states)),
        json!({"StartState": "S0"}),
    );
    let found = found(&[&machine], true);
    let rules: Vec<(Severity, Rule)> = found.iter().map(|one| (one.severity, one.rule)).collect();
    assert_eq!(rules, [(Severity::Warning, Rule::TooLarge)]);
}
