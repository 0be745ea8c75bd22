//! `diwan server` and `diwan raft` as an operator uses them: real processes, sockets and signals.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{Node, diwan, free_address, said};

/// The one of `nodes` that leads.
fn leader(nodes: &[Node]) -> &Node {
    let named = nodes[0].until("GET /raft/system", |(_, body)| {
        !body.contains("\"leader\":null")
    });
    let leader = nodes
        .iter()
        .find(|node| named.contains(&format!("\"leader\":\"{}\"", node.id)))
        .unwrap();
    leader.until("GET /raft/system", |(_, body)| {
        body.contains("\"leading\":true")
    });
    leader
}

/// Writes a register by way of a node that leads.
fn put(node: &Node, key: &str, value: &str) {
    let (code, body) = node.http(&format!("PUT /meta/{key}"), value);
    assert!(
        code == 200 && body.contains("\"done\":true"),
        "{code} {body}"
    );
}

/// A node that is no registry: those have ports that all nodes share.
fn start(root: &Path, id: &str, more: &[&str]) -> Node {
    let more: Vec<&str> = more
        .iter()
        .copied()
        .chain(["--no-registry", "--no-tx", "--no-saga"])
        .collect();
    Node::start(root, id, &more)
}

#[test]
fn three_nodes_do_what_an_operator_asks() {
    let root = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..5).map(|_| free_address()).collect();
    let peers = ids[..3].join(",");
    let mut nodes: Vec<Node> = ids[..3]
        .iter()
        .map(|id| start(root.path(), id, &["--peers", &peers]))
        .collect();
    nodes.iter().for_each(Node::until_ready);

    // Whoever leads writes, everybody reads.
    let first = leader(&nodes).id.clone();
    let follower = nodes.iter().find(|node| node.id != first).unwrap();
    put(leader(&nodes), "owner", "Ann");
    assert_eq!(follower.http("GET /meta/owner", ""), (200, "Ann".into()));
    assert_eq!(follower.http("GET /meta/nobody", "").0, 404);
    let (code, why) = follower.http("PUT /meta/owner", "Bob");
    assert!(
        code == 421 && why.contains(&first) && why.contains("not committed"),
        "{code} {why}"
    );

    // The group, from one node and from all.
    let admins: Vec<&str> = nodes.iter().map(|node| node.admin.as_str()).collect();
    let status = nodes[0].raft(&["status", "--admin", &admins.join(",")]);
    assert!(status.contains(&format!("leader {first}")), "{status}");
    assert_eq!(status.matches("follower").count(), 2, "{status}");
    assert_eq!(status.matches("replicate").count(), 2, "{status}");
    let listed = follower.raft(&["peers", "--alive"]);
    assert_eq!(listed.matches("yes").count(), 3, "{listed}");

    // Leadership goes where it is sent.
    assert_eq!(
        nodes[0].raft(&["transfer-leader", &follower.id]),
        format!("leader: {first} -> {}\n", follower.id)
    );
    assert!(
        nodes[0]
            .raft(&["transfer-leader", &follower.id])
            .contains("leads already")
    );
    assert!(nodes[0].raft(&["transfer-leader"]).contains("->"));
    assert!(
        nodes[0]
            .raft(&["snapshot"])
            .contains("has a snapshot of system")
    );
    let (_, body) = leader(&nodes).http("GET /raft/system", "");
    assert!(body.contains("\"taken\":1"), "{body}");

    // Two more nodes: one votes at once, one listens first.
    for id in &ids[3..] {
        nodes.push(start(root.path(), id, &["--join"]));
    }
    let (code, why) = nodes[3].http("GET /readyz", "");
    assert!(
        code == 503 && why.contains("not a member yet"),
        "{code} {why}"
    );
    let added = nodes[0].raft(&["add-peer", &ids[3]]);
    assert!(added.contains(&format!("{}  added", ids[3])), "{added}");
    nodes[3].until_ready();
    nodes[0].raft(&["learners", "add", &ids[4]]);
    nodes[4].until_ready();
    assert_eq!(nodes[4].http("GET /meta/owner", ""), (200, "Ann".into()));
    assert_eq!(
        nodes[0].raft(&["learners", "list"]),
        format!("LEARNER\n{}\n", ids[4])
    );
    assert!(
        nodes[0]
            .raft(&["learners", "remove", &ids[4]])
            .contains("removed")
    );
    assert!(
        nodes[0]
            .raft(&["learners", "reset", &ids[4]])
            .contains("added")
    );
    let promoted = nodes[0].raft(&["learners", "promote", &ids[4]]);
    assert!(
        promoted.contains(&format!("{}  added", ids[4])),
        "{promoted}"
    );
    assert!(nodes[0].raft(&["learners", "list"]).contains("no learners"));

    // Members are asked directly, as JRaft's would be; the leader leaves, and the rest is told in one step.
    let leaving = leader(&nodes).id.clone();
    let asked: Vec<&str> = ids
        .iter()
        .map(String::as_str)
        .filter(|id| *id != leaving)
        .collect();
    let removed = nodes[0].raft(&["remove-peer", &leaving, "--addr", &asked.join(",")]);
    assert!(
        removed.contains(&format!("{leaving}  removed")),
        "{removed}"
    );
    let changed = nodes[0].raft(&["change-peers", &peers, "--peers", &asked.join(",")]);
    assert!(changed.contains("removed"), "{changed}");
    nodes.truncate(3);
    nodes.iter().for_each(Node::until_ready);

    // The same over HTTP.
    let at = leader(&nodes);
    let other = nodes.iter().find(|node| node.id != at.id).unwrap();
    let (code, body) = at.http(
        &format!("POST /raft/system/remove-peer?peer={}", other.id),
        "",
    );
    assert!(code == 200 && body.contains("\"before\""), "{code} {body}");
    let (code, body) = at.http(&format!("POST /raft/system/add-peer?peer={}", other.id), "");
    assert!(code == 200 && body.contains(&other.id), "{code} {body}");
    assert_eq!(
        at.http("POST /raft/system/snapshot", ""),
        (200, r#"{"done":true}"#.into())
    );
    let (code, body) = at.http("GET /raft/system/peers?alive=true", "");
    assert!(
        code == 200 && body.contains("\"learners\":[]"),
        "{code} {body}"
    );
    let (code, body) = other.http("POST /raft/system/transfer-leader", "");
    assert!(code == 421 && body.contains(&at.id), "{code} {body}");
    for (request, code) in [
        ("POST /raft/system/add-peer", 400),
        ("POST /raft/system/explode", 400),
        ("POST /raft/system/reset-peers?peers=127.0.0.1:1", 400),
        ("POST /raft/nothing/snapshot", 404),
        ("GET /raft/nothing", 404),
    ] {
        assert_eq!(at.http(request, "").0, code, "{request}");
    }
    let foreign = format!("Host: {}\r\nOrigin: http://example.com\r\n", at.admin);
    assert_eq!(
        at.http_with("POST /raft/system/snapshot", &foreign, "")
            .unwrap()
            .0,
        403
    );
    assert_eq!(
        at.http_with("GET /raft", "Host: example.com\r\n", "")
            .unwrap()
            .0,
        403
    );

    // What is counted.
    let (_, metrics) = at.http("GET /metrics", "");
    for line in [
        "diwan_raft_role{group=\"system\",role=\"leader\"} 1\n",
        &format!(
            "diwan_raft_peer_lag_entries{{group=\"system\",peer=\"{}\"}} ",
            other.id
        ),
        "diwan_wal_sync_seconds_count ",
        "diwan_wal_segments 1\n",
        "diwan_node_malformed_total 0\n",
        "diwan_net_connections ",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }

    // A leader that stops hands on, and comes back to the same cluster.
    let place = nodes
        .iter()
        .position(|node| node.id == leader(&nodes).id)
        .unwrap();
    let stopped = nodes.remove(place);
    let id = stopped.id.clone();
    let (code, logged) = stopped.end("-TERM");
    assert_eq!(code, Some(0), "{logged}");
    assert!(
        logged.contains("leadership is handed on") && logged.contains("stopped"),
        "{logged}"
    );
    let successor = leader(&nodes);
    assert_eq!(successor.http("PUT /meta/owner", "Cid").0, 200);
    let back = start(root.path(), &id, &["--peers", &peers]);
    back.until_ready();
    assert_eq!(back.http("GET /meta/owner", ""), (200, "Cid".into()));

    // The majority is lost for good: the survivor is told so, and goes on alone.
    drop(nodes);
    let (code, _, why) = back.try_raft(&["reset-peers", &id, "--at", &id]);
    assert!(code == 1 && why.contains("--accept-loss"), "{code} {why}");
    back.raft(&["reset-peers", &id, "--at", &id, "--accept-loss"]);
    back.until("GET /raft/system", |(_, body)| {
        body.contains("\"leading\":true")
    });
    assert_eq!(back.http("GET /meta/owner", ""), (200, "Cid".into()));
}

