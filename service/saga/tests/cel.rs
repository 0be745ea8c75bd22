//! Machines in seata-go's form: expressions in CEL.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use diwan_saga::check::{Source, check};
use diwan_saga::engine::{Code, Config};
use diwan_saga::expr::{Dialect, Expr, Root, Vars};
use diwan_saga::lang::load;
use proptest::prelude::*;
use serde_json::{Value, json};
use world::*;

fn cel(text: &str) -> Result<Value, String> {
    let mut vars = Vars::default();
    vars.extend(map(json!({
        "a": 1, "b": 2.5, "text": "abc", "yes": true, "none": null, "list": [1, 2, 3],
        "people": {"name": "lilei", "age": 18, "children": [{"n": 1}]},
        "nrOfInstances": 3.0, "nrOfCompletedInstances": 3.0,
    })));
    let expression =
        Expr::parse_in(Dialect::Cel, text).map_err(|why| format!("not read: {why}"))?;
    let value = expression
        .eval(Root::vars(&vars))
        .map_err(|why| why.to_string())?;
    Ok(value.into_owned())
}

#[test]
fn what_expressions_come_to() {
    for (text, value) in [
        // `cel_expression_test.go`
        ("elContext['text'] + ' World!'", json!("abc World!")),
        ("$.a", json!(1)),
        ("$CEL.a", json!(1)),
        ("$el{a}", json!(1)),
        ("a == 1", json!(true)),
        ("elContext.a == 1.0", json!(true)),
        ("people.children[0].n", json!(1)),
        ("people['name']", json!("lilei")),
        ("a + 1 < 3 && !(b >= 3.0)", json!(true)),
        ("7 / 2 * 2 + 7 % 2", json!(7)),
        ("-a + 3u", json!(2)),
        ("a == 1 ? 'one' : 'other'", json!("one")),
        ("size(list) == 3 && list.size() == 3", json!(true)),
        ("size('äb') + size(people)", json!(5)),
        ("2 in list", json!(true)),
        ("'age' in people && !('x' in people)", json!(true)),
        ("a in [1, 2]", json!(true)),
        ("has(people.name) && !has(people.x)", json!(true)),
        ("has(elContext.a) && !has(elContext.x)", json!(true)),
        (
            "text.startsWith('a') && text.endsWith(\"c\") && text.contains('b')",
            json!(true),
        ),
        ("'it\\'s \\u0041'", json!("it's A")),
        ("[1, 'a', [true]]", json!([1, "a", [true]])),
        ("[nrOfInstances] == [nrOfCompletedInstances]", json!(true)),
        // An error on one side does not matter if the other side decides.
        ("missing == 1 || a == 1", json!(true)),
        ("a == 2 && missing == 1", json!(false)),
        ("missing == 1 && a == 2", json!(false)),
        ("null == none", json!("no such variable: none")),
    ] {
        let found = cel(text).unwrap_or_else(Value::from);
        assert_eq!(found, value, "{text}");
    }
}

