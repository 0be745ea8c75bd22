//! What Seata's clients reach at most: answers each request at once, in Seata's frames, and does nothing else. A client's figures beside a
//! coordinator's are the coordinator's only as far as they stay below those beside this.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use clap::Parser;
use diwan_seata::frame::{Decoded, FRAME_BYTES_MAX, Form, Kind, decode, write};
use diwan_seata::{GlobalStatus, Identified, Message, Outcome, binary};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

#[derive(Parser)]
struct Arguments {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
}

const LISTENER: Token = Token(usize::MAX);

struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Link {
    /// False once the other side is gone.
    fn turn(&mut self, buffer: &mut [u8], next: &mut i64) -> io::Result<bool> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut taken = 0;
        while let Ok(Decoded::Frame { frame, bytes }) =
            decode(&self.input[taken..], FRAME_BYTES_MAX)
        {
            taken += bytes;
            let id = frame.id;
            if frame.kind == Kind::Ping {
                write(&mut self.output, Kind::Pong, Form::USUAL, id, |_| {});
                continue;
            }
            let said = binary::decode(frame.body).map_err(io::Error::other)?;
            if let Some(answer) = answer(&said, next) {
                write(&mut self.output, Kind::Response, Form::USUAL, id, |out| {
                    binary::encode(&answer, out);
                });
            }
        }
        self.input.drain(..taken);
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn answer(said: &Message, next: &mut i64) -> Option<Message> {
    let identified = || Identified {
        accepted: true,
        version: "2.6.0".to_owned(),
    };
    Some(match said {
        Message::RegisterTm(_) => Message::RegisterTmResult(identified()),
        Message::RegisterRm { .. } => Message::RegisterRmResult(identified()),
        Message::GlobalBegin { .. } => {
            *next += 1;
            Message::GlobalBeginResult {
                outcome: Outcome::SUCCESS,
                xid: format!("127.0.0.1:8091:{next}"),
                extra_data: String::new(),
            }
        }
        Message::GlobalCommit(_) => {
            Message::GlobalCommitResult(Outcome::SUCCESS, GlobalStatus::Committed)
        }
        Message::GlobalRollback(_) => {
            Message::GlobalRollbackResult(Outcome::SUCCESS, GlobalStatus::Rollbacked)
        }
        _ => return None,
    })
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(arguments.listen)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut links: Vec<Option<Link>> = Vec::new();
    let (mut buffer, mut next) = (vec![0; 256 << 10], 0);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry()
                        .register(&mut stream, Token(links.len()), interest)?;
                    links.push(Some(Link {
                        stream,
                        input: Vec::new(),
                        output: Vec::new(),
                    }));
                }
            } else if let Some(link) = links.get_mut(event.token().0)
                && let Some(open) = link
                && !open.turn(&mut buffer, &mut next).unwrap_or(false)
            {
                *link = None;
            }
        }
    }
}
