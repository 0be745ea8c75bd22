//! `diwan server`: a node.

mod admin;
mod config;
pub(crate) mod current;
mod engine;
mod group;
mod invoke;
mod meta;
mod metrics;
mod registry;
mod saga;
mod security;
mod tx;

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diwan_archive::{Archive, Retention};
use diwan_raft::PeerId;
use diwan_runtime::{DirectoryError, GroupOptions, NodeHandle, NodeOptions, StartError};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use config::{ConfigError, Settings};
pub(crate) use config::{ServerArguments, security};
use meta::{Meta, Registers};
pub(crate) use saga::GROUPS as SAGA_GROUPS;

pub(crate) const HELP: &str = "\
Examples:
  diwan server --data /var/lib/diwan --node 10.0.0.1:8701
                          a cluster of one; more members can be added later
  diwan server --data /var/lib/diwan --node 10.0.0.1:8701 --peers 10.0.0.1:8701,10.0.0.2:8701,10.0.0.3:8701
                          one of three that begin together; the same --peers on each
  diwan server --data /var/lib/diwan --node 10.0.0.4:8701 --join
                          then, anywhere: diwan raft add-peer 10.0.0.4:8701 --peers 10.0.0.1:8701
  diwan server --config /etc/diwan.toml

It is a service registry, too, for clients of SOFARegistry on this machine: 127.0.0.1:9600, :9603 and :9615; --no-registry
if it is not to be one (see docs/registry.md); and a coordinator of distributed transactions for Seata's clients at
127.0.0.1:8091, unless --no-tx (see docs/tx.md).

SIGTERM or ctrl-c stops it: it hands leadership on, finishes what has begun, and ends. Health, metrics and administration
are at http://127.0.0.1:8790/ (--admin).

Exit codes: 0 stopped as asked; 1 the node failed, most often its disk; 2 command line or configuration; a data directory
that 3 another process uses, 4 belongs to another node, 5 is of another version, 6 is none or lacks its log; 7 its data
are damaged; 8 an address, file or thread is not to be had; 9 the engine that keeps its logs is not to be had, or not fit.";

/// Why a node ended.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("{0}")]
    Config(ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    #[error("this node has failed: {0}")]
    Failed(String),
    #[error("{0}: {1}")]
    Engine(String, diwan_external::Failure),
}

impl ServeError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Config(_) | Self::Start(StartError::GroupIds { .. }) => 2,
            Self::Start(StartError::Directory(error)) => match error {
                DirectoryError::Locked(_) => 3,
                DirectoryError::OtherNode { .. } => 4,
                DirectoryError::Version { .. } => 5,
                DirectoryError::Foreign(_)
                | DirectoryError::LogGone(_)
                | DirectoryError::NoNode(_)
                | DirectoryError::HasLogs(_)
                | DirectoryError::HalfCopied(_) => 6,
                DirectoryError::Io { .. } => 8,
            },
            Self::Start(
                StartError::Wal(_) | StartError::Store { .. } | StartError::Snapshot { .. },
            ) => 7,
            Self::Start(StartError::Io { .. }) | Self::Io(..) => 8,
            Self::Engine(..) => 9,
        }
    }
}

