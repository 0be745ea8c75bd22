//! What a node is told: the command line, and one TOML file for the rest.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use diwan_external::{Address, AddressError};
use diwan_raft::{Configuration, PeerId};
use diwan_registry::edge::AccessKeys;
use diwan_runtime::JraftAddress;
use diwan_tx::edge::Users;
use serde::Deserialize;

use super::saga;
use super::security::Security;
use crate::logs::Format;

/// What the command line says. It counts more than the file.
#[derive(Args, Debug, Default)]
pub(crate) struct ServerArguments {
    /// Directory of this node's log and snapshots; made if it is not there
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// This node's name, and the address at which others reach it: IP:PORT
    #[arg(long, value_name = "IP:PORT")]
    node: Option<PeerId>,
    /// All members of a cluster that begins, this node among them; without it this node is a cluster of one.
    /// Counts at the first start only: after that the log knows the members
    #[arg(long, value_name = "PEER,..", value_delimiter = ',')]
    peers: Vec<String>,
    /// Begin without members and wait until `diwan raft add-peer` or `learners add` makes this node one
    #[arg(long, conflicts_with = "peers")]
    join: bool,
    /// Keep the logs in an engine that runs already, instead of on this node's disk:
    /// etcd://HOST:PORT,HOST:PORT/PREFIX or postgres://USER@HOST/DATABASE (see docs/log.md)
    #[arg(long, value_name = "URL", conflicts_with = "join")]
    log: Option<String>,
    /// Be no service registry
    #[arg(long)]
    no_registry: bool,
    /// Coordinate no distributed transactions
    #[arg(long)]
    no_tx: bool,
    /// Run no sagas
    #[arg(long)]
    no_saga: bool,
    /// Administration over HTTP, on loopback only
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    /// A TOML file with everything else (see docs/server.md)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stop when standard input is closed, as it is when the process that started this one ends
    #[arg(long, hide = true)]
    pub(super) lifeline: bool,
}

/// A node's configuration, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) node: PeerId,
    pub(crate) data: PathBuf,
    pub(crate) initial: Configuration,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
    pub(crate) log: Log,
    pub(crate) raft: Raft,
    pub(crate) jraft: Vec<JraftAddress>,
    pub(crate) security: Security,
    pub(crate) wal: Wal,
    pub(crate) limits: Limits,
    pub(crate) registry: Registry,
    pub(crate) tx: Tx,
    pub(crate) saga: Saga,
    pub(crate) archive: Archive,
    pub(crate) engine: Engine,
    /// The engine's address, if the logs are kept in one.
    pub(crate) engine_at: Option<Address>,
    pub(crate) users: Users,
    pub(crate) access_keys: Option<AccessKeys>,
}

/// Why a node's configuration is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigError(pub(crate) String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table of the file: its keys with their defaults.
macro_rules! section {
    ($name:ident { $($key:ident: $type:ty = $default:expr,)* }) => {
        #[derive(Debug, Deserialize)]
        #[serde(default)]
        pub(crate) struct $name {
            $(pub(crate) $key: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $name {
            const KEYS: &[&str] = &[$(stringify!($key)),*];
        }
    };
}

section! { File {
    data: Option<PathBuf> = None,
    node: Option<String> = None,
    peers: Vec<String> = Vec::new(),
    join: bool = false,
    listen: Option<SocketAddr> = None,
    admin: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8790)),
    log: Log = Log::default(),
    raft: Raft = Raft::default(),
    wal: Wal = Wal::default(),
    limits: Limits = Limits::default(),
    cluster: Cluster = Cluster::default(),
    tls: Tls = Tls::default(),
    registry: Registry = Registry::default(),
    tx: Tx = Tx::default(),
    saga: Saga = Saga::default(),
    archive: Archive = Archive::default(),
    engine: Engine = Engine::default(),
} }

