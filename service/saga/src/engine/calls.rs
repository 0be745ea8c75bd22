//! Calls: made, answered, made again, given up (`apache/incubator-seata:saga/seata-saga-spring`,
//! `SpringBeanServiceInvoker.java`). The original sleeps between repetitions, on a thread, and forgets them when it dies.

use std::sync::Arc;

use smallvec::SmallVec;

use super::command::{Args, Call, CallId, Effect, Outcome};
use super::decide;
use super::exception::{Code, Exception};
use super::saga::{Pending, Saga, Waits, bytes};
use super::settle::Result;
use super::status::Status;
use super::step::{Step, Work as Errand};
use crate::lang::{Machine, Retry, StateId, Task, Work};

/// The call that a pending one stands for; `None` if it waits for a saga.
pub(super) fn call_of(saga: &Saga, machine: &Machine, pending: &Pending) -> Option<Call> {
    let Waits::Answer(deadline_ms) = pending.waits else {
        return None;
    };
    let record = saga.records.get(pending.record as usize)?;
    let state = machine.state(record.state);
    let Work::Service(service) = &state.task()?.work else {
        return None;
    };
    Some(Call {
        id: CallId {
            saga: saga.key,
            number: pending.number,
        },
        saga: Arc::clone(&saga.id),
        service: Arc::clone(service),
        element: record.index(),
        args: match &*record.input {
            [one] => Args::from([Arc::clone(one)]),
            all => all.into(),
        },
        attempt: pending.attempt,
        is_compensation: record.compensates.is_some(),
        deadline_ms,
    })
}

