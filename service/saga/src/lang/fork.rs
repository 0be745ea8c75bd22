//! Forks: where their branches meet, and which states are in which branch.

use std::collections::BTreeSet;

use super::Fault;
use super::attributes::Refusal;
use super::machine::{Machine, StateId, StateKind};
use super::place::Path;
use super::rules::successors;

/// Finds where the branches of all forks meet.
pub(super) fn pair(machine: &mut Machine) -> Result<(), Refusal> {
    let mut forks = vec![None; machine.states.len()];
    let ids = (0_u16..).zip(&machine.states);
    let all: Vec<StateId> = ids
        .filter(|(_, state)| matches!(state.kind, StateKind::Fork(_)))
        .map(|(id, _)| StateId(id))
        .collect();
    let mut found = Vec::new();
    for fork in &all {
        found.push((*fork, branches(machine, *fork, &mut Vec::new())?));
    }
    for (fork, (join, states)) in found {
        // The innermost one counts: it is in a branch of the other one.
        for state in states.iter().flatten() {
            let owner: &mut Option<StateId> = &mut forks[usize::from(state.0)];
            let is_inner = match owner {
                None => true,
                Some(outer) => in_branches(machine, *outer, fork),
            };
            if is_inner {
                *owner = Some(fork);
            }
        }
        if let StateKind::Fork(fork) = &mut machine.states[usize::from(fork.0)].kind {
            fork.join = join;
            fork.states = states;
        }
    }
    machine.forks = forks;
    Ok(())
}

fn in_branches(machine: &Machine, outer: StateId, state: StateId) -> bool {
    match &machine.state(outer).kind {
        StateKind::Fork(fork) => fork
            .states
            .iter()
            .any(|states| states.binary_search(&state).is_ok()),
        _ => false,
    }
}

/// The join of a fork, and the states of its branches. `open` are the forks around it.
fn branches(
    machine: &Machine,
    id: StateId,
    open: &mut Vec<StateId>,
) -> Result<(StateId, Vec<Vec<StateId>>), Refusal> {
    let refuse = |why: String| {
        let path = Path::root().key("States").key(&machine.state(id).name);
        Err((path, Fault::Fork(why)))
    };
    let StateKind::Fork(fork) = &machine.state(id).kind else {
        return refuse("it is none".into());
    };
    if open.contains(&id) || open.len() > 64 {
        return refuse("it is within itself, or too deep".into());
    }
    open.push(id);
    let mut join = None;
    let mut all = Vec::new();
    let mut seen_before: BTreeSet<StateId> = BTreeSet::new();
    for start in &fork.branches {
        let mut seen = BTreeSet::new();
        let mut next = vec![*start];
        while let Some(at) = next.pop() {
            let state = machine.state(at);
            match &state.kind {
                StateKind::Join => {
                    if *join.get_or_insert(at) != at {
                        return refuse("its branches meet at several joins".into());
                    }
                    continue;
                }
                // These lead out of the fork.
                StateKind::Succeed | StateKind::Fail { .. } | StateKind::CompensationTrigger => {
                    continue;
                }
                _ => {}
            }
            if !seen.insert(at) {
                continue;
            }
            if seen_before.contains(&at) {
                return refuse(format!("`{}` is in two of its branches", state.name));
            }
            if fork.is_parallel {
                next.extend(state.next);
            } else if matches!(state.kind, StateKind::Fork(_)) {
                let (inner_join, states) = branches(machine, at, open)?;
                seen.extend(states.into_iter().flatten());
                seen.insert(inner_join);
                next.extend(machine.state(inner_join).next);
            } else {
                next.extend(successors(state));
            }
        }
        seen_before.extend(&seen);
        all.push(seen.into_iter().collect());
    }
    open.pop();
    match join {
        Some(join) => Ok((join, all)),
        None => refuse("no branch leads to a Join".into()),
    }
}
