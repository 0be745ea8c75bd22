//! Clients of a registry, thousands of them on one thread: what a change costs the server, how long it takes until everybody knows
//! it, how much is held in how little memory. `raw` is the peer to compare with: a bare epoll loop that writes a frame of the
//! same bytes to everybody and reads the acknowledgements, and does nothing else.

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use diwan_bolt::{Decoded, Frame, FrameWriter, Head, Kind, Status, decode};
use diwan_hessian::Dialect;
use diwan_load::process;
use diwan_registry_wire::{
    Answer, BaseRegister, Codec, DataBox, PublisherRegister, Push, ReceivedData, RegisterResponse,
    Request, SubscriberRegister, SyncResult, Zones,
};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Loads a registry.
#[derive(Parser)]
struct Arguments {
    /// Where the registry's session port is
    #[arg(long, default_value = "127.0.0.1:9600")]
    connect: SocketAddr,
    /// Its process: CPU and memory are read from /proc
    #[arg(long)]
    pid: Option<u32>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One change after the other, until all subscribers have acknowledged it
    Change {
        /// On a connection each
        #[arg(long, default_value_t = 1)]
        subscribers: usize,
        /// How many changes
        #[arg(long, default_value_t = 100)]
        changes: usize,
        /// Between two
        #[arg(long, default_value_t = 700)]
        pause_ms: u64,
        /// Of what is published
        #[arg(long, default_value_t = 200)]
        bytes: usize,
    },
    /// Registrations in a row, many on the way at once
    Rate {
        /// Connections
        #[arg(long, default_value_t = 8)]
        connections: usize,
        /// Registrations in all
        #[arg(long, default_value_t = 500_000)]
        registrations: usize,
        /// Of what is published
        #[arg(long, default_value_t = 200)]
        bytes: usize,
    },
    /// Much that is held
    Hold {
        /// Connections
        #[arg(long, default_value_t = 15_000)]
        connections: usize,
        /// Publishers in all
        #[arg(long, default_value_t = 1_000_000)]
        publishers: usize,
        /// Subscribers in all
        #[arg(long, default_value_t = 1_500_000)]
        subscribers: usize,
        /// Services that they are of
        #[arg(long, default_value_t = 100_000)]
        services: usize,
        /// Of what is published
        #[arg(long, default_value_t = 200)]
        bytes: usize,
    },
    /// Instances that are replaced one after the other, all of them
    Restart {
        /// Services
        #[arg(long, default_value_t = 100)]
        services: usize,
        /// Instances of each, on a connection for all services
        #[arg(long, default_value_t = 800)]
        instances: usize,
        /// On a connection each, of one service
        #[arg(long, default_value_t = 2_000)]
        subscribers: usize,
        /// How long it takes to replace them
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Of what is published
        #[arg(long, default_value_t = 200)]
        bytes: usize,
    },
    /// Not a client: the bare server to compare with
    Raw,
}

fn main() -> Outcome {
    let arguments = Arguments::parse();
    match arguments.what {
        What::Change {
            subscribers,
            changes,
            pause_ms,
            bytes,
        } => change(&arguments, subscribers, changes, pause_ms, bytes),
        What::Rate {
            connections,
            registrations,
            bytes,
        } => rate(&arguments, connections, registrations, bytes),
        What::Hold {
            connections,
            publishers,
            subscribers,
            services,
            bytes,
        } => hold(
            &arguments,
            connections,
            publishers,
            subscribers,
            services,
            bytes,
        ),
        What::Restart {
            services,
            instances,
            subscribers,
            seconds,
            bytes,
        } => restart(&arguments, services, instances, subscribers, seconds, bytes),
        What::Raw => raw(arguments.connect),
    }
}

const CODEC: Codec = Codec::Hessian(Dialect::Draft);
const STAMP: &str = "stamp=";
const STAMP_DIGITS: usize = 20;

/// A connection.
struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// What comes is read and counts for nothing.
    deaf: bool,
}

/// All connections of this process.
struct Links {
    poll: Poll,
    events: Events,
    links: Vec<Link>,
    buffer: Vec<u8>,
    next_id: u32,
}

/// What came over a connection.
enum Came<'a> {
    Answer,
    Request(&'a Frame<'a>),
}

