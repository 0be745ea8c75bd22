//! The same commands give the same state; a state that is kept and taken up again goes on as if nothing had happened; and
//! whatever happens to calls, money that was taken is paid out or given back. Random by seed: `SEEDS=17` or `SEEDS=1..2000`.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::collections::BTreeMap;

use diwan_saga::check::{Source, check};
use diwan_saga::draw;
use diwan_saga::engine::{
    Call, CallId, Command, Config, Effect, Exception, Kind, Outcome, Sagas, Snapshot, Status,
};
use diwan_saga::lang::load;
use proptest::prelude::*;
use serde_json::{Value, json};
use world::{TENANT, machine, map, task};

/// Xorshift: enough to choose by.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % count
    }
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    let Ok(seeds) = std::env::var("SEEDS") else {
        return 1..count + 1;
    };
    let (from, to) = seeds.split_once("..").unwrap_or((&seeds, ""));
    let from = from.parse().unwrap();
    from..to.parse().unwrap_or(from + 1)
}

fn machines() -> Vec<Value> {
    let catch = json!([{"Exceptions": ["Caught"], "Next": "Back"}]);
    let retry = json!([{"IntervalSeconds": 1, "MaxAttempts": 2, "BackoffRate": 2}]);
    let back = json!({"Type": "CompensationTrigger", "Next": "Failed"});
    let failed = json!({"Type": "Fail"});
    let undo = task("undo", json!({"Input": ["$.[element]"]}));
    vec![
        machine(
            "child",
            json!({"IsRetryPersistModeUpdate": true}),
            json!({
                "A": task("x", json!({"CompensateState": "Undo", "Catch": catch, "Next": "Y", "Output": {"x": "$.#root"}})),
                "Y": task("y", json!({"CompensateState": "Undo", "Retry": retry})), "Undo": undo, "Back": back, "Failed": failed,
            }),
        ),
        machine(
            "parent",
            json!({"RecoverStrategy": "Forward"}),
            json!({
                "A": task("a", json!({"CompensateState": "Undo", "Next": "B", "IsAsync": true})),
                "B": {"Type": "SubStateMachine", "StateMachineName": "child", "Input": [{"p": "$.[x]"}], "Catch": catch, "Next": "C"},
                "C": task("c", json!({"CompensateState": "Undo", "Catch": catch, "Retry": retry, "Status": {"#root == null": "UN", "$Exception{Caught}": "FA", "#root != null": "SU"}})),
                "Undo": undo, "Back": back, "Failed": failed,
            }),
        ),
        machine(
            "fork",
            json!({"IsRetryPersistModeUpdate": true}),
            json!({
                "A": {"Type": "Fork", "Branches": ["B", "C", "D"], "Parallel": 2, "AwaitTimeout": 200_000},
                "B": task("b", json!({"CompensateState": "Undo", "Catch": catch, "Next": "E"})),
                "C": {"Type": "SubStateMachine", "StateMachineName": "child", "Next": "J"},
                "D": task("d", json!({"CompensateState": "Undo", "Retry": retry, "Next": "J", "Loop": {"Parallel": 2, "Collection": "$.[list]", "ElementVariableName": "element"}})),
                "E": {"Type": "Fork", "Branches": ["F", "G"]},
                "F": task("f", json!({"CompensateState": "Undo", "Next": "K"})),
                "G": task("g", json!({"CompensateState": "Undo", "Catch": catch, "Next": "K"})),
                "K": {"Type": "Join", "Next": "H"}, "H": task("h", json!({"CompensateState": "Undo", "Next": "J"})),
                "J": {"Type": "Join", "Next": "Z"}, "Z": task("z", json!({"CompensateState": "Undo"})),
                "Undo": undo, "Back": back, "Failed": failed,
            }),
        ),
        machine(
            "parallel",
            json!(null),
            json!({
                "A": {"Type": "Parallel", "Branches": ["B", "C", "D", "B"], "Parallel": 3, "Output": {"all": "$.#root"}, "Next": "E"},
                "B": task("b", json!({"CompensateState": "Undo", "Catch": catch})),
                "C": {"Type": "SubStateMachine", "StateMachineName": "child", "Loop": {"Parallel": 2, "Collection": "$.[list]"}},
                "D": task("d", json!({"CompensateState": "Undo", "Loop": {"Collection": "$.[list]", "ElementVariableName": "element"}, "Catch": [{"Exceptions": ["Caught"], "Next": "E"}]})),
                "E": task("e", json!({"CompensateState": "Undo", "Input": ["$.[all]"]})),
                "Undo": undo, "Back": back, "Failed": failed,
            }),
        ),
        machine(
            "loop",
            json!({"IsCompensatePersistModeUpdate": true}),
            json!({
                "A": task("a", json!({"CompensateState": "Undo", "Next": "B", "Catch": catch, "Loop": {"Parallel": 2, "Collection": "$.[list]", "ElementVariableName": "element"}, "Input": ["$.[element]"]})),
                "B": {"Type": "SubStateMachine", "StateMachineName": "child", "Next": "C", "Loop": {"Parallel": 3, "Collection": "$.[list]", "CompletionCondition": "[nrOfCompletedInstances] >= 2"}},
                "C": {"Type": "Choice", "Choices": [{"Expression": "[loopResult].size() > 1", "Next": "D"}], "Default": "Failed"},
                "D": task("d", json!({"CompensateState": "Undo"})),
                "Undo": undo, "Back": back, "Failed": failed,
            }),
        ),
    ]
}

