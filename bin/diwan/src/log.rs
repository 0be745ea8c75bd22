//! `diwan log`: the logs that an engine keeps for a node, as an operator sees them.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use diwan_external::{Address, Client};
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

These are the logs of a node that was started with --log etcd://... or --log postgres://... (see docs/log.md). A node that
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
    /// Copy the logs of nodes that have been stopped to another engine, and read them back from there
    Copy {
        /// Where they are
        from: String,
        /// Where they are to be
        to: String,
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
        LogCommand::Copy { from, to, logs } => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (from, to) = (from.parse()?, to.parse()?);
            return runtime.block_on(copy(&from, &to, logs, timeout));
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The logs of a node, unless its configuration names the first one otherwise.
const LOGS: [&str; 4] = ["system", "registry", "tx", "saga"];

async fn copy(
    from: &Address,
    to: &Address,
    logs: &[String],
    timeout: Duration,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let (from, to) = (
        Client::connect(from, timeout).await?,
        Client::connect(to, timeout).await?,
    );
    let all = LOGS.map(str::to_owned);
    for log in if logs.is_empty() { &all } else { logs } {
        let copied = diwan_external::copy(&from, &to, log).await;
        let copied = copied.map_err(|error| format!("log {log}: {error}"))?;
        println!(
            "{log}: up to command {}, {} blocks behind the snapshot, {} bytes, digest {:08x} on both sides",
            copied.index, copied.blocks, copied.bytes, copied.digest
        );
    }
    Ok(ExitCode::SUCCESS)
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
