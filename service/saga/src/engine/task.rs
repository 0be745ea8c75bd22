//! One task: what it is called with, and what its result means (`apache/incubator-seata:saga/seata-saga-engine`,
//! `ServiceTaskHandlerInterceptor.java` and the handlers).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::command::Args;
use super::exception::{Code, Exception};
use super::saga::{Operation, Pending, Waits, bytes};
use super::settle::Result;
use super::step::{Flow, Step, Work as Errand};
use crate::expr::{EvalError, Sequence, Template, Variable};
use crate::lang::{StateId, Task, Work};

/// An element of a loop: its index and itself.
pub(super) type Element = (u32, Arc<Value>);

impl Step<'_> {
    /// Begins a task; as an element of a loop, or as the compensation of a record.
    pub fn begin(
        &mut self,
        id: StateId,
        element: Option<Element>,
        compensates: Option<u32>,
    ) -> Flow {
        let machine = self.machine;
        let state = machine.state(id);
        let Some(task) = state.task() else {
            return self.throw(Code::VariablesAssign, "a state that is no task");
        };
        if self.saga.is_timed_out
            && !self.world.config.recovers
            && self.saga.run.operation == Operation::Start
            && !matches!(task.work, Work::Script(_))
        {
            let message = format!(
                "Saga Transaction [stateMachineInstanceId:{}] has timed out, stop execution now.",
                self.saga.id
            );
            return self.begin_failed(id, element, Code::Timeout, message);
        }
        // Compensation must not fail because forward states have filled the history.
        let records_max = self.world.config.records_max * if compensates.is_some() { 2 } else { 1 };
        if self.saga.records.len() >= records_max {
            return self.begin_failed(id, element, Code::TooLarge, "the history is full".into());
        }
        let over = self.variables_over(id, element.as_ref(), compensates);
        let mut sequence = Sequence {
            saga: &self.saga.id,
            next: &mut self.saga.sequence,
            first: None,
        };
        let mut input = Args::new();
        let mut size = 0_usize;
        for template in &task.input {
            match template.of_vars(&self.saga.vars, &over, &mut sequence) {
                Ok(value) => {
                    size = size.saturating_add(bytes(&value));
                    input.push(value);
                }
                Err(error) => {
                    let message = format!(
                        "Task [{}] input parameters assign failed, please check 'Input' expression:{error}",
                        state.name
                    );
                    return self.begin_failed(id, element, Code::VariablesAssign, message);
                }
            }
        }
        let business_key = sequence.first;
        if size > self.world.config.value_bytes_max {
            let message = format!(
                "Task [{}]: the input is larger or deeper than allowed",
                state.name
            );
            return self.begin_failed(id, element, Code::TooLarge, message);
        }
        if let Work::Script(script) = &task.work {
            return self.run_script(id, task, script, &input, element);
        }
        if let Some(key) = &business_key {
            let name = format!("{}_business_key_", state.name);
            self.saga.vars.set(&name.into(), Value::from(key.as_str()));
        }
        let number = self.record(id, element, compensates, input, business_key);
        if self.saga.records[number as usize].element.is_some() && compensates.is_none() {
            self.join_loop(id, number);
        }
        self.work(number, task)
    }

    /// Seata forgets what goes wrong before a loop's element is called; here the saga ends after the loop.
    #[cold]
    fn begin_failed(
        &mut self,
        id: StateId,
        element: Option<Element>,
        code: Code,
        message: String,
    ) -> Flow {
        match (self.repeat(id), element) {
            (Some(repeat), Some(_)) => {
                repeat.has_failed = true;
                repeat.active -= 1;
                repeat
                    .error
                    .get_or_insert_with(|| Exception::engine(code, message).into());
                Flow::Repeat(id)
            }
            _ => self.throw(code, message),
        }
    }

    /// The variables of an element. What is compensated has those of its own element and of its own output: Seata loses
    /// them, so that a compensation does not know what it undoes.
    fn variables_over(
        &self,
        id: StateId,
        element: Option<&Element>,
        compensates: Option<u32>,
    ) -> Vec<Variable> {
        let of_loop = |state: StateId, (index, value): &Element| {
            let repeat = self.machine.state(state).task()?.repeat.as_ref()?;
            Some(vec![
                (Arc::clone(&repeat.index), Value::from(*index).into()),
                (Arc::clone(&repeat.element), value.clone()),
            ])
        };
        if let Some(element) = element {
            return of_loop(id, element).unwrap_or_default();
        }
        let Some(record) = compensates.map(|number| &self.saga.records[number as usize]) else {
            return Vec::new();
        };
        let Some(mut over) = record
            .element
            .as_ref()
            .and_then(|element| of_loop(record.state, element))
        else {
            return Vec::new();
        };
        if let (Some(task), Some(output)) =
            (self.machine.state(record.state).task(), &record.output)
        {
            over.extend(outputs(&task.output, output, &self.saga.id, &mut 0).unwrap_or_default());
        }
        over
    }

    /// Has the task's work done.
    fn work(&mut self, number: u32, task: &Task) -> Flow {
        self.saga.run.last = Some(number);
        match &task.work {
            Work::Service(service) => {
                self.call_first(number, task, service.is_async);
                if service.is_async {
                    return self.settle(number, Result::default());
                }
                Flow::Wait
            }
            Work::SubMachine(machine) => {
                let record = &self.saga.records[number as usize];
                let params = first_object(&record.input);
                let parent = self.saga.key;
                let errand = match record.child {
                    Some(child) => Errand::Forward {
                        parent,
                        record: number,
                        child,
                        params,
                    },
                    None => Errand::Start {
                        parent,
                        record: number,
                        machine: Arc::clone(machine),
                        params,
                    },
                };
                self.wait_for_child(number, errand)
            }
            Work::CompensateSubMachine => {
                let record = &self.saga.records[number as usize];
                let child = record
                    .compensates
                    .and_then(|of| self.saga.records[of as usize].child);
                match child {
                    Some(child) => {
                        let errand = Errand::Compensate {
                            parent: self.saga.key,
                            record: number,
                            child,
                            params: first_object(&record.input),
                        };
                        self.wait_for_child(number, errand)
                    }
                    // What never started did nothing; Seata fails here, for ever (issue 3324).
                    None => self.settle(number, Result::default()),
                }
            }
            Work::Script(_) => Flow::Wait,
        }
    }

    fn wait_for_child(&mut self, record: u32, errand: Errand) -> Flow {
        let number = self.saga.calls;
        self.saga.calls += 1;
        self.saga.pending.push(Pending {
            record,
            number,
            attempt: 1,
            retries: Vec::new(),
            is_doubtful: false,
            epoch: 0,
            waits: Waits::Child,
            is_detached: false,
        });
        self.world.work.push_back(errand);
        Flow::Wait
    }
}

pub(super) fn outputs(
    to: &[(Arc<str>, Template)],
    output: &Arc<Value>,
    saga: &str,
    next: &mut u32,
) -> std::result::Result<Vec<Variable>, EvalError> {
    let mut sequence = Sequence {
        saga,
        next,
        first: None,
    };
    to.iter()
        .map(|(name, template)| {
            let value = template.of_value(output, &mut sequence)?;
            Ok((Arc::clone(name), value))
        })
        .collect()
}

/// A machine's parameters are the first argument.
pub(super) fn first_object(input: &[Arc<Value>]) -> Map<String, Value> {
    match input.first().map(|first| &**first) {
        Some(Value::Object(map)) => map.clone(),
        _ => Map::new(),
    }
}