#[test]
fn a_cluster_of_one_keeps_what_it_acknowledged_and_stops_on_ctrl_c() {
    let root = tempfile::tempdir().unwrap();
    let id = free_address();
    let config = root.path().join("diwan.toml");
    fs::write(&config, "[log]\nformat = 'json'\n").unwrap();
    let with = ["--config", config.to_str().unwrap()];
    let node = start(root.path(), &id, &with);
    node.until_ready();
    assert_eq!(node.http("PUT /meta/owner", "Ann").0, 200);
    let (code, _) = node.end("-KILL");
    assert_eq!(code, None);
    let node = start(root.path(), &id, &with);
    node.until_ready();
    assert_eq!(node.http("GET /meta/owner", ""), (200, "Ann".into()));
    let (code, logged) = node.end("-INT");
    assert_eq!(code, Some(0), "{logged}");
    for line in logged.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
}

#[test]
fn nodes_with_a_token_and_certificates_take_nobody_else() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, content: String| {
        let path = root.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = write("ca.pem", params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    let certificate = certificate.signed_by(&key, &issuer).unwrap();
    let certificate = write("node.pem", certificate.pem());
    let key = write("node.key", key.serialize_pem());
    let tls = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}\n");
    let token = write("token", "0123456789abcdef0123456789abcdef\n".into());
    let other = write("other", "0123456789abcdef0123456789abcdeX\n".into());
    let with = |token| format!("{tls}[cluster]\ntoken_file = {token:?}\n");
    let config = write("diwan.toml", with(token));
    let wrong = write("wrong.toml", with(other));
    let without = write("without.toml", tls.clone());

    let ids: Vec<String> = (0..3).map(|_| free_address()).collect();
    let arguments = ["--peers", &ids.join(","), "--config", &config];
    let nodes: Vec<Node> = ids
        .iter()
        .map(|id| start(root.path(), id, &arguments))
        .collect();
    nodes.iter().for_each(Node::until_ready);
    assert_eq!(leader(&nodes).http("PUT /meta/owner", "Ann").0, 200);
    // The administration is on loopback and needs neither; members asked directly need both.
    assert!(nodes[0].raft(&["status"]).contains("leader"));
    let listed = nodes[0].raft(&["peers", "--config", &config]);
    assert_eq!(listed.matches("voter").count(), 2, "{listed}");
    let untokened = |node: &Node| {
        let (_, metrics) = node.http("GET /metrics", "");
        !metrics.contains("diwan_node_untokened_total 0\n")
    };
    assert!(!nodes.iter().any(untokened));
    for (config, says) in [
        (&without, "has not proved that it knows the cluster token"),
        (&wrong, "the cluster tokens differ"),
    ] {
        let (code, _, why) = nodes[0].try_raft(&["peers", "--config", config]);
        assert!(code == 1 && why.contains(says), "{code} {why}");
    }
    assert!(nodes.iter().all(untokened));
    let plain = nodes[0].try_raft(&["peers"]);
    assert_eq!(plain.0, 1, "{plain:?}");
    let (code, _, why) = nodes[0].try_raft(&["peers", "--config", &key]);
    assert!(code == 1 && why.contains("node.key: "), "{code} {why}");
}

