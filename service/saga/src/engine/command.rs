//! What the engine is told, what it answers, and what it wants done.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::exception::Exception;
use super::saga::Saga;
use super::status::Status;
use crate::lang::{LoadError, Service};

/// A saga that lives; no two ever have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SagaKey {
    /// Its place.
    pub slot: u32,
    /// How many had the place before it.
    pub generation: u32,
}

/// One attempt of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// Whose.
    pub saga: SagaKey,
    /// Which of its calls.
    pub number: u32,
}

/// A machine that was defined; the number of its definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MachineId(pub u32);

/// What the engine is told. The sequence of commands is all that has to be kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Defines a machine; the latest one of a name is the one that starts.
    Define {
        /// Whose.
        tenant: String,
        /// In Seata's state language.
        text: String,
    },
    /// Starts a saga.
    Start {
        /// Its id; the global transaction's.
        id: Arc<str>,
        /// The machine's name.
        machine: Arc<str>,
        /// Whose.
        tenant: Arc<str>,
        /// What the business calls it; unique among a tenant's living sagas.
        business_key: Option<String>,
        /// Its first variables.
        params: Map<String, Value>,
    },
    /// A call has an outcome.
    Returned {
        /// Which.
        call: CallId,
        /// What.
        outcome: Outcome,
    },
    /// Time has passed, see [`super::Sagas::due_ms`].
    Tick,
    /// A saga that stopped goes on where it was.
    Forward {
        /// Its id.
        saga: String,
        /// Variables that change.
        params: Map<String, Value>,
        /// Without the state at which it stopped. (Seata's `skipAndForward` does not skip it.)
        skip: bool,
    },
    /// A saga is undone.
    Compensate {
        /// Its id.
        saga: String,
        /// Variables that change.
        params: Map<String, Value>,
    },
    /// A saga that has left comes back from the archive, to be operated on.
    Reload(Box<Ended>),
    /// A saga that stopped is settled by other means: it is recovered no more, and leaves.
    Forget {
        /// Its id.
        saga: String,
    },
    /// The sagas of a cluster are spread over so many logs; the first of them remembers it, and it never changes.
    Spread {
        /// How many.
        logs: u32,
    },
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It returned.
    Value(Arc<Value>),
    /// It did not.
    Exception(Exception),
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The machine is known by this number.
    Defined(MachineId),
    /// The saga lives.
    Started(SagaKey),
    /// It is done, or goes on.
    Done,
    /// The call has an outcome already, or nobody waits for it any more.
    Late,
}

/// What the engine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A participant is to be called. It stays in [`super::Sagas::outstanding`] until it has an outcome.
    Call(Call),
    /// A saga runs no more, for now or for ever.
    Stopped {
        /// Which.
        saga: SagaKey,
        /// What became of it.
        status: Status,
        /// What became of its compensation.
        compensation: Option<Status>,
        /// When it is recovered.
        recovers_ms: Option<u64>,
    },
    /// A saga has left, and is to be archived.
    Ended(Box<Ended>),
}

/// A saga that has left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Itself, with its history.
    pub saga: Box<Saga>,
    /// Those that it started, and that they started.
    pub children: Vec<Saga>,
}

/// What a participant is called with, nearly always one value.
pub type Args = SmallVec<[Arc<Value>; 1]>;

/// A call of a participant.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Comes back with the outcome.
    pub id: CallId,
    /// The saga's id.
    pub saga: Arc<str>,
    /// What is called, and by which state.
    pub service: Arc<Service>,
    /// Of a loop, which element.
    pub element: Option<u32>,
    /// What it is called with.
    pub args: Args,
    /// From 1; repetitions count on.
    pub attempt: u32,
    /// Whether it undoes something.
    pub is_compensation: bool,
    /// From then on its outcome is unknown.
    pub deadline_ms: u64,
}

/// Why a command does nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The machine does not load.
    #[error("{0}")]
    Machine(Box<LoadError>),
    /// No machine has this name.
    #[error("machine `{0}` does not exist")]
    NoSuchMachine(String),
    /// No living saga has this id.
    #[error("saga `{0}` does not exist")]
    NoSuchSaga(String),
    /// A saga has this id.
    #[error("saga `{0}` exists already")]
    SagaExists(String),
    /// A living saga has this business key.
    #[error("business key `{0}` is in use")]
    BusinessKeyInUse(String),
    /// It belongs to another one, which is to be operated on.
    #[error("saga `{0}` belongs to `{1}`")]
    NotARoot(String, String),
    /// What should come from the archive is no saga that has ended, or not of these machines.
    #[error("saga `{0}` is not from this archive")]
    NotAnEnd(String),
    /// It runs.
    #[error("saga `{0}` is running")]
    Running(String),
    /// There is no state to go on from.
    #[error("saga `{0}` cannot go forward: {1}")]
    CannotForward(String, &'static str),
    /// Sagas would start in another log than they live in.
    #[error("the sagas are spread over {0} logs, and that cannot be changed: saga.logs = {0}")]
    Spread(u32),
    /// A bound of [`super::Config`] is reached.
    #[error("{0}: at most {1}")]
    TooMuch(&'static str, usize),
}
