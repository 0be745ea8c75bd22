//! The museum: each published bug is put back in, and the simulator must notice; without it the same worlds hold.
//! `cargo test -p diwan-sim --features museum --test museum`; `docs/museum.md` tells the stories.
#![cfg(feature = "museum")]

use diwan_raft::museum::{Bug, Bugs};
use diwan_sim::{Options, run};

/// What catches each bug: the seed of a world, and a part of what the checks say.
const EXHIBITS: [(Bug, u64, &str); 9] = [
    (Bug::VoteRequestBeforePersist, 405, "both lead term"),
    (Bug::VoteAnswerBeforePersist, 62, "both lead term"),
    (Bug::AcknowledgeUnsynced, 1, "without the committed entry"),
    (Bug::ReadBeforeTermCommit, 2, "no order explains"),
    (Bug::ReadWithoutQuorum, 8, ""),
    (Bug::CommitOlderTerm, 268, ""),
    (Bug::SkipJoint, 250, "without the committed entry"),
    (Bug::NoStepDown, 0, "with one deaf member"),
    (Bug::CommitBeyondMatch, 0, "others applied"),
];

fn world(seed: u64) -> Options {
    Options {
        minutes: 1,
        ..Options::new(seed)
    }
}

#[test]
fn every_bug_is_caught_and_its_world_holds_without_it() {
    for (bug, seed, part) in EXHIBITS {
        let caught = run(&Options {
            bugs: Bugs::of(bug),
            ..world(seed)
        });
        let violation = caught
            .violation
            .unwrap_or_else(|| panic!("{bug:?} is not noticed in world {seed}"));
        assert!(
            violation.what.contains(part),
            "{bug:?} in world {seed}: {violation}"
        );
        let without = run(&world(seed));
        assert!(
            without.violation.is_none(),
            "world {seed} does not hold: {without}"
        );
    }
}
