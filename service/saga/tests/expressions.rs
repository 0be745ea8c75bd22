//! What expressions come to, and that nothing in them makes the reader or the evaluation panic or run for long.
#![allow(clippy::unwrap_used, reason = "a test")]

use diwan_saga::expr::{Expr, Program, Root, Vars};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn vars(value: Value) -> Vars {
    let Value::Object(map) = value else {
        panic!("an object");
    };
    let mut vars = Vars::default();
    vars.extend(map);
    vars
}

fn of_saga(text: &str) -> Result<Value, String> {
    let vars = vars(json!({
        "a": 1, "b": 2.5, "text": "abc", "yes": true,
        "people": {"name": "lilei", "age": 18, "list": [{"n": 1}, {"n": 2}]},
        "collection": [1, 2, 3, 4, 5, 6, 7, 8], "nrOfCompletedInstances": 4.0, "nrOfInstances": 8.0,
        "loopResult": [{"fooResult": 1}, {"fooResult": 2}, {}],
    }));
    let expression = Expr::parse(text).map_err(|error| error.to_string())?;
    let value = expression
        .eval(Root::vars(&vars))
        .map_err(|error| error.to_string())?;
    Ok(value.into_owned())
}

#[test]
fn the_corpus() {
    for (text, value) in [
        ("[a] == 1", json!(true)),
        ("$.[a]", json!(1)),
        ("$.1", json!(1)),
        ("['a']", json!(1)),
        ("[people].age > 0", json!(true)),
        ("[people][list][1].n", json!(2)),
        ("[people].list[0][n]", json!(1)),
        ("[missing]", json!(null)),
        ("[missing] == null", json!(true)),
        (
            "[nrOfCompletedInstances] == ([collection].size()-4)",
            json!(true),
        ),
        (
            "[nrOfCompletedInstances] / [nrOfInstances] >= 0.4",
            json!(true),
        ),
        (
            "[loopResult].?[#this[fooResult] == null].size() == 0 && [a] == 1",
            json!(false),
        ),
        ("[loopResult].?[#this[fooResult] == null].size()", json!(1)),
        ("[collection].?[#this > 6]", json!([7, 8])),
        ("#root[a]", json!(1)),
        ("#undefined == null", json!(true)),
        ("'it''s ' + [a]", json!("it's 1")),
        ("1 + 2 * 3 - 4 / 2", json!(5)),
        ("7 / 2", json!(3)),
        ("7 % 4 + 0.5", json!(3.5)),
        ("-[a] < 0", json!(true)),
        ("!([a] eq 1) or [yes]", json!(true)),
        ("[yes] ? 'y' : 'n'", json!("y")),
        ("[missing]?.name", json!(null)),
        ("1 == 1.0", json!(true)),
        ("'1' == 1", json!(false)),
        ("null < 1", json!(true)),
        (
            "18446744073709551615 - 1",
            json!("at byte 0: the number is too large"),
        ),
        (
            "9223372036854775807 + 1",
            json!(9_223_372_036_854_775_808_u64),
        ),
    ] {
        let found = of_saga(text).unwrap_or_else(Value::String);
        assert_eq!(found, value, "{text}");
    }
}

#[test]
fn results_are_values_with_properties() {
    let result = json!({"code": "S", "list": []});
    let of = |text: &str| {
        let expression = Expr::parse(text).unwrap();
        expression
            .eval(Root::Value(&result))
            .map(|value| value.into_owned())
    };
    assert_eq!(of("code == 'S'").unwrap(), json!(true));
    assert_eq!(
        of("#root != null && #root.size() > 0").unwrap(),
        json!(true)
    );
    assert_eq!(of("#root.list.isEmpty()").unwrap(), json!(true));
    assert_eq!(
        of("return.code == 'S'").unwrap_err().to_string(),
        "property or field `return` cannot be found"
    );
    let nothing = Value::Null;
    let none = Expr::parse("#root == null || #root.size() == 0").unwrap();
    assert!(none.holds(Root::Value(&nothing)).unwrap());
}

#[test]
fn mistakes_have_reasons() {
    for (text, reason) in [
        // A saga's variables are entries of a map, and no properties of it.
        ("data1", "property or field `data1` cannot be found"),
        ("#root.a", "property or field `a` cannot be found"),
        ("[missing].name", "a property of null"),
        ("[missing][a]", "an index of null"),
        ("[missing].size()", "a method of null"),
        ("[collection][8]", "index 8 is beyond a list of 8"),
        ("[collection][-1]", "index -1 is beyond a list of 8"),
        ("[a] / 0", "division by zero"),
        ("[b] % 0", "division by zero"),
        ("[a] && true", "a condition does not apply to a number"),
        ("[text] > 1", "a comparison does not apply to a text"),
        ("[text] - 1", "arithmetic does not apply to a text"),
        (
            "9223372036854775807 * 9223372036854775807",
            "the number is too large",
        ),
        ("1e308 * 10", "the number is too large"),
        ("[a] =", "at byte 4: the expression should end here"),
        ("[a] == ", "at byte 7: the expression ends too early"),
        ("[a] 1", "at byte 4: the expression should end here"),
        ("'abc", "at byte 0: the text does not end"),
        ("@bean.call()", "at byte 0: unexpected `@`"),
        (
            "[text].getClass()",
            "at byte 17: no method `getClass` with 0 arguments is known",
        ),
        (
            "$Other.x",
            "at byte 0: there are no expressions of the type `$Other` here",
        ),
        (
            "$x",
            "at byte 0: the type is not closed: `.` or `{` is missing",
        ),
    ] {
        assert_eq!(of_saga(text).unwrap_err(), reason, "{text}");
    }
}

