#![allow(clippy::unwrap_used, reason = "helpers of tests")]
//! Calls over real sockets, in both directions.

mod support;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use diwan_net::bolt::{CallError, Client, ClientEvent, ClientOptions, PeerState, SessionOptions};
use diwan_net::{Server, ServerOptions};
use support::*;
use tokio::sync::mpsc;

fn start() -> Server {
    server(ServerOptions::default(), SessionOptions::default())
}

fn connect(addr: SocketAddr) -> Client {
    Client::connect(addr, ClientOptions::default()).unwrap()
}

#[tokio::test]
async fn an_answer_belongs_to_its_request_whatever_the_order() {
    let server = start();
    let client = connect(server.local_addr());
    let peer = client.peer();
    let mut calls = Vec::new();
    for index in 0..200usize {
        let wait = (200 - index).to_string();
        let peer = peer.clone();
        calls.push(tokio::spawn(async move {
            let action = if index.is_multiple_of(2) {
                "later"
            } else {
                "echo"
            };
            (wait.clone(), call(&peer, action, wait.as_bytes()).await)
        }));
    }
    for done in calls {
        let (sent, received) = done.await.unwrap();
        assert_eq!(received, Ok(sent.into_bytes()));
    }
    assert_eq!(server.in_flight(), 0);
}

#[tokio::test]
async fn a_slow_call_does_not_delay_another_of_its_connection() {
    let server = start();
    let client = connect(server.local_addr());
    let slow = tokio::spawn({
        let peer = client.peer().clone();
        async move { call(&peer, "later", b"60000").await }
    });
    assert_eq!(
        call(client.peer(), "echo", b"quick").await,
        Ok(b"quick".to_vec())
    );
    assert!(!slow.is_finished());
}

