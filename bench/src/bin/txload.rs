//! Empty global transactions in Seata's frames, begin and commit, many in flight on one thread: what a coordinator costs, beside
//! which the load costs next to nothing.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use diwan_load::histogram::Histogram;
use diwan_load::process::{cpu_us, rss_mb};
use diwan_seata::frame::{Decoded, FRAME_BYTES_MAX, Form, Kind, decode, write};
use diwan_seata::{GlobalStatus, Identify, Message, Xid, binary};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Keeps so many transactions in flight and prints a line of JSON for each number.
#[derive(Parser)]
struct Arguments {
    /// The coordinator
    #[arg(long, default_value = "127.0.0.1:8091")]
    tc: SocketAddr,
    /// Transactions at a time, one round for each
    #[arg(long, value_delimiter = ',', default_value = "1,64,1024")]
    in_flight: Vec<usize>,
    /// Over so many connections, at most one for each transaction
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// So many begin each second at most, evenly; 0 for as many as go
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Of a round
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Before the first round
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
    /// Only begin, and stay; how many
    #[arg(long)]
    open: Option<u64>,
    /// The coordinator's process
    #[arg(long)]
    pid: Option<u32>,
}

struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    next_id: i32,
    /// When what is asked for began.
    asked: HashMap<i32, Instant>,
}

impl Link {
    fn send(&mut self, message: &Message, began: Instant) {
        let id = self.next_id;
        self.next_id = id.checked_add(1).unwrap_or(1);
        self.asked.insert(id, began);
        write(&mut self.output, Kind::Request, Form::USUAL, id, |out| {
            binary::encode(message, out);
        });
    }

    fn begin(&mut self) {
        let begin = Message::GlobalBegin {
            timeout_ms: 60_000,
            name: "bench".to_owned(),
        };
        self.send(&begin, Instant::now());
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

struct Load {
    poll: Poll,
    events: Events,
    links: Vec<Link>,
    buffer: Vec<u8>,
    histogram: Histogram,
    done: u64,
    wrong: u64,
    begun: u64,
}

impl Load {
    fn connect(tc: SocketAddr, connections: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut links = Vec::new();
        for place in 0..connections {
            let stream = std::net::TcpStream::connect(tc)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(place), interest)?;
            let mut link = Link {
                stream,
                input: Vec::new(),
                output: Vec::new(),
                next_id: 1,
                asked: HashMap::new(),
            };
            let identify = Identify {
                version: "2.6.0".to_owned(),
                application_id: "bench".to_owned(),
                transaction_group: "bench".to_owned(),
                extra_data: String::new(),
            };
            link.send(&Message::RegisterTm(identify), Instant::now());
            link.flush()?;
            links.push(link);
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            links,
            buffer: vec![0; 256 << 10],
            histogram: Histogram::new(),
            done: 0,
            wrong: 0,
            begun: 0,
        })
    }

    /// Waits for answers; each commit that is answered lets `again` begin another one.
    fn turn(
        &mut self,
        timeout: Duration,
        commit: bool,
        mut again: impl FnMut() -> bool,
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let Some(link) = self.links.get_mut(event.token().0) else {
                continue;
            };
            loop {
                match link.stream.read(&mut self.buffer) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(count) => link.input.extend_from_slice(&self.buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            let mut taken = 0;
            while let Ok(Decoded::Frame { frame, bytes }) =
                decode(&link.input[taken..], FRAME_BYTES_MAX)
            {
                let answer = binary::decode(frame.body).map_err(io::Error::other)?;
                let id = frame.id;
                taken += bytes;
                let Some(began) = link.asked.remove(&id) else {
                    continue;
                };
                match answer {
                    Message::GlobalBeginResult { outcome, xid, .. }
                        if outcome.failure.is_none() =>
                    {
                        self.begun += 1;
                        let xid = Xid {
                            xid,
                            extra_data: String::new(),
                        };
                        if commit {
                            link.send(&Message::GlobalCommit(xid), began);
                        } else if again() {
                            link.begin();
                        }
                    }
                    Message::GlobalCommitResult(_, status) => {
                        self.done += 1;
                        self.wrong += u64::from(status != GlobalStatus::Committed);
                        let ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                        self.histogram.record(ns);
                        if again() {
                            link.begin();
                        }
                    }
                    Message::RegisterTmResult(_) => {}
                    _ => self.wrong += 1,
                }
            }
            link.input.drain(..taken);
        }
        self.links.iter_mut().try_for_each(Link::flush)
    }

    fn round(&mut self, in_flight: usize, seconds: f64, rate: u64) -> io::Result<f64> {
        self.histogram.clear();
        (self.done, self.wrong) = (0, 0);
        let began = Instant::now();
        let span = Duration::from_secs_f64(seconds);
        let links = self.links.len().min(in_flight);
        let mut started = 0;
        if rate == 0 {
            for number in 0..in_flight {
                self.links[number % links].begin();
            }
            self.links.iter_mut().try_for_each(Link::flush)?;
            while began.elapsed() < span {
                self.turn(Duration::from_millis(10), true, || began.elapsed() < span)?;
            }
        } else {
            while began.elapsed() < span {
                let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
                while started < due {
                    self.links[started as usize % links].begin();
                    started += 1;
                }
                self.links.iter_mut().try_for_each(Link::flush)?;
                self.turn(Duration::from_millis(1), true, || false)?;
            }
        }
        let took = began.elapsed().as_secs_f64();
        // The last ones are answered before the next round.
        while self.links.iter().any(|link| !link.asked.is_empty()) {
            self.turn(Duration::from_millis(10), true, || false)?;
        }
        Ok(took)
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let most = arguments.in_flight.iter().copied().max().unwrap_or(1);
    let mut load = Load::connect(arguments.tc, arguments.connections.min(most.max(1)))?;
    if let Some(open) = arguments.open {
        let mut left = open.saturating_sub(most as u64);
        for number in 0..most {
            let links = load.links.len();
            load.links[number % links].begin();
        }
        load.links.iter_mut().try_for_each(Link::flush)?;
        while load.begun < open {
            load.turn(Duration::from_millis(10), false, || {
                let more = left > 0;
                left -= u64::from(more);
                more
            })?;
        }
        let rss = arguments.pid.map(rss_mb).transpose()?;
        println!(
            "{{\"open\": {}, \"server_rss_mb\": {:.1}}}",
            load.begun,
            rss.unwrap_or(0.0)
        );
        return Ok(());
    }
    if arguments.warmup > 0.0 {
        load.round(most, arguments.warmup, 0)?;
    }
    for in_flight in &arguments.in_flight {
        let before = arguments.pid.map(cpu_us).transpose()?;
        let took = load.round(*in_flight, arguments.seconds, arguments.rate)?;
        let after = arguments.pid.map(cpu_us).transpose()?;
        let cpu = match (before, after) {
            (Some(before), Some(after)) => (after - before) as f64 / load.done.max(1) as f64,
            _ => 0.0,
        };
        let rss = arguments.pid.map(rss_mb).transpose()?.unwrap_or(0.0);
        println!(
            "{{\"in_flight\": {in_flight}, \"rate\": {}, \"tx\": {}, \"wrong\": {}, \"tx_per_s\": {:.0}, \"p50_us\": {:.0}, \
             \"p99_us\": {:.0}, \"max_us\": {:.0}, \"server_cpu_us_per_tx\": {cpu:.2}, \"server_rss_mb\": {rss:.1}}}",
            arguments.rate,
            load.done,
            load.wrong,
            load.done as f64 / took,
            load.histogram.quantile_us(0.5),
            load.histogram.quantile_us(0.99),
            load.histogram.max_us(),
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
