//! The museum: each published bug is put back in, and the simulator must notice; without it the same worlds hold.
//! `cargo test -p diwan-sim --features museum --test museum`; `docs/museum.md` tells the stories.
#![cfg(feature = "museum")]

use diwan_raft::museum::{Bug, Bugs};
use diwan_sim::{Options, run};

/// What catches each bug: the seed of a world, and a part of what the checks say.
const EXHIBITS: [(Bug, u64, &str); 11] = [
    (Bug::VoteRequestBeforePersist, 778, "both lead term"),
    (Bug::VoteAnswerBeforePersist, 22, "both lead term"),
    (Bug::AcknowledgeUnsynced, 5, "without the committed entry"),
    (Bug::ReadBeforeTermCommit, 2, "no order explains"),
    (Bug::CommitWithoutQuorum, 0, "without the committed entry"),
    (Bug::StaleAfterSnapshot, 3, "in force"),
    (Bug::SkipJoint, 12, "without the committed entry"),
    (Bug::NoStepDown, 0, "with one deaf member"),
    (Bug::CommitBeyondMatch, 3, "others applied"),
    (Bug::CountOwnUnsynced, 24, "without the committed entry"),
    (Bug::LeaverMayNotStand, 1403, "with one deaf member"),
];

/// The world of the page cache.
const PAGE_CACHE: u64 = 2;

fn world(seed: u64) -> Options {
    Options {
        minutes: 1,
        ..Options::new(seed)
    }
}

fn is_caught(what: &str, part: &str, with: &Options) {
    let seed = with.seed;
    let violation = run(with)
        .violation
        .unwrap_or_else(|| panic!("{what} is not noticed in world {seed}"));
    assert!(
        violation.what.contains(part),
        "{what} in world {seed}: {violation}"
    );
    let without = run(&world(seed));
    assert!(
        without.violation.is_none(),
        "world {seed} does not hold: {without}"
    );
}

#[test]
fn every_bug_is_caught_and_its_world_holds_without_it() {
    for (bug, seed, part) in EXHIBITS {
        let with = Options {
            bugs: Bugs::of(bug),
            ..world(seed)
        };
        is_caught(&format!("{bug:?}"), part, &with);
    }
}

/// Our own: after a failed sync and a restart of the process alone the log believed what the page cache showed.
#[test]
fn a_log_that_trusts_the_page_cache_is_caught() {
    let with = Options {
        trusts_page_cache: true,
        ..world(PAGE_CACHE)
    };
    is_caught("the page cache", "cannot start", &with);
}
