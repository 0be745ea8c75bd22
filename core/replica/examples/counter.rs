//! The smallest replicated service: a number that any member of a group can read and its leader can add to. The whole of it is
//! the state machine below; the rest starts a node and puts HTTP in front. (JRaft's own first example is a counter, too.)
//!
//! ```text
//! for n in 1 2 3; do
//!   counter --self 127.0.0.1:810$n --peers 127.0.0.1:8101,127.0.0.1:8102,127.0.0.1:8103 --data /tmp/counter/$n --http 820$n &
//! done
//! curl -X POST 127.0.0.1:8201/add/5       # the new value, or who leads
//! curl -X POST 127.0.0.1:8201/sessions    # a session's number, such as 7: what is sent in it may be sent again
//! curl -X POST 127.0.0.1:8201/sessions/7/0/add/5   # its command 0: added once, however often, to whichever leader
//! curl 127.0.0.1:8202/                    # never older than an addition that was answered before
//! diwan raft transfer-leader --group counter --peers 127.0.0.1:8101
//! ```

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use clap::Parser;
use diwan_log::{Command, Once, SessionId, SnapshotWriter, StateMachine};
use diwan_raft::{Configuration, PeerId};
use diwan_runtime::{GroupOptions, NodeHandle, NodeOptions};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The state: one number, shared with those who read it.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicI64>);

impl StateMachine for Counter {
    /// A command is eight bytes: how much to add. Every replica sees the same commands in the same order, so each comes to
    /// the same number; the answer goes to whoever proposed the command, on the member where it was proposed.
    fn apply(&mut self, command: Command<'_>) -> Bytes {
        // What cannot be read must change nothing, everywhere: it is an answer, not an error.
        let Ok(delta) = command.data.as_ref().try_into().map(i64::from_be_bytes) else {
            return Bytes::from_static(b"not a command");
        };
        let value = self.0.load(Relaxed).wrapping_add(delta);
        self.0.store(value, Relaxed);
        value.to_string().into()
    }

    /// The state is copied at once and written on another thread, while commands go on.
    fn snapshot(&mut self) -> SnapshotWriter {
        let value = self.0.load(Relaxed);
        Box::new(move |out: &mut dyn Write| out.write_all(&value.to_be_bytes()))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let mut value = [0; 8];
        snapshot.read_exact(&mut value)?;
        self.0.store(i64::from_be_bytes(value), Relaxed);
        Ok(())
    }
}

const GROUP: &str = "counter";

/// An addition ends in one of three ways: it was carried out (the answer), it was not and never will be, or nobody knows. As a
/// numbered command of a session it may be sent again until somebody knows.
async fn add(node: NodeHandle, once: Option<Once>, delta: i64) -> (StatusCode, String) {
    let (tell, told) = oneshot::channel();
    node.run(move |node| {
        let command = Bytes::copy_from_slice(&delta.to_be_bytes());
        let done = move |result| {
            let _ = tell.send(result);
        };
        match once {
            Some(once) => node.propose_once(GROUP, once, command, done),
            None => node.propose(GROUP, command, done),
        }
    });
    said(told.await, |committed| {
        String::from_utf8_lossy(&committed.answer).into_owned()
    })
}

async fn open(node: NodeHandle) -> (StatusCode, String) {
    let (tell, told) = oneshot::channel();
    node.run(move |node| {
        node.open_session(GROUP, move |result| {
            let _ = tell.send(result);
        });
    });
    said(told.await, |session| session.to_string())
}

fn said<T, E: std::error::Error>(
    told: Result<Result<T, E>, oneshot::error::RecvError>,
    text: impl FnOnce(T) -> String,
) -> (StatusCode, String) {
    match told {
        Ok(Ok(value)) => (StatusCode::OK, text(value)),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the node has stopped".to_owned(),
        ),
    }
}

/// A read waits for a barrier: after it this replica has seen everything that was answered before the read began.
async fn read(node: NodeHandle, counter: Counter) -> (StatusCode, String) {
    let (tell, told) = oneshot::channel();
    node.run(move |node| {
        node.read(GROUP, move |result| {
            let _ = tell.send(result.map(|()| counter.0.load(Relaxed)));
        });
    });
    said(told.await, |value| value.to_string())
}

/// A member of a replicated counter.
#[derive(Parser)]
struct Arguments {
    /// This member: ip:port.
    #[arg(long = "self")]
    id: PeerId,
    /// The members of a group that begins.
    #[arg(long, value_delimiter = ',', required = true)]
    peers: Vec<PeerId>,
    /// Where the log and the snapshots lie.
    #[arg(long)]
    data: PathBuf,
    /// Serve `POST /add/N` and `GET /` on this port of loopback.
    #[arg(long)]
    http: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let counter = Counter::default();
    let own = counter.clone();
    let group = GroupOptions::new(GROUP, Configuration::of(arguments.peers), move || {
        Box::new(own)
    });
    let node = diwan_runtime::start(NodeOptions::new(arguments.id, arguments.data), vec![group])?;

    let listener = TcpListener::bind(("127.0.0.1", arguments.http)).await?;
    let [adding, opening, once, reading] = std::array::from_fn(|_| node.clone());
    let router = Router::new()
        .route(
            "/add/{delta}",
            post(move |Path(delta): Path<i64>| add(adding, None, delta)),
        )
        .route("/sessions", post(move || open(opening)))
        .route(
            "/sessions/{session}/{sequence}/add/{delta}",
            post(
                move |Path((session, sequence, delta)): Path<(u64, u64, i64)>| {
                    // Its client sends one command after the other: those before this one are settled.
                    let (session, settled) = (SessionId(session), sequence);
                    let numbered = Once {
                        session,
                        sequence,
                        settled,
                    };
                    add(once, Some(numbered), delta)
                },
            ),
        )
        .route("/", get(move || read(reading, counter)));
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served?,
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    node.stop().await;
    Ok(())
}
