//! Several nodes: no living instance is missing from a list, everybody comes to know the same, and what is gone goes.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use world::{Counts, Faults, World};

const NONE: Faults = Faults {
    crashes: false,
    partitions: false,
    cuts: false,
    power: false,
    clocks: false,
};

/// Lives through what may happen, then through a quiet time, and must know the truth.
fn live(seed: u64, nodes: usize, services: usize, faults: Faults) -> Counts {
    let mut world = World::new(seed, nodes, 12, services, faults);
    let result = world
        .run(90_000, true)
        .and_then(|()| world.run(75_000, false))
        .and_then(|()| world.check_converged());
    if let Err(why) = result {
        panic!(
            "seed {seed}, {nodes} nodes, {services} services, {faults:?}: {why}\n{:?}",
            world.counts
        );
    }
    world.counts
}

/// The first ones, or those that SEEDS names: `17`, or `1000..2000`.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let Ok(seeds) = std::env::var("SEEDS") else {
        return 1..count + 1;
    };
    let (from, to) = seeds.split_once("..").unwrap_or((&seeds, ""));
    let from = from.parse().unwrap();
    from..to.parse().unwrap_or(from + 1)
}

#[test]
fn without_faults() {
    for seed in seeds(5) {
        let counts = live(seed, 3, 3, NONE);
        assert!(
            counts.established > 10 && counts.withdrawn > 5,
            "{counts:?}"
        );
    }
}

#[test]
fn with_cut_connections() {
    for seed in seeds(10) {
        let faults = Faults {
            cuts: true,
            clocks: true,
            ..NONE
        };
        let counts = live(seed, 3, 3, faults);
        assert!(counts.cuts > 20 && counts.clocks > 0, "{counts:?}");
    }
}

#[test]
fn with_crashes() {
    for seed in seeds(10) {
        let faults = Faults {
            crashes: true,
            cuts: true,
            clocks: true,
            ..NONE
        };
        assert!(live(seed, 3, 3, faults).crashes > 0);
    }
}

#[test]
fn with_partitions() {
    for seed in seeds(10) {
        let faults = Faults {
            partitions: true,
            cuts: true,
            clocks: true,
            ..NONE
        };
        assert!(live(seed, 5, 3, faults).partitions > 0);
    }
}

#[test]
fn with_power_failures() {
    for seed in seeds(10) {
        let faults = Faults {
            power: true,
            ..NONE
        };
        assert!(live(seed, 3, 2, faults).power > 0);
    }
}

#[test]
fn one_node_that_crashes() {
    for seed in seeds(10) {
        let faults = Faults {
            crashes: true,
            cuts: true,
            ..NONE
        };
        assert!(live(seed, 1, 2, faults).crashes > 0);
    }
}

#[test]
fn with_everything() {
    for seed in seeds(20) {
        let faults = Faults {
            crashes: true,
            partitions: true,
            cuts: true,
            power: true,
            clocks: true,
        };
        live(seed, if seed % 2 == 0 { 3 } else { 5 }, 4, faults);
    }
}

#[test]
fn rolling_restarts() {
    for seed in seeds(5) {
        let mut world = World::new(seed, 3, 20, 2, NONE);
        world.run(10_000, false).unwrap();
        assert!(world.established() > 10);
        world.restart_in_turn().unwrap();
        world.run(75_000, false).unwrap();
        world.check_converged().unwrap();
    }
}