section! { Engine {
    url: Option<String> = None,
    lease_ms: u64 = 3000,
    timeout_ms: u64 = 2000,
    lease_reads: bool = false,
    snapshot_log_bytes: u64 = 64 << 20,
    snapshot_bytes_max: u64 = 1 << 30,
} }

section! { Saga {
    enabled: bool = true,
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8792)),
    keep_ended_ms: u64 = 60_000,
    logs: usize = 1,
} }

section! { Tx {
    enabled: bool = true,
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8091)),
    advertise: Option<String> = None,
    http: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7091)),
    users_file: Option<PathBuf> = None,
} }

section! { Registry {
    enabled: bool = true,
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9600)),
    session_http: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9603)),
    meta_http: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9615)),
    advertise: Option<String> = None,
    mosn: Option<SocketAddr> = None,
    access_keys_file: Option<PathBuf> = None,
    grace_ms: u64 = 1500,
    lease_ms: u64 = 30_000,
    guard_ms: u64 = 300_000,
} }

section! { Log {
    level: String = "info".to_owned(),
    format: Format = Format::Text,
} }

section! { Raft {
    group: String = "system".to_owned(),
    election_timeout_ms: u64 = 400,
    snapshot_log_bytes: u64 = 64 << 20,
    snapshot_keep_entries: u64 = 1000,
    lease_reads: bool = false,
    jraft: Vec<String> = Vec::new(),
    entry_checksums: bool = false,
} }

section! { Archive {
    keep_hours: u64 = 7 * 24,
    entries_max: u64 = 1_000_000,
} }

section! { Wal {
    segment_bytes: u32 = 64 << 20,
} }

section! { Limits {
    connections_max: usize = 20_000,
    in_flight_max: usize = 100_000,
    cache_bytes_max: usize = 32 << 20,
    snapshot_bytes_per_second: u64 = 0,
    stop_ms: u64 = 10_000,
} }

section! { Cluster {
    token_file: Option<PathBuf> = None,
} }

section! { Tls {
    certificate: Option<PathBuf> = None,
    key: Option<PathBuf> = None,
    ca: Option<PathBuf> = None,
    require_client_certificate: bool = true,
} }

/// The tables of the file and their keys; the first one is the file itself.
const TABLES: [(&str, &[&str]); 12] = [
    ("", File::KEYS),
    ("log", Log::KEYS),
    ("raft", Raft::KEYS),
    ("wal", Wal::KEYS),
    ("limits", Limits::KEYS),
    ("cluster", Cluster::KEYS),
    ("tls", Tls::KEYS),
    ("registry", Registry::KEYS),
    ("tx", Tx::KEYS),
    ("saga", Saga::KEYS),
    ("archive", Archive::KEYS),
    ("engine", Engine::KEYS),
];