pub(crate) fn run(arguments: &ServerArguments) -> ExitCode {
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn start(arguments: &ServerArguments) -> Result<(), ServeError> {
    let settings = Settings::read(arguments).map_err(ServeError::Config)?;
    crate::logs::init(&settings.log.level, settings.log.format)
        .map_err(|error| ServeError::Config(ConfigError(format!("log.level: {error}"))))?;
    // The node has threads of its own: this one only administers.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io("the runtime"))?;
    runtime.block_on(serve(settings, arguments.lifeline))
}

fn io(what: impl ToString) -> impl FnOnce(std::io::Error) -> ServeError {
    let what = what.to_string();
    move |error| ServeError::Io(what, error)
}

async fn serve(mut settings: Settings, lifeline: bool) -> Result<(), ServeError> {
    let mut signals = Signals::new(lifeline).map_err(io("signals"))?;
    let admin_at = settings.admin;
    let listener = TcpListener::bind(admin_at)
        .await
        .map_err(io(format!("administration at {admin_at}")))?;
    let registers = Registers::default();
    let group = settings.raft.group.clone();
    let stop_within = Duration::from_millis(settings.limits.stop_ms);
    let node_name = settings.node.clone();
    let data: PathBuf = settings.data.clone();
    let role = registry::Role::new(
        &settings.registry,
        settings.access_keys.clone(),
        &settings.data,
    );
    let retention = Retention {
        keep_ms: settings.archive.keep_hours * 3_600_000,
        entries_max: settings.archive.entries_max,
    };
    let archive = |role: &str| {
        let path = settings.data.join("archive").join(format!("{role}.redb"));
        Archive::new(path, retention).map_err(io("an archive's thread"))
    };
    let tx = tx::Role::new(&settings.tx, settings.users.clone(), archive)?;
    let saga = saga::Role::new(&settings.saga, &settings.registry, archive)?;
    let roles = [
        role.as_ref()
            .map(|role| role.group(settings.initial.clone())),
        tx.as_ref().map(|role| role.group(settings.initial.clone())),
    ];
    let saga_groups = saga.as_ref().map_or_else(Vec::new, saga::Role::names);
    let sagas = saga
        .as_ref()
        .map_or_else(Vec::new, |role| role.groups(&settings.initial));
    let roles = roles.into_iter().flatten().chain(sagas);
    let groups = groups(&settings, registers.clone(), roles);
    let engine = std::mem::take(&mut settings.engine);
    let (node, logs) = match settings.engine_at.take() {
        None => (start_node(settings, groups)?, None),
        Some(address) => {
            let members = settings
                .initial
                .peers
                .iter()
                .map(PeerId::to_string)
                .collect();
            let node = start_node(settings, Vec::new())?;
            let logs = engine::start(&node, &node_name, members, address, &engine, groups);
            let logs = logs.await?;
            (node, Some(logs))
        }
    };
    tracing::info!(node = %node_name, data = %data.display(), %admin_at, group, "started");
    let registry = Arc::new(OnceLock::new());
    let coordinator = Arc::new(OnceLock::new());
    let sagas = Arc::new(OnceLock::new());
    let stopping = Arc::new(AtomicBool::new(false));
    tokio::spawn(admin::serve(
        listener,
        admin::Admin {
            node: node.clone(),
            meta_group: group,
            registers,
            logs: logs.clone(),
            stopping: stopping.clone(),
            registry: registry.clone(),
            coordinator: coordinator.clone(),
            sagas: sagas.clone(),
            saga_groups,
        },
    ));
    let begin = async {
        if let Some(logs) = &logs {
            logs.until_read().await;
        }
        if let Some(role) = tx {
            let _ = coordinator.set(role.start(&node_name, &node).await?);
        }
        if let Some(role) = saga {
            let _ = sagas.set(role.start(&node).await?);
        }
        if let Some(role) = role {
            let _ = registry.set(role.start(&node_name, &node).await?);
        }
        // Nothing more to do but to wait for the end.
        std::future::pending().await
    };
    tokio::select! {
        () = signals.next() => {}
        why = node.failed() => return Err(ServeError::Failed(why)),
        result = begin => return result,
    }
    stopping.store(true, Relaxed);
    tracing::info!(node = %node_name, "stopping: leadership is handed on");
    if let Some(http) = registry.get() {
        http.registry.stop().await;
    }
    if let Some(coordinator) = coordinator.get() {
        coordinator.stop().await;
    }
    if let Some(logs) = logs {
        logs.stop(stop_within / 2).await;
    }
    tokio::select! {
        result = tokio::time::timeout(stop_within, node.stop()) => if result.is_err() {
            tracing::warn!(?stop_within, "not everything that had begun was finished");
        },
        () = signals.next() => tracing::warn!("asked twice: stopped at once"),
    }
    tracing::info!(node = %node_name, "stopped");
    Ok(())
}

/// The node's groups: its own store, and those of its roles.
fn groups(
    settings: &Settings,
    registers: Registers,
    roles: impl Iterator<Item = GroupOptions>,
) -> Vec<GroupOptions> {
    let raft = &settings.raft;
    let members = settings.initial.clone();
    let mut groups = vec![GroupOptions::new(&raft.group, members, move || {
        Box::new(Meta(registers))
    })];
    groups.extend(roles);
    for group in &mut groups {
        group.election_timeout = raft.election_timeout();
        group.snapshot_log_bytes = raft.snapshot_log_bytes;
        group.snapshot_keep_entries = raft.snapshot_keep_entries;
        group.lease_reads = raft.lease_reads;
        group.entry_checksums = raft.entry_checksums;
        group.jraft.clone_from(&settings.jraft);
    }
    groups
}

fn start_node(settings: Settings, groups: Vec<GroupOptions>) -> Result<NodeHandle, StartError> {
    let mut options = NodeOptions::new(settings.node, settings.data);
    options.listen = settings.listen;
    options.token = settings.security.token;
    options.tls = settings.security.tls;
    options.wal.segment_bytes = settings.wal.segment_bytes;
    options.server.connections_max = settings.limits.connections_max;
    options.snapshot_bytes_per_second =
        Some(settings.limits.snapshot_bytes_per_second).filter(|bytes| *bytes > 0);
    options.limits.cache_bytes_max = settings.limits.cache_bytes_max;
    options.server.in_flight_max = settings.limits.in_flight_max;
    diwan_runtime::start(options, groups)
}

/// What asks a process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Ends when standard input is closed, if that is to stop the process; it counts once.
    lifeline: Option<oneshot::Receiver<()>>,
}

impl Signals {
    fn new(lifeline: bool) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            lifeline: lifeline.then(end_of_input),
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = async {
                match self.lifeline.as_mut() {
                    Some(end) => drop(end.await),
                    None => std::future::pending().await,
                }
                self.lifeline = None;
            } => {}
        }
    }
}

/// A thread of its own: it is still reading when the process ends.
fn end_of_input() -> oneshot::Receiver<()> {
    let (end, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while !matches!(std::io::stdin().read(&mut buffer), Ok(0) | Err(_)) {}
        drop(end);
    });
    ended
}
