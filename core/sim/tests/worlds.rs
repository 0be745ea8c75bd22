//! Worlds that follow from fixed seeds and from fresh ones.

use diwan_sim::{Counts, Options, run};

/// Everything that must have happened at least once in the fixed worlds: a fault that never comes proves nothing.
const HAPPENS: [&str; 56] = [
    "batches of several groups",
    "batches of several groups doubled",
    "batches of several groups lost",
    "bridges",
    "clock changes",
    "commits told without entries",
    "configurations",
    "corrupt ends cut like torn tails",
    "corrupt logs refused",
    "crashes amid syncs of several groups",
    "damage that nothing in use suffered",
    "deaf leaders",
    "disks full",
    "disks replaced",
    "disturbed networks",
    "entries read back",
    "entries refused as unfitting",
    "failing syncs",
    "full disks with room again",
    "gets answered",
    "isolated members",
    "joint configurations",
    "killed processes",
    "looks at silent members",
    "leaders elected",
    "members replaced",
    "members stopped by their disk",
    "membership changes completed",
    "membership changes failed",
    "one-way partitions",
    "operations refused",
    "operations with unknown outcome",
    "packets doubled",
    "packets for members that are gone",
    "packets lost",
    "partitions",
    "pauses",
    "power failures",
    "power failures after a word",
    "power failures of all",
    "proposals refused by a full disk",
    "puts acknowledged",
    "requests of non-members",
    "sectors corrupted",
    "silent members woken by a silent node",
    "slow disks",
    "snapshots installed",
    "snapshots refused by a full disk",
    "snapshots taken",
    "step-downs without majority",
    "syncs of several groups",
    "torn tails cut",
    "transfers",
    "transfers failed",
    "writes by way of the reserve",
    "writes refused by a full disk",
];

fn live_through(seeds: impl Iterator<Item = u64>) -> Counts {
    let mut total = Counts::default();
    for seed in seeds {
        let report = run(&Options {
            minutes: 1,
            ..Options::new(seed)
        });
        assert!(report.violation.is_none(), "{report}");
        total.merge(&report.counts);
    }
    total
}

#[test]
fn fixed_worlds_hold_and_everything_happens_in_them() {
    // Beyond the first ones: several groups that may be silent, a group of one member that nobody found who guessed, and votes so
    // late that they make a leader of a term that is over.
    let total = live_through((0..64).chain([95, 605_463_255, 955_001_082]));
    for name in HAPPENS {
        assert!(total.get(name) > 0, "no {name} in the fixed worlds");
    }
}

/// A segment that had left the log was damaged, and a torn batch said that the log began behind one that it still needed.
#[test]
fn what_a_torn_batch_says_of_the_beginning_of_the_log_does_not_count() {
    let report = run(&Options {
        minutes: 1,
        groups: 3,
        ..Options::new(100_255)
    });
    assert!(report.violation.is_none(), "{report}");
}

#[test]
fn fresh_worlds_hold() {
    // The only thing in these tests that is not the same every time; a failure prints its seed.
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(1, |elapsed| elapsed.as_nanos() as u64);
    let first = now % 1_000_000_000;
    println!("fresh worlds from seed {first}");
    live_through(first..first + 24);
}

#[test]
fn the_same_seed_lives_the_same_life() {
    for groups in [1, 3] {
        let options = Options {
            minutes: 1,
            groups,
            ..Options::new(7)
        };
        assert_eq!(run(&options).digest, run(&options).digest);
    }
}
