//! What all tasks have (`apache/incubator-seata:saga/seata-saga-statelang`, `AbstractTaskStateParser.java`).

use std::sync::Arc;

use serde_json::Value;

use super::attributes::{Doubts, Object, Refusal, expression, template, wrong};
use super::machine::{Catch, Loop, Retry, StatusRule, StatusWhen, Task, Work};
use super::parse::note_unknown;
use super::place::Path;
use super::state::Names;
use super::{Doubt, Fault, keys};
use crate::engine::Status;
use crate::expr::{Dialect, Template};

/// Seata takes any number; this many calls run at once at most.
const PARALLEL_MAX: u32 = 1_024;
/// Variables are searched one by one.
const OUTPUTS_MAX: usize = 1_024;

impl Task {
    /// A task that does something, and has no attributes.
    pub(super) fn new(work: Work) -> Self {
        Self {
            is_for_compensation: matches!(work, Work::CompensateSubMachine),
            is_persist: !matches!(work, Work::Script(_)),
            work,
            compensate: None,
            is_for_update: false,
            retry_updates: None,
            compensation_updates: None,
            retry: Vec::new(),
            catch: Vec::new(),
            input: Vec::new(),
            output: Vec::new(),
            status: Vec::new(),
            repeat: None,
        }
    }
}

pub(super) fn read(
    work: Work,
    object: &Object<'_>,
    names: Names<'_>,
    doubts: &mut Doubts,
) -> Result<Box<Task>, Refusal> {
    let mut task = Task::new(work);
    let compensation = object.name("CompensateState")?;
    task.compensate = compensation.and_then(|name| names.by_name.get(name).copied());
    let is_missing = compensation.is_some() && task.compensate.is_none();
    if let (Some(name), true) = (compensation, is_missing) {
        // Seata loads it, and takes the state for compensated. Here compensation stops at it.
        let path = object.path.key("CompensateState");
        doubts.push((path, Doubt::NoSuchState(name.into())));
    }
    if !matches!(task.work, Work::Script(_)) {
        // A script changes nothing (`ScriptTaskStateParser.java`); and what the flags say of a CompensateSubMachine, too.
        task.is_for_compensation = object.flag("IsForCompensation", doubts) == Some(true)
            || matches!(task.work, Work::CompensateSubMachine);
        task.is_for_update = object.flag("IsForUpdate", doubts) == Some(true);
        task.is_persist = object.flag("IsPersist", doubts) != Some(false);
    }
    task.is_for_update |= is_missing;
    task.retry_updates = object.flag("IsRetryPersistModeUpdate", doubts);
    task.compensation_updates = object.flag("IsCompensatePersistModeUpdate", doubts);
    task.retry = each(object, "Retry", |one| retry(one, doubts))?;
    task.catch = each(object, "Catch", |one| catch(one, names, doubts))?;
    if let Some((list, path)) = object.list("Input")? {
        task.input = list
            .iter()
            .enumerate()
            .map(|(index, value)| template(names.dialect, value, &path.index(index)))
            .collect::<Result<_, _>>()?;
    }
    task.output = output(object, names)?;
    if let Some(rules) = object.object("Status")? {
        task.status = status(&rules, names, doubts)?;
    }
    if let Some(repeat) = object.object("Loop")? {
        note_unknown(
            keys::unknown(repeat.map, &[keys::LOOP], &repeat.path),
            doubts,
        );
        task.repeat = read_loop(&repeat, names)?;
    }
    Ok(Box::new(task))
}

/// Variables, and what they take of a result.
pub(super) fn output(
    object: &Object<'_>,
    names: Names<'_>,
) -> Result<Vec<(Arc<str>, Template)>, Refusal> {
    let Some(output) = object.object("Output")? else {
        return Ok(Vec::new());
    };
    if output.map.len() > OUTPUTS_MAX {
        let value = format!("{} entries", output.map.len());
        let expected = "an Output of at most 1,024 entries";
        return Err((output.path, Fault::Value { value, expected }));
    }
    let read = |(name, value): (&String, &Value)| {
        let path = output.path.key(name);
        Ok((name.as_str().into(), template(names.dialect, value, &path)?))
    };
    output.map.iter().map(read).collect()
}

