//! Seata's own tests of its engine (`apache/incubator-seata:test/src/test/java/org/apache/seata/saga/engine`), in virtual time.
//! `data/seata-tests.jsonl` has a line for each, called as the Java test is: the machine, and cases of operations, each with
//! what the Java test asserts after it. What is expected is what Java expects, not what this engine does. Those that Seata
//! itself has switched off (`disabled`, with its reason) run here. Seata's `db` tests have a coordinator that recovers sagas;
//! here the engine does. The machines are not part of this repository: they are read from `../shared/conformance/seata-saga`
//! beside it, or from where `SEATA_SAGA_CONFORMANCE` says.
#![allow(clippy::unwrap_used, reason = "a test")]

mod twin;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::{env, fs};

use diwan_saga::engine::{
    Call, CallId, Command, Config, Effect, Outcome, Refused, Saga, Sagas, Status,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use twin::{Twin, demo};

const TENANT: &str = "000001";
/// So often a case with chance in it is run.
const SEEDS: u64 = 16;
/// Within this time everything must have come to its end.
const PATIENCE_MS: u64 = 24 * 3_600_000;

/// One of Seata's tests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    class: String,
    test: String,
    machine: Option<String>,
    /// Why Seata does not run it.
    disabled: Option<String>,
    /// Why it is none here.
    not: Option<String>,
    /// Seata's `transOperationTimeout`.
    timeout_ms: Option<u64>,
    #[serde(default)]
    random: bool,
    #[serde(default)]
    cases: Vec<Vec<Step>>,
}

/// An operation, and what is asserted after it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    start: Option<Map<String, Value>>,
    business_key: Option<String>,
    /// So many sagas at once.
    #[serde(default = "once")]
    times: u32,
    forward: Option<Map<String, Value>>,
    compensate: Option<Map<String, Value>>,
    wait_ms: Option<u64>,
    /// Waits until it is `done` (SU, and finished), `undone` (compensation SU), or one of both.
    until: Option<String>,
    /// There is no saga of this id.
    unknown: Option<String>,

    status: Option<String>,
    /// One of these.
    statuses: Option<Vec<String>>,
    #[serde(default, deserialize_with = "said")]
    compensation: Option<Option<String>>,
    #[serde(default)]
    exception: bool,
    /// The code of an exception that the engine throws; else it must throw none.
    throws: Option<String>,
    /// The start is refused.
    #[serde(default)]
    refused: bool,
    states: Option<usize>,
    /// What the coordinator has of it.
    global: Option<String>,
    /// Variables that are there at the end.
    #[serde(default)]
    present: Vec<String>,
    /// Variables' values, by JSON pointers.
    #[serde(default)]
    values: BTreeMap<String, Value>,
    /// The first state has a business key, and the saga a variable of it.
    #[serde(default)]
    business_key_of_first: bool,
}

fn once() -> u32 {
    1
}

/// `null` is something, too.
fn said<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

/// Sagas, and Seata's demo service, which sleeps, fails, and fails by chance.
struct World {
    sagas: Sagas,
    now_ms: u64,
    twin: Twin,
    chance: u64,
    calls: VecDeque<Call>,
    /// Answers on their way.
    sleeping: BTreeMap<(u64, CallId), Outcome>,
}

impl World {
    fn new(machines: &[String], config: Config, seed: u64) -> Self {
        let mut world = Self {
            sagas: Sagas::new(config),
            now_ms: 1_000,
            twin: Twin::default(),
            chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            calls: VecDeque::new(),
            sleeping: BTreeMap::new(),
        };
        for text in machines {
            let (tenant, text) = (TENANT.into(), text.clone());
            world.apply(Command::Define { tenant, text }).unwrap();
        }
        world
    }

    fn apply(&mut self, command: Command) -> Result<(), Refused> {
        let mut effects = Vec::new();
        self.sagas.apply(self.now_ms, command, &mut effects)?;
        self.calls
            .extend(effects.into_iter().filter_map(|effect| match effect {
                Effect::Call(call) => Some(call),
                _ => None,
            }));
        Ok(())
    }

    /// Between 0 and 1, as Java's `Math.random`.
    fn random(&mut self) -> f64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `DemoService.java`.
    fn answer(&mut self, call: &Call) {
        let method = call.service.method.to_string();
        let input = call.args.first().cloned().unwrap_or_default();
        let mut outcome = self.twin.answer(call);
        let bound = if method.starts_with("compensate") {
            0.8
        } else {
            0.5
        };
        if input["throwExceptionRandomly"] == "true" && self.random() > bound {
            outcome = Outcome::Exception(demo(&format!("{method} execute failed")));
        }
        let takes_ms = input["sleepTime"].as_u64().unwrap_or(0);
        self.sleeping
            .insert((self.now_ms + takes_ms, call.id), outcome);
    }

