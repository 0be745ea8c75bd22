//! Compensation, the last state first (`apache/incubator-seata:saga/seata-saga-engine`,
//! `CompensationTriggerStateHandler.java`, `CompensationHolder.java`, `TaskStateRouter.compensateRoute`).

use super::exception::Code;
use super::saga::{Operation, Record, Undoing};
use super::status::Status;
use super::step::{Flow, Step};
use crate::lang::{Recover, StateId, Work};

impl Step<'_> {
    /// Starts compensation; afterwards the saga goes on with `next`.
    pub fn trigger(&mut self, next: Option<StateId>) -> Flow {
        if self.machine.recover == Some(Recover::Pivot)
            && self.saga.run.operation != Operation::Compensate
            && self.is_past_pivot()
        {
            // The money may be spent: recovery goes forward from here.
            self.saga.status = Status::Unknown;
            let exception = self.saga.run.exception.take();
            if exception.is_some() {
                self.saga.exception = exception;
            }
            return self.stop();
        }
        let stack = match self.to_compensate() {
            Ok(stack) => stack,
            Err(message) => return self.throw(Code::CompensationNotFound, message),
        };
        if stack.is_empty() {
            if self.saga.run.operation == Operation::Compensate
                && !matches!(self.saga.status, Status::Succeeded | Status::Failed)
            {
                // Nothing was changed, so all is undone; Seata's coordinator would ask again and again.
                self.saga.run.undoing = None;
                self.saga.compensation = Some(Status::Running);
            }
            return self.end();
        }
        let exception = self.saga.run.exception.take();
        if exception.is_some() {
            self.saga.exception = exception;
        }
        if self.saga.status == Status::Running {
            self.saga.status = Status::Unknown;
        }
        self.saga.compensation = Some(Status::Running);
        self.saga.run.undoing = Some(Undoing {
            next,
            stack,
            done: Vec::new(),
            has_started: false,
        });
        Flow::Undo
    }

    /// The records that are to be compensated, in the order in which they came.
    fn to_compensate(&self) -> Result<Vec<u32>, String> {
        let mut found = Vec::new();
        for (number, record) in (0_u32..).zip(&self.saga.records) {
            if !self.needs_compensation(record) {
                continue;
            }
            let Some(task) = self.machine.state(record.state).task() else {
                continue;
            };
            match task.compensate {
                Some(_) => found.push(number),
                None if task.is_for_update => {
                    return Err(format!(
                        "StateMachineInstance[{}:{}] have a state [{}] is a service for update data, but no \
                         compensateState found.",
                        self.saga.id,
                        self.machine.name,
                        record.name(self.machine)
                    ));
                }
                None => {}
            }
        }
        Ok(found)
    }

    /// What may have been done and is not known to be undone, what nobody knows included.
    fn needs_compensation(&self, record: &Record) -> bool {
        let work = self
            .machine
            .state(record.state)
            .task()
            .map(|task| &task.work);
        !record.is_ignored
            && record.compensates.is_none()
            && matches!(work, Some(Work::Service(_) | Work::SubMachine(_)))
            && record.status != Status::Failed
            && self.saga.compensation_of(record) != Some(Status::Succeeded)
    }

    /// The next compensation, unless the last one failed.
    pub fn undo_next(&mut self) -> Flow {
        let last = self
            .saga
            .run
            .last
            .map(|last| self.saga.records[last as usize].status);
        let Some(undoing) = &mut self.saga.run.undoing else {
            return self.end();
        };
        if undoing.has_started
            && (self.saga.run.exception.is_some()
                || last.is_some_and(|last| last != Status::Succeeded))
        {
            return self.end();
        }
        let Some(record) = undoing.stack.pop() else {
            let next = undoing.next;
            self.saga.run.undoing = None;
            return match next {
                Some(next) => Flow::Next(next),
                None => self.end(),
            };
        };
        undoing.has_started = true;
        let state = self.saga.records[record as usize].state;
        match self
            .machine
            .state(state)
            .task()
            .and_then(|task| task.compensate)
        {
            Some(compensation) => self.begin(compensation, None, Some(record)),
            None => self.end(),
        }
    }
}
