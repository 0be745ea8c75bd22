//! Distributed transactions as a resource manager and an operator see them: a real node, Seata's frames, HTTP and the command line.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use diwan_seata::frame::{Decoded, FRAME_BYTES_MAX, Form, Kind, decode, write};
use diwan_seata::{
    BranchEnded, BranchRegister, BranchStatus, BranchType, GlobalStatus, Identify, Message,
    Outcome, Xid, binary,
};
use serde_json::Value;
use support::{Node, diwan, free_address, said};

const PATIENCE: Duration = Duration::from_secs(30);

/// A client of the coordinator.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    next: i32,
}

impl Client {
    fn connect(addr: &str) -> Self {
        let began = Instant::now();
        let stream = loop {
            match TcpStream::connect(addr) {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            input: Vec::new(),
            next: 1,
        }
    }

    fn send(&mut self, kind: Kind, id: i32, message: &Message) {
        let mut frame = Vec::new();
        write(&mut frame, kind, Form::USUAL, id, |out| {
            binary::encode(message, out)
        });
        self.stream.write_all(&frame).unwrap();
    }

    /// The next frame; None once the connection has ended.
    fn receive(&mut self) -> Option<(Kind, i32, Message)> {
        loop {
            if let Decoded::Frame { frame, bytes } = decode(&self.input, FRAME_BYTES_MAX).unwrap() {
                let message = binary::decode(frame.body).unwrap();
                let got = (frame.kind, frame.id, message);
                self.input.drain(..bytes);
                return Some(got);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                count => self.input.extend(&buffer[..count]),
            }
        }
    }

    fn ask(&mut self, message: &Message) -> Message {
        let id = self.next;
        self.next += 1;
        self.send(Kind::Request, id, message);
        let (kind, answered, answer) = self.receive().unwrap();
        assert_eq!((kind, answered), (Kind::Response, id), "{answer:?}");
        answer
    }

    fn identify(&mut self, resource_ids: &str) {
        let identify = Identify {
            version: "2.6.0".into(),
            application_id: "app".into(),
            transaction_group: "group".into(),
            extra_data: String::new(),
        };
        let answer = self.ask(&Message::RegisterRm {
            identify,
            resource_ids: resource_ids.into(),
        });
        assert!(matches!(answer, Message::RegisterRmResult(one) if one.accepted));
    }

    fn begin(&mut self, name: &str) -> String {
        let answer = self.ask(&Message::GlobalBegin {
            timeout_ms: 60_000,
            name: name.into(),
        });
        let Message::GlobalBeginResult { outcome, xid, .. } = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(outcome, Outcome::SUCCESS);
        xid
    }

    fn register(
        &mut self,
        xid: &str,
        branch_type: BranchType,
        resource: &str,
        lock_key: &str,
    ) -> i64 {
        let answer = self.ask(&Message::BranchRegister(BranchRegister {
            xid: xid.into(),
            branch_type,
            resource_id: resource.into(),
            lock_key: lock_key.into(),
            application_data: "{}".into(),
        }));
        match answer {
            Message::BranchRegisterResult { outcome, branch_id } if outcome.failure.is_none() => {
                branch_id
            }
            other => panic!("{other:?}"),
        }
    }
}

fn xid(xid: &str) -> Xid {
    Xid {
        xid: xid.into(),
        extra_data: String::new(),
    }
}

struct World {
    node: Node,
    listen: String,
    console: String,
}

fn start(root: &Path) -> World {
    let (listen, http) = (free_address(), free_address());
    let config = root.join("diwan.toml");
    fs::write(
        &config,
        format!("[tx]\nlisten = \"{listen}\"\nhttp = \"{http}\"\n"),
    )
    .unwrap();
    let more = [
        "--no-registry",
        "--no-saga",
        "--config",
        config.to_str().unwrap(),
    ];
    World {
        node: Node::start(root, &free_address(), &more),
        listen,
        console: http,
    }
}

impl World {
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = diwan();
        command.arg("tx").args(arguments);
        command.args(["--admin", &self.node.admin]);
        said(command.output().unwrap())
    }

