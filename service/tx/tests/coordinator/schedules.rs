//! Schedules of calls, failures and changes of leader, at random.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use diwan_seata::{BranchStatus, BranchType, GlobalStatus};
use diwan_tx::state::{Config, Coordinator, Decision, Kind};

use crate::world::{COMMITTED, Call, ROLLBACKED, SECOND, World, status};

/// What happens in a schedule.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    Register(usize, BranchType, u8),
    /// The last branch fails in its first phase.
    Fail(usize),
    Commit(usize),
    Rollback(usize),
    /// An operator stops its last branch, or starts it again.
    Stop(usize),
    Start(usize),
    /// A call comes to something; which one, and to what.
    Answer(usize, u8),
    /// The last answer comes again.
    Again,
    Pass(u64),
    /// Another node leads: what is on its way is asked for again.
    Leader,
    /// The state goes through a snapshot.
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    let kinds = prop::sample::select(vec![BranchType::At, BranchType::Tcc, BranchType::Xa]);
    prop_oneof![
        2 => Just(Step::Begin),
        4 => (0_usize..6, kinds, 0_u8..6).prop_map(|(at, kind, row)| Step::Register(at, kind, row)),
        1 => (0_usize..6).prop_map(Step::Fail),
        1 => (0_usize..6).prop_map(Step::Stop),
        1 => (0_usize..6).prop_map(Step::Start),
        2 => (0_usize..6).prop_map(Step::Commit),
        2 => (0_usize..6).prop_map(Step::Rollback),
        8 => (0_usize..8, 0_u8..6).prop_map(|(at, how)| Step::Answer(at, how)),
        1 => Just(Step::Again),
        2 => (0_u64..40_000_000).prop_map(Step::Pass),
        1 => Just(Step::Leader),
        1 => Just(Step::Snapshot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens, a branch is done one way only, all branches of a transaction the same way, the way that was promised; and
    /// once everybody answers, nothing is left, no lock and no transaction.
    #[test]
    fn nothing_is_left_half_done(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        let mut begun: Vec<i64> = Vec::new();
        let mut promised: BTreeMap<i64, bool> = BTreeMap::new();
        let mut done: BTreeMap<i64, BTreeMap<i64, bool>> = BTreeMap::new();
        let mut last: Option<(Call, Option<BranchStatus>)> = None;
        let mut register: BTreeSet<i64> = BTreeSet::new();
        let pick = |begun: &[i64], at: usize| begun.get(begun.len().checked_sub(1 + at)?).copied();
        for step in steps {
            match step {
                Step::Begin => {
                    let id = world.begin("t");
                    begun.push(id);
                }
                Step::Register(at, kind, row) => {
                    if let Some(id) = pick(&begun, at) {
                        let answer = world.register(id, kind, "db", &format!("t:{row}"));
                        if answer.refused.is_none() {
                            prop_assert!(register.insert(answer.id));
                        }
                    }
                }
                Step::Fail(at) | Step::Stop(at) | Step::Start(at) => {
                    let global = pick(&begun, at).and_then(|id| world.state.global(id));
                    if let Some((id, branch)) = global.and_then(|it| Some((it.id, it.branches.last()?.id))) {
                        match step {
                            Step::Fail(_) => {
                                world.fail(id, branch);
                                register.remove(&branch);
                            }
                            Step::Stop(_) => drop(world.operate(id, Decision::StopBranch, branch)),
                            _ => drop(world.operate(id, Decision::StartBranch, branch)),
                        }
                    }
                }
                Step::Commit(at) | Step::Rollback(at) => {
                    let commits = matches!(step, Step::Commit(_));
                    if let Some(id) = pick(&begun, at) {
                        let answer = world.apply(if commits { Kind::Commit(id) } else { Kind::Rollback(id) });
                        let says = match status(&answer) {
                            GlobalStatus::Committed | GlobalStatus::Committing | GlobalStatus::CommitRetrying => Some(true),
                            GlobalStatus::Finished | GlobalStatus::AsyncCommitting => None,
                            _ => Some(false),
                        };
                        if let Some(says) = says {
                            prop_assert_eq!(*promised.entry(id).or_insert(says), says);
                        }
                    }
                }
                Step::Answer(at, how) => {
                    if !world.calls.is_empty() {
                        let at = at % world.calls.len();
                        let call = world.calls.remove(at);
                        let did = if call.commit { COMMITTED } else { ROLLBACKED };
                        let failed = match call.commit {
                            true => BranchStatus::PhaseTwoCommitFailedRetryable,
                            false => BranchStatus::PhaseTwoRollbackFailedRetryable,
                        };
                        let result = match how {
                            0 => None,
                            1 => Some(failed),
                            // It did it, and nobody heard of it.
                            2 => {
                                done.entry(call.transaction).or_default().insert(call.branch, call.commit);
                                None
                            }
                            _ => {
                                let before = done.entry(call.transaction).or_default().insert(call.branch, call.commit);
                                prop_assert!(before.is_none_or(|before| before == call.commit));
                                did
                            }
                        };
                        world.end(&call, result);
                        last = Some((call, result));
                    }
                }
                Step::Again => {
                    if let Some((call, result)) = &last {
                        world.end(call, *result);
                    }
                }
                Step::Pass(us) => world.pass(us),
                Step::Leader => {
                    world.calls.clear();
                    let outstanding = world.state.outstanding();
                    world.perform(outstanding);
                }
                Step::Snapshot => {
                    let before = (world.state.len(), world.locked());
                    world.state = through_a_snapshot(&world.state);
                    prop_assert_eq!((world.state.len(), world.locked()), before);
                    world.calls.clear();
                    let outstanding = world.state.outstanding();
                    world.perform(outstanding);
                }
            }
        }
        // Everybody is there and does what is asked.
        let stopped: Vec<(i64, i64)> = world.state.globals().flat_map(|global| {
            let branches = global.branches.iter();
            branches.filter(|branch| branch.status == BranchStatus::StopRetry).map(|branch| (global.id, branch.id))
        }).collect();
        for (id, branch) in stopped {
            world.operate(id, Decision::StartBranch, branch);
        }
        let outstanding = world.state.outstanding();
        world.calls.clear();
        world.perform(outstanding);
        for _ in 0..2_000 {
            if world.state.is_empty() {
                break;
            }
            for call in world.take() {
                let before = done.entry(call.transaction).or_default().insert(call.branch, call.commit);
                prop_assert!(before.is_none_or(|before| before == call.commit));
                world.end(&call, if call.commit { COMMITTED } else { ROLLBACKED });
            }
            world.pass(SECOND);
        }
        prop_assert_eq!(world.state.len(), 0);
        prop_assert_eq!(world.state.locked_rows(), 0);
        prop_assert_eq!(world.state.next_due_us(), None);
        for (transaction, branches) in &done {
            let ways: BTreeSet<bool> = branches.values().copied().collect();
            prop_assert_eq!(ways.len(), 1, "transaction {} is half done", transaction);
            if let Some(promised) = promised.get(transaction) {
                prop_assert!(ways.contains(promised));
            }
        }
        let told: BTreeSet<i64> = done.values().flat_map(|branches| branches.keys().copied()).collect();
        prop_assert!(register.is_subset(&told), "every branch was told");
    }
}

/// Rows, a branch that was told, one that was told in vain: written by the version before transactions shared their names.
#[test]
fn a_snapshot_stays_as_it_is_written() {
    let mut world = World::new();
    let id = world.begin("transfer");
    world.tcc(id, "debit");
    world.register(id, BranchType::At, "jdbc:bank", "account:1,2;log:3");
    world.tcc(id, "credit");
    world.apply(Kind::Rollback(id));
    let call = world.take().remove(0);
    world.end(&call, ROLLBACKED);
    let call = world.take().remove(0);
    world.end(&call, None);
    let mut bytes = Vec::new();
    world.state.snapshot()(&mut bytes).unwrap();
    let written: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, include_str!("snapshot.hex").trim_end());
    through_a_snapshot(&world.state).snapshot()(&mut bytes).unwrap();
    assert_eq!(bytes[..bytes.len() / 2], bytes[bytes.len() / 2..]);
}

/// The state as another node would have it from this one's snapshot.
fn through_a_snapshot(state: &Coordinator) -> Coordinator {
    let mut bytes = Vec::new();
    state.snapshot()(&mut bytes).unwrap();
    let again = Coordinator::restored(Config::default(), 7, &mut &bytes[..]).unwrap();
    for cut in [0, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        assert!(
            Coordinator::restored(Config::default(), 7, &mut &bytes[..cut]).is_err()
                || cut == bytes.len()
        );
    }
    again
}
