//! A state's entry in the history (`apache/incubator-seata:saga/seata-saga-spring`, `DbAndReportTcStateLogStore.java`).

use super::command::Args;
use super::saga::{Operation, Record};
use super::status::Status;
use super::step::Step;
use super::task::Element;
use crate::lang::{StateId, Task};

impl Step<'_> {
    /// Adds to the history, or overwrites what is tried again (`DbAndReportTcStateLogStore.java`).
    pub fn record(
        &mut self,
        state: StateId,
        element: Option<Element>,
        compensates: Option<u32>,
        input: Args,
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
        let now_ms = self.world.now_ms;
        let records = &mut self.saga.records;
        let tried = retries.map(|number| &records[number as usize]);
        let old = over.map(|number| &records[number as usize]);
        let record = Record {
            state,
            element,
            status: Status::Running,
            started_ms: old.map_or(now_ms, |old| old.started_ms),
            ended_ms: None,
            compensates: compensates.or(old.and_then(|old| old.compensates)),
            retries: old.map_or(retries, |old| old.retries),
            compensation: old.and_then(|old| old.compensation),
            is_ignored: false,
            business_key,
            input,
            output: None,
            exception: None,
            child: old.or(tried).and_then(|before| before.child),
            is_doubtful: tried.is_some_and(|tried| {
                tried.is_doubtful || matches!(tried.status, Status::Unknown | Status::Running)
            }),
        };
        let number = match over {
            Some(number) => {
                records[number as usize] = record;
                number
            }
            None => {
                records.push(record);
                u32::try_from(records.len() - 1).unwrap_or(u32::MAX)
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

    /// The record that a state's new one repeats, and that counts no more from now on: not before, as what was tried must be
    /// compensated if it cannot be tried again. Seata also takes an earlier success for one, which is then never
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
            self.saga.records[named as usize].is_ignored = true;
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
}
