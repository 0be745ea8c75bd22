//! Nodes whose logs stand in a real engine: the engine is killed, writers are killed and stopped past their lease. What was
//! acknowledged is there in the end, on every node.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../../../core/external/tests/support/mod.rs"]
mod engines;
#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use engines::{Etcd, Postgres, wanted};
use support::{Node, diwan, free_address, http, said};

/// Three nodes with a lease of a second and nothing but their own store.
fn nodes(root: &Path, url: &str) -> Vec<Node> {
    let config = root.join("node.toml");
    fs::write(&config, "[engine]\nlease_ms = 1000\ntimeout_ms = 1000\n").unwrap();
    let ids: Vec<String> = (0..3).map(|_| free_address()).collect();
    let (peers, config) = (ids.join(","), config.to_string_lossy().into_owned());
    let more = ["--log", url, "--peers", &peers, "--config", &config];
    let more = [&more[..], &["--no-registry", "--no-tx", "--no-saga"]].concat();
    ids.iter().map(|id| Node::start(root, id, &more)).collect()
}

/// The place of the node that leads the nodes' own log, as one that is not `but` sees it.
fn owner(nodes: &[Node], but: Option<usize>) -> usize {
    let began = Instant::now();
    loop {
        // One that stands still answers nobody.
        let others = nodes
            .iter()
            .enumerate()
            .filter(|(place, _)| Some(*place) != but);
        for (place, node) in others {
            let headers = format!("Host: {}\r\n", node.admin);
            let log = http(&node.admin, "GET /log", &headers, "");
            if log.is_some_and(|(_, body)| body.contains("\"leading\":true")) {
                return place;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(30), "nobody leads");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes registers one after the other until it is told to stop; returns those whose writes were acknowledged.
fn write(admins: &[String], stop: &AtomicBool) -> Vec<usize> {
    let mut done = Vec::new();
    let mut place = 0;
    for number in 0..900 {
        loop {
            if stop.load(Relaxed) {
                return done;
            }
            let admin = &admins[place % admins.len()];
            let request = format!("PUT /meta/key-{number}");
            let value = format!("value {number}");
            match http(admin, &request, &format!("Host: {admin}\r\n"), &value) {
                Some((200, _)) => {
                    done.push(number);
                    break;
                }
                // Unknown, or no answer: the same write again does no harm.
                _ => place += 1,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    done
}

/// Kills and stops nodes and the engine while registers are written.
fn nothing_acknowledged_is_lost(
    url: &str,
    mut end_engine: impl FnMut(),
    mut start_engine: impl FnMut(),
) {
    let root = tempfile::tempdir().unwrap();
    let mut nodes = nodes(root.path(), url);
    nodes.iter().for_each(Node::until_ready);
    let admins: Vec<String> = nodes.iter().map(|node| node.admin.clone()).collect();
    let stop = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(&admins, &stop));
        std::thread::sleep(Duration::from_secs(1));

        let first = owner(&nodes, None);
        nodes[first].kill();
        let began = Instant::now();
        let second = owner(&nodes, Some(first));
        println!(
            "another node leads {:?} after the owner was killed",
            began.elapsed()
        );
        nodes[first].start_again();

        // One that stands still past its lease, and goes on while another leads: there are two that think they do.
        nodes[second].signal("-STOP");
        let began = Instant::now();
        let third = owner(&nodes, Some(second));
        println!(
            "another node leads {:?} after the owner stood still",
            began.elapsed()
        );
        std::thread::sleep(Duration::from_millis(500));
        nodes[second].signal("-CONT");
        std::thread::sleep(Duration::from_millis(500));

        end_engine();
        std::thread::sleep(Duration::from_secs(2));
        start_engine();
        let again = owner(&nodes, None);
        println!("node {third} led, node {again} leads after the engine came back");
        std::thread::sleep(Duration::from_secs(2));
        stop.store(true, Relaxed);
        writing.join().unwrap()
    });
    println!("{} writes were acknowledged", done.len());
    assert!(done.len() > 20, "{}", done.len());
    for node in &nodes {
        node.until_ready();
        for number in &done {
            let read = node.until(&format!("GET /meta/key-{number}"), |(code, _)| *code != 503);
            assert_eq!(read, format!("value {number}"), "{}", node.id);
        }
    }

    let leads = owner(&nodes, None);
    let status = diwan()
        .args(["log", "status", "--admin", &nodes[leads].admin])
        .output();
    let (code, out, err) = said(status.unwrap());
    assert!(code == 0 && out.contains(&nodes[leads].id), "{out}{err}");
    let asked = diwan()
        .args(["log", "snapshot", "system", "--admin", &nodes[leads].admin])
        .output();
    assert_eq!(said(asked.unwrap()).0, 0);
    nodes[leads].until("GET /log", |(_, body)| !body.contains("\"snapshot\":null"));
    let metrics = nodes[leads].until("GET /metrics", |(code, _)| *code == 200);
    assert!(
        metrics.contains("diwan_log_leading{log=\"system\"} 1"),
        "{metrics}"
    );

    // Asked to stop, it leaves its log, and another node takes it without waiting for the lease.
    let left = nodes.remove(leads);
    let began = Instant::now();
    let (code, log) = left.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
    owner(&nodes, None);
    println!(
        "another node leads {:?} after the owner was asked to stop",
        began.elapsed()
    );

    // A node that comes with nothing restores the snapshot.
    let ids = nodes.iter().map(|node| node.id.clone()).collect::<Vec<_>>();
    let id = free_address();
    let peers = [ids, vec![id.clone()]].concat().join(",");
    let more = [
        "--log",
        url,
        "--peers",
        &peers,
        "--no-registry",
        "--no-tx",
        "--no-saga",
    ];
    let new = Node::start(root.path(), &id, &more);
    new.until_ready();
    let first = done[0];
    assert_eq!(
        new.http(&format!("GET /meta/key-{first}"), ""),
        (200, format!("value {first}"))
    );
}

/// The bank moves its money by sagas, or by TCC, on a node that keeps its logs in the engine; a service and the node are killed.
fn no_money_is_lost(url: &str, more: &[&str]) {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("bank").to_string_lossy().into_owned();
    let demo = diwan()
        .args(["demo", "--log", url, "--data", &data])
        .args(more)
        .output();
    let (code, out, err) = said(demo.unwrap());
    assert_eq!(code, 0, "{out}{err}");
    println!("{}", out.lines().rev().take(2).last().unwrap());
}

#[test]
fn on_etcd() {
    if !wanted("etcd") {
        return;
    }
    let etcd = std::cell::RefCell::new(Etcd::start(&[]));
    let url = etcd.borrow().url();
    no_money_is_lost(&format!("{url}-bank"), &[]);
    let (end, start) = (|| etcd.borrow_mut().kill(), || etcd.borrow_mut().run());
    nothing_acknowledged_is_lost(&url, end, start);
}

#[test]
fn on_postgres() {
    if !wanted("postgres") {
        return;
    }
    let postgres = Postgres::start("");
    let url = postgres.url();
    no_money_is_lost(&format!("{url}&schema=bank"), &["--tcc"]);
    nothing_acknowledged_is_lost(&url, || postgres.kill(), || postgres.run());
}

/// Nodes are stopped, their logs are copied to the other engine, and they go on from there.
#[test]
fn logs_move_from_etcd_to_postgres() {
    if !wanted("etcd") || !wanted("postgres") {
        return;
    }
    let (etcd, postgres) = (Etcd::start(&[]), Postgres::start(""));
    let root = tempfile::tempdir().unwrap();
    let id = free_address();
    let node = Node::start(
        root.path(),
        &id,
        &[&["--log", &etcd.url()], &OFF[..]].concat(),
    );
    node.until_ready();
    assert_eq!(node.http("PUT /meta/owner", "Ann").0, 200);
    let urls = [&*etcd.url(), &postgres.url(), "system"];
    let (code, _, err) = copy(&urls);
    assert!(code == 1 && err.contains("stop all nodes first"), "{err}");
    assert_eq!(node.end("-TERM").0, Some(0));
    let (code, out, err) = copy(&urls);
    assert!(
        code == 0 && out.contains("system: up to command 1, 1 blocks"),
        "{out}{err}"
    );
    let node = Node::start(
        root.path(),
        &id,
        &[&["--log", &postgres.url()], &OFF[..]].concat(),
    );
    node.until_ready();
    assert_eq!(node.http("GET /meta/owner", ""), (200, "Ann".into()));
    assert_eq!(node.http("PUT /meta/owner", "Bob").0, 200);
}

const OFF: [&str; 3] = ["--no-registry", "--no-tx", "--no-saga"];

fn copy(arguments: &[&str]) -> (i32, String, String) {
    said(
        diwan()
            .args(["log", "copy"])
            .args(arguments)
            .output()
            .unwrap(),
    )
}

/// A node keeps its log itself, then in an engine, then itself again: with a snapshot and without, nothing is missing or comes twice.
fn a_log_moves_there_and_back(urls: [&str; 2]) {
    for (url, with_snapshot) in urls.into_iter().zip([false, true]) {
        let root = tempfile::tempdir().unwrap();
        let id = free_address();
        let own = root.path().join(&id).to_string_lossy().into_owned();
        let node = Node::start(root.path(), &id, &OFF);
        node.until_ready();
        assert_eq!(node.http("PUT /meta/owner", "Ann").0, 200);
        if with_snapshot {
            node.raft(&["snapshot"]);
        }
        assert_eq!(node.http("PUT /meta/seat", "3").0, 200);
        let (code, _, err) = copy(&[&own, url, "system"]);
        assert!(code == 1 && err.contains("another process"), "{err}");
        assert_eq!(node.end("-TERM").0, Some(0));
        let (code, out, err) = copy(&[&own, url, "system", "tx"]);
        assert!(code == 0 && out.contains("digest"), "{out}{err}");
        assert!(out.contains("tx: there is no such log"), "{out}");
        let (code, _, err) = copy(&[&own, url, "system"]);
        assert!(
            code == 1 && err.contains("there is such a log already"),
            "{err}"
        );

        let node = Node::start(root.path(), &id, &[&["--log", url], &OFF[..]].concat());
        node.until_ready();
        assert_eq!(node.http("GET /meta/owner", ""), (200, "Ann".into()));
        assert_eq!(node.http("GET /meta/seat", ""), (200, "3".into()));
        assert_eq!(node.http("PUT /meta/owner", "Bob").0, 200);
        if with_snapshot {
            let asked = ["log", "snapshot", "system", "--admin", &node.admin];
            assert_eq!(said(diwan().args(asked).output().unwrap()).0, 0);
            node.until("GET /log", |(_, body)| !body.contains("\"snapshot\":null"));
            assert_eq!(node.http("PUT /meta/seat", "4").0, 200);
        }
        assert_eq!(node.end("-TERM").0, Some(0));

        let (code, _, err) = copy(&[url, &own, "system", "--as", &id]);
        assert!(code == 1 && err.contains("has logs already"), "{err}");
        let new = free_address();
        let back = root.path().join(&new).to_string_lossy().into_owned();
        let (code, out, err) = copy(&[url, &back, "system", "--as", &new]);
        assert!(code == 0 && out.contains("digest"), "{out}{err}");
        let mut node = Node::start(root.path(), &new, &OFF);
        for _ in 0..2 {
            node.until_ready();
            assert_eq!(node.http("GET /meta/owner", ""), (200, "Bob".into()));
            let seat = if with_snapshot { "4" } else { "3" };
            assert_eq!(node.http("GET /meta/seat", ""), (200, seat.into()));
            assert_eq!(node.http("PUT /meta/more", "x").0, 200);
            node.kill();
            node.start_again();
        }
    }
}

/// Of a cluster the disks of a majority are needed: one alone may lack what was acknowledged.
fn a_cluster_moves(url: &str) {
    let root = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..3).map(|_| free_address()).collect();
    let peers = ids.join(",");
    let more = [&["--peers", &peers], &OFF[..]].concat();
    let nodes: Vec<Node> = ids
        .iter()
        .map(|id| Node::start(root.path(), id, &more))
        .collect();
    nodes.iter().for_each(Node::until_ready);
    let written = |node: &Node| node.http("PUT /meta/owner", "Ann").0 == 200;
    let began = Instant::now();
    while !nodes.iter().any(written) {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody leads");
    }
    for node in nodes {
        assert_eq!(node.end("-TERM").0, Some(0));
    }
    let path = |id: &String| root.path().join(id).to_string_lossy().into_owned();
    let (code, _, err) = copy(&[&path(&ids[0]), url, "system"]);
    assert!(code == 1 && err.contains("disks of a majority"), "{err}");
    let two = format!("{},{}", path(&ids[0]), path(&ids[2]));
    let (code, out, err) = copy(&[&two, url]);
    assert!(code == 0 && out.lines().count() == 1, "{out}{err}");
    let (code, out, err) = copy(&[
        url,
        &path(&"127.0.0.1:1".into()),
        "nothing",
        "--as",
        "127.0.0.1:1",
    ]);
    assert!(code == 1 && err.contains("no such log"), "{out}{err}");
    let (code, out, err) = copy(&[url, &path(&"127.0.0.1:1".into()), "--as", "127.0.0.1:1"]);
    assert!(code == 0 && out.lines().count() == 1, "{out}{err}");
    let id = free_address();
    let node = Node::start(root.path(), &id, &[&["--log", url], &OFF[..]].concat());
    node.until_ready();
    assert_eq!(node.http("GET /meta/owner", ""), (200, "Ann".into()));
}

#[test]
fn logs_move_between_disks_and_etcd() {
    if wanted("etcd") {
        let etcd = Etcd::start(&[]);
        let [one, two, three] = ["one", "two", "three"].map(|it| format!("{}-{it}", etcd.url()));
        a_log_moves_there_and_back([&one, &two]);
        a_cluster_moves(&three);
    }
}

#[test]
fn logs_move_between_disks_and_postgres() {
    if wanted("postgres") {
        let postgres = Postgres::start("");
        let [one, two, three] =
            ["one", "two", "three"].map(|it| format!("{}&schema={it}", postgres.url()));
        a_log_moves_there_and_back([&one, &two]);
        a_cluster_moves(&three);
    }
}

/// etcd runs out of its quota under three nodes: writes are refused as such, reads go on, and nothing acknowledged is missing when
/// there is space again.
#[test]
fn a_full_etcd_loses_nothing() {
    if !wanted("etcd") {
        return;
    }
    let mut etcd = Etcd::start(&["--quota-backend-bytes", "6000000"]);
    let root = tempfile::tempdir().unwrap();
    let nodes = nodes(root.path(), &etcd.url());
    nodes.iter().for_each(Node::until_ready);
    let value = |number: usize| format!("{number} ").repeat(15_000);
    let put = |leads: usize, number: usize| {
        let request = format!("PUT /meta/key-{number}");
        nodes[leads].http(&request, &value(number))
    };
    let leads = owner(&nodes, None);
    let mut stored = 0;
    let refused = loop {
        match put(leads, stored) {
            (200, _) => stored += 1,
            other => break other,
        }
        assert!(stored < 900);
    };
    println!("{stored} writes, then {refused:?}");
    assert!(
        refused.0 == 507 && refused.1.contains("the disk is full"),
        "{refused:?}"
    );
    let there = |stored: usize| {
        for node in &nodes {
            for number in 0..stored {
                let read = node.until(&format!("GET /meta/key-{number}"), |(code, _)| *code != 503);
                assert_eq!(read, value(number), "{} key {number}", node.id);
            }
        }
    };
    there(stored);
    // The node tries again from time to time: in between it does not know.
    let began = Instant::now();
    loop {
        let leads = owner(&nodes, None);
        let _ = put(leads, stored);
        let status = ["log", "status", "--admin", &nodes[leads].admin];
        let (code, out, err) = said(diwan().args(status).output().unwrap());
        if code == 0 && out.contains("system: the engine has no space") {
            break;
        }
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(20), "{out}{err}");
    }

    etcd.kill();
    etcd.arguments = vec!["--quota-backend-bytes".into(), "60000000".into()];
    etcd.run();
    etcd.ctl(&["alarm", "disarm"]);
    let began = Instant::now();
    while put(owner(&nodes, None), stored).0 != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "still full");
        std::thread::sleep(Duration::from_millis(50));
    }
    there(stored + 1);
}

