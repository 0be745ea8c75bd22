//! Diwan's client of distributed transactions against any coordinator that speaks Seata's protocol: Diwan's, or the original.
//! `tx-check 127.0.0.1:8091` prints `PASS` or `FAIL` for each scenario; the exit code is 1 if one failed. Several nodes are separated by
//! commas. `tx-check serve 127.0.0.1:8091` is a participant for programs in other languages, and prints its address.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diwan::rpc::{ConsumerOptions, NoException, RpcError, Server, ServiceClient};
use diwan::tx::{
    Branch, ExceptionCode, GlobalStatus, PrepareError, Propagation, Tcc, TccAction,
    TransactionError, Transactional, TxClient, TxError, TxOptions, XidFilter, current_xid,
    in_transaction,
};

const PATIENCE: Duration = Duration::from_secs(30);

type Error = Box<dyn std::error::Error>;

/// Why the work of a transaction fails.
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

/// What the second phase of an action does next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mishap {
    Fails,
    Panics,
}

/// What was done, in order, and what is to go wrong.
#[derive(Clone, Default)]
struct Account {
    steps: Arc<Mutex<Vec<String>>>,
    mishaps: Arc<Mutex<VecDeque<Mishap>>>,
}

impl Account {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.steps))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Change {
    name: String,
    account: Account,
}

impl Change {
    fn second_phase(&self, word: &str, cents: i64) -> Result<(), String> {
        let mishap = lock(&self.account.mishaps).pop_front();
        assert!(mishap != Some(Mishap::Panics), "as it was to");
        if mishap == Some(Mishap::Fails) {
            return Err("not now".into());
        }
        lock(&self.account.steps).push(format!("{word} {cents}"));
        Ok(())
    }
}

impl TccAction for Change {
    type Arguments = std::collections::BTreeMap<String, i64>;
    type Prepared = ();
    type Error = String;

    fn name(&self) -> &str {
        &self.name
    }

    async fn prepare(&self, _: &Branch, arguments: &Self::Arguments) -> Result<(), String> {
        let cents = cents(arguments)?;
        if cents < 0 {
            return Err("a negative amount".into());
        }
        lock(&self.account.steps).push(format!("try {cents}"));
        Ok(())
    }

    async fn commit(&self, _: &Branch, arguments: Self::Arguments) -> Result<(), String> {
        self.second_phase("commit", cents(&arguments)?)
    }

    async fn rollback(&self, _: &Branch, arguments: Self::Arguments) -> Result<(), String> {
        self.second_phase("rollback", cents(&arguments)?)
    }
}

fn cents(arguments: &std::collections::BTreeMap<String, i64>) -> Result<i64, String> {
    let cents = arguments.get("cents").copied();
    cents.ok_or_else(|| "how many cents?".to_owned())
}

#[diwan::service(interface = "com.diwan.interop.Participant")]
trait Participant {
    /// Changes an account as part of the caller's transaction; says what went wrong.
    async fn change(&self, cents: i64) -> String;

    /// What was done since this was last asked.
    async fn steps(&self) -> Vec<String>;

    /// Begins a transaction in which this account and that of the participant at `url` change; says what went wrong.
    async fn transfer(&self, url: String, cents: i64, cents_there: i64) -> String;
}

struct Participating {
    client: TxClient,
    tcc: Tcc<Change>,
    account: Account,
}

impl Participant for Participating {
    async fn change(&self, cents: i64) -> String {
        let arguments = [("cents".to_owned(), cents)].into();
        let tried = self.tcc.prepare(&arguments).await;
        tried.map_or_else(|error| error.to_string(), |()| String::new())
    }

    async fn steps(&self) -> Vec<String> {
        self.account.take()
    }

    async fn transfer(&self, url: String, cents: i64, cents_there: i64) -> String {
        let work = async {
            no_problem(self.change(cents).await)?;
            let there = ParticipantClient::direct(&url, consumer());
            let there = there.map_err(|error| Problem::Other(error.to_string()))?;
            no_problem(there.change(cents_there).await?)
        };
        match Transactional::new("mixed").run(&self.client, work).await {
            Ok(()) => String::new(),
            Err(Problem::Other(why)) => why,
            Err(Problem::Transaction(error)) => error.to_string(),
        }
    }
}

fn no_problem(said: String) -> Result<(), Problem> {
    match said.is_empty() {
        true => Ok(()),
        false => Err(Problem::Other(said)),
    }
}

