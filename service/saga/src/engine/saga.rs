//! One saga: where it is, what it waits for, and its history.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use smallvec::SmallVec;

use super::command::{Args, MachineId, SagaKey};
use super::exception::Exception;
use super::status::Status;
use crate::expr::Vars;
use crate::lang::{Machine, StateId};

/// A saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saga {
    /// Its id.
    pub id: Arc<str>,
    /// Its key.
    pub key: SagaKey,
    /// What it runs.
    pub machine: MachineId,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// What the business calls it.
    pub business_key: Option<Arc<str>>,
    /// Who started it: another saga, and the record of the state that did.
    pub parent: Option<(SagaKey, u32)>,
    /// How many are above it.
    pub depth: u32,
    /// When it started.
    pub started_ms: u64,
    /// When it stopped.
    pub ended_ms: Option<u64>,
    /// What became of it.
    pub status: Status,
    /// What became of its compensation.
    pub compensation: Option<Status>,
    /// Whether it is on its way.
    pub is_running: bool,
    /// What it knows.
    pub vars: Vars,
    /// What went wrong.
    pub exception: Option<Box<Exception>>,
    /// The states that it went through, in their order.
    pub records: Vec<Record>,
    /// When it is recovered.
    pub recovery: Option<Recovery>,
    /// When it must be done.
    pub deadline_ms: u64,
    /// Whether it was not.
    pub is_timed_out: bool,
    /// When it leaves.
    pub leaves_ms: Option<u64>,
    pub(super) armed_ms: Option<u64>,
    pub(super) thrown: bool,
    pub(super) sequence: u32,
    pub(super) calls: u32,
    pub(super) run: Run,
    pub(super) pending: SmallVec<[Pending; 1]>,
}

/// A saga that did not end well, and will be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// When.
    pub due_ms: u64,
    /// How often it was tried.
    pub tries: u32,
    /// Whether it goes forward then; else it is compensated.
    pub is_forward: bool,
    /// Why the last try did nothing.
    pub refused: Option<String>,
}

/// A state that a saga went through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Which.
    pub state: StateId,
    /// Of a loop, which element.
    pub element: Option<(u32, Arc<Value>)>,
    /// What became of it.
    pub status: Status,
    /// When it started.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// The record that it compensates.
    pub compensates: Option<u32>,
    /// The record that it is a repetition of.
    pub retries: Option<u32>,
    /// The record of its latest compensation.
    pub compensation: Option<u32>,
    /// It was tried again, and counts no more.
    pub is_ignored: bool,
    /// The first number that its input asked for.
    pub business_key: Option<String>,
    /// What it was called with.
    pub input: Args,
    /// What it returned.
    pub output: Option<Arc<Value>>,
    /// What it threw.
    pub exception: Option<Box<Exception>>,
    /// The saga that it started.
    pub child: Option<SagaKey>,
    /// It was tried before, and may have been carried out then.
    pub is_doubtful: bool,
}

impl Record {
    /// The state's name; a loop's with the number of the element (`LoopTaskUtils.java`).
    #[must_use]
    pub fn name(&self, machine: &Machine) -> String {
        let name = &machine.state(self.state).name;
        match &self.element {
            Some((index, _)) => format!("{name}-loop-{index}"),
            None => name.to_string(),
        }
    }

    pub(super) fn index(&self) -> Option<u32> {
        self.element.as_ref().map(|(index, _)| *index)
    }
}

impl Saga {
    /// What became of the compensation of a record.
    #[must_use]
    pub fn compensation_of(&self, record: &Record) -> Option<Status> {
        let compensation = self.records.get(record.compensation? as usize)?;
        Some(compensation.status)
    }

    /// The id of a record, as Seata writes them: a repetition is `1.2`, a compensation `1-2`.
    #[must_use]
    pub fn record_id(&self, number: u32) -> String {
        let Some(record) = self.records.get(number as usize) else {
            return String::new();
        };
        let nth = |of: &dyn Fn(&Record) -> bool| {
            self.records[..=number as usize]
                .iter()
                .filter(|other| of(other))
                .count()
        };
        if let Some(of) = record.compensates {
            let count = nth(&|other| other.compensates == Some(of));
            return format!("{}-{count}", self.record_id(of));
        }
        match record.retries {
            Some(_) => {
                let mut of = number;
                let mut count = 0_usize;
                while let Some(before) = self.records.get(of as usize).and_then(|one| one.retries)
                    && before < of
                {
                    of = before;
                    count += 1;
                }
                format!("{of}.{count}")
            }
            None => number.to_string(),
        }
    }

