//! Sagas at a real node: participants over SOFARPC, HTTP as applications and operators use it, a node that is killed on the way.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use diwan::Hessian;
use diwan::rpc::Server;
use serde_json::{Value, json};
use support::{Node, free_address, http};

const PATIENCE: Duration = Duration::from_secs(30);

/// What a step throws.
#[derive(Clone, Debug, PartialEq, Eq, Hessian)]
#[hessian(class = "com.x.StepException", throwable)]
pub struct StepException {
    #[hessian(message)]
    message: String,
}

impl fmt::Display for StepException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A participant that writes down what it is asked, and fails when it is told to.
#[diwan::service(interface = "com.x.Steps", version = "1.0")]
pub trait Steps {
    async fn step(&self, saga: String, name: String) -> Result<String, StepException>;
}

#[derive(Clone, Default)]
struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    asked: Vec<String>,
    /// How often a step fails yet.
    failures: BTreeMap<String, u32>,
    /// Steps that are slow.
    slow: BTreeMap<String, Duration>,
}

impl Book {
    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }
}

impl Steps for Book {
    async fn step(&self, saga: String, name: String) -> Result<String, StepException> {
        let pause = {
            let mut pages = self.0.lock().unwrap();
            pages.asked.push(format!("{saga} {name}"));
            if let Some(left) = pages.failures.get_mut(&name).filter(|left| **left > 0) {
                *left -= 1;
                let message = format!("{name} fails");
                return Err(StepException { message });
            }
            pages.slow.get(&name).copied()
        };
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        Ok(format!("{name} done"))
    }
}

struct World {
    node: Node,
    listen: String,
}

fn start(root: &Path) -> World {
    start_with(root, "")
}

fn start_with(root: &Path, settings: &str) -> World {
    let listen = free_address();
    let config = root.join("diwan.toml");
    let text = format!("[saga]\nlisten = \"{listen}\"\n{settings}");
    fs::write(&config, text).unwrap();
    let more = [
        "--no-registry",
        "--no-tx",
        "--config",
        config.to_str().unwrap(),
    ];
    let node = Node::start(root, &free_address(), &more);
    node.until_ready();
    World { node, listen }
}

impl World {
    fn ask(&self, request: &str, body: &str) -> Option<(u16, Value)> {
        let headers = "Content-Type: application/json\r\n";
        let (code, body) = http(&self.listen, request, headers, body)?;
        Some((
            code,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        ))
    }

