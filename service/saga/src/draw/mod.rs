//! A machine as a drawing. States stand below each other in the order in which a saga goes through them; where a way does not
//! lead to the next one it takes a lane at the side, one for each state that is led to.

mod svg;
mod terminal;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::lang::{Machine, Money, Recover, State, StateId, StateKind, Task, Work, as_plain};

pub use svg::svg;
pub use terminal::text;

/// What a state looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Task,
    Machine,
    Choice,
    Trigger,
    Succeed,
    Fail,
    Fork,
}

/// One state.
struct Row {
    shape: Shape,
    name: String,
    /// What it calls, and what it does with money.
    note: String,
    money: Option<Money>,
    /// What undoes it.
    undo: Option<String>,
    /// Whether its way leads to the row below.
    goes_down: bool,
    /// Other ways: what they are called, and the lane they take.
    ways: Vec<(String, usize)>,
    /// The lane that leads here.
    lane: Option<usize>,
}

struct Drawing {
    title: String,
    rows: Vec<Row>,
    /// For each lane, its place at the side.
    places: Vec<usize>,
}

impl Drawing {
    fn of(machine: &Machine) -> Self {
        let order = order(machine);
        let at: BTreeMap<StateId, usize> = order
            .iter()
            .enumerate()
            .map(|(row, id)| (*id, row))
            .collect();
        let texts = as_plain(&machine.text)
            .map(|(plain, _)| plain)
            .unwrap_or_default();
        let mut lanes: BTreeMap<usize, usize> = BTreeMap::new();
        let mut spans: Vec<(usize, usize)> = Vec::new();
        let mut rows: Vec<Row> = Vec::new();
        for (row, id) in order.iter().enumerate() {
            let mut goes_down = false;
            let mut ways = Vec::new();
            for (what, target) in ways_of(machine, *id, &texts) {
                let Some(target) = at.get(&target).copied() else {
                    continue;
                };
                if target == row + 1 && what.is_empty() {
                    goes_down = true;
                    continue;
                }
                let lane = *lanes.entry(target).or_insert_with(|| {
                    spans.push((target, target));
                    spans.len() - 1
                });
                let span = &mut spans[lane];
                *span = (span.0.min(row), span.1.max(row));
                ways.push((what, lane));
            }
            rows.push(row_of(machine, *id, goes_down, ways));
        }
        for (target, lane) in &lanes {
            rows[*target].lane = Some(*lane);
        }
        Self {
            title: title(machine),
            rows,
            places: places(&spans),
        }
    }
}

/// Lanes that do not meet share a place; short ones are near.
fn places(spans: &[(usize, usize)]) -> Vec<usize> {
    let mut by_length: Vec<usize> = (0..spans.len()).collect();
    by_length.sort_by_key(|lane| (spans[*lane].1 - spans[*lane].0, *lane));
    let mut places = vec![0; spans.len()];
    let mut taken: Vec<Vec<(usize, usize)>> = Vec::new();
    for lane in by_length {
        let span = spans[lane];
        let is_free = |place: &Vec<(usize, usize)>| {
            place
                .iter()
                .all(|other| other.1 < span.0 || other.0 > span.1)
        };
        let place = taken.iter().position(is_free).unwrap_or_else(|| {
            taken.push(Vec::new());
            taken.len() - 1
        });
        taken[place].push(span);
        places[lane] = place;
    }
    places
}

fn title(machine: &Machine) -> String {
    let recovers = match machine.recover {
        None | Some(Recover::Compensate) => "recovery compensates when the time is over",
        Some(Recover::Forward) => "recovery goes forward",
        Some(Recover::Pivot) => {
            "recovery compensates before the first credit, and goes forward from it on"
        }
    };
    format!("{} {}: {recovers}", machine.name, machine.version)
}

/// States in the order of ways, the straight one first; what nothing leads to comes last, and what only undoes does not.
fn order(machine: &Machine) -> Vec<StateId> {
    let count = machine.states.len();
    let mut seen = vec![false; count];
    let mut done = Vec::new();
    // Depth first without recursion: a state is done when all that follows is.
    let mut open = vec![(machine.start, false)];
    while let Some((id, is_done)) = open.pop() {
        if is_done {
            done.push(id);
        } else if !std::mem::replace(&mut seen[usize::from(id.0)], true) {
            open.push((id, true));
            let ways = ways_of(machine, id, &Value::Null);
            open.extend(ways.into_iter().map(|(_, target)| (target, false)));
        }
    }
    done.reverse();
    let undoes = |state: &State| state.task().is_some_and(|task| task.is_for_compensation);
    for (index, state) in machine.states.iter().enumerate() {
        if let (false, false, Ok(id)) = (seen[index], undoes(state), u16::try_from(index)) {
            done.push(StateId(id));
        }
    }
    done
}

