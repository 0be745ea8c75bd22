#![allow(clippy::unwrap_used, reason = "tests")]
//! What a client says before anything else, and stopping a server whose clients never pause.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use diwan_bolt::{Frame, Status};
use diwan_net::ServerOptions;
use diwan_net::bolt::{
    Bolt, CallError, Client, ClientOptions, Handler, Incoming, Opening, SessionOptions,
};
use support::*;

/// Says these words one after the other, and wants each back.
struct Words(Vec<&'static str>, usize);

impl Opening for Words {
    fn next(&mut self, id: u32, answer: Option<&Frame<'_>>) -> Result<Option<Vec<u8>>, String> {
        if let Some(answer) = answer {
            let said = self.0[self.1 - 1];
            if answer.content != said.as_bytes() {
                return Err(format!("no echo of {said}"));
            }
        }
        let word = self.0.get(self.1);
        self.1 += 1;
        Ok(word.map(|word| {
            let mut frame = Vec::new();
            let action = if *word == "friend" { "echo" } else { "nothing" };
            write_request(&mut frame, id, action, word.as_bytes());
            frame
        }))
    }
}

fn client(addr: std::net::SocketAddr, words: &[&'static str]) -> Client {
    let words = words.to_vec();
    let options = ClientOptions {
        opening: Some(Arc::new(move || Box::new(Words(words.clone(), 0)))),
        ..ClientOptions::default()
    };
    Client::connect(addr, options).unwrap()
}

/// Counts what comes on its one connection; the opening must be first.
struct Ordered(Cell<u32>);

impl Handler for Ordered {
    fn request(&self, mut incoming: Incoming<'_>) {
        let nth = self.0.replace(self.0.get() + 1);
        let content = match incoming.frame.content {
            b"friend" if nth < 2 => b"friend".to_vec(),
            _ => nth.to_string().into(),
        };
        let sent = incoming.responder.send(Status::Success, b"", |frame| {
            frame.content().extend(content);
        });
        sent.unwrap();
    }

    fn for_connection(&self) -> Option<Rc<dyn Handler>> {
        Some(Rc::new(Self(Cell::new(0))))
    }
}

#[tokio::test]
async fn calls_follow_on_the_opening_of_their_connection() {
    let protocol = Bolt::new(
        Arc::new(|| Rc::new(Ordered(Cell::new(0)))),
        SessionOptions::default(),
    );
    let server = server_with(ServerOptions::default(), vec![protocol]);
    // Each connection has a handler of its own that counts from the beginning.
    for _ in 0..2 {
        let client = client(server.local_addr(), &["friend", "friend"]);
        let answer = call(client.peer(), "echo", b"x").await.unwrap();
        assert_eq!(answer, b"2");
    }
}

#[tokio::test]
async fn a_connection_whose_opening_fails_is_none() {
    let server = server(ServerOptions::default(), SessionOptions::default());
    let client = client(server.local_addr(), &["friend", "foe"]);
    let error = call(client.peer(), "echo", b"x").await.unwrap_err();
    assert!(
        matches!(&error, CallError::NotConnected { reason, .. } if reason == "no echo of foe"),
        "{error}"
    );
    assert!(client.stats().connect_failed.load(Relaxed) >= 1);
    assert_eq!(client.stats().connections_opened.load(Relaxed), 0);
}

#[tokio::test]
async fn a_listener_that_does_not_answer_the_opening_is_given_up() {
    let listener = std::net::TcpListener::bind(ANY).unwrap();
    let options = ClientOptions {
        connect_timeout: Duration::from_millis(50),
        opening: Some(Arc::new(|| Box::new(Words(vec!["friend"], 0)))),
        ..ClientOptions::default()
    };
    let client = Client::connect(listener.local_addr().unwrap(), options).unwrap();
    let error = call(client.peer(), "echo", b"x").await.unwrap_err();
    assert!(
        error.to_string().contains("no connection within"),
        "{error}"
    );
}

/// Lets its connections end at any time.
struct Replaceable;

impl Handler for Replaceable {
    fn request(&self, incoming: Incoming<'_>) {
        incoming.responder.connection().set_may_end_any_time();
    }
}

#[tokio::test]
async fn a_stopping_server_does_not_wait_for_clients_that_never_pause_if_they_do_not_mind() {
    let protocol = Bolt::new(Arc::new(|| Rc::new(Replaceable)), SessionOptions::default());
    let server = server_with(ServerOptions::default(), vec![protocol]);
    let client = Client::connect(server.local_addr(), ClientOptions::default()).unwrap();
    assert!(call(client.peer(), "begin", b"").await.is_ok());
    let over = Arc::new(AtomicBool::new(false));
    let talk = {
        let over = over.clone();
        tokio::spawn(async move {
            while !over.load(Relaxed) {
                let _ = client.peer().oneway(|frame, id| {
                    write_request(frame, id, "more", b"");
                    Ok(())
                });
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    // Far less than the drain may take.
    let stopped = server.stop(Duration::from_secs(600));
    tokio::time::timeout(Duration::from_secs(30), stopped)
        .await
        .unwrap();
    over.store(true, Relaxed);
    talk.await.unwrap();
}
