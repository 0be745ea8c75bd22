#![allow(clippy::unwrap_used, reason = "helpers of tests")]
//! Peers that are broken, slow, greedy or hostile: each is refused, counted, and harms nobody else.

mod support;

use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use diwan_bolt::{FrameWriter, Head, Kind, Status};
use diwan_net::bolt::{Bolt, Client, ClientOptions, SessionOptions};
use diwan_net::*;
use support::*;
use tokio::time::Instant;

fn count(server: &Server, name: &str) -> u64 {
    server
        .stats()
        .snapshot()
        .into_iter()
        .find(|(counter, _)| *counter == name)
        .unwrap()
        .1
}

fn request(action: &str, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_request(&mut out, 5, action, content);
    out
}

#[tokio::test]
async fn every_truncation_of_a_frame_ends_its_connection_and_no_other() {
    let server = server(ServerOptions::default(), SessionOptions::default());
    let mut other = Raw::connect(server.local_addr()).await;
    let whole = request("echo", b"content");
    for end in 1..whole.len() {
        let mut raw = Raw::connect(server.local_addr()).await;
        raw.send(&whole[..end]).await;
        drop(raw);
    }
    assert!(other.is_alive().await);
    assert_eq!(count(&server, "framing_lost"), 0);
}

#[tokio::test]
async fn lost_framing_closes_the_connection_after_the_answers_before_it() {
    let server = server(ServerOptions::default(), SessionOptions::default());
    let mut other = Raw::connect(server.local_addr()).await;
    for garbage in [
        &b"\x01\x09"[..],
        b"\x01\x01\0\x01\x01\0\0\0\x05\x01\0\0\0\0\xff\xff\0\0\0\0\0\0",
        b"\x03",
    ] {
        let mut raw = Raw::connect(server.local_addr()).await;
        raw.send(&[&request("echo", b"first"), garbage].concat())
            .await;
        assert_eq!(raw.receive().await, Some((5, 0, b"first".to_vec())));
        assert_eq!(raw.receive().await, None);
    }
    assert_eq!(count(&server, "framing_lost"), 3);
    assert!(other.is_alive().await);
}

