//! Clients of real engines.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use diwan_engine::{Block, Failure, Position, Reply, Request, Seen, Snapshot, contract};
use diwan_external::{Address, Client, CopyError, copy};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{Etcd, Postgres, wanted};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const TIMEOUT: Duration = Duration::from_secs(3);

async fn connect(url: &str) -> Result<Client, Failure> {
    let address: Address = url.parse().unwrap();
    Client::connect(&address, TIMEOUT).await
}

async fn opened(url: &str, log: &str) -> Client {
    let client = connect(url).await.unwrap();
    client.open(log).await.unwrap();
    client
}

async fn keeps_the_contract(url: &str) {
    let client = connect(url).await.unwrap();
    contract::check("contract", |log, request| {
        let client = client.clone();
        async move {
            client.open(&log).await?;
            client.call(&log, request).await
        }
    })
    .await;
}

fn append(term: u64, number: u64) -> Request {
    let block = Bytes::from(format!("block {number} of {term}"));
    Request::Append {
        term,
        number,
        block,
    }
}

async fn take(client: &Client, log: &str) -> u64 {
    let seen = look(client, log).await;
    let owner = "v1 0 1000 test".to_owned();
    match client.call(log, Request::Take { seen, owner }).await {
        Ok(Reply::Taken { term }) => term,
        other => panic!("{other:?}"),
    }
}

async fn look(client: &Client, log: &str) -> Seen {
    match client.call(log, Request::Look).await {
        Ok(Reply::Head(head)) => head.seen,
        other => panic!("{other:?}"),
    }
}

async fn blocks(client: &Client, log: &str) -> Vec<Bytes> {
    let read = Request::Read {
        from: 0,
        bytes_max: 1 << 20,
    };
    match client.call(log, read).await {
        Ok(Reply::Blocks(blocks)) => blocks,
        other => panic!("{other:?}"),
    }
}

/// Tries until the engine answers again.
async fn eventually(client: &Client, log: &str, request: Request) -> Reply {
    for _ in 0..100 {
        match client.call(log, request.clone()).await {
            Ok(reply) => return reply,
            Err(failure) => assert!(failure.is_unknown(), "{failure}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the engine does not come back");
}

/// Between a client and an engine: hands on until it is told to swallow what comes back.
struct Proxy {
    port: u16,
    swallow: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Proxy {
    async fn start(to: u16) -> Self {
        use std::sync::atomic::Ordering::SeqCst;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let swallow = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let swallows = swallow.clone();
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = tokio::net::TcpStream::connect(("127.0.0.1", to)).await;
                let Ok(far) = far else { continue };
                let (mut near_in, mut near_out) = near.into_split();
                let (mut far_in, mut far_out) = far.into_split();
                let there = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut near_in, &mut far_out).await;
                });
                let swallows = swallows.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(bytes @ 1..) = far_in.read(&mut buffer).await {
                        // The reply is on its way, and never arrives: the connection dies.
                        if swallows.load(SeqCst)
                            || near_out.write_all(&buffer[..bytes]).await.is_err()
                        {
                            break;
                        }
                    }
                    there.abort();
                });
            }
        });
        Self { port, swallow }
    }

    fn swallow(&self, swallow: bool) {
        self.swallow
            .store(swallow, std::sync::atomic::Ordering::SeqCst);
    }
}

/// A connection that dies between request and reply: unknown, and it was carried out.
async fn a_lost_reply_is_unknown(url: &str, port: u16) {
    let proxy = Proxy::start(port).await;
    let url = url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
    let client = opened(&url, "lost").await;
    let term = take(&client, "lost").await;
    assert_eq!(client.call("lost", append(term, 0)).await, Ok(Reply::Done));
    proxy.swallow(true);
    let lost = client.call("lost", append(term, 1)).await.unwrap_err();
    assert!(lost.is_unknown(), "{lost}");
    proxy.swallow(false);
    let read = Request::Read {
        from: 1,
        bytes_max: 1,
    };
    let Reply::Blocks(read) = eventually(&client, "lost", read).await else {
        panic!("no blocks");
    };
    assert_eq!(read, [format!("block 1 of {term}")]);
    assert_eq!(
        eventually(&client, "lost", append(term, 1)).await,
        Reply::Refused
    );
    assert_eq!(
        eventually(&client, "lost", append(term, 2)).await,
        Reply::Done
    );
}

