//! Seata's own codec: a type (u16) and fields, big-endian, texts with an i16 or i32 length before them.
//! Source: apache/incubator-seata:serializer/seata-serializer-seata/src/main/java/org/apache/seata/serializer/seata/protocol/.

use thiserror::Error;

use crate::{
    BranchEnd, BranchEnded, BranchRegister, BranchReport, BranchStatus, BranchType, ExceptionCode,
    GlobalStatus, Identified, Identify, Message, Outcome, Xid,
};

/// Messages in one merged message.
pub(crate) const MERGED_MAX: usize = 100_000;

/// A body cannot be read; other frames can.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("byte {offset}: {problem}")]
pub struct MessageError {
    /// Position in the body.
    pub offset: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// It ends too early.
    #[error("{needed} more bytes were announced, {left} are there")]
    Short {
        /// Announced.
        needed: usize,
        /// There.
        left: usize,
    },
    /// No message has this type, or not here.
    #[error("no message has the type {0} here")]
    Type(u16),
    /// A length is negative.
    #[error("negative length {0}")]
    Negative(i64),
    /// A byte stands for nothing.
    #[error("{byte} is no {what}")]
    Value {
        /// What it should be.
        what: &'static str,
        /// What stood there.
        byte: u8,
    },
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// Too many messages in one.
    #[error("{0} messages in one, {MERGED_MAX} are the most")]
    TooMany(usize),
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

type Read<T> = Result<T, MessageError>;

impl<'a> Reader<'a> {
    fn error<T>(&self, problem: Problem) -> Read<T> {
        Err(MessageError {
            offset: self.at,
            problem,
        })
    }

    fn left(&self) -> usize {
        self.input.len() - self.at
    }

    fn take(&mut self, bytes: usize) -> Read<&'a [u8]> {
        match self.input[self.at..].get(..bytes) {
            Some(taken) => {
                self.at += bytes;
                Ok(taken)
            }
            None => self.error(Problem::Short {
                needed: bytes,
                left: self.left(),
            }),
        }
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let taken = self.take(N)?;
        // `take` gave exactly that many.
        Ok(std::array::from_fn(|at| taken[at]))
    }

    fn u8(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Read<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn i32(&mut self) -> Read<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> Read<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A text behind its length.
    fn text(&mut self, length: i64) -> Read<String> {
        let Ok(bytes) = usize::try_from(length) else {
            return self.error(Problem::Negative(length));
        };
        let offset = self.at;
        match std::str::from_utf8(self.take(bytes)?) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(MessageError {
                offset: offset + error.valid_up_to(),
                problem: Problem::Utf8,
            }),
        }
    }

    /// A text with a short length. Java writes longer ones than fit with their length cut off; nothing can be done about that.
    fn short_text(&mut self) -> Read<String> {
        let length = self.u16()?;
        self.text(i64::from(length.cast_signed()))
    }

    fn long_text(&mut self) -> Read<String> {
        let length = self.i32()?;
        self.text(i64::from(length))
    }

    fn value<T>(&mut self, what: &'static str, of: impl FnOnce(u8) -> Option<T>) -> Read<T> {
        let offset = self.at;
        let byte = self.u8()?;
        of(byte).ok_or(MessageError {
            offset,
            problem: Problem::Value { what, byte },
        })
    }

    fn branch_type(&mut self) -> Read<BranchType> {
        self.value("kind of branch", BranchType::from_byte)
    }

    fn branch_status(&mut self) -> Read<BranchStatus> {
        self.value("status of a branch", BranchStatus::from_byte)
    }

    fn global_status(&mut self) -> Read<GlobalStatus> {
        self.value("status of a transaction", GlobalStatus::from_byte)
    }

    /// The result code, and after a failure its text.
    fn failure(&mut self) -> Read<Option<String>> {
        let success = self.value("result code", |byte| (byte < 2).then_some(byte == 1))?;
        match success {
            true => Ok(None),
            false => self.short_text().map(Some),
        }
    }

    fn outcome(&mut self) -> Read<Outcome> {
        Ok(Outcome {
            failure: self.failure()?,
            code: self.value("reason of a failure", ExceptionCode::from_byte)?,
        })
    }

