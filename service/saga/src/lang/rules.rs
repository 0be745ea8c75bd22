//! Seata's rules (`apache/incubator-seata:saga/seata-saga-statelang`, `validator/impl`). That names exist has been found out
//! while they were resolved.

use super::Fault;
use super::attributes::Refusal;
use super::machine::{Machine, State, StateId, StateKind, Work};
use super::place::Path;

pub(super) fn check(machine: &Machine) -> Result<(), Refusal> {
    finite_termination(machine)?;
    no_recursion(machine)
}

/// Where a state may go on, other than by compensation.
pub(crate) fn successors(state: &State) -> Vec<StateId> {
    let mut next: Vec<StateId> = state.next.into_iter().collect();
    match &state.kind {
        StateKind::Task(task) => next.extend(task.catch.iter().filter_map(|one| one.next)),
        StateKind::Choice(choice) => {
            next.extend(choice.choices.iter().map(|(_, target)| *target));
            next.extend(choice.default);
        }
        StateKind::Fork(fork) => next.extend(&fork.branches),
        StateKind::Succeed | StateKind::Fail { .. } => next.clear(),
        StateKind::CompensationTrigger | StateKind::Join => {}
    }
    next
}

/// Every state that can be reached can reach an end. Seata looks for cycles without a way out, which is the same, but for a
/// state that leads only to itself: that one it overlooks.
fn finite_termination(machine: &Machine) -> Result<(), Refusal> {
    let count = machine.states.len();
    let next: Vec<Vec<StateId>> = machine.states.iter().map(successors).collect();
    let mut before = vec![Vec::new(); count];
    for (state, targets) in next.iter().enumerate() {
        for target in targets {
            before[usize::from(target.0)].push(state);
        }
    }
    let reached = closure(count, [usize::from(machine.start.0)], |state| {
        next[state]
            .iter()
            .map(|target| usize::from(target.0))
            .collect()
    });
    let ends = (0..count).filter(|state| next[*state].is_empty());
    let ending = closure(count, ends, |state| before[state].clone());
    let endless: Vec<String> = (0..count)
        .filter(|state| reached[*state] && !ending[*state])
        .map(|state| machine.states[state].name.to_string())
        .collect();
    if let Some(first) = endless.first() {
        let path = Path::root().key("States").key(first);
        return Err((path, Fault::Endless(endless)));
    }
    Ok(())
}

fn closure(
    count: usize,
    from: impl IntoIterator<Item = usize>,
    next: impl Fn(usize) -> Vec<usize>,
) -> Vec<bool> {
    let mut seen = vec![false; count];
    let mut open: Vec<usize> = from.into_iter().collect();
    while let Some(state) = open.pop() {
        if !std::mem::replace(&mut seen[state], true) {
            open.extend(next(state));
        }
    }
    seen
}

fn no_recursion(machine: &Machine) -> Result<(), Refusal> {
    for state in &machine.states {
        if state.task().is_some_and(
            |task| matches!(&task.work, Work::SubMachine(name) if *name == machine.name),
        ) {
            let path = Path::root().key("States").key(&state.name);
            return Err((path.key("StateMachineName"), Fault::Recursive));
        }
    }
    Ok(())
}
