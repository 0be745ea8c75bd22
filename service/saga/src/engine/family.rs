//! Sagas that start sagas: what they want of each other (`apache/incubator-seata:saga/seata-saga-engine`,
//! `SubStateMachineHandler.java`).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::command::{Refused, SagaKey};
use super::exception::{Code, Exception};
use super::operate;
use super::recover::is_past_pivot;
use super::saga::{Operation, Saga, bytes};
use super::sagas::{Defined, Sagas, Slot};
use super::settle::Result as Came;
use super::status::Status;
use super::step::{Flow, Work};

impl Sagas {
    /// Does what sagas want of each other, until they want nothing more.
    pub(super) fn work(&mut self) {
        while let Some(work) = self.world.work.pop_front() {
            match work {
                Work::Start {
                    parent,
                    record,
                    machine,
                    params,
                } => self.start_child(parent, record, &machine, params),
                Work::Forward {
                    parent,
                    record,
                    child,
                    params,
                } => self.forward_child(parent, record, child, params),
                Work::Compensate {
                    parent,
                    record,
                    child,
                    params,
                } => self.compensate_child(parent, record, child, params),
                Work::Abandon(key) => {
                    self.with(key, |step| {
                        if step.saga.is_running {
                            step.abandon();
                            if step.saga.status == Status::Running {
                                step.saga.status = Status::Unknown;
                            }
                            if step.saga.compensation == Some(Status::Running) {
                                step.saga.compensation = Some(Status::Unknown);
                            }
                            step.saga.is_running = false;
                            step.saga.ended_ms = Some(step.world.now_ms);
                        }
                    });
                }
                Work::Stopped(key) => self.stopped(key),
            }
        }
    }

    fn start_child(
        &mut self,
        parent: SagaKey,
        record: u32,
        machine: &str,
        params: Map<String, Value>,
    ) {
        let Some(above) = self.saga_mut(parent) else {
            return;
        };
        let tenant = Arc::clone(&above.tenant);
        let depth = above.depth + 1;
        let id: Arc<str> = format!("{}:{}", above.id, above.sequence).into();
        above.sequence = above.sequence.wrapping_add(1);
        let business_key = above.records[record as usize]
            .business_key
            .clone()
            .map(Into::into);
        let created = match self.find_machine(&tenant, machine) {
            None => Err(Refused::NoSuchMachine(machine.into())),
            Some(_) if depth > self.world.config.depth_max => {
                let most = self.world.config.depth_max as usize;
                Err(Refused::TooMuch("sagas within sagas", most))
            }
            Some(machine) => self.check_size(&params).and_then(|()| {
                self.create(
                    id,
                    machine,
                    tenant,
                    business_key,
                    Some((parent, record)),
                    depth,
                    params,
                )
            }),
        };
        match created {
            Ok(child) => {
                if let Some(above) = self.saga_mut(parent) {
                    above.records[record as usize].child = Some(child);
                }
            }
            Err(refused) => {
                let exception = Exception::engine(Code::SubMachine, refused.to_string());
                self.with(parent, |step| {
                    step.child_came_to(record, Came::threw(exception))
                });
            }
        }
    }

    fn forward_child(
        &mut self,
        parent: SagaKey,
        record: u32,
        child: SagaKey,
        params: Map<String, Value>,
    ) {
        let compensation = self.saga(child).map(|child| child.compensation);
        let Some(compensation) = compensation else {
            return;
        };
        if compensation == Some(Status::Succeeded) {
            // It is undone: a new one starts.
            let machine = self.saga(child).map(|child| child.machine);
            if let Some(machine) = machine {
                let name = Arc::clone(&self.machines[machine.0 as usize].machine.name);
                self.start_child(parent, record, &name, params);
            }
            return;
        }
        if let Some(child) = self.saga_mut(child) {
            child.parent = Some((parent, record));
        }
        if let Err(refused) = self.check_size(&params) {
            return self.child_done(parent, record, child, Some(Err(refused)));
        }
        let done = self.with_children(child, false, |step, child| {
            let flow = step.forward(params, false, child)?;
            let stays = flow == Flow::Wait;
            step.proceed(flow);
            Ok(stays)
        });
        self.child_done(parent, record, child, done);
    }

