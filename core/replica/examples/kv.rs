//! A replicated key-value store: the state machine, the requests of its clients, and a node around them. It speaks the bytes of
//! the JRaft example it is compared with (`interop/jraft/README.md`), so that both may be members of one group.
//!
//! ```text
//! kv --group kv --self 127.0.0.1:8701 --peers 127.0.0.1:8701,127.0.0.1:8702,127.0.0.1:8703 --data /var/lib/kv [--http 8080]
//! kv ... --log etcd://127.0.0.1:2379/kv
//! ```

#[path = "kv/machine.rs"]
mod machine;
#[path = "kv/requests.rs"]
mod requests;
#[path = "kv/web.rs"]
mod web;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use diwan_external::{Address, Logs};
use diwan_raft::{Configuration, PeerId};
use diwan_runtime::{GroupOptions, NodeOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A member of a replicated key-value store.
#[derive(Parser)]
struct Arguments {
    /// The group's name.
    #[arg(long, default_value = "kv")]
    group: String,
    /// Keys are spread over so many groups: `kv`, `kv-1`, `kv-2` and so on.
    #[arg(long, default_value_t = 1)]
    groups: usize,
    /// This member: ip:port.
    #[arg(long = "self")]
    id: PeerId,
    /// The members of a group that begins; empty to wait until somebody adds this member.
    #[arg(long, default_value = "", value_delimiter = ',')]
    peers: Vec<String>,
    /// Where the log and the snapshots lie.
    #[arg(long)]
    data: PathBuf,
    /// Serve GET /status and GET, PUT /kv/KEY on this port of loopback.
    #[arg(long)]
    http: Option<u16>,
    /// Followers stand for election after one to two of these without a leader.
    #[arg(long, default_value_t = 1000)]
    election_timeout_ms: u64,
    /// Take a snapshot this often.
    #[arg(long, default_value_t = 3600)]
    snapshot_interval_s: u64,
    /// Entries that stay in the log after a snapshot, for slow followers.
    #[arg(long, default_value_t = 1000)]
    snapshot_keep_entries: u64,
    /// Keep the logs in an engine: etcd://... or postgres://...; --peers are all members then.
    #[arg(long)]
    log: Option<Address>,
    /// With --log: others leave a log to its owner as long as it shows a sign of life this often.
    #[arg(long, default_value_t = 3000)]
    lease_ms: u64,
    /// Size of the log's segments: a multiple of 4096.
    #[arg(long, default_value_t = 16 << 20)]
    segment_bytes: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let level = std::env::var("LOG_LEVEL").unwrap_or_else(|_| "warn".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let names = arguments.peers.iter().filter(|peer| !peer.is_empty());
    let peers = names
        .map(|peer| peer.parse())
        .collect::<Result<Vec<PeerId>, _>>()?;

    let members = Configuration::of(peers);
    let mut groups = Vec::new();
    let mut shards = Vec::new();
    for nth in 0..arguments.groups {
        let name = requests::group_name(&arguments.group, nth);
        let shared = machine::Shared::default();
        let own = shared.clone();
        let mut group = GroupOptions::new(&name, members.clone(), move || {
            Box::new(machine::Kv::new(own))
        });
        // JRaft's members read commands as they are.
        group.plain = true;
        group.election_timeout = Duration::from_millis(arguments.election_timeout_ms);
        group.snapshot_keep_entries = arguments.snapshot_keep_entries;
        groups.push(group);
        shards.push((name, shared));
    }
    let shared = shards
        .first()
        .map(|(_, shared)| shared.clone())
        .unwrap_or_default();
    let mut options = NodeOptions::new(arguments.id.clone(), arguments.data);
    options.wal.segment_bytes = arguments.segment_bytes;
    options.app = Some(requests::handler(shards));
    let (node, logs) = match arguments.log {
        None => (diwan_runtime::start(options, groups)?, None),
        Some(address) => {
            let seed = options.seed;
            let node = diwan_runtime::start(options, Vec::new())?;
            let options = diwan_external::Options {
                node: arguments.id.to_string(),
                members: members.peers.iter().map(PeerId::to_string).collect(),
                lease: Duration::from_millis(arguments.lease_ms),
                lease_reads: false,
                snapshot_log_bytes: 64 << 20,
                snapshot_bytes_max: 1 << 30,
                seed,
            };
            let timeout = Duration::from_secs(2);
            let (own, members) = (options.node.clone(), options.members.clone());
            let logs = Logs::start(&node, address, timeout, options, groups).await?;
            logs.spread(&node, own, members);
            (node, Some(logs))
        }
    };
    println!("READY {}", arguments.id);

    if let Some(port) = arguments.http {
        web::serve(port, node.clone(), arguments.group.clone(), shared).await?;
    }
    let mut interval =
        tokio::time::interval(Duration::from_secs(arguments.snapshot_interval_s.max(1)));
    interval.tick().await;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
            _ = interval.tick() => {
                let group = arguments.group.clone();
                node.run(move |node| node.snapshot(&group));
            }
            why = node.failed() => {
                println!("ERROR {why}");
                std::process::exit(1);
            }
        }
    }
    if let Some(logs) = logs {
        logs.stop(Duration::from_secs(1)).await;
    }
    node.stop().await;
    Ok(())
}
