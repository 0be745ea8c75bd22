//! Sagas a second on one thread: three service states, nothing stored, the machine and the input of the Seata harness's
//! `saga-bench`. Every call is answered at once with its input. Prints one JSON line a round. The argument is seconds a round (3);
//! with `0` a round is 1,024 sagas, for counting instructions. It allocates as `diwan` does.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diwan_saga::engine::{Command, Config, Effect, Outcome, Sagas};
use serde_json::{Map, Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let seconds: f64 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .filter(|seconds| (0.0..=1e6).contains(seconds))
        .unwrap_or(3.0);
    let mut sagas = Sagas::new(Config::default());
    let state = |number: u32| {
        let mut state = json!({
            "Type": "ServiceTask", "ServiceName": "demoService", "ServiceMethod": "foo",
            "Input": [{"fooInput": "$.[a]"}], "Output": {(format!("r{number}")): "$.#root"},
        });
        if number < 3 {
            state["Next"] = format!("S{}", number + 1).into();
        }
        state
    };
    let machine = json!({
        "Name": "three", "StartState": "S1", "Version": "1",
        "States": {"S1": state(1), "S2": state(2), "S3": state(3)},
    });
    let mut effects = Vec::new();
    let define = Command::Define {
        tenant: "t".into(),
        text: machine.to_string(),
    };
    if let Err(error) = sagas.apply(0, define, &mut effects) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let (machine, tenant): (Arc<str>, Arc<str>) = ("three".into(), "t".into());
    for round in 0..4 {
        let start = Instant::now();
        let mut ended = 0_u64;
        let mut number = 0_u64;
        loop {
            for _ in 0..1_024 {
                number += 1;
                let mut params = Map::new();
                params.insert("a".into(), Value::from(number));
                let command = Command::Start {
                    id: format!("{round}-{number}").into(),
                    machine: machine.clone(),
                    tenant: tenant.clone(),
                    business_key: None,
                    params,
                };
                let _ = sagas.apply(number / 1_000, command, &mut effects);
            }
            while let Some(effect) = effects.pop() {
                match effect {
                    Effect::Call(call) => {
                        let outcome =
                            Outcome::Value(call.args.first().cloned().unwrap_or_default());
                        let returned = Command::Returned {
                            call: call.id,
                            outcome,
                        };
                        let _ = sagas.apply(number / 1_000, returned, &mut effects);
                    }
                    Effect::Ended(_) => ended += 1,
                    Effect::Stopped { .. } => {}
                }
            }
            if start.elapsed() >= Duration::from_secs_f64(seconds) {
                break;
            }
        }
        if ended != number || !sagas.is_empty() {
            eprintln!("{number} started, {ended} ended");
            return ExitCode::FAILURE;
        }
        let per_second = ended as f64 / start.elapsed().as_secs_f64();
        println!(
            r#"{{"mode":"saga-bench","steps":3,"threads":1,"in_flight":1024,"sagas_per_s":{per_second:.0}}}"#
        );
    }
    ExitCode::SUCCESS
}
