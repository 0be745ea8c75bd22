//! Real nodes on loopback, in this process, and a client that says what a test wants.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "support of tests; each file uses its part"
)]

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bytes::Bytes;
use diwan_bolt::{FrameWriter, Head};
use diwan_jraft::{ErrorResponse, Message};
use diwan_log::{Command, SnapshotWriter, StateMachine};
use diwan_net::bolt::{CallError, Client, ClientOptions, OwnedFrame};
use diwan_raft::{Configuration, PeerId};
use diwan_runtime::{ClusterToken, GroupOptions, NodeHandle, NodeMetrics, NodeOptions};

/// Long enough for anything that happens at all.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn token(secret: &str) -> Option<ClusterToken> {
    Some(ClusterToken::new(secret.as_bytes()).unwrap())
}

/// Counts its commands and answers how many there were.
pub struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, _: Command<'_>) -> Bytes {
        self.0 += 1;
        self.0.to_string().into()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let count = self.0;
        Box::new(move |out: &mut dyn io::Write| out.write_all(&count.to_be_bytes()))
    }

    fn restore(&mut self, snapshot: &mut dyn io::Read) -> io::Result<()> {
        let mut count = [0; 8];
        snapshot.read_exact(&mut count)?;
        self.0 = u64::from_be_bytes(count);
        Ok(())
    }
}

/// Names of nodes on this host, at ports that nobody uses.
pub fn names(host: &str, count: usize) -> Vec<PeerId> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let ports = listeners.iter().map(|it| it.local_addr().unwrap().port());
    ports.map(|port| PeerId::new(host, port)).collect()
}

pub fn group(name: &str, members: &[PeerId]) -> GroupOptions {
    let initial = Configuration::of(members.to_vec());
    let mut group = GroupOptions::new(name, initial, || Box::new(Counter(0)));
    group.election_timeout = Duration::from_millis(300);
    group
}

/// A node that stops, and whose data go, when it is dropped.
pub struct Node {
    pub id: PeerId,
    pub handle: NodeHandle,
    _data: tempfile::TempDir,
}

impl Node {
    pub fn start(
        id: &PeerId,
        groups: Vec<GroupOptions>,
        set: impl FnOnce(&mut NodeOptions),
    ) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut options = NodeOptions::new(id.clone(), data.path().join("data"));
        set(&mut options);
        Self {
            id: id.clone(),
            handle: diwan_runtime::start(options, groups).unwrap(),
            _data: data,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        format!("127.0.0.1:{}", self.id.port()).parse().unwrap()
    }

    pub async fn metrics(&self) -> NodeMetrics {
        self.handle.ask(|node| node.metrics()).await.unwrap()
    }

    /// Waits until the node counted what is wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&NodeMetrics) -> bool) {
        let began = Instant::now();
        loop {
            let metrics = self.metrics().await;
            if wanted(&metrics) {
                return;
            }
            let id = &self.id;
            assert!(began.elapsed() < PATIENCE, "{id}: {what}: {metrics:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn propose(&self, group: &str) -> Option<Bytes> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let group = group.to_owned();
        self.handle.run(move |node| {
            node.propose(&group, Bytes::from_static(b"one more"), move |result| {
                let _ = tell.send(result.ok());
            });
        });
        told.await.unwrap().map(|committed| committed.answer)
    }
}

/// Proposes at one node after the other until one leads and commits; how many commands there were.
pub async fn commit(nodes: &[Node], group: &str) -> u64 {
    let began = Instant::now();
    loop {
        for node in nodes {
            if let Some(answer) = node.propose(group).await {
                return String::from_utf8(answer.into()).unwrap().parse().unwrap();
            }
        }
        assert!(began.elapsed() < PATIENCE, "nobody commits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A connection that says nothing by itself.
pub fn raw(addr: SocketAddr, options: ClientOptions) -> Client {
    Client::connect(addr, options).unwrap()
}

pub async fn call(client: &Client, class: &str, content: &[u8]) -> Result<OwnedFrame, CallError> {
    let peer = client.peer();
    peer.call(PATIENCE, |frame, id| {
        let mut writer = FrameWriter::begin(frame, Head::request(id, 1, 3000), class.as_bytes());
        writer.content().extend_from_slice(content);
        writer.finish().unwrap();
        Ok(())
    })
    .await
}

/// Says a message of JRaft's as JRaft does.
pub async fn ask(client: &Client, message: &Message) -> Message {
    let mut content = Vec::new();
    message.encode(&mut content);
    let answer = call(client, message.class(), &content).await.unwrap();
    let frame = answer.frame();
    Message::decode(frame.class, Bytes::copy_from_slice(frame.content)).unwrap()
}

/// The code of a refusal.
pub fn code(message: &Message) -> Option<i32> {
    match message {
        Message::ErrorResponse(ErrorResponse { error_code, .. }) => Some(*error_code),
        _ => None,
    }
}
