//! Worlds with a simulated engine, from fixed seeds.

use diwan_sim::Counts;
use diwan_sim::engine::{Flaw, Options, run};

/// What must have happened at least once in the fixed worlds: a fault that never comes proves nothing.
const HAPPENS: [&str; 24] = [
    "appends refused",
    "disturbed networks",
    "gets answered",
    "leaderships",
    "logs left in good order",
    "logs taken",
    "nodes cut off",
    "nodes killed",
    "nodes that stood still",
    "nodes that were asked to stop",
    "operations refused",
    "operations with unknown outcome",
    "puts acknowledged",
    "puts refused for want of space",
    "replies lost",
    "requests doubled",
    "requests late",
    "requests lost",
    "requests to an engine that is away",
    "snapshots frozen",
    "snapshots restored",
    "snapshots sealed",
    "times the engine was away",
    "times the engine was full",
];

fn seeds() -> std::ops::Range<u64> {
    let range = std::env::var("SEEDS").unwrap_or_else(|_| "1..60".to_owned());
    let (first, end) = range.split_once("..").expect("SEEDS=FIRST..END");
    first.parse().expect("a number")..end.parse().expect("a number")
}

#[test]
fn no_command_is_lost_or_doubled_and_reads_are_linearizable() {
    let mut counts = Counts::default();
    for seed in seeds() {
        let report = run(&Options { seed, flaw: None });
        assert!(report.violation.is_none(), "{report}");
        counts.merge(&report.counts);
    }
    for (name, count) in counts.iter() {
        println!("{count:>10} {name}");
    }
    for name in HAPPENS {
        assert!(counts.get(name) > 0, "no {name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let options = Options {
        seed: 7,
        flaw: None,
    };
    assert_eq!(run(&options).digest, run(&options).digest);
}

/// What is left out on purpose is noticed.
#[test]
fn flaws_are_noticed() {
    for (flaw, seeds) in [
        (Flaw::AppendsOfFormerOwners, 400),
        (Flaw::AppendsAnywhere, 20),
        (Flaw::SealsOverAny, 400),
        (Flaw::CleansOtherSnapshots, 400),
        (Flaw::UnknownIsNo, 20),
        (Flaw::OldLooks, 20),
        (Flaw::ReadsWithoutBarrier, 100),
        (Flaw::ShortLeases, 100),
    ] {
        let broken = (1..seeds).find_map(|seed| {
            let flaw = Some(flaw);
            let report = run(&Options { seed, flaw });
            report.violation.map(|violation| (seed, violation.what))
        });
        println!("{flaw:?}: {broken:?}");
        assert!(broken.is_some(), "{flaw:?}");
    }
}
