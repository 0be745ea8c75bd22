//! Writing.

use diwan_hessian::{Dialect, Encoder};

use super::{PROTOCOL, TRANSACTION};
use crate::body::Names;
use crate::{
    BranchEnd, BranchEnded, BranchRegister, BranchStatus, BranchType, GlobalStatus, Identified,
    Identify, Message, Outcome, Xid,
};

/// What a field holds.
enum Field<'a> {
    /// Empty ones are null.
    Text(&'a str),
    Int(i32),
    Long(i64),
    Bool(bool),
    /// Of an enum: its class after the root, and a constant's name.
    Constant(&'static str, &'static str),
    Null,
    List(&'a [Message]),
    /// In Java an array.
    Array(&'a [Message]),
    Ids(&'a [i32]),
}

type Fields<'a> = Vec<(&'static str, Field<'a>)>;

/// Appends a message.
pub(crate) fn encode(names: Names, message: &Message, out: &mut Vec<u8>) {
    let encoder = Encoder::new(Dialect::Final, out);
    Writer { encoder, names }.message(message);
}

struct Writer<'a> {
    encoder: Encoder<'a>,
    names: Names,
}

impl Writer<'_> {
    fn class(&self, package: &str, class: &str) -> String {
        [self.names.root(), package, class].concat()
    }

    fn message(&mut self, message: &Message) {
        let (package, class, fields) = object(message);
        let class = self.class(package, class);
        let field_names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        self.encoder.object_dyn(&class, &field_names);
        for (_, field) in fields {
            self.field(field);
        }
    }

    fn field(&mut self, field: Field<'_>) {
        match field {
            Field::Text("") | Field::Null => self.encoder.null(),
            Field::Text(text) => self.encoder.str(text),
            Field::Int(number) => self.encoder.int(number),
            Field::Long(number) => self.encoder.long(number),
            Field::Bool(value) => self.encoder.bool(value),
            Field::Constant(class, constant) => {
                let class = self.class("core.", class);
                self.encoder.object_dyn(&class, &["name"]);
                self.encoder.str(constant);
            }
            Field::List(messages) => self.messages(None, messages),
            Field::Array(messages) => {
                let class = self.class(PROTOCOL, "AbstractResultMessage");
                self.messages(Some(&format!("[{class}")), messages);
            }
            Field::Ids(ids) => {
                self.encoder.list_begin(None, ids.len());
                for id in ids {
                    self.encoder.int(*id);
                }
                self.encoder.list_end();
            }
        }
    }

    fn messages(&mut self, class: Option<&str>, messages: &[Message]) {
        self.encoder.list_begin(class, messages.len());
        for message in messages {
            self.message(message);
        }
        self.encoder.list_end();
    }
}

fn branch_type(of: BranchType) -> (&'static str, Field<'static>) {
    let constant = Field::Constant("model.BranchType", of.name());
    ("branchType", constant)
}

fn branch_status(of: BranchStatus) -> Field<'static> {
    Field::Constant("model.BranchStatus", of.name())
}

fn global_status(of: GlobalStatus) -> Field<'static> {
    Field::Constant("model.GlobalStatus", of.name())
}

fn result_code(success: bool) -> (&'static str, Field<'static>) {
    let name = if success { "Success" } else { "Failed" };
    ("resultCode", Field::Constant("protocol.ResultCode", name))
}

fn outcome(of: &Outcome) -> Fields<'_> {
    let code = Field::Constant("exception.TransactionExceptionCode", of.code.name());
    let text = of.failure.as_deref().unwrap_or_default();
    vec![
        result_code(of.failure.is_none()),
        ("msg", Field::Text(text)),
        ("transactionExceptionCode", code),
    ]
}

fn with_status(of: &Outcome, status: GlobalStatus) -> Fields<'_> {
    let mut fields = outcome(of);
    fields.push(("globalStatus", global_status(status)));
    fields
}

fn xid(of: &Xid) -> Fields<'_> {
    vec![
        ("xid", Field::Text(&of.xid)),
        ("extraData", Field::Text(&of.extra_data)),
    ]
}

fn identify(of: &Identify) -> Fields<'_> {
    vec![
        ("version", Field::Text(&of.version)),
        ("applicationId", Field::Text(&of.application_id)),
        (
            "transactionServiceGroup",
            Field::Text(&of.transaction_group),
        ),
        ("extraData", Field::Text(&of.extra_data)),
    ]
}

fn identified(of: &Identified) -> Fields<'_> {
    vec![
        ("identified", Field::Bool(of.accepted)),
        ("version", Field::Text(&of.version)),
        result_code(of.accepted),
    ]
}

fn branch_register(of: &BranchRegister) -> Fields<'_> {
    vec![
        ("xid", Field::Text(&of.xid)),
        branch_type(of.branch_type),
        ("resourceId", Field::Text(&of.resource_id)),
        ("lockKey", Field::Text(&of.lock_key)),
        ("applicationData", Field::Text(&of.application_data)),
    ]
}

fn branch_end(of: &BranchEnd) -> Fields<'_> {
    vec![
        ("xid", Field::Text(&of.xid)),
        ("branchId", Field::Long(of.branch_id)),
        branch_type(of.branch_type),
        ("resourceId", Field::Text(&of.resource_id)),
        ("applicationData", Field::Text(&of.application_data)),
    ]
}