/// What somebody does next.
fn act(dice: &mut Dice, now_ms: &mut u64, open: &mut Vec<CallId>, started: &mut u32) -> Command {
    let id = |dice: &mut Dice, started: u32| format!("s{}", dice.below(started.max(1) as usize));
    match dice.below(20) {
        0 | 1 => {
            let id = format!("s{started}");
            *started += 1;
            let machine = ["child", "parent", "loop", "fork", "parallel"][dice.below(5)].into();
            let params = map(json!({"x": 1, "list": [1, 2, 3]}));
            Command::Start {
                id: id.into(),
                machine,
                tenant: TENANT.into(),
                business_key: None,
                params,
            }
        }
        2 => Command::Forward {
            saga: id(dice, *started),
            params: map(json!({})),
            skip: dice.below(2) == 0,
        },
        3 => Command::Compensate {
            saga: id(dice, *started),
            params: map(json!({"y": 1})),
        },
        4 if dice.below(8) == 0 => Command::Forget {
            saga: id(dice, *started),
        },
        4..=6 => {
            *now_ms += [10, 1_000, 60_000, 400_000][dice.below(4)];
            Command::Tick
        }
        _ if open.is_empty() => Command::Tick,
        _ => {
            let at = dice.below(open.len());
            // Now and then an answer comes twice.
            let call = if dice.below(10) == 0 {
                open[at]
            } else {
                open.swap_remove(at)
            };
            let thrown = |class: &str, kind| {
                Outcome::Exception(Exception {
                    kind,
                    ..Exception::business(class, "m")
                })
            };
            let outcome = match dice.below(8) {
                0 => thrown("Caught", Kind::Business),
                1 => thrown("Other", Kind::Business),
                2 => thrown("Net", Kind::Connect),
                3 => thrown("Net", Kind::ReadTimeout),
                4 => Outcome::Value(Value::Null.into()),
                _ => Outcome::Value(json!({"n": dice.below(5)}).into()),
            };
            Command::Returned { call, outcome }
        }
    }
}

fn fresh() -> Sagas {
    let config = Config {
        retention_ms: 500_000,
        records_max: 60,
        recovery_records: 20,
        ..Config::default()
    };
    let mut sagas = Sagas::new(config);
    for machine in machines() {
        let define = Command::Define {
            tenant: TENANT.into(),
            text: machine.to_string(),
        };
        sagas.apply(0, define, &mut Vec::new()).unwrap();
    }
    sagas
}

