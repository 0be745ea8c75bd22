//! `diwan log`: the logs that an engine keeps for a node, as an operator sees them.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use diwan_external::{Client, Copied, CopyError};
use diwan_raft::PeerId;
use diwan_runtime::Stopped;
use hyper::Method;
use serde_json::Value;

use crate::operator::{self, Node, cells, encoded, list};
use crate::table::table;

pub(crate) const HELP: &str = "\
Examples:
  diwan log status              who owns each log, how far this node is, block sizes, snapshots
  diwan log snapshot tx         take a snapshot of a log now; at its owner
  diwan log copy etcd://db1:2379/diwan 'postgres://diwan@db2/diwan'
                                to another engine: stop all nodes, copy, start them with the other --log
  diwan log copy /var/lib/diwan etcd://db1:2379/diwan
                                from a node's own disk; of a cluster, a majority of its nodes' disks: DIR,DIR
  diwan log copy etcd://db1:2379/diwan /var/lib/diwan --as 10.0.0.1:8701
                                to the disk of a node, which is then the only member; others join it

Status and snapshot are for a node that was started with --log etcd://... or --log postgres://... (see docs/log.md). A node that
keeps its logs itself is looked after with `diwan raft`.

Exit codes: 0 done, 1 refused or not answered, 2 command line.";

#[derive(Args)]
pub(crate) struct LogArguments {
    #[command(flatten)]
    node: Node,
    /// Wait for the answer for so long
    #[arg(long, default_value_t = 10_000, global = true)]
    timeout_ms: u64,
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Subcommand)]
enum LogCommand {
    /// How the logs stand
    Status,
    /// Copy the logs of nodes that have been stopped elsewhere, and read them back from there
    Copy {
        /// Where they are: an engine, or the data directory of a node that keeps them itself (of several nodes: DIR,DIR)
        from: String,
        /// Where they are to be: an engine, or a node's data directory
        to: String,
        /// The node whose data directory it is to be
        #[arg(long = "as", value_name = "IP:PORT")]
        node: Option<PeerId>,
        /// Which; all that a node has, if none is named
        logs: Vec<String>,
    },
    /// Take a snapshot of a log as soon as it can be done
    Snapshot {
        /// The log
        log: String,
    },
}

pub(crate) fn run(arguments: &LogArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let timeout = Duration::from_millis(arguments.timeout_ms);
    let ask = |method, path: &str, text: fn(&Value) -> String| {
        operator::ask(&arguments.node, timeout, method, path, String::new(), text)
    };
    match &arguments.command {
        LogCommand::Status => ask(Method::GET, "/log", status),
        LogCommand::Snapshot { log } => {
            let path = format!("/log/{}/snapshot", encoded(log));
            ask(Method::POST, &path, |_| "asked for\n".to_owned())
        }
        LogCommand::Copy {
            from,
            to,
            node,
            logs,
        } => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            return runtime.block_on(copy(from, to, node.as_ref(), logs, timeout));
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The logs that a node may have, unless its configuration names the first one otherwise.
fn known() -> impl Iterator<Item = &'static str> {
    ["system", "registry", "tx"]
        .into_iter()
        .chain(crate::server::SAGA_GROUPS)
}

async fn copy(
    from: &str,
    to: &str,
    node: Option<&PeerId>,
    logs: &[String],
    timeout: Duration,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let engine = async |url: &str| -> Result<Client, Box<dyn std::error::Error>> {
        Ok(Client::connect(&url.parse()?, timeout).await?)
    };
    let of = |log: &String, error: CopyError| format!("log {log}: {error}");
    // Those that are named, or all of the known ones that there are.
    let in_engine = async |client: &Client| -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let mut there = Vec::new();
        for log in known().filter(|_| logs.is_empty()) {
            if client.has(log).await? {
                there.push(log.to_owned());
            }
        }
        there.extend_from_slice(logs);
        Ok(there)
    };
    match (from.contains("://"), to.contains("://")) {
        (true, true) => {
            let (from, to) = (engine(from).await?, engine(to).await?);
            for log in &in_engine(&from).await? {
                let copied = diwan_external::copy(&from, &to, log).await;
                say(log, &copied.map_err(|error| of(log, error))?);
            }
        }
        (false, true) => {
            let nodes = from.split(',').map(|path| Stopped::open(path.as_ref()));
            let (nodes, to) = (nodes.collect::<Result<Vec<_>, _>>()?, engine(to).await?);
            let all: Vec<String> = known().map(str::to_owned).collect();
            if logs.is_empty() && nodes.iter().any(|node| node.has_others(&all)) {
                return Err("there are logs of other names than Diwan's own: name all that are to be copied".into());
            }
            for log in if logs.is_empty() { &all } else { logs } {
                let copied = diwan_external::copy_to_engine(&nodes, &to, log).await;
                match copied.map_err(|error| of(log, error))? {
                    Some(copied) => say(log, &copied),
                    None if logs.is_empty() => {}
                    None => println!("{log}: there is no such log"),
                }
            }
        }
        (true, false) => {
            let node = node.ok_or("whose data directory is it to be? --as IP:PORT")?;
            let from = engine(from).await?;
            let logs = in_engine(&from).await?;
            let copied = diwan_external::copy_to_node(&from, to.as_ref(), node, &logs).await?;
            for (log, copied) in logs.iter().zip(&copied) {
                say(log, copied);
            }
        }
        (false, false) => {
            return Err("neither is an engine: nodes that keep their logs themselves get others by `diwan raft add-peer`".into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(log: &str, copied: &Copied) {
    println!(
        "{log}: up to command {}, {} blocks behind the snapshot, {} bytes, digest {:08x} on both sides",
        copied.index, copied.blocks, copied.bytes, copied.digest
    );
}

fn status(answer: &Value) -> String {
    let heading = [
        "LOG",
        "OWNER",
        "TERM",
        "NEXT",
        "LAG",
        "INDEX",
        "CMD/BLOCK",
        "B/BLOCK",
        "SNAPSHOT",
        "SINCE",
        "WAITING",
    ];
    let columns = [
        "log",
        "owner",
        "term",
        "next",
        "lag",
        "index",
        "commands_per_block",
        "bytes_per_block",
    ];
    let logs = list(&answer["logs"]);
    let rows: Vec<Vec<String>> = logs
        .iter()
        .map(|log| {
            let mut row = cells(log, &columns);
            row.extend(cells(&log["snapshot"], &["bytes"]));
            row.extend(cells(log, &["since_snapshot_bytes", "waiting"]));
            row
        })
        .collect();
    let mut text = format!("{}\n", operator::cell(&answer["engine"]));
    text += &table(&heading, &rows);
    for log in logs {
        let name = operator::cell(&log["log"]);
        if log["no_space"] == true {
            text += &format!("{name}: the engine has no space: nothing is written until it has\n");
        }
        if let Some(trouble) = log["trouble"].as_str() {
            text += &format!("{name}: last said in place of a reply: {trouble}\n");
        }
    }
    text
}