async fn changes_are_told(url: &str) {
    let client = opened(url, "told").await;
    let mut told = client.changes("told");
    let term = take(&client, "told").await;
    let mut number = 0;
    // It takes a moment until it listens.
    let first = async {
        loop {
            let done = client.call("told", append(term, number)).await;
            assert_eq!(done, Ok(Reply::Done));
            number += 1;
            if tokio::time::timeout(Duration::from_millis(200), told.changed())
                .await
                .is_ok()
            {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), first)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    told.borrow_and_update();
    let seen = look(&client, "told").await;
    assert_eq!(
        client
            .call("told", Request::Resign { term: seen.term })
            .await,
        Ok(Reply::Done)
    );
    let changed = tokio::time::timeout(Duration::from_secs(20), told.changed()).await;
    changed.expect("told of it").unwrap();
}

async fn what_was_acknowledged_outlives(client: &Client, log: &str, term: u64, before: u64) {
    let Reply::Blocks(blocks) = eventually(
        client,
        log,
        Request::Read {
            from: 0,
            bytes_max: 1 << 20,
        },
    )
    .await
    else {
        panic!("no blocks");
    };
    assert!(blocks.len() as u64 >= before);
    assert_eq!(
        blocks[before as usize - 1],
        format!("block {} of {term}", before - 1)
    );
    let next = blocks.len() as u64;
    assert_eq!(
        eventually(client, log, append(term, next)).await,
        Reply::Done
    );
}

#[tokio::test]
async fn etcd_keeps_the_contract() {
    if !wanted("etcd") {
        return;
    }
    let etcd = Etcd::start(&[]);
    keeps_the_contract(&etcd.url()).await;
    changes_are_told(&etcd.url()).await;
    a_lost_reply_is_unknown(&etcd.url(), etcd.port).await;
}

#[tokio::test]
async fn postgres_keeps_the_contract() {
    if !wanted("postgres") {
        return;
    }
    let postgres = Postgres::start("");
    keeps_the_contract(&postgres.url()).await;
    changes_are_told(&postgres.url()).await;
    a_lost_reply_is_unknown(&postgres.url(), postgres.port).await;
}

#[tokio::test]
async fn etcd_is_killed() {
    if !wanted("etcd") {
        return;
    }
    let mut etcd = Etcd::start(&[]);
    let client = opened(&etcd.url(), "killed").await;
    let term = take(&client, "killed").await;
    for number in 0..20 {
        assert_eq!(
            client.call("killed", append(term, number)).await,
            Ok(Reply::Done)
        );
    }
    etcd.kill();
    let gone = client.call("killed", append(term, 20)).await.unwrap_err();
    assert!(gone.is_unknown(), "{gone}");
    etcd.run();
    what_was_acknowledged_outlives(&client, "killed", term, 20).await;
}

#[tokio::test]
async fn postgres_is_killed() {
    if !wanted("postgres") {
        return;
    }
    let postgres = Postgres::start("");
    let client = opened(&postgres.url(), "killed").await;
    let term = take(&client, "killed").await;
    for number in 0..20 {
        assert_eq!(
            client.call("killed", append(term, number)).await,
            Ok(Reply::Done)
        );
    }
    postgres.kill();
    let gone = client.call("killed", append(term, 20)).await.unwrap_err();
    assert!(gone.is_unknown(), "{gone}");
    postgres.run();
    what_was_acknowledged_outlives(&client, "killed", term, 20).await;
}

#[tokio::test]
async fn etcd_without_space_says_so_and_is_read() {
    if !wanted("etcd") {
        return;
    }
    let etcd = Etcd::start(&["--quota-backend-bytes", "4000000"]);
    let client = opened(&etcd.url(), "full").await;
    let term = take(&client, "full").await;
    let mut number = 0;
    let failure = loop {
        let block = Bytes::from(vec![7; 500_000]);
        match client
            .call(
                "full",
                Request::Append {
                    term,
                    number,
                    block,
                },
            )
            .await
        {
            Ok(Reply::Done) => number += 1,
            Ok(other) => panic!("{other:?}"),
            Err(failure) => break failure,
        }
        assert!(number < 100);
    };
    assert!(matches!(failure, Failure::NoSpace(_)), "{failure}");
    assert_eq!(look(&client, "full").await.next, number);
    assert!(!blocks(&client, "full").await.is_empty());
    let beat = client
        .call("full", Request::Beat { term })
        .await
        .unwrap_err();
    assert!(matches!(beat, Failure::NoSpace(_)), "{beat}");
}

#[tokio::test]
async fn etcd_refuses_what_is_too_large_and_who_may_not() {
    if !wanted("etcd") {
        return;
    }
    let etcd = Etcd::start(&["--max-request-bytes", "100000"]);
    let client = opened(&etcd.url(), "large").await;
    let term = take(&client, "large").await;
    let block = Bytes::from(vec![7; 200_000]);
    let failure = client
        .call(
            "large",
            Request::Append {
                term,
                number: 0,
                block,
            },
        )
        .await;
    let failure = failure.unwrap_err();
    assert!(matches!(failure, Failure::TooLarge(_)), "{failure}");

    etcd.ctl(&["put", "test/other/format", "diwan-log 2"]);
    let failure = client.open("other").await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Foreign(what) if what.contains("diwan-log 2")),
        "{failure}"
    );

    etcd.ctl(&["user", "add", "root:secret"]);
    etcd.ctl(&["user", "grant-role", "root", "root"]);
    etcd.ctl(&["auth", "enable"]);
    let failure = client.call("large", Request::Look).await.unwrap_err();
    assert!(matches!(failure, Failure::Denied(_)), "{failure}");
    let wrong = format!("etcd://root:wrong@127.0.0.1:{}/test", etcd.port);
    let failure = connect(&wrong)
        .await
        .unwrap()
        .open("large")
        .await
        .unwrap_err();
    assert!(matches!(failure, Failure::Denied(_)), "{failure}");
    let right = format!("etcd://root:secret@127.0.0.1:{}/test", etcd.port);
    assert_eq!(look(&opened(&right, "large").await, "large").await.next, 0);
}