impl Settings {
    pub(crate) fn read(arguments: &ServerArguments) -> Result<Self, ConfigError> {
        let (text, name) = match &arguments.config {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
                (text, path.as_path())
            }
            None => (String::new(), Path::new("")),
        };
        Self::from(arguments, &text).map_err(|error| match arguments.config {
            Some(_) => ConfigError(format!("{}: {error}", name.display())),
            None => error,
        })
    }

    fn from(arguments: &ServerArguments, text: &str) -> Result<Self, ConfigError> {
        let mut file = parse(text)?;
        file.registry.enabled &= !arguments.no_registry;
        file.tx.enabled &= !arguments.no_tx;
        file.saga.enabled &= !arguments.no_saga;
        let wrong = |what: &dyn fmt::Display| ConfigError(what.to_string());
        let missing =
            |what: &str| ConfigError(format!("{what}, on the command line or in the file"));
        let node = match (&arguments.node, &file.node) {
            (Some(node), _) => node.clone(),
            (None, Some(node)) => node.parse().map_err(|error| wrong(&error))?,
            (None, None) => return Err(missing("a node needs its name: --node IP:PORT")),
        };
        let data = arguments.data.clone().or(file.data);
        let data = data.ok_or_else(|| missing("a node needs a directory: --data DIR"))?;
        let join = arguments.join || file.join && arguments.peers.is_empty();
        let peers = match arguments.peers.is_empty() {
            false => &arguments.peers,
            true => &file.peers,
        };
        let initial = initial(&node, peers, join)?;
        let admin = arguments.admin.unwrap_or(file.admin);
        if !admin.ip().is_loopback() {
            return Err(ConfigError(format!(
                "admin = {admin}: whoever reaches it rules the node, so it must be an address of loopback, such as 127.0.0.1:{}",
                admin.port()
            )));
        }
        if let Some(mosn) = file.registry.mosn
            && !mosn.ip().is_loopback()
        {
            return Err(ConfigError(format!(
                "registry.mosn = {mosn}: it is for applications of this machine, so it must be an address of loopback, such as 127.0.0.1:{}",
                mosn.port()
            )));
        }
        check_group(&file.raft.group)?;
        let within = |key: &str, value: u64, from: u64, to: u64| {
            if (from..=to).contains(&value) {
                return Ok(());
            }
            Err(ConfigError(format!(
                "{key} = {value}: must be between {from} and {to}"
            )))
        };
        within(
            "raft.election_timeout_ms",
            file.raft.election_timeout_ms,
            50,
            60_000,
        )?;
        within(
            "raft.snapshot_log_bytes",
            file.raft.snapshot_log_bytes,
            1 << 10,
            1 << 40,
        )?;
        // The largest batch must fit into a segment.
        within(
            "wal.segment_bytes",
            file.wal.segment_bytes.into(),
            16 << 20,
            1 << 30,
        )?;
        if !file.wal.segment_bytes.is_multiple_of(4096) {
            return Err(ConfigError(
                "wal.segment_bytes: must be a multiple of 4096".to_owned(),
            ));
        }
        within(
            "limits.connections_max",
            file.limits.connections_max as u64,
            1,
            1 << 24,
        )?;
        within(
            "limits.in_flight_max",
            file.limits.in_flight_max as u64,
            1,
            1 << 30,
        )?;
        within(
            "limits.cache_bytes_max",
            file.limits.cache_bytes_max as u64,
            1 << 20,
            1 << 40,
        )?;
        within(
            "archive.keep_hours",
            file.archive.keep_hours,
            1,
            24 * 36_500,
        )?;
        within("archive.entries_max", file.archive.entries_max, 1, 1 << 40)?;
        within("limits.stop_ms", file.limits.stop_ms, 0, 600_000)?;
        within("registry.grace_ms", file.registry.grace_ms, 0, 600_000)?;
        within(
            "registry.lease_ms",
            file.registry.lease_ms,
            5000,
            86_400_000,
        )?;
        within("registry.guard_ms", file.registry.guard_ms, 0, 86_400_000)?;
        within(
            "saga.logs",
            file.saga.logs as u64,
            1,
            saga::GROUPS.len() as u64,
        )?;
        within("engine.lease_ms", file.engine.lease_ms, 100, 600_000)?;
        within("engine.timeout_ms", file.engine.timeout_ms, 50, 600_000)?;
        within(
            "engine.snapshot_log_bytes",
            file.engine.snapshot_log_bytes,
            1 << 10,
            1 << 40,
        )?;
        let url = arguments.log.as_ref().or(file.engine.url.as_ref());
        let engine_at = url.map(|url| url.parse()).transpose();
        let engine_at = engine_at
            .map_err(|error: AddressError| ConfigError(format!("engine.url or --log: {error}")))?;
        if engine_at.is_some() && join {
            return Err(ConfigError(
                "join is for logs of this node's own: with an engine, name all nodes in peers"
                    .to_owned(),
            ));
        }
        let jraft = file.raft.jraft.iter().map(|address| address.parse());
        let jraft: Result<_, _> = jraft.collect();
        let jraft = jraft.map_err(|error: diwan_runtime::JraftAddressError| {
            ConfigError(format!("raft.jraft: {error}"))
        })?;
        let users = file.tx.users_file.as_deref();
        let users = users.map_or(Ok(Users::default()), super::security::users)?;
        if users.0.is_empty() && !file.tx.http.ip().is_loopback() {
            return Err(ConfigError(format!(
                "tx.http = {}: whoever reaches it decides transactions; without tx.users_file it must be an address of loopback",
                file.tx.http
            )));
        }
        let access_keys = file.registry.access_keys_file.as_deref();
        Ok(Self {
            access_keys: access_keys.map(super::security::access_keys).transpose()?,
            jraft,
            security: Security::load(&file.cluster, &file.tls)?,
            node,
            data,
            initial,
            listen: file.listen,
            admin,
            log: file.log,
            raft: file.raft,
            wal: file.wal,
            limits: file.limits,
            registry: file.registry,
            tx: file.tx,
            saga: file.saga,
            archive: file.archive,
            engine: file.engine,
            engine_at,
            users,
        })
    }
}