    fn until(&self, request: &str, body: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let said = self.ask(request, body);
            if let Some((code, said)) = &said
                && wanted(*code, said)
            {
                return said.clone();
            }
            assert!(began.elapsed() < PATIENCE, "{request}: {said:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn define(&self, name: &str, participant: &str) {
        let machine = machine(name, participant);
        self.until("POST /saga/v1/machines", &machine, |code, _| code == 200);
    }

    fn start(&self, id: &str, machine: &str, wait_ms: u64) -> Value {
        let start =
            json!({ "id": id, "machine": machine, "params": { "id": id }, "wait_ms": wait_ms });
        self.until("POST /saga/v1/sagas", &start.to_string(), |code, _| {
            code == 200
        })
    }
}

fn machine(name: &str, participant: &str) -> String {
    let step = |name: &str, more: Value| {
        let mut state = json!({
            "Type": "ServiceTask",
            "ServiceName": format!("bolt://{participant}/com.x.Steps:1.0"),
            "ServiceMethod": "step",
            "ParameterTypes": ["java.lang.String", "java.lang.String"],
            "Input": ["$.[id]", name],
        });
        state
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        state
    };
    let undo = json!([{ "Exceptions": ["com.x.StepException"], "Next": "Undo" }]);
    json!({
        "Name": name,
        "StartState": "A",
        "States": {
            "A": step("A", json!({ "IsForUpdate": true, "CompensateState": "UndoA", "Next": "B", "Output": { "a": "$.#root" } })),
            "B": step("B", json!({ "IsForUpdate": true, "CompensateState": "UndoB", "Next": "Done", "Catch": undo })),
            "UndoA": step("undo A", json!({})),
            "UndoB": step("undo B", json!({})),
            "Undo": { "Type": "CompensationTrigger", "Next": "Failed" },
            "Done": { "Type": "Succeed" },
            "Failed": { "Type": "Fail", "ErrorCode": "FAILED", "Message": "undone" },
        },
    })
    .to_string()
}

fn participant(book: &Book) -> Server {
    Server::builder("127.0.0.1:0")
        .publish(StepsServer::new(book.clone()))
        .start()
        .unwrap()
}

#[test]
fn a_saga_calls_its_participants_and_undoes_what_it_must() {
    let root = tempfile::tempdir().unwrap();
    let (world, book) = (start(root.path()), Book::default());
    let server = participant(&book);
    world.define("order", &server.local_addr().to_string());
    let bad = machine("bad", "x").replace("\"Next\":\"B\"", "\"Next\":\"Nowhere\"");
    let (code, said) = world.ask("POST /saga/v1/machines", &bad).unwrap();
    assert_eq!(code, 409, "{said}");
    assert!(
        said["error"].as_str().unwrap().contains("Nowhere"),
        "{said}"
    );

    let done = world.start("S1", "order", 10_000);
    assert_eq!(
        (&done["status"], &done["variables"]["a"]),
        (&json!("SU"), &json!("A done")),
        "{done}"
    );
    assert_eq!(book.asked(), ["S1 A", "S1 B"]);
    // The same again is the same saga.
    let again = world.start("S1", "order", 10_000);
    assert_eq!((&again["status"], book.asked().len()), (&json!("SU"), 2));

    book.0.lock().unwrap().failures.insert("B".into(), 1);
    let undone = world.start("S2", "order", 10_000);
    assert_eq!(undone["compensation_status"], "SU", "{undone}");
    assert_eq!(
        book.asked()[2..],
        ["S2 A", "S2 B", "S2 undo B", "S2 undo A"]
    );
    assert!(
        undone["trouble"]
            .as_str()
            .is_some_and(|why| !why.is_empty()),
        "{undone}"
    );
    let (code, _) = world.ask("GET /saga/v1/sagas/S9", "").unwrap();
    assert_eq!(code, 404);
    let start = json!({ "id": "S3", "machine": "nothing" }).to_string();
    let (code, said) = world.ask("POST /saga/v1/sagas", &start).unwrap();
    assert_eq!(
        (code, said["error"].as_str().unwrap().contains("nothing")),
        (409, true)
    );
    let (code, _) = world.ask("POST /saga/v1/sagas", "{\"id\": 7").unwrap();
    assert!(code == 400 || code == 422, "{code}");
}

#[test]
fn a_saga_that_cannot_go_on_is_listed_and_decided() {
    let root = tempfile::tempdir().unwrap();
    let (world, book) = (start(root.path()), Book::default());
    // Nobody is there.
    let nowhere = free_address();
    world.define("order", &nowhere);
    let said = world.start("S1", "order", 10_000);
    assert_eq!(said["is_running"], false, "{said}");
    book.0
        .lock()
        .unwrap()
        .failures
        .insert("undo B".into(), 1_000);
    book.0.lock().unwrap().failures.insert("B".into(), 1);
    let server = participant(&book);
    world.define("order", &server.local_addr().to_string());
    let said = world.start("S2", "order", 10_000);
    assert_eq!(said["status"], "UN", "{said}");
    let stuck = world.until(
        "GET /saga/v1/sagas?stuck=true&contains=S2",
        "",
        |_, said| said["sagas"].as_array().is_some_and(|all| all.len() == 1),
    );
    assert!(stuck["sagas"][0]["recovers_ms"].is_u64(), "{stuck}");
    let diwan = |arguments: &[&str]| {
        let mut command = support::diwan();
        command
            .arg("saga")
            .args(arguments)
            .args(["--admin", &world.node.admin]);
        support::said(command.output().unwrap())
    };
    let (code, listed, _) = diwan(&["list", "--stuck"]);
    assert!(
        code == 0 && listed.contains("S2") && listed.contains("undo B fails"),
        "{listed}"
    );
    let (code, shown, _) = diwan(&["show", "S2"]);
    assert!(code == 0 && shown.contains("UndoB"), "{shown}");
    let (_, machines, _) = diwan(&["machines"]);
    assert!(machines.contains("order"), "{machines}");
    assert_eq!(diwan(&["skip", "S9"]).0, 1);
    // Somebody has looked after it.
    book.0.lock().unwrap().failures.clear();
    world.until("POST /saga/v1/sagas/S2/compensate", "", |code, _| {
        code == 200 || code == 409
    });
    let done = world.until("GET /saga/v1/sagas/S2", "", |_, said| {
        said["compensation_status"] == "SU"
    });
    assert!(!done["history"].as_array().unwrap().is_empty());
}

/// A saga that has left is in the archive, after a restart, too, and comes back if somebody wants to undo it after all.
#[test]
fn a_saga_that_has_left_is_kept_and_can_come_back() {
    let root = tempfile::tempdir().unwrap();
    let mut world = start_with(root.path(), "keep_ended_ms = 100\n");
    let book = Book::default();
    let server = participant(&book);
    world.define("order", &server.local_addr().to_string());
    assert_eq!(world.start("S1", "order", 10_000)["status"], "SU");
    let living = |world: &World| world.ask("GET /saga/v1/sagas", "").unwrap().1["living"].clone();
    for _ in 0..2 {
        world.until("GET /saga/v1/sagas", "", |_, said| said["living"] == 0);
        let ended = world.until("GET /saga/v1/sagas?ended=true", "", |_, said| {
            said["sagas"].as_array().is_some_and(|all| all.len() == 1)
        });
        assert_eq!(
            (&ended["sagas"][0]["id"], &ended["sagas"][0]["machine"]),
            (&json!("S1"), &json!("order"))
        );
        let (code, said) = world.ask("GET /saga/v1/sagas/S1", "").unwrap();
        assert_eq!((code, said["history"].as_array().unwrap().len()), (200, 2));
        world.node.kill();
        world.node.start_again();
        world.node.until_ready();
    }
    // The log brings it back until it leaves again.
    world.until("GET /saga/v1/sagas", "", |_, said| said["living"] == 0);
    let decide = |operation: &str| {
        let request = format!("POST /saga/v1/sagas/{operation}");
        world.until(&request, "", |code, _| code == 200 || code == 409)
    };
    assert!(
        decide("S9/reload")["error"]
            .as_str()
            .unwrap()
            .contains("archive")
    );
    assert_eq!(decide("S1/reload")["id"], "S1");
    assert_eq!(living(&world), 1);
    assert!(decide("S1/reload")["error"].is_string(), "it lives");
    assert_eq!(decide("S1/compensate")["id"], "S1");
    world.until("GET /saga/v1/sagas/S1", "", |_, said| {
        said["compensation_status"] == "SU"
    });
    assert_eq!(book.asked(), ["S1 A", "S1 B", "S1 undo B", "S1 undo A"]);
}

#[test]
fn a_saga_survives_its_node() {
    let root = tempfile::tempdir().unwrap();
    let (mut world, book) = (start(root.path()), Book::default());
    let server = participant(&book);
    world.define("order", &server.local_addr().to_string());
    book.0
        .lock()
        .unwrap()
        .slow
        .insert("A".into(), Duration::from_millis(700));
    let said = world.start("S1", "order", 0);
    assert_eq!(said["is_running"], true, "{said}");
    let began = Instant::now();
    while book.asked().is_empty() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    // It is killed while its call is on its way; the call is made again.
    world.node.kill();
    world.node.start_again();
    let done = world.until("GET /saga/v1/sagas/S1", "", |_, said| {
        said["is_running"] == false
    });
    assert_eq!(done["status"], "SU", "{done}");
    assert_eq!(book.asked(), ["S1 A", "S1 A", "S1 B"]);
}

/// Each log has some of the sagas, they survive their node, and nobody can start them again in another log.
#[test]
fn sagas_are_spread_over_logs() {
    let root = tempfile::tempdir().unwrap();
    let (mut world, book) = (start_with(root.path(), "logs = 3\n"), Book::default());
    let server = participant(&book);
    world.define("order", &server.local_addr().to_string());
    for number in 0..24 {
        let done = world.start(&format!("S{number}"), "order", 10_000);
        assert_eq!(done["status"], "SU", "{done}");
    }
    book.0
        .lock()
        .unwrap()
        .slow
        .insert("A".into(), Duration::from_millis(700));
    let keyed = |id: &str| {
        let start =
            json!({ "id": id, "machine": "order", "business_key": "K", "params": { "id": id } });
        world
            .ask("POST /saga/v1/sagas", &start.to_string())
            .unwrap()
    };
    assert_eq!(keyed("K1").0, 200);
    let (code, said) = keyed("K2");
    assert!(
        code == 409 && said.to_string().contains("is in use"),
        "{said}"
    );
    let (code, said) = keyed("S7");
    assert_eq!(code, 409, "{said}");
    for number in 24..36 {
        world.start(&format!("S{number}"), "order", 0);
    }
    world.node.kill();
    world.node.start_again();
    let all = world.until("GET /saga/v1/sagas?limit=100", "", |code, said| {
        let ended = |one: &Value| one["status"] == "SU";
        code == 200
            && said["sagas"]
                .as_array()
                .is_some_and(|all| all.len() == 37 && all.iter().all(ended))
    });
    assert_eq!(all["living"], 37, "{all}");
    let asked = world.until("POST /saga/v1/sagas/S30/compensate", "", |code, _| {
        code == 200
    });
    assert_eq!(asked["id"], "S30");
    world.until("GET /saga/v1/sagas/S30", "", |_, said| {
        said["compensation_status"] == "SU"
    });
    let metrics = world.node.until("GET /metrics", |(code, _)| *code == 200);
    for group in ["saga", "saga-1", "saga-2"] {
        let named = format!("=\"{group}\"");
        let is = |line: &&str| {
            line.contains(&named)
                && (line.starts_with("diwan_raft_applied_index")
                    || line.starts_with("diwan_log_applied_index"))
        };
        let applied = metrics
            .lines()
            .find(is)
            .and_then(|it| it.rsplit(' ').next());
        let applied: u64 = applied.unwrap_or_default().parse().unwrap();
        assert!(applied > 8, "{group}: {applied}");
    }

    // The number of logs is what it was when the first saga came.
    let (code, _) = world.node.end("-TERM");
    assert_eq!(code, Some(0));
    for logs in [1, 4] {
        let other = start_refused(root.path(), logs);
        assert!(other.contains("saga.logs = 3"), "{other}");
    }
}

/// What a node says that ends because its sagas are spread over another number of logs.
fn start_refused(root: &Path, logs: usize) -> String {
    let config = root.join("diwan.toml");
    let text = format!("[saga]\nlisten = \"{}\"\nlogs = {logs}\n", free_address());
    fs::write(&config, text).unwrap();
    let data = fs::read_dir(root).unwrap().flatten();
    let data = data
        .map(|it| it.path())
        .find(|it| it.join("node").exists())
        .unwrap();
    let id = fs::read_to_string(data.join("node")).unwrap();
    let mut command = support::diwan();
    command.args([
        "server",
        "--node",
        id.lines().nth(1).unwrap(),
        "--admin",
        &free_address(),
    ]);
    command
        .args(["--no-registry", "--no-tx", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(&data);
    command.args(support::engine(root));
    let (code, _, err) = support::said(command.output().unwrap());
    assert_ne!(code, 0, "{err}");
    err
}