impl Step<'_> {
    pub fn call_first(&mut self, record: u32, task: &Task, is_detached: bool) {
        let retries = vec![0; task.retry.len()];
        self.call(Pending {
            record,
            number: 0,
            attempt: 0,
            retries,
            is_doubtful: false,
            epoch: 0,
            waits: Waits::Child,
            is_detached,
        });
    }

    /// Makes a call, the next attempt of a pending one.
    fn call(&mut self, mut pending: Pending) {
        pending.number = self.saga.calls;
        self.saga.calls = self.saga.calls.wrapping_add(1);
        pending.attempt += 1;
        pending.epoch = self.world.epoch;
        let deadline_ms = self.world.now_ms + self.world.config.call_timeout_ms;
        pending.waits = Waits::Answer(deadline_ms);
        if let Some(call) = call_of(self.saga, self.machine, &pending) {
            self.world.effects.push(Effect::Call(call));
        }
        self.world.arm(self.saga, deadline_ms);
        self.saga.pending.push(pending);
    }

    /// An outcome came; false if nobody waits for it.
    pub fn returned(&mut self, number: u32, outcome: Outcome) -> bool {
        let waits = |one: &Pending| one.number == number && matches!(one.waits, Waits::Answer(_));
        let Some(mut pending) = self.saga.take_pending(waits) else {
            return false;
        };
        // Each node that leads makes the calls that have no outcome: that one of them reached nobody says nothing of the others.
        pending.is_doubtful |= pending.epoch != self.world.epoch;
        let exception = match outcome {
            Outcome::Value(value) if bytes(&value) > self.world.config.value_bytes_max => {
                // It was carried out, whatever else is true.
                let message = "the result is larger than allowed";
                Exception {
                    kind: super::Kind::ReadTimeout,
                    ..Exception::engine(Code::TooLarge, message)
                }
            }
            Outcome::Value(value) => {
                let output = Some(value).filter(|value| !value.is_null());
                self.finish(
                    pending.record,
                    pending.is_detached,
                    Result {
                        output,
                        ..Result::default()
                    },
                );
                return true;
            }
            Outcome::Exception(exception) => exception,
        };
        self.threw(pending, exception);
        true
    }

    /// The time of a pending call has come: it is made again, or given up.
    pub fn call_due(&mut self, number: u32) {
        let Some(pending) = self.saga.take_pending(|one| one.number == number) else {
            return;
        };
        match pending.waits {
            Waits::Pause(_) => self.call(pending),
            Waits::Answer(_) => self.threw(pending, Exception::no_answer()),
            Waits::Child => self.saga.pending.push(pending),
        }
    }

    fn threw(&mut self, mut pending: Pending, mut exception: Exception) {
        let limit = self.world.config.value_bytes_max;
        if exception.message.len() > limit {
            let end = (0..=limit)
                .rev()
                .find(|end| exception.message.is_char_boundary(*end));
            exception.message.truncate(end.unwrap_or(0));
        }
        let machine = self.machine;
        let state = self.saga.records[pending.record as usize].state;
        let retry = machine.state(state).task().and_then(|task| {
            let index = task
                .retry
                .iter()
                .position(|retry| matches(retry, &exception))?;
            Some((task, index, &task.retry[index]))
        });
        if let Some((task, index, retry)) = retry
            && pending.retries[index] < retry.attempts_max
        {
            pending.is_doubtful |= self.may_be_done(task, &exception);
            let until_ms = self
                .world
                .now_ms
                .saturating_add(pause_ms(retry, pending.retries[index]));
            pending.retries[index] += 1;
            pending.waits = Waits::Pause(until_ms);
            self.world.arm(self.saga, until_ms);
            self.saga.pending.push(pending);
            return;
        }
        self.finish(
            pending.record,
            pending.is_detached,
            Result {
                is_doubtful: pending.is_doubtful,
                ..Result::threw(exception)
            },
        );
    }

    fn finish(&mut self, record: u32, is_detached: bool, result: Result) {
        if is_detached {
            let record = &mut self.saga.records[record as usize];
            record.output = result.output;
            record.exception = result.exception;
            if !self.saga.is_running {
                // It may have been all that the saga stayed for.
                self.world.work.push_back(Errand::Stopped(self.saga.key));
            }
            return;
        }
        let flow = self.settle(record, result);
        self.proceed(flow);
    }

    /// The saga of a record has come to something.
    pub fn child_came_to(&mut self, record: u32, result: Result) {
        let waits = |one: &Pending| one.record == record && one.waits == Waits::Child;
        if let Some(pending) = self.saga.take_pending(waits) {
            self.finish(record, pending.is_detached, result);
        }
    }

    /// Waits no longer: what is called may or may not be done. Calls that the machine did not wait for go on.
    pub fn abandon(&mut self) {
        self.abandon_of(|_| true);
        self.saga.run.repeats.clear();
        self.saga.run.forks.clear();
        debug_assert!(
            self.saga
                .records
                .iter()
                .all(|record| record.status != Status::Running || record.is_ignored)
        );
    }

    /// The same for some states only.
    pub fn abandon_of(&mut self, which: impl Fn(StateId) -> bool) {
        if self.saga.pending.is_empty() {
            return;
        }
        let mut kept = SmallVec::new();
        for pending in std::mem::take(&mut self.saga.pending) {
            let state = self.saga.records[pending.record as usize].state;
            if pending.is_detached || !which(state) {
                kept.push(pending);
                continue;
            }
            let record = &mut self.saga.records[pending.record as usize];
            if pending.waits == Waits::Child
                && record.compensates.is_none()
                && let Some(child) = record.child
            {
                self.world.work.push_back(Errand::Abandon(child));
            }
            let exception = Exception::no_answer();
            let task = self.machine.state(record.state).task();
            let changes = task.is_none_or(|task| task.is_for_update || task.is_for_compensation);
            record.status = decide::by_exception(changes, &exception);
            record.ended_ms = Some(self.world.now_ms);
            record.exception = Some(exception.into());
        }
        self.saga.pending = kept;
    }
}

/// No class means failures of the network.
fn matches(retry: &Retry, exception: &Exception) -> bool {
    if retry.exceptions.is_empty() {
        exception.is_of_network()
    } else {
        retry.exceptions.iter().any(|class| exception.is_a(class))
    }
}

/// The first repetition waits the interval, the n-th later one interval * rate * n.
fn pause_ms(retry: &Retry, before: u32) -> u64 {
    let factor = if before == 0 {
        1.0
    } else {
        retry.backoff_rate * f64::from(before)
    };
    // Casting saturates.
    (retry.interval_seconds * factor * 1_000.0) as u64
}