    /// Lives until then, or until something is so.
    fn live(&mut self, until_ms: u64, is_so: impl Fn(&Sagas) -> bool) -> bool {
        loop {
            while let Some(call) = self.calls.pop_front() {
                self.answer(&call);
            }
            if is_so(&self.sagas) {
                return true;
            }
            let answered_ms = self.sleeping.keys().next().map(|(at_ms, _)| *at_ms);
            let due_ms = self.sagas.due_ms();
            let next_ms = answered_ms.into_iter().chain(due_ms).min();
            let Some(next_ms) = next_ms.filter(|next_ms| *next_ms <= until_ms) else {
                self.now_ms = self.now_ms.max(until_ms);
                return false;
            };
            self.now_ms = self.now_ms.max(next_ms);
            // Who sleeps for as long as the saga may take is late.
            if due_ms.is_some_and(|due_ms| due_ms <= self.now_ms) {
                self.apply(Command::Tick).unwrap();
            } else if let Some(((_, call), outcome)) = self.sleeping.pop_first() {
                self.apply(Command::Returned { call, outcome }).unwrap();
            }
        }
    }

    /// Until whoever called the engine has its answer: it does not wait for recovery.
    fn until_stopped(&mut self) {
        let is_over = self.live(self.now_ms + PATIENCE_MS, |sagas| {
            sagas.iter().all(|saga| !saga.is_running)
        });
        assert!(is_over);
    }

    fn saga(&self) -> &Saga {
        self.sagas.get("saga-1").unwrap()
    }
}

/// What the coordinator would have (`DbAndReportTcStateLogStore.reportTransactionFinished`).
fn global(saga: &Saga) -> &'static str {
    match &saga.recovery {
        None => "Finished",
        Some(recovery) if recovery.is_forward => "CommitRetrying",
        Some(_) => "RollbackRetrying",
    }
}

/// One operation; what is wrong afterwards.
fn run(world: &mut World, row: &Row, step: &Step) -> Result<(), String> {
    let id = || "saga-1".to_owned();
    if let Some(id) = &step.unknown {
        return match world.sagas.get(id) {
            None => Ok(()),
            Some(_) => Err(format!("{id} is known")),
        };
    }
    if let Some(params) = &step.start {
        let first = 1 + world
            .sagas
            .iter()
            .filter(|one| one.parent.is_none())
            .count();
        for number in 0..step.times as usize {
            let started = world.apply(Command::Start {
                id: format!("saga-{}", first + number).into(),
                machine: row.machine.as_deref().unwrap().into(),
                tenant: TENANT.into(),
                business_key: step.business_key.clone(),
                params: params.clone(),
            });
            match (started, step.refused) {
                (Ok(()), false) => {}
                (Err(Refused::BusinessKeyInUse(_)), true) => return Ok(()),
                (other, _) => return Err(format!("start: {other:?}")),
            }
        }
        world.until_stopped();
    }
    let saga = id();
    if let Some(params) = step.forward.clone() {
        let skip = false;
        let command = Command::Forward { saga, params, skip };
        world.apply(command).map_err(|why| why.to_string())?;
        world.until_stopped();
    } else if let Some(params) = step.compensate.clone() {
        let command = Command::Compensate { saga, params };
        world.apply(command).map_err(|why| why.to_string())?;
        world.until_stopped();
    }
    if let Some(wait_ms) = step.wait_ms {
        world.live(world.now_ms + wait_ms, |_| false);
    }
    if let Some(until) = &step.until {
        let is_so = |sagas: &Sagas| {
            let saga = sagas.get("saga-1").unwrap();
            let done = saga.status == Status::Succeeded && global(saga) == "Finished";
            let undone = saga.compensation == Some(Status::Succeeded);
            !saga.is_running
                && match until.as_str() {
                    "done" => done,
                    "undone" => undone,
                    "done or undone" => done || undone,
                    other => panic!("{other}"),
                }
        };
        if !world.live(world.now_ms + PATIENCE_MS, is_so) {
            return Err(format!("never {until}"));
        }
    }
    if step.times > 1 {
        let bad = world.sagas.iter().find(|saga| {
            saga.exception
                .as_ref()
                .is_some_and(|exception| exception.code.is_some())
        });
        return bad.map_or(Ok(()), |saga| Err(format!("{:?}", saga.exception)));
    }
    check(world, row, step)
}

