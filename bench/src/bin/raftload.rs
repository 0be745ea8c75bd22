//! A native client of the replicated key-value store, ours or JRaft's: keeps so many requests in flight to the leader on one
//! connection and prints one JSON line per case, in the shape of the Java client's.
//!
//! ```text
//! raftload --peers A,B,C [--group kv] [--groups 1] --value-bytes 16 --in-flight 1024,64,1 --warmup 3 --seconds 10 [--reads] [--pids P,Q,R]
//! ```

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use clap::Parser;
use diwan_bolt::{Decoded, FrameWriter, Head, Kind, decode};
use diwan_jraft::{GetLeaderRequest, Message};
use diwan_load::process;

#[derive(Parser)]
struct Arguments {
    /// The members, ip:port each.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    #[arg(long, default_value = "kv")]
    group: String,
    /// Over how many groups the members spread the keys: one connection to each node that leads some, all at once.
    #[arg(long, default_value_t = 1)]
    groups: usize,
    #[arg(long, default_value_t = 16)]
    value_bytes: usize,
    /// Requests in flight, one case each.
    #[arg(long, value_delimiter = ',', default_value = "1024,64,1")]
    in_flight: Vec<usize>,
    #[arg(long, default_value_t = 3.0)]
    warmup: f64,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Linearizable gets instead of puts.
    #[arg(long)]
    reads: bool,
    /// Processes of the members, whose CPU time and memory are told.
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
}

const KEYS: u64 = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut lanes = lanes(&arguments)?;
    run(&mut lanes, &arguments, 64, false, Until::AllKeys)?;
    for in_flight in &arguments.in_flight {
        let until = |seconds: f64| Until::Time(Instant::now() + Duration::from_secs_f64(seconds));
        let reads = arguments.reads;
        run(
            &mut lanes,
            &arguments,
            *in_flight,
            reads,
            until(arguments.warmup),
        )?;
        let before = cpu_us(&arguments.pids)?;
        let began = Instant::now();
        let mut latencies = run(
            &mut lanes,
            &arguments,
            *in_flight,
            reads,
            until(arguments.seconds),
        )?;
        let seconds = began.elapsed().as_secs_f64();
        let cpu = cpu_us(&arguments.pids)? - before;
        let rss = arguments.pids.iter().map(|pid| process::rss_mb(*pid));
        let rss = rss.collect::<Result<Vec<f64>, String>>()?;
        latencies.sort_unstable();
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
        let ops = latencies.len();
        println!(
            "{{\"case\":\"{}\",\"client\":\"native\",\"value_bytes\":{},\"in_flight\":{in_flight},\"ops\":{ops},\"ops_per_s\":{:.0},\
             \"p50_us\":{},\"p99_us\":{},\"max_us\":{},\"nodes_cpu_us_per_op\":{:.2},\"rss_mib\":{:.0?}}}",
            if reads { "read" } else { "put" },
            arguments.value_bytes,
            ops as f64 / seconds,
            at(0.5),
            at(0.99),
            at(1.0),
            cpu as f64 / ops as f64,
            rss,
        );
    }
    Ok(())
}

/// CPU time of all members together.
fn cpu_us(pids: &[u32]) -> Result<u64, String> {
    pids.iter().map(|pid| process::cpu_us(*pid)).sum()
}

/// A connection to a leader, and the keys of the groups that it leads.
struct Lane {
    client: Client,
    keys: Vec<String>,
}

fn lanes(arguments: &Arguments) -> Result<Vec<Lane>, Box<dyn std::error::Error>> {
    let groups = arguments.groups;
    let mut keys = vec![Vec::new(); groups];
    for key in (0..KEYS).map(|key| format!("key-{key:012}")) {
        // As the members spread them: FNV-1a.
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        keys[(hash % groups as u64) as usize].push(key);
    }
    let mut led = std::collections::BTreeMap::<String, Vec<String>>::new();
    for (nth, keys) in keys.into_iter().enumerate() {
        let group = match nth {
            0 => arguments.group.clone(),
            nth => format!("{}-{nth}", arguments.group),
        };
        led.entry(find_leader(arguments, &group)?)
            .or_default()
            .extend(keys);
    }
    let lane = |(leader, keys): (String, Vec<String>)| {
        Client::connect(&leader).map(|client| Lane { client, keys })
    };
    Ok(led.into_iter().map(lane).collect::<io::Result<_>>()?)
}

/// Keeps `in_flight` requests on their way on all lanes together; returns how long each took, in microseconds.
fn run(
    lanes: &mut [Lane],
    arguments: &Arguments,
    in_flight: usize,
    reads: bool,
    until: Until,
) -> Result<Vec<u32>, Box<dyn std::error::Error>> {
    let each = in_flight.div_ceil(lanes.len());
    let mut latencies = Vec::new();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for Lane { client, keys } in lanes {
            let run = move || client.run(keys, arguments.value_bytes, each, reads, until);
            threads.push(scope.spawn(run));
        }
        for thread in threads {
            let result = thread
                .join()
                .map_err(|_| io::Error::other("a lane panicked"))?;
            latencies.extend(result?);
        }
        Ok(latencies)
    })
}

