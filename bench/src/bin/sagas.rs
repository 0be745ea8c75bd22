//! Durable three-step sagas a second in one process: a node with a log of its own, real fsync, 1,024 sagas at a time. Participants are in the
//! process and answer at once with their input.
//!
//! `sagas --data DIR [--in-flight 1024] [--seconds 5] [--rounds 3]` prints one JSON line a round. It asserts, for one saga in a thousand,
//! that the disk was synced between its start and its first call, and between each call and the next: nothing is called before the intent
//! and everything earlier is on disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use diwan_raft::{Configuration, PeerId};
use diwan_runtime::{GroupOptions, NodeHandle, NodeOptions};
use diwan_saga::engine::{Call, Config, Outcome, Status};
use diwan_saga::host::{self, Host, Invoker, Promise, Proposer, Shared, Start};
use serde_json::{Map, Value, json};

const GROUP: &str = "saga";
const PATIENCE: Duration = Duration::from_secs(60);
/// One saga in so many is watched.
const WATCHED: u64 = 1_000;

#[derive(Parser)]
struct Arguments {
    /// Where the log is; it is made
    #[arg(long)]
    data: PathBuf,
    /// Sagas at a time
    #[arg(long, default_value_t = 1_024)]
    in_flight: u64,
    /// Of a round
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// As others know the node; nobody connects to it
    #[arg(long, default_value = "127.0.0.1:18799")]
    node: PeerId,
}

/// How often the disk was synced.
async fn syncs(node: &NodeHandle) -> u64 {
    let metrics = node.ask(|node| node.metrics()).await;
    metrics.map_or(0, |metrics| metrics.disk.sync_seconds.count)
}

/// Answers with what it is given.
struct Participants {
    node: NodeHandle,
    /// Of each watched saga in flight: how often the disk was synced when it began, or was called last.
    watched: Vec<AtomicU64>,
    asserted: AtomicU64,
}

impl Participants {
    fn place(&self, id: &str) -> Option<&AtomicU64> {
        let number: u64 = id.rsplit('-').next()?.parse().ok()?;
        let place = usize::try_from(number / WATCHED).ok()? % self.watched.len();
        number.is_multiple_of(WATCHED).then(|| &self.watched[place])
    }
}

struct Invokes(Arc<Participants>);

impl Invoker for Invokes {
    fn invoke(&self, call: Call) -> Promise<Outcome> {
        let value = call.args.first().cloned().unwrap_or_default();
        if self.0.place(&call.saga).is_none() {
            return Box::pin(std::future::ready(Outcome::Value(value)));
        }
        let participants = self.0.clone();
        Box::pin(async move {
            if let Some(place) = participants.place(&call.saga) {
                let now = syncs(&participants.node).await;
                let before = place.swap(now, Relaxed);
                assert!(
                    now > before,
                    "saga {} was called before the disk was synced",
                    call.saga
                );
                participants.asserted.fetch_add(1, Relaxed);
            }
            Outcome::Value(value)
        })
    }
}

fn machine() -> Value {
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
    json!({
        "Name": "three", "StartState": "S1", "Version": "1",
        "States": {"S1": state(1), "S2": state(2), "S3": state(3)},
    })
}

fn proposer(node: NodeHandle) -> Proposer {
    Arc::new(move |command: Bytes| {
        let node = node.clone();
        Box::pin(async move {
            let committed = node.propose(GROUP, command).await;
            committed
                .map(|committed| committed.answer)
                .map_err(|error| error.to_string())
        })
    })
}

async fn one(host: &Host, participants: &Participants, id: String) {
    if let Some(place) = participants.place(&id) {
        place.store(syncs(&participants.node).await, Relaxed);
    }
    let mut params = Map::new();
    params.insert("a".into(), 1.into());
    let start = Start {
        id,
        machine: "three".into(),
        params,
        ..Start::default()
    };
    let done = host.start(start, PATIENCE).await;
    assert!(
        done.as_ref()
            .is_ok_and(|done| done.status == Status::Succeeded && !done.is_running),
        "{done:?}"
    );
}

fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let config = Config {
        // They can be asked for a moment longer, as at a node.
        retention_ms: 200,
        ..Config::default()
    };
    let (shared, signals) = Shared::new(config, None);
    let replica = shared.clone();
    let members = Configuration::of(vec![arguments.node.clone()]);
    let group = GroupOptions::new(GROUP, members, move || replica.machine());
    let options = NodeOptions::new(arguments.node, arguments.data);
    let node = diwan_runtime::start(options, vec![group])?;
    let participants = Arc::new(Participants {
        node: node.clone(),
        watched: (0..64).map(|_| AtomicU64::new(0)).collect(),
        asserted: AtomicU64::new(0),
    });
    let host = host::start(host::Options {
        shared,
        signals,
        propose: proposer(node.clone()),
        invoker: Arc::new(Invokes(participants.clone())),
    });
    host.define(String::new(), machine().to_string()).await?;
    for round in 0..arguments.rounds {
        let number = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(AtomicU64::new(0));
        let (began, cpu, synced) = (Instant::now(), cpu_seconds(), syncs(&node).await);
        let until = began + Duration::from_secs(arguments.seconds);
        let workers = (0..arguments.in_flight).map(|_| {
            let (host, participants) = (host.clone(), participants.clone());
            let (number, ended) = (number.clone(), ended.clone());
            tokio::spawn(async move {
                while Instant::now() < until {
                    let id = format!("{round}-{}", number.fetch_add(1, Relaxed));
                    one(&host, &participants, id).await;
                    ended.fetch_add(1, Relaxed);
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await?;
        }
        let (ended, seconds) = (ended.load(Relaxed) as f64, began.elapsed().as_secs_f64());
        let said = json!({
            "mode": "durable-sagas", "steps": 3, "in_flight": arguments.in_flight,
            "sagas_per_s": (ended / seconds).round(),
            "cpu_us": ((cpu_seconds() - cpu) * 1e6 / ended * 10.0).round() / 10.0,
            "syncs_per_s": ((syncs(&node).await - synced) as f64 / seconds).round(),
            "calls_asserted": participants.asserted.swap(0, Relaxed),
        });
        println!("{said}");
    }
    node.stop().await;
    Ok(())
}
