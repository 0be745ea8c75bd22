//! Loops (`apache/incubator-seata:saga/seata-saga-engine`, `LoopStartStateHandler.java`, `LoopTaskUtils.java`).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::exception::{Code, Exception};
use super::saga::{Member, Operation, Repeat};
use super::status::Status;
use super::step::{Flow, Step};
use super::task::outputs;
use crate::expr::{Root, Sequence};
use crate::lang::{Loop, StateId, StateKind};

impl Step<'_> {
    /// Starts a loop; without elements the state is as one without a loop.
    pub fn begin_repeat(&mut self, id: StateId, repeat: &Loop) -> Flow {
        let mut sequence = Sequence {
            saga: &self.saga.id,
            next: &mut self.saga.sequence,
            first: None,
        };
        let root = Root::vars(&self.saga.vars);
        let collection = match repeat.collection.eval(root, &mut sequence) {
            Ok(Value::Array(collection)) if !collection.is_empty() => collection,
            Ok(_) => return self.begin(id, None, None),
            Err(error) => {
                let name = &self.machine.state(id).name;
                return self.throw(Code::VariablesAssign, format!("Loop of [{name}]: {error}"));
            }
        };
        let total = match u32::try_from(collection.len()) {
            Ok(total) if collection.len() <= self.world.config.loop_max => total,
            _ => return self.throw(Code::TooLarge, "a loop over more elements than are allowed"),
        };
        let mut waiting: Vec<u32> = (0..total).rev().collect();
        let mut again = Vec::new();
        let mut completed = 0;
        if self.saga.run.operation == Operation::Forward {
            // What is done stays done; what failed is done again first.
            for record in &self.saga.records {
                let Some(index) = record.index() else {
                    continue;
                };
                if record.state != id || record.is_ignored || record.compensates.is_some() {
                    continue;
                }
                if record.status == Status::Succeeded {
                    completed += 1;
                } else {
                    again.insert(0, index);
                }
                waiting.retain(|other| *other != index);
            }
        }
        let to_start = total.saturating_sub(completed);
        self.saga.run.repeats.push(Repeat {
            state: id,
            collection: collection.into_iter().map(Arc::new).collect(),
            waiting,
            again,
            to_start,
            parallel: repeat.parallel.min(to_start),
            active: 0,
            completed,
            has_failed: false,
            is_satisfied: false,
            members: Vec::new(),
            error: None,
        });
        Flow::Repeat(id)
    }

    /// The loop of a state, while it is in it.
    pub fn repeat(&mut self, id: StateId) -> Option<&mut Repeat> {
        let mut all = self.saga.run.repeats.iter_mut();
        all.find(|repeat| repeat.state == id)
    }

    /// Starts elements as far as they may run at once; then waits, or leaves the loop.
    pub fn repeat_next(&mut self, id: StateId) -> Flow {
        self.at = Some(id);
        loop {
            let Some(repeat) = self.repeat(id) else {
                return Flow::Wait;
            };
            if repeat.to_start == 0 {
                break;
            }
            if repeat.active >= repeat.parallel {
                return Flow::Wait;
            }
            let mut index = repeat.again.pop();
            let has_failed = repeat.has_failed;
            if index.is_none() && !has_failed && !self.is_satisfied(id) {
                index = self.repeat(id).and_then(|repeat| repeat.waiting.pop());
            }
            let Some(repeat) = self.repeat(id) else {
                return Flow::Wait;
            };
            let Some(index) = index else {
                repeat.to_start = 0;
                break;
            };
            repeat.to_start -= 1;
            repeat.active += 1;
            let element = repeat
                .collection
                .get(index as usize)
                .cloned()
                .unwrap_or_default();
            let flow = self.begin(id, Some((index, element)), None);
            if flow == Flow::Stop {
                return flow;
            }
        }
        let mut all = self.saga.run.repeats.iter();
        match all.position(|repeat| repeat.state == id && repeat.active == 0) {
            Some(over) => {
                let repeat = self.saga.run.repeats.remove(over);
                self.end_repeat(repeat)
            }
            None => Flow::Wait,
        }
    }

    /// Whether no further elements are to be started. The numbers stay variables of the saga.
    fn is_satisfied(&mut self, id: StateId) -> bool {
        let mut all = self.saga.run.repeats.iter_mut();
        let Some(repeat) = all.find(|repeat| repeat.state == id) else {
            return true;
        };
        if repeat.is_satisfied {
            return true;
        }
        for (name, number) in [
            ("nrOfInstances", repeat.collection.len() as f64),
            ("nrOfActiveInstances", f64::from(repeat.active)),
            ("nrOfCompletedInstances", f64::from(repeat.completed)),
        ] {
            self.saga.vars.set(&name.into(), Value::from(number));
        }
        let state = self.machine.state(repeat.state);
        let condition = state.task().and_then(|task| task.repeat.as_ref());
        let holds = match condition {
            Some(condition) => condition.completion.holds(Root::vars(&self.saga.vars)),
            None => Ok(true),
        };
        repeat.is_satisfied = repeat.completed as usize >= repeat.collection.len();
        match holds {
            Ok(holds) => repeat.is_satisfied |= holds,
            Err(error) => {
                let message = format!("Loop of [{}]: {error}", state.name);
                repeat.has_failed = true;
                repeat.is_satisfied = true;
                repeat.error.get_or_insert_with(|| {
                    Exception::engine(Code::VariablesAssign, message).into()
                });
            }
        }
        repeat.is_satisfied
    }

    fn end_repeat(&mut self, repeat: Repeat) -> Flow {
        let machine = self.machine;
        let state = machine.state(repeat.state);
        if let Some(task) = state.task() {
            let nothing = Arc::default();
            let results = repeat
                .members
                .iter()
                .map(|member| {
                    let output = self.saga.records[member.record as usize].output.as_ref();
                    let output = output.unwrap_or(&nothing);
                    // Of an element that came to nothing there may be nothing to say.
                    let named =
                        outputs(&task.output, output, &self.saga.id, &mut 0).unwrap_or_default();
                    let map: Map<String, Value> = named
                        .into_iter()
                        .map(|(name, value)| (name.to_string(), Arc::unwrap_or_clone(value)))
                        .collect();
                    Value::Object(map)
                })
                .collect();
            self.saga
                .vars
                .set(&"loopResult".into(), Value::Array(results));
        }
        if let Some(error) = repeat.error {
            self.saga.thrown = error.code.is_some();
            return self.fail(error);
        }
        if repeat.has_failed {
            let exception = repeat
                .members
                .iter()
                .find_map(|member| member.exception.clone());
            let routes = || repeat.members.iter().filter_map(|member| member.route);
            // Compensation goes before all else.
            let route = routes()
                .find(|route| matches!(machine.state(*route).kind, StateKind::CompensationTrigger))
                .or_else(|| routes().next());
            match (route, exception) {
                (Some(route), exception) => {
                    self.saga.run.exception = exception;
                    return self.caught(route);
                }
                (None, Some(exception)) => return self.fail(exception),
                (None, None) => {}
            }
        }
        match state.next {
            Some(next) => Flow::Next(next),
            None => self.end(),
        }
    }

    pub fn join_loop(&mut self, id: StateId, record: u32) {
        if let Some(repeat) = self.repeat(id) {
            repeat.members.push(Member {
                record,
                exception: None,
                route: None,
            });
        }
    }

    /// The loop that a record is in, and its place there.
    pub fn loop_member(&self, record: u32) -> Option<(StateId, usize)> {
        self.saga.run.repeats.iter().find_map(|repeat| {
            let mut members = repeat.members.iter();
            let member = members.position(|member| member.record == record)?;
            Some((repeat.state, member))
        })
    }

    /// `LoopTaskHandlerInterceptor.postProcess`.
    pub fn leave_loop(
        &mut self,
        (id, member): (StateId, usize),
        exception: Option<Box<Exception>>,
        route: Option<StateId>,
    ) -> Flow {
        let saga = &mut *self.saga;
        let mut all = saga.run.repeats.iter_mut();
        if let Some(repeat) = all.find(|repeat| repeat.state == id) {
            let member = &mut repeat.members[member];
            let failed = saga.records[member.record as usize].status != Status::Succeeded;
            repeat.active -= 1;
            repeat.has_failed |= failed || exception.is_some();
            repeat.completed += u32::from(exception.is_none());
            member.exception = exception;
            member.route = route;
        }
        Flow::Repeat(id)
    }
}
