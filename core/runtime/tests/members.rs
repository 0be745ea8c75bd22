//! Nodes on loopback, and what other members may do to them.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diwan_bolt::{FrameWriter, Head};
use diwan_jraft::{AppendEntriesRequest, EntryMeta, EntryType, Message, entry_checksum};
use diwan_log::{Command, ProposalError, SnapshotWriter, StateMachine};
use diwan_net::bolt::{
    CallError, Client, ClientOptions, Handler, HandlerFactory, Incoming, PeerState,
};
use diwan_raft::{Configuration, PeerId, Status, Token};
use diwan_replica::batch;
use diwan_runtime::{GroupOptions, NodeHandle, NodeMetrics, NodeOptions, StartError, start};

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

async fn status_of(node: &NodeHandle, group: &'static str) -> Status {
    let status = node.ask(move |node| node.status(group));
    status.await.flatten().unwrap()
}

async fn status(node: &NodeHandle) -> Status {
    status_of(node, GROUP).await
}

/// Waits for what must come.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = std::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The node that leads a group.
async fn leader<'a>(nodes: &[&'a NodeHandle], group: &'static str) -> &'a NodeHandle {
    until("a leader", async || {
        for node in nodes {
            let all = metrics(node).await.groups;
            if all.iter().any(|it| it.name == group && it.leading) {
                return Some(*node);
            }
        }
        None
    })
    .await
}

