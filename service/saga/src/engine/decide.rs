//! What the statuses are (`apache/incubator-seata:saga/seata-saga-engine`, `DefaultStatusDecisionStrategy.java` and
//! `ServiceTaskHandlerInterceptor.java`).

use super::exception::{Code, Exception, Kind};
use super::saga::{Operation, Saga};
use super::status::Status;
use crate::lang::{Machine, Work};

/// At the end of the way.
pub(super) fn on_end(saga: &mut Saga, machine: &Machine, exception: Option<&Exception>) {
    if saga.compensation == Some(Status::Running) {
        compensation(saga);
    } else {
        forward(saga, machine, exception, saga.run.has_failed);
    }
    if saga.compensation.is_some()
        && saga.run.operation == Operation::Forward
        && saga.status == Status::Succeeded
    {
        saga.compensation = Some(Status::Failed);
    }
}

/// When something ends the machine in the middle.
pub(super) fn on_fail(saga: &mut Saga, machine: &Machine, exception: &Exception) {
    if !forward(saga, machine, Some(exception), true) {
        saga.compensation = Some(Status::Unknown);
    }
}

fn compensation(saga: &mut Saga) {
    if saga.status == Status::Running {
        saga.status = Status::Unknown;
    }
    let Some(undoing) = &saga.run.undoing else {
        // Everything is compensated.
        saga.compensation = Some(Status::Succeeded);
        return;
    };
    let mut done = undoing
        .done
        .iter()
        .filter_map(|(_, record)| saga.records.get(*record as usize))
        .map(|record| record.status);
    let status = if undoing.stack.is_empty() {
        if done.all(|status| status == Status::Succeeded) {
            Status::Succeeded
        } else {
            Status::Unknown
        }
    } else if done.any(|status| matches!(status, Status::Unknown | Status::Succeeded)) {
        Status::Unknown
    } else {
        Status::Failed
    };
    saga.compensation = Some(status);
}

/// Decides the status unless it is decided; whether it was not.
fn forward(
    saga: &mut Saga,
    machine: &Machine,
    exception: Option<&Exception>,
    has_failed: bool,
) -> bool {
    if saga.status != Status::Running {
        return false;
    }
    saga.status = by_records(saga, machine, exception);
    if has_failed && saga.status == Status::Succeeded {
        let changed = saga.records.iter().any(|record| {
            !record.is_ignored
                && (record.compensates.is_some()
                    || machine
                        .state(record.state)
                        .task()
                        .is_some_and(|task| task.is_for_update))
        });
        saga.status = if changed {
            Status::Unknown
        } else {
            Status::Failed
        };
    }
    true
}

fn by_records(saga: &Saga, machine: &Machine, exception: Option<&Exception>) -> Status {
    let mut has_changed = false;
    let mut has_failed = false;
    for record in &saga.records {
        if record.is_ignored || record.compensates.is_some() {
            continue;
        }
        match record.status {
            Status::Unknown => return Status::Unknown,
            Status::Succeeded => {
                let task = machine.state(record.state).task();
                has_changed |= task.is_some_and(|task| {
                    task.is_for_update && matches!(task.work, Work::Service(_))
                });
            }
            Status::Skipped => {}
            Status::Failed | Status::Running => has_failed = true,
        }
    }
    if has_failed {
        return if has_changed {
            Status::Unknown
        } else {
            Status::Failed
        };
    }
    match exception {
        None => Status::Succeeded,
        Some(exception) if exception.code == Some(Code::Timeout) || has_changed => Status::Unknown,
        Some(exception) if exception.kind == Kind::ReadTimeout => Status::Unknown,
        Some(_) => Status::Failed,
    }
}

/// What a state's exception means if no rule says it.
pub(super) fn by_exception(changes: bool, exception: &Exception) -> Status {
    if changes && exception.kind != Kind::Connect {
        Status::Unknown
    } else {
        Status::Failed
    }
}
