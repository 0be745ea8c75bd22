//! What goes to other members and comes from them: in frames of their own with JRaft's nodes, in batches with ours.

use std::rc::Rc;
use std::time::Duration;

use diwan_net::bolt::{Peer, Responder};
use diwan_raft::{ErrorCode, Outgoing, PeerId, Token};
use diwan_replica::batch::{self, BatchError};
use diwan_replica::wire::{self, RequestKind, WireError};
use diwan_wal::GroupId;
use tokio::sync::mpsc;

use super::{Node, Task, count};
use crate::admission::{Caller, UNPROVED, UNPROVED_TEXT};
use crate::clock;
use crate::group::Hosted;
use crate::peers::{self, Peers};
use crate::traffic::Open;

/// How a request wants to be answered.
pub(crate) enum Reply {
    /// By a frame of its own.
    Frame(Responder, RequestKind),
    /// In a batch.
    Batch {
        back: Peer,
        group: GroupId,
        token: Token,
        kind: RequestKind,
    },
}

impl Reply {
    fn kind(&self) -> RequestKind {
        match self {
            Self::Frame(_, kind) | Self::Batch { kind, .. } => *kind,
        }
    }
}

impl Node {
    pub(super) fn send(self: &Rc<Self>, place: usize, hosted: &Hosted, message: Outgoing) {
        let Outgoing { to, token, body } = message;
        let Some(kind) = RequestKind::of(&body) else {
            if let Some(reply) = self.responders.borrow_mut().remove(&token) {
                self.reply(reply, body);
            }
            return;
        };
        let heartbeat =
            matches!(&body, diwan_raft::Body::AppendRequest(append) if append.heartbeat);
        let timeout = match kind {
            RequestKind::Append if !heartbeat => Duration::from_secs(5),
            RequestKind::Install => Duration::from_secs(300),
            RequestKind::Append
            | RequestKind::Vote
            | RequestKind::TimeoutNow
            | RequestKind::ReadIndex => hosted.election_timeout / 2,
        };
        let Some(mut request) = wire::request(&hosted.name, &self.id, &to, body) else {
            return;
        };
        if hosted.entry_checksums {
            wire::add_checksums(&mut request);
        }
        let Some(peers) = self.peers.get() else {
            return;
        };
        if let Some(peer) = peers.borrow().for_batches(&to) {
            let mut outboxes = self.outboxes.borrow_mut();
            outboxes.push(peer, token, hosted.wal_id, &request);
            let open = Open { place, token, to };
            self.open.borrow_mut().add(open, timeout, clock::now());
            return;
        }
        let call = peers.borrow_mut().call(&to, &request, timeout);
        let node = self.clone();
        tokio::task::spawn_local(async move {
            let answer = match call {
                Ok(call) => peers::answer(call).await,
                Err(error) => Err(error),
            };
            let body = match answer {
                Ok(message) => wire::read_answer(message).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            node.answered(place, &to, token, body);
        });
    }

    fn reply(&self, reply: Reply, body: diwan_raft::Body) {
        let message = wire::answer(body, reply.kind());
        match reply {
            Reply::Frame(mut responder, _) => respond(&mut responder, &message),
            Reply::Batch {
                back, group, token, ..
            } => {
                self.outboxes
                    .borrow_mut()
                    .push(&back, token, group, &message);
                self.wake.notify_one();
            }
        }
    }

    /// The requests of a batch, or its answers; whatever else is in it is counted and left out.
    fn sort_out(
        &self,
        items: impl IntoIterator<Item = Result<batch::Item, BatchError>>,
        requests: bool,
    ) -> impl Iterator<Item = batch::Item> {
        items.into_iter().filter_map(move |item| match item {
            Ok(item) if item.is_request == requests => Some(item),
            Ok(_) => {
                self.malformed("an answer among requests, or a request among answers");
                None
            }
            Err(error) => {
                self.malformed(&error.to_string());
                None
            }
        })
    }

    /// A batch of requests.
    pub(crate) fn batch_came(
        &self,
        back: &Peer,
        caller: Caller,
        items: impl Iterator<Item = Result<batch::Item, BatchError>>,
    ) {
        for item in self.sort_out(items, true) {
            let Some(kind) = RequestKind::of_message(&item.message) else {
                continue;
            };
            let reply = Reply::Batch {
                back: back.clone(),
                group: item.group,
                token: item.token,
                kind,
            };
            match wire::read_request(item.message) {
                Ok(request) => {
                    let place = self.place_of(&request.group);
                    if self.admission.admits(caller, place) {
                        self.receive(request, reply);
                    } else {
                        self.admission.untokened(back.addr(), false);
                        let (code, message) = (UNPROVED, UNPROVED_TEXT.to_owned());
                        self.reply(reply, diwan_raft::Body::Error { code, message });
                    }
                }
                Err(error) => {
                    self.unreadable(&error);
                    let (code, message) = (ErrorCode::Invalid, error.to_string());
                    self.reply(reply, diwan_raft::Body::Error { code, message });
                }
            }
        }
    }

    /// Answers to requests that left in batches.
    pub(crate) fn answers_came(&self, items: Vec<Result<batch::Item, BatchError>>) {
        for item in self.sort_out(items, false) {
            let Some(&place) = self.wal_ids.get(&item.group) else {
                count(&self.counts.unknown_groups);
                continue;
            };
            let Some(to) = self.open.borrow_mut().take(place, item.token) else {
                // Too late: it was given up.
                continue;
            };
            let body = wire::read_answer(item.message).map_err(|error| error.to_string());
            self.answered(place, &to, item.token, body);
        }
    }

    pub(super) fn unanswered(&self, requests: Vec<Open>) {
        for Open { place, token, to } in requests {
            self.with_group(place, |hosted| {
                hosted.group.raft_mut().unanswered(&to, token)
            });
        }
    }

    /// What was on its way to a node is lost, and who answers there next is not known.
    pub(crate) fn connection_lost(&self, node: &PeerId) {
        self.peer_is_ours(node, false);
        let lost = self.open.borrow_mut().lost(node);
        self.unanswered(lost);
    }

    pub(crate) fn peer_is_ours(&self, node: &PeerId, ours: bool) {
        if let Some(peers) = self.peers.get() {
            peers.borrow_mut().set_ours(node, ours);
        }
    }

    /// The address of a node was found, or was not.
    pub(crate) fn peer_found(
        &self,
        node: &PeerId,
        addr: Result<std::net::SocketAddr, peers::PeerError>,
    ) {
        if let Some(peers) = self.peers.get() {
            peers.borrow_mut().found(node, addr);
        }
    }

    fn answered(
        &self,
        place: usize,
        to: &PeerId,
        token: Token,
        body: Result<diwan_raft::Body, String>,
    ) {
        let now = clock::now();
        self.with_group(place, |hosted| match body {
            Ok(body) => {
                hosted.group.advance(now);
                if let Err(error) = hosted.group.raft_mut().step(to, token, body) {
                    tracing::debug!(group = hosted.name, %error, "answer not taken");
                }
            }
            Err(error) => {
                tracing::debug!(group = hosted.name, %to, error, "no answer");
                hosted.group.raft_mut().unanswered(to, token);
            }
        });
    }

    /// A request of another member.
    pub(crate) fn receive(&self, request: wire::Request, mut reply: Reply) {
        let place = self
            .names
            .get(&request.group)
            .copied()
            .filter(|_| request.to == self.id);
        let Some(place) = place else {
            count(&self.counts.unknown_groups);
            let why = format!(
                "there is no group {} of member {} here",
                request.group, request.to
            );
            let code = diwan_raft::ErrorCode::Other(1012);
            return self.reply(reply, diwan_raft::Body::Error { code, message: why });
        };
        if let Reply::Frame(responder, _) = &mut reply {
            responder.defer();
        }
        let token = Token(self.next_token.get());
        self.next_token.set(token.0 + 1);
        self.responders.borrow_mut().insert(token, reply);
        let now = clock::now();
        self.with_group(place, |hosted| {
            hosted.group.advance(now);
            if let Err(error) = hosted
                .group
                .raft_mut()
                .step(&request.from, token, request.body)
            {
                count(&self.counts.refused_steps);
                tracing::debug!(group = hosted.name, from = %request.from, %error, "refused");
            }
        });
    }

    /// Keeps a responder here while another thread works for it.
    pub(crate) fn park(&self, mut responder: Responder) -> u64 {
        responder.defer();
        let slot = self.next_token.get();
        self.next_token.set(slot + 1);
        self.parked.borrow_mut().insert(slot, responder);
        slot
    }

    /// Takes a responder back.
    pub(crate) fn unpark(&self, slot: u64) -> Option<Responder> {
        self.parked.borrow_mut().remove(&slot)
    }

    /// Asks a member something that is not the core's.
    pub(crate) async fn ask_member(
        &self,
        to: &PeerId,
        message: &diwan_jraft::Message,
        timeout: Duration,
    ) -> Result<diwan_jraft::Message, peers::PeerError> {
        let call = self.with_peers(|peers| peers.call(to, message, timeout))?;
        peers::answer(call).await
    }

    /// Does something with the connections to other members, once there can be any.
    pub(crate) fn with_peers<T>(
        &self,
        act: impl FnOnce(&mut Peers) -> Result<T, peers::PeerError>,
    ) -> Result<T, peers::PeerError> {
        let Some(peers) = self.peers.get() else {
            return Err(peers::PeerError::Answer("the node is starting".into()));
        };
        act(&mut peers.borrow_mut())
    }

    /// To run something on this node's thread from elsewhere.
    pub(crate) fn tasks(&self) -> mpsc::UnboundedSender<Task> {
        self.tasks.clone()
    }

    /// Counts a request that is none, or whose entries are damaged. Nothing of it was taken; its sender tries again.
    pub(crate) fn unreadable(&self, error: &WireError) {
        if let WireError::Checksum { .. } = error {
            count(&self.counts.damaged_entries);
            tracing::warn!(node = %self.id, %error, "entries refused");
        } else {
            self.malformed(&error.to_string());
        }
    }

    /// Counts a message that could not be read.
    pub(crate) fn malformed(&self, what: &str) {
        count(&self.counts.malformed);
        tracing::debug!(node = %self.id, what, "malformed message refused");
    }
}

/// Sends a message as the answer to a request.
pub(crate) fn respond(responder: &mut Responder, message: &diwan_jraft::Message) {
    let sent = responder.send(
        diwan_bolt::Status::Success,
        message.class().as_bytes(),
        |writer| {
            message.encode(writer.content());
        },
    );
    if let Err(error) = sent {
        tracing::warn!(%error, "an answer does not fit into a frame");
    }
}