async fn propose(
    node: &NodeHandle,
    group: &'static str,
    data: Bytes,
) -> Result<Bytes, ProposalError> {
    let (tell, told) = tokio::sync::oneshot::channel();
    node.run(move |node| {
        node.propose(group, data, move |outcome| {
            let _ = tell.send(outcome);
        });
    });
    told.await.unwrap().map(|committed| committed.answer)
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

/// Hands on the items of batches.
struct Answers(tokio::sync::mpsc::UnboundedSender<batch::Item>);

impl Handler for Answers {
    fn request(&self, incoming: Incoming<'_>) {
        for item in batch::read(incoming.frame.content) {
            let _ = self.0.send(item.unwrap());
        }
    }
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

    // The same in a batch, as nodes of ours speak: its sender is told, too.
    let (told, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let handler: HandlerFactory = Arc::new(move || Rc::new(Answers(told.clone())));
    let options = ClientOptions {
        handler: Some(handler),
        ..ClientOptions::default()
    };
    let client = Client::connect(address(&own), options).unwrap();
    entry.checksum = Some(right ^ 1);
    let mut content = Vec::new();
    let group = diwan_wal::GroupId(77);
    let pushed = batch::push(&mut content, Token(5), group, &append(&entry, b"hello"));
    assert!(pushed);
    until("a connection", async || {
        (client.state() == PeerState::Connected).then_some(())
    })
    .await;
    client
        .peer()
        .oneway(|frame, id| {
            let mut writer =
                FrameWriter::begin(frame, Head::oneway(id, 1), batch::CLASS.as_bytes());
            writer.content().extend_from_slice(&content);
            writer
                .finish()
                .map_err(|error| CallError::Unsendable(error.to_string()))
        })
        .unwrap();
    let item = tokio::time::timeout(PATIENCE, answers.recv()).await;
    let item = item.unwrap().unwrap();
    assert_eq!((item.token, item.group), (Token(5), group));
    let Message::AppendEntriesResponse(answer) = item.message else {
        panic!("another answer")
    };
    assert_eq!(answer.error_response.unwrap().error_code, 1015);
    assert_eq!(metrics(&node).await.damaged_entries, 2);
    node.stop().await;
}

#[tokio::test]
async fn all_groups_together_keep_to_the_nodes_memory_and_a_late_member_gets_all_from_the_disk() {
    const GROUPS: [&str; 4] = ["one", "two", "three", "four"];
    const CACHE_BYTES_MAX: usize = 256 << 10;
    let root = tempfile::tempdir().unwrap();
    let peers = [free_peer(), free_peer(), free_peer()];
    let begin = |id: &PeerId| {
        let groups = GROUPS.map(|name| GroupOptions {
            name: name.to_owned(),
            ..group(&[&peers[0], &peers[1], &peers[2]])
        });
        let mut options = NodeOptions::new(id.clone(), root.path().join(id.port().to_string()));
        options.limits.cache_bytes_max = CACHE_BYTES_MAX;
        start(options, groups.into()).unwrap()
    };
    let (one, two) = (begin(&peers[0]), begin(&peers[1]));
    for group in GROUPS {
        let leader = leader(&[&one, &two], group).await;
        for nth in 0..60 {
            let data = Bytes::from(vec![nth; 8 << 10]);
            propose(leader, group, data).await.unwrap();
        }
    }
    for node in [&one, &two] {
        // 1.9 MB were said, and the last entry of a group may not be applied yet.
        let counted = metrics(node).await;
        let held = counted.held.cache_bytes;
        assert!(held <= CACHE_BYTES_MAX, "{held} bytes");
        assert!(counted.cache_trims > 0);
    }
    let three = begin(&peers[2]);
    for group in GROUPS {
        until("all that was said", async || {
            let has = status_of(&one, group).await;
            let late = status_of(&three, group).await;
            (late.applied == has.last.index && has.last.index > 60).then_some(())
        })
        .await;
    }
    let held = metrics(&three).await.held.cache_bytes;
    assert!(held <= CACHE_BYTES_MAX, "{held} bytes");
    for node in [one, two, three] {
        node.stop().await;
    }
}

#[tokio::test]
async fn what_is_proposed_in_all_groups_is_bounded() {
    let root = tempfile::tempdir().unwrap();
    let own = free_peer();
    let mut options = NodeOptions::new(own.clone(), root.path().join("data"));
    options.limits.proposals_max = 2;
    let groups = ["one", "two"].map(|name| GroupOptions {
        name: name.to_owned(),
        ..group(&[&own])
    });
    let node = start(options, groups.into()).unwrap();
    for group in ["one", "two"] {
        leader(&[&node], group).await;
    }
    // All in one turn, before the disk can be done.
    let outcomes = node
        .ask(|node| {
            let outcomes = Rc::new(RefCell::new(Vec::new()));
            for group in ["one", "two", "two", "one"] {
                let told = outcomes.clone();
                node.propose(group, Bytes::from_static(b"word"), move |outcome| {
                    told.borrow_mut().push(outcome);
                });
            }
            outcomes.take()
        })
        .await
        .unwrap();
    assert_eq!(
        outcomes,
        [Err(ProposalError::Busy), Err(ProposalError::Busy)]
    );
    until("an end of both", async || {
        (metrics(&node).await.held.proposals == 0).then_some(())
    })
    .await;
    propose(&node, "one", Bytes::from_static(b"word"))
        .await
        .unwrap();
    node.stop().await;
}

/// Flips a bit of each newest snapshot of a member; flipping it again mends it.
fn flip(root: &Path, peer: &PeerId) {
    let group = root
        .join(peer.port().to_string())
        .join("groups")
        .join(GROUP);
    for snapshot in snapshots(&group) {
        let data = group.join(snapshot).join("data");
        let mut bytes = std::fs::read(&data).unwrap();
        bytes[1000] ^= 4;
        std::fs::write(&data, bytes).unwrap();
    }
}

/// The names of what lies in a group's directory.
fn snapshots(group: &Path) -> Vec<String> {
    let Ok(found) = std::fs::read_dir(group) else {
        return Vec::new();
    };
    let names = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[tokio::test]
async fn a_damaged_snapshot_is_not_installed_and_not_kept_and_pulled_again() {
    let root = tempfile::tempdir().unwrap();
    let peers = [free_peer(), free_peer(), free_peer()];
    let begin = |id: &PeerId| {
        let mut group = group(&[&peers[0], &peers[1], &peers[2]]);
        group.snapshot_keep_entries = 0;
        let mut options = NodeOptions::new(id.clone(), root.path().join(id.port().to_string()));
        // A piece has 128 KiB, and a tenth of this goes at once.
        options.snapshot_bytes_per_second = (*id != peers[2]).then_some(2 << 20);
        start(options, vec![group]).unwrap()
    };
    let (one, two) = (begin(&peers[0]), begin(&peers[1]));
    let leader = leader(&[&one, &two], GROUP).await;
    for nth in 0..60 {
        let data = Bytes::from(vec![nth; 8 << 10]);
        propose(leader, GROUP, data).await.unwrap();
    }
    let last = status(leader).await.last.index;
    for node in [&one, &two] {
        until("the end of the log", async || {
            (status(node).await.applied == last).then_some(())
        })
        .await;
        node.run(|node| node.snapshot(GROUP));
        until("a snapshot", async || {
            (status(node).await.compacted.index == last).then_some(())
        })
        .await;
    }
    peers[..2].iter().for_each(|peer| flip(root.path(), peer));
    let three = begin(&peers[2]);
    let there = root.path().join(peers[2].port().to_string());
    let there = there.join("groups").join(GROUP);
    until("a pull of what is damaged", async || {
        let metrics = metrics(&three).await;
        (metrics.snapshots_damaged > 0 && snapshots(&there).is_empty()).then_some(())
    })
    .await;
    assert_eq!(status(&three).await.applied, 0);
    peers[..2].iter().for_each(|peer| flip(root.path(), peer));
    until("the snapshot", async || {
        (status(&three).await.applied >= last).then_some(())
    })
    .await;
    assert_eq!(status(&three).await.counters.snapshots_installed, 1);
    let delayed = metrics(&one).await.pieces_delayed + metrics(&two).await.pieces_delayed;
    assert!(delayed > 0);
    for node in [one, two, three] {
        node.stop().await;
    }

    // A node that starts compares the checksum while it loads.
    let copy = root.path().join("copy").join(peers[2].port().to_string());
    copy_all(&root.path().join(peers[2].port().to_string()), &copy);
    let begin = || {
        let mut options = NodeOptions::new(peers[2].clone(), copy.clone());
        options.listen = Some(address(&free_peer()));
        start(options, vec![group(&[])])
    };
    flip(&root.path().join("copy"), &peers[2]);
    match begin() {
        Err(StartError::Snapshot { what, .. }) => {
            assert!(what.contains("data has checksum crc32c:"), "{what}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a damaged snapshot is loaded"),
    }
    flip(&root.path().join("copy"), &peers[2]);
    let three = begin().unwrap();
    assert!(status(&three).await.applied >= last);
    three.stop().await;
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
