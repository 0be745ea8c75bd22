#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
//! The cluster token on real sockets: who knows it takes part, who does not is refused and counted.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use diwan_bolt::Status;
use diwan_jraft::{
    AppendEntriesRequest, EntryMeta, GetFileRequest, GetLeaderRequest, Message, PingRequest,
    RequestVoteRequest, TimeoutNowRequest,
};
use diwan_net::bolt::{CallError, Client, ClientOptions};
use diwan_raft::PeerId;
use diwan_replica::{batch, hello};
use diwan_runtime::{CliClient, ClusterToken};
use support::*;

const SECRET: &str = "the secret of these nodes";
const EACCES: Option<i32> = Some(1016);

fn leader_of(group: &str) -> Message {
    Message::GetLeaderRequest(GetLeaderRequest {
        group_id: group.into(),
        peer_id: None,
    })
}

/// What another member could say about a group, and what anybody could ask.
fn requests(group: &str, to: &PeerId) -> Vec<Message> {
    let (group_id, server_id, peer_id) =
        (group.to_owned(), "127.0.0.1:9".to_owned(), to.to_string());
    vec![
        Message::RequestVoteRequest(RequestVoteRequest {
            group_id: group_id.clone(),
            server_id: server_id.clone(),
            peer_id: peer_id.clone(),
            term: 1_000,
            last_log_term: 1_000,
            last_log_index: 1_000,
            pre_vote: false,
            transfer: None,
        }),
        Message::AppendEntriesRequest(AppendEntriesRequest {
            group_id: group_id.clone(),
            server_id: server_id.clone(),
            peer_id: peer_id.clone(),
            term: 1_000,
            prev_log_term: 0,
            prev_log_index: 0,
            entries: Vec::<EntryMeta>::new(),
            committed_index: 0,
            data: None,
            quiesce: None,
        }),
        Message::TimeoutNowRequest(TimeoutNowRequest {
            group_id,
            server_id,
            peer_id,
            term: 1_000,
        }),
        Message::GetFileRequest(GetFileRequest {
            reader_id: 1,
            filename: "data".into(),
            count: 1,
            offset: 0,
            read_partly: None,
        }),
        Message::PingRequest(PingRequest { send_timestamp: 1 }),
        leader_of(group),
    ]
}

#[tokio::test]
async fn nodes_with_one_token_commit() {
    // By address, and by a name that must be looked up.
    for host in ["127.0.0.1", "localhost"] {
        let ids = names(host, 3);
        let nodes: Vec<Node> = ids
            .iter()
            .map(|id| {
                Node::start(id, vec![group("g", &ids)], |options| {
                    options.token = token(SECRET);
                })
            })
            .collect();
        assert_eq!(commit(&nodes, "g").await, 1);
        for node in &nodes {
            node.until("every member has it", |it| it.groups[0].status.applied >= 2)
                .await;
            let it = node.metrics().await;
            assert_eq!(
                (it.untokened, it.hellos_refused, it.hellos_failed),
                (0, 0, 0)
            );
        }
        // Operators are held to the same.
        let mut operator = CliClient::new(PATIENCE, token(SECRET), None).unwrap();
        operator.leader("g", &ids[..1]).await.unwrap();
        let mut stranger = CliClient::new(PATIENCE, None, None).unwrap();
        let error = stranger.leader("g", &ids[..1]).await.unwrap_err();
        assert!(error.to_string().contains("(1016)"), "{error}");
        let mut wrong = CliClient::new(PATIENCE, token("another secret altogether"), None).unwrap();
        let error = wrong.leader("g", &ids[..1]).await.unwrap_err();
        let says = "the cluster tokens differ";
        assert!(error.to_string().contains(says), "{error}");
    }
}

/// A third member that does not know the token stays outside, and the other two go on without it.
async fn third_member_with(other: Option<ClusterToken>) {
    let ids = names("127.0.0.1", 3);
    let start = |id, token| Node::start(id, vec![group("g", &ids)], |it| it.token = token);
    let nodes = [start(&ids[0], token(SECRET)), start(&ids[1], token(SECRET))];
    let has_token = other.is_some();
    let third = start(&ids[2], other);
    let before = commit(&nodes, "g").await;
    for node in &nodes {
        node.until("refused at its end", |it| match has_token {
            true => it.hellos_refused > 0 && it.hellos_failed > 0,
            false => it.untokened > 0 && it.hellos_failed > 0,
        })
        .await;
    }
    third
        .until("refuses, too", |it| {
            it.hellos_refused > 0 && (!has_token || it.hellos_failed > 0)
        })
        .await;
    assert_eq!(commit(&nodes, "g").await, before + 1);
    let outside = third.metrics().await;
    let status = &outside.groups[0].status;
    assert_eq!((status.committed, status.leader.clone()), (0, None));
}

#[tokio::test]
async fn a_member_with_another_token_is_refused_at_both_ends() {
    third_member_with(token("another secret altogether")).await;
}

#[tokio::test]
async fn a_member_without_a_token_is_refused_at_both_ends() {
    third_member_with(None).await;
}

#[tokio::test]
async fn a_listed_member_without_a_token_takes_part() {
    let ids = names("127.0.0.1", 2);
    let listed = |ids: &[PeerId]| {
        let mut group = group("g", ids);
        group.jraft = vec![ids[1].to_string().parse().unwrap()];
        vec![group]
    };
    let nodes = [
        Node::start(&ids[0], listed(&ids), |it| it.token = token(SECRET)),
        Node::start(&ids[1], vec![group("g", &ids)], |_| {}),
    ];
    // Both are needed for a majority.
    assert_eq!(commit(&nodes, "g").await, 1);
    for node in &nodes {
        let it = node.metrics().await;
        assert_eq!(
            (it.untokened, it.hellos_refused, it.hellos_failed),
            (0, 0, 0)
        );
    }
}

