//! Many connections on one thread.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use diwan_bolt::{Decoded, Frame, FrameWriter, Head, Kind, Status, decode};
use diwan_hessian::Dialect;
use diwan_registry_wire::{Answer, Codec, Request, SyncResult};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Outcome;

pub(crate) const CODEC: Codec = Codec::Hessian(Dialect::Draft);
/// A connection.
pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    input: Vec<u8>,
    pub(crate) output: Vec<u8>,
    /// What comes is read and counts for nothing.
    pub(crate) deaf: bool,
}

/// All connections of this process.
pub(crate) struct Links {
    pub(crate) poll: Poll,
    events: Events,
    pub(crate) links: Vec<Link>,
    buffer: Vec<u8>,
    next_id: u32,
}

/// What came over a connection.
pub(crate) enum Came<'a> {
    Answer,
    Request(&'a Frame<'a>),
}

impl Links {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(4096),
            links: Vec::new(),
            buffer: vec![0; 256 << 10],
            next_id: 1,
        })
    }

    pub(crate) fn add(&mut self, mut stream: TcpStream) -> io::Result<usize> {
        let place = self.links.len();
        stream.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(place), interest)?;
        self.links.push(Link {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            deaf: false,
        });
        Ok(place)
    }

    pub(crate) fn connect(&mut self, to: SocketAddr, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let stream = std::net::TcpStream::connect(to)?;
            stream.set_nonblocking(true)?;
            self.add(TcpStream::from_std(stream))?;
        }
        Ok(())
    }

    pub(crate) fn request(&mut self, link: usize, request: &Request) -> io::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        let output = &mut self.links[link].output;
        let head = Head::request(id, CODEC.byte(), 10_000);
        frame(output, head, request.class(CODEC), |out| {
            request.encode(CODEC, out);
        })?;
        Ok(())
    }

    pub(crate) fn flush(&mut self, link: usize) -> io::Result<()> {
        let Link { stream, output, .. } = &mut self.links[link];
        while !output.is_empty() {
            match stream.write(output) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => drop(output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for what comes, and acknowledges pushes. Connections that came, for whom this listens.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        mut came: impl FnMut(usize, Came<'_>, &mut Vec<u8>),
    ) -> io::Result<bool> {
        self.poll.poll(&mut self.events, Some(timeout))?;
        let mut arrivals = false;
        for event in &self.events {
            let Token(place) = event.token();
            let Some(link) = self.links.get_mut(place) else {
                arrivals = true;
                continue;
            };
            loop {
                let count = match link.stream.read(&mut self.buffer) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                if link.deaf {
                    continue;
                }
                link.input.extend_from_slice(&self.buffer[..count]);
                let taken = frames(&link.input, |frame| {
                    let what = match frame.head.kind {
                        Kind::Response { .. } => Came::Answer,
                        _ => Came::Request(frame),
                    };
                    came(place, what, &mut link.output);
                })?;
                link.input.drain(..taken);
                if link.input.is_empty() {
                    // Idle connections take no room here.
                    link.input = Vec::new();
                }
                if count < self.buffer.len() {
                    break;
                }
            }
            while !link.output.is_empty() {
                match link.stream.write(&link.output) {
                    Ok(count) => drop(link.output.drain(..count)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            if link.output.is_empty() {
                link.output = Vec::new();
            }
        }
        Ok(arrivals)
    }

    /// As long as a client of the registry would: acknowledges pushes; `pushed` is told them, and says whether that is enough.
    pub(crate) fn until(
        &mut self,
        mut answered: impl FnMut(usize),
        mut pushed: impl FnMut(usize, &Frame<'_>),
        enough: impl Fn() -> bool,
    ) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(300);
        while !enough() {
            if Instant::now() > deadline {
                return Err("it did not come within 300 s".into());
            }
            self.turn(Duration::from_millis(100), |link, what, out| match what {
                Came::Answer => answered(link),
                Came::Request(frame) => {
                    pushed(link, frame);
                    acknowledge(frame, out);
                }
            })?;
        }
        Ok(())
    }
}

pub(crate) fn frame(
    out: &mut Vec<u8>,
    head: Head,
    class: &str,
    content: impl FnOnce(&mut Vec<u8>),
) -> io::Result<()> {
    let mut writer = FrameWriter::begin(out, head, class.as_bytes());
    content(writer.content());
    writer.finish().map_err(io::Error::other)
}

/// All frames at the front of `input`; how many bytes they take.
pub(crate) fn frames(input: &[u8], mut came: impl FnMut(&Frame<'_>)) -> io::Result<usize> {
    let mut taken = 0;
    while taken < input.len() {
        match decode(&input[taken..], diwan_bolt::FRAME_BYTES_MAX_DEFAULT) {
            Ok(Decoded::Frame { frame, bytes }) => {
                came(&frame);
                taken += bytes;
            }
            Ok(Decoded::Incomplete { .. }) => break,
            other => return Err(io::Error::other(format!("no frame: {other:?}"))),
        }
    }
    Ok(taken)
}

pub(crate) fn acknowledge(push: &Frame<'_>, out: &mut Vec<u8>) {
    let answer = Answer::Result(SyncResult {
        success: true,
        message: None,
    });
    let written = frame(
        out,
        push.head.response(Status::Success),
        answer.class(CODEC),
        |out| {
            answer.encode(CODEC, out);
        },
    );
    debug_assert!(written.is_ok());
}
