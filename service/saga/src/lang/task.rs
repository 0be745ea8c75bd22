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
use crate::expr::Template;

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
    task.compensate = compensation.and_then(|name| names.0.get(name).copied());
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
            .map(|(index, value)| template(value, &path.index(index)))
            .collect::<Result<_, _>>()?;
    }
    task.output = output(object)?;
    if let Some(status) = object.object("Status")? {
        task.status = status
            .map
            .iter()
            .map(|(when, value)| status_rule(when, value, &status.path.key(when), doubts))
            .collect::<Result<_, _>>()?;
    }
    if let Some(repeat) = object.object("Loop")? {
        note_unknown(
            keys::unknown(repeat.map, &[keys::LOOP], &repeat.path),
            doubts,
        );
        task.repeat = read_loop(&repeat)?;
    }
    Ok(Box::new(task))
}

/// Variables, and what they take of a result.
pub(super) fn output(object: &Object<'_>) -> Result<Vec<(Arc<str>, Template)>, Refusal> {
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
        Ok((name.as_str().into(), template(value, &path)?))
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
fn status_rule(
    when: &str,
    value: &Value,
    path: &Path,
    doubts: &mut Doubts,
) -> Result<StatusRule, Refusal> {
    let Value::String(text) = value else {
        return Err(wrong(path, "a status", value));
    };
    let Some(status) = Status::named(text) else {
        let value = text.clone();
        let expected = "a status (SU, FA, UN, SK or RU)";
        return Err((path.clone(), Fault::Value { value, expected }));
    };
    let when = match exception_class(when) {
        Some((class, exact)) => {
            if !exact {
                doubts.push((path.clone(), Doubt::NotSeata("write `$Exception{...}`")));
            }
            StatusWhen::Exception(class.into())
        }
        None => StatusWhen::Expr(expression(when, path)?),
    };
    Ok(StatusRule { when, status })
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
fn read_loop(object: &Object<'_>) -> Result<Option<Loop>, Refusal> {
    let Some(collection) = object.name("Collection")? else {
        return Ok(None);
    };
    let parallel = match object.get("Parallel") {
        None => 1,
        // Seata reads the number from its text.
        Some(Value::String(text)) => text.trim().parse().unwrap_or(1),
        Some(_) => object.count("Parallel")?.unwrap_or(1),
    };
    let completion = object
        .name("CompletionCondition")?
        .unwrap_or("[nrOfInstances] == [nrOfCompletedInstances]");
    let collection_path = object.path.key("Collection");
    let collection = match template(&Value::String(collection.into()), &collection_path)? {
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
        completion: expression(completion, &object.path.key("CompletionCondition"))?,
    }))
}
