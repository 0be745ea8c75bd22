//! What else the nodes of a cluster say to each other, over the connections that members use: under the same token and TLS.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use diwan_bolt::{FrameWriter, Head, Status};
use diwan_log::{Committed, ProposalError};
use diwan_net::bolt::{CallError, Responder};
use diwan_raft::PeerId;
use tokio::sync::{mpsc, oneshot};

use crate::node::{Node, Task};
use crate::peers::{self, CODEC, PeerError};
use crate::start::NodeHandle;

/// Is given what another node sends, on the node's thread: it must not block. The answer may come later, from anywhere.
pub type ServiceHandler = Arc<dyn Fn(Bytes, ServiceReply) + Send + Sync>;

/// Handlers by the class of the frames that are theirs.
pub(crate) type Services = HashMap<&'static str, ServiceHandler>;

/// How another node is answered. If it is dropped, the other one is told that there was a failure.
#[derive(Debug)]
pub struct ServiceReply {
    tasks: mpsc::UnboundedSender<Task>,
    slot: Option<u64>,
}

impl ServiceReply {
    /// Answers.
    pub fn send(mut self, content: Bytes) {
        self.finish(Some(content));
    }

    fn finish(&mut self, content: Option<Bytes>) {
        let Some(slot) = self.slot.take() else { return };
        // The node's thread is gone only when the process ends.
        let _ = self.tasks.send(Box::new(move |node| {
            let Some(mut responder) = node.unpark(slot) else {
                return;
            };
            let Some(content) = content else {
                return responder.send_status(Status::Error);
            };
            let sent = responder.send(Status::Success, &[], |writer| {
                writer.content().extend_from_slice(&content);
            });
            if let Err(error) = sent {
                tracing::warn!(%error, "an answer does not fit into a frame");
            }
        }));
    }
}

impl Drop for ServiceReply {
    fn drop(&mut self) {
        self.finish(None);
    }
}

/// Why another node gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ServiceError(String);

impl Node {
    /// A request of another node, if it is of a service.
    pub(crate) fn serve_service(
        self: &Rc<Self>,
        class: &[u8],
        content: &[u8],
        mut responder: Responder,
    ) {
        if class == PROPOSE.as_bytes() {
            return self.proposed_elsewhere(content, responder);
        }
        let handler = std::str::from_utf8(class).ok();
        let handler = handler.and_then(|class| self.services.borrow().get(class).cloned());
        let Some(handler) = handler else {
            // Not yet, perhaps.
            return responder.send_status(Status::NoProcessor);
        };
        responder.connection().set_may_end_any_time();
        let reply = ServiceReply {
            tasks: self.tasks(),
            slot: Some(self.park(responder)),
        };
        handler(Bytes::copy_from_slice(content), reply);
    }

    /// Another node proposes to a group that this one leads.
    fn proposed_elsewhere(self: &Rc<Self>, content: &[u8], mut responder: Responder) {
        let Some((group, command)) = read_proposal(content) else {
            self.malformed("a proposal of another node");
            return responder.send_status(Status::ServerDeserialException);
        };
        let reply = ServiceReply {
            tasks: self.tasks(),
            slot: Some(self.park(responder)),
        };
        self.propose(group, command, move |result| {
            reply.send(write_outcome(result))
        });
    }
}

/// The class of a proposal that goes to the leader: u16 length of the group's name, the name, the command.
const PROPOSE: &str = "diwan.Propose";
/// A proposal is tried so often, and so long each time, while leaders change.
const PROPOSE_TRIES: u32 = 20;
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);
const PROPOSE_PAUSE: Duration = Duration::from_millis(100);

fn write_proposal(group: &str, command: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(2 + group.len() + command.len());
    out.put_u16(u16::try_from(group.len()).unwrap_or(u16::MAX));
    out.put_slice(group.as_bytes());
    out.put_slice(command);
    out.freeze()
}

fn read_proposal(content: &[u8]) -> Option<(&str, Bytes)> {
    let (length, rest) = content.split_first_chunk::<2>()?;
    let (group, command) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let group = std::str::from_utf8(group).ok()?;
    Some((group, Bytes::copy_from_slice(command)))
}

const COMMITTED: u8 = 0;
const NOT_CARRIED_OUT: u8 = 1;
const UNKNOWN: u8 = 2;
const FINAL: u8 = 3;

