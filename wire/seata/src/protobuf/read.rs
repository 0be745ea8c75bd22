//! Reading.

use super::shapes::{self, Any, Merged, Only};
use super::{CODES, PACKAGE, ProtobufError};
use crate::binary::MERGED_MAX;
use crate::body::Names;
use crate::{
    BranchEnd, BranchEnded, BranchRegister, BranchReport, BranchStatus, BranchType, ExceptionCode,
    GlobalStatus, Identified, Identify, Message, Outcome, Xid,
};

type Read<T> = Result<T, ProtobufError>;

/// Reads a body.
pub(crate) fn decode(body: &[u8]) -> Read<(Message, Names)> {
    let Some((length, rest)) = body.split_first_chunk::<4>() else {
        return Err(ProtobufError::Name {
            announced: 4,
            left: body.len(),
        });
    };
    let announced = u32::from_be_bytes(*length);
    let length = usize::try_from(announced).unwrap_or(usize::MAX);
    let Some((name, content)) = rest.split_at_checked(length) else {
        return Err(ProtobufError::Name {
            announced,
            left: rest.len(),
        });
    };
    named(&String::from_utf8_lossy(name), content, true)
}

fn named(full: &str, content: &[u8], may_be_merged: bool) -> Read<(Message, Names)> {
    let unknown = || ProtobufError::Message(full.to_owned());
    let (names, rest) = Names::strip(full).ok_or_else(unknown)?;
    let name = rest
        .strip_prefix(PACKAGE)
        .and_then(|rest| rest.strip_suffix("Proto"));
    let name = name.ok_or_else(unknown)?;
    match message(name, content, may_be_merged)? {
        Some(message) => Ok((message, names)),
        None => Err(unknown()),
    }
}

fn message(name: &str, content: &[u8], may_be_merged: bool) -> Read<Option<Message>> {
    Ok(Some(match name {
        "GlobalBeginRequest" => {
            let shapes::GlobalBegin {
                timeout_ms,
                name: title,
                ..
            } = shape(name, content)?;
            Message::GlobalBegin {
                timeout_ms,
                name: title,
            }
        }
        "GlobalBeginResponse" => {
            let read: shapes::GlobalBeginResult = shape(name, content)?;
            Message::GlobalBeginResult {
                outcome: outcome(read.response)?,
                xid: read.xid,
                extra_data: read.extra_data,
            }
        }
        "BranchCommitRequest" => Message::BranchCommit(branch_end(only(name, content)?)?),
        "BranchCommitResponse" => Message::BranchCommitResult(branch_ended(only(name, content)?)?),
        "BranchRollbackRequest" => Message::BranchRollback(branch_end(only(name, content)?)?),
        "BranchRollbackResponse" => {
            Message::BranchRollbackResult(branch_ended(only(name, content)?)?)
        }
        "GlobalCommitRequest" => Message::GlobalCommit(xid(only(name, content)?)),
        "GlobalCommitResponse" => {
            let (outcome, status) = global_ended(only(name, content)?)?;
            Message::GlobalCommitResult(outcome, status)
        }
        "GlobalRollbackRequest" => Message::GlobalRollback(xid(only(name, content)?)),
        "GlobalRollbackResponse" => {
            let (outcome, status) = global_ended(only(name, content)?)?;
            Message::GlobalRollbackResult(outcome, status)
        }
        "GlobalStatusRequest" => Message::GlobalStatus(xid(only(name, content)?)),
        "GlobalStatusResponse" => {
            let (outcome, status) = global_ended(only(name, content)?)?;
            Message::GlobalStatusResult(outcome, status)
        }
        "GlobalReportRequest" => {
            let read: shapes::GlobalReport = shape(name, content)?;
            Message::GlobalReport {
                xid: xid(read.end.unwrap_or_default()),
                status: match read.status {
                    ..0 => None,
                    status => Some(global_status(status)?),
                },
            }
        }
        "GlobalReportResponse" => {
            let (outcome, status) = global_ended(only(name, content)?)?;
            Message::GlobalReportResult(outcome, status)
        }
        "BranchRegisterRequest" => Message::BranchRegister(branch_register(shape(name, content)?)?),
        "BranchRegisterResponse" => {
            let read: shapes::BranchRegisterResult = shape(name, content)?;
            Message::BranchRegisterResult {
                outcome: outcome(read.response)?,
                branch_id: read.branch_id,
            }
        }
        "BranchReportRequest" => Message::BranchReport(branch_report(shape(name, content)?)?),
        "BranchReportResponse" => Message::BranchReportResult(outcome(Some(only(name, content)?))?),
        "GlobalLockQueryRequest" => {
            Message::GlobalLockQuery(branch_register(only(name, content)?)?)
        }
        "GlobalLockQueryResponse" => {
            let read: shapes::GlobalLockQueryResult = shape(name, content)?;
            Message::GlobalLockQueryResult {
                outcome: outcome(read.response)?,
                lockable: read.lockable,
            }
        }
        "UndoLogDeleteRequest" => {
            let read: shapes::UndoLogDelete = shape(name, content)?;
            Message::UndoLogDelete {
                branch_type: branch_type(read.branch_type)?,
                resource_id: read.resource_id,
                save_days: i16::try_from(read.save_days).map_err(|_| ProtobufError::Value {
                    what: "number of days",
                    number: read.save_days,
                })?,
            }
        }
        "RegisterTMRequest" => Message::RegisterTm(identify(only(name, content)?)),
        "RegisterTMResponse" => Message::RegisterTmResult(identified(only(name, content)?)),
        "RegisterRMRequest" => {
            let read: shapes::RegisterRm = shape(name, content)?;
            Message::RegisterRm {
                identify: identify(read.identify.unwrap_or_default()),
                resource_ids: read.resource_ids,
            }
        }
        "RegisterRMResponse" => Message::RegisterRmResult(identified(only(name, content)?)),
        "MergedWarpMessage" if may_be_merged => {
            let read: Merged = shape(name, content)?;
            Message::Merge {
                messages: messages(read.messages)?,
                ids: read.ids,
            }
        }
        "MergedResultMessage" if may_be_merged => {
            let read: Merged = shape(name, content)?;
            Message::MergeResult(messages(read.messages)?)
        }
        "BatchResultMessage" if may_be_merged => {
            let read: Merged = shape(name, content)?;
            Message::BatchResult {
                messages: messages(read.messages)?,
                ids: read.ids,
            }
        }
        _ => return Ok(None),
    }))
}

