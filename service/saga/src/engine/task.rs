//! One task: what it is called with, and what its result means (`apache/incubator-seata:saga/seata-saga-engine`,
//! `ServiceTaskHandlerInterceptor.java` and the handlers).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::decide;
use super::exception::{Code, Exception};
use super::saga::{Member, Operation, Pending, Record, Waits, bytes};
use super::status::Status;
use super::step::{Flow, Step, Work as Errand};
use crate::expr::{EvalError, Root, Sequence, Template, Vars};
use crate::lang::{Catch, Script, StateId, StatusWhen, Task, Work};

/// What a task came to.
#[derive(Debug, Default)]
pub(super) struct Result {
    pub output: Option<Value>,
    pub exception: Option<Exception>,
    /// What it is if no rule says it.
    pub status: Option<Status>,
    /// An earlier attempt may have been carried out.
    pub is_doubtful: bool,
}

impl Result {
    pub fn threw(exception: Exception) -> Self {
        Self {
            exception: Some(exception),
            ..Self::default()
        }
    }
}

/// An element of a loop: its index and itself.
pub(super) type Element = (u32, Value);

impl Step<'_> {
    /// Begins a task; as an element of a loop, or as the compensation of a record.
    pub fn begin(
        &mut self,
        id: StateId,
        element: Option<Element>,
        compensates: Option<u32>,
    ) -> Flow {
        let machine = self.machine;
        let state = machine.state(id);
        let Some(task) = state.task() else {
            return self.throw(Code::VariablesAssign, "a state that is no task");
        };
        if self.saga.is_timed_out
            && !self.world.config.recovers
            && self.saga.run.operation == Operation::Start
            && !matches!(task.work, Work::Script(_))
        {
            let message = format!(
                "Saga Transaction [stateMachineInstanceId:{}] has timed out, stop execution now.",
                self.saga.id
            );
            return self.throw(Code::Timeout, message);
        }
        // Compensation must not fail because forward states have filled the history.
        let records_max = self.world.config.records_max * if compensates.is_some() { 2 } else { 1 };
        if self.saga.records.len() >= records_max {
            return self.begin_failed(element, Code::TooLarge, "the history is full".into());
        }
        let over = self.variables_over(id, element.as_ref(), compensates);
        let mut sequence = Sequence {
            saga: &self.saga.id,
            next: &mut self.saga.sequence,
            first: None,
        };
        let root = Root::Vars {
            vars: &self.saga.vars,
            over: &over,
        };
        let input = match evaluate_list(&task.input, root, &mut sequence) {
            Ok(input) => input,
            Err(error) => {
                let message = format!(
                    "Task [{}] input parameters assign failed, please check 'Input' expression:{error}",
                    state.name
                );
                return self.begin_failed(element, Code::VariablesAssign, message);
            }
        };
        let business_key = sequence.first;
        if let Work::Script(script) = &task.work {
            return self.run_script(id, task, script, &input, element);
        }
        if let Some(key) = &business_key {
            let name = format!("{}_business_key_", state.name);
            self.saga.vars.set(&name.into(), key.as_str().into());
        }
        let number = self.record(id, element, compensates, input, business_key);
        if self.saga.records[number as usize].element.is_some() && compensates.is_none() {
            self.join_loop(number);
        }
        self.work(number, task)
    }

    /// Seata forgets what goes wrong before a loop's element is called; here the saga ends after the loop.
    fn begin_failed(&mut self, element: Option<Element>, code: Code, message: String) -> Flow {
        match (&mut self.saga.run.repeat, element) {
            (Some(repeat), Some(_)) => {
                repeat.has_failed = true;
                repeat.active -= 1;
                repeat
                    .error
                    .get_or_insert_with(|| Exception::engine(code, message));
                Flow::Repeat
            }
            _ => self.throw(code, message),
        }
    }

    /// The variables of an element. What is compensated has those of its own element and of its own output: Seata loses
    /// them, so that a compensation does not know what it undoes.
    fn variables_over(
        &self,
        id: StateId,
        element: Option<&Element>,
        compensates: Option<u32>,
    ) -> Vec<(Arc<str>, Value)> {
        let of_loop = |state: StateId, (index, value): &Element| {
            let repeat = self.machine.state(state).task()?.repeat.as_ref()?;
            Some(vec![
                (Arc::clone(&repeat.index), Value::from(*index)),
                (Arc::clone(&repeat.element), value.clone()),
            ])
        };
        if let Some(element) = element {
            return of_loop(id, element).unwrap_or_default();
        }
        let Some(record) = compensates.map(|number| &self.saga.records[number as usize]) else {
            return Vec::new();
        };
        let Some(mut over) = record
            .element
            .as_ref()
            .and_then(|element| of_loop(record.state, element))
        else {
            return Vec::new();
        };
        if let (Some(task), Some(output)) =
            (self.machine.state(record.state).task(), &record.output)
        {
            over.extend(outputs(task, output, &self.saga.id, &mut 0).unwrap_or_default());
        }
        over
    }

    /// Adds to the history, or overwrites what is tried again (`DbAndReportTcStateLogStore.java`).
    fn record(
        &mut self,
        state: StateId,
        element: Option<Element>,
        compensates: Option<u32>,
        input: Vec<Value>,
        business_key: Option<String>,
    ) -> u32 {
        let retries = match compensates {
            Some(_) => None,
            None => self.tried_before(state, element.as_ref().map(|(index, _)| *index)),
        };
        let over = if let Some(retried) = retries {
            self.updates(
                state,
                |task| task.retry_updates,
                self.machine.retry_updates,
                false,
            )
            .then_some(retried)
        } else if let Some(of) = compensates {
            let before = self.saga.records[of as usize].compensation;
            before.filter(|_| {
                self.updates(
                    state,
                    |task| task.compensation_updates,
                    self.machine.compensation_updates,
                    true,
                )
            })
        } else {
            None
        };
        let mut record = Record {
            state,
            element,
            status: Status::Running,
            started_ms: self.world.now_ms,
            ended_ms: None,
            compensates,
            retries,
            compensation: None,
            is_ignored: false,
            business_key,
            input: Arc::new(input),
            output: None,
            exception: None,
            child: None,
            is_doubtful: retries.is_some_and(|number| {
                let tried = &self.saga.records[number as usize];
                tried.is_doubtful || matches!(tried.status, Status::Unknown | Status::Running)
            }),
        };
        let number = match over {
            Some(number) => {
                let old = &mut self.saga.records[number as usize];
                record.retries = old.retries;
                record.compensation = old.compensation;
                record.child = old.child;
                record.started_ms = old.started_ms;
                record.compensates = compensates.or(old.compensates);
                *old = record;
                number
            }
            None => {
                record.child = retries.and_then(|number| self.saga.records[number as usize].child);
                self.saga.records.push(record);
                u32::try_from(self.saga.records.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(of) = compensates {
            self.saga.records[of as usize].compensation = Some(number);
            if let Some(undoing) = &mut self.saga.run.undoing {
                undoing.done.retain(|(known, _)| *known != state);
                undoing.done.push((state, number));
            }
        }
        number
    }

    fn updates(
        &self,
        state: StateId,
        of_task: impl Fn(&Task) -> Option<bool>,
        of_machine: Option<bool>,
        compensates: bool,
    ) -> bool {
        let config = &self.world.config;
        let default = if compensates {
            config.compensation_updates
        } else {
            config.retry_updates
        };
        let said = self
            .machine
            .state(state)
            .task()
            .and_then(of_task)
            .or(of_machine);
        let is_long =
            self.saga.run.is_automatic && self.saga.records.len() >= config.recovery_records;
        is_long || said.unwrap_or(default)
    }

    /// The record that a state's new one repeats. Seata also takes an earlier success for one, which is then never
    /// compensated; here it stays.
    fn tried_before(&mut self, state: StateId, index: Option<u32>) -> Option<u32> {
        if self.saga.run.operation != Operation::Forward {
            return None;
        }
        let same = |record: &Record| {
            record.state == state && record.index() == index && record.compensates.is_none()
        };
        let named = self.saga.run.retried;
        if let Some(named) = named
            && same(&self.saga.records[named as usize])
        {
            self.saga.run.retried = None;
            return Some(named);
        }
        let number = self.saga.records.iter().rposition(same)?;
        let record = &mut self.saga.records[number];
        if record.status == Status::Succeeded {
            return None;
        }
        record.is_ignored = true;
        u32::try_from(number).ok()
    }

    /// Has the task's work done.
    fn work(&mut self, number: u32, task: &Task) -> Flow {
        self.saga.run.last = Some(number);
        match &task.work {
            Work::Service(service) => {
                self.call_first(number, task, service.is_async);
                if service.is_async {
                    return self.settle(number, Result::default());
                }
                Flow::Wait
            }
            Work::SubMachine(machine) => {
                let record = &self.saga.records[number as usize];
                let params = first_object(&record.input);
                let parent = self.saga.key;
                let errand = match record.child {
                    Some(child) => Errand::Forward {
                        parent,
                        record: number,
                        child,
                        params,
                    },
                    None => Errand::Start {
                        parent,
                        record: number,
                        machine: Arc::clone(machine),
                        params,
                    },
                };
                self.wait_for_child(number, errand)
            }
            Work::CompensateSubMachine => {
                let record = &self.saga.records[number as usize];
                let child = record
                    .compensates
                    .and_then(|of| self.saga.records[of as usize].child);
                match child {
                    Some(child) => {
                        let errand = Errand::Compensate {
                            parent: self.saga.key,
                            record: number,
                            child,
                            params: first_object(&record.input),
                        };
                        self.wait_for_child(number, errand)
                    }
                    // What never started did nothing; Seata fails here, for ever (issue 3324).
                    None => self.settle(number, Result::default()),
                }
            }
            Work::Script(_) => Flow::Wait,
        }
    }

    fn wait_for_child(&mut self, record: u32, errand: Errand) -> Flow {
        let number = self.saga.calls;
        self.saga.calls += 1;
        self.saga.pending.push(Pending {
            record,
            number,
            attempt: 1,
            retries: Vec::new(),
            is_doubtful: false,
            waits: Waits::Child,
            is_detached: false,
        });
        self.world.work.push_back(errand);
        Flow::Wait
    }

    /// A script leaves no record (`ScriptTaskStateHandler.java`).
    fn run_script(
        &mut self,
        id: StateId,
        task: &Task,
        script: &Script,
        input: &[Value],
        element: Option<Element>,
    ) -> Flow {
        let mut given = Vars::default();
        given.extend(first_object(input));
        // What has no value is bound, too.
        if let Some(Template::Map(parts)) = task.input.first() {
            for (name, _) in parts {
                given.bind(name);
            }
        }
        let result = match script.program.run(&given) {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(thrown)) => Err(Exception::business(&thrown.class, thrown.message)),
            Err(error) => Err(Exception::business(
                "javax.script.ScriptException",
                error.to_string(),
            )),
        };
        let (output, exception) = match result {
            Ok(output) => (Some(output).filter(|value| !value.is_null()), None),
            Err(exception) => (None, Some(exception)),
        };
        let caught = exception.as_ref().map(|exception| catch(task, exception));
        if element.is_some() {
            if let Some(repeat) = &mut self.saga.run.repeat {
                repeat.active -= 1;
                if let Some(exception) = exception {
                    repeat.has_failed = true;
                    repeat.error.get_or_insert(exception);
                } else {
                    repeat.completed += 1;
                }
            }
            return Flow::Repeat;
        }
        if let Some(output) = &output
            && let Err(error) = self.assign(task, output)
        {
            return self.assign_failed(id, &error);
        }
        match (exception, caught) {
            (Some(exception), Some(None)) => self.fail(exception),
            (exception, caught) => {
                if exception.is_some() {
                    self.saga.run.exception = exception;
                }
                self.route(id, caught.flatten().flatten())
            }
        }
    }

    /// A task has a result: what it means, what is kept of it, and where that leads.
    pub fn settle(&mut self, number: u32, result: Result) -> Flow {
        let machine = self.machine;
        let id = self.saga.records[number as usize].state;
        let Some(task) = machine.state(id).task() else {
            return Flow::Wait;
        };
        let in_loop = self.loop_member(number).is_some();
        let mut exception = result.exception;
        let is_doubtful = result.is_doubtful || self.saga.records[number as usize].is_doubtful;
        let decided = self.decide(
            task,
            result.output.as_ref(),
            exception.as_ref(),
            result.status,
        );
        let (status, unclear) = match decided {
            Ok((Status::Failed, true)) if is_doubtful && task.is_for_update => {
                // This attempt failed for certain, an earlier one did not. Seata forgets the earlier one.
                (Status::Unknown, None)
            }
            Ok((status, _)) => (status, None),
            Err((status, unclear)) => (status, Some(unclear)),
        };
        let record = &mut self.saga.records[number as usize];
        record.status = status;
        record.ended_ms = Some(self.world.now_ms);
        record.exception.clone_from(&exception);
        record.output = result.output;
        self.saga.run.last = Some(number);
        if let Some(unclear) = unclear {
            if in_loop {
                return self.leave_loop(number, Some(unclear), None);
            }
            self.saga.thrown = true;
            return self.fail(unclear);
        }
        let caught = exception.as_ref().map(|exception| catch(task, exception));
        if in_loop {
            let exception = exception.filter(|_| status != Status::Succeeded);
            return self.leave_loop(number, exception, caught.flatten().flatten());
        }
        // Seata keeps an exception that was caught, and takes the next state's success for a failure because of it. Here it
        // is only remembered for the end.
        if status != Status::Succeeded && exception.is_some() {
            self.saga.run.exception.clone_from(&exception);
        }
        if let Some(output) = self.saga.records[number as usize].output.take() {
            let assigned = self.assign(task, &output);
            self.saga.records[number as usize].output = Some(output);
            if let Err(error) = assigned {
                return self.assign_failed(id, &error);
            }
        }
        if let (Some(exception), Some(None)) = (exception.take(), caught) {
            return self.fail(exception);
        }
        self.route(id, caught.flatten().flatten())
    }

    fn route(&mut self, id: StateId, caught: Option<StateId>) -> Flow {
        if self.saga.run.undoing.is_some() {
            return Flow::Undo;
        }
        match caught.or(self.machine.state(id).next) {
            Some(next) => Flow::Next(next),
            None => self.end(),
        }
    }

    fn assign(&mut self, task: &Task, output: &Value) -> std::result::Result<(), EvalError> {
        let saga = &mut *self.saga;
        for (name, value) in outputs(task, output, &saga.id, &mut saga.sequence)? {
            saga.vars.set(&name, value);
        }
        Ok(())
    }

    fn assign_failed(&mut self, id: StateId, error: &EvalError) -> Flow {
        let message = format!(
            "Task [{}] output parameters assign failed, please check 'Output' expression:{error}",
            self.machine.state(id).name
        );
        self.throw(Code::VariablesAssign, message)
    }

    /// `ServiceTaskHandlerInterceptor.decideExecutionStatus`; an error has the status that is to be recorded. The flag tells
    /// that the exception alone decided.
    fn decide(
        &self,
        task: &Task,
        output: Option<&Value>,
        exception: Option<&Exception>,
        preset: Option<Status>,
    ) -> std::result::Result<(Status, bool), (Status, Exception)> {
        let mut status = preset;
        let is_async = matches!(&task.work, Work::Service(service) if service.is_async);
        let unclear = if task.is_for_update {
            Status::Unknown
        } else {
            Status::Failed
        };
        if !task.status.is_empty() && !is_async {
            let root = Root::Value(output.unwrap_or(&Value::Null));
            for rule in &task.status {
                let holds = match &rule.when {
                    StatusWhen::Exception(class) => {
                        Ok(exception.is_some_and(|exception| exception.is_a(class)))
                    }
                    StatusWhen::Expr(expression) => expression.holds(root),
                };
                match holds {
                    Ok(true) => {
                        status = Some(rule.status);
                        break;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        let message = format!("a 'Status' expression cannot be evaluated: {error}");
                        let error = Exception::engine(Code::VariablesAssign, message);
                        // It may have been carried out.
                        return Err((unclear, error));
                    }
                }
            }
            if exception.is_none() && matches!(status, None | Some(Status::Running)) {
                let message =
                    "execute finished, but cannot matching status, pls check its status manually";
                return Err((unclear, Exception::engine(Code::NoMatchedStatus, message)));
            }
        }
        Ok(match (status, exception) {
            (Some(status), _) if status != Status::Running => (status, false),
            (_, None) => (Status::Succeeded, false),
            (_, Some(exception)) => {
                let changes = task.is_for_update || task.is_for_compensation;
                (decide::by_exception(changes, exception), true)
            }
        })
    }

    fn join_loop(&mut self, record: u32) {
        if let Some(repeat) = &mut self.saga.run.repeat {
            repeat.members.push(Member {
                record,
                exception: None,
                route: None,
            });
        }
    }

    fn loop_member(&self, record: u32) -> Option<usize> {
        let repeat = self.saga.run.repeat.as_ref()?;
        repeat
            .members
            .iter()
            .position(|member| member.record == record)
    }

    /// `LoopTaskHandlerInterceptor.postProcess`.
    fn leave_loop(
        &mut self,
        record: u32,
        exception: Option<Exception>,
        route: Option<StateId>,
    ) -> Flow {
        let failed = self.saga.records[record as usize].status != Status::Succeeded;
        let member = self.loop_member(record);
        if let (Some(repeat), Some(member)) = (&mut self.saga.run.repeat, member) {
            repeat.active -= 1;
            repeat.has_failed |= failed || exception.is_some();
            repeat.completed += u32::from(exception.is_none());
            repeat.members[member].exception = exception;
            repeat.members[member].route = route;
        }
        Flow::Repeat
    }

    /// Whether a result is larger than results may be.
    pub fn is_too_large(&self, value: &Value) -> bool {
        bytes(value) > self.world.config.value_bytes_max
    }
}

/// The route of the first Catch that takes an exception: `None` if none does, `Some(None)` if it names none.
fn catch(task: &Task, exception: &Exception) -> Option<Option<StateId>> {
    let takes = |catch: &&Catch| catch.exceptions.iter().any(|class| exception.is_a(class));
    task.catch.iter().find(takes).map(|catch| catch.next)
}

pub(super) fn outputs(
    task: &Task,
    output: &Value,
    saga: &str,
    next: &mut u32,
) -> std::result::Result<Vec<(Arc<str>, Value)>, EvalError> {
    let mut sequence = Sequence {
        saga,
        next,
        first: None,
    };
    task.output
        .iter()
        .map(|(name, template)| {
            let value = template.eval(Root::Value(output), &mut sequence)?;
            Ok((Arc::clone(name), value))
        })
        .collect()
}

fn evaluate_list(
    templates: &[Template],
    root: Root<'_>,
    sequence: &mut Sequence<'_>,
) -> std::result::Result<Vec<Value>, EvalError> {
    templates
        .iter()
        .map(|template| template.eval(root, sequence))
        .collect()
}

/// A machine's parameters are the first argument.
fn first_object(input: &[Value]) -> Map<String, Value> {
    match input.first() {
        Some(Value::Object(map)) => map.clone(),
        _ => Map::new(),
    }
}