    fn identify(&mut self) -> Read<Identify> {
        Ok(Identify {
            version: self.short_text()?,
            application_id: self.short_text()?,
            transaction_group: self.short_text()?,
            // Old clients end here.
            extra_data: self.optional_text()?,
        })
    }

    fn optional_text(&mut self) -> Read<String> {
        match self.left() {
            0 => Ok(String::new()),
            _ => self.short_text(),
        }
    }

    fn identified(&mut self) -> Read<Identified> {
        Ok(Identified {
            accepted: self.u8()? == 1,
            version: self.optional_text()?,
        })
    }

    fn xid(&mut self) -> Read<Xid> {
        Ok(Xid {
            xid: self.short_text()?,
            extra_data: self.short_text()?,
        })
    }

    fn branch_register(&mut self) -> Read<BranchRegister> {
        Ok(BranchRegister {
            xid: self.short_text()?,
            branch_type: self.branch_type()?,
            resource_id: self.short_text()?,
            lock_key: self.long_text()?,
            application_data: self.long_text()?,
        })
    }

    fn branch_end(&mut self) -> Read<BranchEnd> {
        Ok(BranchEnd {
            xid: self.short_text()?,
            branch_id: self.i64()?,
            branch_type: self.branch_type()?,
            resource_id: self.short_text()?,
            application_data: self.long_text()?,
        })
    }

    fn branch_ended(&mut self) -> Read<BranchEnded> {
        Ok(BranchEnded {
            outcome: self.outcome()?,
            xid: self.short_text()?,
            branch_id: self.i64()?,
            status: self.branch_status()?,
        })
    }

    /// The messages of a merged message. One inside another is no message.
    fn messages(&mut self) -> Read<Vec<Message>> {
        // The length of the whole.
        self.i32()?;
        let count = usize::from(self.u16()?);
        if count > MERGED_MAX {
            return self.error(Problem::TooMany(count));
        }
        // Each has two bytes at least.
        let mut messages = Vec::with_capacity(count.min(self.left() / 2));
        for _ in 0..count {
            messages.push(self.message(false)?);
        }
        Ok(messages)
    }

    fn ids(&mut self, count: usize) -> Read<Vec<i32>> {
        (0..count).map(|_| self.i32()).collect()
    }

    fn message(&mut self, may_be_merged: bool) -> Read<Message> {
        let offset = self.at;
        let kind = self.u16()?;
        Ok(match kind {
            1 => Message::GlobalBegin {
                timeout_ms: self.i32()?,
                name: self.short_text()?,
            },
            2 => Message::GlobalBeginResult {
                outcome: self.outcome()?,
                xid: self.short_text()?,
                extra_data: self.short_text()?,
            },
            3 => Message::BranchCommit(self.branch_end()?),
            4 => Message::BranchCommitResult(self.branch_ended()?),
            5 => Message::BranchRollback(self.branch_end()?),
            6 => Message::BranchRollbackResult(self.branch_ended()?),
            7 => Message::GlobalCommit(self.xid()?),
            8 => Message::GlobalCommitResult(self.outcome()?, self.global_status()?),
            9 => Message::GlobalRollback(self.xid()?),
            10 => Message::GlobalRollbackResult(self.outcome()?, self.global_status()?),
            11 => Message::BranchRegister(self.branch_register()?),
            12 => Message::BranchRegisterResult {
                outcome: self.outcome()?,
                branch_id: self.i64()?,
            },
            13 => Message::BranchReport(BranchReport {
                xid: self.short_text()?,
                branch_id: self.i64()?,
                status: self.branch_status()?,
                resource_id: self.short_text()?,
                application_data: self.long_text()?,
                branch_type: self.branch_type()?,
            }),
            14 => Message::BranchReportResult(self.outcome()?),
            15 => Message::GlobalStatus(self.xid()?),
            16 => Message::GlobalStatusResult(self.outcome()?, self.global_status()?),
            17 => Message::GlobalReport {
                xid: self.xid()?,
                status: match self.u8()? {
                    // Java's -1.
                    128.. => None,
                    byte => Some(GlobalStatus::from_byte(byte).ok_or(MessageError {
                        offset: self.at - 1,
                        problem: Problem::Value {
                            what: "status of a transaction",
                            byte,
                        },
                    })?),
                },
            },
            18 => Message::GlobalReportResult(self.outcome()?, self.global_status()?),
            21 => Message::GlobalLockQuery(self.branch_register()?),
            22 => Message::GlobalLockQueryResult {
                outcome: self.outcome()?,
                lockable: self.u16()? == 1,
            },
            59 if may_be_merged => {
                let messages = self.messages()?;
                let ids = match self.left() {
                    0 => Vec::new(),
                    _ => self.ids(messages.len())?,
                };
                Message::Merge { messages, ids }
            }
            60 if may_be_merged => Message::MergeResult(self.messages()?),
            121 if may_be_merged => {
                let messages = self.messages()?;
                let ids = self.ids(messages.len())?;
                Message::BatchResult { messages, ids }
            }
            101 => Message::RegisterTm(self.identify()?),
            102 => Message::RegisterTmResult(self.identified()?),
            103 => Message::RegisterRm {
                identify: self.identify()?,
                resource_ids: match self.left() {
                    0 => String::new(),
                    _ => self.long_text()?,
                },
            },
            104 => Message::RegisterRmResult(self.identified()?),
            111 => Message::UndoLogDelete {
                branch_type: self.branch_type()?,
                resource_id: self.short_text()?,
                save_days: self.u16()?.cast_signed(),
            },
            _ => {
                return Err(MessageError {
                    offset,
                    problem: Problem::Type(kind),
                });
            }
        })
    }
}

