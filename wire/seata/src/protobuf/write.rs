//! Writing.

use super::shapes::{self, Any, Base, Merged, Only, Request, Response, Result};
use super::{PACKAGE, TYPE_URL, code_number};
use crate::binary::kind;
use crate::body::Names;
use crate::{
    BranchEnd, BranchEnded, BranchRegister, GlobalStatus, Identified, Identify, Message, Outcome,
    Xid,
};

/// Appends a message.
pub(crate) fn encode(names: Names, message: &Message, out: &mut Vec<u8>) {
    let (name, content) = shape(names, message);
    let name = full_name(names, name);
    // Names are short.
    out.extend((name.len() as u32).to_be_bytes());
    out.extend(name.as_bytes());
    out.extend(content);
}

fn full_name(names: Names, name: &str) -> String {
    [names.root(), PACKAGE, name, "Proto"].concat()
}

/// The name of a message, and its bytes.
fn shape(names: Names, message: &Message) -> (&'static str, Vec<u8>) {
    let base = Base {
        kind: kind(message).into(),
    };
    let request = Request { base: Some(base) };
    match message {
        Message::GlobalBegin { timeout_ms, name } => written(
            "GlobalBeginRequest",
            &shapes::GlobalBegin {
                request: Some(request),
                timeout_ms: *timeout_ms,
                name: name.clone(),
            },
        ),
        Message::GlobalBeginResult {
            outcome,
            xid,
            extra_data,
        } => written(
            "GlobalBeginResponse",
            &shapes::GlobalBeginResult {
                response: response(base, outcome),
                xid: xid.clone(),
                extra_data: extra_data.clone(),
            },
        ),
        Message::BranchCommit(end) => branch_end("BranchCommitRequest", request, end),
        Message::BranchRollback(end) => branch_end("BranchRollbackRequest", request, end),
        Message::BranchCommitResult(ended) => branch_ended("BranchCommitResponse", base, ended),
        Message::BranchRollbackResult(ended) => branch_ended("BranchRollbackResponse", base, ended),
        Message::GlobalCommit(xid) => only("GlobalCommitRequest", global_end(request, xid)),
        Message::GlobalRollback(xid) => only("GlobalRollbackRequest", global_end(request, xid)),
        Message::GlobalStatus(xid) => only("GlobalStatusRequest", global_end(request, xid)),
        Message::GlobalReport { xid, status } => written(
            "GlobalReportRequest",
            &shapes::GlobalReport {
                end: Some(global_end(request, xid)),
                status: status.map_or(-1, |status| status.byte().into()),
            },
        ),
        Message::GlobalCommitResult(outcome, status) => {
            global_ended("GlobalCommitResponse", base, outcome, *status)
        }
        Message::GlobalRollbackResult(outcome, status) => {
            global_ended("GlobalRollbackResponse", base, outcome, *status)
        }
        Message::GlobalStatusResult(outcome, status) => {
            global_ended("GlobalStatusResponse", base, outcome, *status)
        }
        Message::GlobalReportResult(outcome, status) => {
            global_ended("GlobalReportResponse", base, outcome, *status)
        }
        Message::BranchRegister(one) => {
            written("BranchRegisterRequest", &branch_register(request, one))
        }
        Message::GlobalLockQuery(one) => {
            only("GlobalLockQueryRequest", branch_register(request, one))
        }
        Message::BranchRegisterResult { outcome, branch_id } => written(
            "BranchRegisterResponse",
            &shapes::BranchRegisterResult {
                response: response(base, outcome),
                branch_id: *branch_id,
            },
        ),
        Message::BranchReport(one) => written(
            "BranchReportRequest",
            &shapes::BranchReport {
                request: Some(request),
                xid: one.xid.clone(),
                branch_id: one.branch_id,
                resource_id: one.resource_id.clone(),
                status: one.status.byte().into(),
                application_data: one.application_data.clone(),
                branch_type: one.branch_type.byte().into(),
            },
        ),
        Message::BranchReportResult(outcome) => written(
            "BranchReportResponse",
            &Only {
                inner: response(base, outcome),
            },
        ),
        Message::GlobalLockQueryResult { outcome, lockable } => written(
            "GlobalLockQueryResponse",
            &shapes::GlobalLockQueryResult {
                response: response(base, outcome),
                lockable: *lockable,
            },
        ),
        Message::UndoLogDelete {
            branch_type,
            resource_id,
            save_days,
        } => written(
            "UndoLogDeleteRequest",
            &shapes::UndoLogDelete {
                request: Some(request),
                resource_id: resource_id.clone(),
                save_days: (*save_days).into(),
                branch_type: branch_type.byte().into(),
            },
        ),
        Message::RegisterTm(one) => only("RegisterTMRequest", identify(base, one)),
        Message::RegisterTmResult(one) => only("RegisterTMResponse", identified(base, one)),
        Message::RegisterRm {
            identify: one,
            resource_ids,
        } => written(
            "RegisterRMRequest",
            &shapes::RegisterRm {
                identify: Some(identify(base, one)),
                resource_ids: resource_ids.clone(),
            },
        ),
        Message::RegisterRmResult(one) => only("RegisterRMResponse", identified(base, one)),
        Message::Merge { messages, ids } => {
            written("MergedWarpMessage", &merged(names, base, messages, ids))
        }
        Message::MergeResult(messages) => {
            written("MergedResultMessage", &merged(names, base, messages, &[]))
        }
        Message::BatchResult { messages, ids } => {
            written("BatchResultMessage", &merged(names, base, messages, ids))
        }
    }
}

