//! What is asked of a saga that stopped (`apache/incubator-seata:saga/seata-saga-engine`,
//! `ProcessCtrlStateMachineEngine.java`).

use serde_json::{Map, Value};

use super::command::Refused;
use super::exception::{Code, Exception};
use super::saga::{Operation, Record, Run};
use super::status::Status;
use super::step::{Flow, Step};
use crate::lang::Work;

/// What going forward needs to know of the sagas that a saga started: what became of their compensation.
pub(super) type ChildCompensation<'a> = &'a dyn Fn(&Record) -> Option<Status>;

impl Step<'_> {
    /// Goes on where the saga stopped, or after it.
    pub fn forward(
        &mut self,
        params: Map<String, Value>,
        skip: bool,
        child: ChildCompensation<'_>,
    ) -> Result<Flow, Refused> {
        if self.saga.status == Status::Succeeded && self.saga.compensation.is_none() {
            return Ok(Flow::Wait);
        }
        if self.saga.is_running {
            return Err(Refused::Running(self.saga.id.to_string()));
        }
        if !matches!(
            self.saga.status,
            Status::Failed | Status::Unknown | Status::Running
        ) {
            return Err(self.cannot("its status allows only compensation"));
        }
        if self.saga.records.is_empty() {
            return Err(self.cannot("it went through no state"));
        }
        let mut last = self.last_forward(child)?;
        let machine = self.machine;
        let state = self.saga.records[last as usize].state;
        if let Some(fork) = machine.fork_of(state) {
            self.restart(params, Operation::Forward);
            self.saga.status = Status::Running;
            return Ok(self.fork_again(fork, skip));
        }
        let task = machine.state(state).task();
        if task.is_some_and(|task| task.repeat.is_some())
            && self.saga.records[last as usize].status == Status::Succeeded
        {
            let open =
                self.saga.records.iter().rposition(|record| {
                    record.state == state && record.status != Status::Succeeded
                });
            if let Some(open) = open.and_then(|open| u32::try_from(open).ok()) {
                last = open;
            }
        }
        let record = &mut self.saga.records[last as usize];
        let was = record.status;
        let next = machine.state(state).next;
        let goes_after = skip || matches!(was, Status::Succeeded | Status::Skipped);
        if goes_after && next.is_none() && !skip {
            // There is nothing to do, and nothing changes.
            return Ok(Flow::Wait);
        }
        if skip && was != Status::Succeeded {
            // What failed for certain needs no compensation; of anything else nobody knows.
            record.is_ignored = was == Status::Failed;
            record.status = Status::Skipped;
        }
        self.restart(params, Operation::Forward);
        self.saga.run.retried = (!goes_after).then_some(last);
        self.saga.status = Status::Running;
        Ok(match next {
            Some(next) if goes_after => Flow::Next(next),
            None if goes_after => self.end(),
            _ => Flow::Next(state),
        })
    }

    /// Undoes what the saga did.
    pub fn compensate(&mut self, params: Map<String, Value>) -> Result<Flow, Refused> {
        if self.saga.compensation == Some(Status::Succeeded) {
            return Ok(Flow::Wait);
        }
        if self.saga.is_running {
            if self.saga.compensation.is_some() {
                return Err(Refused::Running(self.saga.id.to_string()));
            }
            self.abandon();
        }
        self.restart(params, Operation::Compensate);
        Ok(self.trigger(None))
    }

    fn restart(&mut self, params: Map<String, Value>, operation: Operation) {
        let saga = &mut *self.saga;
        saga.vars.extend(params);
        saga.run = Run {
            operation,
            is_automatic: self.is_automatic,
            ..Run::default()
        };
        saga.is_running = true;
        saga.thrown = false;
        saga.ended_ms = None;
        saga.leaves_ms = None;
    }

    fn cannot(&self, why: &'static str) -> Refused {
        Refused::CannotForward(self.saga.id.to_string(), why)
    }

    /// The last state that was neither compensated nor a compensation.
    fn last_forward(&self, child: ChildCompensation<'_>) -> Result<u32, Refused> {
        for (number, record) in self.saga.records.iter().enumerate().rev() {
            // Seata also takes a state that was tried again, if the later try is undone.
            if record.compensates.is_some() || record.is_ignored {
                continue;
            }
            let compensation = self.saga.compensation_of(record);
            if compensation == Some(Status::Succeeded) {
                continue;
            }
            let task = self.machine.state(record.state).task();
            let is_machine = task.is_some_and(|task| matches!(task.work, Work::SubMachine(_)));
            match if is_machine {
                child(record)
            } else {
                compensation
            } {
                Some(Status::Succeeded) if is_machine => {}
                Some(Status::Unknown) => {
                    return Err(self.cannot("the compensation of its last state is unknown"));
                }
                _ => return Ok(u32::try_from(number).unwrap_or(u32::MAX)),
            }
        }
        Err(self.cannot("it has no state that is not compensated"))
    }
}

/// What an operation that is refused is to the saga above.
pub(super) fn refused(refused: &Refused) -> Exception {
    let class = "org.apache.seata.saga.engine.exception.ForwardInvalidException";
    Exception {
        class: class.into(),
        ..Exception::engine(Code::SubMachine, refused.to_string())
    }
}