    /// Takes out what it waits for, nearly always the last.
    pub(super) fn take_pending(&mut self, which: impl Fn(&Pending) -> bool) -> Option<Pending> {
        let found = self.pending.iter().position(which)?;
        let last = self.pending.pop()?;
        Some(match self.pending.get_mut(found) {
            Some(pending) => std::mem::replace(pending, last),
            None => last,
        })
    }

    /// How many calls it waits for.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }
}

/// What started the way that a saga is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Operation {
    #[default]
    Start,
    Forward,
    Compensate,
}

/// The way that a saga is on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    pub operation: Operation,
    /// Nobody asked for it.
    pub is_automatic: bool,
    /// Of the last state that threw.
    pub exception: Option<Box<Exception>>,
    /// It came to a Fail.
    pub has_failed: bool,
    /// It compensates, and goes on here afterwards.
    pub undoing: Option<Undoing>,
    /// The last record.
    pub last: Option<u32>,
    /// The record that is tried again by going forward.
    pub retried: Option<u32>,
    /// The loops that it is in: one, and one more for each branch of a fork.
    pub repeats: Vec<Repeat>,
    /// The forks that it is in, inner ones after outer ones.
    pub forks: Vec<Forked>,
}

/// A fork in progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Forked {
    pub fork: StateId,
    /// Where branches start that wait, the next one last.
    pub waiting: Vec<StateId>,
    pub active: u32,
    pub deadline_ms: Option<u64>,
    /// What ended a branch.
    pub exception: Option<Box<Exception>>,
    pub is_thrown: bool,
    /// Where a branch wants to go instead of the join.
    pub route: Option<StateId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Undoing {
    /// Where it goes on afterwards.
    pub next: Option<StateId>,
    /// Records, the next one last.
    pub stack: Vec<u32>,
    /// The latest record of each compensating state.
    pub done: Vec<(StateId, u32)>,
    pub has_started: bool,
}

/// A loop in progress (`LoopContextHolder.java`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Repeat {
    pub state: StateId,
    pub collection: Vec<Arc<Value>>,
    /// Elements that come, the next one last.
    pub waiting: Vec<u32>,
    /// Elements that are tried again, whatever the condition says; the next one last.
    pub again: Vec<u32>,
    pub to_start: u32,
    pub parallel: u32,
    pub active: u32,
    pub completed: u32,
    pub has_failed: bool,
    pub is_satisfied: bool,
    pub members: Vec<Member>,
    /// What ends the saga after the loop.
    pub error: Option<Box<Exception>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    pub record: u32,
    pub exception: Option<Box<Exception>>,
    pub route: Option<StateId>,
}

/// What a saga waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub record: u32,
    /// The number of the call, or of what takes its place.
    pub number: u32,
    pub attempt: u32,
    /// For each rule of Retry, how often it was applied.
    pub retries: Vec<u32>,
    /// An earlier attempt may have been carried out.
    pub is_doubtful: bool,
    /// The leadership in which it was made.
    #[serde(default)]
    pub epoch: u64,
    pub waits: Waits,
    /// The machine goes on without it.
    pub is_detached: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Waits {
    /// For an answer, until then.
    Answer(u64),
    /// To call again.
    Pause(u64),
    /// For the saga of its record.
    Child,
}

/// Values are cloned, compared and written by recursion, and a cycle could wrap one in itself again and again.
const VALUE_DEPTH_MAX: usize = 100;

/// About how many bytes a value has as text; more than any bound if it is nested too deep.
#[inline]
pub(super) fn bytes(value: &Value) -> usize {
    bytes_within(value, VALUE_DEPTH_MAX)
}

#[inline]
fn bytes_within(value: &Value, depth: usize) -> usize {
    match value {
        _ if depth == 0 => usize::MAX,
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(_) | Value::Object(_) => bytes_of_parts(value, depth - 1),
    }
}

fn bytes_of_parts(value: &Value, depth: usize) -> usize {
    let mut sum = 2_usize;
    match value {
        Value::Array(list) => {
            for value in list {
                let part = bytes_within(value, depth);
                sum = sum.saturating_add(1).saturating_add(part);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let part = bytes_within(value, depth);
                sum = sum.saturating_add(key.len() + 4).saturating_add(part);
            }
        }
        _ => {}
    }
    sum
}
