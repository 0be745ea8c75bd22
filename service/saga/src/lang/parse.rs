//! A whole machine (`apache/incubator-seata:saga/seata-saga-statelang`, `StateMachineParserImpl.java`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::attributes::{Doubts, Object, Refusal, wrong};
use super::machine::{Digest, Machine, Recover, State, StateId, StateKind, Task, Work};
use super::place::{Path, Place, duplicate_keys};
use super::state::Names;
use super::{
    Doubt, Fault, LoadError, MACHINE_BYTES_MAX, STATES_MAX, Warning, designer, fork, keys,
    parallel, rules, state,
};
use crate::expr::Dialect;

/// So many warnings tell their line.
const LINES_MAX: usize = 100;

/// Reads a machine in the plain form or in a designer's.
/// # Errors
/// The machine is refused; the error says why and where.
pub fn load(text: &str) -> Result<Machine, LoadError> {
    load_named(None, text)
}

/// As [`load`], for a text from a file, whose name errors and warnings then bear.
/// # Errors
/// As of [`load`].
pub fn load_named(file: Option<&str>, text: &str) -> Result<Machine, LoadError> {
    let place = |line, path| Place {
        file: file.map(Into::into),
        line,
        path,
    };
    if text.len() > MACHINE_BYTES_MAX {
        let what = Box::new(Fault::TooLarge(text.len()));
        let place = place(None, Path::root());
        return Err(LoadError { place, what });
    }
    let root: Value = serde_json::from_str(text).map_err(|error| LoadError {
        place: place(Some((error.line(), error.column())), Path::root()),
        what: Box::new(Fault::Json(error.to_string())),
    })?;
    // Lines of a designer's file are those of nodes and edges; paths are those of the machine that they mean.
    let drawn = designer::is_drawn(&root);
    let mut copies = parallel::Copies::new();
    let locate = |path: Path, copies: &parallel::Copies| {
        let path = parallel::written(path, copies);
        let line = (!drawn).then(|| path.find(text));
        place(line, path)
    };
    let mut doubts = Doubts::new();
    let machine =
        read(&root, text, &mut doubts, &mut copies).map_err(|(path, what)| LoadError {
            place: locate(path, &copies),
            what: Box::new(what),
        })?;
    // Finding a line means going through the text.
    let line = |number: usize, path: &Path| (number < LINES_MAX && !drawn).then(|| path.find(text));
    // What several copies have is one thing.
    let mut seen = BTreeSet::new();
    let warnings = doubts
        .into_iter()
        .map(|(path, what)| (parallel::written(path, &copies), what))
        .filter(|(path, what)| seen.insert(format!("{path} {what}")))
        .chain(
            duplicate_keys(text)
                .into_iter()
                .map(|(path, key)| (path, Doubt::DuplicateKey(key))),
        )
        .enumerate()
        .map(|(number, (path, what))| Warning {
            place: place(line(number, &path), path),
            what,
        })
        .collect();
    Ok(Machine {
        warnings,
        ..machine
    })
}

fn read(
    root: &Value,
    text: &str,
    doubts: &mut Doubts,
    copies: &mut parallel::Copies,
) -> Result<Machine, Refusal> {
    let root = if designer::is_drawn(root) {
        Cow::Owned(designer::plain(root)?)
    } else {
        Cow::Borrowed(root)
    };
    let root = match parallel::expand(&root)? {
        Some((expanded, made)) => {
            *copies = made;
            Cow::Owned(expanded)
        }
        None => root,
    };
    let object = Object::of(&root, Path::root())?;
    let unknown = keys::unknown(object.map, &[keys::MACHINE], &object.path);
    note_unknown(unknown, doubts);

    let states = object
        .object("States")?
        .ok_or_else(|| (Path::root(), Fault::Missing("States")))?;
    if states.map.len() > STATES_MAX {
        return Err((states.path, Fault::TooManyStates(states.map.len())));
    }
    let by_name: BTreeMap<Arc<str>, StateId> = (0_u16..)
        .zip(states.map.keys())
        .map(|(id, name)| (name.as_str().into(), StateId(id)))
        .collect();
    let names = Names {
        by_name: &by_name,
        dialect: dialect(&object)?,
    };
    let mut all = Vec::with_capacity(states.map.len());
    for (name, value) in states.map {
        let object = Object::of(value, states.path.key(name))?;
        all.push(state::read(name, &object, names, doubts)?);
    }
    let start = object.must_name("StartState")?;
    let start = names.find(start, &Path::root().key("StartState"))?;
    let mut machine = Machine {
        name: object.must_name("Name")?.into(),
        comment: object.text("Comment")?.map(Into::into),
        version: object.text("Version")?.unwrap_or_default().into(),
        text: text.into(),
        digest: Digest::of(text),
        start,
        recover: recover(&object, doubts)?,
        is_persist: object.flag("IsPersist", doubts) != Some(false),
        retry_updates: object.flag("IsRetryPersistModeUpdate", doubts),
        compensation_updates: object.flag("IsCompensatePersistModeUpdate", doubts),
        extensions: object.get("Extensions").cloned(),
        states: all,
        by_name,
        forks: Vec::new(),
        copies: copies.clone(),
        warnings: Vec::new(),
    };
    compensate_sub_machines(&mut machine)?;
    mark_compensation(&mut machine)?;
    fork::pair(&mut machine)?;
    rules::check(&machine)?;
    Ok(machine)
}