    fn text(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out} {err}");
        out
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn until(&self, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let (_, said, err) = self.run(arguments);
            if wanted(&said) {
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "{arguments:?}: {said} {err}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn an_operator_sees_and_decides_what_nobody_finishes() {
    let root = tempfile::tempdir().unwrap();
    let world = start(root.path());
    world.node.until_ready();
    let mut client = Client::connect(&world.listen);
    client.identify("other");
    assert_eq!(
        world.until(&["list"], |said| !said.is_empty()),
        "no transactions\n"
    );
    let id = client.begin("transfer");
    client.register(&id, BranchType::At, "jdbc:db", "account:1,2");
    let open = world.text(&["list"]);
    assert!(
        open.contains(&id) && open.contains("transfer") && open.contains("Begin"),
        "{open}"
    );
    let locks = world.json(&["locks", "--contains", "account"]);
    assert_eq!(
        (&locks["locked"], &locks["locks"][0]["xid"]),
        (&2.into(), &id.clone().into())
    );
    assert_eq!(world.run(&["retry", &id]).0, 1, "it is not decided yet");
    // Its resource manager is nowhere.
    let answer = client.ask(&Message::GlobalRollback(xid(&id)));
    assert_eq!(
        answer,
        Message::GlobalRollbackResult(Outcome::SUCCESS, GlobalStatus::RollbackRetrying)
    );
    let stuck = world.until(&["list", "--stuck"], |said| said.contains(&id));
    assert!(
        stuck.contains("no resource manager of jdbc:db is connected"),
        "{stuck}"
    );
    let shown = world.text(&["show", &id]);
    assert!(
        shown.contains("account:1,2") && shown.contains("jdbc:db"),
        "{shown}"
    );
    assert_eq!(world.text(&["forget", &id]), "Finished\n");
    assert_eq!(world.text(&["locks"]), "no locks\n");
    let archived = world.text(&["show", &id]);
    assert!(
        archived.contains("lasted") && archived.contains("jdbc:db"),
        "{archived}"
    );
    let ended = world.text(&["list", "--ended", "--status", "Finished"]);
    assert!(ended.contains(&id), "{ended}");
    let ended = world.text(&["list", "--ended", "--status", "Committed"]);
    assert_eq!(ended, "no transactions\n");
    assert_eq!(world.run(&["show", "nonsense"]).0, 1);
    assert_eq!(
        client.ask(&Message::GlobalStatus(xid(&id))),
        Message::GlobalStatusResult(Outcome::SUCCESS, GlobalStatus::Finished)
    );
    let ask = |path: &str| {
        let (code, body) = support::http(&world.console, path, "", "").unwrap();
        (code, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (code, page) = ask("GET /api/v1/console/globalSession/query?pageSize=5");
    assert_eq!(
        (code, &page["total"], &page["pages"]),
        (200, &0.into(), &0.into())
    );
    let (_, cluster) = ask("GET /metadata/v1/cluster?group=default");
    assert_eq!(cluster["nodes"][0]["role"], "LEADER");
    let port: u16 = world.listen.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(cluster["nodes"][0]["transaction"]["port"], port);
    let (_, metrics) = world.node.http("GET /metrics", "");
    for line in [
        "diwan_tx_begun_total 1",
        "diwan_tx_ended_total{status=\"Finished\"} 1",
        "diwan_archive_written_total{archive=\"tx\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn the_console_stops_starts_and_deletes_and_so_does_an_operator() {
    let root = tempfile::tempdir().unwrap();
    let world = start(root.path());
    world.node.until_ready();
    let mut client = Client::connect(&world.listen);
    client.identify("other");
    let order = |order: &str, of: &str| {
        let (method, order) = order.split_once(' ').unwrap();
        let path = format!("{method} /api/v1/console/{order}?{of}");
        let (code, body) = support::http(&world.console, &path, "", "").unwrap();
        let said = serde_json::from_str::<Value>(&body).unwrap();
        (code, said["data"].as_str().unwrap_or_default().to_owned())
    };
    let stopped = (200, "StopRollbackOrRollbackRetry".to_owned());
    let finished = (200, "Finished".to_owned());

    let id = client.begin("transfer");
    let branch = client.register(&id, BranchType::Tcc, "inventory", "");
    let of = format!("xid={id}");
    for early in [
        "PUT globalSession/stopGlobalSession",
        "DELETE globalSession/deleteGlobalSession",
    ] {
        assert!(order(early, &of).0 >= 400, "it is not decided yet");
    }
    client.ask(&Message::GlobalRollback(xid(&id)));
    for wrong in ["changeGlobalStatus", "startGlobalSession"] {
        assert_eq!(order(&format!("PUT globalSession/{wrong}"), &of).0, 400);
    }
    assert_eq!(order("PUT globalSession/stopGlobalSession", &of), stopped);
    let stuck = world.text(&["list", "--stuck"]);
    assert!(stuck.contains(&stopped.1), "{stuck}");
    let (code, _) = order("PUT globalSession/startGlobalSession", &of);
    assert_eq!(code, 200);
    assert_eq!(world.text(&["stop", &id]).trim(), stopped.1);
    let of_branch = format!("{of}&branchId={branch}");
    assert_eq!(order("GET globalLock/check", &of_branch).0, 200);
    let (stop, start) = ("stopBranchSession", "startBranchSession");
    for (what, code) in [(start, 409), (stop, 200), (stop, 409), (start, 200)] {
        let said = order(&format!("PUT branchSession/{what}"), &of_branch);
        assert_eq!(said.0, code, "{what}");
    }
    let delete = "DELETE branchSession/deleteBranchSession";
    assert_eq!(order(delete, &format!("{of}&branchId=7")).0, 409);
    assert_eq!(order(delete, &of_branch), finished);
    let ended = world.until(&["show", &id], |said| said.contains("lasted"));
    assert!(ended.contains("Rollbacked"), "{ended}");

    let id = client.begin("another");
    client.register(&id, BranchType::At, "jdbc:db", "account:1,2,3");
    let free = "DELETE globalLock/delete";
    let row = |key| format!("xid={id}&resourceId=jdbc:db&tableName=account&pk={key}");
    assert_eq!(order(free, &row(2)).0, 200);
    assert_eq!(order(free, &row(2)).0, 409);
    let unlock = ["unlock", &id, "--resource", "jdbc:db", "--row", "account:3"];
    assert_eq!(world.text(&unlock), "Begin\n");
    let locks = world.text(&["locks"]);
    assert!(locks.contains("account:1") && !locks.contains("account:2"));
    client.ask(&Message::GlobalRollback(xid(&id)));
    world.text(&["forget", &id]);

    let id = client.begin("a third");
    let branch = client
        .register(&id, BranchType::Tcc, "inventory", "")
        .to_string();
    client.ask(&Message::GlobalCommit(xid(&id)));
    let shown = |status: &str| assert!(world.text(&["show", &id]).contains(status));
    world.text(&["stop", &id, "--branch", &branch]);
    shown("STOP_RETRY");
    world.text(&["retry", &id, "--branch", &branch]);
    shown("Registered");
    assert_eq!(world.run(&["forget", &id, "--branch", "0"]).0, 1);
    assert_eq!(
        world.text(&["forget", &id, "--branch", &branch]),
        "Finished\n"
    );

    let id = client.begin("a fourth");
    let force = "DELETE globalSession/forceDeleteGlobalSession";
    assert_eq!(order(force, &format!("xid={id}")), finished);
    assert_eq!(world.text(&["list"]), "no transactions\n");
}

#[test]
fn who_comes_back_is_told_at_once_also_after_the_node_was_killed() {
    let root = tempfile::tempdir().unwrap();
    let mut world = start(root.path());
    let mut client = Client::connect(&world.listen);
    client.identify("inventory");
    let id = client.begin("order");
    let branch = client.register(&id, BranchType::Tcc, "inventory", "");
    client.send(Kind::Request, 77, &Message::GlobalCommit(xid(&id)));
    let (kind, _, told) = client.receive().unwrap();
    assert!(
        matches!(&told, Message::BranchCommit(end) if end.branch_id == branch),
        "{told:?}"
    );
    assert_eq!(kind, Kind::Request);
    // It is killed between its decision and the branch's answer.
    world.node.kill();
    assert!(client.receive().is_none());
    world.node.start_again();
    let mut client = Client::connect(&world.listen);
    client.identify("inventory");
    let (_, number, told) = client.receive().unwrap();
    let Message::BranchCommit(end) = told else {
        panic!("{told:?}");
    };
    assert_eq!(
        (&end.xid, end.branch_id, &*end.application_data),
        (&id, branch, "{}")
    );
    let ended = BranchEnded {
        outcome: Outcome::SUCCESS,
        xid: id.clone(),
        branch_id: branch,
        status: BranchStatus::PhaseTwoCommitted,
    };
    client.send(Kind::Response, number, &Message::BranchCommitResult(ended));
    world.until(&["list"], |said| said == "no transactions\n");
    // What is not on the archive's disk yet comes from the log.
    for _ in 0..2 {
        let archived = world.until(&["show", &id], |said| said.contains("lasted"));
        assert!(
            archived.contains("inventory") && archived.contains("PhaseTwo_Committed"),
            "{archived}"
        );
        world.node.kill();
        world.node.start_again();
    }
}

/// Whatever a client sends, the others are served.
#[test]
fn clients_that_talk_nonsense_disturb_nobody() {
    let root = tempfile::tempdir().unwrap();
    let world = start(root.path());
    let mut client = Client::connect(&world.listen);
    client.identify("inventory");
    let id = client.begin("t");
    let mut liar = Client::connect(&world.listen);
    // Answers to nothing, requests that are none, a message of another kind, an empty merge.
    let ended = |branch_id| BranchEnded {
        outcome: Outcome::SUCCESS,
        xid: id.clone(),
        branch_id,
        status: BranchStatus::PhaseTwoCommitted,
    };
    liar.send(Kind::Response, 1, &Message::BranchCommitResult(ended(1)));
    liar.send(
        Kind::Request,
        2,
        &Message::BranchReportResult(Outcome::SUCCESS),
    );
    let mut frame = Vec::new();
    write(&mut frame, Kind::Request, Form::USUAL, 3, |out| {
        out.extend([0xff; 30])
    });
    liar.stream.write_all(&frame).unwrap();
    let empty = Message::Merge {
        messages: Vec::new(),
        ids: Vec::new(),
    };
    assert_eq!(liar.ask(&empty), Message::MergeResult(Vec::new()));
    let unknown = liar.ask(&Message::GlobalCommit(xid("nonsense")));
    assert_eq!(
        unknown,
        Message::GlobalCommitResult(Outcome::SUCCESS, GlobalStatus::Finished)
    );
    // What is no frame ends the connection.
    liar.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(liar.receive().is_none());
    let answer = client.ask(&Message::GlobalCommit(xid(&id)));
    assert_eq!(
        answer,
        Message::GlobalCommitResult(Outcome::SUCCESS, GlobalStatus::Committed)
    );
}