fn branch_ended(of: &BranchEnded) -> Fields<'_> {
    let mut fields = outcome(&of.outcome);
    fields.push(("xid", Field::Text(&of.xid)));
    fields.push(("branchId", Field::Long(of.branch_id)));
    fields.push(("branchStatus", branch_status(of.status)));
    fields
}

/// The package of a message's class after the root, the class, and its fields.
fn object(message: &Message) -> (&'static str, &'static str, Fields<'_>) {
    let (class, fields) = match message {
        Message::GlobalBegin { timeout_ms, name } => (
            "GlobalBeginRequest",
            vec![
                ("timeout", Field::Int(*timeout_ms)),
                ("transactionName", Field::Text(name)),
            ],
        ),
        Message::GlobalBeginResult {
            outcome: how,
            xid,
            extra_data,
        } => {
            let mut fields = outcome(how);
            fields.push(("xid", Field::Text(xid)));
            fields.push(("extraData", Field::Text(extra_data)));
            ("GlobalBeginResponse", fields)
        }
        Message::BranchCommit(end) => ("BranchCommitRequest", branch_end(end)),
        Message::BranchCommitResult(ended) => ("BranchCommitResponse", branch_ended(ended)),
        Message::BranchRollback(end) => ("BranchRollbackRequest", branch_end(end)),
        Message::BranchRollbackResult(ended) => ("BranchRollbackResponse", branch_ended(ended)),
        Message::GlobalCommit(one) => ("GlobalCommitRequest", xid(one)),
        Message::GlobalCommitResult(how, status) => {
            ("GlobalCommitResponse", with_status(how, *status))
        }
        Message::GlobalRollback(one) => ("GlobalRollbackRequest", xid(one)),
        Message::GlobalRollbackResult(how, status) => {
            ("GlobalRollbackResponse", with_status(how, *status))
        }
        Message::BranchRegister(one) => ("BranchRegisterRequest", branch_register(one)),
        Message::BranchRegisterResult {
            outcome: how,
            branch_id,
        } => {
            let mut fields = outcome(how);
            fields.push(("branchId", Field::Long(*branch_id)));
            ("BranchRegisterResponse", fields)
        }
        Message::BranchReport(one) => (
            "BranchReportRequest",
            vec![
                ("xid", Field::Text(&one.xid)),
                ("branchId", Field::Long(one.branch_id)),
                ("resourceId", Field::Text(&one.resource_id)),
                ("status", branch_status(one.status)),
                ("applicationData", Field::Text(&one.application_data)),
                branch_type(one.branch_type),
            ],
        ),
        Message::BranchReportResult(how) => ("BranchReportResponse", outcome(how)),
        Message::GlobalStatus(one) => ("GlobalStatusRequest", xid(one)),
        Message::GlobalStatusResult(how, status) => {
            ("GlobalStatusResponse", with_status(how, *status))
        }
        Message::GlobalReport { xid: one, status } => {
            let mut fields = xid(one);
            fields.push(("globalStatus", status.map_or(Field::Null, global_status)));
            ("GlobalReportRequest", fields)
        }
        Message::GlobalReportResult(how, status) => {
            ("GlobalReportResponse", with_status(how, *status))
        }
        Message::GlobalLockQuery(one) => ("GlobalLockQueryRequest", branch_register(one)),
        Message::GlobalLockQueryResult {
            outcome: how,
            lockable,
        } => {
            let mut fields = outcome(how);
            fields.push(("lockable", Field::Bool(*lockable)));
            ("GlobalLockQueryResponse", fields)
        }
        Message::UndoLogDelete {
            branch_type: kind,
            resource_id,
            save_days,
        } => (
            "UndoLogDeleteRequest",
            vec![
                ("resourceId", Field::Text(resource_id)),
                ("saveDays", Field::Int((*save_days).into())),
                branch_type(*kind),
            ],
        ),
        other => {
            let (class, fields) = of_connections(other);
            return (PROTOCOL, class, fields);
        }
    };
    (TRANSACTION, class, fields)
}

/// The messages that belong to a connection, not to a transaction.
fn of_connections(message: &Message) -> (&'static str, Fields<'_>) {
    match message {
        Message::Merge { messages, ids } => (
            "MergedWarpMessage",
            vec![("msgs", Field::List(messages)), ("msgIds", Field::Ids(ids))],
        ),
        Message::MergeResult(messages) => {
            ("MergeResultMessage", vec![("msgs", Field::Array(messages))])
        }
        Message::BatchResult { messages, ids } => (
            "BatchResultMessage",
            vec![
                ("resultMessages", Field::List(messages)),
                ("msgIds", Field::Ids(ids)),
            ],
        ),
        Message::RegisterTm(one) => ("RegisterTMRequest", identify(one)),
        Message::RegisterTmResult(one) => ("RegisterTMResponse", identified(one)),
        Message::RegisterRm {
            identify: one,
            resource_ids,
        } => {
            let mut fields = identify(one);
            fields.push(("resourceIds", Field::Text(resource_ids)));
            ("RegisterRMRequest", fields)
        }
        Message::RegisterRmResult(one) => ("RegisterRMResponse", identified(one)),
        _ => unreachable!("the messages of transactions have been named"),
    }
}
