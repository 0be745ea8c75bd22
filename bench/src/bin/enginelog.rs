//! A log on an engine beside the engine's own single durable transaction, in turns: commands of 100 bytes, one and many in flight.
//!
//! ```text
//! enginelog --url etcd://127.0.0.1:2379/bench --rounds 5
//! ```
#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use diwan_engine::{Reply, Request};
use diwan_external::{Address, Client, Host, LogOptions, Options};
use diwan_log::provider::{Guest, Kind};
use diwan_log::{Command, SnapshotWriter, StateMachine};
use tokio::sync::Notify;
use tokio::task::LocalSet;

#[derive(Parser)]
struct Arguments {
    /// The engine
    #[arg(long)]
    url: Address,
    /// Rounds of each measurement
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Commands in flight
    #[arg(long, default_value_t = 1024)]
    in_flight: usize,
}

const COMMAND_BYTES: usize = 100;

/// Takes everything.
struct Null;

impl StateMachine for Null {
    fn apply(&mut self, _: Command<'_>) -> Bytes {
        Bytes::new()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        Box::new(|_| Ok(()))
    }

    fn restore(&mut self, _: &mut dyn io::Read) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    LocalSet::new().run_until(measure(arguments)).await;
}

async fn measure(arguments: Arguments) {
    let timeout = Duration::from_secs(5);
    let client = Client::connect(&arguments.url, timeout).await.unwrap();
    let own = format!("own-{}", std::process::id());
    client.open(&own).await.unwrap();
    let Reply::Head(head) = client.call(&own, Request::Look).await.unwrap() else {
        panic!("no head");
    };
    let take = Request::Take {
        seen: head.seen,
        owner: "v1 0 1000 bench".to_owned(),
    };
    let Reply::Taken { term } = client.call(&own, take).await.unwrap() else {
        panic!("not taken");
    };

    let name = format!("log-{}", std::process::id());
    let options = Options {
        node: "bench".to_owned(),
        members: vec!["bench".to_owned()],
        lease: Duration::from_secs(3),
        lease_reads: false,
        snapshot_log_bytes: 64 << 20,
        snapshot_bytes_max: 1 << 30,
        seed: u64::from(std::process::id()),
    };
    let log = LogOptions {
        name: name.clone(),
        plain: false,
        machine: Box::new(|| Box::new(Null)),
    };
    let failed = |why: String| panic!("{why}");
    let host = Host::start(client.clone(), options, vec![log], failed)
        .await
        .unwrap();
    let (_, log) = host.logs().next().unwrap();
    while !host.status()[0].leading {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    let time = Duration::from_secs(arguments.seconds);
    let (mut singles, mut ones, mut many) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let mut took = Vec::new();
        let began = Instant::now();
        while began.elapsed() < time {
            let asked = Instant::now();
            let done = client.call(&own, Request::Beat { term }).await.unwrap();
            assert_eq!(done, Reply::Done);
            took.push(asked.elapsed());
        }
        let single = median(took);
        let before = host.status()[0].counts;
        let one = median(drive(&log, 1, time).await.1);
        let began = Instant::now();
        let (done, took) = drive(&log, arguments.in_flight, time).await;
        let rate = done as f64 / began.elapsed().as_secs_f64();
        let after = host.status()[0].counts;
        let blocks = after.applied.0 - before.applied.0;
        println!(
            "own transaction p50 {:.0} us; one in flight p50 {:.0} us = {:.2}x; {} in flight {rate:.0}/s, p50 {:.1} ms, {blocks} blocks",
            micros(single),
            micros(one),
            micros(one) / micros(single),
            arguments.in_flight,
            micros(median(took)) / 1000.0,
        );
        singles.push(single);
        ones.push(one);
        many.push(rate);
    }
    many.sort_by(f64::total_cmp);
    println!(
        "medians: own {:.0} us, one in flight {:.0} us = {:.2}x, {} in flight {:.0}/s",
        micros(median(singles.clone())),
        micros(median(ones.clone())),
        micros(median(ones)) / micros(median(singles)),
        arguments.in_flight,
        many[many.len() / 2],
    );
    host.stop(Duration::from_secs(1)).await;
}

/// Keeps so many commands in flight for a time; how many were carried out, and how long each took.
async fn drive(log: &Rc<dyn Guest>, in_flight: usize, time: Duration) -> (u64, Vec<Duration>) {
    struct Run {
        log: Rc<dyn Guest>,
        until: Instant,
        open: Cell<usize>,
        took: RefCell<Vec<Duration>>,
        end: Notify,
    }
    fn propose(run: Rc<Run>) {
        let (asked, log) = (Instant::now(), run.log.clone());
        let command = Bytes::from(vec![7; COMMAND_BYTES]);
        let done = move |result: Result<_, _>| {
            let _committed: diwan_log::Committed = result.unwrap();
            run.took.borrow_mut().push(asked.elapsed());
            if Instant::now() < run.until {
                return propose(run);
            }
            run.open.set(run.open.get() - 1);
            if run.open.get() == 0 {
                run.end.notify_one();
            }
        };
        log.propose(Kind::Command, command, Box::new(done));
    }
    let run = Rc::new(Run {
        log: log.clone(),
        until: Instant::now() + time,
        open: Cell::new(in_flight),
        took: RefCell::default(),
        end: Notify::new(),
    });
    for _ in 0..in_flight {
        propose(run.clone());
    }
    run.end.notified().await;
    let took = run.took.take();
    (took.len() as u64, took)
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