#[tokio::test]
async fn what_jraft_says_is_taken_for_groups_that_list_its_address() {
    let ids = names("127.0.0.1", 1);
    let mut open = group("open", &ids);
    open.jraft = vec!["127.0.0.1".parse().unwrap()];
    let groups = vec![open, group("closed", &ids)];
    let nodes = [Node::start(&ids[0], groups, |options| {
        options.token = token(SECRET);
        options.app = Some(Arc::new(|_, mut incoming| {
            incoming.responder.send_status(Status::Success);
        }));
    })];
    commit(&nodes, "open").await;
    commit(&nodes, "closed").await;
    let client = raw(nodes[0].addr(), ClientOptions::default());

    let answer = ask(&client, &leader_of("open")).await;
    assert!(
        matches!(&answer, Message::GetLeaderResponse(it) if it.leader_id == ids[0].to_string()),
        "{answer:?}"
    );
    let pong = ask(
        &client,
        &Message::PingRequest(PingRequest { send_timestamp: 1 }),
    )
    .await;
    assert_eq!(code(&pong), Some(0));
    assert_eq!(nodes[0].metrics().await.untokened, 0);

    let about_group = |message: &Message| {
        !matches!(
            message,
            Message::PingRequest(_) | Message::GetFileRequest(_)
        )
    };
    let refused = requests("closed", &ids[0]);
    let refused: Vec<&Message> = refused.iter().filter(|it| about_group(it)).collect();
    for message in &refused {
        assert_eq!(code(&ask(&client, message).await), EACCES, "{message:?}");
    }
    let metrics = nodes[0].metrics().await;
    assert_eq!(metrics.untokened, refused.len() as u64);
    let closed = metrics.groups.iter().find(|it| it.name == "closed");
    assert!(closed.unwrap().status.term < 1_000);
    // The application's own requests are its own matter.
    let answer = call(&client, "application", b"").await.unwrap();
    assert!(answer.frame().class.is_empty());
    assert_eq!(nodes[0].metrics().await.untokened, refused.len() as u64);
}

#[tokio::test]
async fn a_stranger_may_say_nothing_that_a_member_may() {
    let ids = names("127.0.0.1", 1);
    let nodes = [Node::start(&ids[0], vec![group("g", &ids)], |options| {
        options.token = token(SECRET);
    })];
    commit(&nodes, "g").await;
    let client = raw(nodes[0].addr(), ClientOptions::default());
    let requests = requests("g", &ids[0]);
    for message in &requests {
        assert_eq!(code(&ask(&client, message).await), EACCES, "{message:?}");
    }
    // A batch is refused before it is read: this one holds nothing.
    let refused = call(&client, batch::CLASS, b"").await.unwrap();
    assert_eq!(
        refused.frame().class,
        b"com.alipay.sofa.jraft.rpc.RpcRequests$ErrorResponse"
    );
    let metrics = nodes[0].metrics().await;
    assert_eq!(metrics.untokened, requests.len() as u64 + 1);
    assert_eq!(metrics.malformed, 0);
    commit(&nodes, "g").await;
}

async fn greet(client: &Client, content: &[u8]) -> Result<hello::Message, CallError> {
    let answer = call(client, hello::CLASS, content).await?;
    Ok(hello::Message::decode(answer.frame().content).unwrap())
}

#[tokio::test]
async fn a_recorded_handshake_is_worth_nothing_on_another_connection() {
    let ids = names("127.0.0.1", 1);
    let nodes = [Node::start(&ids[0], vec![group("g", &ids)], |options| {
        options.token = token(SECRET);
    })];
    commit(&nodes, "g").await;
    let known = raw(nodes[0].addr(), ClientOptions::default());
    let to = ids[0].to_string();
    let mut dialer = hello::Dialer::new(token(SECRET).unwrap(), &to, [7; 32]);
    let first = dialer.hello().encode();
    let challenge = greet(&known, &first).await.unwrap();
    assert_eq!(code(&ask(&known, &leader_of("g")).await), EACCES);
    let second = dialer.answered(&challenge).unwrap().unwrap().encode();
    let accepted = greet(&known, &second).await.unwrap();
    assert_eq!(dialer.answered(&accepted), Ok(None));
    let answer = ask(&known, &leader_of("g")).await;
    assert!(
        matches!(answer, Message::GetLeaderResponse(_)),
        "{answer:?}"
    );

    // The same two requests again, from somebody who only heard them.
    let thief = raw(nodes[0].addr(), ClientOptions::default());
    assert!(matches!(
        greet(&thief, &first).await,
        Ok(hello::Message::Challenge { nonce }) if challenge != hello::Message::Challenge { nonce }
    ));
    assert_eq!(
        greet(&thief, &second).await,
        Ok(hello::Message::Refused(hello::Reason::OtherToken))
    );
    let metrics = nodes[0].metrics().await;
    // The one request that is counted came before the proof.
    assert_eq!((metrics.hellos_refused, metrics.untokened), (1, 1));
    // There is no second try on a connection: it ends.
    let began = std::time::Instant::now();
    while thief.stats().connections_closed.load(Relaxed) == 0 {
        assert!(began.elapsed() < PATIENCE, "the connection lives on");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
