//! The service registry as operators and applications without a registry client see it: real nodes, HTTP and the command line.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use diwan_registry_wire::{BaseRegister, Codec, PublisherRegister, Request};
use serde_json::{Value, json};
use support::{Node, diwan, free_address, said};

const PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "com.x.Hello:1.0@DEFAULT#@#DEFAULT_INSTANCE_ID#@#SOFA";

struct Registry {
    node: Node,
    listen: String,
    session: String,
    meta: String,
    mosn: String,
}

impl Registry {
    fn start(root: &Path, id: &str, peers: &[&str]) -> Self {
        let [listen, session, meta, mosn] = std::array::from_fn(|_| free_address());
        let config = root.join(format!("{id}.toml"));
        let text = format!(
            "[registry]\nenabled = true\nlisten = \"{listen}\"\nsession_http = \"{session}\"\nmeta_http = \"{meta}\"\nmosn = \"{mosn}\"\n[tx]\nenabled = false\n[saga]\nenabled = false\n"
        );
        fs::write(&config, text).unwrap();
        let mut more = vec!["--config", config.to_str().unwrap()];
        more.extend(peers);
        Self {
            node: Node::start(root, id, &more),
            listen,
            session,
            meta,
            mosn,
        }
    }

    /// Exit code, standard output, standard error of `diwan registry`.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = diwan();
        command.arg("registry").args(arguments);
        command.args(["--admin", &self.node.admin]);
        said(command.output().unwrap())
    }

    /// The same with something on standard input.
    fn run_with(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = diwan();
        command.arg("registry").args(arguments);
        command.args(["--admin", &self.node.admin]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        said(child.wait_with_output().unwrap())
    }

    fn text(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out} {err}");
        out
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn publish(&self, port: u16) {
        let provider = json!({ "serviceName": "com.x.Hello:1.0", "port": port.to_string(),
            "providerMetaInfo": { "protocol": "1", "version": "4.0", "serializeType": "protobuf", "appName": "app" } });
        let said = ask(
            &self.mosn,
            "POST /services/publish",
            JSON,
            &provider.to_string(),
        );
        assert_eq!(said.1, r#"{"success":true,"errorMessage":""}"#);
    }

    /// A client of the protocol, with so many instances; it is connected as long as what is returned lives.
    fn connect(&self, instances: usize) -> TcpStream {
        let mut stream = TcpStream::connect(&self.listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for number in 0..instances {
            let publisher = Request::PublisherRegister(PublisherRegister {
                data_list: Some(Vec::new()),
                base: BaseRegister {
                    data_id: Some("many".into()),
                    regist_id: Some(format!("instance-{number}")),
                    version: Some(1),
                    ..BaseRegister::default()
                },
            });
            let class = publisher.class(Codec::Protobuf);
            let mut content = Vec::new();
            publisher.encode(Codec::Protobuf, &mut content);
            // Bolt v1, a request, 3 s, no header.
            let mut frame = vec![1, 1, 0, 1, 1];
            frame.extend(u32::try_from(number).unwrap().to_be_bytes());
            frame.push(Codec::Protobuf.byte());
            frame.extend(3_000_u32.to_be_bytes());
            frame.extend(u16::try_from(class.len()).unwrap().to_be_bytes());
            frame.extend([0; 2]);
            frame.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
            frame.extend(class.as_bytes());
            frame.extend(content);
            stream.write_all(&frame).unwrap();
            let mut answer = [0; 20];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[10..12], [0, 0], "{answer:?}");
            let length = |at: usize| usize::from(answer[at]) << 8 | usize::from(answer[at + 1]);
            let mut rest = vec![0; length(12) + length(14) + length(18)];
            stream.read_exact(&mut rest).unwrap();
        }
        stream
    }

    fn subscribe(&self) -> Value {
        let said = ask(
            &self.mosn,
            "POST /services/subscribe",
            JSON,
            r#"{"serviceName":"com.x.Hello:1.0"}"#,
        );
        serde_json::from_str(&said.1).unwrap()
    }
}

const JSON: &str = "Content-Type: application/json\r\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn try_ask(addr: &str, request: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {addr}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn ask(addr: &str, request: &str, headers: &str, body: &str) -> (u16, String) {
    try_ask(addr, request, headers, body).unwrap()
}