#[test]
fn what_cel_does_not_know_is_refused_or_an_error() {
    for (text, why) in [
        ("missing", "no such variable: missing"),
        ("people.x", "property or field `x` cannot be found"),
        ("people['x']", "no such key"),
        ("elContext['x']", "no such key"),
        ("list[3]", "index 3 is beyond a list of 3"),
        ("text + 1", "+ with a text does not apply to a number"),
        ("null < 1", "a comparison does not apply to null"),
        ("'true' && yes", "a condition does not apply to a text"),
        ("1 ? 2 : 3", "a condition does not apply to a number"),
        ("a / 0", "division by zero"),
        ("a in 'abc'", "in does not apply to a text"),
        ("missing || yes == false", "no such variable: missing"),
        (
            "list.exists(x, x > 1)",
            "not read: at byte 21: no method `exists` with 2 arguments is known",
        ),
        (
            "text.matches('a.*')",
            "not read: at byte 19: no method `matches` with 1 arguments is known",
        ),
        (
            "int(text)",
            "not read: at byte 3: functions are not supported",
        ),
        (
            "has(people)",
            "not read: at byte 11: `has` takes a member: `has(a.b)`",
        ),
        ("people?.name", "not read: at byte 6: `?.` is not of CEL"),
        (
            "a and yes",
            "not read: at byte 2: the expression should end here",
        ),
        (
            "'a''b'",
            "not read: at byte 3: the expression should end here",
        ),
        (
            "'''a'''",
            "not read: at byte 0: texts in three quotation marks are not supported",
        ),
        ("'\\q'", "not read: at byte 0: this escape is not supported"),
        ("1L", "not read: at byte 0: a number runs into a word"),
        ("#this", "not read: at byte 1: `#` is not of CEL"),
    ] {
        assert_eq!(cel(text).unwrap_err(), why, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_panics(text in "[a-z0-9 .,?:'\"\\\\()\\[\\]&|!<>=+*/%#$-]{0,40}") {
        let _ = cel(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn nothing_deep_is_read(symbol in "[\\[(!-]", count in 1_000_usize..20_000) {
        prop_assert!(cel(&symbol.repeat(count)).is_err());
    }
}

/// An order in the form of seata-go's (`pkg/saga/statemachine/engine/config/testdata`).
fn order() -> Value {
    json!({
        "Name": "order", "Version": "1.0", "StartState": "Create", "trans_operation_timeout": 30000,
        "Extensions": {"expression": "cel"},
        "States": {
            "Create": {
                "Type": "ServiceTask", "ServiceType": "local", "ServiceName": "orders", "ServiceMethod": "create",
                "CompensateState": "Cancel", "Input": [{"order": "$.order"}], "Output": {"orderId": "$.#root"},
                "Status": {"return.code == 'SUCCESS'": "SUCCEEDED", "return.code == 'FAIL'": "FAILED", "$exception{*}": "UNKNOWN"},
                "Next": "Check",
            },
            "Check": {
                "Type": "ServiceTask", "ServiceType": "http", "ServiceName": "stock", "ServiceMethod": "check",
                "Input": [{"item": "$.item", "number": "$.number"}], "Output": {"available": "$.available"},
                "Status": {"return.available == true": "IN_STOCK", "$exception{*}": "UNKNOWN"},
                "Loop": {"Collection": "$.order.items", "ElementVariableName": "item", "ElementIndexName": "number", "CompletionCondition": "[nrOfInstances] == [nrOfCompletedInstances]"},
                "Next": "Decide",
            },
            "Decide": {
                "Type": "Choice", "Default": "Undo",
                "Choices": [{"Expression": "size(loopResult) == size(order.items) && has(orderId.code)", "Next": "Pay"}],
            },
            "Pay": {
                "Type": "ServiceTask", "ServiceType": "grpc", "ServiceName": "payments", "ServiceMethod": "pay",
                "Input": [{"amount": "$.order.total + 1", "id": "$SEQ.pay|any"}],
                "Catch": [{"Exceptions": ["*Declined"], "Next": "Undo"}], "Next": "Done",
            },
            "Cancel": {"Type": "ServiceTask", "ServiceType": "func", "ServiceName": "orders", "ServiceMethod": "cancel", "Input": [{"order": "$.orderId.code"}]},
            "Undo": {"Type": "CompensationTrigger", "Next": "Failed"},
            "Done": {"Type": "Succeed"}, "Failed": {"Type": "Fail", "ErrorCode": "E", "Message": "m"},
        },
    })
}

#[test]
fn a_machine_of_seata_gos_form_runs() {
    let params = json!({"order": {"items": ["x", "y"], "total": 9}});
    let answer = |call: &diwan_saga::engine::Call| match &*call.service.method {
        "create" => done(json!({"code": "SUCCESS"})),
        "check" => done(json!({"available": true})),
        _ => done(json!(true)),
    };
    let mut world = World::with(&order(), answer);
    world.start("order", params.clone()).unwrap();
    world.tells(
        "SU",
        &["Create SU", "Check-loop-0 SU", "Check-loop-1 SU", "Pay SU"],
    );
    assert_eq!(
        world.calls,
        [
            r#"0 create [{"order":{"items":["x","y"],"total":9}}]"#,
            r#"0 check [{"item":"x","number":0}]"#,
            r#"0 check [{"item":"y","number":1}]"#,
            r#"0 pay [{"amount":10,"id":"s-0"}]"#,
        ]
    );
    let mut world = World::with(&order(), move |call| match &*call.service.method {
        "pay" => fails("*Declined"),
        _ => answer(call),
    });
    world.start("order", params.clone()).unwrap();
    let undo = world.calls.last().unwrap();
    assert_eq!(undo, r#"0 cancel [{"order":"SUCCESS"}]"#);
    // By its own rules: FAIL is failed, and what it throws is unknown.
    let mut world = World::with(&order(), |_| done(json!({"code": "FAIL"})));
    world.start("order", params.clone()).unwrap();
    assert!(world.calls.len() > 1);
    assert_eq!(world.saga().records[0].status.name(), "FA");
    let mut world = World::new(Config::default(), |_| fails("any"));
    world.define(&order());
    world.start("order", params).unwrap();
    world.tells("UN", &["Create UN"]);
}

#[test]
fn what_is_not_there_is_left_out_alone_and_an_error_in_an_expression() {
    let mut world = World::with(&order(), |_| None);
    world.start("order", json!({})).unwrap();
    assert_eq!(world.calls, ["0 create [{}]"]);
    let create = world.open[0];
    world.returned(create, done(json!({"code": "SUCCESS"})).unwrap());
    assert_eq!(world.calls.len(), 1);
    let exception = world.saga().exception.as_ref().unwrap();
    assert_eq!(exception.code, Some(Code::VariablesAssign));
}

#[test]
fn a_machine_says_what_its_expressions_are_written_in() {
    let machine = load(&order().to_string()).unwrap();
    let warnings = machine
        .warnings
        .iter()
        .map(|warning| warning.what.to_string());
    assert_eq!(
        warnings.collect::<Vec<_>>(),
        [
            "unknown key `trans_operation_timeout` is ignored",
            "not a status (SU, FA, UN): this Status does not count",
        ]
    );
    let said = |expression: Value, choice: &str| {
        let mut machine = order();
        machine["Extensions"]["expression"] = expression;
        machine["States"]["Decide"]["Choices"][0]["Expression"] = choice.into();
        load(&machine.to_string())
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(said("cel".into(), "2 in order.items"), Ok(()));
    assert!(said("cel".into(), "[a].?[#this > 1]").is_err());
    let spring = said("spring".into(), "2 in order.items").unwrap_err();
    assert!(spring.contains("`SUCCEEDED` is not a status"), "{spring}");
    assert!(
        said(json!(1), "true")
            .unwrap_err()
            .contains("expected `cel` or `spring`")
    );
    // One expression of a machine that is not in CEL may be.
    let input = json!([
        "$CEL.size(list)",
        "$.[list].size()",
        "$CEL.elContext[key]",
        "$CEL.none"
    ]);
    let states = json!({"A": task("a", json!({"Input": input}))});
    let mut world = World::with(&machine_of(states), |_| done(json!(1)));
    world
        .start("m", json!({"list": [1, 2], "key": "list"}))
        .unwrap();
    assert_eq!(world.calls, ["0 a [2,2,[1,2],null]"]);
}

fn machine_of(states: Value) -> Value {
    machine("m", json!(null), states)
}

#[test]
fn javascript_is_refused_with_the_reason() {
    let script =
        json!({"Type": "ScriptTask", "ScriptType": "javascript", "ScriptContent": "a * b + c"});
    let error = load(&machine_of(json!({"A": script})).to_string()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`scripts in javascript` is not supported"),
        "{error}"
    );
}

/// The safe transfer of the check's own tests, in CEL.
#[test]
fn what_is_checked_is_what_runs() {
    let transfer = |expression: &str, thrown: &str| {
        let mut machine: Value =
            serde_json::from_str(include_str!("data/safe/straight.json")).unwrap();
        let states = machine["States"].as_object_mut().unwrap();
        for state in states.values_mut() {
            if state.get("Status").is_some() {
                state["Status"] = json!({expression: "SU", "$exception{com.bank.Refused}": "FA", "$exception{*}": thrown});
            }
        }
        let text = machine.to_string().replace("$.[", "$.elContext[");
        let mut machine: Value = serde_json::from_str(&quoted(&text)).unwrap();
        machine["Extensions"]["expression"] = json!("cel");
        machine
    };
    let found = |machine: &Value| {
        let (file, text) = ("m.json", machine.to_string());
        let found = check(&[Source { file, text: &text }], false);
        found.iter().map(|one| one.rule.name()).collect::<Vec<_>>()
    };
    assert_eq!(found(&transfer("return == true", "UN")), [""; 0]);
    assert_eq!(
        found(&transfer("elContext == true || false", "UN")),
        [""; 0]
    );
    assert!(found(&transfer("return == true", "FA")).contains(&"status"));
}

/// `elContext[name]` with a text for the name.
fn quoted(text: &str) -> String {
    let mut parts = text.split("elContext[");
    let mut made = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(']').unwrap();
        made += &format!("elContext['{name}']{rest}");
    }
    made
}