#[test]
fn mistakes_of_an_operator_are_said() {
    let root = tempfile::tempdir().unwrap();
    let id = free_address();
    let node = start(root.path(), &id, &[]);
    node.until_ready();
    let nobody = free_address();
    for (arguments, code, says) in [
        (
            &["peers", "--group", "nothing"][..],
            1,
            "there is no group nothing here",
        ),
        (&["peers", "--addr", &nobody], 1, "not connected"),
        (
            &["status", "--group", "nothing"],
            1,
            "there is no group nothing here",
        ),
        (
            &["learners", "promote", "127.0.0.1:9"],
            1,
            "127.0.0.1:9 is no learner of system; learners: none",
        ),
        (&["remove-peer", &id], 1, "no voter"),
        (
            &["transfer-leader", "127.0.0.1:9"],
            1,
            "only a voter can lead",
        ),
        (
            &["add-peer", "nonsense"],
            2,
            "`nonsense` is not a peer: want ip:port",
        ),
        (&["change-peers"], 2, "PEER"),
    ] {
        let (found, _, why) = node.try_raft(arguments);
        assert!(
            found == code && why.contains(says),
            "{arguments:?}: {found} {why}"
        );
    }
    let output = diwan()
        .args(["raft", "status", "--admin", &nobody])
        .output()
        .unwrap();
    let (code, _, why) = said(output);
    assert!(
        code == 1 && why.contains("Connection refused"),
        "{code} {why}"
    );
}

