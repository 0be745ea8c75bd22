//! A saga's way from state to state, until it waits or stops.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::command::{Effect, SagaKey};
use super::config::Config;
use super::decide;
use super::exception::{Code, Exception};
use super::saga::Saga;
use super::status::Status;
use super::timers::Timers;
use crate::expr::Root;
use crate::lang::{Choice, Machine, StateId, StateKind};

/// What all sagas share.
#[derive(Debug)]
pub(super) struct World {
    pub config: Config,
    pub now_ms: u64,
    /// The leadership of which commands are.
    pub epoch: u64,
    pub effects: Vec<Effect>,
    pub timers: Timers,
    pub work: VecDeque<Work>,
}

/// What one saga wants of another one.
#[derive(Debug)]
pub(super) enum Work {
    /// A state has a saga started.
    Start {
        parent: SagaKey,
        record: u32,
        machine: Arc<str>,
        params: Map<String, Value>,
    },
    /// A state has its saga go forward.
    Forward {
        parent: SagaKey,
        record: u32,
        child: SagaKey,
        params: Map<String, Value>,
    },
    /// A state has the saga of another one compensated.
    Compensate {
        parent: SagaKey,
        record: u32,
        child: SagaKey,
        params: Map<String, Value>,
    },
    /// Nobody waits for a saga any more.
    Abandon(SagaKey),
    /// A saga has stopped.
    Stopped(SagaKey),
}

/// How a saga goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// With a state.
    Next(StateId),
    /// With the next compensation.
    Undo,
    /// With the next element of a loop.
    Repeat(StateId),
    /// Not before something comes.
    Wait,
    /// Not at all.
    Stop,
}

/// One saga on its way.
pub(super) struct Step<'a> {
    pub saga: &'a mut Saga,
    pub machine: &'a Machine,
    pub world: &'a mut World,
    /// Nobody asked for what it does.
    pub is_automatic: bool,
    /// A saga that it started has called a credit, see [`super::recover`].
    pub is_child_past_pivot: bool,
    /// The state that it is at.
    pub at: Option<StateId>,
    /// Branches that go on when this one waits, the next one last.
    pub ready: Vec<StateId>,
}

impl Step<'_> {
    pub fn proceed(&mut self, mut flow: Flow) {
        for _ in 0..self.world.config.steps_max {
            flow = match flow {
                Flow::Next(state) => self.enter(state),
                Flow::Undo => self.undo_next(),
                Flow::Repeat(state) => self.repeat_next(state),
                Flow::Wait => match self.ready.pop() {
                    Some(state) => {
                        self.at = Some(state);
                        Flow::Next(state)
                    }
                    None => return,
                },
                Flow::Stop => return,
            };
        }
        self.saga.run.forks.clear();
        self.ready.clear();
        self.throw(
            Code::TooLarge,
            "more states without waiting than are allowed",
        );
    }

    pub fn enter(&mut self, id: StateId) -> Flow {
        let state = self.machine.state(id);
        if let Some(fork) = self.branch()
            && matches!(
                state.kind,
                StateKind::CompensationTrigger | StateKind::Succeed | StateKind::Fail { .. }
            )
        {
            let exception = self.saga.run.exception.take();
            return self.leave_branch(fork, exception, Some(id));
        }
        self.at = Some(id);
        match &state.kind {
            StateKind::Task(task) => match &task.repeat {
                Some(repeat) => self.begin_repeat(id, repeat),
                None => self.begin(id, None, None),
            },
            StateKind::Choice(choice) => self.choose(id, choice),
            StateKind::CompensationTrigger => self.trigger(state.next),
            StateKind::Succeed => self.end(),
            StateKind::Fail { code, message } => {
                self.saga.run.has_failed = true;
                let vars = &mut self.saga.vars;
                vars.set(
                    &"_statemachine_error_code_".into(),
                    Value::from(code.clone()),
                );
                vars.set(
                    &"_statemachine_error_message_".into(),
                    Value::from(message.clone()),
                );
                self.end()
            }
            StateKind::Fork(fork) => self.fork(id, fork),
            StateKind::Join => self.join(id),
        }
    }

    /// `ChoiceStateHandler.java`; a state's own `Next` goes before the choice (`TaskStateRouter.java`).
    fn choose(&mut self, id: StateId, choice: &Choice) -> Flow {
        let state = self.machine.state(id);
        let root = Root::vars(&self.saga.vars);
        let mut chosen = choice.default;
        for (expression, target) in &choice.choices {
            match expression.holds(root) {
                Ok(true) => {
                    chosen = Some(*target);
                    break;
                }
                Ok(false) => {}
                Err(error) => {
                    let message = format!("Choice [{}]: {error}", state.name);
                    return self.throw(Code::VariablesAssign, message);
                }
            }
        }
        match (state.next, chosen) {
            (Some(next), Some(_)) | (None, Some(next)) => Flow::Next(next),
            (_, None) => {
                let name = &state.name;
                let message =
                    format!("No choice matched, maybe it is a bug. Choice state name: {name}");
                self.throw(Code::NoChoiceMatched, message)
            }
        }
    }

    /// `EngineUtils.endStateMachine`.
    pub fn end(&mut self) -> Flow {
        if let Some(fork) = self.branch() {
            return self.leave_branch(fork, None, None);
        }
        let exception = self.saga.run.exception.take();
        decide::on_end(self.saga, self.machine, exception.as_deref());
        if exception.is_some() {
            self.saga.exception = exception;
        }
        self.stop()
    }

    /// `EngineUtils.failStateMachine`.
    pub fn fail(&mut self, exception: Box<Exception>) -> Flow {
        if let Some(fork) = self.branch() {
            return self.leave_branch(fork, Some(exception), None);
        }
        decide::on_fail(self.saga, self.machine, &exception);
        self.saga.exception = Some(exception);
        self.stop()
    }

    /// The engine cannot go on; a saga above sees an exception, too.
    #[cold]
    pub fn throw(&mut self, code: Code, message: impl Into<String>) -> Flow {
        self.saga.thrown = true;
        self.fail(Exception::engine(code, message).into())
    }

    pub fn stop(&mut self) -> Flow {
        self.abandon();
        let saga = &mut *self.saga;
        if saga.status == Status::Succeeded {
            saga.exception = None;
        }
        saga.is_running = false;
        saga.ended_ms = Some(self.world.now_ms);
        saga.run.undoing = None;
        self.ready.clear();
        self.world.work.push_back(Work::Stopped(saga.key));
        Flow::Stop
    }
}
