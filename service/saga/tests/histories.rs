//! The machines that Seata's own engine was run on give the histories here that they gave there: states, statuses, order, and
//! calls with their input. The machines are not part of this repository: they are read from
//! `../shared/conformance/seata-saga` beside it, or from where `SEATA_SAGA_CONFORMANCE` says. `data/saga-histories.jsonl` is
//! what Seata 2.6.0 did. Our own machines are in `data/machines`; what Seata did with them (`data/own-histories.jsonl`) was
//! recorded with a service that takes 3 ms a call: Seata sorts states by the millisecond in which they started, so quicker
//! ones are compensated in any order.
#![allow(clippy::unwrap_used, reason = "a test")]

mod twin;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use diwan_saga::engine::{Command, Config, Effect, Refused, Saga, Sagas};
use diwan_saga::lang::{Fault, Machine, Work, load};
use serde_json::{Map, Value, json};
use twin::Twin;

/// Seata runs the elements of a loop on threads, and asks whether to start another one whenever one of them is done. So it
/// starts some fewer or more, in some other order.
const LOOP_SLACK: usize = 2;

struct World {
    sagas: Sagas,
    twin: Twin,
    now_ms: u64,
    started: u32,
}

impl World {
    fn apply(&mut self, command: Command) -> Result<(), Refused> {
        let mut effects = Vec::new();
        self.sagas.apply(self.now_ms, command, &mut effects)?;
        let mut open = std::collections::VecDeque::from(effects);
        loop {
            while let Some(effect) = open.pop_front() {
                let Effect::Call(call) = effect else {
                    continue;
                };
                let outcome = self.twin.answer(&call);
                let mut effects = Vec::new();
                let returned = Command::Returned {
                    call: call.id,
                    outcome,
                };
                self.sagas
                    .apply(self.now_ms, returned, &mut effects)
                    .unwrap();
                open.extend(effects);
            }
            // Pauses between calls that are made again.
            if !self.sagas.iter().any(|saga| saga.is_running) {
                return Ok(());
            }
            self.now_ms = self.now_ms.max(self.sagas.due_ms().unwrap());
            let mut effects = Vec::new();
            self.sagas
                .apply(self.now_ms, Command::Tick, &mut effects)
                .unwrap();
            open.extend(effects);
        }
    }

    fn define(&mut self, text: &str) {
        let (tenant, text) = ("000001".into(), text.into());
        self.apply(Command::Define { tenant, text }).unwrap();
    }
}

#[test]
fn histories_agree_with_seatas() {
    let Some(files) = conformance() else {
        return;
    };
    let (agreed, differing) = compare(
        &files,
        include_str!("data/saga-scenarios.json"),
        include_str!("data/saga-histories.jsonl"),
    );
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert_eq!(agreed, 38);
}

/// What differs from Seata, and why: machine, parameters, and the operation that followed.
const DIFFERENT: &[(&str, &str, &str, &str)] = &[
    (
        "caughtThenDone",
        r#"{"a":1}"#,
        "",
        "Seata takes a success after a caught exception for a failure: it would not be compensated",
    ),
    (
        "loopCaught",
        r#"{"list":[{"n":1,"bad":"f"},{"n":2,"bad":"true"},{"n":3,"bad":"f"}]}"#,
        "",
        "Seata forgets which exception ended a loop",
    ),
    (
        "loopUndone",
        r#"{"list":[{"n":1,"bad":"f"},{"n":2,"bad":"true"}]}"#,
        "",
        "Seata compensates a loop without telling which element",
    ),
    (
        "nullOutput",
        r#"{"a":1}"#,
        "",
        "Seata fails with a NullPointerException on an output that is null",
    ),
    (
        "retriesUpdate",
        "{}",
        "",
        "Seata forgets that an earlier attempt may have been carried out if the last one reached nobody",
    ),
    (
        "overwritten",
        r#"{"a":1,"lastFails":"true"}"#,
        "forward",
        "the harness prints Seata's list in memory; its store overwrites, as ours does",
    ),
    (
        "overwritten",
        r#"{"a":1,"lastFails":"true"}"#,
        "forward",
        "the same",
    ),
];

/// Our own machines, for what Seata's leave out.
#[test]
fn histories_of_our_machines_agree_with_seatas() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/machines");
    let files = files(&folder).unwrap();
    let (agreed, differing) = compare(
        &files,
        include_str!("data/own-scenarios.json"),
        include_str!("data/own-histories.jsonl"),
    );
    let unknown: Vec<&String> = differing
        .iter()
        .filter(|line| {
            !DIFFERENT.iter().any(|(machine, params, then, _)| {
                line.starts_with(&format!("{machine} {params} {then}\n"))
            })
        })
        .collect();
    println!("{agreed} agree, {} differ", differing.len());
    for line in &unknown {
        println!("{line}");
    }
    assert!(unknown.is_empty());
    assert_eq!(differing.len(), DIFFERENT.len());
}

