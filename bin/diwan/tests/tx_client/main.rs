//! The application's side of distributed transactions, `diwan::tx`, with real nodes: what a transaction does to its participants, also
//! when one of them or the coordinator is killed between the phases.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod killed;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use diwan::rpc::{ConsumerOptions, NoException, RpcError, Server, ServiceClient};
use diwan::tx::{
    Branch, GlobalStatus, Propagation, Tcc, TccAction, TransactionError, Transactional, TxClient,
    TxOptions, XidFilter, current_xid,
};
use serde::{Deserialize, Serialize};
use support::{Node, diwan, free_address, said};

const PATIENCE: Duration = Duration::from_secs(30);

/// Why the work of a test fails.
#[derive(Debug)]
enum Problem {
    Transaction(TransactionError),
    Other(String),
}

impl From<TransactionError> for Problem {
    fn from(error: TransactionError) -> Self {
        Self::Transaction(error)
    }
}

impl From<RpcError<NoException>> for Problem {
    fn from(error: RpcError<NoException>) -> Self {
        Self::Other(error.to_string())
    }
}

struct World {
    node: Node,
    /// Where clients find the coordinator: that node, and those that it has beside it.
    listen: Vec<String>,
    others: Vec<Node>,
    _root: tempfile::TempDir,
}

fn start() -> World {
    start_many(1)
}

fn start_many(count: usize) -> World {
    let root = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..count).map(|_| free_address()).collect();
    let (peers, mut listens) = (ids.join(","), Vec::new());
    let node = |id: &String| {
        let (listen, http) = (free_address(), free_address());
        let config = root.path().join(format!("{id}.toml"));
        let text = format!("[tx]\nlisten = \"{listen}\"\nhttp = \"{http}\"\n");
        fs::write(&config, text).unwrap();
        listens.push(listen);
        let config = config.to_str().unwrap();
        let more = [
            "--no-registry",
            "--no-saga",
            "--peers",
            &peers,
            "--config",
            config,
        ];
        Node::start(root.path(), id, &more)
    };
    let mut nodes: Vec<Node> = ids.iter().map(node).collect();
    World {
        node: nodes.remove(0),
        listen: listens,
        others: nodes,
        _root: root,
    }
}

impl World {
    fn client(&self, application: &str) -> TxClient {
        TxClient::start(TxOptions::new(application, &self.listen)).unwrap()
    }

