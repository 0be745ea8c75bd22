//! Requests to other members, on one connection each.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use diwan_bolt::{FrameWriter, Head, Kind, Status};
use diwan_jraft::{AppendEntriesRequestHeader, Message};
use diwan_net::Workers;
use diwan_net::bolt::{
    Call, CallError, Client, ClientEvent, ClientEvents, ClientOptions, Handler, Incoming,
    OwnedFrame, Peer,
};
use diwan_raft::PeerId;
use diwan_replica::batch;
use tokio::sync::mpsc;

use crate::dial::Dialing;
use crate::node::Task;
use crate::traffic;

/// The serializer byte of JRaft's frames: the content is what the class's own serializer wrote.
pub(crate) const CODEC: u8 = 1;

/// Connections to other members.
pub(crate) struct Peers {
    workers: Workers,
    tasks: mpsc::UnboundedSender<Task>,
    clients: HashMap<PeerId, Client>,
    /// Nodes of ours, as far as their connections live: they understand batches.
    ours: HashSet<PeerId>,
    dialing: Dialing,
    /// Nodes whose host name is being looked up.
    looked_up: HashSet<PeerId>,
}

/// The node on which a member lives.
pub(crate) fn node_of(peer: &PeerId) -> PeerId {
    PeerId::new(peer.host(), peer.port())
}

/// Takes the answers that come back in batches.
struct BackHandler(mpsc::UnboundedSender<Task>);

impl Handler for BackHandler {
    fn request(&self, mut incoming: Incoming<'_>) {
        if incoming.frame.class != batch::CLASS.as_bytes() {
            return incoming.responder.send_status(Status::NoProcessor);
        }
        let items: Vec<_> = traffic::read(incoming.frame.content).collect();
        // The node's thread is gone only when the process ends.
        let _ = self.0.send(Box::new(move |node| node.answers_came(items)));
    }
}

/// Why a request got no answer, in words for the log line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PeerError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0} is no address: {1}")]
    Address(String, String),
    #[error("the address of {0} is being looked up")]
    LookedUp(PeerId),
    #[error("status {0} instead of an answer")]
    Status(u16),
    #[error("{0}")]
    Answer(String),
}

impl Peers {
    pub(crate) fn new(
        workers: Workers,
        tasks: mpsc::UnboundedSender<Task>,
        dialing: Dialing,
    ) -> Self {
        Self {
            workers,
            tasks,
            clients: HashMap::new(),
            ours: HashSet::new(),
            dialing,
            looked_up: HashSet::new(),
        }
    }

    /// A node has answered as one of ours, or not; or its connection broke and nobody knows who comes next.
    pub(crate) fn set_ours(&mut self, node: &PeerId, ours: bool) {
        match ours {
            true => drop(self.ours.insert(node.clone())),
            false => drop(self.ours.remove(node)),
        }
    }

    /// The connection to a member that understands batches.
    pub(crate) fn for_batches(&self, to: &PeerId) -> Option<&Peer> {
        let node = node_of(to);
        let client = self
            .clients
            .get(&node)
            .filter(|_| self.ours.contains(&node));
        client.map(Client::peer)
    }

    /// Connects to a node that lives at `addr`.
    fn connect(&mut self, node: &PeerId, addr: SocketAddr) -> Result<&Client, PeerError> {
        let wrong = |error| PeerError::Address(node.to_string(), error);
        let tls = self.dialing.tls(node.host());
        let tls = tls.map_err(|error| wrong(error.to_string()))?;
        let back = self.tasks.clone();
        let options = ClientOptions {
            reconnect: (Duration::from_millis(20), Duration::from_millis(500)),
            // TCP waits twice as long after each loss: a connection that a partition has silenced for ten seconds may stay silent
            // for ten more. A new one is there at once.
            heartbeat_interval: Duration::from_secs(1),
            heartbeat_timeout: Duration::from_secs(1),
            heartbeat_failures_max: 2,
            tls,
            opening: self.dialing.opening(&node.to_string(), addr, &self.tasks),
            handler: Some(Arc::new(move || Rc::new(BackHandler(back.clone())))),
            events: Some(events(node.clone(), self.tasks.clone())),
            ..ClientOptions::default()
        };
        let client = Client::connect_on(&self.workers, 0, addr, options);
        Ok(self.clients.entry(node.clone()).or_insert(client))
    }

    /// Looks up the address of a member, wherever that may block, and connects.
    pub(crate) async fn look_up(&mut self, to: &PeerId) -> Result<(), PeerError> {
        let node = node_of(to);
        if !self.clients.contains_key(&node) {
            let addr = look_up(&node).await?;
            self.connect(&node, addr)?;
        }
        Ok(())
    }

    /// A name was looked up.
    pub(crate) fn found(&mut self, node: &PeerId, addr: Result<SocketAddr, PeerError>) {
        self.looked_up.remove(node);
        if let Err(error) = addr.and_then(|addr| self.connect(node, addr).map(drop)) {
            tracing::debug!(%error, "a member is not to be reached");
        }
    }

    /// Sends `message` to a member.
    pub(crate) fn call(
        &mut self,
        to: &PeerId,
        message: &Message,
        timeout: Duration,
    ) -> Result<Call, PeerError> {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        self.send(to, timeout, |frame, id| {
            let mut writer = FrameWriter::begin(
                frame,
                Head::request(id, CODEC, timeout_ms),
                message.class().as_bytes(),
            );
            if let Message::AppendEntriesRequest(request) = message {
                writer.header(|header| append_header(request, header));
            }
            message.encode(writer.content());
            writer
                .finish()
                .map_err(|error| CallError::Unsendable(error.to_string()))
        })
    }