fn consumer() -> ConsumerOptions {
    ConsumerOptions {
        filters: vec![Arc::new(XidFilter)],
        timeout: PATIENCE,
        ..ConsumerOptions::default()
    }
}

/// A participant with connections of its own.
struct Part {
    account: Account,
    tcc: Tcc<Change>,
    client: ParticipantClient,
    server: Server,
}

impl Part {
    fn start(coordinator: &str, name: &str) -> Result<Self, Error> {
        let account = Account::default();
        let options = TxOptions::new(name, coordinator.split(','));
        // A coordinator may remember the actions of an earlier run.
        let name = format!("tx-check-{name}-{}", std::process::id());
        let action = Change {
            name,
            account: account.clone(),
        };
        let client = TxClient::start(options)?;
        let tcc = client.tcc(action)?;
        let participant = Participating {
            client,
            tcc: tcc.clone(),
            account: account.clone(),
        };
        let server = Server::builder("127.0.0.1:0")
            .publish(ParticipantServer::new(participant))
            .start()?;
        let url = format!("bolt://{}", server.local_addr());
        Ok(Self {
            account,
            tcc,
            client: ParticipantClient::direct(&url, consumer())?,
            server,
        })
    }

    async fn change(&self, cents: i64) -> Result<(), Problem> {
        no_problem(self.client.change(cents).await?)
    }

    /// What was done since this was last asked.
    fn steps(&self) -> Vec<String> {
        self.account.take()
    }

    fn mishaps(&self, mishaps: &[Mishap]) {
        lock(&self.account.mishaps).extend(mishaps);
    }

