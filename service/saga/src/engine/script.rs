//! Scripts (`apache/incubator-seata:saga/seata-saga-engine`, `ScriptTaskStateHandler.java`).

use std::sync::Arc;

use serde_json::Value;

use super::exception::Exception;
use super::settle::{assign, catch};
use super::step::{Flow, Step};
use super::task::{Element, first_object};
use crate::expr::{Template, Vars};
use crate::lang::{Script, StateId, Task};

impl Step<'_> {
    /// A script leaves no record (`ScriptTaskStateHandler.java`).
    pub fn run_script(
        &mut self,
        id: StateId,
        task: &Task,
        script: &Script,
        input: &[Arc<Value>],
        element: Option<Element>,
    ) -> Flow {
        let mut given = Vars::default();
        given.extend(first_object(input));
        // What has no value is bound, too.
        if let Some(Template::Map(parts)) = task.input.first() {
            for name in parts.names() {
                given.bind(name);
            }
        }
        let result = match script.program.run(&given) {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(thrown)) => Err(Exception::business(&thrown.class, thrown.message)),
            Err(error) => Err(Exception::business(
                "javax.script.ScriptException",
                error.to_string(),
            )),
        };
        let (output, exception) = match result {
            Ok(output) => {
                let output = Some(output).filter(|value| !value.is_null());
                (output.map(Arc::new), None)
            }
            Err(exception) => (None, Some(Box::new(exception))),
        };
        let caught = exception.as_ref().map(|exception| catch(task, exception));
        if element.is_some() {
            if let Some(repeat) = self.repeat(id) {
                repeat.active -= 1;
                if let Some(exception) = exception {
                    repeat.has_failed = true;
                    repeat.error.get_or_insert(exception);
                } else {
                    repeat.completed += 1;
                }
            }
            return Flow::Repeat(id);
        }
        let saga = &mut *self.saga;
        if let Some(output) = &output
            && let Err(error) = assign(task, output, &saga.id, &mut saga.sequence, &mut saga.vars)
        {
            return self.assign_failed(id, &error);
        }
        match (exception, caught) {
            (Some(exception), Some(None)) => self.fail(exception),
            (exception, caught) => {
                if exception.is_some() {
                    self.saga.run.exception = exception;
                }
                self.route(id, caught.flatten().flatten())
            }
        }
    }
}
