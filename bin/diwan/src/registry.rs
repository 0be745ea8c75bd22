//! `diwan registry`: what an operator sees of the service registry and does with it, through a node's administration.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use crate::operator::{self, Node, cell, cells, encoded, list};
use crate::table::table;

pub(crate) const HELP: &str = "\
Examples:
  diwan registry services --contains com.x                 what is published, and how many subscribe to it
  diwan registry instances com.x.Hello:1.0                 who publishes it: address, cell, node
  diwan registry subscribers com.x.Hello:1.0               who wants to know it, at all nodes
  diwan registry push-history com.x.Hello:1.0              the last versions: to how many, how many acknowledged, how long
  diwan registry nodes                                     whether nodes know the same, and how far each is behind
  diwan registry diff 10.0.0.1:8701 10.0.0.2:8701          what two nodes do not show alike
  diwan registry switch close                              no pushes any more, anywhere, until `switch open`
  diwan registry offline 10.0.0.7                          what the client at 10.0.0.7 publishes is shown no more
  diwan registry keys add shop < secret                    clients must sign what they register, with this key or another one
  diwan registry guard list                                instances that the shrink guard holds back
  diwan registry guard release com.x.Hello:1.0             let them go
  diwan registry services --json | jq .services

SERVICE is dataId#@#instanceId#@#group, or the dataId alone where that is clear; SOFARPC's @DEFAULT may be left out.

Exit codes: 0 done, 1 refused or not answered, 2 command line; of `diff`: 1 if the nodes differ.";

#[derive(Args)]
pub(crate) struct RegistryArguments {
    #[command(flatten)]
    node: Node,
    /// Wait for the answer for so long
    #[arg(long, default_value_t = 10_000, global = true)]
    timeout_ms: u64,
    #[command(subcommand)]
    command: RegistryCommand,
}