#[tokio::test]
async fn frames_of_every_size_come_through_whole() {
    let server = start();
    let client = connect(server.local_addr());
    for bytes in [0, 1, 1000, 65_535, 131_072, 131_073, 1 << 20, 10_000_001] {
        let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let answer = call(client.peer(), "echo", &content).await.unwrap();
        assert!(answer == content, "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_call_without_an_answer_times_out_and_the_late_answer_harms_nobody() {
    let server = start();
    let client = connect(server.local_addr());
    let addr = server.local_addr();
    let timeout = Duration::from_millis(20);
    assert_eq!(
        call_within(client.peer(), "later", b"60", timeout).await,
        Err(CallError::Timeout { addr, timeout })
    );
    assert_eq!(
        call(client.peer(), "later", b"100").await,
        Ok(b"100".to_vec())
    );
    let counters = client.stats().snapshot();
    assert!(counters.contains(&("calls_timed_out", 1)), "{counters:?}");
    assert!(counters.contains(&("responses_unknown", 1)), "{counters:?}");
}

#[tokio::test]
async fn a_dropped_call_is_forgotten() {
    let server = start();
    let client = connect(server.local_addr());
    let peer = client.peer();
    let abandoned =
        tokio::time::timeout(Duration::from_millis(20), call(peer, "later", b"60")).await;
    assert!(abandoned.is_err());
    assert_eq!(peer.calls_in_flight(), 0);
    assert_eq!(call(peer, "echo", b"next").await, Ok(b"next".to_vec()));
}

#[tokio::test]
async fn the_server_calls_its_client_on_the_same_connection() {
    let server = start();
    let options = ClientOptions {
        handler: Some(Arc::new(|| Rc::new(Actions))),
        ..ClientOptions::default()
    };
    let client = Client::connect(server.local_addr(), options).unwrap();
    for _ in 0..3 {
        assert_eq!(
            call(client.peer(), "call me back", b"").await,
            Ok(br#"Ok("are you there?")"#.to_vec())
        );
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn calls_beyond_the_limit_fail_at_once() {
    let server = start();
    let session = SessionOptions {
        calls_max: 2,
        ..SessionOptions::default()
    };
    let client = Client::connect(
        server.local_addr(),
        ClientOptions {
            session,
            ..ClientOptions::default()
        },
    )
    .unwrap();
    let slow: Vec<_> = (0..2)
        .map(|_| {
            client.peer().call(Duration::from_secs(9), |out, id| {
                write_request(out, id, "later", b"60000");
                Ok(())
            })
        })
        .collect();
    let refused = call(client.peer(), "echo", b"").await;
    assert_eq!(
        refused,
        Err(CallError::TooManyCalls {
            addr: server.local_addr(),
            limit: 2
        })
    );
    drop(slow);
    assert_eq!(call(client.peer(), "echo", b"x").await, Ok(b"x".to_vec()));
}

#[tokio::test]
async fn a_client_comes_back_when_its_server_does() {
    let first = start();
    let addr = first.local_addr();
    let (events, mut seen) = mpsc::unbounded_channel();
    let options = ClientOptions {
        reconnect: (Duration::from_millis(5), Duration::from_millis(20)),
        events: Some(Arc::new(move |event: &ClientEvent| {
            drop(events.send(event.clone()))
        })),
        ..ClientOptions::default()
    };
    let client = Client::connect(addr, options).unwrap();
    assert!(matches!(seen.recv().await, Some(ClientEvent::Connected(_))));
    first.stop(Duration::from_millis(100)).await;
    assert!(matches!(seen.recv().await, Some(ClientEvent::Closed(..))));
    assert!(matches!(
        seen.recv().await,
        Some(ClientEvent::ConnectFailed(..))
    ));
    let refused = call(client.peer(), "echo", b"x").await.unwrap_err();
    assert!(refused.was_not_sent(), "{refused}");

    let second = Server::start(
        addr,
        vec![diwan_net::bolt::Bolt::new(
            Arc::new(|| Rc::new(Actions)),
            SessionOptions::default(),
        )],
        ServerOptions::default(),
    )
    .unwrap();
    while !matches!(seen.recv().await, Some(ClientEvent::Connected(_))) {}
    assert_eq!(
        call(client.peer(), "echo", b"again").await,
        Ok(b"again".to_vec())
    );
    drop(second);
}

#[tokio::test]
async fn a_lazy_client_connects_at_its_first_call() {
    let server = start();
    let options = ClientOptions {
        lazy: true,
        connections: 3,
        ..ClientOptions::default()
    };
    let client = Client::connect(server.local_addr(), options).unwrap();
    assert_eq!(client.state(), PeerState::Connecting);
    assert_eq!(call(client.peer(), "echo", b"x").await, Ok(b"x".to_vec()));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn heartbeats_keep_an_idle_connection_and_a_silent_server_is_left() {
    let mut options = ServerOptions::default();
    options.limits.idle_timeout = Duration::from_millis(150);
    let server = server(options, SessionOptions::default());
    let client_options = |heartbeat_ms| ClientOptions {
        heartbeat_interval: Duration::from_millis(heartbeat_ms),
        heartbeat_timeout: Duration::from_millis(20),
        ..ClientOptions::default()
    };
    let kept = Client::connect(server.local_addr(), client_options(30)).unwrap();
    let (closed, mut seen) = mpsc::unbounded_channel();
    let left = Client::connect(
        server.local_addr(),
        ClientOptions {
            events: Some(Arc::new(move |event: &ClientEvent| {
                drop(closed.send(event.clone()))
            })),
            ..client_options(60_000)
        },
    )
    .unwrap();
    // The connection without heartbeats reaches the server's idle limit; the other does not.
    assert!(matches!(seen.recv().await, Some(ClientEvent::Connected(_))));
    assert!(matches!(seen.recv().await, Some(ClientEvent::Closed(..))));
    assert_eq!(kept.peer().state(), PeerState::Connected);
    let opened = kept.stats().snapshot();
    assert!(opened.contains(&("connections_opened", 1)), "{opened:?}");
    drop(left);

    // A listener that accepts and never answers.
    let silent = tokio::net::TcpListener::bind(ANY).await.unwrap();
    let (closed, mut seen) = mpsc::unbounded_channel();
    let _client = Client::connect(
        silent.local_addr().unwrap(),
        ClientOptions {
            events: Some(Arc::new(move |event: &ClientEvent| {
                drop(closed.send(event.clone()))
            })),
            ..client_options(10)
        },
    )
    .unwrap();
    assert!(matches!(seen.recv().await, Some(ClientEvent::Connected(_))));
    let Some(ClientEvent::Closed(_, reason)) = seen.recv().await else {
        panic!()
    };
    assert_eq!(reason, "3 heartbeats without an answer");
}

#[tokio::test]
async fn a_stopping_server_finishes_what_has_begun_and_refuses_the_rest() {
    let server = start();
    let client = connect(server.local_addr());
    let begun = tokio::spawn({
        let peer = client.peer().clone();
        async move { call(&peer, "later", b"150").await }
    });
    while server.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let stats = server.stats().clone();
    let stopped = tokio::spawn(server.stop(Duration::from_secs(20)));
    // Refused with a status, not by a closed connection, once the call that had begun is answered.
    let refused = loop {
        let answer = client.peer().call(Duration::from_secs(5), |out, id| {
            write_request(out, id, "echo", b"");
            Ok(())
        });
        let answer = answer.await.unwrap();
        match answer.frame().head.kind {
            diwan_bolt::Kind::Response { status: 0 } => {}
            other => break other,
        }
    };
    assert_eq!(refused, diwan_bolt::Kind::Response { status: 4 });
    assert_eq!(begun.await.unwrap(), Ok(b"150".to_vec()));
    stopped.await.unwrap();
    assert!(
        stats
            .snapshot()
            .iter()
            .any(|&(name, count)| name == "requests_draining" && count > 0)
    );
}

#[tokio::test]
async fn workers_can_listen_each_on_a_socket_of_its_own() {
    let options = ServerOptions {
        reuse_port: true,
        ..ServerOptions::default()
    };
    let server = server(options, SessionOptions::default());
    // The kernel spreads by a hash of the ports: with this many connections both workers get some.
    let clients: Vec<_> = (0..20).map(|_| connect(server.local_addr())).collect();
    for client in &clients {
        assert_eq!(call(client.peer(), "echo", b"x").await, Ok(b"x".to_vec()));
    }
    assert_eq!(server.connections(), 20);
}

#[tokio::test]
async fn calls_to_a_peer_that_does_not_read_fail_before_memory_runs_out() {
    // A listener whose connections nobody reads from.
    let silent = tokio::net::TcpListener::bind(ANY).await.unwrap();
    let mut options = ClientOptions::default();
    options.limits.outbox_bytes_max = 1 << 20;
    let client = Client::connect(silent.local_addr().unwrap(), options).unwrap();
    let mut calls = Vec::new();
    for _ in 0..200 {
        calls.push(client.peer().call(Duration::from_secs(2), |out, id| {
            write_request(out, id, "echo", &vec![0; 100_000]);
            Ok(())
        }));
    }
    let mut refused = 0;
    for call in calls {
        if let Err(CallError::SendBufferFull { bytes, .. }) = call.await {
            assert!(bytes < 2 << 20, "{bytes}");
            refused += 1;
        }
    }
    assert!(refused > 50, "{refused}");
}
