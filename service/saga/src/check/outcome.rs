//! What a call may come to: by the state's own rules, as the engine applies them (`engine/settle.rs`), and in truth.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::engine::{Exception, Kind, Status};
use crate::expr::{Expr, Root, Vars};
use crate::lang::{Choice, StateKind, StatusWhen, Task, Work};

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Facts {
    /// All of it.
    Whole(Value),
    /// Some of its entries.
    Part(Map<String, Value>),
    /// Some of a saga's variables.
    Vars(Map<String, Value>),
}

impl Facts {
    pub fn nothing() -> Self {
        Self::Part(Map::new())
    }

    /// What an expression comes to; `None` if nobody can tell, `Some(None)` if to an error.
    pub fn eval(&self, expression: &Expr) -> Option<Option<Value>> {
        let of = |value: &Value| {
            expression
                .eval(Root::Value(value))
                .ok()
                .map(|v| v.into_owned())
        };
        match self {
            Self::Whole(value) => Some(of(value)),
            Self::Part(map) => {
                knows(map, expression)?;
                Some(of(&Value::Object(map.clone())))
            }
            Self::Vars(map) => {
                knows(map, expression)?;
                let mut vars = Vars::default();
                vars.extend(map.clone());
                let value = expression.eval(Root::vars(&vars)).ok();
                Some(value.map(|value| value.into_owned()))
            }
        }
    }
}

/// Whether all is known that an expression needs.
fn knows(map: &Map<String, Value>, expression: &Expr) -> Option<()> {
    let reads = expression.reads()?;
    reads
        .iter()
        .all(|key| map.contains_key(&**key))
        .then_some(())
}

/// Whether something was done, whatever anybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Done {
    No,
    /// For some elements of a loop.
    Partly,
    Yes,
}

/// One thing that may come of a task.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub status: Status,
    pub done: Done,
    pub exception: Option<Exception>,
    /// The engine itself cannot go on: no Catch is asked.
    pub is_engines: bool,
    pub result: Facts,
    /// The participant says that it will not do it.
    pub refuses: bool,
    /// For people.
    pub how: &'static str,
}

const REFUSES: &str = "refuses";
const FALSE: &str = "answers false";
const FAILED: &str = "answers that it failed";

/// What a class that nobody names stands for.
const REFUSED: &str = "com.example.Refused";

fn no_answer() -> Exception {
    Exception::no_answer()
}

fn not_reached() -> Exception {
    Exception {
        kind: Kind::Connect,
        ..Exception::business("java.net.ConnectException", "Connection refused")
    }
}

/// What the rules say of an exception, and whether the engine gives up over them.
fn of_exception(task: &Task, exception: &Exception) -> (Status, bool) {
    let changes = task.is_for_update || task.is_for_compensation;
    let unclear = match task.is_for_update {
        true => Status::Unknown,
        false => Status::Failed,
    };
    let is_async = matches!(&task.work, Work::Service(service) if service.is_async);
    if !is_async {
        for rule in &task.status {
            let holds = match &rule.when {
                StatusWhen::Exception(class) => exception.is_a(class),
                StatusWhen::Expr(expression) => match expression.holds(Root::Value(&Value::Null)) {
                    Ok(holds) => holds,
                    Err(_) => return (unclear, true),
                },
            };
            if holds && rule.status != Status::Running {
                return (rule.status, false);
            }
        }
    }
    match changes && exception.kind != Kind::Connect {
        true => (Status::Unknown, false),
        false => (Status::Failed, false),
    }
}

/// What the rules make of a call without an answer.
pub(super) fn of_no_answer(task: &Task) -> Status {
    of_exception(task, &no_answer()).0
}