impl Links {
    fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(4096),
            links: Vec::new(),
            buffer: vec![0; 256 << 10],
            next_id: 1,
        })
    }

    fn add(&mut self, mut stream: TcpStream) -> io::Result<usize> {
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

    fn connect(&mut self, to: SocketAddr, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let stream = std::net::TcpStream::connect(to)?;
            stream.set_nonblocking(true)?;
            self.add(TcpStream::from_std(stream))?;
        }
        Ok(())
    }

    fn request(&mut self, link: usize, request: &Request) -> io::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        let output = &mut self.links[link].output;
        let head = Head::request(id, CODEC.byte(), 10_000);
        frame(output, head, request.class(CODEC), |out| {
            request.encode(CODEC, out);
        })?;
        Ok(())
    }

    fn flush(&mut self, link: usize) -> io::Result<()> {
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
    fn turn(
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
    fn until(
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

fn frame(
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
fn frames(input: &[u8], mut came: impl FnMut(&Frame<'_>)) -> io::Result<usize> {
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

fn acknowledge(push: &Frame<'_>, out: &mut Vec<u8>) {
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

fn base(service: &str, id: String, version: i64) -> BaseRegister {
    let text = |text: &str| Some(text.to_owned());
    BaseRegister {
        instance_id: text("DEFAULT_INSTANCE_ID"),
        zone: text("DEFAULT_ZONE"),
        app_name: text("load"),
        data_id: text(service),
        group: text("DEFAULT_GROUP"),
        process_id: text("load"),
        regist_id: Some(id),
        client_id: None,
        data_info_id: Some(format!("{service}#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP")),
        ip: text("127.0.0.1"),
        port: None,
        event_type: text("REGISTER"),
        version: Some(version),
        timestamp: Some(version),
        attributes: None,
    }
}

/// As long as a UUID, and one.
fn id(kind: u32, number: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

fn publisher(service: &str, number: usize, version: i64, data: String) -> Request {
    Request::PublisherRegister(PublisherRegister {
        data_list: Some(vec![DataBox { data: Some(data) }]),
        base: base(service, id(1, number), version),
    })
}

fn subscriber(service: &str, number: usize) -> Request {
    Request::SubscriberRegister(SubscriberRegister {
        scope: Some("global".into()),
        accept_encoding: None,
        accept_multi: false,
        base: base(service, id(2, number), 1),
    })
}

fn stamped(stamp: usize, bytes: usize) -> String {
    let mut data = format!("{STAMP}{stamp:0STAMP_DIGITS$}");
    while data.len() < bytes {
        data.push('x');
    }
    data
}

fn stamp_of(content: &[u8]) -> Option<(usize, usize)> {
    let mark = STAMP.as_bytes();
    let at = content.windows(mark.len()).position(|part| part == mark)? + mark.len();
    let digits = std::str::from_utf8(content.get(at..at + STAMP_DIGITS)?).ok()?;
    Some((digits.parse().ok()?, at))
}

fn own_cpu_us() -> u64 {
    process::cpu_us(std::process::id()).unwrap_or(0)
}

fn server_cpu_us(arguments: &Arguments) -> u64 {
    arguments
        .pid
        .and_then(|pid| process::cpu_us(pid).ok())
        .unwrap_or(0)
}

fn server_rss_mb(arguments: &Arguments) -> f64 {
    arguments
        .pid
        .and_then(|pid| process::rss_mb(pid).ok())
        .unwrap_or(0.0)
}

fn percentile(sorted: &[f64], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

fn change(
    arguments: &Arguments,
    subscribers: usize,
    changes: usize,
    pause_ms: u64,
    bytes: usize,
) -> Outcome {
    let mut links = Links::new()?;
    links.connect(arguments.connect, subscribers + 1)?;
    let service = format!("load.change.{}", std::process::id());
    let publishing = subscribers;
    links.request(publishing, &publisher(&service, 0, 1, stamped(0, bytes)))?;
    links.flush(publishing)?;
    let told = std::cell::Cell::new(0);
    let newest = std::cell::RefCell::new(vec![usize::MAX; subscribers]);
    let seen = |stamp: usize| {
        let told = &told;
        let newest = &newest;
        move |link: usize, frame: &Frame<'_>| {
            if stamp_of(frame.content).is_some_and(|(came, _)| came == stamp)
                && newest.borrow()[link] != stamp
            {
                newest.borrow_mut()[link] = stamp;
                told.set(told.get() + 1);
            }
        }
    };
    for number in 0..subscribers {
        links.request(number, &subscriber(&service, number))?;
        links.flush(number)?;
    }
    links.until(|_| {}, seen(0), || told.get() == subscribers)?;
    let (mut millis, mut cpu, mut own_cpu) = (Vec::new(), 0, 0);
    for change in 1..=changes {
        let end = Instant::now() + Duration::from_millis(pause_ms);
        while Instant::now() < end {
            let rest = end.saturating_duration_since(Instant::now());
            links.turn(rest.min(Duration::from_millis(100)), |_, what, out| {
                if let Came::Request(frame) = what {
                    acknowledge(frame, out);
                }
            })?;
        }
        told.set(0);
        let (cpu_before, own_before) = (server_cpu_us(arguments), own_cpu_us());
        let began = Instant::now();
        let version = i64::try_from(change + 1)?;
        links.request(
            publishing,
            &publisher(&service, 0, version, stamped(change, bytes)),
        )?;
        links.flush(publishing)?;
        links.until(|_| {}, seen(change), || told.get() == subscribers)?;
        millis.push(began.elapsed().as_secs_f64() * 1e3);
        // What the server has to do with the last acknowledgements belongs to it.
        std::thread::sleep(Duration::from_millis(20));
        cpu += server_cpu_us(arguments) - cpu_before;
        own_cpu += own_cpu_us() - own_before;
    }
    millis.sort_by(f64::total_cmp);
    let pushes = (changes * subscribers) as f64;
    println!(
        "{{\"case\":\"change\",\"subscribers\":{subscribers},\"changes\":{changes},\"ms_p50\":{:.2},\"ms_p95\":{:.2},\"ms_p99\":{:.2},\
         \"ms_max\":{:.2},\"cpu_us_per_push\":{:.2},\"load_cpu_us_per_push\":{:.2},\"rss_mb\":{:.1}}}",
        percentile(&millis, 0.5),
        percentile(&millis, 0.95),
        percentile(&millis, 0.99),
        percentile(&millis, 1.0),
        cpu as f64 / pushes,
        own_cpu as f64 / pushes,
        server_rss_mb(arguments)
    );
    Ok(())
}

/// Registrations on their way on all connections together.
const WINDOW: usize = 20_000;

/// Sends what `next` gives for each connection, until all of it is answered.
fn load(
    links: &mut Links,
    connections: usize,
    total: usize,
    mut next: impl FnMut(usize) -> Request,
) -> Outcome {
    let window = (WINDOW / connections).clamp(1, 200);
    let mut todo: Vec<usize> = vec![total / connections; connections];
    for todo in todo.iter_mut().take(total % connections) {
        *todo += 1;
    }
    let mut given = 0;
    let mut waiting = vec![0_usize; connections];
    let answered = std::cell::Cell::new(0);
    let mut ready: Vec<usize> = (0..connections).collect();
    while answered.get() < total {
        for link in std::mem::take(&mut ready) {
            while todo[link] > 0 && waiting[link] < window {
                links.request(link, &next(given))?;
                given += 1;
                todo[link] -= 1;
                waiting[link] += 1;
            }
            links.flush(link)?;
        }
        links.turn(Duration::from_millis(100), |link, what, out| match what {
            Came::Answer => {
                answered.set(answered.get() + 1);
                waiting[link] -= 1;
                if waiting[link] == window / 2 || waiting[link] == 0 {
                    ready.push(link);
                }
            }
            Came::Request(frame) => acknowledge(frame, out),
        })?;
    }
    Ok(())
}

fn rate(arguments: &Arguments, connections: usize, registrations: usize, bytes: usize) -> Outcome {
    let mut links = Links::new()?;
    links.connect(arguments.connect, connections)?;
    let (cpu, began) = (server_cpu_us(arguments), Instant::now());
    load(&mut links, connections, registrations, |number| {
        let service = format!("load.rate.{}", number % 1000);
        publisher(&service, number, 1, stamped(number, bytes))
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = server_cpu_us(arguments) - cpu;
    println!(
        "{{\"case\":\"rate\",\"connections\":{connections},\"registrations\":{registrations},\"per_second\":{:.0},\
         \"cpu_us_per_registration\":{:.2},\"rss_mb\":{:.1}}}",
        registrations as f64 / seconds,
        cpu as f64 / registrations as f64,
        server_rss_mb(arguments)
    );
    Ok(())
}

fn hold(
    arguments: &Arguments,
    connections: usize,
    publishers: usize,
    subscribers: usize,
    services: usize,
    bytes: usize,
) -> Outcome {
    let mut links = Links::new()?;
    links.connect(arguments.connect, connections)?;
    let say = |what: &str, began: Instant| {
        println!(
            "{{\"case\":\"hold\",\"what\":\"{what}\",\"seconds\":{:.1},\"rss_mb\":{:.1},\"cpu_s\":{:.1}}}",
            began.elapsed().as_secs_f64(),
            server_rss_mb(arguments),
            server_cpu_us(arguments) as f64 / 1e6
        );
    };
    let began = Instant::now();
    say("connected", began);
    load(&mut links, connections, publishers, |number| {
        let service = format!("com.example.load.Service{}", number % services);
        publisher(&service, number, 1, stamped(number, bytes))
    })?;
    say("published", began);
    load(&mut links, connections, subscribers, |number| {
        let service = format!("com.example.load.Service{}", number % services);
        subscriber(&service, number)
    })?;
    say("subscribed", began);
    // Until nothing comes any more.
    let mut pushes = 0;
    loop {
        let before = pushes;
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            links.turn(Duration::from_millis(100), |_, what, out| {
                if let Came::Request(frame) = what {
                    pushes += 1;
                    acknowledge(frame, out);
                }
            })?;
        }
        if pushes == before {
            break;
        }
    }
    say("quiet", began);
    Ok(())
}

/// How many instances a list has, and how many of them have a stamp of this or later.
fn count(content: &[u8], from: usize) -> (usize, usize) {
    let (mut all, mut new) = (0, 0);
    for at in memchr::memmem::find_iter(content, STAMP.as_bytes()) {
        let digits = content.get(at + STAMP.len()..at + STAMP.len() + STAMP_DIGITS);
        let stamp = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        all += 1;
        new += usize::from(stamp.is_some_and(|stamp: usize| stamp >= from));
    }
    (all, new)
}

fn restart(
    arguments: &Arguments,
    services: usize,
    instances: usize,
    subscribers: usize,
    seconds: u64,
    bytes: usize,
) -> Outcome {
    let mut links = Links::new()?;
    links.connect(arguments.connect, instances + subscribers)?;
    let service = |number: usize| format!("load.restart.{}", number % services);
    let total = instances * services;
    let answered = std::cell::Cell::new(0);
    let whole = std::cell::Cell::new(0);
    let pushes = std::cell::Cell::new((0_usize, 0_usize));
    let is_whole = std::cell::RefCell::new(vec![false; instances + subscribers]);
    let took = |from: usize| {
        let (whole, is_whole, pushes) = (&whole, &is_whole, &pushes);
        move |link: usize, frame: &Frame<'_>| {
            pushes.set((pushes.get().0 + 1, pushes.get().1 + frame.content.len()));
            let now = count(frame.content, from) == (instances, instances);
            let before = std::mem::replace(&mut is_whole.borrow_mut()[link], now);
            whole.set(whole.get() + usize::from(now) - usize::from(before));
        }
    };
    for link in 0..instances {
        for number in 0..services {
            let id = link * services + number;
            links.request(
                link,
                &publisher(&service(number), id, 1, stamped(id, bytes)),
            )?;
        }
        links.flush(link)?;
    }
    links.until(
        |_| answered.set(answered.get() + 1),
        |_, _| {},
        || answered.get() == total,
    )?;
    for number in 0..subscribers {
        let link = instances + number;
        links.request(link, &subscriber(&service(number), number))?;
        links.flush(link)?;
    }
    links.until(|_| {}, took(0), || whole.get() == subscribers)?;
    whole.set(0);
    is_whole.borrow_mut().fill(false);
    pushes.set((0, 0));
    answered.set(0);
    let (began, cpu) = (Instant::now(), server_cpu_us(arguments));
    let mut rss: f64 = 0.0;
    for link in 0..instances {
        let due =
            began + Duration::from_secs(seconds) * u32::try_from(link)? / u32::try_from(instances)?;
        while Instant::now() < due {
            let rest = due.saturating_duration_since(Instant::now());
            let pushed = took(total);
            links.turn(rest, |link, what, out| match what {
                Came::Answer => answered.set(answered.get() + 1),
                Came::Request(frame) => {
                    pushed(link, frame);
                    acknowledge(frame, out);
                }
            })?;
        }
        for number in 0..services {
            let id = link * services + number;
            let mut gone = publisher(&service(number), id, 2, String::new());
            if let Request::PublisherRegister(gone) = &mut gone {
                gone.base.event_type = Some("UNREGISTER".into());
            }
            links.request(link, &gone)?;
            let new = total + id;
            links.request(
                link,
                &publisher(&service(number), new, 1, stamped(new, bytes)),
            )?;
        }
        links.flush(link)?;
        rss = rss.max(server_rss_mb(arguments));
    }
    links.until(
        |_| answered.set(answered.get() + 1),
        took(total),
        || answered.get() == 2 * total,
    )?;
    let last = Instant::now();
    links.until(|_| {}, took(total), || whole.get() == subscribers)?;
    let (count, sum) = pushes.get();
    println!(
        "{{\"case\":\"restart\",\"services\":{services},\"instances\":{instances},\"subscribers\":{subscribers},\"took_s\":{:.1},\
         \"converged_s\":{:.2},\"pushes\":{count},\"pushed_mb\":{},\"cpu_s\":{:.1},\"rss_mb\":{:.0}}}",
        last.duration_since(began).as_secs_f64(),
        last.elapsed().as_secs_f64(),
        sum >> 20,
        (server_cpu_us(arguments) - cpu) as f64 / 1e6,
        rss.max(server_rss_mb(arguments)),
    );
    Ok(())
}

fn raw(listen: SocketAddr) -> Outcome {
    let mut links = Links::new()?;
    let mut listener = TcpListener::bind(listen)?;
    let arrivals = Token(usize::MAX);
    links
        .poll
        .registry()
        .register(&mut listener, arrivals, Interest::READABLE)?;
    let mut subscribers: HashSet<usize> = HashSet::new();
    let mut push = Vec::new();
    let mut stamp_at = 0;
    loop {
        let mut news = None;
        let came = links.turn(Duration::from_secs(1), |link, what, out| {
            let Came::Request(frame) = what else { return };
            let answer = Answer::RegisterResponse(RegisterResponse {
                success: true,
                version: 1,
                ..RegisterResponse::default()
            });
            let head = frame.head.response(Status::Success);
            let written = self::frame(out, head, answer.class(CODEC), |out| {
                answer.encode(CODEC, out);
            });
            debug_assert!(written.is_ok());
            if frame.class.ends_with(b"SubscriberRegister") {
                subscribers.insert(link);
                out.extend_from_slice(&push);
            } else {
                news = stamp_of(frame.content).map(|(stamp, _)| (stamp, frame.content.len()));
            }
        });
        let came = match came {
            Ok(came) => came,
            // A client has gone: the next one finds an empty house.
            Err(_) => {
                for link in &mut links.links {
                    let _ = links.poll.registry().deregister(&mut link.stream);
                }
                links.links.clear();
                subscribers.clear();
                continue;
            }
        };
        if came {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => drop(links.add(stream)?),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        for link in &subscribers {
            links.links[*link].deaf = links.links[*link].output.is_empty();
        }
        let Some((stamp, _)) = news else { continue };
        if push.is_empty() {
            let mut zones = Zones::new();
            let data = DataBox {
                data: Some(stamped(stamp, 200)),
            };
            zones.insert("DEFAULT_ZONE".into(), vec![data]);
            let received = Push::ReceivedData(ReceivedData {
                data_id: Some(format!("load.change.{}", std::process::id())),
                group: Some("DEFAULT_GROUP".into()),
                instance_id: Some("DEFAULT_INSTANCE_ID".into()),
                segment: Some("DefaultDataCenter".into()),
                scope: Some("global".into()),
                subscriber_regist_ids: Some(vec![id(2, 0)]),
                data: Some(zones),
                version: Some(1),
                local_zone: Some("DEFAULT_ZONE".into()),
                data_count: Some(Default::default()),
            });
            let head = Head::request(1, CODEC.byte(), 3000);
            frame(&mut push, head, received.class(CODEC), |out| {
                received.encode(CODEC, out);
            })?;
            stamp_at = stamp_of(&push).map_or(0, |(_, at)| at);
        }
        push[stamp_at..stamp_at + STAMP_DIGITS]
            .copy_from_slice(format!("{stamp:0STAMP_DIGITS$}").as_bytes());
        for link in &subscribers {
            links.links[*link].stream.write_all(&push)?;
        }
    }
}
