#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
//! What nodes say to each other beside Raft: services of any kind, and proposals that find their leader.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diwan_net::bolt::ClientOptions;
use diwan_runtime::ProposeError;
use support::*;

const CLASS: &str = "diwan.test.Echo";
const SECRET: &str = "the secret of these nodes";

#[tokio::test]
async fn a_service_answers_other_nodes_at_once_or_later_and_strangers_not_at_all() {
    let ids = names("127.0.0.1", 2);
    let start = |id| {
        Node::start(id, vec![group("g", &ids)], |options| {
            options.token = token(SECRET);
        })
    };
    let (one, other) = (start(&ids[0]), start(&ids[1]));
    let call = |content: &'static str| {
        let content = Bytes::from_static(content.as_bytes());
        one.handle.call(ids[1].clone(), CLASS, content, PATIENCE)
    };
    // There is the other node, and there is no such service.
    while !call("too early")
        .await
        .unwrap_err()
        .to_string()
        .starts_with("status")
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let handler = |content: Bytes, reply: diwan_runtime::ServiceReply| {
        if &content[..] == b"fail" {
            return drop(reply);
        }
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(10));
            reply.send(content);
        });
    };
    other.handle.serve(CLASS, Arc::new(handler));
    other.handle.ask(|_| ()).await.unwrap();
    assert_eq!(call("hello").await.unwrap(), "hello");
    let error = call("fail").await.unwrap_err().to_string();
    assert!(error.starts_with("status"), "{error}");
    let stranger = raw(other.addr(), ClientOptions::default());
    let answer = support::call(&stranger, CLASS, b"hello").await.unwrap();
    assert_ne!(answer.frame().content, b"hello");
    other
        .until("the stranger counts", |it| it.untokened == 1)
        .await;
    let nobody = names("127.0.0.1", 1).remove(0);
    let content = Bytes::new();
    let called = one
        .handle
        .call(nobody, CLASS, content, Duration::from_millis(200));
    called.await.unwrap_err();
}

#[tokio::test]
async fn a_proposal_finds_its_leader_from_any_node() {
    let ids = names("127.0.0.1", 3);
    let nodes: Vec<Node> = ids
        .iter()
        .map(|id| Node::start(id, vec![group("g", &ids)], |_| {}))
        .collect();
    for (number, node) in nodes.iter().enumerate() {
        let committed = node.handle.propose("g", Bytes::from_static(b"x")).await;
        assert_eq!(committed.unwrap().answer, (number + 1).to_string());
    }
    let unknown = nodes[0].handle.propose("nobody's", Bytes::new()).await;
    assert_eq!(unknown, Err(ProposeError::NoLeader));
    let large = vec![0; 64 << 20];
    let refused = nodes[0].handle.propose("g", large.clone().into()).await;
    let other = nodes[1].handle.propose("g", large.into()).await;
    for result in [refused, other] {
        assert!(
            matches!(
                result,
                Err(ProposeError::Refused(_) | ProposeError::Unknown(_))
            ),
            "{result:?}"
        );
    }
}
