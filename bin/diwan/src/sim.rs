//! `diwan sim`: worlds that try to break a Raft group or a log in an engine, or to lose money, from seeds.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use diwan_sim::{Counts, Options, Report, engine, run};

pub const HELP: &str = "\
Example:
  diwan sim raft --seed 7 --minutes 10
  diwan sim raft --seed 1000 --worlds 200

A world has up to six members on simulated disks, networks and clocks that fail as its seed wills; the code of the members is
the production code. The same seed gives the same digest. The exit code is 0 only if nothing that must hold was broken.";

/// Which part is put to the test.
#[derive(Subcommand)]
pub enum Sim {
    /// A Raft group, its write-ahead log and its wire
    #[command(after_help = HELP)]
    Raft(RaftWorlds),
    /// Sagas, transactions, and the banks that take part in them
    #[command(after_help = TX_HELP)]
    Tx(Schedules),
    /// Logs in an engine that people already run: etcd, PostgreSQL
    #[command(after_help = LOG_HELP)]
    Log(Schedules),
}

const LOG_HELP: &str = "\
Example:
  diwan sim log --seed 7
  diwan sim log --seed 1 --schedules 10000

In a schedule three nodes keep a log in an engine for a minute, while requests and replies get lost, come late and twice, the engine is
away or full, nodes die, and stand still for longer than their lease. No command may be lost or carried out twice, and what clients
read must be linearizable. The protocol is the production code; the engine keeps the contract that real ones are held to.
The exit code is 0 only then.";

const TX_HELP: &str = "\
Example:
  diwan sim tx --seed 7
  diwan sim tx --seed 1 --schedules 1000000

In a schedule a few transfers are made between banks, as sagas and as TCC transactions, while for a minute nodes die at any write, leaders
change, messages get lost, come late and twice, banks and applications die; whoever is paid may spend it at once. Then everything works
again, and must come to an end: no money lost or made, no account short, nothing half done, everybody told the truth. Engine, coordinator,
snapshots and fence are the production code. The exit code is 0 only then.";

/// Which schedules.
#[derive(Args)]
pub struct Schedules {
    /// The seed of the first schedule
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many, with seeds that follow each other
    #[arg(long, default_value_t = 1)]
    schedules: u64,
}

/// Which worlds.
#[derive(Args)]
pub struct RaftWorlds {
    /// The seed of the first world
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Minutes of simulated time with faults
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// How many worlds, with seeds that follow each other
    #[arg(long, default_value_t = 1)]
    worlds: u64,
}

/// Lives through the worlds and tells what happened.
pub fn sim(command: &Sim) -> ExitCode {
    match command {
        Sim::Raft(worlds) => raft(worlds),
        Sim::Tx(schedules) => many(schedules, |seed| {
            diwan_tx_sim::run(&diwan_tx_sim::Options { seed, flaw: None })
        }),
        Sim::Log(schedules) => many(schedules, |seed| {
            engine::run(&engine::Options { seed, flaw: None })
        }),
    }
}

/// One thread: as many schedules in a minute are those of a minute of a processor.
fn many(schedules: &Schedules, run: impl Fn(u64) -> Report) -> ExitCode {
    let began = std::time::Instant::now();
    let mut total = Counts::default();
    let mut digest = 0_u64;
    let seeds = schedules.seed..schedules.seed.saturating_add(schedules.schedules);
    for (number, seed) in (0_u64..).zip(seeds) {
        let report = run(seed);
        if report.violation.is_some() || schedules.schedules == 1 {
            println!("{report}");
        }
        if report.violation.is_some() {
            return ExitCode::FAILURE;
        }
        digest = digest.rotate_left(1) ^ report.digest;
        total.merge(&report.counts);
        if number % 10_000 == 9_999 {
            eprintln!("{} schedules, {:.0?}", number + 1, began.elapsed());
        }
    }
    if schedules.schedules > 1 {
        for (name, count) in total.iter() {
            println!("{count:>10} {name}");
        }
        let minutes = began.elapsed().as_secs_f64() / 60.0;
        println!(
            "{} schedules, {:.0} in a minute: nothing broken\ndigest {digest:016x}",
            schedules.schedules,
            schedules.schedules as f64 / minutes
        );
    }
    ExitCode::SUCCESS
}

fn raft(worlds: &RaftWorlds) -> ExitCode {
    let began = std::time::Instant::now();
    let mut total = Counts::default();
    let mut lived_micros = 0;
    for seed in worlds.seed..worlds.seed.saturating_add(worlds.worlds) {
        let report = run(&Options {
            minutes: worlds.minutes,
            ..Options::new(seed)
        });
        if report.violation.is_some() || worlds.worlds == 1 {
            println!("{report}");
        }
        if report.violation.is_some() {
            return ExitCode::FAILURE;
        }
        lived_micros += report.lived_micros;
        total.merge(&report.counts);
    }
    if worlds.worlds > 1 {
        for (name, count) in total.iter() {
            println!("{count:>10} {name}");
        }
        let hours = lived_micros as f64 / 3.6e9;
        println!(
            "{} worlds, {hours:.1} simulated hours in {:.0?}: nothing broken",
            worlds.worlds,
            began.elapsed()
        );
    }
    ExitCode::SUCCESS
}