/// The token and TLS that a file names, for one that is no node.
pub(crate) fn security(path: &Path) -> Result<Security, ConfigError> {
    let read = || {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError(error.to_string()))?;
        let file = parse(&text)?;
        Security::load(&file.cluster, &file.tls)
    };
    read().map_err(|error| ConfigError(format!("{}: {error}", path.display())))
}

impl Raft {
    pub(crate) fn election_timeout(&self) -> Duration {
        Duration::from_millis(self.election_timeout_ms)
    }
}

/// The members that a cluster begins with, as this node sees it.
fn initial(node: &PeerId, peers: &[String], join: bool) -> Result<Configuration, ConfigError> {
    if join {
        return match peers {
            [] => Ok(Configuration::default()),
            _ => Err(ConfigError(
                "join and peers exclude each other: a node that joins learns the members from their leader".to_owned(),
            )),
        };
    }
    let mut members: Vec<PeerId> = Vec::new();
    for peer in peers.iter().filter(|peer| !peer.is_empty()) {
        let peer: PeerId = peer
            .parse()
            .map_err(|error| ConfigError(format!("peers: {error}")))?;
        if members.contains(&peer) {
            return Err(ConfigError(format!("peers: {peer} stands there twice")));
        }
        members.push(peer);
    }
    if members.is_empty() {
        members.push(node.clone());
    }
    if !members.contains(node) {
        return Err(ConfigError(format!(
            "peers: this node, {node}, is not among them; to add it to a cluster that runs, start it with --join"
        )));
    }
    Ok(Configuration::of(members))
}

/// JRaft accepts the same names.
fn check_group(name: &str) -> Result<(), ConfigError> {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    if name.starts_with(|char: char| char.is_ascii_alphabetic())
        && name.chars().all(plain)
        && name.len() <= 100
    {
        return Ok(());
    }
    Err(ConfigError(format!(
        "raft.group = {name:?}: a name is a letter, then up to 99 letters, digits, - and _"
    )))
}

fn parse(text: &str) -> Result<File, ConfigError> {
    let wrong = |error: toml::de::Error| ConfigError(error.to_string().trim_end().to_owned());
    let document = toml::de::DeTable::parse(text).map_err(wrong)?;
    for (key, value) in document.get_ref() {
        check_key(text, "", key)?;
        if let Some(table) = value.get_ref().as_table()
            && TABLES
                .iter()
                .any(|(name, _)| *name == key.get_ref().as_ref())
        {
            for inner in table.keys() {
                check_key(text, key.get_ref(), inner)?;
            }
        }
    }
    toml::from_str(text).map_err(wrong)
}

