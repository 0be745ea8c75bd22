//! The machines that Seata's own engine was run on give the histories here that they gave there: states, statuses, order, and
//! calls with their input. The machines are not part of this repository: they are read from
//! `../shared/conformance/seata-saga` beside it, or from where `SEATA_SAGA_CONFORMANCE` says. `data/saga-histories.jsonl` is
//! what Seata 2.6.0 did.
#![allow(clippy::unwrap_used, reason = "a test")]

mod twin;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use diwan_saga::engine::{Code, Command, Config, Effect, Refused, Saga, Sagas};
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
    let Some(files) = files() else {
        return;
    };
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
    let scenarios: Vec<Value> =
        serde_json::from_str(include_str!("data/saga-scenarios.json")).unwrap();
    let mut expected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in include_str!("data/saga-histories.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let file = line["file"].as_str().unwrap().to_owned();
        expected.entry(file).or_default().push(line);
    }
    let mut agreed = 0;
    let mut disagreed = Vec::new();
    for (file, text) in &files {
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
    for (file, text) in &files {
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
            let ours = run(&mut world, file, scenario);
            let (ours, theirs) = (comparable(ours), comparable(theirs.clone()));
            if ours == theirs {
                agreed += 1;
            } else {
                disagreed.push(format!(
                    "{file} {}\n  ours   {ours}\n  Seata's {theirs}",
                    scenario["params"]
                ));
            }
        }
    }
    println!("{agreed} of {} agree", agreed + disagreed.len());
    assert!(disagreed.is_empty(), "{}", disagreed.join("\n"));
    assert_eq!(agreed, 38);
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
            id: id.clone(),
            machine: scenario["machine"].as_str().unwrap().into(),
            tenant: "000001".into(),
            business_key: None,
            params: scenario["params"].as_object().unwrap().clone(),
        })
        .unwrap();
    describe(&mut line, "", world, &id);
    let Some(then) = scenario["then"].as_str() else {
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
        Err(Refused::CannotForward(_, why)) => {
            assert_eq!(why, "it has no state that is not compensated");
            let threw = "ForwardInvalidException: StateMachineInstance[id:*] Cannot find last forward execution stateInstance";
            line.insert("then_threw".into(), threw.into());
        }
        Err(other) => panic!("{other}"),
    }
    line.into()
}

fn describe(line: &mut Map<String, Value>, prefix: &str, world: &World, id: &str) {
    let saga = world.sagas.get(id).unwrap();
    let calls = Value::Array(world.twin.calls.clone());
    if let Some(exception) = &saga.exception
        && let Some(code) = exception.code
    {
        // Seata's engine throws this at whoever started the saga.
        let said = match code {
            Code::NoChoiceMatched => format!("EngineExecutionException: {}", exception.message),
            Code::VariablesAssign => {
                assert!(
                    exception
                        .message
                        .ends_with("property or field `data1` cannot be found")
                );
                "SpelEvaluationException: EL1008E: Property or field 'data1' cannot be found on object of type 'java.util.concurrent.ConcurrentHashMap' - maybe not public or not valid?".into()
            }
            other => panic!("{other:?}"),
        };
        line.insert(format!("{prefix}threw"), said.into());
        line.insert("calls".into(), calls);
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
            _ => {}
        }
    }
    mask(&mut line);
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

/// Names and texts in the order of their names, `None` (and a line about it) if the collection is not there.
fn files() -> Option<Vec<(String, String)>> {
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/seata-saga");
    let root = env::var_os("SEATA_SAGA_CONFORMANCE").map_or(beside, PathBuf::from);
    let Ok(folder) = fs::read_dir(&root) else {
        println!("skipped: no machines of Seata's in {}", root.display());
        return None;
    };
    let mut files: Vec<(String, String)> = folder
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
