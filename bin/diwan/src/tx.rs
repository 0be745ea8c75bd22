//! `diwan tx`: what an operator sees of distributed transactions and decides about them, through a node's administration.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use crate::operator::{self, Node, cell, cells, encoded, list};
use crate::table::table;

pub(crate) const HELP: &str = "\
Examples:
  diwan tx list                                  transactions that are open, the oldest first
  diwan tx list --stuck                          those that nobody finishes: a resource manager is missing, or says that it cannot
  diwan tx list --ended --status Rollbacked      those that have ended, the newest first, from the archive of this node
  diwan tx show 127.0.0.1:8091:914866632705179   its branches, whose they are, what was last said of them
  diwan tx retry XID                             tell its branches now, not when it is their time
  diwan tx commit XID                            decide; also a transaction that a branch says it cannot finish
  diwan tx rollback XID
  diwan tx stop XID                              leave its branches alone until you decide again
  diwan tx forget XID                            you have looked after its branches: its locks are free, nobody is told
  diwan tx forget XID --branch 914866632705180   you have looked after this branch; the others are told
  diwan tx stop XID --branch 914866632705180     leave this branch alone; retry with the same option goes on with it
  diwan tx unlock XID --resource jdbc:mysql://db/bank --row account:7
  diwan tx locks --contains account              which rows are locked by whom

XID may be its number alone.

Exit codes: 0 done, 1 refused or not answered, 2 command line.";

#[derive(Args)]
pub(crate) struct TxArguments {
    #[command(flatten)]
    node: Node,
    /// Wait for the answer for so long
    #[arg(long, default_value_t = 30_000, global = true)]
    timeout_ms: u64,
    #[command(subcommand)]
    command: TxCommand,
}