fn get(addr: &str, path: &str) -> Value {
    let (code, body) = ask(addr, &format!("GET {path}"), "", "");
    assert_eq!(code, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or(Value::String(body))
}

fn until<T: std::fmt::Debug>(ask: impl Fn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let began = Instant::now();
    loop {
        let said = ask();
        if wanted(&said) {
            return said;
        }
        assert!(began.elapsed() < PATIENCE, "{said:?}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// `#` ends a URL.
fn encoded() -> String {
    NAME.replace('#', "%23")
}

#[test]
fn one_node_is_asked_and_operated() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::start(root.path(), &free_address(), &[]);
    registry.node.until_ready();
    until(
        || try_ask(&registry.session, "GET /health/check", "", ""),
        |said| said.as_ref().is_some_and(|(code, _)| *code == 200),
    );
    until(
        || registry.json(&["nodes"]),
        |said| {
            said["nodes"]
                .as_object()
                .unwrap()
                .values()
                .all(|node| node["serving"] == true)
        },
    );
    assert_eq!(registry.text(&["services"]), "no services\n");
    let application = ask(
        &registry.mosn,
        "POST /configs/application",
        JSON,
        r#"{"appName":"app"}"#,
    );
    assert_eq!(application.0, 200);
    registry.publish(12200);
    let subscribed = registry.subscribe();
    let url = "127.0.0.1:12200?p=1&v=4.0&_SERIALIZETYPE=protobuf&app_name=app";
    assert_eq!(subscribed["datas"], json!([url]), "{subscribed}");

    // What there is.
    let services = registry.text(&["services", "--contains", "Hello"]);
    assert!(
        services.contains("com.x.Hello:1.0@DEFAULT SOFA"),
        "{services}"
    );
    let instances = registry.text(&["instances", "com.x.Hello:1.0"]);
    assert!(
        instances.contains(url) && instances.contains("connected"),
        "{instances}"
    );
    let subscribers = registry.text(&["subscribers", NAME]);
    assert!(subscribers.contains("global"), "{subscribers}");
    let history = until(
        || registry.json(&["push-history", "com.x.Hello:1.0"]),
        |history| history["nodes"][&registry.node.id][0]["acknowledged"] == 1,
    );
    assert!(history["nodes"][&registry.node.id][0]["acknowledged_ms"].is_u64());
    let (code, _, err) = registry.run(&["instances", "com.x.Nobody"]);
    assert!(
        code == 1 && err.contains("there is no service com.x.Nobody"),
        "{err}"
    );

    // The original's questions.
    let (session, meta) = (&registry.session, &registry.meta);
    let publishers = get(
        session,
        &format!("/digest/pub/data/query?dataInfoId={}", encoded()),
    );
    assert_eq!(publishers["PUB"][0]["dataInfoId"], NAME);
    assert_eq!(publishers.as_object().unwrap().len(), 1);
    let all = get(
        session,
        &format!("/digest/sub/data/query?dataInfoId={}", encoded()),
    );
    assert_eq!(all["SUB"][0]["scope"], "global");
    assert_eq!(
        get(session, "/digest/data/count"),
        "Subscriber count: 1, Publisher count: 1, Watcher count: 0"
    );
    assert_eq!(get(session, "/digest/getDataInfoIdList"), json!([NAME]));
    assert_eq!(get(session, "/digest/pushSwitch")["pushSwitch"], "open");
    let found = get(
        session,
        &format!("/digest/data/queryPublisher?dataInfoId={}", encoded()),
    );
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    let slots = get(meta, "/openapi/v1/slot/table");
    assert_eq!(slots["data"]["slots"].as_array().unwrap().len(), 256);
    let summary = get(meta, "/datum/api/summary/query");
    assert_eq!(summary[NAME], 1);
    let datum = ask(
        meta,
        "POST /datum/api/get",
        JSON,
        &json!({ "dataInfoId": NAME }).to_string(),
    );
    assert!(datum.1.contains("12200"), "{datum:?}");

    // Pushes stop and go on; browsers do not stop them.
    assert_eq!(get(meta, "/stopPushDataSwitch/open")["success"], true);
    until(
        || get(session, "/digest/pushSwitch"),
        |said| said["pushSwitch"] == "closed",
    );
    let said = ask(
        meta,
        "POST /stopPushDataSwitch/grayOpen",
        JSON,
        r#"{"ips":["10.0.0.1"]}"#,
    );
    assert_eq!(said.0, 200);
    until(
        || registry.text(&["switch", "status"]),
        |said| said == "closed: pushes go to 10.0.0.1 only\n",
    );
    let browser = "Origin: http://x.example\r\n";
    assert_eq!(
        ask(meta, "GET /stopPushDataSwitch/close", browser, "").0,
        403
    );
    assert_eq!(registry.text(&["switch", "open"]), "open: pushes go out\n");
    until(
        || registry.text(&["switch", "status"]),
        |said| said == "open: pushes go out\n",
    );

    // Lists of addresses.
    let bad = ask(
        meta,
        "POST /blacklist/update",
        JSON,
        r#"{"FORBIDDEN_PUB":{"IP":["x"]}}"#,
    );
    assert_eq!(bad.0, 400);
    let good = r#"{"FORBIDDEN_PUB":{"IP_FULL":["1.1.1.1"]}}"#;
    assert_eq!(ask(meta, "POST /blacklist/update", JSON, good).0, 200);
    for path in [
        "clientOff",
        "clientOpen",
        "zone/clientOff",
        "zone/clientOpen",
    ] {
        let path = format!("POST /api/clientManager/{path}");
        assert_eq!(ask(session, &path, FORM, "ips=1.1.1.1;2.2.2.2").0, 200);
        assert_eq!(ask(session, &path, FORM, "ips=x").0, 400);
    }
    assert_eq!(
        registry.text(&["offline", "10.0.0.7"]),
        "offline: 10.0.0.7\n"
    );
    let off = get(meta, "/api/clientManager/query");
    assert_eq!(off["data"]["clientOffAddress"]["10.0.0.7"]["pub"], true);
    assert_eq!(
        ask(meta, "POST /api/clientManager/reduce", FORM, "ips=10.0.0.7").0,
        200
    );
    until(
        || registry.text(&["offline"]),
        |said| said == "no clients are offline\n",
    );
    for path in ["clientOff", "clientOpen", "reduce"] {
        let path = format!("POST /api/clientManager/persistence/{path}");
        let said = ask(session, &path, FORM, "ips=10.0.0.9");
        assert_eq!(said.0, 200);
        let said: Value = serde_json::from_str(&said.1).unwrap();
        let check = format!(
            "/api/clientManager/persistence/checkVersion?version={}",
            said["data"]
        );
        until(|| get(session, &check), |said| said["success"] == true);
    }
    let service = "dataId=com.x.Other&group=SOFA&instanceId=";
    for (path, listed) in [
        ("add", json!(["com.x.Other#@#DEFAULT_INSTANCE_ID#@#SOFA"])),
        ("delete", json!([])),
    ] {
        let path = format!("POST /datainfoid/blacklist/{path}");
        assert_eq!(ask(meta, &path, FORM, service).0, 200);
        until(
            || get(meta, "/datainfoid/blacklist/query"),
            |said| said["data"] == listed,
        );
    }
    assert_eq!(registry.text(&["guard", "list"]), "nothing is held back\n");
    let (_, metrics) = registry.node.http("GET /metrics", "");
    for line in [
        "diwan_registry_publishers 1",
        "diwan_registry_pushes_stopped 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }

    // What was published ends.
    let wanted = r#"{"serviceName":"com.x.Hello:1.0"}"#;
    assert_eq!(
        ask(&registry.mosn, "POST /services/unpublish", JSON, wanted).0,
        200
    );
    assert_eq!(registry.subscribe()["datas"], json!([]));
    assert_eq!(
        ask(&registry.mosn, "POST /services/unsubscribe", JSON, wanted).0,
        200
    );
    until(
        || registry.text(&["services"]),
        |said| said == "no services\n",
    );
}

#[test]
fn three_nodes_are_asked_together() {
    let root = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..3).map(|_| free_address()).collect();
    let peers = ids.join(",");
    let nodes: Vec<Registry> = ids
        .iter()
        .map(|id| Registry::start(root.path(), id, &["--peers", &peers]))
        .collect();
    nodes
        .iter()
        .for_each(|registry| registry.node.until_ready());
    let first = &nodes[0];
    until(
        || first.run(&["nodes", "--json"]).1,
        |said| {
            let said: Value = serde_json::from_str(said).unwrap_or_default();
            let nodes = said["nodes"]
                .as_object()
                .map(|nodes| nodes.values().cloned().collect());
            let nodes: Vec<Value> = nodes.unwrap_or_default();
            nodes.len() == 3 && nodes.iter().all(|node| node["serving"] == true)
        },
    );
    nodes[0].publish(1);
    nodes[1].publish(2);
    nodes[2].subscribe();
    until(
        || first.json(&["instances", "com.x.Hello:1.0"]),
        |said| said["instances"].as_array().unwrap().len() == 2,
    );
    let subscribers = first.json(&["subscribers", "com.x.Hello:1.0"]);
    assert_eq!(
        subscribers["nodes"][&ids[2]][0]["scope"], "global",
        "{subscribers}"
    );
    until(
        || first.run(&["diff", &ids[1], &ids[2]]),
        |(code, said, _)| *code == 0 && said == "no difference\n",
    );
    let (code, _, err) = first.run(&["diff", &ids[1], "10.0.0.9:1"]);
    assert!(
        code == 1 && err.contains("there is no node 10.0.0.9:1"),
        "{err}"
    );
    // Many vanish at the second node: it holds them, and lets go when the first one is told to.
    drop(nodes[1].connect(12));
    let held = until(
        || first.text(&["guard", "list"]),
        |said| said != "nothing is held back\n",
    );
    assert!(held.contains(&ids[1]) && !held.contains(&ids[2]), "{held}");
    assert!(held.contains("many DEFAULT_GROUP    12"), "{held}");
    let released = first.text(&["guard", "release", "many"]);
    assert!(
        released.contains(&format!("{}: let go", ids[1])),
        "{released}"
    );
    assert_eq!(released.matches("held nothing").count(), 2, "{released}");
    until(
        || nodes[2].text(&["instances", "many"]),
        |said| said == "many DEFAULT_GROUP has no instances\n",
    );
    let table = first.text(&["nodes"]);
    assert_eq!(table.matches(&ids[2]).count(), 5, "{table}");
    let stable = until(
        || get(&first.meta, "/openapi/v1/slot/table/status"),
        |said| said["data"]["slotTableStable"] == true,
    );
    assert_eq!(stable["data"]["nodes"].as_object().unwrap().len(), 3);
    // What one is told counts everywhere.
    first.text(&["switch", "close"]);
    for other in &nodes {
        until(
            || other.text(&["switch", "status"]),
            |said| said == "closed: nothing is pushed\n",
        );
    }
    first.text(&["offline", "10.0.0.7"]);
    nodes[1].text(&["offline", "10.0.0.8"]);
    until(
        || nodes[2].text(&["offline"]),
        |said| said == "offline: 10.0.0.7, 10.0.0.8\n",
    );
    let said = ask(
        &first.session,
        "POST /api/clientManager/zone/clientOff",
        FORM,
        "ips=10.0.0.1",
    );
    assert_eq!(said, (200, r#"{"success":true,"message":""}"#.to_owned()));
}

/// A key that one node is told counts at all of them, also for what was registered before, and no client is told it.
#[test]
fn access_keys_are_in_the_log() {
    let root = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..3).map(|_| free_address()).collect();
    let start = |id: &String| Registry::start(root.path(), id, &["--peers", &ids.join(",")]);
    let mut nodes: Vec<Registry> = ids.iter().map(start).collect();
    nodes
        .iter()
        .for_each(|registry| registry.node.until_ready());
    let mut other = nodes.remove(2);
    let first = &nodes[0];
    until(|| other.run(&["nodes"]).0, |code| *code == 0);
    let count =
        || other.json(&["services", "--contains", "many"])["services"][0]["instances"].as_u64();
    let before = other.connect(2);
    until(count, |instances| *instances == Some(2));

    let (code, _, err) = first.run_with(&["keys", "add", "shop"], "too short");
    assert!(code == 1 && err.contains("words without spaces"), "{err}");
    let (code, out, err) = first.run_with(&["keys", "add", "shop"], "0123456789abcdef\n");
    assert_eq!((code, out.as_str()), (0, "shop is known\n"), "{err}");
    until(|| other.text(&["keys", "list"]), |said| said == "shop\n");
    // Clients that did not sign have to come again, and are refused.
    until(count, |instances| {
        *instances == Some(0) || instances.is_none()
    });
    drop(before);
    let refused = other.connect(1);
    assert_eq!(count().unwrap_or(0), 0);
    let (_, metrics) = other.node.http("GET /metrics", "");
    assert!(
        metrics.contains("diwan_registry_refused_total 1"),
        "{metrics}"
    );
    drop(refused);

    let put =
        r#"{"dataId":"registry.access.keys","instanceId":"9600","group":"CONFIG","data":"{}"}"#;
    assert_eq!(
        ask(&first.meta, "POST /persistentData/put", JSON, put).0,
        403
    );
    assert_eq!(
        ask(&first.meta, "POST /persistentData/remove", JSON, put).0,
        403
    );
    let (code, _, err) = first.run(&["keys", "remove", "nobody"]);
    assert!(
        code == 1 && err.contains("there is no access key nobody"),
        "{err}"
    );
    other.node.kill();
    other.node.start_again();
    until(
        || other.run(&["keys", "list"]),
        |(code, said, _)| *code == 0 && said == "shop\n",
    );
    first.text(&["keys", "remove", "shop"]);
    until(
        || other.text(&["keys", "list"]),
        |said| said == "no access keys in the log\n",
    );
    let after = other.connect(3);
    until(
        || first.json(&["services", "--contains", "many"])["services"][0]["instances"].as_u64(),
        |instances| *instances == Some(3),
    );
    drop(after);
}

#[test]
fn what_was_stopped_is_stopped_after_a_restart_from_the_beginning() {
    let root = tempfile::tempdir().unwrap();
    let id = free_address();
    let start = || {
        let registry = Registry::start(root.path(), &id, &[]);
        // The first answer of all.
        until(
            || registry.run(&["switch", "status"]),
            |(code, ..)| *code == 0,
        );
        registry
    };
    let registry = start();
    registry.node.until_ready();
    registry.text(&["switch", "close"]);
    registry.text(&["offline", "10.0.0.7"]);
    registry.node.end("-KILL");
    let registry = start();
    assert_eq!(
        registry.text(&["switch", "status"]),
        "closed: nothing is pushed\n"
    );
    assert_eq!(registry.text(&["offline"]), "offline: 10.0.0.7\n");
}

/// A client that ends its side only is gone, whether it still reads or not; one that sends half a message and says no more is
/// nobody's provider, and disturbs nobody.
#[test]
fn half_closed_connections_are_ended_and_their_instances_go() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::start(root.path(), &free_address(), &[]);
    registry.node.until_ready();
    let count = || {
        let services = registry.json(&["services", "--contains", "many"]);
        services["services"]
            .as_array()
            .and_then(|services| services.first()?["instances"].as_u64())
            .unwrap_or(0)
    };
    let connect = || TcpStream::connect(&registry.listen).map_err(|error| error.kind());
    drop(until(connect, Result::is_ok).unwrap());
    let mut half = TcpStream::connect(&registry.listen).unwrap();
    half.write_all(&[1, 1, 0, 1, 1, 0, 0]).unwrap();
    let mut stream = registry.connect(3);
    assert_eq!(until(count, |instances| *instances == 3), 3);
    stream.shutdown(Shutdown::Write).unwrap();
    // It is told so by the end of the other side, and its instances go after the grace.
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    until(count, |instances| *instances == 0);
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(half.read_to_end(&mut Vec::new()).unwrap(), 0);
    let unread = registry.connect(2);
    until(count, |instances| *instances == 2);
    unread.shutdown(Shutdown::Read).unwrap();
    // It says nothing and may live: it is there.
    assert_eq!(count(), 2);
}
