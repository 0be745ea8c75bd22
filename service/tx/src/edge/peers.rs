//! What the nodes of a coordinator say to each other: requests go to the one that leads, calls leave through the one that the resource
//! manager is connected to.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use diwan_seata::{BranchEnd, BranchStatus, BranchType};
use prost::{Message, Oneof};
use tokio::sync::watch;

use super::call::CallResult;
use super::desk::{Desk, Then};
use crate::state::{Answer, Operation};

/// The class under which nodes speak.
pub const TX_CLASS: &str = "diwan.tx";

type Called = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;
/// Sends another node something and waits for its answer.
pub type Caller = Arc<dyn Fn(&str, Bytes) -> Called + Send + Sync>;

/// The other nodes.
#[derive(Clone)]
pub struct Nodes {
    /// This one.
    pub name: String,
    /// All of them.
    pub all: watch::Receiver<Vec<String>>,
    /// The way to them.
    pub call: Caller,
}

/// From one node to another.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Said {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4")]
    pub(super) kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Kind {
    /// To the one that leads.
    #[prost(message, tag = "1")]
    Operation(Operation),
    /// The same; to be read.
    #[prost(message, tag = "2")]
    Read(Read),
    /// From the one that leads.
    #[prost(message, tag = "3")]
    Call(Call),
    /// Where are your ports?
    #[prost(bool, tag = "4")]
    Where(bool),
}

/// Where a node's ports are, `host:port` each.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Where {
    /// For clients.
    #[prost(string, tag = "1")]
    pub(super) transaction: String,
    /// For questions over HTTP.
    #[prost(string, tag = "2")]
    pub(super) control: String,
}

/// What is read.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Read {
    #[prost(sint64, tag = "1")]
    pub(super) transaction: i64,
    /// Whether it could lock these rows; its status if there are none.
    #[prost(message, optional, tag = "2")]
    pub(super) rows: Option<Rows>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Rows {
    #[prost(string, tag = "1")]
    pub(super) resource: String,
    #[prost(string, tag = "2")]
    pub(super) lock_key: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Call {
    #[prost(bool, tag = "1")]
    commit: bool,
    #[prost(string, tag = "2")]
    xid: String,
    #[prost(sint64, tag = "3")]
    branch: i64,
    #[prost(uint32, tag = "4")]
    branch_type: u32,
    #[prost(string, tag = "5")]
    resource: String,
    #[prost(string, tag = "6")]
    application_data: String,
    #[prost(string, tag = "7")]
    client: String,
}

impl Call {
    pub(super) fn new(commit: bool, end: &BranchEnd, client: &str) -> Self {
        Self {
            commit,
            xid: end.xid.clone(),
            branch: end.branch_id,
            branch_type: end.branch_type.byte().into(),
            resource: end.resource_id.clone(),
            application_data: end.application_data.clone(),
            client: client.to_owned(),
        }
    }
}

/// The answer.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Answered {
    /// To an operation or to what was read.
    #[prost(message, optional, tag = "1")]
    pub(super) answer: Option<Answer>,
    /// To a call: where the branch is.
    #[prost(uint32, optional, tag = "2")]
    pub(super) status: Option<u32>,
    /// To a call: nobody said where the branch is. To anything else: it was not carried out.
    #[prost(string, optional, tag = "3")]
    pub(super) why: Option<String>,
    /// To a call: no resource manager of the branch is connected here.
    #[prost(bool, tag = "4")]
    pub(super) nobody: bool,
    /// It may have been carried out.
    #[prost(bool, tag = "5")]
    pub(super) unknown: bool,
    /// Where its ports are.
    #[prost(message, optional, tag = "6")]
    pub(super) ports: Option<Where>,
}

impl Answered {
    fn call(result: CallResult) -> Self {
        match result {
            Ok(status) => Self {
                status: Some(status.byte().into()),
                ..Self::default()
            },
            Err(why) => Self {
                why: Some(why),
                ..Self::default()
            },
        }
    }

    /// What came of a call; None if nobody is there.
    pub(super) fn into_call(self) -> Option<CallResult> {
        if self.nobody {
            return None;
        }
        let status = self.status.and_then(|status| u8::try_from(status).ok());
        let why = self.why.unwrap_or_default();
        Some(status.and_then(BranchStatus::from_byte).ok_or(why))
    }
}

pub(super) type Reply = Box<dyn FnOnce(Bytes) + Send>;

pub(super) fn reply(reply: Reply, answered: &Answered) {
    reply(answered.encode_to_vec().into());
}

/// Another node speaks.
pub(super) fn received(desk: &Rc<Desk>, content: &Bytes, to: Reply) {
    let said = Said::decode(&content[..]).ok().and_then(|said| said.kind);
    match said {
        Some(Kind::Operation(operation)) => desk.submit(operation, Then::Peer(to)),
        Some(Kind::Read(read)) => desk.read(read, Then::Peer(to)),
        Some(Kind::Call(call)) => {
            let branch_type = u8::try_from(call.branch_type).ok();
            let end = BranchEnd {
                xid: call.xid,
                branch_id: call.branch,
                branch_type: branch_type
                    .and_then(BranchType::from_byte)
                    .unwrap_or(BranchType::At),
                resource_id: call.resource,
                application_data: call.application_data,
            };
            match desk.channel_of(&end, &call.client) {
                Some(channel) => channel.call(
                    call.commit,
                    end,
                    Box::new(|result| reply(to, &Answered::call(result))),
                ),
                None => reply(
                    to,
                    &Answered {
                        nobody: true,
                        ..Answered::default()
                    },
                ),
            }
        }
        Some(Kind::Where(_)) => reply(
            to,
            &Answered {
                ports: Some(desk.ports.clone()),
                ..Answered::default()
            },
        ),
        None => desk.count_malformed(),
    }
}