#[tokio::test]
async fn a_wrong_crc_closes_the_connection() {
    let server = server(ServerOptions::default(), SessionOptions::default());
    let mut frame = Vec::new();
    let head = Head {
        version: diwan_bolt::Version::V2Crc,
        switch: 1,
        ..Head::request(5, 1, 0)
    };
    let mut writer = FrameWriter::begin(&mut frame, head, b"echo");
    writer.content().extend_from_slice(b"intact");
    writer.finish().unwrap();
    let mut raw = Raw::connect(server.local_addr()).await;
    raw.send(&frame).await;
    assert_eq!(raw.receive().await, Some((5, 0, b"intact".to_vec())));
    *frame.last_mut().unwrap() ^= 1;
    raw.send(&frame).await;
    assert_eq!(raw.receive().await, None);
    assert_eq!(count(&server, "framing_lost"), 1);
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let server = server(ServerOptions::default(), SessionOptions::default());
    let mut raw = Raw::connect(server.local_addr()).await;
    raw.send(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(raw.receive().await, None);
    assert_eq!(count(&server, "protocol_unknown"), 1);
}

#[tokio::test]
async fn a_frame_over_the_limit_is_answered_and_skipped() {
    let session = SessionOptions {
        frame_bytes_max: 1000,
        ..SessionOptions::default()
    };
    let server = server(ServerOptions::default(), session);
    let mut raw = Raw::connect(server.local_addr()).await;
    for bytes in [1001, 5_000_000] {
        raw.send(&request("echo", &vec![1; bytes])).await;
        assert_eq!(
            raw.receive().await,
            Some((5, Status::ServerDeserialException.code(), vec![]))
        );
        assert!(raw.is_alive().await, "after {bytes}");
    }
    assert_eq!(count(&server, "frames_too_large"), 2);
}

#[tokio::test]
async fn a_declared_content_of_2_gb_is_answered_at_once() {
    let server = server(ServerOptions::default(), SessionOptions::default());
    let mut frame = request("echo", b"");
    let length_at = 18;
    frame[length_at..length_at + 4].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut raw = Raw::connect(server.local_addr()).await;
    raw.send(&frame).await;
    assert_eq!(
        raw.receive().await,
        Some((5, Status::ServerDeserialException.code(), vec![]))
    );
}

#[tokio::test]
async fn an_answer_over_the_clients_limit_fails_only_its_call() {
    let server = server(ServerOptions::default(), SessionOptions::default());
    let session = SessionOptions {
        frame_bytes_max: 1000,
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
    let error = call(client.peer(), "echo", &[0; 2000]).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the answer of 2020 bytes is larger than 1000"),
        "{error}"
    );
    assert_eq!(call(client.peer(), "echo", b"x").await, Ok(b"x".to_vec()));
}

#[tokio::test]
async fn a_thousand_half_open_connections_cost_others_nothing() {
    let options = ServerOptions {
        connections_max: 1001,
        ..ServerOptions::default()
    };
    let server = server(options, SessionOptions::default());
    let mut other = Raw::connect(server.local_addr()).await;
    assert!(other.is_alive().await);
    let mut half_open = Vec::new();
    for index in 0..1000 {
        let mut raw = Raw::connect(server.local_addr()).await;
        if index % 2 == 0 {
            raw.send(&request("echo", b"never whole")[..30]).await;
        }
        half_open.push(raw);
    }
    assert!(other.is_alive().await);
    // One more than allowed is closed at once.
    let mut refused = Raw::connect(server.local_addr()).await;
    assert_eq!(refused.receive().await, None);
    assert_eq!(count(&server, "connections_refused"), 1);
}

#[tokio::test]
async fn a_frame_that_trickles_in_is_cut_off() {
    let mut options = ServerOptions::default();
    options.limits.frame_timeout = Duration::from_millis(100);
    let server = server(options, SessionOptions::default());
    let mut other = Raw::connect(server.local_addr()).await;
    let mut raw = Raw::connect(server.local_addr()).await;
    assert!(raw.is_alive().await);
    let whole = request("echo", &[0; 100]);
    let trickle = async {
        for byte in &whole[..60] {
            raw.send(std::slice::from_ref(byte)).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        raw.receive().await
    };
    assert_eq!(trickle.await, None);
    assert_eq!(count(&server, "frame_slow"), 1);
    assert!(other.is_alive().await);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let options = ServerOptions {
        handshake_timeout: Duration::from_millis(50),
        ..ServerOptions::default()
    };
    let server = server(options, SessionOptions::default());
    let mut raw = Raw::connect(server.local_addr()).await;
    assert_eq!(raw.receive().await, None);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut_off_with_bounded_memory() {
    let mut options = ServerOptions::default();
    options.limits.write_timeout = Duration::from_millis(200);
    options.limits.outbox_bytes_max = 1 << 20;
    let server = server(options, SessionOptions::default());
    let mut greedy = Raw::connect(server.local_addr()).await;
    let frame = request("echo", &[7; 60_000]);
    let flood = async {
        // 600 MB if the server took it all.
        for _ in 0..10_000 {
            greedy.send(&frame).await;
        }
    };
    flood.await;
    let mut other = Raw::connect(server.local_addr()).await;
    assert!(other.is_alive().await);
    assert_eq!(count(&server, "reader_slow"), 1);
    // What the kernel's buffers and the outbox hold, far below what was sent.
    assert!(
        count(&server, "bytes_in") < 100_000_000,
        "{}",
        count(&server, "bytes_in")
    );
}

#[tokio::test]
async fn requests_beyond_the_limits_are_answered_busy() {
    let mut options = ServerOptions {
        in_flight_max: 3,
        ..ServerOptions::default()
    };
    options.limits.in_flight_max = 2;
    let server = server(options, SessionOptions::default());
    let busy = Status::ServerThreadPoolBusy.code();
    let mut first = Raw::connect(server.local_addr()).await;
    let three = [
        request("later", b"60000"),
        request("later", b"60000"),
        request("later", b"1"),
    ]
    .concat();
    first.send(&three).await;
    assert_eq!(
        first.receive().await,
        Some((5, busy, vec![])),
        "the connection's limit"
    );
    let mut second = Raw::connect(server.local_addr()).await;
    second
        .send(&[request("later", b"60000"), request("later", b"1")].concat())
        .await;
    assert_eq!(
        second.receive().await,
        Some((5, busy, vec![])),
        "the server's limit"
    );
    assert_eq!(count(&server, "requests_busy"), 2);
}

#[tokio::test]
async fn oneway_is_never_answered_and_unknown_commands_are() {
    let server = server(ServerOptions::default(), SessionOptions::default());
    let mut raw = Raw::connect(server.local_addr()).await;
    let mut out = Vec::new();
    for action in ["echo", "no such action"] {
        let head = Head {
            kind: Kind::Oneway { timeout_ms: 0 },
            ..Head::request(9, 1, 0)
        };
        FrameWriter::begin(&mut out, head, action.as_bytes())
            .finish()
            .unwrap();
    }
    let head = Head {
        command: diwan_bolt::Command::Other(99),
        ..Head::request(10, 1, 0)
    };
    FrameWriter::begin(&mut out, head, b"echo")
        .finish()
        .unwrap();
    FrameWriter::begin(&mut out, Head::heartbeat(11, 1), b"")
        .finish()
        .unwrap();
    // An answer to nothing.
    FrameWriter::begin(
        &mut out,
        Head::request(12, 1, 0).response(Status::Success),
        b"",
    )
    .finish()
    .unwrap();
    raw.send(&out).await;
    assert_eq!(
        raw.receive().await,
        Some((10, Status::NoProcessor.code(), vec![]))
    );
    assert_eq!(raw.receive().await, Some((11, 0, vec![])));
    assert!(raw.is_alive().await);
    assert_eq!(count(&server, "responses_unknown"), 1);
}

/// A second protocol on the port: answers each line that starts with `?`.
struct Lines;

impl Protocol for Lines {
    fn recognize(&self, first: &[u8]) -> Recognition {
        if first[0] == b'?' {
            Recognition::Yes
        } else {
            Recognition::No
        }
    }
    fn worker(&self) -> Box<dyn ProtocolWorker> {
        Box::new(Lines)
    }
}

impl ProtocolWorker for Lines {
    fn open(&self, connection: Rc<Connection>) -> Box<dyn Session> {
        Box::new(LineSession(connection))
    }
}

struct LineSession(Rc<Connection>);

impl Session for LineSession {
    fn receive(&mut self, input: &[u8]) -> Result<Received, CloseReason> {
        // The answer is a Bolt frame only because the test's client can read those.
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return Ok(Received {
                consumed: 0,
                wanted: input.len() + 1,
                skip: 0,
            });
        };
        self.0.write(|outbox| {
            let mut writer = FrameWriter::begin(
                outbox.buffer(),
                Head::request(1, 1, 0).response(Status::Success),
                b"",
            );
            writer.content().extend_from_slice(&input[..end]);
            writer.finish().unwrap();
        });
        Ok(Received {
            consumed: end + 1,
            wanted: 0,
            skip: 0,
        })
    }
    fn poll(&mut self, _: &mut Context<'_>, _: Instant) -> Result<Option<Instant>, CloseReason> {
        Ok(None)
    }
    fn has_calls_out(&self) -> bool {
        false
    }
    fn closed(&mut self, _: &CloseReason) {}
}

#[tokio::test]
async fn one_port_serves_two_protocols() {
    let bolt = Bolt::new(Arc::new(|| Rc::new(Actions)), SessionOptions::default());
    let server = server_with(ServerOptions::default(), vec![bolt, Arc::new(Lines)]);
    let mut lines = Raw::connect(server.local_addr()).await;
    lines.send(b"?who").await;
    lines.send(b" goes there\n").await;
    assert_eq!(
        lines.receive().await,
        Some((1, 0, b"?who goes there".to_vec()))
    );
    assert!(Raw::connect(server.local_addr()).await.is_alive().await);
}