    /// Waits for so many steps.
    async fn until(&self, count: usize) -> Result<Vec<String>, Error> {
        let began = Instant::now();
        while lock(&self.account.steps).len() < count {
            if began.elapsed() > PATIENCE {
                return Err(format!("only {:?} was done", self.steps()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(self.steps())
    }
}

struct World {
    client: TxClient,
    one: Part,
    other: Part,
}

fn check<T: PartialEq<U> + Debug, U: Debug>(what: &str, seen: T, should: U) -> Result<(), Error> {
    match seen == should {
        true => Ok(()),
        false => Err(format!("{what}: {seen:?}, should be {should:?}").into()),
    }
}

impl World {
    async fn transfer(&self, cents: [i64; 2]) -> Result<String, Problem> {
        let work = async {
            self.one.change(cents[0]).await?;
            self.other.change(cents[1]).await?;
            Ok(current_xid().unwrap_or_default())
        };
        Transactional::new("transfer").run(&self.client, work).await
    }

    async fn without_branches(&self) -> Result<(), Error> {
        let xid = self.client.begin("empty", PATIENCE).await?;
        check(
            "status",
            self.client.status(&xid).await?,
            GlobalStatus::Begin,
        )?;
        check(
            "commit",
            self.client.commit(&xid).await?,
            GlobalStatus::Committed,
        )?;
        let xid = self.client.begin("empty", PATIENCE).await?;
        check(
            "rollback",
            self.client.rollback(&xid).await?,
            GlobalStatus::Rollbacked,
        )?;
        check(
            "status",
            self.client.status(&xid).await?,
            GlobalStatus::Finished,
        )?;
        let unknown = "127.0.0.1:8091:1";
        let status = self.client.commit(unknown).await?;
        check("commit of an unknown one", status, GlobalStatus::Finished)?;
        let status = self.client.report(unknown, GlobalStatus::Committed).await?;
        check("report of an unknown one", status, GlobalStatus::Committed)
    }

    async fn commits(&self) -> Result<(), Error> {
        let xid = self.transfer([1, 2]).await;
        let xid = xid.map_err(|problem| format!("{problem:?}"))?;
        check("one", self.one.steps(), ["try 1", "commit 1"])?;
        check("other", self.other.steps(), ["try 2", "commit 2"])?;
        check(
            "status",
            self.client.status(&xid).await?,
            GlobalStatus::Finished,
        )
    }

    async fn rolls_back(&self) -> Result<(), Error> {
        match self.transfer([3, -4]).await {
            Err(Problem::Other(why)) => check("reason", &*why, "a negative amount")?,
            other => return Err(format!("{other:?}").into()),
        }
        check("one", self.one.steps(), ["try 3", "rollback 3"])?;
        check("other", self.other.steps(), ["rollback -4"])
    }

    async fn tells_again(&self) -> Result<(), Error> {
        self.one.mishaps(&[Mishap::Fails, Mishap::Panics]);
        let made = self.transfer([5, 6]).await;
        made.map_err(|problem| format!("{problem:?}"))?;
        check("one", self.one.until(2).await?, ["try 5", "commit 5"])?;
        check("other", self.other.until(2).await?, ["try 6", "commit 6"])?;
        self.one.mishaps(&[Mishap::Panics, Mishap::Fails]);
        let refused = self.transfer([7, -8]).await;
        check("refused", refused.is_err(), true)?;
        check("one", self.one.until(2).await?, ["try 7", "rollback 7"])?;
        check("other", self.other.until(1).await?, ["rollback -8"])
    }

    async fn is_timed_out(&self) -> Result<(), Error> {
        let short = Transactional {
            timeout: Duration::from_millis(1500),
            ..Transactional::new("short")
        };
        let work = async {
            self.one.change(9).await?;
            let steps = self.one.until(2).await;
            steps.map_err(|error| Problem::Other(error.to_string()))
        };
        match short.run(&self.client, work).await {
            Err(Problem::Transaction(TransactionError::TimedOut { .. })) => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    }

    async fn refuses_a_late_branch(&self) -> Result<(), Error> {
        let xid = self.client.begin("late", PATIENCE).await?;
        self.client.rollback(&xid).await?;
        let arguments = [("cents".to_owned(), 1)].into();
        let late = in_transaction(&*xid, self.one.tcc.prepare(&arguments)).await;
        let known = [
            ExceptionCode::GlobalTransactionNotExist,
            ExceptionCode::GlobalTransactionNotActive,
        ];
        match late {
            Err(PrepareError::Register(TxError::Refused { code, .. })) if known.contains(&code) => {
                check("one", self.one.steps(), [""; 0])
            }
            other => Err(format!("{other:?}").into()),
        }
    }

    async fn nests(&self) -> Result<(), Error> {
        for (propagation, takes_part) in [
            (Propagation::Required, true),
            (Propagation::RequiresNew, false),
        ] {
            let inner = Transactional {
                propagation,
                ..Transactional::new("inner")
            };
            let work = async {
                self.one.change(1).await?;
                // The inner one fails, and the outer one does not mind.
                let inner = inner.run(&self.client, async {
                    self.other.change(2).await?;
                    Err::<(), _>(Problem::Other("as it was to".into()))
                });
                let _ = inner.await;
                Ok::<_, Problem>(())
            };
            let done = Transactional::new("outer").run(&self.client, work).await;
            done.map_err(|problem| format!("{problem:?}"))?;
            check("one", self.one.steps(), ["try 1", "commit 1"])?;
            let end = if takes_part { "commit 2" } else { "rollback 2" };
            check("other", self.other.steps(), ["try 2", end])?;
        }
        Ok(())
    }
}

async fn run(coordinator: &str) -> Result<bool, Error> {
    let world = World {
        client: TxClient::start(TxOptions::new("tx-check", coordinator.split(',')))?,
        one: Part::start(coordinator, "one")?,
        other: Part::start(coordinator, "other")?,
    };
    let mut passed = true;
    let mut said = |name: &str, result: Result<(), Error>| match result {
        Ok(()) => println!("PASS {name}"),
        Err(error) => {
            passed = false;
            println!("FAIL {name}: {error}");
            // What is left of it is no other scenario's.
            world.one.steps();
            world.other.steps();
        }
    };
    said(
        "transactions without branches",
        world.without_branches().await,
    );
    said(
        "two participants over SOFARPC commit",
        world.commits().await,
    );
    said(
        "two participants over SOFARPC roll back",
        world.rolls_back().await,
    );
    said(
        "a branch that fails or panics is told again",
        world.tells_again().await,
    );
    said(
        "the coordinator ends what takes too long",
        world.is_timed_out().await,
    );
    said(
        "a branch after the end is refused",
        world.refuses_a_late_branch().await,
    );
    said("nested transactions", world.nests().await);
    Ok(passed)
}

/// Until it is killed.
async fn serve(coordinator: &str) -> Result<bool, Error> {
    let part = Part::start(coordinator, "mixed")?;
    println!("listening on bolt://{}", part.server.local_addr());
    std::future::pending().await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [coordinator] => run(coordinator).await,
        [serve, coordinator] if serve == "serve" => self::serve(coordinator).await,
        _ => {
            eprintln!("usage: tx-check [serve] HOST:PORT[,HOST:PORT]...");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