fn find_leader(arguments: &Arguments, group: &str) -> Result<String, Box<dyn std::error::Error>> {
    for _ in 0..100 {
        for peer in &arguments.peers {
            let Ok(mut client) = Client::connect(peer) else {
                continue;
            };
            let request = GetLeaderRequest {
                group_id: group.to_owned(),
                peer_id: Some(peer.clone()),
            };
            let message = Message::GetLeaderRequest(request);
            let mut content = Vec::new();
            message.encode(&mut content);
            client.send(message.class().as_bytes(), &content)?;
            client.flush()?;
            let mut leader = None;
            client.receive(|class, content| {
                if let Ok(Message::GetLeaderResponse(response)) =
                    Message::decode(class, content.to_vec().into())
                {
                    leader = Some(response.leader_id).filter(|leader| !leader.is_empty());
                }
                Ok(())
            })?;
            if let Some(leader) = leader {
                return Ok(leader.splitn(3, ':').take(2).collect::<Vec<_>>().join(":"));
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err("no leader".into())
}

#[derive(Clone, Copy)]
enum Until {
    AllKeys,
    Time(Instant),
}

struct Client {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
    filled: usize,
    next_id: u32,
    random: u64,
}

impl Client {
    fn connect(addr: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self {
            stream,
            out: Vec::new(),
            input: vec![0; 1 << 20],
            filled: 0,
            next_id: 0,
            random: 1,
        })
    }

    fn send(&mut self, class: &[u8], content: &[u8]) -> io::Result<()> {
        self.next_id += 1;
        let mut writer =
            FrameWriter::begin(&mut self.out, Head::request(self.next_id, 1, 5000), class);
        writer.content().extend_from_slice(content);
        writer.finish().map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Reads once and hands over every whole answer.
    fn receive(
        &mut self,
        mut answer: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
    ) -> io::Result<Vec<u32>> {
        let mut ids = Vec::new();
        let bytes = self.stream.read(&mut self.input[self.filled..])?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += bytes;
        let mut done = 0;
        while let Decoded::Frame { frame, bytes } =
            decode(&self.input[done..self.filled], 1 << 20).map_err(io::Error::other)?
        {
            if !matches!(frame.head.kind, Kind::Response { status: 0 }) {
                return Err(io::Error::other(format!("{:?}", frame.head)));
            }
            answer(frame.class, frame.content)?;
            ids.push(frame.head.id);
            done += bytes;
        }
        self.input.copy_within(done..self.filled, 0);
        self.filled -= done;
        Ok(ids)
    }

    /// Keeps `in_flight` requests on their way; returns how long each took, in microseconds.
    fn run(
        &mut self,
        keys: &[String],
        value_bytes: usize,
        in_flight: usize,
        reads: bool,
        until: Until,
    ) -> io::Result<Vec<u32>> {
        let mut began: std::collections::HashMap<u32, Instant> = std::collections::HashMap::new();
        let mut latencies = Vec::new();
        let mut sent = 0;
        let value = vec![b'v'; value_bytes];
        let mut content = Vec::new();
        loop {
            let more = match until {
                Until::AllKeys => sent < keys.len(),
                Until::Time(end) => Instant::now() < end,
            };
            if !more && began.is_empty() {
                return Ok(latencies);
            }
            let now = Instant::now();
            while more && began.len() < in_flight {
                self.random = self
                    .random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let key = match until {
                    Until::AllKeys => sent % keys.len(),
                    Until::Time(_) => (self.random >> 33) as usize % keys.len(),
                };
                let key = &keys[key];
                content.clear();
                content.push(if reads { 2 } else { 1 });
                content.extend_from_slice(&(key.len() as u32).to_be_bytes());
                content.extend_from_slice(key.as_bytes());
                if !reads {
                    content.extend_from_slice(&value);
                }
                let class = b"harness.KvRequest";
                self.send(class, &content)?;
                began.insert(self.next_id, now);
                sent += 1;
            }
            if !self.out.is_empty() {
                self.flush()?;
            }
            let ids = self.receive(|_, content| match content.first() {
                Some(0) => Ok(()),
                _ => Err(io::Error::other(
                    String::from_utf8_lossy(content).into_owned(),
                )),
            })?;
            let now = Instant::now();
            for id in ids {
                if let Some(began) = began.remove(&id) {
                    latencies.push(u32::try_from((now - began).as_micros()).unwrap_or(u32::MAX));
                }
            }
        }
    }
}
