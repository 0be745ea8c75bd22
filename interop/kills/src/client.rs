//! A client of the store: one connection to each member, one request at a time.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use diwan_bolt::{Decoded, FrameWriter, Head, Kind, decode};

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done; a get brings what it found.
    Done(Option<Vec<u8>>),
    /// It did nothing; this member leads instead, if the answer says so.
    NotDone(Option<u16>),
    /// Nobody knows.
    Unknown,
}

/// Connections to the members.
pub struct Client {
    addresses: Vec<SocketAddrV4>,
    connections: Vec<(u16, TcpStream)>,
    next_id: u32,
}

/// How long an answer may take.
pub const TIMEOUT: Duration = Duration::from_millis(1500);

const CLASS: &[u8] = b"harness.KvRequest";

impl Client {
    /// A client of the members at `addresses`.
    pub fn new(addresses: &[SocketAddrV4]) -> Client {
        Client {
            addresses: addresses.to_vec(),
            connections: Vec::new(),
            next_id: 0,
        }
    }

    /// Puts at the member on `port`.
    pub fn put(&mut self, port: u16, key: &str, value: &[u8]) -> Answer {
        self.ask(port, 1, key, value)
    }

    /// Gets, linearizably, at the member on `port`.
    pub fn get(&mut self, port: u16, key: &str) -> Answer {
        self.ask(port, 2, key, &[])
    }

    fn ask(&mut self, port: u16, operation: u8, key: &str, value: &[u8]) -> Answer {
        let place = self
            .connections
            .iter()
            .position(|(known, _)| *known == port);
        let mut stream = match place {
            Some(place) => self.connections.swap_remove(place).1,
            None => match self.connect(port) {
                Ok(stream) => stream,
                Err(_) => return Answer::NotDone(None),
            },
        };
        self.next_id += 1;
        match exchange(&mut stream, self.next_id, operation, key, value) {
            Ok(content) => {
                self.connections.push((port, stream));
                interpret(operation, &content)
            }
            Err(_) => Answer::Unknown,
        }
    }

    fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let known = self.addresses.iter().find(|known| known.port() == port);
        let address = SocketAddr::V4(*known.ok_or(io::ErrorKind::NotFound)?);
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(stream)
    }
}

fn exchange(
    stream: &mut TcpStream,
    id: u32,
    operation: u8,
    key: &str,
    value: &[u8],
) -> io::Result<Vec<u8>> {
    let until = Instant::now() + TIMEOUT;
    let mut out = Vec::new();
    let mut writer = FrameWriter::begin(
        &mut out,
        Head::request(id, 1, TIMEOUT.as_millis() as i32),
        CLASS,
    );
    let content = writer.content();
    content.push(operation);
    content.extend_from_slice(&(key.len() as u32).to_be_bytes());
    content.extend_from_slice(key.as_bytes());
    content.extend_from_slice(value);
    writer.finish().map_err(io::Error::other)?;
    stream.write_all(&out)?;
    let mut input = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let bytes = stream.read(&mut piece)?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.extend_from_slice(&piece[..bytes]);
        match decode(&input, 1 << 20).map_err(io::Error::other)? {
            Decoded::Frame { frame, .. } if frame.head.id == id => {
                return match frame.head.kind {
                    Kind::Response { status: 0 } => Ok(frame.content.to_vec()),
                    _ => Err(io::Error::other("no answer of the store")),
                };
            }
            _ if Instant::now() >= until => return Err(io::ErrorKind::TimedOut.into()),
            _ => {}
        }
    }
}

fn interpret(operation: u8, content: &[u8]) -> Answer {
    match content.split_first() {
        Some((0, value)) if operation == 2 => Answer::Done(Some(value.to_vec())),
        Some((0, _)) => Answer::Done(None),
        Some((1, leader)) => {
            let leader = String::from_utf8_lossy(leader);
            Answer::NotDone(leader.split(':').nth(1).and_then(|port| port.parse().ok()))
        }
        Some((2, _)) => Answer::Done(None),
        // The words of `ProposalError`: everything else may have been carried out.
        Some((3, why)) if why.starts_with(b"not carried out") => Answer::NotDone(None),
        _ => Answer::Unknown,
    }
}