/// Reads a body. What stands behind the message is ignored, as the original does.
///
/// # Errors
/// When it is no message.
pub fn decode(body: &[u8]) -> Result<Message, MessageError> {
    Reader { input: body, at: 0 }.message(true)
}

/// The longest text that an i16 length can announce; longer ones are cut at a character.
const SHORT_TEXT_MAX: usize = i16::MAX as usize;

fn short_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(SHORT_TEXT_MAX)];
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn long_text(out: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes());
}

fn outcome(out: &mut Vec<u8>, Outcome { failure, code }: &Outcome) {
    out.push(u8::from(failure.is_none()));
    if let Some(why) = failure {
        short_text(out, why);
    }
    out.push(code.byte());
}

fn with_status(out: &mut Vec<u8>, how: &Outcome, status: GlobalStatus) {
    outcome(out, how);
    out.push(status.byte());
}

fn identify(out: &mut Vec<u8>, one: &Identify) {
    short_text(out, &one.version);
    short_text(out, &one.application_id);
    short_text(out, &one.transaction_group);
    short_text(out, &one.extra_data);
}

fn identified(out: &mut Vec<u8>, one: &Identified) {
    out.push(u8::from(one.accepted));
    short_text(out, &one.version);
}

fn xid(out: &mut Vec<u8>, one: &Xid) {
    short_text(out, &one.xid);
    short_text(out, &one.extra_data);
}

fn branch_register(out: &mut Vec<u8>, one: &BranchRegister) {
    short_text(out, &one.xid);
    out.push(one.branch_type.byte());
    short_text(out, &one.resource_id);
    long_text(out, &one.lock_key);
    long_text(out, &one.application_data);
}

fn branch_end(out: &mut Vec<u8>, one: &BranchEnd) {
    short_text(out, &one.xid);
    out.extend(one.branch_id.to_be_bytes());
    out.push(one.branch_type.byte());
    short_text(out, &one.resource_id);
    long_text(out, &one.application_data);
}

fn branch_ended(out: &mut Vec<u8>, one: &BranchEnded) {
    outcome(out, &one.outcome);
    short_text(out, &one.xid);
    out.extend(one.branch_id.to_be_bytes());
    out.push(one.status.byte());
}

