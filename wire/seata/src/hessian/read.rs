//! Reading.

use diwan_hessian::{Decoder, Dialect, Limits};

use super::fields::Fields;
use super::{HessianError, PROTOCOL, TRANSACTION};
use crate::binary::MERGED_MAX;
use crate::body::Names;
use crate::{BranchReport, BranchStatus, Message};

/// Far more than messages have.
const LIMITS: Limits = Limits {
    depth_max: 16,
    elements_max: 4_000_000,
};

/// Whether a message stands in a merged one, which none may do that is merged itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inner {
    No,
    Yes,
}

/// Reads a body. What stands behind the message is ignored.
pub(crate) fn decode(body: &[u8]) -> Result<(Message, Names), HessianError> {
    let mut decoder = Decoder::with(body, Some(Dialect::Final), LIMITS);
    message(&mut decoder, Inner::No)
}

pub(super) fn messages(d: &mut Decoder<'_>, inner: Inner) -> Result<Vec<Message>, HessianError> {
    if inner == Inner::Yes {
        return Err(HessianError::Class {
            offset: d.position(),
            class: "a merged message in a merged message".into(),
        });
    }
    let mut messages = Vec::new();
    if let Some(mut head) = d.list_begin()? {
        while d.list_more(&mut head)? {
            if messages.len() == MERGED_MAX {
                let offset = d.position();
                return Err(HessianError::TooMany { offset });
            }
            messages.push(message(d, Inner::Yes)?.0);
        }
    }
    Ok(messages)
}

fn message(d: &mut Decoder<'_>, inner: Inner) -> Result<(Message, Names), HessianError> {
    let offset = d.position();
    let class = |class: &str| HessianError::Class {
        offset,
        class: class.to_owned(),
    };
    let Some(head) = d.object_begin()? else {
        return Err(class(""));
    };
    let full = d.class_name(head).into_owned();
    let (names, rest) = Names::strip(&full).ok_or_else(|| class(&full))?;
    let short = rest
        .strip_prefix(TRANSACTION)
        .or(rest.strip_prefix(PROTOCOL));
    let short = short.ok_or_else(|| class(&full))?;
    let mut fields = Fields {
        class: short.to_owned(),
        ..Fields::default()
    };
    for index in 0..d.field_count(head) {
        let field = d.field_name(head, index);
        fields.read(d, &field, inner)?;
    }
    d.object_end(head)?;
    let message = of_class(short, fields)?.ok_or_else(|| class(&full))?;
    let is_merged = matches!(
        message,
        Message::Merge { .. } | Message::MergeResult(_) | Message::BatchResult { .. }
    );
    match is_merged && inner == Inner::Yes {
        true => Err(class(&full)),
        false => Ok((message, names)),
    }
}

fn of_class(class: &str, mut fields: Fields) -> Result<Option<Message>, HessianError> {
    Ok(Some(match class {
        "GlobalBeginRequest" => Message::GlobalBegin {
            timeout_ms: fields.timeout_ms,
            name: fields.name,
        },
        "GlobalBeginResponse" => Message::GlobalBeginResult {
            outcome: fields.outcome()?,
            xid: fields.xid,
            extra_data: fields.extra_data,
        },
        "BranchCommitRequest" => Message::BranchCommit(fields.branch_end()?),
        "BranchCommitResponse" => Message::BranchCommitResult(fields.branch_ended()?),
        "BranchRollbackRequest" => Message::BranchRollback(fields.branch_end()?),
        "BranchRollbackResponse" => Message::BranchRollbackResult(fields.branch_ended()?),
        "GlobalCommitRequest" => Message::GlobalCommit(fields.of_transaction()),
        "GlobalCommitResponse" => {
            Message::GlobalCommitResult(fields.outcome()?, fields.global_status())
        }
        "GlobalRollbackRequest" => Message::GlobalRollback(fields.of_transaction()),
        "GlobalRollbackResponse" => {
            Message::GlobalRollbackResult(fields.outcome()?, fields.global_status())
        }
        "BranchRegisterRequest" => Message::BranchRegister(fields.branch_register()?),
        "BranchRegisterResponse" => Message::BranchRegisterResult {
            outcome: fields.outcome()?,
            branch_id: fields.branch_id,
        },
        "BranchReportRequest" => Message::BranchReport(BranchReport {
            branch_type: fields.branch_type()?,
            xid: fields.xid,
            branch_id: fields.branch_id,
            status: fields.branch_status.unwrap_or(BranchStatus::Unknown),
            resource_id: fields.resource_id,
            application_data: fields.application_data,
        }),
        "BranchReportResponse" => Message::BranchReportResult(fields.outcome()?),
        "GlobalStatusRequest" => Message::GlobalStatus(fields.of_transaction()),
        "GlobalStatusResponse" => {
            Message::GlobalStatusResult(fields.outcome()?, fields.global_status())
        }
        "GlobalReportRequest" => Message::GlobalReport {
            status: fields.global_status,
            xid: fields.of_transaction(),
        },
        "GlobalReportResponse" => {
            Message::GlobalReportResult(fields.outcome()?, fields.global_status())
        }
        "GlobalLockQueryRequest" => Message::GlobalLockQuery(fields.branch_register()?),
        "GlobalLockQueryResponse" => Message::GlobalLockQueryResult {
            outcome: fields.outcome()?,
            lockable: fields.lockable,
        },
        "MergedWarpMessage" => Message::Merge {
            messages: fields.messages,
            ids: fields.ids,
        },
        "MergeResultMessage" => Message::MergeResult(fields.messages),
        "BatchResultMessage" => Message::BatchResult {
            messages: fields.messages,
            ids: fields.ids,
        },
        "RegisterTMRequest" => Message::RegisterTm(fields.identify().0),
        "RegisterTMResponse" => Message::RegisterTmResult(fields.identified()),
        "RegisterRMRequest" => {
            let (identify, resource_ids) = fields.identify();
            Message::RegisterRm {
                identify,
                resource_ids,
            }
        }
        "RegisterRMResponse" => Message::RegisterRmResult(fields.identified()),
        "UndoLogDeleteRequest" => Message::UndoLogDelete {
            branch_type: fields.branch_type()?,
            resource_id: fields.resource_id,
            save_days: fields.save_days,
        },
        _ => return Ok(None),
    }))
}
