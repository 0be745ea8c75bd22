//! The floor: a single-threaded responder on the bare system calls. It finds the frames of a Bolt v1 stream by their
//! lengths, looks at nothing else, and answers each with the same bytes and the request's id. What a server costs
//! above this is the server.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

const REQUEST_HEADER: usize = 22;
const BUFFER_BYTES: usize = 128 << 10;

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    answers: Vec<u8>,
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(addr), Some(answer_file)) = (arguments.next(), arguments.next()) else {
        eprintln!("bare HOST:PORT ANSWER_FILE");
        std::process::exit(2);
    };
    let answer = std::fs::read(answer_file)?;
    let listener = TcpListener::bind(&addr)?;
    listener.set_nonblocking(true)?;
    println!("listening on {addr}");

    // SAFETY: plain system calls on descriptors that live as long as the loop.
    let epoll = unsafe { libc::epoll_create1(0) };
    watch(epoll, listener.as_raw_fd());
    let mut connections: HashMap<i32, Connection> = HashMap::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
    loop {
        // SAFETY: `events` has room for as many as the call is told.
        let count =
            unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as i32, -1) };
        for event in &events[..count.max(0) as usize] {
            let descriptor = event.u64 as i32;
            if descriptor == listener.as_raw_fd() {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    watch(epoll, stream.as_raw_fd());
                    let connection = Connection {
                        stream,
                        received: Vec::new(),
                        answers: Vec::new(),
                    };
                    connections.insert(connection.stream.as_raw_fd(), connection);
                }
            } else if let Some(connection) = connections.get_mut(&descriptor)
                && !connection.turn(&mut buffer, &answer)
            {
                connections.remove(&descriptor);
            }
        }
    }
}

fn watch(epoll: i32, descriptor: i32) {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: descriptor as u64,
    };
    // SAFETY: both descriptors are open.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, descriptor, &mut event) };
}

impl Connection {
    /// One read, one write; false when the connection is over.
    fn turn(&mut self, buffer: &mut [u8], answer: &[u8]) -> bool {
        match self.stream.read(buffer) {
            Ok(0) => return false,
            Ok(count) if self.received.is_empty() => {
                let used = answer_all(&buffer[..count], answer, &mut self.answers);
                self.received.extend_from_slice(&buffer[used..count]);
            }
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                let used = answer_all(&self.received, answer, &mut self.answers);
                self.received.drain(..used);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
        let mut written = 0;
        while written < self.answers.len() {
            match self.stream.write(&self.answers[written..]) {
                Ok(count) => written += count,
                // The load generator reads all the time: its buffer is free again in a moment.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => return false,
            }
        }
        self.answers.clear();
        true
    }
}

fn answer_all(input: &[u8], answer: &[u8], answers: &mut Vec<u8>) -> usize {
    let u16_at = |at: usize| usize::from(u16::from_be_bytes([input[at], input[at + 1]]));
    let mut at = 0;
    while input.len() - at >= REQUEST_HEADER {
        let content = u16_at(at + 18) << 16 | u16_at(at + 20);
        let bytes = REQUEST_HEADER + u16_at(at + 14) + u16_at(at + 16) + content;
        if input.len() - at < bytes {
            break;
        }
        let start = answers.len();
        answers.extend_from_slice(answer);
        answers[start + 5..start + 9].copy_from_slice(&input[at + 5..at + 9]);
        at += bytes;
    }
    at
}
