//! The state type Parallel (`apache/incubator-seata` pull request 4349; no release has it): several tasks at once, each of them
//! once for each time that `Branches` names it. It is read as a Fork of copies of them that meet at a Join, so a copy bears the
//! name that it has in a history there: `Both-parallel-0-Debit`. A task's own `Next` does not count then.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::attributes::{Object, Refusal};
use super::machine::Machine;
use super::place::Path;
use super::{Fault, STATES_MAX};

/// What copies may come to, as text.
const COPIES_BYTES_MAX: usize = 8 << 20;

/// For each copy, the state that it is one of.
pub(super) type Copies = BTreeMap<String, String>;

/// A machine whose branches are written out, and what they are copies of; `None` if it has none.
pub(super) fn expand(root: &Value) -> Result<Option<(Value, Copies)>, Refusal> {
    let Some(Value::Object(states)) = root.get("States") else {
        return Ok(None);
    };
    let is_parallel = |state: &Value| state.get("Type").and_then(Value::as_str) == Some("Parallel");
    if !states.values().any(is_parallel) {
        return Ok(None);
    }
    let mut copies = Copies::new();
    let mut copied = 0_usize;
    let mut originals = BTreeSet::new();
    let mut expanded = Map::new();
    let mut made = Map::new();
    for (name, state) in states {
        let path = Path::root().key("States").key(name);
        let Some(parallel) = state.as_object().filter(|_| is_parallel(state)) else {
            expanded.insert(name.clone(), state.clone());
            continue;
        };
        let branches = Object::of(state, path.clone())?.texts("Branches")?;
        let branches = branches.unwrap_or_default();
        let join = format!("_join_of_{name}");
        let mut names = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let path = path.key("Branches").index(index);
            let Some((original, task)) = states
                .get_key_value(&**branch)
                .and_then(|(name, task)| Some((name, task.as_object()?)))
            else {
                return Err((path, Fault::NoSuchState(branch.to_string())));
            };
            if !matches!(
                task.get("Type").and_then(Value::as_str),
                Some("ServiceTask" | "ScriptTask" | "SubStateMachine")
            ) {
                let why = format!("`{branch}` is no task, as branches of a Parallel must be");
                return Err((path, Fault::Fork(why)));
            }
            let text = serde_json::to_string(task).unwrap_or_default();
            // The name stands in several places.
            copied = copied.saturating_add(text.len() + 4 * (name.len() + branch.len()));
            if copies.len() >= STATES_MAX || copied > COPIES_BYTES_MAX {
                let why = "the branches of Parallel states are too many or too large";
                return Err((path, Fault::Fork(why.into())));
            }
            originals.insert(original);
            let mut task = task.clone();
            task.insert("Next".into(), join.as_str().into());
            let copy = format!("{name}-parallel-{index}-{branch}");
            if made.insert(copy.clone(), task.into()).is_some() {
                let why = format!("two branches of Parallel states are called `{copy}`");
                return Err((path, Fault::Fork(why)));
            }
            copies.insert(copy.clone(), branch.to_string());
            names.push(copy);
        }
        let mut parallel = parallel.clone();
        let mut met = Map::new();
        met.insert("Type".into(), "Join".into());
        if let Some(next) = parallel.remove("Next") {
            met.insert("Next".into(), next);
        }
        if !names.is_empty() {
            parallel.insert("Branches".into(), json!(names));
        }
        made.insert(join.clone(), met.into());
        copies.insert(join, name.clone());
        expanded.insert(name.clone(), parallel.into());
    }
    if let Some(name) = made.keys().find(|name| states.contains_key(*name)) {
        let path = Path::root().key("States").key(name);
        let why = format!("a state is called `{name}`, as a branch of a Parallel is");
        return Err((path, Fault::Fork(why)));
    }
    expanded.extend(made);
    // What is only a branch is no state of its own any more; nor what only such a state leads to, if it is a branch, too.
    let mut kept: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<&Value> = expanded
        .iter()
        .filter(|(name, _)| !originals.contains(name))
        .map(|(_, state)| state)
        .collect();
    let start = root.get("StartState").cloned().unwrap_or_default();
    let start = json!({ "Next": start });
    open.push(&start);
    while let Some(state) = open.pop() {
        for name in named(state) {
            if originals.contains(&name) && !kept.contains(&name) {
                open.extend(expanded.get(&name));
                kept.insert(name);
            }
        }
    }
    expanded.retain(|name, _| !originals.contains(name) || kept.contains(name));
    let mut root = root.clone();
    root["States"] = Value::Object(expanded);
    Ok(Some((root, copies)))
}

/// All that a state names.
fn named(state: &Value) -> Vec<String> {
    let list = |key: &str| {
        state
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let next = |one| Value::get(one, "Next");
    ["Next", "Default", "CompensateState"]
        .iter()
        .filter_map(|key| state.get(key))
        .chain(list("Choices").chain(list("Catch")).filter_map(next))
        .chain(list("Branches"))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// A path as it stands in the text.
pub(super) fn written(path: Path, copies: &Copies) -> Path {
    match path.key_at(1).and_then(|name| copies.get(name)) {
        Some(original) => path.with_key_at(1, original),
        None => path,
    }
}

impl Machine {
    /// The state of the text that a state was read from.
    #[must_use]
    pub fn written_as<'a>(&'a self, name: &'a str) -> &'a str {
        self.copies.get(name).map_or(name, |original| original)
    }
}