#[derive(Subcommand)]
enum TxCommand {
    /// List open transactions
    List {
        /// Those that have ended, from the archive of this node
        #[arg(long, conflicts_with = "stuck")]
        ended: bool,
        /// Only those that wait for somebody: a decision, or a resource manager
        #[arg(long)]
        stuck: bool,
        /// Only those in this status, such as Begin or RollbackRetrying
        #[arg(long, default_value = "")]
        status: String,
        /// Only those whose name or xid contains this
        #[arg(long, default_value = "")]
        contains: String,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// A transaction and its branches
    Show { xid: String },
    /// Tell its branches again now
    Retry(Whole),
    /// Commit it
    Commit { xid: String },
    /// Roll it back
    Rollback { xid: String },
    /// Leave its branches alone until somebody decides again
    Stop(Whole),
    /// End it without telling anybody; its locks are free
    Forget(Whole),
    /// Free a row that it has locked: you know that nobody needs it rolled back
    Unlock {
        xid: String,
        /// The database whose row it is, as `locks` lists it
        #[arg(long)]
        resource: String,
        /// The row, `table:key`
        #[arg(long)]
        row: String,
    },
    /// Rows that are locked
    Locks {
        /// Only where database or row contain this
        #[arg(long, default_value = "")]
        contains: String,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
}

/// A transaction, or one of its branches.
#[derive(Args)]
struct Whole {
    xid: String,
    /// This branch alone
    #[arg(long)]
    branch: Option<i64>,
}

pub(crate) fn run(arguments: &TxArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let (method, path) = request(&arguments.command);
    let path = format!("/tx/v1/{path}");
    let timeout = Duration::from_millis(arguments.timeout_ms);
    let text = |answer: &Value| text(&arguments.command, answer);
    operator::ask(&arguments.node, timeout, method, &path, String::new(), text)?;
    Ok(ExitCode::SUCCESS)
}

fn request(command: &TxCommand) -> (Method, String) {
    let one = |xid: &str| format!("transactions/{}", encoded(xid));
    let decide = |xid: &str, decision: &str| (Method::POST, format!("{}/{decision}", one(xid)));
    let about = |of: &Whole, decision: &str| match of.branch {
        None => decide(&of.xid, decision),
        Some(branch) => decide(&of.xid, &format!("{decision}?branch={branch}")),
    };
    match command {
        TxCommand::List {
            ended,
            stuck,
            status,
            contains,
            limit,
        } => (
            Method::GET,
            format!(
                "transactions?ended={ended}&stuck={stuck}&limit={limit}&status={}&contains={}",
                encoded(status),
                encoded(contains)
            ),
        ),
        TxCommand::Show { xid } => (Method::GET, one(xid)),
        TxCommand::Retry(of) => about(of, "retry"),
        TxCommand::Commit { xid } => decide(xid, "commit"),
        TxCommand::Rollback { xid } => decide(xid, "rollback"),
        TxCommand::Stop(of) => about(of, "stop"),
        TxCommand::Forget(of) => about(of, "forget"),
        TxCommand::Unlock { xid, resource, row } => {
            let (resource, row) = (encoded(resource), encoded(row));
            decide(xid, &format!("unlock?resource={resource}&row={row}"))
        }
        TxCommand::Locks { contains, limit } => (
            Method::GET,
            format!("locks?limit={limit}&contains={}", encoded(contains)),
        ),
    }
}

fn text(command: &TxCommand, answer: &Value) -> String {
    match command {
        TxCommand::List { .. } => transactions(answer),
        TxCommand::Show { .. } => show(answer),
        TxCommand::Locks { .. } => locks(answer),
        TxCommand::Retry(_)
        | TxCommand::Commit { .. }
        | TxCommand::Rollback { .. }
        | TxCommand::Stop(_)
        | TxCommand::Forget(_)
        | TxCommand::Unlock { .. } => format!("{}\n", cell(&answer["status"])),
    }
}

/// `12.3 s` or `4 min`.
fn span(ms: &Value) -> String {
    match ms.as_f64() {
        Some(ms) if ms < 120_000.0 => format!("{:.1} s", ms / 1e3),
        Some(ms) => format!("{:.0} min", ms / 60e3),
        None => "-".to_owned(),
    }
}

fn transactions(answer: &Value) -> String {
    let columns = ["xid", "name", "application", "status"];
    let rows: Vec<Vec<String>> = list(&answer["transactions"])
        .iter()
        .map(|one| {
            let mut row = cells(one, &columns);
            row.push(span(&one["age_ms"]));
            row.extend(cells(one, &["branches", "tries", "trouble"]));
            row
        })
        .collect();
    if rows.is_empty() {
        return "no transactions\n".into();
    }
    let heading = [
        "XID",
        "NAME",
        "APPLICATION",
        "STATUS",
        "AGE",
        "BRANCHES",
        "TRIES",
        "TROUBLE",
    ];
    let mut out = table(&heading, &rows);
    if answer["more"] == true {
        out += "there are more: --limit, --status or --contains\n";
    }
    out
}

fn show(answer: &Value) -> String {
    let mut out = String::new();
    for (what, key) in [
        ("xid", "xid"),
        ("name", "name"),
        ("application", "application"),
        ("group", "group"),
        ("status", "status"),
        ("tries", "tries"),
        ("trouble", "trouble"),
    ] {
        out += &format!("{what:12} {}\n", cell(&answer[key]));
    }
    let age = match answer["ended_ms"].is_null() {
        true => "age",
        false => "lasted",
    };
    out += &format!("{age:12} {}\n", span(&answer["age_ms"]));
    let columns = [
        "id", "type", "status", "resource", "client", "lock_key", "data",
    ];
    let branches = list(&answer["branches"]);
    let rows: Vec<Vec<String>> = branches.iter().map(|one| cells(one, &columns)).collect();
    if !rows.is_empty() {
        let heading = [
            "BRANCH", "TYPE", "STATUS", "RESOURCE", "CLIENT", "ROWS", "DATA",
        ];
        out += &table(&heading, &rows);
    }
    out
}

fn locks(answer: &Value) -> String {
    let columns = ["resource", "row", "xid", "branch"];
    let locks = list(&answer["locks"]);
    let rows: Vec<Vec<String>> = locks.iter().map(|one| cells(one, &columns)).collect();
    if rows.is_empty() {
        return "no locks\n".into();
    }
    let mut out = table(&["RESOURCE", "ROW", "XID", "BRANCH"], &rows);
    if answer["more"] == true {
        out += "there are more: --limit or --contains\n";
    }
    out
}