#[tokio::test]
async fn postgres_that_would_lose_writes_is_refused() {
    if !wanted("postgres") {
        return;
    }
    let unsafe_one = Postgres::start("fsync = off\n");
    let failure = connect(&unsafe_one.url()).await.map(drop).unwrap_err();
    assert!(failure.to_string().contains("fsync = off"), "{failure}");
    drop(unsafe_one);

    let postgres = Postgres::start("password_encryption = 'scram-sha-256'\n");
    let client = opened(&postgres.url(), "log").await;
    let term = take(&client, "log").await;
    postgres.sql("CREATE ROLE guest LOGIN PASSWORD 'right'");
    let guest = postgres.url().replace("postgres@", "guest:right@");
    let failure = connect(&guest).await.map(drop).unwrap_err();
    assert!(matches!(failure, Failure::Denied(_)), "{failure}");
    let other = format!("{guest}&schema=other");
    let failure = connect(&other).await.map(drop).unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("CREATE SCHEMA IF NOT EXISTS other"),
        "{failure}"
    );
    let nowhere = postgres.url().replace("/postgres?", "/nowhere?");
    let failure = connect(&nowhere).await.map(drop).unwrap_err();
    assert!(matches!(failure, Failure::Denied(_)), "{failure}");

    postgres.sql("ALTER DATABASE postgres SET default_transaction_read_only = on");
    postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'diwan'",
    );
    // Until the client has noticed that its connections are gone.
    let failure = loop {
        match client.call("log", append(term, 0)).await {
            Err(Failure::Unknown(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => break other.unwrap_err(),
        }
    };
    assert!(matches!(failure, Failure::ReadOnly(_)), "{failure}");
    let failure = connect(&postgres.url()).await.map(drop).unwrap_err();
    assert!(matches!(failure, Failure::ReadOnly(_)), "{failure}");
    postgres.sql("ALTER DATABASE postgres RESET default_transaction_read_only");
    assert_eq!(
        eventually(&client, "log", append(term, 0)).await,
        Reply::Done
    );

    let hba = postgres.data().join("pg_hba.conf");
    std::fs::write(
        &hba,
        "host all guest 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n",
    )
    .unwrap();
    postgres.sql("SELECT pg_reload_conf()");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let wrong = postgres.url().replace("postgres@", "guest:wrong@");
    let failure = connect(&wrong).await.map(drop).unwrap_err();
    assert!(matches!(failure, Failure::Denied(_)), "{failure}");

    postgres.sql("UPDATE diwan.format SET version = 2");
    let failure = connect(&postgres.url()).await.map(drop).unwrap_err();
    assert!(matches!(failure, Failure::Foreign(_)), "{failure}");
}

/// An authority in `ca.pem`, another one in `other.pem`, and a certificate of the first for 127.0.0.1.
fn certificates(directory: &std::path::Path) {
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    let authority = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        write(name, params.self_signed(&key).unwrap().pem());
        Issuer::new(params, key)
    };
    let issuer = authority("ca.pem");
    authority("other.pem");
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    write(
        "node.pem",
        certificate.signed_by(&key, &issuer).unwrap().pem(),
    );
    write("node.key", key.serialize_pem());
}

