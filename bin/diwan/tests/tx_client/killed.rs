//! When a participant or the coordinator is killed between the phases.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use diwan::rpc::Server;
use diwan::rpc::client::CallOptions;
use diwan::tx::{
    Branch, GlobalStatus, PrepareError, Tcc, TccAction, TransactionError, TxClient, TxError,
    TxOptions, current_xid,
};

use crate::{
    Part, Participant, ParticipantServer, Problem, World, calling, list, participant, start,
    start_many, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_was_killed_between_the_phases_goes_on() {
    let mut world = start();
    let client = world.client("shop");
    let one = participant(&world, "one");
    // Before the decision.
    let xid = client.begin("a", Duration::from_secs(60)).await.unwrap();
    diwan::tx::in_transaction(&*xid, one.change("a", 1))
        .await
        .unwrap();
    world.node.kill();
    world.node.start_again();
    let status = client.commit(&xid).await.unwrap();
    // The resource manager may connect again after the decision.
    let decided = [GlobalStatus::Committed, GlobalStatus::CommitRetrying];
    assert!(decided.contains(&status), "{status}");
    world.until_empty().await;
    assert_eq!(one.account.steps(), ["try a 1", "commit a 1"]);
    // Between the decision and the branch's answer.
    let xid = client.begin("b", Duration::from_secs(60)).await.unwrap();
    diwan::tx::in_transaction(&*xid, one.change("b", 2))
        .await
        .unwrap();
    one.account.waits.store(true, SeqCst);
    let commit = tokio::spawn({
        let (client, xid) = (client.clone(), xid.clone());
        async move { client.commit(&xid).await }
    });
    assert!(until(|| world.list().contains("Committing")).await);
    world.node.kill();
    world.node.start_again();
    let status = commit.await.unwrap().unwrap();
    let decided = [GlobalStatus::Committing, GlobalStatus::CommitRetrying];
    assert!(decided.contains(&status), "{status}");
    one.account.waits.store(false, SeqCst);
    world.until_empty().await;
    // The new coordinator tells it again; if it was still being done, it is done once.
    let mut steps = one.account.steps();
    steps.dedup();
    assert_eq!(steps[2..], ["try b 2", "commit b 2"]);
    // Whoever asks while nobody is there hears whether something may have been done.
    world.node.kill();
    let impatient = TxOptions {
        request_timeout: Duration::from_millis(300),
        end_attempts: 2,
        ..TxOptions::new("shop", &world.listen)
    };
    let impatient = TxClient::start(impatient).unwrap();
    let error = impatient.begin("c", Duration::from_secs(1)).await;
    let error = error.unwrap_err();
    assert!(error.was_not_executed(), "{error}");
    let error = impatient.commit(&xid).await.unwrap_err();
    assert!(matches!(error, TxError::NotConnected(_)), "{error}");
}

#[tokio::test]
async fn every_node_says_what_is_so_or_that_it_may_not_be() {
    let mut world = start_many(3);
    let client = world.client("shop");
    let mut xids = Vec::new();
    for _ in 0..20 {
        let xid = client.begin("a", Duration::from_secs(60)).await;
        xids.push(xid.unwrap());
        for node in world.others.iter().chain([&world.node]) {
            let (_, listed, note) = list(node);
            assert!(listed.contains(&*xids[xids.len() - 1]), "{listed}{note}");
            assert_eq!(note, "");
        }
    }
    // Also one that has just been started, as soon as it says anything.
    world.node.kill();
    world.node.start_again();
    let mut first = list(&world.node);
    while first.0 != 0 {
        first = list(&world.node);
    }
    let (_, listed, note) = first;
    assert!(
        xids.iter().all(|xid| listed.contains(&**xid)),
        "{listed}{note}"
    );
    assert_eq!(note, "");
    if std::env::var_os("LOG_URL").is_some() {
        // An engine lets the node go on that is left.
        return;
    }
    for other in &mut world.others {
        other.kill();
    }
    assert!(until(|| list(&world.node).2.contains("may be older")).await);
    let (code, listed, _) = list(&world.node);
    assert_eq!(code, 0);
    assert!(xids.iter().all(|xid| listed.contains(&**xid)), "{listed}");
}

/// Three nodes, of which the one that leads is killed again and again while transfers are made: each is done at both accounts or at
/// none, and as the caller was told, if it was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_three_that_is_killed_takes_nothing_with_it() {
    let mut world = start_many(3);
    let (one, other) = (participant(&world, "one"), participant(&world, "other"));
    let (one, other) = (Arc::new(one), Arc::new(other));
    let ends = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let client = world.client("shop");
            let (one, other, ends) = (one.clone(), other.clone(), ends.clone());
            tokio::spawn(async move {
                let mut told = Vec::new();
                for number in 0.. {
                    if ends.load(SeqCst) {
                        break;
                    }
                    let key = format!("{caller}-{number}");
                    // Every fifth one cannot be done at the second account.
                    let cents = if number % 5 == 4 { -1 } else { 1 };
                    told.push((
                        key.clone(),
                        cents,
                        transfer_of(&client, [&one, &other], &key, cents).await,
                    ));
                }
                told
            })
        })
        .collect();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let leader = world.leader();
        leader.kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
        leader.start_again();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    ends.store(true, SeqCst);
    let mut told = Vec::new();
    for caller in callers {
        told.extend(caller.await.unwrap());
    }
    world.until_empty().await;
    let (mut done, mut undone, mut unknown) = (0, 0, 0);
    let steps = |part: &Part| -> HashSet<String> { part.account.steps().into_iter().collect() };
    let (first, second) = (steps(&one), steps(&other));
    for (key, cents, told) in told {
        let has = |step: &str| {
            let second_step = format!("{step} {key} {cents}");
            [
                first.contains(&format!("{step} {key} 1")),
                second.contains(&second_step),
            ]
        };
        let (tried, committed, rolled_back) = (has("try"), has("commit"), has("rollback"));
        let context = format!("{key}: {told:?} {tried:?} {committed:?} {rolled_back:?}");
        match committed {
            [true, true] => assert!(rolled_back == [false, false] && cents > 0, "{context}"),
            [false, false] => assert!((0..2).all(|at| rolled_back[at] || !tried[at]), "{context}"),
            _ => panic!("half done: {context}"),
        }
        match told {
            Ok(()) => {
                done += 1;
                assert_eq!(committed, [true, true], "{context}");
            }
            Err(
                Problem::Other(_)
                | Problem::Transaction(
                    TransactionError::RolledBack { .. }
                    | TransactionError::TimedOut { .. }
                    | TransactionError::Begin(_),
                ),
            ) => {
                undone += 1;
                assert_eq!(committed, [false, false], "{context}");
            }
            Err(Problem::Transaction(_)) => unknown += 1,
        }
    }
    println!("{done} done, {undone} undone, of {unknown} nobody was told");
    assert!(done > 50 && undone > 10, "{done} {undone}");
}