#[derive(Subcommand)]
enum RegistryCommand {
    /// List services
    Services {
        /// Only those whose names contain this
        #[arg(long, default_value = "")]
        contains: String,
        /// At most so many
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Who publishes a service
    Instances { service: String },
    /// Who wants to know a service
    Subscribers { service: String },
    /// What was pushed of a service lately
    PushHistory { service: String },
    /// The nodes, what each has, and whether they know the same
    Nodes,
    /// What two nodes do not show alike
    Diff { one: String, other: String },
    /// Stop all pushes, let them go again, or ask which it is
    Switch { position: Position },
    /// What clients at an address publish is shown no more, until `online`; without an address: list them
    Offline { ip: Option<IpAddr> },
    /// Clients at an address publish again
    Online { ip: IpAddr },
    /// Keys with which clients sign what they register
    #[command(subcommand)]
    Keys(Keys),
    /// Instances that vanished in large numbers and are held back
    #[command(subcommand)]
    Guard(Guard),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Position {
    /// Pushes go out
    Open,
    /// Nothing is pushed; everything else goes on
    Close,
    /// Which it is
    Status,
}

#[derive(Subcommand)]
enum Keys {
    /// List their names
    List,
    /// Add one, or change its secret, which is read from standard input; with the first one, clients must sign
    Add { key: String },
    /// Remove one: whoever signs with it is refused; after the last one nobody has to sign
    Remove { key: String },
}

#[derive(Subcommand)]
enum Guard {
    /// List the services
    List,
    /// Let go of what is held back of a service, at all nodes
    Release { service: String },
}

pub(crate) fn run(arguments: &RegistryArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let (method, path) = request(&arguments.command);
    let path = format!("/registry/v1/{path}");
    let timeout = Duration::from_millis(arguments.timeout_ms);
    let text = |answer: &Value| text(&arguments.command, answer);
    let body = match &arguments.command {
        RegistryCommand::Keys(Keys::Add { key }) => {
            let secret = std::io::read_to_string(std::io::stdin())?;
            json!({ "key": key, "secret": secret.trim() }).to_string()
        }
        _ => String::new(),
    };
    let answer = operator::ask(&arguments.node, timeout, method, &path, body, text)?;
    let differ = matches!(arguments.command, RegistryCommand::Diff { .. })
        && !list(&answer["slots"]).is_empty();
    Ok(match differ {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn request(command: &RegistryCommand) -> (Method, String) {
    let get = |path: String| (Method::GET, path);
    let of = |what: &str, service: &str| format!("{what}?service={}", encoded(service));
    match command {
        RegistryCommand::Services { contains, limit } => get(format!(
            "services?limit={limit}&contains={}",
            encoded(contains)
        )),
        RegistryCommand::Instances { service } => get(of("instances", service)),
        RegistryCommand::Subscribers { service } => get(of("subscribers", service)),
        RegistryCommand::PushHistory { service } => get(of("push-history", service)),
        RegistryCommand::Nodes => get("nodes".into()),
        RegistryCommand::Diff { one, other } => get(format!(
            "diff?one={}&other={}",
            encoded(one),
            encoded(other)
        )),
        RegistryCommand::Switch { position } => match position {
            Position::Open => (Method::POST, "switch?push=open".into()),
            Position::Close => (Method::POST, "switch?push=close".into()),
            Position::Status => get("switch".into()),
        },
        RegistryCommand::Offline { ip: None } => get("offline".into()),
        RegistryCommand::Offline { ip: Some(ip) } => (Method::POST, format!("offline?ip={ip}")),
        RegistryCommand::Online { ip } => (Method::POST, format!("online?ip={ip}")),
        RegistryCommand::Keys(Keys::List) => get("keys".into()),
        RegistryCommand::Keys(Keys::Add { .. }) => (Method::POST, "keys".into()),
        RegistryCommand::Keys(Keys::Remove { key }) => {
            (Method::DELETE, format!("keys?key={}", encoded(key)))
        }
        RegistryCommand::Guard(Guard::List) => get("guard".into()),
        RegistryCommand::Guard(Guard::Release { service }) => {
            (Method::POST, of("guard/release", service))
        }
    }
}

fn text(command: &RegistryCommand, answer: &Value) -> String {
    match command {
        RegistryCommand::Services { .. } => services(answer),
        RegistryCommand::Instances { .. } => instances(answer),
        RegistryCommand::Subscribers { .. } => subscribers(answer),
        RegistryCommand::PushHistory { .. } => push_history(answer),
        RegistryCommand::Nodes => nodes(answer),
        RegistryCommand::Diff { .. } => diff(answer),
        RegistryCommand::Switch { .. } => switch(answer),
        RegistryCommand::Offline { .. } | RegistryCommand::Online { .. } => offline(answer),
        RegistryCommand::Keys(Keys::List) => keys(answer),
        RegistryCommand::Keys(Keys::Add { key }) => format!("{key} is known\n"),
        RegistryCommand::Keys(Keys::Remove { key }) => format!("{key} is not known any more\n"),
        RegistryCommand::Guard(Guard::List) => guarded(answer),
        RegistryCommand::Guard(Guard::Release { .. }) => released(answer),
    }
}

/// The default tenant is on nearly every service: it is left out.
fn short(service: &Value) -> String {
    let name = cell(service);
    let mut parts = name.splitn(3, "#@#");
    match (parts.next(), parts.next(), parts.next()) {
        (Some(data_id), Some("DEFAULT_INSTANCE_ID"), Some(group)) => format!("{data_id} {group}"),
        _ => name,
    }
}

fn services(answer: &Value) -> String {
    let columns = [
        "instances",
        "subscribers",
        "watchers",
        "held",
        "slot",
        "version",
    ];
    let rows: Vec<Vec<String>> = list(&answer["services"])
        .iter()
        .map(|one| {
            let mut row = vec![short(&one["service"])];
            row.extend(cells(one, &columns));
            row
        })
        .collect();
    if rows.is_empty() {
        return "no services\n".into();
    }
    let heading = [
        "SERVICE",
        "INSTANCES",
        "SUBSCRIBERS HERE",
        "WATCHERS HERE",
        "HELD",
        "SLOT",
        "VERSION",
    ];
    let mut out = table(&heading, &rows);
    if answer["more"] == true {
        out += "there are more: --limit or --contains\n";
    }
    out
}

fn instances(answer: &Value) -> String {
    let columns = ["node", "address", "cell", "state", "version", "regist_id"];
    let rows: Vec<Vec<String>> = list(&answer["instances"])
        .iter()
        .map(|one| {
            let data: Vec<String> = list(&one["data"]).iter().map(cell).collect();
            let mut row = vec![data.join(" ")];
            row.extend(cells(one, &columns));
            row
        })
        .collect();
    if rows.is_empty() {
        return format!("{} has no instances\n", short(&answer["service"]));
    }
    let heading = [
        "DATA",
        "NODE",
        "CLIENT",
        "CELL",
        "STATE",
        "VERSION",
        "REGISTRATION",
    ];
    table(&heading, &rows)
}

/// What each node says, as rows that begin with its name; and what went wrong.
fn by_node(nodes: &Value, row: impl Fn(&Value) -> Vec<String>) -> (Vec<Vec<String>>, String) {
    let (mut rows, mut troubles) = (Vec::new(), String::new());
    for (node, said) in nodes.as_object().into_iter().flatten() {
        if let Some(why) = said["error"].as_str() {
            let _ = writeln!(troubles, "{node} did not answer: {why}");
        }
        for one in list(said) {
            let mut cells = vec![node.clone()];
            cells.extend(row(one));
            rows.push(cells);
        }
    }
    (rows, troubles)
}

fn subscribers(answer: &Value) -> String {
    let columns = ["address", "cell", "scope", "state", "regist_id"];
    let (rows, troubles) = by_node(&answer["nodes"], |one| cells(one, &columns));
    if rows.is_empty() {
        return format!(
            "{} has no subscribers\n{troubles}",
            short(&answer["service"])
        );
    }
    let heading = ["NODE", "CLIENT", "CELL", "SCOPE", "NEWEST", "REGISTRATION"];
    table(&heading, &rows) + &troubles
}

fn push_history(answer: &Value) -> String {
    let (rows, troubles) = by_node(&answer["nodes"], |one| {
        let mut row = cells(one, &["version"]);
        row.push(clock(one["unix_ms"].as_u64().unwrap_or(0)));
        row.extend(cells(
            one,
            &["receivers", "acknowledged", "acknowledged_ms"],
        ));
        row
    });
    if rows.is_empty() {
        return format!(
            "nothing of {} was pushed lately\n{troubles}",
            short(&answer["service"])
        );
    }
    let heading = [
        "NODE",
        "VERSION",
        "AT (UTC)",
        "RECEIVERS",
        "ACKNOWLEDGED",
        "ALL AFTER MS",
    ];
    table(&heading, &rows) + &troubles
}

/// The time of day.
fn clock(unix_ms: u64) -> String {
    let (seconds, millis) = (unix_ms / 1_000 % 86_400, unix_ms % 1_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{millis:03}", seconds % 60)
}

fn nodes(answer: &Value) -> String {
    let columns = [
        "serving",
        "connections",
        "publishers",
        "subscribers",
        "services",
        "instances",
        "held",
        "slow_clients",
        "pushes",
        "retries",
    ];
    let mut rows = Vec::new();
    let mut ways = Vec::new();
    let mut troubles = String::new();
    for (node, said) in answer["nodes"].as_object().into_iter().flatten() {
        if let Some(why) = said["error"].as_str() {
            let _ = writeln!(troubles, "{node} did not answer: {why}");
            continue;
        }
        let mut row = vec![node.clone()];
        row.extend(cells(said, &columns));
        rows.push(row);
        for other in list(&said["nodes"]) {
            let mut row = vec![node.clone()];
            row.extend(cells(
                other,
                &["node", "serving", "synced", "behind", "ahead_ms"],
            ));
            ways.push(row);
        }
    }
    let heading = [
        "NODE",
        "SERVING",
        "CLIENTS",
        "PUBLISHERS",
        "SUBSCRIBERS",
        "SERVICES",
        "INSTANCES",
        "HELD",
        "SLOW",
        "PUSHES",
        "RETRIES",
    ];
    let mut out = table(&heading, &rows);
    if !ways.is_empty() {
        let heading = [
            "NODE",
            "SEES",
            "SERVING",
            "SYNCED",
            "BEHIND",
            "CLOCK AHEAD MS",
        ];
        out.push('\n');
        out += &table(&heading, &ways);
    }
    out + &troubles
}

fn diff(answer: &Value) -> String {
    let rows: Vec<Vec<String>> = list(&answer["differences"])
        .iter()
        .map(|one| {
            vec![
                short(&one["service"]),
                cell(&one["regist_id"]),
                cell(&one["difference"]),
            ]
        })
        .collect();
    match (list(&answer["slots"]).len(), rows.is_empty()) {
        (0, _) => "no difference\n".into(),
        (slots, true) => format!(
            "{slots} of 256 slots differ in what is not shown to clients, or did a moment ago\n"
        ),
        (slots, false) => {
            table(&["SERVICE", "REGISTRATION", "DIFFERENCE"], &rows)
                + &format!(
                    "\n{slots} of 256 slots differ; what changes just now differs for a moment\n"
                )
        }
    }
}

fn switch(answer: &Value) -> String {
    let open_to: Vec<String> = list(&answer["open_to"]).iter().map(cell).collect();
    match (answer["push"] == "open", open_to.is_empty()) {
        (true, _) => "open: pushes go out\n".into(),
        (false, true) => "closed: nothing is pushed\n".into(),
        (false, false) => format!("closed: pushes go to {} only\n", open_to.join(", ")),
    }
}

fn offline(answer: &Value) -> String {
    let ips: Vec<String> = list(&answer["offline"]).iter().map(cell).collect();
    match ips.is_empty() {
        true => "no clients are offline\n".into(),
        false => format!("offline: {}\n", ips.join(", ")),
    }
}

fn keys(answer: &Value) -> String {
    let keys = list(&answer["keys"]);
    match keys.is_empty() {
        true => "no access keys in the log\n".into(),
        false => keys.iter().map(|key| cell(key) + "\n").collect(),
    }
}

fn guarded(answer: &Value) -> String {
    let (rows, troubles) = by_node(&answer["nodes"], |one| {
        let mut row = vec![short(&one["service"])];
        row.extend(cells(one, &["held", "instances", "guard_ms"]));
        row
    });
    if rows.is_empty() {
        return format!("nothing is held back\n{troubles}");
    }
    let heading = ["NODE", "SERVICE", "HELD", "INSTANCES", "LETS GO IN MS"];
    table(&heading, &rows) + &troubles
}

fn released(answer: &Value) -> String {
    let mut out = String::new();
    for (node, said) in answer["released"].as_object().into_iter().flatten() {
        let says = match (said.as_bool(), said["error"].as_str()) {
            (Some(true), _) => "let go",
            (Some(false), _) => "held nothing",
            (None, why) => why.unwrap_or("did not answer"),
        };
        let _ = writeln!(out, "{node}: {says}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_fit_into_urls() {
        let command = RegistryCommand::Instances {
            service: "com.x.S:1.0@DEFAULT#@#T#@#SOFA".into(),
        };
        let path = "instances?service=com.x.S%3A1.0%40DEFAULT%23%40%23T%23%40%23SOFA";
        assert_eq!(request(&command), (Method::GET, path.to_owned()));
    }

    #[test]
    fn answers_are_tables() {
        let answer = json!({ "service": "s#@#DEFAULT_INSTANCE_ID#@#g", "nodes": {
            "n1": [{ "version": 7, "unix_ms": 86_399_123, "receivers": 3, "acknowledged": 3, "acknowledged_ms": 12 }],
            "n2": { "error": "no answer" },
        }});
        assert_eq!(
            push_history(&answer),
            "NODE  VERSION  AT (UTC)      RECEIVERS  ACKNOWLEDGED  ALL AFTER MS\n\
             n1          7  23:59:59.123          3             3            12\n\
             n2 did not answer: no answer\n"
        );
        let closed = json!({ "push": "closed", "open_to": ["10.0.0.1"] });
        assert_eq!(switch(&closed), "closed: pushes go to 10.0.0.1 only\n");
        let same = json!({ "slots": [], "differences": [] });
        assert_eq!(diff(&same), "no difference\n");
    }
}
