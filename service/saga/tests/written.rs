//! Machines written in Rust are read as they were meant, and drawn so that people see the same.
#![allow(clippy::unwrap_used, reason = "a test")]

use diwan_saga::build::{Machine, Recover, Status, Task};
use diwan_saga::check::{Rule, Source, check};
use diwan_saga::draw;
use diwan_saga::lang::{Money, StateKind, StatusWhen, Work, load};
use serde_json::{Value, json};

const ANY: &[&str] = &["java.lang.Throwable"];

/// All that a machine can have.
fn written(ask_how: Task) -> Value {
    let mut machine = Machine::new("transfer", "2")
        .comment("A & B")
        .recover(Recover::Pivot);
    let succeed = machine.succeed("Succeed");
    let failed = machine.fail("Failed", "NOT_ENOUGH", "there is <too little>");
    let undo = machine.compensate("Undo", &failed);
    let refund = machine.task(
        "Refund",
        Task::call("bank", "refund").input(json!(["$.[from]", 10])),
    );
    let net = Task::call("bank", "credit")
        .input("$.[to]")
        .changes()
        .credits("$.[to]", "$.[net]");
    let fee = Task::call("bank", "credit")
        .input("$.[bank]")
        .changes()
        .credits("$.[bank]", "$.[fee]");
    let join = machine.join("Join", &succeed);
    let net = machine.task("Net", net.next(&join));
    let fee = machine.task("Fee", fee.next(&join));
    let pay = machine.fork("Pay", &[&net, &fee], 2);
    let ask = machine.again("Ask", |machine, ask| {
        let may = machine.choice(
            "May",
            &[("[may] == 'wait'", ask), ("[may] == 'yes'", &pay)],
            &undo,
        );
        ask_how.catch(ANY, &undo).next(&may)
    });
    let script = machine.task("Script", Task::script("if (a > 1) { return a }").next(&ask));
    let debit = Task::call("bank", "debit")
        .input(json!(["$.[part]", 10]))
        .status("#root == true", Status::Succeeded)
        .status("$Exception{java.lang.Throwable}", Status::Unknown)
        .retry(&[], 2, 1.0, 1.5)
        .for_each("$.[parts]", "part", 3)
        .undone_by(&refund)
        .debits("$.[part]", "10")
        .catch(ANY, &undo)
        .next(&script);
    let debit = machine.task("Debit", debit);
    machine.start(&debit)
}

#[test]
fn what_is_written_is_read() {
    let json = written(
        Task::machine("asks")
            .input(json!({"of": "$.[from]"}))
            .output("may", "$.#root[may]"),
    );
    let machine = load(&json.to_string()).unwrap();
    assert_eq!(machine.warnings, []);
    assert_eq!(machine.recover, Some(Recover::Pivot));
    assert_eq!((&*machine.name, &*machine.version), ("transfer", "2"));
    let state = |name: &str| machine.state(machine.by_name[name]);
    assert_eq!(&*machine.state(machine.start).name, "Debit");
    let debit = state("Debit");
    assert_eq!(
        (debit.money, state("Net").money),
        (Some(Money::Debit), Some(Money::Credit))
    );
    let task = debit.task().unwrap();
    assert_eq!(task.compensate, Some(machine.by_name["Refund"]));
    assert_eq!(
        (task.retry[0].attempts_max, task.catch[0].next),
        (2, Some(machine.by_name["Undo"]))
    );
    assert_eq!(task.repeat.as_ref().unwrap().parallel, 3);
    // In the order in which they were written.
    assert!(matches!(task.status[0].when, StatusWhen::Expr(_)));
    assert_eq!(task.status[1].status, Status::Unknown);
    assert!(
        matches!(&state("Ask").task().unwrap().work, Work::SubMachine(name) if &**name == "asks")
    );
    let StateKind::Fork(fork) = &state("Pay").kind else {
        panic!()
    };
    assert_eq!(
        (fork.branches.len(), fork.join),
        (2, machine.by_name["Join"])
    );
}

#[test]
fn what_is_written_can_be_proven() {
    let ask = Task::call("bank", "ask")
        .input("$.[from]")
        .output("may", "$.#root");
    let text = written(ask).to_string();
    let source = Source {
        file: "m.json",
        text: &text,
    };
    let found = check(&[source], true);
    let rules: Vec<Rule> = found.iter().map(|finding| finding.rule).collect();
    // Asking again is a cycle, but nothing in it is undone.
    assert_eq!(rules, [], "{found:?}");
}

#[test]
fn a_drawing_for_the_terminal() {
    let machine = load(
        &written(
            Task::machine("asks")
                .input(json!({"of": "$.[from]"}))
                .output("may", "$.#root[may]"),
        )
        .to_string(),
    )
    .unwrap();
    let text = draw::text(&machine);
    let title =
        "transfer 2: recovery compensates before the first credit, and goes forward from it on";
    assert_eq!(text.lines().next(), Some(title));
    for line in [
        "[Debit]  debit 10 from $.[part], bank.debit, for each, up to 2 times more  ↶ Refund",
        "{Undo}  compensates ◄",
        "  ├ if [may] == 'wait' ─",
        "=Pay= ◄",
        "[[Ask]]  machine asks ◄",
    ] {
        assert!(
            text.lines().any(|drawn| drawn.starts_with(line)),
            "{line}\n{text}"
        );
    }
    // Each lane has a beginning and an end.
    let count = |signs: &[char]| text.matches(signs).count();
    assert_eq!(count(&['┐']), count(&['┘']));
}

#[test]
fn a_picture_is_xml_whatever_names_say() {
    let machine = load(
        &written(
            Task::machine("asks")
                .input(json!({"of": "$.[from]"}))
                .output("may", "$.#root[may]"),
        )
        .to_string(),
    )
    .unwrap();
    let picture = draw::svg(&machine);
    assert!(picture.starts_with("<svg xmlns=") && picture.ends_with("</svg>\n"));
    assert!(!picture.contains("href"), "it needs no other file");
    let odd = r#"{"Name": "<a>&\"", "StartState": "<&>\u0000", "States": {"<&>\u0000": {"Type": "Succeed"}}}"#;
    let picture = draw::svg(&load(odd).unwrap());
    assert!(
        picture.contains("&lt;&amp;&gt; ") && !picture.contains("<&"),
        "{picture}"
    );
}
