//! Clients of a registry, thousands of them on one thread: what a change costs the server, how long it takes until everybody knows
//! it, how much is held in how little memory. `raw` is the peer to compare with: a bare epoll loop that writes a frame of the
//! same bytes to everybody and reads the acknowledgements, and does nothing else.

mod links;
mod raw;
mod requests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use diwan_bolt::Frame;
use diwan_load::process;
use diwan_registry_wire::Request;

use links::{Came, Links, acknowledge};
use requests::{count, publisher, stamp_of, stamped, subscriber};

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
    /// Publishers and subscribers of services of their own on one connection, each when the one before is answered, as the Java client sends them
    Serial {
        /// Both kinds together
        #[arg(long, default_value_t = 1_000)]
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
        What::Serial {
            registrations,
            bytes,
        } => serial(&arguments, registrations, bytes),
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
        What::Raw => raw::raw(arguments.connect),
    }
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

fn serial(arguments: &Arguments, registrations: usize, bytes: usize) -> Outcome {
    let mut links = Links::new()?;
    links.connect(arguments.connect, 1)?;
    let (cpu, own_cpu, began) = (server_cpu_us(arguments), own_cpu_us(), Instant::now());
    let mut waited = Duration::ZERO;
    let mut pushes = 0;
    for number in 0..registrations {
        let service = format!("load.serial.{}.{}", std::process::id(), number / 2);
        let request = match number % 2 {
            0 => publisher(&service, number, 1, stamped(number, bytes)),
            _ => subscriber(&service, number),
        };
        links.request(0, &request)?;
        let sent = Instant::now();
        links.flush(0)?;
        let mut answered = false;
        while !answered {
            links.turn(Duration::from_millis(100), |_, what, out| match what {
                Came::Answer => answered = true,
                Came::Request(frame) => {
                    pushes += 1;
                    acknowledge(frame, out);
                }
            })?;
        }
        waited += sent.elapsed();
    }
    // The last push, and what the server has to do with its acknowledgement.
    let end = Instant::now() + Duration::from_millis(50);
    while Instant::now() < end {
        links.turn(Duration::from_millis(10), |_, what, out| {
            if let Came::Request(frame) = what {
                pushes += 1;
                acknowledge(frame, out);
            }
        })?;
    }
    println!(
        "{{\"case\":\"serial\",\"registrations\":{registrations},\"pushes\":{pushes},\"ms\":{:.1},\"waited_ms\":{:.1},\
         \"server_cpu_ms\":{:.1},\"load_cpu_ms\":{:.1}}}",
        (began.elapsed().as_secs_f64() - 0.05) * 1e3,
        waited.as_secs_f64() * 1e3,
        (server_cpu_us(arguments) - cpu) as f64 / 1e3,
        (own_cpu_us() - own_cpu) as f64 / 1e3
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
