//! A machine as it is run: names are resolved, expressions are read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Warning;
use crate::engine::Status;
use crate::expr::{Expr, Program, Template};

/// A state of one machine: its place in [`Machine::states`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateId(pub u16);

/// What a machine's text hashes to: two machines of one name and version may still differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Of a machine's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(md5::compute(text).0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What becomes of a saga that did not end well, or not in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recover {
    /// A timeout compensates.
    Compensate,
    /// A timeout goes forward.
    Forward,
    /// Until the first credit is called recovery compensates, from then on it goes forward, unless every credit has failed
    /// for certain.
    Pivot,
}

/// A machine, ready to run.
#[derive(Debug)]
pub struct Machine {
    /// Its name; with the tenant and the version it identifies the machine.
    pub name: Arc<str>,
    /// For people.
    pub comment: Option<String>,
    /// Any text.
    pub version: String,
    /// What it was read from.
    pub text: Arc<str>,
    /// Of the text.
    pub digest: Digest,
    /// Where it starts.
    pub start: StateId,
    /// What becomes of sagas that do not end well; `None` is as `Compensate`.
    pub recover: Option<Recover>,
    /// Whether its history is kept.
    pub is_persist: bool,
    /// Whether a retried state overwrites its history instead of adding to it.
    pub retry_updates: Option<bool>,
    /// Whether a compensation that is done again overwrites its history instead of adding to it.
    pub compensation_updates: Option<bool>,
    /// What Seata ignores and we may read.
    pub extensions: Option<Value>,
    /// All states, in the order of the text; made ones follow.
    pub states: Vec<State>,
    /// By name.
    pub by_name: BTreeMap<Arc<str>, StateId>,
    /// For each state, the innermost fork that it is in a branch of.
    pub forks: Vec<Option<StateId>>,
    /// For each copy that a Parallel made, the state that it is one of.
    pub copies: BTreeMap<String, String>,
    /// What is doubtful about it.
    pub warnings: Vec<Warning>,
}

impl Machine {
    /// The state of an id of this machine.
    #[must_use]
    pub fn state(&self, id: StateId) -> &State {
        &self.states[usize::from(id.0)]
    }

    /// The innermost fork that a state is in a branch of.
    #[must_use]
    pub fn fork_of(&self, id: StateId) -> Option<StateId> {
        self.forks.get(usize::from(id.0)).copied().flatten()
    }
}

/// One state.
#[derive(Debug)]
pub struct State {
    /// Its name.
    pub name: Arc<str>,
    /// For people.
    pub comment: Option<String>,
    /// Where it goes on.
    pub next: Option<StateId>,
    /// What Seata ignores and we may read.
    pub extensions: Option<Map<String, Value>>,
    /// What it does with money, as its extensions say.
    pub money: Option<Money>,
    /// What it is.
    pub kind: StateKind,
}

impl State {
    /// What it does, if it is a task.
    #[must_use]
    pub fn task(&self) -> Option<&Task> {
        match &self.kind {
            StateKind::Task(task) => Some(task),
            _ => None,
        }
    }
}

/// What a state does with money (`Extensions: {"effect": "debit" | "credit", "account": EXPR, "amount": EXPR}`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Money {
    /// Takes it from an account.
    Debit,
    /// Puts it on an account, from where it may be spent at once.
    Credit,
}

/// What a state is.
#[derive(Debug)]
pub enum StateKind {
    /// Does something.
    Task(Box<Task>),
    /// Decides where to go on.
    Choice(Choice),
    /// Starts compensation.
    CompensationTrigger,
    /// Ends the machine.
    Succeed,
    /// Ends the machine as failed.
    Fail {
        /// For programs.
        code: Option<String>,
        /// For people.
        message: Option<String>,
    },
    /// Goes on in several branches at once.
    Fork(Fork),
    /// Where branches meet.
    Join,
}