    /// Sends a frame to a member. A host name is looked up elsewhere: until it is found its node is not to be reached.
    pub(crate) fn send(
        &mut self,
        to: &PeerId,
        timeout: Duration,
        write: impl FnOnce(&mut Vec<u8>, u32) -> Result<(), CallError>,
    ) -> Result<Call, PeerError> {
        let node = node_of(to);
        let client = match (self.clients.get(&node), literal(&node)) {
            (Some(client), _) => client,
            (None, Some(addr)) => self.connect(&node, addr)?,
            (None, None) => {
                if self.looked_up.insert(node.clone()) {
                    let tasks = self.tasks.clone();
                    tokio::task::spawn_local(async move {
                        let addr = look_up(&node).await;
                        let _ = tasks.send(Box::new(move |it| it.peer_found(&node, addr)));
                    });
                }
                return Err(PeerError::LookedUp(to.clone()));
            }
        };
        Ok(client.peer().call(timeout, write))
    }
}

/// JRaft's server takes group and members of an append request from the frame's header.
fn append_header(request: &diwan_jraft::AppendEntriesRequest, out: &mut Vec<u8>) {
    use prost::Message as _;
    let header = AppendEntriesRequestHeader {
        group_id: request.group_id.clone(),
        server_id: request.server_id.clone(),
        peer_id: request.peer_id.clone(),
    };
    // A Vec grows: there is always room.
    let _ = header.encode(out);
}

/// What becomes of the connection to a node: it is lost, or not to be had, which is said once for each reason.
fn events(node: PeerId, tasks: mpsc::UnboundedSender<Task>) -> ClientEvents {
    let said = Mutex::new(String::new());
    Arc::new(move |event| {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            ClientEvent::Connected(_) => said.clear(),
            ClientEvent::ConnectFailed(_, reason) => {
                if *said != *reason {
                    said.clone_from(reason);
                    tracing::warn!(%node, reason, "no connection to a member");
                }
            }
            ClientEvent::Closed(..) => {
                let node = node.clone();
                let _ = tasks.send(Box::new(move |it| it.connection_lost(&node)));
            }
        }
    })
}

/// The address of a member whose name is one.
fn literal(peer: &PeerId) -> Option<SocketAddr> {
    let ip: IpAddr = peer.host().trim_matches(['[', ']']).parse().ok()?;
    Some(SocketAddr::new(ip, peer.port()))
}

/// The same as `resolve` on a thread that may block.
async fn look_up(peer: &PeerId) -> Result<SocketAddr, PeerError> {
    let name = peer.clone();
    let found = tokio::task::spawn_blocking(move || resolve(&name)).await;
    found
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| PeerError::Address(peer.to_string(), error.to_string()))
}

/// The address that a member's name stands for. May block for as long as the system looks for it.
pub(crate) fn resolve(peer: &PeerId) -> io::Result<SocketAddr> {
    let host = peer.host().trim_matches(['[', ']']);
    let mut found = (host, peer.port()).to_socket_addrs()?;
    found
        .next()
        .ok_or_else(|| io::Error::other("no address has this name"))
}

/// Waits for the answer to a call, whatever is in it.
pub(crate) async fn answered(call: Call) -> Result<OwnedFrame, PeerError> {
    let owned = call.await?;
    match owned.frame().head.kind {
        Kind::Response { status } if status != Status::Success.code() => {
            Err(PeerError::Status(status))
        }
        _ => Ok(owned),
    }
}

/// Waits for the message that answers a call.
pub(crate) async fn answer(call: Call) -> Result<Message, PeerError> {
    let owned = answered(call).await?;
    let frame = owned.frame();
    Message::decode(frame.class, Bytes::copy_from_slice(frame.content))
        .map_err(|error| PeerError::Answer(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use diwan_jraft::PingRequest;
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn a_host_name_is_looked_up_elsewhere_once_at_a_time() {
        let (tasks, mut found) = mpsc::unbounded_channel();
        let workers = Workers::start("test", Some(1)).unwrap();
        let mut peers = Peers::new(workers, tasks, Dialing::default());
        let peer = PeerId::new("localhost", 1);
        let ping = Message::PingRequest(PingRequest { send_timestamp: 1 });
        let call = |peers: &mut Peers| {
            let call = peers.call(&peer, &ping, Duration::from_secs(1));
            call.map(drop)
        };
        let looked_up = Err(PeerError::LookedUp(peer.clone()));
        let local = LocalSet::new();
        local
            .run_until(async {
                assert_eq!(call(&mut peers), looked_up);
                assert_eq!(call(&mut peers), looked_up);
                assert!(found.recv().await.is_some());
                assert!(found.try_recv().is_err(), "looked up twice");
                // It was not found: the next call has it looked up again.
                let why = PeerError::Address("localhost:1".into(), "no such name".into());
                peers.found(&peer, Err(why));
                assert_eq!(call(&mut peers), looked_up);
                assert!(found.recv().await.is_some());
                peers.found(&peer, Ok(SocketAddr::from(([127, 0, 0, 1], 1))));
                assert_eq!(call(&mut peers), Ok(()));
            })
            .await;
    }
}
