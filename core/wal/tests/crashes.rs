//! Power fails at every point of a script, again and again: what was synced is there, and of the rest a prefix.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use diwan_sim::{Random, SimDisk};
use diwan_wal::{Batch, Error, Wal};
use proptest::prelude::*;

use support::{Model, OPTIONS, Step, assert_reads, observed, random_script};

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    PowerLoss,
    Garbling,
    Kill,
    /// One or the other: what a killed process left in the page cache must not be lost after it was read back.
    KillOrPowerLoss,
}

/// The states that a log may be in, each with the step that follows, and how many of them are certain.
struct History {
    states: Vec<(Model, usize)>,
    synced: usize,
}

/// Runs the script until it ends or the power fails.
fn live(wal: &mut Wal<SimDisk>, script: &[Step], history: &mut History) -> Result<(), Error> {
    let (mut model, from) = history.states.last().unwrap().clone();
    let mut batch = Batch::new();
    for (nth, step) in script.iter().enumerate().skip(from) {
        match step {
            Step::Write(ops) => {
                batch.clear();
                ops.iter().for_each(|op| op.apply(&mut model, &mut batch));
                // Even a write that fails may have reached the disk.
                history.states.push((model.clone(), nth + 1));
                wal.write(&mut batch)?;
            }
            Step::Sync => {
                wal.sync()?;
                history.synced = history.states.len() - 1;
            }
            Step::Maintain(budget) => drop(wal.maintain(*budget)?),
        }
    }
    assert_reads(wal, &model);
    Ok(())
}

/// What happened in the lives of a log. A test that never saw one of these proves nothing about it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    lives: u64,
    torn: u64,
    lost_batches: u64,
    kept_unsynced: u64,
    rewrites: u64,
    freed: u64,
    garbled: u64,
}

impl Seen {
    fn add(&mut self, other: Seen) {
        self.lives += other.lives;
        self.torn += other.torn;
        self.lost_batches += other.lost_batches;
        self.kept_unsynced += other.kept_unsynced;
        self.rewrites += other.rewrites;
        self.freed += other.freed;
        self.garbled += other.garbled;
    }
}

/// Lets the power fail after so many operations of each life, until the script is through.
fn run(script: &[Step], seed: u64, operations: u64, end: End) -> Seen {
    let mut seen = Seen::default();
    let mut disk = SimDisk::new(seed);
    let mut history = History {
        states: vec![(Model::new(), 0)],
        synced: 0,
    };
    let mut random = Random::new(seed);
    for lives in 1.. {
        // Long lives, so that the script ends, and short ones, so that remains of the last life meet few batches of this.
        let power = match lives {
            1 => operations,
            _ => random.below(operations + 10 * lives),
        };
        disk.fail_power_after(power);
        match Wal::open(disk.clone(), OPTIONS) {
            Ok((mut wal, recovery)) => {
                let state = observed(&wal, &recovery);
                let states = &history.states[history.synced..];
                let Some(nth) = states.iter().rposition(|(known, _)| *known == state) else {
                    let synced = &states[0].0;
                    panic!("seed {seed}, {operations} operations: {state:?}, synced: {synced:?}");
                };
                // What opening returns is durable.
                seen.torn += u64::from(recovery.torn.is_some());
                seen.lost_batches += (states.len() - 1 - nth) as u64;
                seen.kept_unsynced += nth as u64;
                history.states = vec![states[nth].clone()];
                history.synced = 0;
                let lived = live(&mut wal, script, &mut history);
                seen.lives += 1;
                seen.rewrites += wal.stats().rewrites;
                seen.freed += wal.stats().segments_freed;
                match lived {
                    Ok(()) => {
                        seen.garbled = disk.counts().blocks_garbled;
                        return seen;
                    }
                    Err(error) => assert!(disk.has_failed(), "seed {seed}, {operations}: {error}"),
                }
            }
            Err(error) => assert!(disk.has_failed(), "seed {seed}, {operations}: {error}"),
        }
        disk = match end {
            End::PowerLoss => disk.crash(),
            End::Garbling => disk.crash_garbling(),
            End::KillOrPowerLoss if random.chance(1, 2) => disk.crash(),
            End::Kill | End::KillOrPowerLoss => disk.kill(),
        };
    }
    unreachable!()
}

#[test]
fn power_fails_at_every_point() {
    let mut random = Random::new(11);
    for end in [
        End::PowerLoss,
        End::Garbling,
        End::Kill,
        End::KillOrPowerLoss,
    ] {
        let script = random_script(&mut random, 200, 3);
        let mut all = Seen::default();
        for operations in 0.. {
            let seen = run(&script, operations, operations, end);
            all.add(seen);
            if seen.lives == 1 && operations > 40 {
                break;
            }
        }
        println!("{end:?}: {all:?}");
        assert!(all.rewrites > 100 && all.freed > 100 && all.kept_unsynced > 10);
        if end != End::Kill {
            assert!(all.torn > 10 && all.lost_batches > 10);
        }
        assert_eq!(all.garbled > 0, end == End::Garbling);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_script_survives_any_crashes(seed: u64, operations in 0u64..60, steps in 1u64..300, garbling: bool) {
        let script = random_script(&mut Random::new(seed), steps, 4);
        let end = if garbling { End::Garbling } else { End::PowerLoss };
        run(&script, seed, operations, end);
    }
}

/// One copy of a segment's header was damaged, and its renewal tore the other one.
#[test]
fn a_damaged_header_is_mended_before_the_other_copy_is_renewed() {
    let seed = 10_576_076_428_808_394_789;
    run(
        &random_script(&mut Random::new(seed), 255, 4),
        seed,
        26,
        End::Garbling,
    );
}