    /// The node that leads the coordinator.
    fn leader(&mut self) -> &mut Node {
        let began = Instant::now();
        loop {
            let leads = |node: &Node| {
                let metrics = node.until("GET /metrics", |(code, _)| *code == 200);
                let is = |line: &str| {
                    line.contains("_leading{") && line.contains("=\"tx\"") && line.ends_with(" 1")
                };
                metrics.lines().any(is)
            };
            if leads(&self.node) {
                return &mut self.node;
            }
            if let Some(place) = self.others.iter().position(leads) {
                return &mut self.others[place];
            }
            assert!(began.elapsed() < PATIENCE, "nobody leads");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What `diwan tx list` says.
    fn list(&self) -> String {
        let (code, out, err) = list(&self.node);
        assert_eq!(code, 0, "{err}");
        out
    }

    async fn until_empty(&self) {
        let mut last = String::new();
        let is_empty = || {
            last = self.list();
            last == "no transactions\n"
        };
        assert!(until(is_empty).await, "{last}");
    }
}

/// What `diwan tx list` says of what this node knows: exit code, output and what else there is to be said.
fn list(node: &Node) -> (i32, String, String) {
    let output = diwan()
        .args(["tx", "list", "--admin", &node.admin])
        .output();
    said(output.unwrap())
}

/// Whether it holds some time.
async fn until(mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Amount {
    account: String,
    cents: i64,
}

/// What was done to an account, in order.
#[derive(Default)]
struct Account {
    name: String,
    steps: Mutex<Vec<String>>,
    /// Its commits panic, fail or wait as long as these are set.
    panics: AtomicBool,
    fails: AtomicBool,
    waits: AtomicBool,
}

impl Account {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    fn note(&self, step: &str, amount: &Amount) {
        let text = format!("{step} {} {}", amount.account, amount.cents);
        self.steps.lock().unwrap().push(text);
    }

    fn steps(&self) -> Vec<String> {
        self.steps.lock().unwrap().clone()
    }
}

struct Change(Arc<Account>);

impl TccAction for Change {
    type Arguments = Amount;
    type Prepared = ();
    type Error = String;

    fn name(&self) -> &str {
        &self.0.name
    }

    async fn prepare(&self, branch: &Branch, amount: &Amount) -> Result<(), String> {
        assert_eq!(current_xid().as_deref(), Some(&*branch.xid));
        if amount.cents < 0 {
            return Err("a negative amount".into());
        }
        self.0.note("try", amount);
        Ok(())
    }

    async fn commit(&self, _: &Branch, amount: Amount) -> Result<(), String> {
        assert!(!self.0.panics.load(SeqCst), "as it was to");
        while self.0.waits.load(SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if self.0.fails.load(SeqCst) {
            return Err("not now".into());
        }
        self.0.note("commit", &amount);
        Ok(())
    }

    async fn rollback(&self, _: &Branch, amount: Amount) -> Result<(), String> {
        self.0.note("rollback", &amount);
        Ok(())
    }
}

/// Changes an account as part of the caller's transaction.
#[diwan::service(interface = "com.x.Participant")]
trait Participant {
    async fn change(&self, account: String, cents: i64) -> String;
    /// The transaction that the call came in.
    async fn xid(&self) -> String;
    /// The same on a thread for blocking methods.
    fn blocking_xid(&self) -> String;
}

struct Participating(Tcc<Change>);

impl Participant for Participating {
    async fn change(&self, account: String, cents: i64) -> String {
        match self.0.prepare(&Amount { account, cents }).await {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    async fn xid(&self) -> String {
        current_xid().unwrap_or_default()
    }

    fn blocking_xid(&self) -> String {
        current_xid().unwrap_or_default()
    }
}

/// A participant of its own application, and its clients'.
struct Part {
    account: Arc<Account>,
    tx: TxClient,
    client: ParticipantClient,
    _server: Server,
}

fn participant(world: &World, name: &str) -> Part {
    let account = Arc::new(Account::named(name));
    let tx = world.client(name);
    let tcc = tx.tcc(Change(account.clone())).unwrap();
    let server = Server::builder("127.0.0.1:0")
        .publish(ParticipantServer::new(Participating(tcc)))
        .start()
        .unwrap();
    Part {
        account,
        tx,
        client: calling(&format!("bolt://{}", server.local_addr())),
        _server: server,
    }
}

fn calling(url: &str) -> ParticipantClient {
    let options = ConsumerOptions {
        filters: vec![Arc::new(XidFilter)],
        timeout: PATIENCE,
        ..ConsumerOptions::default()
    };
    ParticipantClient::direct(url, options).unwrap()
}

impl Part {
    async fn change(&self, account: &str, cents: i64) -> Result<(), Problem> {
        let problem = self.client.change(account.into(), cents).await?;
        match problem.is_empty() {
            true => Ok(()),
            false => Err(Problem::Other(problem)),
        }
    }
}

#[diwan::transactional(name = "transfer", timeout_ms = 20_000, client = client)]
async fn transfer(
    client: &TxClient,
    from: &Part,
    to: &Part,
    cents: [i64; 2],
) -> Result<String, Problem> {
    from.change("a", cents[0]).await?;
    to.change("b", cents[1]).await?;
    let xid = current_xid().unwrap();
    assert_eq!(from.client.xid().await?, xid);
    assert_eq!(from.client.blocking_xid().await?, xid);
    Ok(xid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_participants_do_all_or_nothing() {
    let world = start();
    let client = world.client("shop");
    let (one, other) = (participant(&world, "one"), participant(&world, "other"));
    let xid = transfer(&client, &one, &other, [5, 5]).await.unwrap();
    assert!(xid.starts_with(&world.listen[0]), "{xid}");
    assert_eq!(one.account.steps(), ["try a 5", "commit a 5"]);
    assert_eq!(other.account.steps(), ["try b 5", "commit b 5"]);
    assert_eq!(client.status(&xid).await, Ok(GlobalStatus::Finished));
    // The second one refuses.
    let refused = transfer(&client, &one, &other, [7, -7]).await;
    assert!(
        matches!(&refused, Err(Problem::Other(why)) if why == "a negative amount"),
        "{refused:?}"
    );
    assert_eq!(one.account.steps()[2..], ["try a 7", "rollback a 7"]);
    // Its branch was registered: it is rolled back though it was not tried.
    assert_eq!(other.account.steps()[2..], ["rollback b -7"]);
    world.until_empty().await;
    // Outside of a transaction nothing is tried, and nothing is said of one.
    let counters = client.counters();
    assert_eq!((counters.begun, counters.ended), (2, 2));
    assert!(
        counters.connections >= 1 && counters.end_failed == 0,
        "{counters}"
    );
    let counters = one.tx.counters();
    let branches = (
        counters.branches_registered,
        counters.branches_committed,
        counters.branches_rolled_back,
    );
    assert_eq!(branches, (2, 1, 1));
    let line = "\ndiwan_tx_client_branches_committed_total 1\n";
    assert!(counters.to_string().contains(line), "{counters}");
    let alone = one.change("a", 1).await;
    assert!(matches!(&alone, Err(Problem::Other(why)) if why == "one is tried in no transaction"));
    assert_eq!(one.client.xid().await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_or_panics_or_is_dropped_is_rolled_back() {
    let world = start();
    let client = world.client("shop");
    let one = participant(&world, "one");
    let short = Transactional {
        timeout: Duration::from_millis(700),
        ..Transactional::new("short")
    };
    // The coordinator ends it, and the work hears of it at its own end.
    let late = short.run(&client, async {
        one.change("a", 1).await?;
        assert!(until(|| one.account.steps().len() == 2).await);
        Ok::<_, Problem>(())
    });
    let late = late.await;
    assert!(
        matches!(
            &late,
            Err(Problem::Transaction(TransactionError::TimedOut { .. }))
        ),
        "{late:?}"
    );
    assert_eq!(one.account.steps(), ["try a 1", "rollback a 1"]);
    // A commit of it, and of one that never was, is told so.
    let xid = client
        .begin("late", Duration::from_millis(1))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let status = client.commit(&xid).await.unwrap();
    let told = [GlobalStatus::TimeoutRollbacking, GlobalStatus::Finished];
    assert!(told.contains(&status), "{status}");
    assert_eq!(
        client.commit("1.2.3.4:5:6").await,
        Ok(GlobalStatus::Finished)
    );

    let long = Transactional::new("long");
    let panics = tokio::spawn({
        let (client, call) = (client.clone(), one.client.clone());
        let long = long.clone();
        async move {
            long.run(&client, async {
                call.change("p".into(), 2).await?;
                assert!(call.xid().await?.is_empty(), "as it was to");
                Ok::<_, Problem>(())
            })
            .await
        }
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert_eq!(one.account.steps()[2..], ["try p 2", "rollback p 2"]);

    let work = long.run(&client, async {
        one.change("d", 3).await?;
        std::future::pending::<Result<(), Problem>>().await
    });
    let dropped = tokio::time::timeout(Duration::from_millis(500), work).await;
    assert!(dropped.is_err());
    assert!(until(|| one.account.steps().len() == 6).await);
    assert_eq!(one.account.steps()[4..], ["try d 3", "rollback d 3"]);
    world.until_empty().await;
}

#[diwan::transactional(client = client)]
async fn outer(client: &TxClient, inner: Propagation, fail: bool) -> Result<[String; 3], Problem> {
    let before = current_xid().unwrap_or_default();
    let nested = Transactional {
        propagation: inner,
        ..Transactional::new("inner")
    };
    let inside = nested.run(client, async {
        let inside = current_xid().unwrap_or_default();
        match fail {
            true => Err(Problem::Other(inside)),
            false => Ok(inside),
        }
    });
    let inside = match inside.await {
        Ok(inside) | Err(Problem::Other(inside)) => inside,
        Err(Problem::Transaction(error)) => error.to_string(),
    };
    // Whatever the inner one did, the outer one is open.
    assert_eq!(client.status(&before).await.unwrap(), GlobalStatus::Begin);
    Ok([before, inside, current_xid().unwrap_or_default()])
}

#[tokio::test]
async fn nested_work_takes_part_as_it_says() {
    let world = start();
    let client = world.client("shop");
    for fail in [false, true] {
        for (propagation, takes_part) in [
            (Propagation::Required, true),
            (Propagation::Supports, true),
            (Propagation::Mandatory, true),
            (Propagation::RequiresNew, false),
            (Propagation::NotSupported, false),
            (Propagation::Never, false),
        ] {
            let [before, inside, after] = outer(&client, propagation, fail).await.unwrap();
            assert_eq!(before, after);
            assert_eq!(inside == before, takes_part, "{propagation:?}: {inside}");
            match propagation {
                Propagation::NotSupported => assert_eq!(inside, ""),
                Propagation::Never => assert!(inside.contains("must not run in a transaction")),
                Propagation::RequiresNew => assert!(inside.starts_with(&world.listen[0])),
                _ => {}
            }
        }
    }
    // Without an outer one.
    let alone = |propagation| Transactional {
        propagation,
        ..Transactional::new("alone")
    };
    let xid = async || Ok::<_, Problem>(current_xid());
    for propagation in [
        Propagation::Supports,
        Propagation::NotSupported,
        Propagation::Never,
    ] {
        let none = alone(propagation).run(&client, xid()).await.unwrap();
        assert_eq!(none, None, "{propagation:?}");
    }
    let mandatory = alone(Propagation::Mandatory).run(&client, xid()).await;
    assert!(matches!(
        mandatory,
        Err(Problem::Transaction(TransactionError::NotInTransaction(name))) if name == "alone"
    ));
    world.until_empty().await;
}

struct Shop {
    tx: TxClient,
}

impl Shop {
    #[diwan::transactional(client = self.tx)]
    async fn order(&self, mut names: Vec<String>) -> Result<(String, Vec<String>), Problem> {
        names.push(current_xid().unwrap());
        let inner = installed(names.len()).await?;
        Ok((inner, names))
    }
}

#[diwan::transactional(propagation = "requires_new")]
async fn installed(count: usize) -> Result<String, Problem> {
    if count > 1 {
        return Err(Problem::Other("as it was to".into()));
    }
    Ok(current_xid().unwrap())
}

#[tokio::test]
async fn methods_are_transactions_and_the_process_has_a_client() {
    let world = start();
    let tx = world.client("shop");
    let nobody = installed(0).await;
    assert!(matches!(
        nobody,
        Err(Problem::Transaction(TransactionError::NoClient))
    ));
    tx.install().unwrap();
    assert!(tx.install().is_err());
    let shop = Shop { tx };
    let (inner, names) = shop.order(Vec::new()).await.unwrap();
    assert_ne!([inner], *names);
    let failed = shop.order(vec!["x".into()]).await;
    assert!(matches!(failed, Err(Problem::Other(why)) if why == "as it was to"));
    world.until_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_cannot_yet_is_told_again() {
    let world = start();
    let client = world.client("shop");
    let (one, other) = (participant(&world, "one"), participant(&world, "other"));
    one.account.panics.store(true, SeqCst);
    other.account.fails.store(true, SeqCst);
    // It is decided, which is what the caller wants to know.
    transfer(&client, &one, &other, [1, 2]).await.unwrap();
    assert!(world.list().contains("CommitRetrying"), "{}", world.list());
    one.account.panics.store(false, SeqCst);
    other.account.fails.store(false, SeqCst);
    world.until_empty().await;
    assert_eq!(one.account.steps(), ["try a 1", "commit a 1"]);
    assert_eq!(other.account.steps(), ["try b 2", "commit b 2"]);
}
