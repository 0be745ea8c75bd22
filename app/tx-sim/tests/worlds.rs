//! Schedules in which everything fails that can: no money is lost, nothing is left half done, everything ends.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use diwan_tx_sim::{Counts, Flaw, Options, run};

/// Seeds that once broke something, and a number that CI has time for; `SEEDS=1..1000000` for a night.
fn seeds(many: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else {
        return 1..many;
    };
    let (from, to) = text.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn no_schedule_loses_money() {
    let mut counts = Counts::default();
    for seed in seeds(10_001) {
        let report = run(&Options { seed, flaw: None });
        assert!(report.violation.is_none(), "{report}");
        counts.merge(&report.counts);
    }
    for (name, count) in counts.iter() {
        println!("{count:>10} {name}");
        assert!(count > 0, "{name}");
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 1..20 {
        let options = Options { seed, flaw: None };
        assert_eq!(run(&options).digest, run(&options).digest);
    }
}

/// What must be there is missed: a world without it breaks.
#[test]
fn what_is_left_out_is_noticed() {
    for (flaw, seeds) in [
        (Flaw::NoFence, 50),
        (Flaw::RefusalsForgotten, 20_000),
        (Flaw::CallsForgotten, 200),
        (Flaw::AnswersTooEarly, 2_000),
        (Flaw::EarlierCallsForgotten, 5_000),
    ] {
        let broken = (1..seeds).find_map(|seed| {
            let options = Options {
                seed,
                flaw: Some(flaw),
            };
            run(&options).violation
        });
        println!("{flaw:?}: {broken:?}");
        assert!(broken.is_some(), "{flaw:?}");
    }
}