/// Many logs have many owners, and have them again after nodes have started anew.
#[test]
fn logs_are_spread_over_nodes() {
    if !wanted("etcd") {
        return;
    }
    let etcd = Etcd::start(&[]);
    let root = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..3).map(|_| free_address()).collect();
    let (peers, url) = (ids.join(","), etcd.url());
    let mut nodes: Vec<Node> = Vec::new();
    for id in &ids {
        let config = root.path().join(format!("{id}.toml"));
        let text = format!(
            "[engine]\nlease_ms = 1000\n[saga]\nlogs = 12\nlisten = \"{}\"\n",
            free_address()
        );
        fs::write(&config, text).unwrap();
        let more = [
            "--log",
            &url,
            "--peers",
            &peers,
            "--no-registry",
            "--no-tx",
            "--config",
        ];
        let config = config.to_string_lossy();
        nodes.push(Node::start(
            root.path(),
            id,
            &[&more[..], &[&config]].concat(),
        ));
        // The first one has the logs for itself.
        nodes[nodes.len() - 1].until_ready();
    }
    let owned = |nodes: &[Node]| -> Vec<usize> {
        let of = |node: &Node| {
            node.http("GET /log", "")
                .1
                .matches("\"leading\":true")
                .count()
        };
        nodes.iter().map(of).collect()
    };
    let until_spread = |nodes: &[Node]| {
        let began = Instant::now();
        loop {
            let owned = owned(nodes);
            if owned.iter().sum::<usize>() == 13 && owned.iter().all(|logs| *logs > 0) {
                return owned;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{owned:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    println!("of 13 logs nodes own {:?}", owned(&nodes));
    let spread = until_spread(&nodes);
    println!("then {spread:?}");
    nodes[0].kill();
    std::thread::sleep(Duration::from_secs(3));
    nodes[0].start_again();
    println!("and at last {:?}", until_spread(&nodes));
}

/// Somebody edits a block, or deletes one: a node that comes to it says which, ends, and appends nothing.
#[test]
fn blocks_that_were_edited_or_deleted_end_a_node() {
    if !wanted("postgres") || !wanted("etcd") {
        return;
    }
    let (etcd, postgres) = (Etcd::start(&[]), Postgres::start(""));
    let sql =
        |what: &str| postgres.sql(&what.replace("THERE", "WHERE log = 'system' AND number = 3"));
    type Damage<'a> = Box<dyn Fn() + 'a>;
    let damages: [(String, Damage<'_>, &str); 3] = [
        (
            format!("{}&schema=edited", postgres.url()),
            Box::new(|| {
                drop(sql(
                    "UPDATE edited.block SET data = set_byte(data, 60, 7) THERE",
                ))
            }),
            "block 3: its checksum is",
        ),
        (
            format!("{}&schema=missing", postgres.url()),
            Box::new(|| drop(sql("DELETE FROM missing.block THERE"))),
            "block 3",
        ),
        (
            etcd.url(),
            Box::new(|| {
                let keys = etcd.ctl(&["get", "--prefix", "--keys-only", "test/system/block/"]);
                let key = keys.lines().filter(|key| !key.is_empty()).nth(3).unwrap();
                etcd.ctl(&["put", key, "something else"]);
            }),
            "block 3: it is not a block",
        ),
    ];
    for (place, (url, damage, says)) in damages.into_iter().enumerate() {
        let root = tempfile::tempdir().unwrap();
        let id = free_address();
        let more = [&["--log", &url], &OFF[..]].concat();
        let node = Node::start(root.path(), &id, &more);
        node.until_ready();
        for number in 0..6 {
            assert_eq!(node.http(&format!("PUT /meta/key-{number}"), "x").0, 200);
        }
        assert_eq!(node.end("-TERM").0, Some(0));
        damage();
        let ends = |more: &[&str]| {
            let ended = diwan()
                .args(["server", "--node", &id, "--admin", &free_address()])
                .args(["--data", &root.path().join(&id).to_string_lossy()])
                .args(more)
                .args(OFF)
                .output();
            let (code, _, err) = said(ended.unwrap());
            (code, err)
        };
        let (code, err) = ends(&["--log", &url]);
        assert!(code != 0 && err.contains(says), "{url}: {code} {err}");
        // A copy says so, too, and no node takes the half of it for the log.
        let half = format!("{}-copy-{}", etcd.url(), place);
        let (code, _, err) = copy(&[&url, &half, "system"]);
        assert!(code == 1 && err.contains("block 3"), "{err}");
        let (code, err) = ends(&["--log", &half]);
        assert!(code != 0 && err.contains("copied here"), "{code} {err}");
    }
}

/// An engine that is not there, or is no engine for logs: the node says so and ends.
#[test]
fn an_engine_that_is_not_to_be_had_is_named() {
    let root = tempfile::tempdir().unwrap();
    let (nobody, node) = (free_address(), free_address());
    for (url, code, says) in [
        (format!("etcd://{nobody}/x"), 9, "unknown: "),
        (
            format!("postgres://u:secret@{nobody}/x?sslmode=disable"),
            9,
            "no connection",
        ),
        ("etcd:///x".to_owned(), 2, "no host"),
        (
            "mysql://localhost/x".to_owned(),
            2,
            "etcd://, etcds:// or postgres://",
        ),
    ] {
        let data = root.path().join("node");
        let output = diwan()
            .args(["server", "--node", &node, "--admin", &free_address()])
            .args(["--data", &data.to_string_lossy(), "--log", &url])
            .output();
        let (found, _, err) = said(output.unwrap());
        assert!(found == code && err.contains(says), "{url}: {found} {err}");
        assert!(!err.contains("secret"), "{err}");
    }
}