#[diwan::transactional(name = "transfer", timeout_ms = 5_000, client = client)]
async fn transfer_of(
    client: &TxClient,
    [one, other]: [&Part; 2],
    key: &str,
    cents: i64,
) -> Result<(), Problem> {
    one.change(key, 1).await?;
    other.change(key, cents).await
}

/// Where the participant in its own process writes what it does.
const STEPS: &str = "DIWAN_TEST_STEPS";
const COORDINATOR: &str = "DIWAN_TEST_COORDINATOR";

struct InFile(PathBuf);

impl InFile {
    fn note(&self, step: &str, branch: &Branch) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.0)
            .unwrap();
        writeln!(file, "{step} {}", branch.xid).unwrap();
    }
}

impl TccAction for InFile {
    type Arguments = ();
    type Prepared = ();
    type Error = String;

    fn name(&self) -> &str {
        "in-file"
    }

    async fn prepare(&self, branch: &Branch, (): &()) -> Result<(), String> {
        self.note("try", branch);
        Ok(())
    }

    async fn commit(&self, branch: &Branch, (): ()) -> Result<(), String> {
        self.note("commit", branch);
        Ok(())
    }

    async fn rollback(&self, branch: &Branch, (): ()) -> Result<(), String> {
        self.note("rollback", branch);
        Ok(())
    }
}

struct Killed(Tcc<InFile>);

impl Participant for Killed {
    async fn change(&self, _: String, _: i64) -> String {
        let tried = self.0.prepare(&()).await;
        tried.map_or_else(
            |error: PrepareError<String>| error.to_string(),
            |()| String::new(),
        )
    }

    async fn xid(&self) -> String {
        current_xid().unwrap_or_default()
    }

    fn blocking_xid(&self) -> String {
        current_xid().unwrap_or_default()
    }
}

/// Not a test of its own: the participant that the next one kills.
#[test]
fn participant_process() {
    let (Some(steps), Ok(coordinator)) = (std::env::var_os(STEPS), std::env::var(COORDINATOR))
    else {
        return;
    };
    // Without any runtime.
    let client = TxClient::start(TxOptions::new("killed", [coordinator])).unwrap();
    let tcc = client.tcc(InFile(steps.into())).unwrap();
    let server = Server::builder("127.0.0.1:0")
        .publish(ParticipantServer::new(Killed(tcc)))
        .start()
        .unwrap();
    println!("\nlistening on {}", server.local_addr());
    std::thread::sleep(Duration::from_secs(120));
}

struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(world: &World, steps: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::participant_process", "--nocapture"])
            .env(STEPS, steps)
            .env(COORDINATOR, &world.listen[0])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr =
            lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on ")?.to_owned()));
        let url = format!("bolt://{}", addr.unwrap());
        Self { child, url }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_participant_that_was_killed_between_the_phases_is_told_when_it_is_back() {
    let world = start();
    let client = world.client("shop");
    let folder = tempfile::tempdir().unwrap();
    let steps = folder.path().join("steps");
    let read = || fs::read_to_string(&steps).unwrap_or_default();
    let mut expected = String::new();
    for commits in [true, false] {
        let mut process = Process::start(&world, &steps);
        let xid = client.begin("k", Duration::from_secs(60)).await.unwrap();
        let call = calling(&process.url).with(CallOptions::default());
        let tried = diwan::tx::in_transaction(&*xid, call.change(String::new(), 0)).await;
        assert_eq!(tried.unwrap(), "");
        process.kill();
        let (status, done) = match commits {
            true => (client.commit(&xid).await, GlobalStatus::CommitRetrying),
            false => (client.rollback(&xid).await, GlobalStatus::RollbackRetrying),
        };
        assert_eq!(status, Ok(done));
        let _again = Process::start(&world, &steps);
        world.until_empty().await;
        let word = if commits { "commit" } else { "rollback" };
        expected += &format!("try {xid}\n{word} {xid}\n");
        assert_eq!(read(), expected);
    }
}