#[tokio::test]
async fn etcd_over_tls() {
    if !wanted("etcd") {
        return;
    }
    let files = tempfile::tempdir().unwrap();
    certificates(files.path());
    let file = |name: &str| files.path().join(name).to_string_lossy().into_owned();
    let certificate = format!("--cert-file={}", file("node.pem"));
    let key = format!("--key-file={}", file("node.key"));
    let etcd = Etcd::start(&[&certificate, &key]);
    let url = |ca: &str| format!("etcds://127.0.0.1:{}/test?ca={}", etcd.port, file(ca));
    let client = opened(&url("ca.pem"), "tls").await;
    let term = take(&client, "tls").await;
    assert_eq!(client.call("tls", append(term, 0)).await, Ok(Reply::Done));
    let failure = connect(&url("other.pem")).await.unwrap().open("tls").await;
    let failure = failure.unwrap_err().to_string();
    assert!(failure.contains("certificate"), "{failure}");
    let failure = connect(&url("missing.pem")).await.map(drop).unwrap_err();
    assert!(failure.to_string().contains("missing.pem"), "{failure}");
}

#[tokio::test]
async fn postgres_over_tls() {
    if !wanted("postgres") {
        return;
    }
    let postgres = Postgres::start("");
    let files = postgres.data();
    certificates(&files);
    postgres.own("node.key");
    postgres.sql("ALTER SYSTEM SET ssl_cert_file = 'node.pem'");
    postgres.sql("ALTER SYSTEM SET ssl_key_file = 'node.key'");
    postgres.sql("ALTER SYSTEM SET ssl = on");
    postgres.sql("SELECT pg_reload_conf()");
    let base = postgres.url();
    let base = base.split('?').next().unwrap().to_owned();
    let url = |mode: &str, ca: &str| {
        let ca = files.join(ca);
        format!("{base}?sslmode={mode}&sslrootcert={}", ca.display())
    };
    // The server reads its configuration in its own time.
    let began = std::time::Instant::now();
    let client = loop {
        match connect(&url("verify-full", "ca.pem")).await {
            Ok(client) => break client,
            Err(failure) => assert!(began.elapsed() < Duration::from_secs(20), "{failure}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    client.open("tls").await.unwrap();
    let term = take(&client, "tls").await;
    assert_eq!(client.call("tls", append(term, 0)).await, Ok(Reply::Done));
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'diwan' AND ssl";
    assert_ne!(postgres.sql(encrypted).trim(), "0");
    for mode in ["verify-full", "verify-ca", "require"] {
        let failure = connect(&url(mode, "other.pem"))
            .await
            .map(drop)
            .unwrap_err();
        assert!(
            failure.to_string().contains("certificate"),
            "{mode}: {failure}"
        );
    }
    // The certificate names an address only.
    let named = base.replace("127.0.0.1", "localhost");
    let named = |mode: &str| {
        format!(
            "{named}?sslmode={mode}&sslrootcert={}",
            files.join("ca.pem").display()
        )
    };
    connect(&named("verify-ca")).await.map(drop).unwrap();
    assert!(connect(&named("verify-full")).await.is_err());
    connect(&format!("{base}?sslmode=require"))
        .await
        .map(drop)
        .unwrap();
}

/// A log that goes to the other engine and back is what it was, and goes on in higher terms.
#[tokio::test]
async fn a_log_is_copied_there_and_back() {
    if !wanted("etcd") || !wanted("postgres") {
        return;
    }
    let (etcd, postgres) = (Etcd::start(&[]), Postgres::start(""));
    let (one, other) = (
        connect(&etcd.url()).await.unwrap(),
        connect(&postgres.url()).await.unwrap(),
    );
    let back = connect(&format!("{}-back", etcd.url())).await.unwrap();
    for with_snapshot in [false, true] {
        let log = if with_snapshot { "with" } else { "without" };
        one.open(log).await.unwrap();
        let term = take(&one, log).await;
        let mut position = Position::beginning(log);
        for number in 0..20 {
            let block = Block {
                number,
                term,
                nonce: 1,
                first: position.index + 1,
                chain: position.chain,
                commands: vec![Bytes::from(format!("command {number}")); 3],
            };
            let (bytes, checksum) = block.write();
            let append = Request::Append {
                term,
                number,
                block: bytes,
            };
            assert_eq!(one.call(log, append).await, Ok(Reply::Done));
            position = Position::after(&block, checksum);
            if number == 9 && with_snapshot {
                let id = (term << 20) + 1;
                let data = Bytes::from("a state");
                let snapshot = Snapshot {
                    id,
                    position,
                    pieces: 1,
                    bytes: data.len() as u64,
                    checksum: crc32c::crc32c(&data),
                };
                let put = Request::PutPiece {
                    term,
                    snapshot: id,
                    piece: 0,
                    data,
                };
                assert_eq!(one.call(log, put).await, Ok(Reply::Done));
                let seal = Request::Seal {
                    term,
                    over: None,
                    snapshot: snapshot.to_string(),
                };
                assert_eq!(one.call(log, seal).await, Ok(Reply::Done));
            }
        }
        // Its owner did not resign: it was killed.
        let there = copy(&one, &other, log).await.unwrap();
        assert_eq!(
            (there.index, there.blocks),
            (60, if with_snapshot { 10 } else { 20 })
        );
        assert!(matches!(
            copy(&one, &other, log).await,
            Err(CopyError::Exists)
        ));
        let again = copy(&other, &back, log).await.unwrap();
        assert_eq!(again, there);
        let seen = look(&back, log).await;
        assert_eq!(seen.next, 20);
        let later = take(&back, log).await;
        assert!(later > take(&other, log).await && later > term);
        assert_eq!(back.call(log, append(later, 20)).await, Ok(Reply::Done));
        assert_eq!(back.call(log, append(term, 21)).await, Ok(Reply::Refused));
    }
    // Somebody works with it.
    one.open("live").await.unwrap();
    let term = take(&one, "live").await;
    let beats = async {
        loop {
            let _ = one.call("live", Request::Beat { term }).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let copied = tokio::select! {
        copied = copy(&one, &other, "live") => copied,
        () = beats => unreachable!(),
    };
    assert!(matches!(copied, Err(CopyError::Owned { .. })), "{copied:?}");
}