/// What the rules make of a result: the status, or an engine's error.
fn of_result(task: &Task, value: &Value, preset: Option<Status>) -> (Status, bool) {
    let unclear = match task.is_for_update {
        true => Status::Unknown,
        false => Status::Failed,
    };
    for rule in &task.status {
        let StatusWhen::Expr(expression) = &rule.when else {
            continue;
        };
        match expression.holds(Root::Value(value)) {
            Ok(true) if rule.status != Status::Running => return (rule.status, false),
            Ok(true) => return (unclear, true),
            Ok(false) => {}
            Err(_) => return (unclear, true),
        }
    }
    match (task.status.is_empty(), preset) {
        (_, Some(preset)) => (preset, false),
        (true, None) => (Status::Succeeded, false),
        (false, None) => (unclear, true),
    }
}

/// What a sub-machine's end means to the state that started it.
pub(super) fn of_child(task: &Task, status: Status) -> Vec<(Status, Facts)> {
    let mut map = Map::new();
    let name = "_sub_statemachine_execution_status_";
    map.insert(name.into(), status.name().into());
    let facts = Facts::Part(map);
    let mut found = Vec::new();
    for rule in &task.status {
        let StatusWhen::Expr(expression) = &rule.when else {
            continue;
        };
        match facts.eval(expression) {
            Some(Some(Value::Bool(true))) => {
                found.push((rule.status, facts));
                return found;
            }
            Some(_) => {}
            None => found.push((rule.status, facts.clone())),
        }
    }
    found.push((status, facts));
    found
}

/// Values that the machine speaks of, which a service may therefore answer with.
fn answers(task: &Task, choices: &[&Choice]) -> Vec<Value> {
    let rules = task.status.iter().filter_map(|rule| match &rule.when {
        StatusWhen::Expr(expression) => Some(expression),
        StatusWhen::Exception(_) => None,
    });
    let chosen = choices.iter().flat_map(|choice| &choice.choices);
    let mut found: Vec<Value> = Vec::new();
    let speaks = task
        .status
        .iter()
        .any(|rule| matches!(rule.when, StatusWhen::Expr(_)));
    if speaks || !task.output.is_empty() {
        let literals = rules
            .chain(chosen.map(|(expression, _)| expression))
            .flat_map(Expr::literals);
        for value in literals {
            if !found.contains(&value) && found.len() < 12 {
                found.push(value);
            }
        }
        // Who speaks of one of them means the other one, too.
        for (one, other) in [(true, false), (false, true)] {
            if found.contains(&one.into()) && !found.contains(&other.into()) {
                found.push(other.into());
            }
        }
    }
    found
}

/// All that may come of a call or a script.
pub(super) fn of_task(task: &Task, machine: &crate::lang::Machine) -> Vec<Outcome> {
    let mut all = Vec::new();
    if let Work::Service(service) = &task.work
        && service.is_async
    {
        // The machine does not wait.
        for done in [Done::Yes, Done::No] {
            all.push(value(
                Status::Succeeded,
                done,
                Facts::nothing(),
                "is not waited for",
            ));
        }
        return all;
    }
    let choices: Vec<&Choice> = machine
        .states
        .iter()
        .filter_map(|state| match &state.kind {
            StateKind::Choice(choice) => Some(choice),
            _ => None,
        })
        .collect();
    results(task, &answers(task, &choices), &mut all);
    exceptions(task, &mut all);
    if let Some(repeat) = &task.repeat {
        let whole = Expr::parse("[nrOfInstances] == [nrOfCompletedInstances]");
        let ends_early =
            whole.is_ok_and(|whole| format!("{whole:?}") != format!("{:?}", repeat.completion));
        let some: Vec<Outcome> = all
            .iter()
            .filter(|one| ends_early || one.status != Status::Succeeded || one.done == Done::No)
            .map(|outcome| Outcome {
                done: Done::Partly,
                status: match outcome.status {
                    Status::Failed => Status::Unknown,
                    status => status,
                },
                how: "is done for some elements",
                ..outcome.clone()
            })
            .collect();
        all.extend(some);
    }
    all
}