#[test]
fn nothing_runs_for_long_or_deep() {
    let nested = "(".repeat(10_000) + "1" + &")".repeat(10_000);
    let chain = "1".to_owned() + &" + 1".repeat(10_000);
    let dots = "[a]".to_owned() + &".b".repeat(10_000);
    let not = "!".repeat(10_000) + "true";
    let minus = "-".repeat(10_000) + "1";
    let either = "true ? 1 : ".repeat(5_000) + "1";
    let or = "true".to_owned() + &" || true".repeat(5_000);
    for text in [&nested, &chain, &dots, &not, &minus, &either, &or] {
        assert!(
            of_saga(text)
                .unwrap_err()
                .contains("more than 128 levels deep")
        );
    }
    assert!(
        of_saga(&" ".repeat(70_000))
            .unwrap_err()
            .contains("65536 are allowed")
    );
    let quadratic = "[collection].?[#root[collection].?[#root[collection].?[#root[collection].?[#root[collection].?[#root[collection].?[true].size() > 0].size() > 0].size() > 0].size() > 0].size() > 0].size()";
    assert_eq!(of_saga(quadratic).unwrap_err(), "more than 100000 steps");
    let wide: Vec<u32> = (0..50_000).collect();
    let wide = vars(json!({"l": wide}));
    for text in [
        "[l] == [l] && [l] == [l] && [l] == [l]",
        "[l].?[#root[l] == 1]",
        "#root == #root",
        "'' + [l] + [l] + [l]",
    ] {
        let expression = Expr::parse(text).unwrap();
        assert_eq!(
            expression.eval(Root::vars(&wide)).unwrap_err().to_string(),
            "more than 100000 steps",
            "{text}"
        );
    }
    let long = vars(json!({"t": "x".repeat(600_000)}));
    let twice = Expr::parse("[t] + [t]").unwrap();
    assert!(twice.eval(Root::vars(&long)).is_err());
}

#[test]
fn groovy_of_the_corpus() {
    let run = |text: &str, given: Value| Program::parse(text).unwrap().run(&vars(given)).unwrap();
    let text =
        "if(throwException){ throw new RuntimeException(\"test\") } else { 'hello ' + inputA }";
    let thrown = run(text, json!({"throwException": true, "inputA": 1})).unwrap_err();
    assert_eq!(
        (thrown.class.as_str(), thrown.message.as_str()),
        ("java.lang.RuntimeException", "test")
    );
    assert_eq!(
        run(text, json!({"throwException": "", "inputA": 1})).unwrap(),
        json!("hello 1")
    );
    assert_eq!(
        run("return 'hello ' + inputA; 2", json!({"inputA": "x"})).unwrap(),
        json!("hello x")
    );
    let unknown = Program::parse("inputA").unwrap().run(&Vars::default());
    assert_eq!(unknown.unwrap_err().to_string(), "no such variable: inputA");
}

fn near_expression() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "[",
        "]",
        "a",
        "'a'",
        "#root",
        "#this",
        "#",
        ".",
        ".?[",
        "?.",
        "size()",
        "(",
        ")",
        "==",
        "!=",
        "<",
        "&&",
        "||",
        "!",
        "+",
        "-",
        "*",
        "/",
        "%",
        "1",
        "2.5",
        "null",
        "true",
        "?",
        ":",
        "list",
        "$.",
        "{",
        "}",
        "1e",
        "\"",
        "'",
        " ",
        "if(",
        "throw new X(",
        ";",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        check(&text);
    }

    #[test]
    fn nothing_near_an_expression_panics(text in near_expression()) {
        check(&text);
    }
}

fn check(text: &str) {
    let mut map = Map::new();
    map.insert("a".into(), json!(1));
    map.insert("list".into(), json!([1, "x", null, {"a": 2}]));
    let value = Value::Object(map.clone());
    let mut vars = Vars::default();
    vars.extend(map);
    if let Ok(expression) = Expr::parse(text) {
        let _ = expression.eval(Root::vars(&vars));
        let _ = expression.eval(Root::Value(&value));
        let _ = expression.eval(Root::Value(&Value::Null));
    }
    if let Ok(program) = Program::parse(text) {
        let _ = program.run(&vars);
    }
}
