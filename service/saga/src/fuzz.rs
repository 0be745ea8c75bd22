//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use serde_json::{Map, Value, json};

use crate::engine::{Command, Config, Effect, Outcome, Sagas};
use crate::expr::{Dialect, Expr, Root};

/// Calls of one run; a machine may go round and round.
const CALLS_MAX: usize = 200;

/// Text as an expression in either dialect, and as a machine. What loads is run for a while: participants answer what they are given.
pub fn fuzz_machines(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let root = json!({ "a": 1, "amount": 10, "list": [1, "x", null], "map": { "kind": "inside" } });
    for dialect in [Dialect::Spring, Dialect::Cel] {
        if let Ok(expression) = Expr::parse_in(dialect, text) {
            let _ = expression.eval(Root::Value(&root));
        }
    }
    run(text);
}

fn run(text: &str) {
    let mut sagas = Sagas::new(Config {
        records_max: 300,
        steps_max: 300,
        ..Config::default()
    });
    let mut effects = Vec::new();
    let define = Command::Define {
        tenant: String::new(),
        text: text.to_owned(),
    };
    if sagas.apply(0, define, &mut effects).is_err() {
        return;
    }
    let name = sagas.latest_machines().next();
    let Some(name) = name.map(|(_, machine)| machine.name.clone()) else {
        return;
    };
    let mut params = Map::new();
    for (key, value) in [("from", "A"), ("to", "B"), ("kind", "inside")] {
        params.insert(key.into(), value.into());
    }
    params.insert("amount".into(), 10.into());
    let start = Command::Start {
        id: "s".into(),
        machine: name,
        tenant: "".into(),
        business_key: None,
        params,
    };
    let _ = sagas.apply(0, start, &mut effects);
    for now_ms in 0..CALLS_MAX as u64 {
        let Some(effect) = effects.pop() else {
            // What waits for its time has it.
            let Some(due_ms) = sagas.due_ms() else {
                return;
            };
            let _ = sagas.apply(due_ms, Command::Tick, &mut effects);
            continue;
        };
        if let Effect::Call(call) = effect {
            let value = call.args.first().cloned().unwrap_or_default();
            let value: std::sync::Arc<Value> = value;
            let (call, outcome) = (call.id, Outcome::Value(value));
            let _ = sagas.apply(now_ms, Command::Returned { call, outcome }, &mut effects);
        }
    }
    // Whatever it has come to can be kept.
    let again = Sagas::restore(sagas.snapshot());
    assert!(again.is_ok(), "{:?}", again.err());
}

/// Machines and expressions to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let machines = [
        include_str!("../tests/data/safe/asks.json"),
        include_str!("../tests/data/safe/catch.json"),
        include_str!("../tests/data/safe/cel.json"),
        include_str!("../tests/data/safe/choice.json"),
        include_str!("../tests/data/safe/forkLoop.json"),
        include_str!("../tests/data/safe/loop.json"),
        include_str!("../tests/data/safe/parallel.json"),
        include_str!("../tests/data/safe/pay.json"),
    ];
    let expressions = [
        "$.[a] == 1 ? list.?[#this != null].size() : -amount / 2",
        "[map].kind.startsWith('in') && !(list[0] >= 1 || a % 2 == 0)",
        "has(map.kind) && 'x' in list || size(list) > 2 ? [1, 2] : map['kind']",
    ];
    let all = machines.iter().chain(&expressions);
    all.map(|text| text.as_bytes().to_vec()).collect()
}
