//! Sagas as people and programs are shown them.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::engine::{Exception, Saga, Sagas, Status};

/// A saga without its history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// What it runs.
    pub machine: String,
    /// Whose.
    pub tenant: String,
    /// What the business calls it.
    pub business_key: Option<String>,
    /// What became of it.
    pub status: Status,
    /// What became of its compensation.
    pub compensation_status: Option<Status>,
    /// Whether it is on its way.
    pub is_running: bool,
    /// When it started, in the log's milliseconds.
    pub started_ms: u64,
    /// When it stopped.
    pub ended_ms: Option<u64>,
    /// The states that it went through.
    pub states: usize,
    /// When it is tried again, if it is.
    pub recovers_ms: Option<u64>,
    /// How often it was.
    pub tries: u32,
    /// It did not end well: it is tried again, or waits for a decision.
    pub stuck: bool,
    /// What went wrong.
    pub trouble: Option<String>,
}

/// How many sagas there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They live here.
    pub living: u64,
    /// They are on their way.
    pub running: u64,
    /// They did not end well: they are tried again, or wait for a decision.
    pub stuck: u64,
    /// Calls that have no outcome yet.
    pub calls: u64,
}

/// A saga.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SagaView {
    /// What it is.
    #[serde(flatten)]
    pub summary: Summary,
    /// What it knows.
    pub variables: Map<String, Value>,
    /// The states that it went through.
    pub history: Vec<RecordView>,
}

impl std::ops::Deref for SagaView {
    type Target = Summary;

    fn deref(&self) -> &Summary {
        &self.summary
    }
}

/// A state that a saga went through.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordView {
    /// Its number; `1.2` repeats 1, `1-2` compensates it.
    pub id: String,
    /// The state's name.
    pub state: String,
    /// What became of it.
    pub status: Status,
    /// What became of its compensation.
    pub compensation_status: Option<Status>,
    /// When it started.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// What it was called with.
    pub input: Vec<Value>,
    /// What it returned.
    pub output: Option<Value>,
    /// What it threw.
    pub exception: Option<Exception>,
}

/// Whether a saga did not end well: it is tried again, or waits for a decision.
fn is_stuck(saga: &Saga) -> bool {
    let is_undone = saga.compensation == Some(Status::Succeeded);
    !saga.is_running && saga.status == Status::Unknown && !is_undone || saga.recovery.is_some()
}

impl Counts {
    pub(super) fn new(sagas: &Sagas) -> Self {
        let mut counts = Self {
            calls: sagas.outstanding().count() as u64,
            ..Self::default()
        };
        for saga in sagas.iter().filter(|saga| saga.parent.is_none()) {
            counts.living += 1;
            counts.running += u64::from(saga.is_running);
            counts.stuck += u64::from(is_stuck(saga));
        }
        counts
    }
}

impl Summary {
    pub(super) fn new(saga: &Saga, sagas: &Sagas) -> Self {
        let thrown = saga
            .records
            .iter()
            .rev()
            .find_map(|record| record.exception.as_deref());
        let trouble = saga.exception.as_deref().or(thrown);
        let refused = saga
            .recovery
            .as_ref()
            .and_then(|recovery| recovery.refused.clone());
        Self {
            id: saga.id.to_string(),
            machine: sagas
                .machine(saga.machine)
                .map_or_else(String::new, |machine| machine.name.to_string()),
            tenant: saga.tenant.to_string(),
            business_key: saga.business_key.as_ref().map(ToString::to_string),
            status: saga.status,
            compensation_status: saga.compensation,
            is_running: saga.is_running,
            started_ms: saga.started_ms,
            ended_ms: saga.ended_ms,
            states: saga.records.len(),
            recovers_ms: saga.recovery.as_ref().map(|recovery| recovery.due_ms),
            tries: saga.recovery.as_ref().map_or(0, |recovery| recovery.tries),
            stuck: is_stuck(saga),
            trouble: refused.or_else(|| trouble.map(|exception| exception.message.clone())),
        }
    }
}

impl SagaView {
    pub(super) fn new(saga: &Saga, sagas: &Sagas) -> Self {
        let machine = sagas.machine(saga.machine);
        let record = |(number, record): (u32, &crate::engine::Record)| RecordView {
            id: saga.record_id(number),
            state: machine.map_or_else(String::new, |machine| record.name(machine)),
            status: record.status,
            compensation_status: saga.compensation_of(record),
            started_ms: record.started_ms,
            ended_ms: record.ended_ms,
            input: record
                .input
                .iter()
                .map(|value| Value::clone(value))
                .collect(),
            output: record.output.as_deref().cloned(),
            exception: record.exception.as_deref().cloned(),
        };
        Self {
            summary: Summary::new(saga, sagas),
            variables: saga.vars.to_map(),
            history: (0..).zip(&saga.records).map(record).collect(),
        }
    }
}
