//! What can be said of machines without going their ways.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Loaded, Rule, Severity, outcome};
use crate::engine::Status;
use crate::lang::{Machine, Money, State, StateId, StatusRule, Task, Work, successors};

/// More attempts than this are no bound.
const ATTEMPTS_MAX: u32 = 100;

/// Which machines start which: names that lead nowhere, and circles.
pub(super) fn relate(loaded: &mut [Loaded], findings: &mut Vec<Finding>) {
    let by_name: BTreeMap<String, usize> = (0..loaded.len())
        .rev()
        .map(|index| (loaded[index].machine.name.to_string(), index))
        .collect();
    let mut starts = vec![Vec::new(); loaded.len()];
    for (index, one) in loaded.iter().enumerate() {
        for state in &one.machine.states {
            let Some(Work::SubMachine(name)) = state.task().map(|task| &task.work) else {
                continue;
            };
            match by_name.get(&**name) {
                Some(inner) => {
                    starts[index].push(*inner);
                    let is_empty = state.task().is_some_and(|task| task.input.is_empty());
                    if is_empty && loaded[*inner].moves_money {
                        let message =
                            format!("`{name}` moves money, and is told nothing: no Input");
                        findings.push(one.finding(Rule::Call, Some(&state.name), message));
                    }
                }
                None => {
                    let message = format!("machine `{name}` is not among the files");
                    findings.push(one.finding(Rule::Name, Some(&state.name), message));
                }
            }
        }
    }
    for index in 0..loaded.len() {
        if let Some(circle) = circle(&starts, index) {
            let names: Vec<String> = circle
                .iter()
                .map(|at| loaded[*at].machine.name.to_string())
                .collect();
            let mut finding =
                loaded[index].finding(Rule::Recursion, None, "the machine calls itself".into());
            finding.path = names;
            findings.push(finding);
        }
    }
    // Money that is moved within moves it, too; and what is within is as careful as what is around it.
    for _ in 0..loaded.len() {
        for (index, inner) in starts.iter().enumerate() {
            for inner in inner {
                let moves = loaded[index].moves_money || loaded[*inner].moves_money;
                loaded[index].moves_money = moves;
                loaded[*inner].moves_money = moves;
                loaded[*inner].is_started = true;
            }
        }
    }
}

fn circle(starts: &[Vec<usize>], start: usize) -> Option<Vec<usize>> {
    let mut seen = vec![false; starts.len()];
    let mut open = vec![vec![start]];
    while let Some(path) = open.pop() {
        let at = path[path.len() - 1];
        for next in &starts[at] {
            let mut path = path.clone();
            path.push(*next);
            if *next == start {
                return Some(path);
            }
            if !std::mem::replace(&mut seen[*next], true) {
                open.push(path);
            }
        }
    }
    None
}

pub(super) fn check(one: &Loaded, findings: &mut Vec<Finding>) {
    let machine = &one.machine;
    for (index, is_reached) in reached(machine).into_iter().enumerate() {
        let state = &machine.states[index];
        if !is_reached {
            let message = format!("no way leads to `{}`", state.name);
            findings.push(one.finding(Rule::Unreachable, Some(&state.name), message));
        }
        if let Some(task) = state.task() {
            calls(one, state, task, findings);
        }
        if state.money.is_some() {
            money(one, state, findings);
        }
        for next in successors(state) {
            forward(one, &format!("`{}`", state.name), next, findings);
        }
    }
    forward(one, "the start", machine.start, findings);
    twice(one, findings);
    cycles(one, findings);
}

fn reached(machine: &Machine) -> Vec<bool> {
    let mut reached = vec![false; machine.states.len()];
    let mut open = vec![machine.start];
    while let Some(at) = open.pop() {
        if !std::mem::replace(&mut reached[usize::from(at.0)], true) {
            let state = machine.state(at);
            open.extend(successors(state));
            open.extend(state.task().and_then(|task| task.compensate));
        }
    }
    reached
}

/// What undoes money is not gone to.
fn forward(one: &Loaded, from: &str, to: StateId, findings: &mut Vec<Finding>) {
    let state = one.machine.state(to);
    let undoes = state.task().is_some_and(|task| task.is_for_compensation);
    if undoes && one.moves_money {
        let message = format!("{from} leads to `{}`, which undoes something", state.name);
        findings.push(one.finding(Rule::Call, Some(&state.name), message));
    }
}

fn calls(one: &Loaded, state: &State, task: &Task, findings: &mut Vec<Finding>) {
    let name = &state.name;
    for retry in &task.retry {
        if retry.attempts_max > ATTEMPTS_MAX {
            let message = format!(
                "`{name}` repeats its call {} times; more than {ATTEMPTS_MAX} are no bound: recovery goes on afterwards",
                retry.attempts_max
            );
            findings.push(one.finding(Rule::Retry, Some(name), message));
        }
    }
    let Work::Service(service) = &task.work else {
        return;
    };
    let undoes = task.is_for_compensation;
    let changes = (task.is_for_update || state.money.is_some()) && !undoes;
    let status = outcome::of_no_answer(task);
    let as_what = match status {
        Status::Failed if changes => Some("one that did nothing"),
        Status::Succeeded | Status::Skipped if changes || undoes => Some("done"),
        _ => None,
    };
    if let Some(as_what) = as_what {
        let message =
            format!("a call of `{name}` without an answer counts as {as_what}; nobody knows: UN");
        findings.push(one.finding(Rule::Status, Some(name), message));
    }
    if state.money.is_some() && !undoes && !task.is_for_update {
        let message = format!(
            "`{name}` moves money and is not `IsForUpdate`: what nobody knows counts as failed"
        );
        findings.push(one.finding(Rule::Status, Some(name), message));
    }
    let succeeds = |rule: &StatusRule| matches!(rule.status, Status::Succeeded | Status::Skipped);
    if (changes || undoes) && !task.status.is_empty() && !task.status.iter().any(succeeds) {
        let message = format!("no result of `{name}` counts as success");
        findings.push(one.finding(Rule::Status, Some(name), message));
    }
    if !one.moves_money || !(changes || undoes) {
        return;
    }
    if service.name.is_empty() || service.method.is_empty() {
        let message = format!("`{name}` does not say what it calls");
        findings.push(one.finding(Rule::Call, Some(name), message));
    }
    if service.is_async {
        let message = format!("`{name}` is not waited for: nobody hears whether it is done");
        findings.push(one.finding(Rule::Call, Some(name), message));
    }
}