fn written(name: &'static str, shape: &impl prost::Message) -> (&'static str, Vec<u8>) {
    (name, shape.encode_to_vec())
}

fn only<T: prost::Message + Default>(name: &'static str, inner: T) -> (&'static str, Vec<u8>) {
    written(name, &Only { inner: Some(inner) })
}

fn merged(names: Names, base: Base, messages: &[Message], ids: &[i32]) -> Merged {
    let any = |message| {
        let (name, value) = shape(names, message);
        let type_url = format!("{TYPE_URL}{}", full_name(names, name));
        Any { type_url, value }
    };
    Merged {
        base: Some(base),
        messages: messages.iter().map(any).collect(),
        ids: ids.to_vec(),
    }
}

fn response(base: Base, outcome: &Outcome) -> Option<Response> {
    Some(Response {
        result: Some(Result {
            base: Some(base),
            success: outcome.failure.is_none().into(),
            text: outcome.failure.clone().unwrap_or_default(),
        }),
        code: code_number(outcome.code),
    })
}

fn global_ended(
    name: &'static str,
    base: Base,
    outcome: &Outcome,
    status: GlobalStatus,
) -> (&'static str, Vec<u8>) {
    let inner = shapes::GlobalEnded {
        response: response(base, outcome),
        status: status.byte().into(),
    };
    only(name, inner)
}

fn global_end(request: Request, xid: &Xid) -> shapes::GlobalEnd {
    shapes::GlobalEnd {
        request: Some(request),
        xid: xid.xid.clone(),
        extra_data: xid.extra_data.clone(),
    }
}

fn branch_end(name: &'static str, request: Request, end: &BranchEnd) -> (&'static str, Vec<u8>) {
    let inner = shapes::BranchEnd {
        request: Some(request),
        xid: end.xid.clone(),
        branch_id: end.branch_id,
        branch_type: end.branch_type.byte().into(),
        resource_id: end.resource_id.clone(),
        application_data: end.application_data.clone(),
    };
    only(name, inner)
}

fn branch_ended(name: &'static str, base: Base, ended: &BranchEnded) -> (&'static str, Vec<u8>) {
    let inner = shapes::BranchEnded {
        response: response(base, &ended.outcome),
        xid: ended.xid.clone(),
        branch_id: ended.branch_id,
        status: ended.status.byte().into(),
    };
    only(name, inner)
}

fn branch_register(request: Request, one: &BranchRegister) -> shapes::BranchRegister {
    shapes::BranchRegister {
        request: Some(request),
        xid: one.xid.clone(),
        branch_type: one.branch_type.byte().into(),
        resource_id: one.resource_id.clone(),
        lock_key: one.lock_key.clone(),
        application_data: one.application_data.clone(),
    }
}

fn identify(base: Base, one: &Identify) -> shapes::Identify {
    shapes::Identify {
        base: Some(base),
        version: one.version.clone(),
        application_id: one.application_id.clone(),
        group: one.transaction_group.clone(),
        extra_data: one.extra_data.clone(),
    }
}

fn identified(base: Base, one: &Identified) -> shapes::Identified {
    shapes::Identified {
        result: Some(Result {
            base: Some(base),
            success: one.accepted.into(),
            text: String::new(),
        }),
        version: one.version.clone(),
        extra_data: String::new(),
        identified: one.accepted,
    }
}
