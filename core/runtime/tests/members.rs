//! Nodes on loopback, and what other members may do to them.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use diwan_bolt::{FrameWriter, Head};
use diwan_jraft::{AppendEntriesRequest, EntryMeta, EntryType, Message, entry_checksum};
use diwan_log::{Command, SnapshotWriter, StateMachine};
use diwan_net::bolt::{CallError, Client, ClientOptions};
use diwan_raft::{Configuration, PeerId, Status};
use diwan_runtime::{GroupOptions, NodeHandle, NodeMetrics, NodeOptions, start};

const GROUP: &str = "words";
const PATIENCE: Duration = Duration::from_secs(20);

/// All that was said.
#[derive(Default)]
struct Words(Vec<u8>);

impl StateMachine for Words {
    fn apply(&mut self, command: Command<'_>) -> Bytes {
        self.0.extend_from_slice(command.data);
        Bytes::new()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let state = self.0.clone();
        Box::new(move |out| out.write_all(&state))
    }

    fn restore(&mut self, snapshot: &mut dyn std::io::Read) -> std::io::Result<()> {
        self.0.clear();
        snapshot.read_to_end(&mut self.0).map(drop)
    }
}

/// A member on an address of loopback that nobody uses.
fn free_peer() -> PeerId {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    PeerId::new("127.0.0.1", listener.local_addr().unwrap().port())
}

fn address(peer: &PeerId) -> SocketAddr {
    format!("{}:{}", peer.host(), peer.port()).parse().unwrap()
}

fn group(members: &[&PeerId]) -> GroupOptions {
    let members = Configuration::of(members.iter().copied().cloned().collect());
    GroupOptions::new(GROUP, members, || Box::new(Words::default()))
}

fn node(id: &PeerId, root: &Path, group: GroupOptions) -> NodeHandle {
    let data = root.join(id.port().to_string());
    start(NodeOptions::new(id.clone(), data), vec![group]).unwrap()
}

async fn status(node: &NodeHandle) -> Status {
    node.ask(|node| node.status(GROUP)).await.flatten().unwrap()
}

async fn metrics(node: &NodeHandle) -> NodeMetrics {
    node.ask(|node| node.metrics()).await.unwrap()
}

/// Sends a message as JRaft does and waits for the answer.
async fn ask(client: &Client, message: &Message) -> Result<Message, CallError> {
    let call = client.peer().call(PATIENCE, |frame, id| {
        let head = Head::request(id, 1, 20_000);
        let mut writer = FrameWriter::begin(frame, head, message.class().as_bytes());
        message.encode(writer.content());
        writer
            .finish()
            .map_err(|error| CallError::Unsendable(error.to_string()))
    });
    let answer = call.await?;
    let frame = answer.frame();
    Ok(Message::decode(frame.class, Bytes::copy_from_slice(frame.content)).unwrap())
}

#[tokio::test]
async fn an_entry_with_a_wrong_checksum_is_refused_and_taken_when_it_comes_again() {
    let root = tempfile::tempdir().unwrap();
    let (own, leader) = (free_peer(), free_peer());
    let node = node(&own, root.path(), group(&[&own, &leader]));
    let client = Client::connect(address(&own), ClientOptions::default()).unwrap();
    let mut entry = EntryMeta {
        term: 1,
        kind: EntryType::Data.into(),
        data_len: Some(5),
        ..EntryMeta::default()
    };
    let right = entry_checksum(1, &entry, b"hello");
    let append = |entry: &EntryMeta, data: &'static [u8]| {
        Message::AppendEntriesRequest(AppendEntriesRequest {
            group_id: GROUP.into(),
            server_id: leader.to_string(),
            peer_id: own.to_string(),
            term: 1,
            entries: vec![entry.clone()],
            data: Some(Bytes::from_static(data)),
            ..AppendEntriesRequest::default()
        })
    };
    entry.checksum = Some(right);
    let Message::ErrorResponse(error) = ask(&client, &append(&entry, b"hellp")).await.unwrap()
    else {
        panic!("a damaged entry is taken")
    };
    assert_eq!(error.error_code, 1015);
    let message = error.error_message.unwrap();
    assert!(
        message.contains("entry 1 of term 1 is damaged"),
        "{message}"
    );
    assert_eq!(status(&node).await.last.index, 0);
    let counted = metrics(&node).await;
    assert_eq!((counted.damaged_entries, counted.malformed), (1, 0));

    let Message::AppendEntriesResponse(answer) =
        ask(&client, &append(&entry, b"hello")).await.unwrap()
    else {
        panic!("no answer")
    };
    assert!(answer.success);
    assert_eq!(status(&node).await.last.index, 1);
    node.stop().await;
}