fn value(status: Status, done: Done, result: Facts, how: &'static str) -> Outcome {
    Outcome {
        status,
        done,
        exception: None,
        is_engines: false,
        result,
        refuses: how == REFUSES || how == FALSE || how == FAILED,
        how,
    }
}

fn results(task: &Task, answers: &[Value], all: &mut Vec<Outcome>) {
    let mut hit = Vec::new();
    for answer in answers {
        let (status, is_engines) = of_result(task, answer, None);
        hit.push(status);
        let (dones, how): (&[Done], _) = match status {
            _ if is_engines => (&[Done::Yes, Done::No], "answers what no Status knows"),
            _ if *answer == Value::Bool(false) => (&[Done::No], FALSE),
            Status::Failed => (&[Done::No], FAILED),
            Status::Unknown => (&[Done::Yes, Done::No], "answers that nobody knows"),
            _ => (&[Done::Yes], "succeeds"),
        };
        for done in dones {
            let result = Facts::Whole(answer.clone());
            all.push(Outcome {
                is_engines,
                ..value(status, *done, result, how)
            });
        }
    }
    let mut unseen: Vec<Status> = task
        .status
        .iter()
        .filter(|rule| matches!(rule.when, StatusWhen::Expr(_)) && !hit.contains(&rule.status))
        .map(|rule| rule.status)
        .collect();
    if task.status.is_empty() {
        unseen.push(Status::Succeeded);
    } else if answers.is_empty() && unseen.is_empty() {
        // Only exceptions have rules: a result fits none.
        let (status, is_engines) = of_result(task, &Value::Bool(true), None);
        for done in [Done::Yes, Done::No] {
            let how = "answers what no Status knows";
            all.push(Outcome {
                is_engines,
                ..value(status, done, Facts::nothing(), how)
            });
        }
    }
    for status in unseen {
        match status {
            Status::Failed => all.push(value(status, Done::No, Facts::nothing(), FAILED)),
            Status::Unknown | Status::Running => {
                for done in [Done::Yes, Done::No] {
                    let how = "answers that nobody knows";
                    all.push(value(Status::Unknown, done, Facts::nothing(), how));
                }
            }
            _ => all.push(value(status, Done::Yes, Facts::nothing(), "succeeds")),
        }
    }
}

fn exceptions(task: &Task, all: &mut Vec<Outcome>) {
    let of_rules = task.status.iter().filter_map(|rule| match &rule.when {
        StatusWhen::Exception(class) => Some(class),
        StatusWhen::Expr(_) => None,
    });
    let of_catches = task.catch.iter().flat_map(|catch| &catch.exceptions);
    let mut named: Vec<&Arc<str>> = of_rules.chain(of_catches).collect();
    named.sort();
    named.dedup();
    // `java.lang` has no class that a participant would throw to say something.
    let named = named
        .into_iter()
        .filter(|class| !class.starts_with("java."));
    let mut thrown = vec![
        (Exception::business(REFUSED, "refused"), Done::No, REFUSES),
        (not_reached(), Done::No, "is not reached"),
    ];
    thrown.extend(named.map(|class| (Exception::business(class, "refused"), Done::No, REFUSES)));
    if !matches!(task.work, Work::Script(_)) {
        thrown.push((no_answer(), Done::Yes, "is done, but does not answer"));
        thrown.push((no_answer(), Done::No, "does not answer"));
    }
    for (exception, done, how) in thrown {
        let (status, is_engines) = of_exception(task, &exception);
        all.push(Outcome {
            exception: Some(exception),
            is_engines,
            ..value(status, done, Facts::nothing(), how)
        });
    }
}

/// The route of an exception: `None` if nothing catches it, `Some(None)` if it goes on as if nothing had happened.
pub(super) fn caught(task: &Task, exception: &Exception) -> Option<Option<crate::lang::StateId>> {
    let takes =
        |catch: &&crate::lang::Catch| catch.exceptions.iter().any(|class| exception.is_a(class));
    task.catch.iter().find(takes).map(|catch| catch.next)
}
