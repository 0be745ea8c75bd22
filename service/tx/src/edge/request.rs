//! What clients ask in Seata's words, as operations; and the answers in their words again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use diwan_seata::body::Speech;
use diwan_seata::frame::Kind as FrameKind;
use diwan_seata::{BranchRegister, ExceptionCode, GlobalStatus, Message as Spoken, Outcome};

use super::call::{Channel, Client};
use super::desk::{Desk, Then};
use super::peers::{Read, Rows};
use crate::state::{Answer, Begin, GlobalReport, Kind, Register, Report};

/// Who is to be answered.
pub(super) enum Responder {
    /// A client.
    Here {
        channel: Rc<Channel>,
        speech: Speech,
        id: i32,
    },
    /// A client that asked for more at the same time.
    Part { merged: Rc<Merged>, place: usize },
}

/// Requests that came in one frame: their answers leave in one.
pub(super) struct Merged {
    answers: RefCell<Vec<Option<Spoken>>>,
    left: Cell<usize>,
    to: RefCell<Option<Responder>>,
}

impl Responder {
    pub(super) fn send(self, message: Spoken) {
        match self {
            Self::Here {
                channel,
                speech,
                id,
            } => {
                channel.write(FrameKind::Response, speech, id, &message);
            }
            Self::Part { merged, place } => {
                merged.answers.borrow_mut()[place] = Some(message);
                merged.left.set(merged.left.get() - 1);
                if merged.left.get() == 0
                    && let Some(to) = merged.to.take()
                {
                    let answers = merged.answers.take().into_iter().flatten().collect();
                    to.send(Spoken::MergeResult(answers));
                }
            }
        }
    }
}

/// Which answer is to be given.
pub(super) enum Shape {
    Begin,
    Commit,
    Rollback,
    Status,
    GlobalReport,
    Register,
    Report,
    LockQuery,
}

impl Desk {
    /// A client asks.
    pub(super) fn request(self: &Rc<Self>, client: &Client, message: Spoken, responder: Responder) {
        let xid = |xid: &str| transaction(xid);
        let (operation, shape): (Kind, Shape) = match message {
            Spoken::GlobalBegin { timeout_ms, name } => (
                Kind::Begin(Begin {
                    label: self.label.clone(),
                    application: client.application.clone(),
                    group: client.group.clone(),
                    name,
                    timeout_ms: u32::try_from(timeout_ms).unwrap_or(0),
                }),
                Shape::Begin,
            ),
            Spoken::GlobalCommit(one) => (Kind::Commit(xid(&one.xid)), Shape::Commit),
            Spoken::GlobalRollback(one) => (Kind::Rollback(xid(&one.xid)), Shape::Rollback),
            Spoken::GlobalStatus(one) => {
                let read = Read {
                    transaction: xid(&one.xid),
                    rows: None,
                };
                return self.read(read, Then::Client(responder, Shape::Status));
            }
            Spoken::GlobalLockQuery(one) => {
                let read = Read {
                    transaction: xid(&one.xid),
                    rows: Some(Rows {
                        resource: one.resource_id,
                        lock_key: one.lock_key,
                    }),
                };
                return self.read(read, Then::Client(responder, Shape::LockQuery));
            }
            Spoken::GlobalReport { xid: one, status } => (
                Kind::GlobalReport(GlobalReport {
                    transaction: xid(&one.xid),
                    status: status.unwrap_or(GlobalStatus::UnKnown).byte().into(),
                }),
                Shape::GlobalReport,
            ),
            Spoken::BranchRegister(one) => (register(one, &client.id), Shape::Register),
            Spoken::BranchReport(one) => (
                Kind::Report(Report {
                    transaction: xid(&one.xid),
                    branch: one.branch_id,
                    status: one.status.byte().into(),
                    application_data: one.application_data,
                }),
                Shape::Report,
            ),
            Spoken::Merge { messages, .. } if messages.is_empty() => {
                return responder.send(Spoken::MergeResult(messages));
            }
            Spoken::Merge { messages, .. } => {
                let merged = Rc::new(Merged {
                    answers: RefCell::new(messages.iter().map(|_| None).collect()),
                    left: Cell::new(messages.len()),
                    to: RefCell::new(Some(responder)),
                });
                for (place, message) in messages.into_iter().enumerate() {
                    let merged = merged.clone();
                    self.request(client, message, Responder::Part { merged, place });
                }
                return;
            }
            other => {
                self.count_malformed();
                tracing::warn!(client = client.id, message = ?other, "not a request to a coordinator");
                return;
            }
        };
        self.submit(operation.into(), Then::Client(responder, shape));
    }
}

/// The number at the end of an xid; -1, which is no transaction's, if there is none.
fn transaction(xid: &str) -> i64 {
    let number = xid.rsplit(':').next().unwrap_or_default();
    number.parse().unwrap_or(-1)
}

fn register(one: BranchRegister, client: &str) -> Kind {
    Kind::Register(Register {
        transaction: transaction(&one.xid),
        branch_type: one.branch_type.byte().into(),
        resource: one.resource_id,
        client: client.to_owned(),
        lock_key: one.lock_key,
        application_data: one.application_data,
    })
}

/// An answer as clients want it.
pub(super) fn message(shape: &Shape, answer: &Answer, label: &str) -> Spoken {
    let code = u8::try_from(answer.code).ok();
    let outcome = Outcome {
        failure: answer.refused.clone(),
        code: code.and_then(ExceptionCode::from_byte).unwrap_or_default(),
    };
    let status = u8::try_from(answer.status).ok();
    let status = status.and_then(GlobalStatus::from_byte);
    let status = status.unwrap_or(GlobalStatus::UnKnown);
    let succeeded = outcome.failure.is_none();
    match shape {
        Shape::Begin => Spoken::GlobalBeginResult {
            xid: match succeeded {
                true => format!("{label}{}", answer.id),
                false => String::new(),
            },
            outcome,
            extra_data: String::new(),
        },
        Shape::Commit => Spoken::GlobalCommitResult(outcome, status),
        Shape::Rollback => Spoken::GlobalRollbackResult(outcome, status),
        Shape::Status => Spoken::GlobalStatusResult(outcome, status),
        Shape::GlobalReport => Spoken::GlobalReportResult(outcome, status),
        Shape::Register => Spoken::BranchRegisterResult {
            branch_id: answer.id,
            outcome,
        },
        Shape::Report => Spoken::BranchReportResult(outcome),
        Shape::LockQuery => Spoken::GlobalLockQueryResult {
            lockable: answer.id == 1,
            outcome,
        },
    }
}