/// Several branches at once, until they meet at a Join (`apache/incubator-seata` pull request 5847; no release has it).
#[derive(Debug)]
pub struct Fork {
    /// The first state of each branch.
    pub branches: Vec<StateId>,
    /// How many run at once.
    pub parallel: u32,
    /// How long the join waits.
    pub await_timeout_ms: Option<u64>,
    /// Where the branches meet.
    pub join: StateId,
    /// The states of each branch in order of their ids, those of forks within it included.
    pub states: Vec<Vec<StateId>>,
    /// It is a Parallel: a branch is one task, and what that catches leads the whole elsewhere.
    pub is_parallel: bool,
    /// What becomes of the branches' results, a list in their order.
    pub output: Vec<(Arc<str>, Template)>,
}

/// Decides where to go on.
#[derive(Debug)]
pub struct Choice {
    /// The first one that holds counts.
    pub choices: Vec<(Expr, StateId)>,
    /// If none holds.
    pub default: Option<StateId>,
}

/// Does something.
#[derive(Debug)]
pub struct Task {
    /// What.
    pub work: Work,
    /// What undoes it.
    pub compensate: Option<StateId>,
    /// It undoes another one.
    pub is_for_compensation: bool,
    /// It changes something, and may need to be undone.
    pub is_for_update: bool,
    /// Whether it appears in the history.
    pub is_persist: bool,
    /// As of the machine, which counts if this is `None`.
    pub retry_updates: Option<bool>,
    /// As of the machine, which counts if this is `None`.
    pub compensation_updates: Option<bool>,
    /// Calls that are made again.
    pub retry: Vec<Retry>,
    /// Where exceptions lead.
    pub catch: Vec<Catch>,
    /// What it is called with.
    pub input: Vec<Template>,
    /// What becomes of its result.
    pub output: Vec<(Arc<str>, Template)>,
    /// What its result means, the first match counts.
    pub status: Vec<StatusRule>,
    /// Once for each element of a collection.
    pub repeat: Option<Loop>,
}

/// What a task does.
#[derive(Debug)]
pub enum Work {
    /// Calls a participant.
    Service(Arc<Service>),
    /// Computes something.
    Script(Script),
    /// Runs another machine.
    SubMachine(Arc<str>),
    /// Compensates what a sub-machine did.
    CompensateSubMachine,
}

/// A call of a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The state that calls it.
    pub state: Arc<str>,
    /// Of the service.
    pub name: Arc<str>,
    /// Of the method.
    pub method: Arc<str>,
    /// How it is called; `SpringBean` if nothing is said.
    pub kind: Arc<str>,
    /// Java's names of the parameters' types.
    pub parameter_types: Option<Vec<String>>,
    /// The machine goes on before it has answered.
    pub is_async: bool,
}

/// A script, translated.
#[derive(Debug)]
pub struct Script {
    /// What it was written in.
    pub language: String,
    /// What it does.
    pub program: Program,
}

/// When a call is made again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Class names; none means failures of the network.
    pub exceptions: Vec<Arc<str>>,
    /// Before the first repetition.
    pub interval_seconds: f64,
    /// Repetitions, the first call not counted.
    pub attempts_max: u32,
    /// The n-th later repetition waits `interval * rate * n`.
    pub backoff_rate: f64,
}

/// Where an exception leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catch {
    /// Class names.
    pub exceptions: Vec<Arc<str>>,
    /// Where to; nowhere goes on as if nothing had happened.
    pub next: Option<StateId>,
}

/// What a result means.
#[derive(Debug)]
pub struct StatusRule {
    /// When.
    pub when: StatusWhen,
    /// What.
    pub status: Status,
}

/// When a rule about the status holds.
#[derive(Debug)]
pub enum StatusWhen {
    /// An expression about the result.
    Expr(Expr),
    /// An exception of a class.
    Exception(Arc<str>),
}

/// A task once for each element of a collection.
#[derive(Debug)]
pub struct Loop {
    /// How many at once.
    pub parallel: u32,
    /// Of what.
    pub collection: Template,
    /// The variable of the element.
    pub element: Arc<str>,
    /// The variable of its index.
    pub index: Arc<str>,
    /// When no further ones are started.
    pub completion: Expr,
}
