//! A Bolt server with a handler for every kind of answer, and a raw client socket.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "support of tests; each file uses its part"
)]

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use diwan_bolt::{Decoded, FrameWriter, Head, Status, decode};
use diwan_net::bolt::{Bolt, CallError, Handler, Incoming, Peer, SessionOptions};
use diwan_net::{Protocol, Server, ServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const ANY: &str = "127.0.0.1:0";

/// Does what the class of the request says.
pub struct Actions;

impl Handler for Actions {
    fn request(&self, mut incoming: Incoming<'_>) {
        let content = incoming.frame.content.to_vec();
        let action = String::from_utf8_lossy(incoming.frame.class).into_owned();
        match action.as_str() {
            "echo" => answer(&mut incoming, &content),
            "later" => {
                incoming.responder.defer();
                let mut responder = incoming.responder;
                let wait =
                    Duration::from_millis(String::from_utf8_lossy(&content).parse().unwrap());
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(wait).await;
                    responder
                        .send(Status::Success, b"", |frame| {
                            frame.content().extend(content)
                        })
                        .unwrap();
                });
            }
            "call me back" => {
                let peer = incoming.peer();
                let mut responder = incoming.responder;
                responder.defer();
                tokio::task::spawn_local(async move {
                    let back = call(&peer, "echo", b"are you there?").await;
                    let text = format!(
                        "{:?}",
                        back.map(|content| String::from_utf8(content).unwrap())
                    );
                    responder
                        .send(Status::Success, b"", |frame| {
                            frame.content().extend(text.bytes())
                        })
                        .unwrap();
                });
            }
            _ => incoming.responder.send_status(Status::NoProcessor),
        }
    }
}

fn answer(incoming: &mut Incoming<'_>, content: &[u8]) {
    incoming
        .responder
        .send(Status::Success, b"", |frame| {
            frame.content().extend(content)
        })
        .unwrap();
}

pub fn server(options: ServerOptions, session: SessionOptions) -> Server {
    server_with(
        options,
        vec![Bolt::new(Arc::new(|| Rc::new(Actions)), session)],
    )
}

pub fn server_with(options: ServerOptions, protocols: Vec<Arc<dyn Protocol>>) -> Server {
    let options = ServerOptions {
        workers: Some(2),
        ..options
    };
    Server::start(ANY.parse().unwrap(), protocols, options).unwrap()
}

pub fn write_request(out: &mut Vec<u8>, id: u32, action: &str, content: &[u8]) {
    let mut writer = FrameWriter::begin(out, Head::request(id, 1, 3000), action.as_bytes());
    writer.content().extend_from_slice(content);
    writer.finish().unwrap();
}

pub async fn call(peer: &Peer, action: &str, content: &[u8]) -> Result<Vec<u8>, CallError> {
    call_within(peer, action, content, Duration::from_secs(10)).await
}

pub async fn call_within(
    peer: &Peer,
    action: &str,
    content: &[u8],
    timeout: Duration,
) -> Result<Vec<u8>, CallError> {
    let answer = peer
        .call(timeout, |out, id| {
            write_request(out, id, action, content);
            Ok(())
        })
        .await?;
    Ok(answer.frame().content.to_vec())
}

/// A client without manners: bytes as the test wants them.
pub struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(addr).await.unwrap(),
            received: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // The server may have closed already: what it said before is what the test looks at.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Id, status and content of the next frame; `None` when the server closes.
    pub async fn receive(&mut self) -> Option<(u32, u16, Vec<u8>)> {
        loop {
            match decode(&self.received, 1 << 30).unwrap() {
                Decoded::Frame { frame, bytes } => {
                    let diwan_bolt::Kind::Response { status } = frame.head.kind else {
                        panic!("{frame:?}")
                    };
                    let answer = (frame.head.id, status, frame.content.to_vec());
                    self.received.drain(..bytes);
                    return Some(answer);
                }
                Decoded::Incomplete { .. } => {
                    match self.stream.read_buf(&mut self.received).await {
                        Ok(0) | Err(_) => return None,
                        Ok(_) => {}
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn is_alive(&mut self) -> bool {
        let mut out = Vec::new();
        write_request(&mut out, 77, "echo", b"alive");
        self.send(&out).await;
        self.receive().await == Some((77, 0, b"alive".to_vec()))
    }
}
