//! Exhibits of the museum whose coincidences are too rare for chance: told as scenarios, command by command. With the bug the
//! checks from outside must complain; without it the same commands do no harm. `cargo test -p diwan-raft --features museum
//! --test museum`; `docs/museum.md` tells the stories.
#![cfg(feature = "museum")]

mod world;

use diwan_raft::museum::{Bug, Bugs};
use world::World;

/// What is wrong after the commands of a scenario.
fn wrong(scenario: &str, bugs: Bugs) -> Option<String> {
    let mut world = World::default();
    world.bugs = bugs;
    for command in scenario.lines().filter_map(|line| line.strip_prefix("> ")) {
        println!("> {command}\n{}", world.run(command));
    }
    world.wrong
}

fn is_caught(bug: Bug, scenario: &str, part: &str) {
    assert_eq!(wrong(scenario, Bugs::default()), None, "without {bug:?}");
    let found = wrong(scenario, Bugs::of(bug));
    let found = found.unwrap_or_else(|| panic!("{bug:?} is not noticed"));
    assert!(found.contains(part), "{bug:?}: {found}");
}

#[test]
fn an_entry_of_an_older_term_is_committed_by_counting() {
    let scenario = include_str!("museum/figure_8.txt");
    is_caught(
        Bug::CommitOlderTerm,
        scenario,
        "5 applies 2.2 where 1 applied 1.2",
    );
}

#[test]
fn a_leader_counts_what_its_disk_does_not_have() {
    let scenario = include_str!("museum/unsynced_leader.txt");
    is_caught(Bug::CountOwnUnsynced, scenario, "applied 1.2");
}

#[test]
fn strangers_get_no_pre_vote() {
    let scenario = include_str!("museum/strangers.txt");
    is_caught(Bug::StrangersGetNoPreVote, scenario, "nobody leads");
}

#[test]
fn a_leaver_may_not_stand() {
    let scenario = include_str!("museum/leaver.txt");
    is_caught(Bug::LeaverMayNotStand, scenario, "nobody leads");
}