fn kept(sagas: &Sagas) -> String {
    serde_json::to_string(&sagas.snapshot()).unwrap()
}

#[test]
fn the_same_commands_give_the_same_state_with_or_without_a_snapshot() {
    let mut ends = BTreeMap::new();
    for seed in seeds(300) {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let (mut now_ms, mut open, mut started) = (0, Vec::new(), 0);
        let mut sagas = fresh();
        let mut log = Vec::new();
        let mut all = Vec::new();
        for _ in 0..300 {
            let command = act(&mut dice, &mut now_ms, &mut open, &mut started);
            let mut effects = Vec::new();
            let reply = sagas.apply(now_ms, command.clone(), &mut effects);
            for effect in &effects {
                match effect {
                    Effect::Call(call) => open.push(call.id),
                    Effect::Stopped {
                        status,
                        compensation,
                        ..
                    } => {
                        *ends
                            .entry(format!("{status:?} {compensation:?}"))
                            .or_insert(0) += 1
                    }
                    Effect::Ended(_) => {}
                }
            }
            // What is outstanding is what was called and not answered.
            for call in sagas.outstanding() {
                assert!(open.contains(&call.id), "seed {seed}");
            }
            log.push((now_ms, command));
            all.push((reply, effects));
        }
        let end = kept(&sagas);
        let half = dice.below(log.len());
        let mut again = fresh();
        for (number, ((now_ms, command), (reply, effects))) in log.into_iter().zip(all).enumerate()
        {
            if number == half {
                let text = kept(&again);
                let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
                again = Sagas::restore(snapshot).unwrap();
                assert_eq!(kept(&again), text, "seed {seed}");
            }
            let mut found = Vec::new();
            assert_eq!(
                again.apply(now_ms, command, &mut found),
                reply,
                "seed {seed}"
            );
            assert_eq!(found, effects, "seed {seed}");
        }
        assert_eq!(kept(&again), end, "seed {seed}");
    }
    println!("{ends:?}");
}

#[test]
fn every_saga_comes_to_an_end_once_participants_answer() {
    for seed in seeds(200) {
        let mut dice = Dice(seed.wrapping_mul(0xD134_2543_DE82_EF95) | 1);
        let (mut now_ms, mut open, mut started) = (0, Vec::new(), 0);
        let mut sagas = fresh();
        let mut effects = Vec::new();
        for _ in 0..200 {
            let command = act(&mut dice, &mut now_ms, &mut open, &mut started);
            let _ = sagas.apply(now_ms, command, &mut effects);
            open.extend(effects.drain(..).filter_map(|effect| match effect {
                Effect::Call(call) => Some(call.id),
                _ => None,
            }));
        }
        for _ in 0..5_000 {
            for call in open.drain(..) {
                let outcome = Outcome::Value(json!({"n": 1}).into());
                let _ = sagas.apply(now_ms, Command::Returned { call, outcome }, &mut effects);
            }
            let Some(due_ms) = sagas.due_ms() else {
                break;
            };
            if effects.is_empty() {
                now_ms = now_ms.max(due_ms);
                let _ = sagas.apply(now_ms, Command::Tick, &mut effects);
            }
            open.extend(effects.drain(..).filter_map(|effect| match effect {
                Effect::Call(call) => Some(call.id),
                _ => None,
            }));
            if sagas.is_empty() {
                break;
            }
        }
        // What stays waits for somebody: it cannot be compensated, or has nothing to go forward from.
        for saga in sagas.iter().filter(|saga| saga.parent.is_none()) {
            assert!(saga.recovery.is_some(), "seed {seed}: {saga:?}");
            let refused = saga.recovery.as_ref().unwrap().refused.is_some();
            assert!(refused || saga.records.len() >= 60, "seed {seed}: {saga:?}");
        }
    }
}

/// A bank whose methods are carried out once for each saga, however often they are called; undoing what was not done yet keeps
/// it from being done.
#[derive(Default)]
struct Bank(BTreeMap<(String, String), bool>);

