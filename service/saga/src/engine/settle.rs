//! A task has a result (`apache/incubator-seata:saga/seata-saga-engine`, `ServiceTaskHandlerInterceptor.postProcess`).

use std::sync::Arc;

use serde_json::Value;

use super::decide;
use super::exception::{Code, Exception};
use super::status::Status;
use super::step::{Flow, Step};
use super::task::outputs;
use crate::expr::{EvalError, Root, Sequence, Vars};
use crate::lang::{Catch, StateId, StatusWhen, Task, Work};

/// What a task came to.
#[derive(Debug, Default)]
pub(super) struct Result {
    pub output: Option<Arc<Value>>,
    pub exception: Option<Box<Exception>>,
    /// What it is if no rule says it.
    pub status: Option<Status>,
    /// An earlier attempt may have been carried out.
    pub is_doubtful: bool,
}

impl Result {
    pub fn threw(exception: impl Into<Box<Exception>>) -> Self {
        Self {
            exception: Some(exception.into()),
            ..Self::default()
        }
    }
}

impl Step<'_> {
    /// A task has a result: what it means, what is kept of it, and where that leads.
    pub fn settle(&mut self, number: u32, result: Result) -> Flow {
        let machine = self.machine;
        let id = self.saga.records[number as usize].state;
        self.at = Some(id);
        let Some(task) = machine.state(id).task() else {
            return Flow::Wait;
        };
        let in_loop = self.loop_member(number);
        let mut exception = result.exception;
        let is_doubtful = result.is_doubtful || self.saga.records[number as usize].is_doubtful;
        let decided = self.decide(
            task,
            result.output.as_deref(),
            exception.as_deref(),
            result.status,
        );
        let (status, unclear) = match decided {
            // Nobody was reached this time, but an earlier attempt may have been carried out. Seata forgets that one.
            Ok(Status::Failed)
                if is_doubtful
                    && task.is_for_update
                    && exception.as_deref().is_some_and(Exception::is_of_network) =>
            {
                (Status::Unknown, None)
            }
            Ok(status) => (status, None),
            Err((status, unclear)) => (status, Some(unclear)),
        };
        let record = &mut self.saga.records[number as usize];
        record.status = status;
        record.ended_ms = Some(self.world.now_ms);
        record.exception = exception.clone();
        record.output = result.output;
        self.saga.run.last = Some(number);
        if let Some(unclear) = unclear {
            if let Some(member) = in_loop {
                return self.leave_loop(member, Some(unclear), None);
            }
            self.saga.thrown = true;
            return self.fail(unclear);
        }
        let caught = exception.as_ref().map(|exception| catch(task, exception));
        if let Some(member) = in_loop {
            let exception = exception.filter(|_| status != Status::Succeeded);
            return self.leave_loop(member, exception, caught.flatten().flatten());
        }
        // Seata keeps an exception that was caught, and takes the next state's success for a failure because of it. Here it
        // is only remembered for the end.
        if status != Status::Succeeded && exception.is_some() {
            self.saga.run.exception.clone_from(&exception);
        }
        let saga = &mut *self.saga;
        if let Some(output) = &saga.records[number as usize].output
            && let Err(error) = assign(task, output, &saga.id, &mut saga.sequence, &mut saga.vars)
        {
            return self.assign_failed(id, &error);
        }
        if let (Some(exception), Some(None)) = (exception.take(), caught) {
            return self.fail(exception);
        }
        self.route(id, caught.flatten().flatten())
    }

    pub fn route(&mut self, id: StateId, caught: Option<StateId>) -> Flow {
        if self.saga.run.undoing.is_some() {
            return Flow::Undo;
        }
        match (caught, self.machine.state(id).next) {
            (Some(caught), _) => self.caught(caught),
            (None, Some(next)) => Flow::Next(next),
            (None, None) => self.end(),
        }
    }

    #[cold]
    pub fn assign_failed(&mut self, id: StateId, error: &EvalError) -> Flow {
        let message = format!(
            "Task [{}] output parameters assign failed, please check 'Output' expression:{error}",
            self.machine.state(id).name
        );
        self.throw(Code::VariablesAssign, message)
    }

    /// Whether a call that threw may have been carried out, by the state's own rules.
    pub fn may_be_done(&self, task: &Task, exception: &Exception) -> bool {
        !matches!(
            self.decide(task, None, Some(exception), None),
            Ok(Status::Failed)
        )
    }

    /// `ServiceTaskHandlerInterceptor.decideExecutionStatus`; an error has the status that is to be recorded.
    fn decide(
        &self,
        task: &Task,
        output: Option<&Value>,
        exception: Option<&Exception>,
        preset: Option<Status>,
    ) -> std::result::Result<Status, (Status, Box<Exception>)> {
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
                        return Err((unclear, error.into()));
                    }
                }
            }
            if exception.is_none() && matches!(status, None | Some(Status::Running)) {
                let message =
                    "execute finished, but cannot matching status, pls check its status manually";
                let error = Exception::engine(Code::NoMatchedStatus, message);
                return Err((unclear, error.into()));
            }
        }
        Ok(match (status, exception) {
            (Some(status), _) if status != Status::Running => status,
            (_, None) => Status::Succeeded,
            (_, Some(exception)) => {
                let changes = task.is_for_update || task.is_for_compensation;
                decide::by_exception(changes, exception)
            }
        })
    }
}

/// Gives a task's output to the variables that it says.
pub(super) fn assign(
    task: &Task,
    output: &Arc<Value>,
    saga: &str,
    sequence: &mut u32,
    vars: &mut Vars,
) -> std::result::Result<(), EvalError> {
    // Most tasks have one, which needs no list.
    if let [(name, template)] = &*task.output {
        let mut sequence = Sequence {
            saga,
            next: sequence,
            first: None,
        };
        let value = template.of_value(output, &mut sequence)?;
        vars.set(name, value);
        return Ok(());
    }
    for (name, value) in outputs(&task.output, output, saga, sequence)? {
        vars.set(&name, value);
    }
    Ok(())
}

/// The route of the first Catch that takes an exception: `None` if none does, `Some(None)` if it names none.
pub(super) fn catch(task: &Task, exception: &Exception) -> Option<Option<StateId>> {
    let takes = |catch: &&Catch| catch.exceptions.iter().any(|class| exception.is_a(class));
    task.catch.iter().find(takes).map(|catch| catch.next)
}