/// Refuses a key that nobody reads, and says which one may have been meant.
fn check_key(
    text: &str,
    table: &str,
    key: &toml::Spanned<toml::de::DeString<'_>>,
) -> Result<(), ConfigError> {
    let name: &str = key.get_ref();
    let known = |(table_name, keys): &(&str, &[&str])| *table_name == table && keys.contains(&name);
    if TABLES.iter().any(known) {
        return Ok(());
    }
    let line = text[..key.span().start].matches('\n').count() + 1;
    let full = |table: &str, key: &str| match table {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    };
    let all = TABLES
        .iter()
        .flat_map(|(table, keys)| keys.iter().map(move |key| (*table, *key)));
    // A key in the wrong table is nearer than another key in the right one.
    let nearest = all.min_by_key(|(its_table, key)| {
        (strsim::damerau_levenshtein(key, name), *its_table != table)
    });
    let (its_table, nearest) = nearest.unwrap_or_default();
    Err(ConfigError(format!(
        "line {line}: unknown key `{}`; did you mean `{}`?",
        full(table, name),
        full(its_table, nearest)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let arguments = ServerArguments {
            node: Some(PeerId::new("127.0.0.1", 8701)),
            data: Some("d".into()),
            ..ServerArguments::default()
        };
        Settings::from(&arguments, text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        for (text, says) in [
            (
                "nod = 'a:1'",
                "line 1: unknown key `nod`; did you mean `node`?",
            ),
            (
                "\n[raft]\nelection_timout_ms = 1",
                "line 3: unknown key `raft.election_timout_ms`; did you mean `raft.election_timeout_ms`?",
            ),
            (
                "[limits]\nsegment_bytes = 1",
                "line 2: unknown key `limits.segment_bytes`; did you mean `wal.segment_bytes`?",
            ),
            (
                "raft.grup = 'x'",
                "line 1: unknown key `raft.grup`; did you mean `raft.group`?",
            ),
            (
                "[tls]\ncertifcate = 'x'",
                "line 2: unknown key `tls.certifcate`; did you mean `tls.certificate`?",
            ),
            (
                "token_file = 'x'",
                "line 1: unknown key `token_file`; did you mean `cluster.token_file`?",
            ),
            (
                "[lgo]\nlevel = 'info'",
                "line 1: unknown key `lgo`; did you mean `log`?",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), says);
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (text, says) in [
            (
                "admin = '0.0.0.0:8790'",
                "must be an address of loopback, such as 127.0.0.1:8790",
            ),
            (
                "peers = ['127.0.0.1:8702']",
                "127.0.0.1:8701, is not among them",
            ),
            (
                "peers = ['127.0.0.1:8701', '127.0.0.1:8701']",
                "stands there twice",
            ),
            ("peers = ['x']", "`x` is not a peer"),
            (
                "join = true\npeers = ['127.0.0.1:8701']",
                "exclude each other",
            ),
            (
                "[raft]\nelection_timeout_ms = 5",
                "must be between 50 and 60000",
            ),
            ("[raft]\ngroup = 'a b'", "a name is a letter"),
            (
                "[raft]\njraft = ['10.0.0.5', 'host:1']",
                "raft.jraft: `host:1` is not an address",
            ),
            (
                "[cluster]\ntoken_file = '/no/such/file'",
                "cluster.token_file = \"/no/such/file\": No such file",
            ),
            ("[tls]\nca = 'x'", "tls.certificate is missing"),
            ("[wal]\nsegment_bytes = 16777217", "a multiple of 4096"),
            ("[log]\nformat = 'xml'", "expected `text` or `json`"),
            ("[log]\nlevel = 7", "line 2, column 9"),
            ("raft = 7", "invalid type"),
            ("a = [", "line 1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_command_line_counts_more_and_no_peers_are_a_cluster_of_one() {
        let text = "node = '127.0.0.1:9999'\n[log]\nformat = 'json'";
        let settings = read(text).unwrap();
        assert_eq!(settings.node.port(), 8701);
        assert_eq!(settings.log.format, Format::Json);
        assert_eq!(settings.initial.to_string(), "127.0.0.1:8701");
        assert!(read("join = true").unwrap().initial.is_empty());
    }
}