#[test]
fn a_directory_that_is_not_this_nodes_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let (id, other) = (free_address(), free_address());
    let data = root.path().join(&id);
    let refused = |id: &str, data: &Path| {
        let output = diwan()
            .args([
                "server",
                "--no-registry",
                "--no-tx",
                "--no-saga",
                "--node",
                id,
                "--admin",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(data)
            .output();
        let (code, _, err) = said(output.unwrap());
        (code, err)
    };
    let expect = |id: &str, data: &Path, code: i32, says: &str| {
        let (found, why) = refused(id, data);
        assert!(
            found == code && why.contains(says),
            "{code} {says}: {found} {why}"
        );
    };
    let node = start(root.path(), &id, &[]);
    node.until_ready();
    expect(&id, &data, 3, "is used by another process");
    // The port is taken, too: the directory is not touched for it.
    expect(&id, &root.path().join("another"), 8, "in use");
    drop(node);
    expect(
        &other,
        &data,
        4,
        &format!("belongs to node {id}, not to {other}"),
    );

    let identity = fs::read_to_string(data.join("node")).unwrap();
    fs::write(data.join("node"), identity.replace("diwan 1", "diwan 99")).unwrap();
    expect(&id, &data, 5, "has layout diwan 99");
    fs::write(data.join("node"), &identity).unwrap();

    let foreign = root.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter.txt"), "Dear").unwrap();
    expect(&id, &foreign, 6, "is not a data directory");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);

    let set_aside = root.path().join("set aside");
    fs::rename(data.join("wal"), &set_aside).unwrap();
    expect(&id, &data, 6, "its log is gone");
    fs::rename(&set_aside, data.join("wal")).unwrap();
    let node = start(root.path(), &id, &[]);
    node.until_ready();
}

#[test]
fn a_wrong_configuration_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("diwan.toml");
    for (text, says) in [
        (
            "node = '127.0.0.1:8701'\n[raft]\nelection_timout_ms = 400\n",
            "diwan.toml: line 3: unknown key `raft.election_timout_ms`; did you mean `raft.election_timeout_ms`?",
        ),
        ("[raft]\nelection_timeout_ms = 'long'\n", "line 2"),
        (
            "node = '127.0.0.1:8701'\ndata = 'd'\npeers = ['127.0.0.1:8702']\n",
            "start it with --join",
        ),
        (
            "node = '127.0.0.1:8701'\n",
            "a node needs a directory: --data DIR",
        ),
        (
            "node = '127.0.0.1:8701'\ndata = 'd'\nlog.level = '=='\n",
            "log.level",
        ),
    ] {
        fs::write(&config, text).unwrap();
        let output = diwan()
            .current_dir(root.path())
            .args([
                "server",
                "--no-registry",
                "--no-tx",
                "--no-saga",
                "--config",
                "diwan.toml",
            ])
            .output();
        let (code, _, why) = said(output.unwrap());
        assert!(code == 2 && why.contains(says), "{text}: {code} {why}");
        assert!(!root.path().join("d").exists(), "{text}");
    }
}

#[test]
fn damaged_data_are_refused_and_the_place_is_named() {
    let root = tempfile::tempdir().unwrap();
    let id = free_address();
    let data = root.path().join(&id);
    let config = root.path().join("diwan.toml");
    fs::write(&config, "[raft]\nsnapshot_keep_entries = 0\n").unwrap();
    let node = start(root.path(), &id, &["--config", config.to_str().unwrap()]);
    node.until_ready();
    for number in 0..3 {
        assert_eq!(node.http(&format!("PUT /meta/{number}"), "x").0, 200);
    }
    assert_eq!(node.http("POST /raft/system/snapshot", "").0, 200);
    assert_eq!(node.http("PUT /meta/last", "x").0, 200);
    assert_eq!(node.end("-TERM").0, Some(0));

    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let expect = |says: &str| {
        let output = diwan()
            .args([
                "server",
                "--no-registry",
                "--no-tx",
                "--no-saga",
                "--node",
                &id,
                "--admin",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(&data)
            .output();
        let (code, _, why) = said(output.unwrap());
        assert!(code == 7 && why.contains(says), "{says}: {code} {why}");
    };
    let only = |directory: &Path| {
        let mut entries = fs::read_dir(directory).unwrap();
        entries.next().unwrap().unwrap().path()
    };
    let snapshots = data.join("groups/system");
    let snapshot = only(&snapshots).join("data");
    flip(&snapshot, 3);
    expect("data has checksum");
    flip(&snapshot, 3);
    // The log begins after the snapshot: without it there is nothing to begin with.
    let set_aside = root.path().join("set aside");
    fs::rename(&snapshots, &set_aside).unwrap();
    expect("group system");
    fs::rename(&set_aside, &snapshots).unwrap();
    let segment = data.join("wal/00000001.segment");
    flip(&segment, 8200);
    expect("00000001.segment");
    flip(&segment, 8200);
    let node = start(root.path(), &id, &[]);
    node.until_ready();
    assert_eq!(node.http("GET /meta/last", ""), (200, "x".into()));
}