fn check(world: &World, row: &Row, step: &Step) -> Result<(), String> {
    let saga = world.saga();
    let mut wrong = Vec::new();
    let mut same = |what: &str, theirs: String, ours: String| {
        if theirs != ours {
            wrong.push(format!("{what}: Java asserts {theirs}, here it is {ours}"));
        }
    };
    let status = saga.status.name();
    if let Some(theirs) = &step.status {
        same("status", theirs.clone(), status.into());
    }
    if let Some(theirs) = &step.statuses {
        let is_one = theirs.iter().any(|one| one == status);
        same(
            "status",
            format!("one of {theirs:?}: true"),
            format!("one of {theirs:?}: {is_one}"),
        );
    }
    if let Some(theirs) = &step.compensation {
        let ours = saga.compensation.map(Status::name);
        same("compensation", format!("{theirs:?}"), format!("{ours:?}"));
    }
    if step.exception {
        same(
            "exception",
            "true".into(),
            saga.exception.is_some().to_string(),
        );
    }
    let code = saga.exception.as_ref().and_then(|exception| exception.code);
    let code = code.map(|code| format!("{code:?}"));
    if row.timeout_ms.is_none() {
        // Java's tests of timeouts take the exception for an answer.
        same("throws", format!("{:?}", step.throws), format!("{code:?}"));
    }
    if let Some(theirs) = step.states {
        same("states", theirs.to_string(), saga.records.len().to_string());
    }
    if let Some(theirs) = &step.global {
        same("global", theirs.clone(), global(saga).into());
    }
    let vars = Value::Object(saga.vars.to_map());
    for name in &step.present {
        let is_there = vars.get(name).is_some_and(|value| !value.is_null());
        same(name, "true".into(), is_there.to_string());
    }
    for (pointer, theirs) in &step.values {
        let ours = vars.pointer(pointer).unwrap_or(&Value::Null);
        same(pointer, theirs.to_string(), ours.to_string());
    }
    if step.business_key_of_first {
        let machine = world.sagas.machine(saga.machine).unwrap();
        let first = &saga.records[0];
        let name = format!("{}_business_key_", first.name(machine));
        let ours = vars[&name].as_str();
        same(
            "business key",
            "true".into(),
            first.business_key.is_some().to_string(),
        );
        same(
            &name,
            format!("{:?}", first.business_key.as_deref()),
            format!("{ours:?}"),
        );
    }
    if let Some(key) = &step.business_key {
        let mut all = world.sagas.iter();
        let found = all.find(|saga| saga.business_key.as_deref() == Some(key.as_str()));
        same(
            "by business key",
            saga.id.to_string(),
            found.unwrap().id.to_string(),
        );
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("; ")),
    }
}

#[test]
fn seatas_own_tests_hold() {
    let Some(machines) = conformance() else {
        return;
    };
    let rows: Vec<Row> = include_str!("data/seata-tests.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (mut held, mut wrong, mut none) = (0, Vec::new(), Vec::new());
    for row in &rows {
        if let Some(why) = &row.not {
            none.push(format!("{}.{}: {why}", row.class, row.test));
            continue;
        }
        let coordinated = row.class == "db.StateMachineDBTests";
        let mut is_fine = true;
        for (number, case) in row.cases.iter().enumerate() {
            for seed in 0..if row.random { SEEDS } else { 1 } {
                let default = Config::default();
                let config = Config {
                    recovers: coordinated,
                    retention_ms: u64::MAX / 2,
                    transaction_timeout_ms: row
                        .timeout_ms
                        .unwrap_or(default.transaction_timeout_ms),
                    ..default
                };
                let mut world = World::new(&machines, config, seed);
                for step in case {
                    if let Err(why) = run(&mut world, row, step) {
                        is_fine = false;
                        wrong.push(format!(
                            "{}.{} case {number} seed {seed}: {why}",
                            row.class, row.test
                        ));
                        break;
                    }
                }
            }
        }
        held += usize::from(is_fine);
    }
    let disabled = rows.iter().filter(|row| row.disabled.is_some()).count();
    println!(
        "{held} of {} hold, {disabled} of them are disabled in Seata",
        rows.len()
    );
    println!("none here: {}", none.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // 91 with `@Test`, and one that is disabled without it.
    assert_eq!((rows.len(), disabled, none.len()), (92, 11, 1));
    assert_eq!(held, 91);
}

/// Seata's machines, `None` (and a line about it) if they are not there.
fn conformance() -> Option<Vec<String>> {
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/seata-saga");
    let root = env::var_os("SEATA_SAGA_CONFORMANCE").map_or(beside, PathBuf::from);
    let Ok(entries) = fs::read_dir(&root) else {
        println!("skipped: no machines of Seata's in {}", root.display());
        return None;
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // The others are those of Seata's parser, which take some names again.
    let is_of_engine = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("simple_statelang") || name.starts_with("designer_")
    };
    paths.retain(is_of_engine);
    paths.sort();
    Some(
        paths
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect(),
    )
}
