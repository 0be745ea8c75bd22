//! One state (`apache/incubator-seata:saga/seata-saga-statelang`, `BaseStatePaser.java` and the parsers of each type).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::attributes::{Doubts, Object, Refusal, expression, template, wrong};
use super::machine::{Choice, Fork, Money, Service, State, StateId, StateKind, Work};
use super::parse::note_unknown;
use super::place::Path;
use super::{Doubt, Fault, keys, task};
use crate::expr::Dialect;

/// What a state is read with: the states that there are, and what expressions are written in.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub by_name: &'a BTreeMap<Arc<str>, StateId>,
    pub dialect: Dialect,
}

impl Names<'_> {
    pub fn find(self, name: &str, path: &Path) -> Result<StateId, Refusal> {
        self.by_name
            .get(name)
            .copied()
            .ok_or_else(|| (path.clone(), Fault::NoSuchState(name.into())))
    }

    /// The state that an attribute names; an empty name is none.
    pub fn of(self, object: &Object<'_>, key: &str) -> Result<Option<StateId>, Refusal> {
        object
            .name(key)?
            .map(|name| self.find(name, &object.path.key(key)))
            .transpose()
    }
}

pub(super) fn read(
    name: &str,
    object: &Object<'_>,
    names: Names<'_>,
    doubts: &mut Doubts,
) -> Result<State, Refusal> {
    let kind = object.must_name("Type")?;
    let unknown = keys::unknown(object.map, &keys::of_state(kind), &object.path);
    let next = names.of(object, "Next")?;
    let state_kind = match kind {
        "ServiceTask" => StateKind::Task(task::read(
            service(name, object, doubts)?,
            object,
            names,
            doubts,
        )?),
        "ScriptTask" => {
            let work = Work::Script(script(object)?);
            StateKind::Task(task::read(work, object, names, doubts)?)
        }
        "SubStateMachine" => {
            let work = Work::SubMachine(object.must_name("StateMachineName")?.into());
            StateKind::Task(task::read(work, object, names, doubts)?)
        }
        "CompensateSubMachine" => StateKind::Task(task::read(
            Work::CompensateSubMachine,
            object,
            names,
            doubts,
        )?),
        "Choice" => {
            if next.is_some() {
                let what = "a Choice with `Next` always goes there, whatever it chooses";
                doubts.push((object.path.key("Next"), Doubt::Misleading(what)));
            }
            StateKind::Choice(choice(object, names, doubts)?)
        }
        "CompensationTrigger" => StateKind::CompensationTrigger,
        "Succeed" => StateKind::Succeed,
        "Fail" => StateKind::Fail {
            code: object.text("ErrorCode")?.map(Into::into),
            message: object.text("Message")?.map(Into::into),
        },
        "Fork" => StateKind::Fork(fork(object, names, false)?),
        "Parallel" => StateKind::Fork(fork(object, names, true)?),
        "Join" => StateKind::Join,
        other => return Err((object.path.key("Type"), Fault::StateType(other.into()))),
    };
    note_unknown(unknown, doubts);
    let extensions = object.object("Extensions")?;
    Ok(State {
        name: name.into(),
        comment: object.text("Comment")?.map(Into::into),
        next,
        money: extensions
            .as_ref()
            .map_or(Ok(None), |extensions| money(extensions, names))?,
        extensions: extensions.map(|extensions| Map::clone(extensions.map)),
        kind: state_kind,
    })
}

fn money(extensions: &Object<'_>, names: Names<'_>) -> Result<Option<Money>, Refusal> {
    let path = extensions.path.key("effect");
    let effect = match extensions.get("effect") {
        None => return Ok(None),
        Some(Value::String(text)) if text == "debit" => Money::Debit,
        Some(Value::String(text)) if text == "credit" => Money::Credit,
        Some(other) => return Err(wrong(&path, "`debit` or `credit`", other)),
    };
    for key in ["account", "amount"] {
        if let Some(value) = extensions.get(key) {
            template(names.dialect, value, &extensions.path.key(key))?;
        }
    }
    Ok(Some(effect))
}

fn service(state: &str, object: &Object<'_>, doubts: &mut Doubts) -> Result<Work, Refusal> {
    // Seata asks for these only when it calls (its own fixtures leave them out).
    for key in ["ServiceName", "ServiceMethod"] {
        if object.name(key)?.is_none() {
            let what = "a ServiceTask without `ServiceName` and `ServiceMethod` cannot be called";
            doubts.push((object.path.clone(), Doubt::Misleading(what)));
            break;
        }
    }
    Ok(Work::Service(Arc::new(Service {
        state: state.into(),
        name: object.text("ServiceName")?.unwrap_or_default().into(),
        method: object.text("ServiceMethod")?.unwrap_or_default().into(),
        kind: object.name("ServiceType")?.unwrap_or("SpringBean").into(),
        parameter_types: object
            .texts("ParameterTypes")?
            .map(|types| types.iter().map(ToString::to_string).collect()),
        is_async: object.flag("IsAsync", doubts) == Some(true),
    })))
}

fn script(object: &Object<'_>) -> Result<super::Script, Refusal> {
    let language = object.name("ScriptType")?.unwrap_or("groovy");
    if language != "groovy" {
        let path = object.path.key("ScriptType");
        return Err((path, Fault::Unsupported(format!("scripts in {language}"))));
    }
    let content = object.must_name("ScriptContent")?;
    let program = crate::expr::Program::parse(content).map_err(|why| {
        let path = object.path.key("ScriptContent");
        (path, Fault::Script(why.to_string()))
    })?;
    Ok(super::Script {
        language: language.into(),
        program,
    })
}

/// Where the branches meet is found when all states are known.
fn fork(object: &Object<'_>, names: Names<'_>, is_parallel: bool) -> Result<Fork, Refusal> {
    let path = object.path.key("Branches");
    let branches = object
        .texts("Branches")?
        .filter(|branches| !branches.is_empty())
        .ok_or_else(|| (object.path.clone(), Fault::Missing("Branches")))?;
    let branches: Vec<StateId> = branches
        .iter()
        .enumerate()
        .map(|(index, name)| names.find(name, &path.index(index)))
        .collect::<Result<_, _>>()?;
    let parallel = object.count("Parallel")?.filter(|parallel| *parallel > 0);
    let timeout = object.count("AwaitTimeout")?.filter(|timeout| *timeout > 0);
    Ok(Fork {
        parallel: parallel.unwrap_or(u32::MAX),
        await_timeout_ms: timeout.map(u64::from),
        join: branches[0],
        states: Vec::new(),
        branches,
        is_parallel,
        output: if is_parallel {
            task::output(object, names)?
        } else {
            Vec::new()
        },
    })
}

fn choice(object: &Object<'_>, names: Names<'_>, doubts: &mut Doubts) -> Result<Choice, Refusal> {
    let (list, path) = object
        .list("Choices")?
        .ok_or_else(|| (object.path.clone(), Fault::Missing("Choices")))?;
    let mut choices = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let one = Object::of(value, path.index(index))?;
        note_unknown(keys::unknown(one.map, &[keys::CHOICE], &one.path), doubts);
        let text = one.must_name("Expression")?;
        let next = one.must_name("Next")?;
        choices.push((
            expression(names.dialect, text, &one.path.key("Expression"))?,
            names.find(next, &one.path.key("Next"))?,
        ));
    }
    Ok(Choice {
        choices,
        default: names.of(object, "Default")?,
    })
}