/// What undoes a debit gives the same back to the same account, as far as it says.
fn money(one: &Loaded, state: &State, findings: &mut Vec<Finding>) {
    let Some(task) = state.task() else {
        let message = format!("`{}` moves no money: it calls nothing", state.name);
        findings.push(one.finding(Rule::Call, Some(&state.name), message));
        return;
    };
    if !matches!(task.work, Work::Service(_)) {
        let message = format!("`{}` moves no money: it calls no service", state.name);
        findings.push(one.finding(Rule::Call, Some(&state.name), message));
    }
    let says = |of: &State| {
        of.extensions
            .as_ref()
            .is_some_and(|all| all.contains_key("amount"))
    };
    if task.input.is_empty() && says(state) {
        let message = format!("`{}` is not told the amount: it has no Input", state.name);
        findings.push(one.finding(Rule::Call, Some(&state.name), message));
    }
    let Some(undo) = task.compensate.map(|undo| one.machine.state(undo)) else {
        return;
    };
    if state.money == Some(Money::Debit)
        && !task.input.is_empty()
        && undo.task().is_some_and(|undo| undo.input.is_empty())
    {
        let message = format!(
            "`{}` is not told what to give back: it has no Input",
            undo.name
        );
        findings.push(one.finding(Rule::Call, Some(&undo.name), message));
    }
    let is_service = undo
        .task()
        .is_some_and(|undo| matches!(undo.work, Work::Service(_)));
    let said = |of: &State, key: &str| of.extensions.as_ref()?.get(key).cloned();
    let differs = |key: &str| {
        said(undo, key).is_some_and(|theirs| said(state, key).is_some_and(|ours| ours != theirs))
    };
    let message = if !is_service {
        format!(
            "`{}` calls no service, so it cannot undo `{}`",
            undo.name, state.name
        )
    } else if undo.money == state.money {
        format!("`{}` does once more what it should undo", undo.name)
    } else if undo.money.is_some() && (differs("account") || differs("amount")) {
        format!(
            "`{}` undoes another account or amount than `{}` has",
            undo.name, state.name
        )
    } else {
        let others = one
            .machine
            .states
            .iter()
            .filter(|other| other.money.is_some());
        let mut sharing = others.filter(|other| {
            other.name != state.name
                && other
                    .task()
                    .is_some_and(|other| other.compensate == task.compensate)
        });
        match sharing.next() {
            Some(other) if state.money == Some(Money::Debit) => {
                format!("`{}` undoes `{}`, too", undo.name, other.name)
            }
            _ => return,
        }
    };
    findings.push(one.finding(Rule::Call, Some(&state.name), message));
}

/// A state that a Parallel names twice is called twice with the same input, which is one call to who is called.
fn twice(one: &Loaded, findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    let moving = one.machine.states.iter();
    for state in moving.filter(|state| state.money.is_some()) {
        let name = one.machine.written_as(&state.name);
        if !seen.insert(name) {
            let message = format!(
                "`{name}` moves money and is called more than once with the same input: who carries a call out once takes it once"
            );
            findings.push(one.finding(Rule::Call, Some(&state.name), message));
        }
    }
}

/// Each pass is compensated, but only the last one's variables are left.
fn cycles(one: &Loaded, findings: &mut Vec<Finding>) {
    let machine = &one.machine;
    for (index, state) in machine.states.iter().enumerate() {
        let Some(undo) = state.task().and_then(|task| task.compensate) else {
            continue;
        };
        let has_input = machine.state(undo).task().is_some_and(|undo| {
            undo.input
                .iter()
                .any(|input| !matches!(input, crate::expr::Template::Literal(_)))
        });
        if let (Some(path), true) = (cycle(machine, index), has_input) {
            let message = format!(
                "`{}` can be gone through again: `{}` undoes each time with the last time's variables",
                state.name,
                machine.state(undo).name
            );
            let mut finding = one.finding(Rule::CycleVariables, Some(&state.name), message);
            finding.severity = Severity::Warning;
            finding.path = path
                .iter()
                .map(|at| machine.state(*at).name.to_string())
                .collect();
            findings.push(finding);
        }
    }
}

fn cycle(machine: &Machine, start: usize) -> Option<Vec<StateId>> {
    let start = StateId(u16::try_from(start).ok()?);
    let mut from = vec![None; machine.states.len()];
    let mut open = std::collections::VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        for next in successors(machine.state(at)) {
            if next == start {
                let mut path = vec![start, at];
                while let Some(before) = from[usize::from(path[path.len() - 1].0)] {
                    path.push(before);
                }
                path.reverse();
                return Some(path);
            }
            if from[usize::from(next.0)].is_none() {
                from[usize::from(next.0)] = Some(at);
                open.push_back(next);
            }
        }
    }
    None
}