/// Length of the whole, number, messages.
fn messages(out: &mut Vec<u8>, all: &[Message], ids: &[i32]) {
    let begin = out.len();
    out.extend([0; 4]);
    out.extend((all.len() as u16).to_be_bytes());
    for message in all {
        encode(message, out);
    }
    for id in ids {
        out.extend(id.to_be_bytes());
    }
    let length = u32::try_from(out.len() - begin - 4).unwrap_or(u32::MAX);
    out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a message.
pub fn encode(message: &Message, out: &mut Vec<u8>) {
    out.extend(kind(message).to_be_bytes());
    match message {
        Message::GlobalBegin { timeout_ms, name } => {
            out.extend(timeout_ms.to_be_bytes());
            short_text(out, name);
        }
        Message::GlobalBeginResult {
            outcome: how,
            xid,
            extra_data,
        } => {
            outcome(out, how);
            short_text(out, xid);
            short_text(out, extra_data);
        }
        Message::BranchCommit(end) | Message::BranchRollback(end) => branch_end(out, end),
        Message::BranchCommitResult(ended) | Message::BranchRollbackResult(ended) => {
            branch_ended(out, ended);
        }
        Message::GlobalCommit(one) | Message::GlobalRollback(one) | Message::GlobalStatus(one) => {
            xid(out, one);
        }
        Message::GlobalCommitResult(how, status)
        | Message::GlobalRollbackResult(how, status)
        | Message::GlobalStatusResult(how, status)
        | Message::GlobalReportResult(how, status) => with_status(out, how, *status),
        Message::BranchRegister(one) | Message::GlobalLockQuery(one) => branch_register(out, one),
        Message::BranchRegisterResult {
            outcome: how,
            branch_id,
        } => {
            outcome(out, how);
            out.extend(branch_id.to_be_bytes());
        }
        Message::BranchReport(one) => {
            short_text(out, &one.xid);
            out.extend(one.branch_id.to_be_bytes());
            out.push(one.status.byte());
            short_text(out, &one.resource_id);
            long_text(out, &one.application_data);
            out.push(one.branch_type.byte());
        }
        Message::BranchReportResult(how) => outcome(out, how),
        Message::GlobalReport { xid: one, status } => {
            xid(out, one);
            out.push(status.map_or(u8::MAX, GlobalStatus::byte));
        }
        Message::GlobalLockQueryResult {
            outcome: how,
            lockable,
        } => {
            outcome(out, how);
            out.extend(u16::from(*lockable).to_be_bytes());
        }
        Message::Merge { messages: all, ids } | Message::BatchResult { messages: all, ids } => {
            messages(out, all, ids);
        }
        Message::MergeResult(all) => messages(out, all, &[]),
        Message::RegisterTm(one) => identify(out, one),
        Message::RegisterTmResult(one) | Message::RegisterRmResult(one) => identified(out, one),
        Message::RegisterRm {
            identify: one,
            resource_ids,
        } => {
            identify(out, one);
            long_text(out, resource_ids);
        }
        Message::UndoLogDelete {
            branch_type,
            resource_id,
            save_days,
        } => {
            out.push(branch_type.byte());
            short_text(out, resource_id);
            out.extend(save_days.to_be_bytes());
        }
    }
}

/// The type of a message.
/// Source: apache/incubator-seata:core/src/main/java/org/apache/seata/core/protocol/MessageType.java.
pub(crate) fn kind(message: &Message) -> u16 {
    match message {
        Message::GlobalBegin { .. } => 1,
        Message::GlobalBeginResult { .. } => 2,
        Message::BranchCommit(_) => 3,
        Message::BranchCommitResult(_) => 4,
        Message::BranchRollback(_) => 5,
        Message::BranchRollbackResult(_) => 6,
        Message::GlobalCommit(_) => 7,
        Message::GlobalCommitResult(..) => 8,
        Message::GlobalRollback(_) => 9,
        Message::GlobalRollbackResult(..) => 10,
        Message::BranchRegister(_) => 11,
        Message::BranchRegisterResult { .. } => 12,
        Message::BranchReport(_) => 13,
        Message::BranchReportResult(_) => 14,
        Message::GlobalStatus(_) => 15,
        Message::GlobalStatusResult(..) => 16,
        Message::GlobalReport { .. } => 17,
        Message::GlobalReportResult(..) => 18,
        Message::GlobalLockQuery(_) => 21,
        Message::GlobalLockQueryResult { .. } => 22,
        Message::Merge { .. } => 59,
        Message::MergeResult(_) => 60,
        Message::RegisterTm(_) => 101,
        Message::RegisterTmResult(_) => 102,
        Message::RegisterRm { .. } => 103,
        Message::RegisterRmResult(_) => 104,
        Message::UndoLogDelete { .. } => 111,
        Message::BatchResult { .. } => 121,
    }
}