impl Bank {
    fn carry_out(&mut self, call: &Call) -> bool {
        let key = |method: &str| (call.saga.to_string(), method.to_owned());
        match &*call.service.method {
            "refund" => self.0.insert(key("debit"), false),
            "takeBack" => self.0.insert(key("credit"), false),
            method => match self.0.get(&key(method)) {
                Some(false) => return false,
                _ => self.0.insert(key(method), true),
            },
        };
        true
    }

    fn has(&self, saga: &str, method: &str) -> bool {
        self.0.get(&(saga.into(), method.into())) == Some(&true)
    }
}

#[test]
fn no_money_is_lost_whatever_happens_to_calls() {
    let mut ends = [0; 2];
    for seed in seeds(2_000) {
        let mut dice = Dice(seed.wrapping_mul(0xA076_1D64_78BD_642F) | 1);
        let retry = json!([{"IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 1}]);
        let attributes = match dice.below(3) {
            0 => json!(null),
            1 => json!({"RecoverStrategy": "Forward"}),
            _ => json!({"RecoverStrategy": "Forward", "Extensions": {"recover": "Pivot"}}),
        };
        let is_pivot = attributes.get("Extensions").is_some();
        let transfer = machine(
            "transfer",
            attributes,
            json!({
                "A": task("debit", json!({"CompensateState": "Refund", "Retry": retry, "Extensions": {"effect": "debit"}, "Next": "Credit"})),
                "Credit": task("credit", json!({"CompensateState": "TakeBack", "Retry": retry, "Extensions": {"effect": "credit"}, "Next": "Tell"})),
                "Tell": task("tell", json!(null)), "Refund": task("refund", json!(null)), "TakeBack": task("takeBack", json!(null)),
            }),
        );
        let mut sagas = Sagas::new(Config {
            retention_ms: 1 << 50,
            ..Config::default()
        });
        let mut effects = Vec::new();
        sagas
            .apply(
                0,
                Command::Define {
                    tenant: TENANT.into(),
                    text: transfer.to_string(),
                },
                &mut effects,
            )
            .unwrap();
        let start = Command::Start {
            id: "s".into(),
            machine: "transfer".into(),
            tenant: TENANT.into(),
            business_key: None,
            params: map(json!({})),
        };
        sagas.apply(0, start, &mut effects).unwrap();
        let mut bank = Bank::default();
        let (mut now_ms, mut bad) = (0, dice.below(30));
        loop {
            let mut calls: Vec<Call> = effects
                .drain(..)
                .filter_map(|effect| match effect {
                    Effect::Call(call) => Some(call),
                    _ => None,
                })
                .collect();
            if bad > 0 && dice.below(5) == 0 {
                // Another node takes over, and makes all calls again.
                sagas = Sagas::restore(sagas.snapshot()).unwrap();
                calls = sagas.outstanding().collect();
            }
            for call in calls {
                let exception = |kind| {
                    Outcome::Exception(Exception {
                        kind,
                        ..Exception::business("E", "m")
                    })
                };
                let is_bad = bad > 0;
                bad = bad.saturating_sub(1);
                let outcome = match dice.below(if is_bad { 6 } else { 1 }) {
                    0 if bank.carry_out(&call) => Outcome::Value(json!(1).into()),
                    // Carried out, but nobody hears of it; or not carried out, and nobody knows.
                    1 if bank.carry_out(&call) => exception(Kind::ReadTimeout),
                    2 => exception(Kind::ReadTimeout),
                    3 => exception(Kind::Connect),
                    4 => continue,
                    _ => exception(Kind::Business),
                };
                sagas
                    .apply(
                        now_ms,
                        Command::Returned {
                            call: call.id,
                            outcome,
                        },
                        &mut effects,
                    )
                    .unwrap();
            }
            let saga = sagas.get("s").unwrap();
            if !effects.is_empty() {
                continue;
            }
            if !saga.is_running && saga.recovery.is_none() {
                break;
            }
            assert!(now_ms < 1 << 40, "seed {seed}: {saga:?}");
            now_ms = now_ms.max(sagas.due_ms().unwrap());
            sagas.apply(now_ms, Command::Tick, &mut effects).unwrap();
        }
        let saga = sagas.get("s").unwrap();
        let (debit, credit) = (bank.has("s", "debit"), bank.has("s", "credit"));
        let done = saga.status == Status::Succeeded && saga.compensation.is_none();
        assert!(
            done || saga.compensation == Some(Status::Succeeded) || saga.status == Status::Failed,
            "seed {seed}: {saga:?}"
        );
        assert_eq!((debit, credit), (done, done), "seed {seed}: {saga:?}");
        // A credit that may be spent is never taken back.
        let taken_back = bank.0.get(&("s".into(), "credit".into())) == Some(&false);
        let was_clear = saga.records.iter().all(|record| {
            &*sagas
                .machine(saga.machine)
                .unwrap()
                .state(record.state)
                .name
                != "Credit"
                || record.status == Status::Failed
        });
        assert!(
            !(is_pivot && taken_back && !was_clear),
            "seed {seed}: {saga:?}"
        );
        ends[usize::from(done)] += 1;
    }
    println!("{} undone, {} done", ends[0], ends[1]);
    assert!(
        std::env::var("SEEDS").is_ok() || ends[0] > 100 && ends[1] > 100,
        "{ends:?}"
    );
}

fn near_machine() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec![
        "Name",
        "StartState",
        "States",
        "A",
        "B",
        "Type",
        "Next",
        "CompensateState",
        "Catch",
        "Retry",
        "Exceptions",
        "MaxAttempts",
        "Input",
        "Output",
        "Status",
        "Loop",
        "Collection",
        "Parallel",
        "Choices",
        "Expression",
        "Default",
        "ScriptContent",
        "StateMachineName",
        "nodes",
        "edges",
        "stateId",
        "stateType",
        "stateProps",
        "id",
        "source",
        "target",
        "x",
        "y",
        "size",
        "Extensions",
        "effect",
        "recover",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop::sample::select(vec![
            "A",
            "B",
            "ServiceTask",
            "Choice",
            "SubStateMachine",
            "ScriptTask",
            "Succeed",
            "Fail",
            "CompensationTrigger",
            "CompensateSubMachine",
            "$.[a]",
            "[a] == 1",
            "SU",
            "1*2",
            "n1",
            "Start",
            "Catch",
            "credit",
            "Pivot",
            "if(a){1}",
        ])
        .prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|entries| Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            )),
        ]
    });
    value.prop_map(|value| value.to_string())
}