/// Where a state leads, the straight way first, and why.
fn ways_of(machine: &Machine, id: StateId, texts: &Value) -> Vec<(String, StateId)> {
    let state = machine.state(id);
    let text = &texts["States"][&*state.name];
    let mut ways = Vec::new();
    match &state.kind {
        StateKind::Choice(choice) => {
            for (index, (_, target)) in choice.choices.iter().enumerate() {
                let condition = text["Choices"][index]["Expression"]
                    .as_str()
                    .unwrap_or("...");
                ways.push((format!("if {condition}"), *target));
            }
            ways.extend(choice.default.map(|target| ("else".to_owned(), target)));
        }
        StateKind::Fork(fork) => {
            for (index, target) in fork.branches.iter().enumerate() {
                ways.push((format!("branch {}", index + 1), *target));
            }
        }
        StateKind::Succeed | StateKind::Fail { .. } => return ways,
        _ => {}
    }
    ways.extend(state.next.map(|target| (String::new(), target)));
    for catch in state.task().into_iter().flat_map(|task| &task.catch) {
        let short = |class: &std::sync::Arc<str>| class.rsplit('.').next().unwrap_or("").to_owned();
        let classes: Vec<String> = catch.exceptions.iter().map(short).collect();
        ways.extend(
            catch
                .next
                .map(|target| (format!("catch {}", classes.join(", ")), target)),
        );
    }
    ways
}

fn row_of(machine: &Machine, id: StateId, goes_down: bool, ways: Vec<(String, usize)>) -> Row {
    let state = machine.state(id);
    let shape = match &state.kind {
        StateKind::Task(task) => match task.work {
            Work::SubMachine(_) | Work::CompensateSubMachine => Shape::Machine,
            _ => Shape::Task,
        },
        StateKind::Choice(_) => Shape::Choice,
        StateKind::CompensationTrigger => Shape::Trigger,
        StateKind::Succeed => Shape::Succeed,
        StateKind::Fail { .. } => Shape::Fail,
        StateKind::Fork(_) | StateKind::Join => Shape::Fork,
    };
    let undo = state
        .task()
        .and_then(|task| task.compensate)
        .map(|undo| machine.state(undo));
    Row {
        shape,
        name: state.name.to_string(),
        note: note(state),
        money: state.money,
        undo: undo
            .filter(|undo| !undo.name.starts_with("_compensate_"))
            .map(|undo| undo.name.to_string()),
        goes_down,
        ways,
        lane: None,
    }
}

fn note(state: &State) -> String {
    let mut parts = Vec::new();
    if let Some(money) = state.money {
        let said = |key: &str| {
            let value = state.extensions.as_ref().and_then(|all| all.get(key));
            value.map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
        };
        let (effect, word) = match money {
            Money::Debit => ("debit", "from"),
            Money::Credit => ("credit", "to"),
        };
        let amount = said("amount")
            .map(|amount| format!(" {amount}"))
            .unwrap_or_default();
        let account = said("account")
            .map(|account| format!(" {word} {account}"))
            .unwrap_or_default();
        parts.push(format!("{effect}{amount}{account}"));
    }
    match &state.kind {
        StateKind::Task(task) => parts.extend(of_task(task)),
        StateKind::CompensationTrigger => parts.push("compensates".into()),
        StateKind::Fail {
            code: Some(code), ..
        } => parts.push(code.clone()),
        _ => {}
    }
    parts.join(", ")
}

fn of_task(task: &Task) -> Vec<String> {
    let mut parts = vec![match &task.work {
        Work::Service(service) => format!("{}.{}", service.name, service.method),
        Work::Script(script) => script.language.clone(),
        Work::SubMachine(name) => format!("machine {name}"),
        Work::CompensateSubMachine => "compensates its machine".into(),
    }];
    if task.repeat.is_some() {
        parts.push("for each".into());
    }
    let attempts: u32 = task
        .retry
        .iter()
        .map(|retry| retry.attempts_max)
        .max()
        .unwrap_or(0);
    if attempts > 0 {
        parts.push(format!("up to {attempts} times more"));
    }
    parts
}