    fn compensate_child(
        &mut self,
        parent: SagaKey,
        record: u32,
        child: SagaKey,
        params: Map<String, Value>,
    ) {
        if let Some(child) = self.saga_mut(child) {
            child.parent = Some((parent, record));
        }
        if let Err(refused) = self.check_size(&params) {
            return self.child_done(parent, record, child, Some(Err(refused)));
        }
        let done = self.with_children(child, false, |step, _| {
            let flow = step.compensate(params)?;
            let stays = flow == Flow::Wait && !step.saga.is_running;
            step.proceed(flow);
            Ok(stays)
        });
        self.child_done(parent, record, child, done);
    }

    /// A child that has nothing to do, or refuses, has come to something at once.
    fn child_done(
        &mut self,
        parent: SagaKey,
        record: u32,
        child: SagaKey,
        done: Option<Result<bool, Refused>>,
    ) {
        match done {
            Some(Ok(true)) => self.tell_parent(child),
            Some(Ok(false)) | None => {}
            Some(Err(refused)) => {
                let exception = operate::refused(&refused);
                self.with(parent, |step| {
                    step.child_came_to(record, Came::threw(exception))
                });
            }
        }
    }

    fn child_failed(
        &mut self,
        parent: SagaKey,
        record: u32,
        exception: Exception,
        status: Option<Status>,
    ) {
        let came = Came {
            status,
            ..Came::threw(exception)
        };
        self.with(parent, |step| step.child_came_to(record, came));
    }

    /// `SubStateMachineHandler.decideStatus` and `ServiceTaskStateHandler.compensateSubStateMachine`.
    pub(super) fn tell_parent(&mut self, key: SagaKey) {
        let Some(child) = self.saga(key) else {
            return;
        };
        let Some((parent, record)) = child.parent else {
            return;
        };
        let Some(above) = self.saga(parent) else {
            return;
        };
        let compensates = above.records[record as usize].compensates.is_some();
        let is_forward = above.run.operation == Operation::Forward;
        let came = if child.thrown {
            let unknown = || Exception::engine(Code::SubMachine, "the saga failed").into();
            Came::threw(child.exception.clone().unwrap_or_else(unknown))
        } else {
            let status = if compensates {
                child.compensation
            } else {
                Some(match (child.status, child.compensation) {
                    (Status::Succeeded, _) if is_forward => Status::Succeeded,
                    (status, None | Some(Status::Failed)) => status,
                    (_, Some(Status::Succeeded)) => Status::Failed,
                    _ => Status::Unknown,
                })
            };
            let mut output = child.vars.to_map();
            if let (Some(status), false) = (status, compensates) {
                output.insert(
                    "_sub_statemachine_execution_status_".into(),
                    status.name().into(),
                );
            }
            let output = Value::Object(output);
            let is_too_large = bytes(&output) > self.world.config.value_bytes_max;
            if is_too_large && !compensates {
                // What it did stays done.
                let message = "the saga's variables are larger or deeper than allowed";
                return self.child_failed(
                    parent,
                    record,
                    Exception::engine(Code::TooLarge, message),
                    status,
                );
            }
            Came {
                output: (!is_too_large).then(|| output.into()),
                status,
                ..Came::default()
            }
        };
        self.with(parent, |step| step.child_came_to(record, came));
    }
}

/// Whether a saga that another one started has called a credit that may have been carried out.
pub(super) fn children_past_pivot(slots: &[Slot], machines: &[Defined], saga: &Saga) -> bool {
    saga.records
        .iter()
        .filter(|record| record.compensates.is_none())
        .filter_map(|record| record.child)
        .filter_map(|key| slots.get(key.slot as usize)?.saga.as_deref())
        .any(|child| {
            // A credit that the child has undone moves nothing any more.
            child.compensation != Some(Status::Succeeded)
                && (is_past_pivot(child, &machines[child.machine.0 as usize].machine)
                    || children_past_pivot(slots, machines, child))
        })
}
