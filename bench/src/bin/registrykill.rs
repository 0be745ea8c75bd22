//! How long clients of a registry are without it when their node is killed: native clients of three nodes, one of which dies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use diwan::rpc::Server;
use diwan::rpc::client::{Discovery, Provider};
use diwan::rpc::registry::{Announcement, RegistryClient, RegistryEvent, RegistryOptions, Servers};
use tokio::sync::watch;
use tokio::time::timeout;

/// Kills the node with SIGKILL and prints, as JSON, how its clients fared.
#[derive(Parser)]
struct Arguments {
    /// Where nodes are asked for servers, each `host:9603`
    #[arg(long, value_delimiter = ',')]
    endpoints: Vec<String>,
    /// Where the node that is killed takes clients
    #[arg(long)]
    victim: SocketAddr,
    /// Its process
    #[arg(long)]
    pid: u32,
    /// Clients that subscribe
    #[arg(long, default_value_t = 60)]
    clients: usize,
    /// Clients that publish
    #[arg(long, default_value_t = 12)]
    instances: usize,
}

/// What is published.
#[diwan::service(interface = "com.diwan.bench.Killed", version = "1.0")]
trait Killed {
    async fn ping(&self);
}

struct Alive;

impl Killed for Alive {
    async fn ping(&self) {}
}

const SERVICE: &str = "com.diwan.bench.Killed:1.0";
const PATIENCE: Duration = Duration::from_secs(30);

/// What is known of a client.
#[derive(Default)]
struct Story {
    /// Where it is connected, and since when.
    connected: Option<(SocketAddr, Instant)>,
    registered: Option<Instant>,
}

type Stories = Arc<Mutex<BTreeMap<usize, Story>>>;

fn client(
    arguments: &Arguments,
    stories: &Stories,
    number: usize,
) -> Result<RegistryClient, String> {
    let mut endpoints = arguments.endpoints.clone();
    endpoints.rotate_left(number % arguments.endpoints.len());
    let mut options = RegistryOptions::new(Servers::Ask(endpoints));
    let stories = stories.clone();
    options.events = Some(Arc::new(move |event| {
        let mut stories = stories.lock().unwrap_or_else(PoisonError::into_inner);
        let story = stories.entry(number).or_default();
        match event {
            RegistryEvent::Connected { addr } => story.connected = Some((*addr, Instant::now())),
            RegistryEvent::Registered { .. } => story.registered = Some(Instant::now()),
            _ => {}
        }
    }));
    RegistryClient::start(options).map_err(|error| error.to_string())
}

fn publish(registry: &RegistryClient) -> Result<Server, String> {
    let server = Server::builder("127.0.0.1:0").publish(KilledServer::new(Alive));
    let server = server.register(registry, Announcement::default()).start();
    server.map_err(|error| error.to_string())
}

type List = watch::Receiver<Arc<[Provider]>>;

/// When a list has so many instances, and how few it had until then.
async fn lists(list: &mut List, count: usize) -> Result<(Instant, usize), String> {
    let mut fewest = usize::MAX;
    let wait = list.wait_for(|providers| {
        fewest = fewest.min(providers.len());
        providers.len() == count
    });
    let told = timeout(PATIENCE, wait).await;
    let told = told.map_err(|_| format!("no list of {count} within {PATIENCE:?}"))?;
    drop(told.map_err(|error| error.to_string())?);
    Ok((Instant::now(), fewest))
}

async fn run(arguments: &Arguments) -> Result<String, String> {
    let stories = Stories::default();
    let all = arguments.instances + arguments.clients;
    let clients: Vec<RegistryClient> = (0..all)
        .map(|number| client(arguments, &stories, number))
        .collect::<Result<_, _>>()?;
    let (publishing, subscribing) = clients.split_at(arguments.instances);
    let servers: Vec<Server> = publishing.iter().map(publish).collect::<Result<_, _>>()?;
    let mut seen: Vec<List> = subscribing
        .iter()
        .map(|client| client.subscribe(SERVICE))
        .collect();
    for list in &mut seen {
        lists(list, servers.len()).await?;
    }
    let at_victim: Vec<usize> = {
        let stories = stories.lock().unwrap_or_else(PoisonError::into_inner);
        let there = |story: &Story| {
            story
                .connected
                .is_some_and(|(addr, _)| addr == arguments.victim)
        };
        let there = stories.iter().filter(|(_, story)| there(story));
        there.map(|(number, _)| *number).collect()
    };
    let killed = Instant::now();
    let status = Command::new("kill")
        .args(["-9", &arguments.pid.to_string()])
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return Err(format!("process {} is not to be killed", arguments.pid));
    }
    // Something new, at a node that lives: whoever is told of it is served again.
    let survivor = (0..arguments.instances).find(|number| !at_victim.contains(number));
    let survivor = survivor.ok_or("all publishers were at the node that is killed")?;
    let _news = publish(&publishing[survivor])?;
    let mut served = Vec::new();
    let mut fewest = usize::MAX;
    for (number, list) in seen.iter_mut().enumerate() {
        let (at, had) = lists(list, servers.len() + 1).await?;
        fewest = fewest.min(had);
        if at_victim.contains(&(arguments.instances + number)) {
            served.push(at.duration_since(killed));
        }
    }
    // As long as the grace of the instances that were at the node, and more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    fewest = seen
        .iter()
        .map(|list| list.borrow().len())
        .fold(fewest, usize::min);
    let stories = stories.lock().unwrap_or_else(PoisonError::into_inner);
    let mut connected = Vec::new();
    let mut registered = Vec::new();
    for number in &at_victim {
        let Some(Story {
            connected: Some((_, back)),
            registered: Some(again),
        }) = stories.get(number)
        else {
            return Err(format!("client {number} did not come back"));
        };
        connected.push(back.duration_since(killed));
        registered.push(again.duration_since(*back));
    }
    let longest = |times: &[Duration]| times.iter().max().map_or(0.0, Duration::as_secs_f64) * 1e3;
    Ok(format!(
        "{{\"at_victim\": {}, \"connected_ms_max\": {:.1}, \"registered_after_connect_ms_max\": {:.1}, \
         \"served_ms_max\": {:.1}, \"instances\": {}, \"fewest_seen\": {fewest}}}",
        at_victim.len(),
        longest(&connected),
        longest(&registered),
        longest(&served),
        servers.len(),
    ))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
