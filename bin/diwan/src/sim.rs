//! `diwan sim`: worlds that try to break a Raft group, from seeds.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use diwan_sim::{Counts, Options, run};

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
    let Sim::Raft(worlds) = command;
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