/// How many agree, and those that do not.
fn compare(files: &[(String, String)], scenarios: &str, histories: &str) -> (usize, Vec<String>) {
    let config = Config {
        recovers: false,
        retention_ms: u64::MAX / 2,
        ..Config::default()
    };
    let mut world = World {
        sagas: Sagas::new(config),
        twin: Twin::default(),
        now_ms: 1,
        started: 0,
    };
    let scenarios: Vec<Value> = serde_json::from_str(scenarios).unwrap();
    let mut expected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in histories.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let file = line["file"].as_str().unwrap().to_owned();
        expected.entry(file).or_default().push(line);
    }
    let mut agreed = 0;
    let mut differing = Vec::new();
    for (file, text) in files {
        match load(text) {
            Ok(_) => world.define(text),
            Err(error) => {
                let theirs = expected.remove(file).unwrap();
                let rule = match *error.what {
                    Fault::NoSuchState(_) => "StateNameExistsRule",
                    Fault::Endless(_) => "FiniteTerminationRule",
                    Fault::Recursive => "NoRecursiveSubStateMachineRule",
                    _ => "none of Seata's",
                };
                assert!(
                    theirs[0]["error"]
                        .as_str()
                        .unwrap_or_default()
                        .contains(rule),
                    "{file}: {error}"
                );
                agreed += 1;
            }
        }
    }
    for (file, text) in files {
        let Some(theirs) = expected.get(file) else {
            continue;
        };
        world.define(text);
        let machine = load(text).unwrap().name.to_string();
        let mut mine: Vec<Value> = scenarios
            .iter()
            .filter(|scenario| scenario["machine"] == *machine)
            .cloned()
            .collect();
        if mine.is_empty() {
            mine.push(json!({"machine": machine, "params": {"a": 1}}));
        }
        assert_eq!(mine.len(), theirs.len(), "{file}");
        for (scenario, theirs) in mine.iter().zip(theirs) {
            let ours = comparable(run(&mut world, file, scenario));
            let theirs = comparable(theirs.clone());
            if ours == theirs {
                agreed += 1;
                continue;
            }
            let mut line = format!(
                "{machine} {} {}\n",
                scenario["params"],
                scenario["then"].as_str().unwrap_or_default()
            );
            for (key, value) in theirs.as_object().unwrap() {
                if ours.get(key) != Some(value) {
                    line += &format!("  {key}\n    Seata's {value}\n    ours    {}\n", ours[key]);
                }
            }
            for key in ours
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| theirs.get(key).is_none())
            {
                line += &format!("  {key}\n    Seata's none\n    ours    {}\n", ours[key]);
            }
            differing.push(line);
        }
    }
    (agreed, differing)
}