/// The answer to a proposal: u8 outcome; of a committed one, u64 index and what the state machine answered.
fn write_outcome(result: Result<Committed, ProposalError>) -> Bytes {
    let mut out = BytesMut::new();
    match result {
        Ok(committed) => {
            out.put_u8(COMMITTED);
            out.put_u64(committed.index);
            out.put_slice(&committed.answer);
        }
        Err(ProposalError::Unknown) => out.put_u8(UNKNOWN),
        Err(ProposalError::NotLeader { .. } | ProposalError::Busy) => out.put_u8(NOT_CARRIED_OUT),
        Err(error) => {
            out.put_u8(FINAL);
            out.put_slice(error.to_string().as_bytes());
        }
    }
    out.freeze()
}

fn read_outcome(mut content: Bytes) -> Result<Committed, ProposeError> {
    let damaged = ProposeError::Unknown("an answer that cannot be read".into());
    match content.try_get_u8() {
        Ok(COMMITTED) => {
            let index = content.try_get_u64().map_err(|_| damaged)?;
            Ok(Committed {
                index,
                answer: content,
            })
        }
        Ok(NOT_CARRIED_OUT) => Err(ProposeError::NoLeader),
        Ok(UNKNOWN) => Err(ProposeError::Unknown(ProposalError::Unknown.to_string())),
        Ok(FINAL) => Err(ProposeError::Refused(
            String::from_utf8_lossy(&content).into_owned(),
        )),
        _ => Err(damaged),
    }
}

/// Why a proposal from any node brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It was not carried out: nobody leads, or who leads has too much to do.
    #[error("not carried out: no leader takes it now")]
    NoLeader,
    /// It was not carried out, and would not be another time.
    #[error("{0}")]
    Refused(String),
    /// It may or may not have been carried out.
    #[error("unknown whether it was carried out: {0}")]
    Unknown(String),
}

impl NodeHandle {
    /// From now on what other nodes send under `class` is given to `handler`. Classes begin with `diwan.`.
    pub fn serve(&self, class: &'static str, handler: ServiceHandler) {
        self.run(move |node| drop(node.services.borrow_mut().insert(class, handler)));
    }

    /// Proposes a command to a group, wherever its leader is; tries again while there is none.
    /// # Errors
    /// It was not carried out, or that is unknown.
    pub async fn propose(
        &self,
        group: &'static str,
        command: Bytes,
    ) -> Result<Committed, ProposeError> {
        let mut result = Err(ProposeError::NoLeader);
        for _ in 0..PROPOSE_TRIES {
            result = self.propose_once(group, command.clone()).await;
            if result != Err(ProposeError::NoLeader) {
                break;
            }
            tokio::time::sleep(PROPOSE_PAUSE).await;
        }
        result
    }

    async fn propose_once(
        &self,
        group: &'static str,
        command: Bytes,
    ) -> Result<Committed, ProposeError> {
        let (tell, told) = oneshot::channel();
        let proposed = command.clone();
        self.run(move |node| {
            node.propose(group, proposed, move |result| drop(tell.send(result)));
        });
        let result = told.await.unwrap_or(Err(ProposalError::Unknown));
        let leader = match result {
            Ok(committed) => return Ok(committed),
            Err(ProposalError::NotLeader { leader }) => leader,
            Err(ProposalError::Busy) => None,
            Err(error) if error.is_unknown() => {
                return Err(ProposeError::Unknown(error.to_string()));
            }
            Err(error) => return Err(ProposeError::Refused(error.to_string())),
        };
        let leader: PeerId = leader
            .and_then(|leader| leader.parse().ok())
            .ok_or(ProposeError::NoLeader)?;
        let content = write_proposal(group, &command);
        let answer = self.call(leader, PROPOSE, content, PROPOSE_TIMEOUT).await;
        read_outcome(answer.map_err(|error| ProposeError::Unknown(error.to_string()))?)
    }

    /// Sends another node what its handler for `class` is to be given, and waits for the answer.
    /// # Errors
    /// There was none in time.
    pub async fn call(
        &self,
        to: PeerId,
        class: &'static str,
        content: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, ServiceError> {
        let (tell, told) = oneshot::channel();
        self.run(move |node| {
            let call = node.with_peers(|peers| {
                peers.send(&to, timeout, |frame, id| {
                    let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
                    let head = Head::request(id, CODEC, timeout);
                    let mut writer = FrameWriter::begin(frame, head, class.as_bytes());
                    writer.content().extend_from_slice(&content);
                    let written = writer.finish();
                    written.map_err(|error| CallError::Unsendable(error.to_string()))
                })
            });
            tokio::task::spawn_local(async move {
                let answer = async {
                    let answer = peers::answered(call?).await?;
                    Ok::<_, PeerError>(Bytes::copy_from_slice(answer.frame().content))
                };
                let _ = tell.send(answer.await);
            });
        });
        let answer = told.await;
        let answer = answer.map_err(|_| ServiceError("the node has stopped".into()))?;
        answer.map_err(|error| ServiceError(error.to_string()))
    }
}
