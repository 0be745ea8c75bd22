//! Sagas at a node, as an operator sees them and decides about them.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::read;
use crate::operator::{self, Node, cell, cells, encoded, list};
use crate::table::table;

/// Which node, and how it is answered.
#[derive(Args)]
pub(super) struct At {
    #[command(flatten)]
    node: Node,
    /// Wait for the answer for so long
    #[arg(long, default_value_t = 30_000)]
    timeout_ms: u64,
}

#[derive(Args)]
pub(super) struct ListArguments {
    /// Only those that did not end well: they are tried again, or wait for a decision
    #[arg(long)]
    stuck: bool,
    /// Only those that are on their way
    #[arg(long)]
    running: bool,
    /// Those that have ended, from the archive of this node
    #[arg(long, conflicts_with_all = ["stuck", "running"])]
    ended: bool,
    /// Only those whose id, machine or business key contains this
    #[arg(long, default_value = "")]
    contains: String,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub(super) struct OneArguments {
    /// The saga's id
    id: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub(super) struct DefineArguments {
    /// The machine, in Seata's state language
    file: String,
    /// Whose it is
    #[arg(long, default_value = "")]
    tenant: String,
    #[command(flatten)]
    at: At,
}

type Done = Result<ExitCode, Box<dyn std::error::Error>>;

/// Asks a node, and prints what it says.
fn ask(at: &At, method: Method, path: &str, body: String, text: fn(&Value) -> String) -> Done {
    let path = format!("/saga/v1/{path}");
    let timeout = Duration::from_millis(at.timeout_ms);
    operator::ask(&at.node, timeout, method, &path, body, text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run_list(arguments: &ListArguments) -> Done {
    let path = format!(
        "sagas?stuck={}&running={}&ended={}&limit={}&contains={}",
        arguments.stuck,
        arguments.running,
        arguments.ended,
        arguments.limit,
        encoded(&arguments.contains)
    );
    ask(&arguments.at, Method::GET, &path, String::new(), sagas)
}

pub(super) fn run_show(arguments: &OneArguments) -> Done {
    let path = format!("sagas/{}", encoded(&arguments.id));
    ask(&arguments.at, Method::GET, &path, String::new(), show)
}

pub(super) fn run_decision(arguments: &OneArguments, decision: &str) -> Done {
    let path = format!("sagas/{}/{decision}", encoded(&arguments.id));
    let done = |answer: &Value| format!("{}: done\n", cell(&answer["id"]));
    ask(&arguments.at, Method::POST, &path, String::new(), done)
}

pub(super) fn run_define(arguments: &DefineArguments) -> Done {
    let text = read(&arguments.file)?;
    let path = format!("machines?tenant={}", encoded(&arguments.tenant));
    ask(&arguments.at, Method::POST, &path, text, |_| {
        "defined\n".to_owned()
    })
}

pub(super) fn run_machines(at: &At) -> Done {
    ask(at, Method::GET, "machines", String::new(), |answer| {
        let columns = ["name", "tenant", "version", "states"];
        let machines = list(&answer["machines"]);
        let rows: Vec<Vec<String>> = machines.iter().map(|one| cells(one, &columns)).collect();
        match rows.is_empty() {
            true => "no machines\n".to_owned(),
            false => table(&["MACHINE", "TENANT", "VERSION", "STATES"], &rows),
        }
    })
}

/// `SU`, or `UN, compensated SU`.
fn status(one: &Value) -> String {
    match one["compensation_status"].as_str() {
        Some(compensation) => format!("{}, compensated {compensation}", cell(&one["status"])),
        None => cell(&one["status"]),
    }
}

fn sagas(answer: &Value) -> String {
    let rows: Vec<Vec<String>> = list(&answer["sagas"])
        .iter()
        .map(|one| {
            let mut row = cells(one, &["id", "machine"]);
            row.push(status(one));
            row.extend(cells(one, &["states", "tries", "trouble"]));
            row
        })
        .collect();
    if rows.is_empty() {
        return "no sagas\n".into();
    }
    let heading = ["SAGA", "MACHINE", "STATUS", "STATES", "TRIES", "TROUBLE"];
    let mut out = table(&heading, &rows);
    if answer["more"] == true {
        out += "there are more: --limit or --contains\n";
    }
    out
}

fn show(answer: &Value) -> String {
    let mut out = String::new();
    for key in ["id", "machine", "business_key", "tries", "trouble"] {
        out += &format!("{key:13} {}\n", cell(&answer[key]));
    }
    out += &format!(
        "{:13} {}\n{:13} {}\n",
        "status",
        status(answer),
        "variables",
        answer["variables"]
    );
    let rows: Vec<Vec<String>> = list(&answer["history"])
        .iter()
        .map(|one| {
            let mut row = cells(one, &["id", "state"]);
            row.push(status(one));
            let took = one["ended_ms"].as_u64().zip(one["started_ms"].as_u64());
            row.push(took.map_or("-".to_owned(), |(end, start)| {
                end.saturating_sub(start).to_string()
            }));
            row.push(one["input"].to_string());
            row.push(match one["exception"]["message"].as_str() {
                Some(message) => message.to_owned(),
                None => cell(&one["output"]),
            });
            row
        })
        .collect();
    if !rows.is_empty() {
        out += &table(
            &[
                "STATE",
                "NAME",
                "STATUS",
                "MS",
                "INPUT",
                "OUTPUT OR EXCEPTION",
            ],
            &rows,
        );
    }
    out
}
