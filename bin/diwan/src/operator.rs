//! What the commands share that ask a node: where it is, how its answer is printed, and the cells of its tables.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde_json::Value;

use crate::raft::http;

/// Which node is asked, and how its answer is printed.
#[derive(Args)]
pub(crate) struct Node {
    /// Administration of a node on this machine
    #[arg(
        long,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:8790",
        global = true
    )]
    admin: SocketAddr,
    /// Print the node's answer as it is, in JSON
    #[arg(long, global = true)]
    json: bool,
}

/// Asks a node, prints what it says, as `text` or as it is, and returns it.
pub(crate) fn ask(
    node: &Node,
    timeout: Duration,
    method: Method,
    path: &str,
    body: String,
    text: impl FnOnce(&Value) -> String,
) -> Result<Value, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(http::send(method, node.admin, path, body, timeout))?;
    match node.json {
        true => println!("{}", serde_json::to_string_pretty(&answer)?),
        false => print!("{}", text(&answer)),
    }
    Ok(answer)
}

/// What may have a meaning in a URL: all but these.
const MEANING: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(crate) fn encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, &MEANING)
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    }
}

pub(crate) fn cells(value: &Value, columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| cell(&value[*column])).collect()
}