/// One line as the harness prints it.
fn run(world: &mut World, file: &str, scenario: &Value) -> Value {
    let mut line = Map::new();
    line.insert("file".into(), file.into());
    line.insert("machine".into(), scenario["machine"].clone());
    line.insert("params".into(), scenario["params"].clone());
    world.started += 1;
    let id = format!("saga-{}", world.started);
    world.twin.calls.clear();
    world
        .apply(Command::Start {
            id: id.as_str().into(),
            machine: scenario["machine"].as_str().unwrap().into(),
            tenant: "000001".into(),
            business_key: None,
            params: scenario["params"].as_object().unwrap().clone(),
        })
        .unwrap();
    describe(&mut line, "", world, &id);
    let Some(then) = scenario["then"]
        .as_str()
        .filter(|_| line.get("threw").is_none())
    else {
        return line.into();
    };
    world.twin.calls.clear();
    line.insert("then".into(), then.into());
    let params = scenario["thenParams"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let saga = id.clone();
    let done = world.apply(if then == "forward" {
        Command::Forward {
            saga,
            params,
            skip: false,
        }
    } else {
        Command::Compensate { saga, params }
    });
    match done {
        Ok(()) => describe(&mut line, "then_", world, &id),
        Err(Refused::CannotForward(..)) => {
            line.insert("then_threw".into(), "ForwardInvalidException".into());
        }
        Err(other) => panic!("{other}"),
    }
    line.into()
}

fn describe(line: &mut Map<String, Value>, prefix: &str, world: &World, id: &str) {
    let saga = world.sagas.get(id).unwrap();
    let calls = Value::Array(world.twin.calls.clone());
    if let Some(exception) = &saga.exception
        && exception.code.is_some()
    {
        // Seata's engine throws this at whoever started the saga.
        line.insert(format!("{prefix}threw"), exception.message.clone().into());
        line.insert(format!("{prefix}calls"), calls);
        return;
    }
    line.insert(format!("{prefix}status"), saga.status.name().into());
    line.insert(
        format!("{prefix}compensation_status"),
        saga.compensation.map(|status| status.name()).into(),
    );
    if let Some(exception) = &saga.exception {
        line.insert(format!("{prefix}exception"), twin::root(exception).into());
    }
    line.insert(format!("{prefix}states"), states(world, saga));
    line.insert(format!("{prefix}calls"), calls);
}

fn states(world: &World, saga: &Saga) -> Value {
    let machine: &Machine = world.sagas.machine(saga.machine).unwrap();
    let name = |number: u32| saga.records[number as usize].name(machine);
    saga.records
        .iter()
        .map(|record| {
            let kind = match &machine.state(record.state).task().unwrap().work {
                Work::Service(_) => "SERVICE_TASK",
                Work::SubMachine(_) => "SUB_STATE_MACHINE",
                Work::CompensateSubMachine => "SUB_MACHINE_COMPENSATION",
                Work::Script(_) => "SCRIPT_TASK",
            };
            let mut entry = Map::new();
            entry.insert("name".into(), record.name(machine).into());
            entry.insert("type".into(), kind.into());
            entry.insert("status".into(), record.status.name().into());
            let compensation = saga.compensation_of(record).map(|status| status.name());
            entry.insert("compensation_status".into(), compensation.into());
            if let Some(of) = record.compensates {
                entry.insert("compensates".into(), name(of).into());
            }
            if let Some(of) = record.retries {
                entry.insert("retries".into(), name(of).into());
            }
            if let Some(child) = record.child {
                let child = world.sagas.by_key(child).unwrap();
                let of = world.sagas.machine(child.machine).unwrap();
                let child = json!({
                    "machine": &*of.name, "status": child.status.name(),
                    "compensation_status": child.compensation.map(|status| status.name()),
                    "states": states(world, child),
                });
                entry.insert("children".into(), json!([child]));
            }
            Value::Object(entry)
        })
        .collect()
}

/// Without what no two runs have in common: numbers of `$Sequence`, the order in a parallel loop and where exactly it ends.
fn comparable(mut line: Value) -> Value {
    fn mask(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(mask),
            Value::Object(map) => {
                for (key, value) in map {
                    if key == "fooBusinessKey" {
                        assert!(value.as_str().is_some_and(|key| !key.is_empty()));
                        *value = "*".into();
                    }
                    mask(value);
                }
            }
            // Seata adds a number, we the name of the state.
            Value::String(text) if text.starts_with("_compensate_sub_machine_state_") => {
                text.truncate("_compensate_sub_machine_state_".len());
            }
            _ => {}
        }
    }
    mask(&mut line);
    for (key, value) in line.as_object_mut().unwrap() {
        if let ("threw" | "then_threw", Some(text)) = (key.as_str(), value.as_str()) {
            *value = same_words(text).into();
        }
    }
    // Where Seata's engine throws, the harness does not print the calls.
    if line.get("then_threw").is_some() {
        line.as_object_mut().unwrap().remove("then_calls");
    }
    if line["machine"] == "simpleLoopTestStateMachine" {
        let states = line["states"].as_array().unwrap().clone();
        let calls = line["calls"].as_array().unwrap().clone();
        assert_eq!(states.len(), calls.len());
        let mut kept = Vec::new();
        for (state, method, satisfied) in [("FirstState", "foo", 4), ("SecondState", "bar", 4)] {
            let mut of_state: Vec<Value> = states
                .iter()
                .filter(|one| one["name"].as_str().unwrap().starts_with(state))
                .cloned()
                .collect();
            let mut of_method: Vec<Value> = calls
                .iter()
                .filter(|call| call["method"] == method)
                .cloned()
                .collect();
            of_state.sort_by_key(|one| one["name"].to_string());
            of_method.sort_by_key(|call| call["input"][0]["loopCounter"].as_u64());
            assert!((satisfied..=satisfied + LOOP_SLACK).contains(&of_state.len()));
            kept.extend(of_state.into_iter().take(satisfied));
            kept.extend(of_method.into_iter().take(satisfied));
        }
        line["states"] = kept.into();
        line["calls"] = Value::Null;
    }
    line
}

/// What the engine says in its own words, in one of them.
fn same_words(text: &str) -> &str {
    if text.ends_with("a property of null") || text.ends_with("cannot be found on null") {
        return "of null";
    }
    for words in [
        "No choice matched, maybe it is a bug. Choice state name:",
        "cannot matching status",
        "cannot be found",
        "is a service for update data, but no compensateState found",
        "ForwardInvalidException",
    ] {
        if text.contains(words) {
            return words;
        }
    }
    text
}

/// Seata's machines, `None` (and a line about it) if they are not there.
fn conformance() -> Option<Vec<(String, String)>> {
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/seata-saga");
    let root = env::var_os("SEATA_SAGA_CONFORMANCE").map_or(beside, PathBuf::from);
    let found = files(&root);
    if found.is_none() {
        println!("skipped: no machines of Seata's in {}", root.display());
    }
    found
}

/// Names and texts in the order of their names.
fn files(folder: &Path) -> Option<Vec<(String, String)>> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .ok()?
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    Some(files)
}