proptest! {
    #[test]
    fn no_text_panics_the_reader_of_machines(text in "\\PC*") {
        let _ = load(&text);
    }

    #[test]
    fn nothing_near_a_machine_panics(text in near_machine(), states in near_machine()) {
        let _ = load(&text);
        let whole = format!(r#"{{"Name": "m", "StartState": "A", "States": {states}}}"#);
        let _ = check(&[Source { file: "a", text: &text }, Source { file: "b", text: &whole }], true);
        if let Ok(machine) = load(&whole) {
            let _ = (draw::text(&machine), draw::svg(&machine));
        }
        // What loads can be run, on anything.
        let mut sagas = Sagas::new(Config::default());
        let mut effects = Vec::new();
        if sagas.apply(0, Command::Define { tenant: "t".into(), text: whole }, &mut effects).is_ok() {
            let start = Command::Start { id: "s".into(), machine: "m".into(), tenant: "t".into(), business_key: None, params: map(json!({"a": 1})) };
            let _ = sagas.apply(0, start, &mut effects);
            let _ = sagas.apply(1, Command::Compensate { saga: "s".into(), params: map(json!({})) }, &mut effects);
            for seconds in 0..50 {
                let _ = sagas.apply(seconds * 60_000, Command::Tick, &mut effects);
            }
        }
    }
}