fn each<T>(
    object: &Object<'_>,
    key: &str,
    mut read: impl FnMut(&Object<'_>) -> Result<T, Refusal>,
) -> Result<Vec<T>, Refusal> {
    let Some((list, path)) = object.list(key)? else {
        return Ok(Vec::new());
    };
    list.iter()
        .enumerate()
        .map(|(index, value)| read(&Object::of(value, path.index(index))?))
        .collect()
}

fn retry(object: &Object<'_>, doubts: &mut Doubts) -> Result<Retry, Refusal> {
    note_unknown(
        keys::unknown(object.map, &[keys::RETRY], &object.path),
        doubts,
    );
    Ok(Retry {
        exceptions: object.texts("Exceptions")?.unwrap_or_default(),
        interval_seconds: object.number("IntervalSeconds")?.unwrap_or(0.0),
        attempts_max: object
            .count("MaxAttempts")?
            .ok_or_else(|| (object.path.clone(), Fault::Missing("MaxAttempts")))?,
        backoff_rate: object.number("BackoffRate")?.unwrap_or(0.0),
    })
}

fn catch(object: &Object<'_>, names: Names<'_>, doubts: &mut Doubts) -> Result<Catch, Refusal> {
    note_unknown(
        keys::unknown(object.map, &[keys::CATCH], &object.path),
        doubts,
    );
    Ok(Catch {
        exceptions: object.texts("Exceptions")?.unwrap_or_default(),
        next: names.of(object, "Next")?,
    })
}

/// `$Exception{class}` or an expression about the result; the order of the text counts.
fn status(
    rules: &Object<'_>,
    names: Names<'_>,
    doubts: &mut Doubts,
) -> Result<Vec<StatusRule>, Refusal> {
    let mut read = Vec::with_capacity(rules.map.len());
    for (when, value) in rules.map {
        let path = rules.path.key(when);
        let Value::String(text) = value else {
            return Err(wrong(&path, "a status", value));
        };
        match status_named(text, names.dialect) {
            Some(status) => {
                let when = status_when(when, &path, names, doubts)?;
                read.push(StatusRule { when, status });
            }
            None if names.dialect == Dialect::Cel => {
                // seata-go reads no Status of a machine's file at all, so there are words of all kinds.
                let what = "not a status (SU, FA, UN): this Status does not count";
                doubts.push((path, Doubt::Misleading(what)));
                return Ok(Vec::new());
            }
            None => {
                let value = text.clone();
                let expected = "a status (SU, FA, UN, SK or RU)";
                return Err((path, Fault::Value { value, expected }));
            }
        }
    }
    Ok(read)
}

fn status_named(text: &str, dialect: Dialect) -> Option<Status> {
    match (dialect, text) {
        (Dialect::Cel, "SUCCEEDED") => Some(Status::Succeeded),
        (Dialect::Cel, "FAILED") => Some(Status::Failed),
        (Dialect::Cel, "UNKNOWN") => Some(Status::Unknown),
        _ => Status::named(text),
    }
}

fn status_when(
    when: &str,
    path: &Path,
    names: Names<'_>,
    doubts: &mut Doubts,
) -> Result<StatusWhen, Refusal> {
    let Some((class, exact)) = exception_class(when) else {
        return Ok(StatusWhen::Expr(expression(names.dialect, when, path)?));
    };
    if names.dialect == Dialect::Cel {
        let class = match class {
            "*" => "java.lang.Throwable",
            class => class,
        };
        return Ok(StatusWhen::Exception(class.into()));
    }
    if !exact {
        doubts.push((path.clone(), Doubt::NotSeata("write `$Exception{...}`")));
    }
    Ok(StatusWhen::Exception(class.into()))
}

/// The class in `$Exception{class}` or `$Exception.class`, and whether it is written as Seata wants it.
fn exception_class(text: &str) -> Option<(&str, bool)> {
    let rest = text.strip_prefix('$')?;
    let (word, rest) = rest.split_at_checked("Exception".len())?;
    if !word.eq_ignore_ascii_case("Exception") {
        return None;
    }
    let class = match rest.strip_prefix('{') {
        Some(rest) => rest.split_once('}').map_or(rest, |(class, _)| class),
        None => rest.strip_prefix('.')?,
    };
    Some((class.trim(), word == "Exception"))
}

/// A loop without a collection is none (`LoopTaskUtils.java`).
fn read_loop(object: &Object<'_>, names: Names<'_>) -> Result<Option<Loop>, Refusal> {
    let Some(collection) = object.name("Collection")? else {
        return Ok(None);
    };
    let parallel = match object.get("Parallel") {
        None => 1,
        // Seata reads the number from its text.
        Some(Value::String(text)) => text.trim().parse().unwrap_or(1),
        Some(_) => object.count("Parallel")?.unwrap_or(1),
    };
    let (dialect, completion) = match object.name("CompletionCondition")? {
        Some(completion) => (names.dialect, completion),
        None => (
            Dialect::Spring,
            "[nrOfInstances] == [nrOfCompletedInstances]",
        ),
    };
    let collection_path = object.path.key("Collection");
    let collection = match template(
        names.dialect,
        &Value::String(collection.into()),
        &collection_path,
    )? {
        // A text that is no expression can be no collection.
        Template::Literal(_) => return Ok(None),
        other => other,
    };
    Ok(Some(Loop {
        parallel: parallel.clamp(1, PARALLEL_MAX),
        collection,
        element: object
            .name("ElementVariableName")?
            .unwrap_or("loopElement")
            .into(),
        index: object
            .name("ElementIndexName")?
            .unwrap_or("loopCounter")
            .into(),
        completion: expression(dialect, completion, &object.path.key("CompletionCondition"))?,
    }))
}