pub(super) fn note_unknown(
    unknown: Vec<(Path, String, Option<&'static str>)>,
    doubts: &mut Doubts,
) {
    for (path, key, nearest) in unknown {
        doubts.push((path, Doubt::UnknownKey { key, nearest }));
    }
}

/// What expressions are written in. seata-go has nothing but CEL and so says nothing; here a machine says it.
fn dialect(object: &Object<'_>) -> Result<Dialect, Refusal> {
    let said = object
        .get("Extensions")
        .and_then(|all| all.get("expression"));
    match said {
        None => Ok(Dialect::Spring),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("cel") => Ok(Dialect::Cel),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("spring") => Ok(Dialect::Spring),
        Some(other) => {
            let path = object.path.key("Extensions").key("expression");
            Err(wrong(&path, "`cel` or `spring`", other))
        }
    }
}

fn recover(object: &Object<'_>, doubts: &mut Doubts) -> Result<Option<Recover>, Refusal> {
    let path = object.path.key("RecoverStrategy");
    let strategy = match object.name("RecoverStrategy")? {
        None => None,
        Some("Compensate") => Some(Recover::Compensate),
        Some("Forward") => Some(Recover::Forward),
        Some("Pivot") => {
            let portable = "write `\"RecoverStrategy\": \"Forward\"` and `\"Extensions\": {\"recover\": \"Pivot\"}`";
            doubts.push((path, Doubt::NotSeata(portable)));
            Some(Recover::Pivot)
        }
        Some(other) => {
            let expected = "`Compensate`, `Forward` or `Pivot`";
            let value = other.into();
            return Err((path, Fault::Value { value, expected }));
        }
    };
    let extension = object
        .get("Extensions")
        .and_then(|extensions| extensions.get("recover"));
    match extension {
        None => Ok(strategy),
        Some(Value::String(text)) if text == "Pivot" => Ok(Some(Recover::Pivot)),
        Some(other) => {
            let path = object.path.key("Extensions").key("recover");
            Err(wrong(&path, "`Pivot`", other))
        }
    }
}

/// A sub-machine that names no compensation is compensated as a whole (`SubStateMachineParser.java`).
fn compensate_sub_machines(machine: &mut Machine) -> Result<(), Refusal> {
    let wanting: Vec<usize> = machine
        .states
        .iter()
        .enumerate()
        .filter(|(_, state)| {
            state.task().is_some_and(|task| {
                matches!(task.work, Work::SubMachine(_)) && task.compensate.is_none()
            })
        })
        .map(|(index, _)| index)
        .collect();
    for index in wanting {
        let name = format!(
            "_compensate_sub_machine_state_{}",
            machine.states[index].name
        );
        let id = u16::try_from(machine.states.len())
            .map_err(|_| (Path::root(), Fault::TooManyStates(machine.states.len())))?;
        machine.by_name.insert(name.as_str().into(), StateId(id));
        machine.states.push(State {
            name: name.into(),
            comment: None,
            next: None,
            extensions: None,
            money: None,
            kind: StateKind::Task(Box::new(Task::new(Work::CompensateSubMachine))),
        });
        if let StateKind::Task(task) = &mut machine.states[index].kind {
            task.compensate = Some(StateId(id));
        }
    }
    Ok(())
}

/// What can be compensated changes something; what compensates is for compensation (`StateMachineParserImpl.java`).
fn mark_compensation(machine: &mut Machine) -> Result<(), Refusal> {
    let pairs: Vec<(usize, StateId)> = machine
        .states
        .iter()
        .enumerate()
        .filter_map(|(index, state)| Some((index, state.task()?.compensate?)))
        .collect();
    for (index, compensation) in pairs {
        let target = usize::from(compensation.0);
        if machine.states[target].task().is_none() {
            let path = Path::root().key("States").key(&machine.states[index].name);
            let value = machine.states[target].name.to_string();
            let expected = "a task, which a compensation must be";
            return Err((
                path.key("CompensateState"),
                Fault::Value { value, expected },
            ));
        }
        if let StateKind::Task(task) = &mut machine.states[index].kind {
            task.is_for_update = true;
        }
        if let StateKind::Task(task) = &mut machine.states[target].kind {
            task.is_for_compensation = true;
        }
    }
    Ok(())
}