fn shape<T: prost::Message + Default>(name: &str, content: &[u8]) -> Read<T> {
    T::decode(content).map_err(|error| ProtobufError::Content {
        name: name.to_owned(),
        error,
    })
}

fn only<T: prost::Message + Default>(name: &str, content: &[u8]) -> Read<T> {
    let only: Only<T> = shape(name, content)?;
    Ok(only.inner.unwrap_or_default())
}

fn messages(all: Vec<Any>) -> Read<Vec<Message>> {
    if all.len() > MERGED_MAX {
        return Err(ProtobufError::TooMany(all.len()));
    }
    let one = |any: Any| {
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        Ok(named(name, &any.value, false)?.0)
    };
    all.into_iter().map(one).collect()
}

fn value<T>(what: &'static str, number: i32, of: impl FnOnce(u8) -> Option<T>) -> Read<T> {
    let byte = u8::try_from(number).ok();
    byte.and_then(of)
        .ok_or(ProtobufError::Value { what, number })
}

fn branch_type(number: i32) -> Read<BranchType> {
    value("kind of branch", number, BranchType::from_byte)
}

fn branch_status(number: i32) -> Read<BranchStatus> {
    value("status of a branch", number, BranchStatus::from_byte)
}

fn global_status(number: i32) -> Read<GlobalStatus> {
    value("status of a transaction", number, GlobalStatus::from_byte)
}

fn exception_code(number: i32) -> Read<ExceptionCode> {
    value("reason of a failure", number, |byte| {
        CODES.get(usize::from(byte)).copied()
    })
}

fn outcome(response: Option<shapes::Response>) -> Read<Outcome> {
    let response = response.unwrap_or_default();
    let result = response.result.unwrap_or_default();
    Ok(Outcome {
        failure: (result.success == 0).then_some(result.text),
        code: exception_code(response.code)?,
    })
}

fn global_ended(read: shapes::GlobalEnded) -> Read<(Outcome, GlobalStatus)> {
    Ok((outcome(read.response)?, global_status(read.status)?))
}

fn xid(read: shapes::GlobalEnd) -> Xid {
    Xid {
        xid: read.xid,
        extra_data: read.extra_data,
    }
}

fn identify(read: shapes::Identify) -> Identify {
    Identify {
        version: read.version,
        application_id: read.application_id,
        transaction_group: read.group,
        extra_data: read.extra_data,
    }
}

fn identified(read: shapes::Identified) -> Identified {
    Identified {
        accepted: read.identified,
        version: read.version,
    }
}

fn branch_register(read: shapes::BranchRegister) -> Read<BranchRegister> {
    Ok(BranchRegister {
        xid: read.xid,
        branch_type: branch_type(read.branch_type)?,
        resource_id: read.resource_id,
        lock_key: read.lock_key,
        application_data: read.application_data,
    })
}

fn branch_report(read: shapes::BranchReport) -> Read<BranchReport> {
    Ok(BranchReport {
        xid: read.xid,
        branch_id: read.branch_id,
        status: branch_status(read.status)?,
        resource_id: read.resource_id,
        application_data: read.application_data,
        branch_type: branch_type(read.branch_type)?,
    })
}

fn branch_end(read: shapes::BranchEnd) -> Read<BranchEnd> {
    Ok(BranchEnd {
        xid: read.xid,
        branch_id: read.branch_id,
        branch_type: branch_type(read.branch_type)?,
        resource_id: read.resource_id,
        application_data: read.application_data,
    })
}

fn branch_ended(read: shapes::BranchEnded) -> Read<BranchEnded> {
    Ok(BranchEnded {
        outcome: outcome(read.response)?,
        xid: read.xid,
        branch_id: read.branch_id,
        status: branch_status(read.status)?,
    })
}
