//! The fence on a real database, with steps that come too early, twice and at the same time. Drops the tables `tcc_fence_log` and
//! `fenced_account` of the database that it is given.
//! ```text
//! cargo run -p diwan-tx-client --features mysql --example fence_races mysql://root@127.0.0.1:3306/test
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use diwan_tx_client::Branch;
use diwan_tx_client::fence::mysql::{CREATE_TABLE, Rows, clean_up};
use diwan_tx_client::fence::{Entered, FenceError, FenceKey, Operation, Refusal, enter};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{Executor, MySqlPool};

type Outcome = Result<Entered, FenceError<String>>;

/// Branches of each race.
const RACES: i64 = 200;

fn key(branch: i64) -> FenceKey {
    let branch = Branch {
        xid: "10.0.0.1:8091:914866632705179".into(),
        id: branch,
        resource: "debit".into(),
    };
    FenceKey::branch(&branch).unwrap_or_else(|error| panic!("{error}"))
}

/// One step with its business' change in one local transaction, as a participant takes it.
async fn step(database: &MySqlPool, key: &FenceKey, operation: Operation) -> Outcome {
    let failed = |error: sqlx::Error| FenceError::Store(error.to_string());
    let mut local = database.begin().await.map_err(failed)?;
    let entered =
        enter(&mut Rows(&mut local), key, operation)
            .await
            .map_err(|error| match error {
                FenceError::Refused(refusal) => FenceError::Refused(refusal),
                FenceError::Contended => FenceError::Contended,
                FenceError::Store(error) => failed(error),
            })?;
    if entered == Entered::Do {
        let (cents, held) = match operation {
            Operation::Try | Operation::Act => (0, 1),
            Operation::Commit => (-1, -1),
            Operation::Rollback | Operation::Compensate => (0, -1),
        };
        sqlx::query("UPDATE fenced_account SET cents = cents + ?, held = held + ?")
            .bind(cents)
            .bind(held)
            .execute(&mut *local)
            .await
            .map_err(failed)?;
    }
    local.commit().await.map_err(failed)?;
    Ok(entered)
}

/// The same until the database has not failed: a deadlock is no answer, the coordinator tells it again.
async fn told_again(database: &MySqlPool, key: &FenceKey, operation: Operation) -> Outcome {
    loop {
        match step(database, key, operation).await {
            Err(FenceError::Store(why)) if why.contains("Deadlock") || why.contains("changed") => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn amounts(database: &MySqlPool) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as("SELECT cents, held FROM fenced_account")
        .fetch_one(database)
        .await
}

async fn rows(database: &MySqlPool, status: u8) -> Result<i64, sqlx::Error> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM tcc_fence_log WHERE status = ?");
    count.bind(status).fetch_one(database).await
}

async fn anew(database: &MySqlPool) -> Result<(), sqlx::Error> {
    database
        .execute("DROP TABLE IF EXISTS tcc_fence_log")
        .await?;
    database
        .execute("DROP TABLE IF EXISTS fenced_account")
        .await?;
    database.execute(CREATE_TABLE).await?;
    database
        .execute("CREATE TABLE fenced_account (cents BIGINT NOT NULL, held BIGINT NOT NULL) ENGINE = InnoDB")
        .await?;
    database
        .execute("INSERT INTO fenced_account VALUES (1000, 0)")
        .await?;
    Ok(())
}

/// What was seen is what should be.
fn check<T: PartialEq + std::fmt::Debug>(what: &str, seen: T, should: T) -> Result<(), String> {
    match seen == should {
        true => Ok(()),
        false => Err(format!("{what}: {seen:?}, should be {should:?}")),
    }
}

async fn early_and_twice(database: &MySqlPool) -> Result<(), Box<dyn Error>> {
    let early = key(1);
    for should in [Entered::Nothing; 2] {
        check(
            "a rollback without a try",
            step(database, &early, Operation::Rollback).await,
            Ok(should),
        )?;
    }
    let refused = |refusal| Err(FenceError::Refused(refusal));
    check(
        "a try after it",
        step(database, &early, Operation::Try).await,
        refused(Refusal::RolledBackBefore),
    )?;
    check(
        "a commit of it",
        step(database, &early, Operation::Commit).await,
        refused(Refusal::RolledBackBefore),
    )?;
    check(
        "a commit without a try",
        step(database, &key(2), Operation::Commit).await,
        refused(Refusal::NotTried),
    )?;
    check("amounts", amounts(database).await?, (1000, 0))?;
    check(
        "a try",
        step(database, &key(3), Operation::Try).await,
        Ok(Entered::Do),
    )?;
    check(
        "the same again",
        step(database, &key(3), Operation::Try).await,
        refused(Refusal::TriedBefore),
    )?;
    check("amounts", amounts(database).await?, (1000, 1))?;
    check(
        "its rollback",
        step(database, &key(3), Operation::Rollback).await,
        Ok(Entered::Do),
    )?;
    check(
        "the same again",
        step(database, &key(3), Operation::Rollback).await,
        Ok(Entered::Nothing),
    )?;
    check("amounts", amounts(database).await?, (1000, 0))?;
    // As the original's participant writes it.
    sqlx::query("insert into tcc_fence_log (xid, branch_id, action_name, status, gmt_create, gmt_modified) values (?, ?, ?, ?, now(), now())")
        .bind(key(4).xid())
        .bind(4)
        .bind("debit")
        .bind(1)
        .execute(database)
        .await?;
    check(
        "a commit of what Java tried",
        step(database, &key(4), Operation::Commit).await,
        Ok(Entered::Do),
    )?;
    Ok(())
}

async fn commits_at_once(database: &MySqlPool) -> Result<(), Box<dyn Error>> {
    for branch in 0..RACES / 4 {
        let key = key(branch);
        check(
            "a step",
            step(database, &key, Operation::Try).await,
            Ok(Entered::Do),
        )?;
        let commits = (0..8).map(|_| {
            let (database, key) = (database.clone(), key.clone());
            tokio::spawn(async move { told_again(&database, &key, Operation::Commit).await })
        });
        let commits: Vec<_> = commits.collect();
        let mut done = 0;
        for commit in commits {
            done += usize::from(commit.await? == Ok(Entered::Do));
        }
        check("commits that did it", done, 1)?;
    }
    check("amounts", amounts(database).await?, (1000 - RACES / 4, 0))?;
    Ok(())
}

/// Two operations of each branch at the same time.
async fn race(
    database: &MySqlPool,
    operations: [Operation; 2],
) -> Result<Vec<[Outcome; 2]>, Box<dyn Error>> {
    let mut outcomes = Vec::new();
    for branch in 0..RACES {
        let [one, other] = operations.map(|operation| {
            let database = database.clone();
            tokio::spawn(async move { told_again(&database, &key(branch), operation).await })
        });
        outcomes.push([one.await?, other.await?]);
    }
    Ok(outcomes)
}

async fn try_against_rollback(database: &MySqlPool) -> Result<(), Box<dyn Error>> {
    let outcomes = race(database, [Operation::Try, Operation::Rollback]).await?;
    let late = Err(FenceError::Refused(Refusal::RolledBackBefore));
    for [tried, undone] in &outcomes {
        let is_undone = tried == &Ok(Entered::Do) && undone == &Ok(Entered::Do);
        let is_kept_out = tried == &late && undone == &Ok(Entered::Nothing);
        check(
            "a try and its rollback at once",
            is_undone || is_kept_out,
            true,
        )
        .map_err(|why| format!("{why}: {tried:?}, {undone:?}"))?;
    }
    let first = outcomes.iter().filter(|[tried, _]| tried.is_ok()).count() as i64;
    check("amounts", amounts(database).await?, (1000, 0))?;
    check("rows rolled back", rows(database, 3).await?, first)?;
    check("rows suspended", rows(database, 4).await?, RACES - first)?;
    println!("     of {RACES} the try came first {first} times");
    Ok(())
}

/// No coordinator does that; a row still has one end.
async fn commit_against_rollback(database: &MySqlPool) -> Result<(), Box<dyn Error>> {
    for branch in 0..RACES {
        check(
            "a step",
            step(database, &key(branch), Operation::Try).await,
            Ok(Entered::Do),
        )?;
    }
    let outcomes = race(database, [Operation::Commit, Operation::Rollback]).await?;
    let committed = outcomes.iter().filter(|[commit, _]| commit.is_ok()).count() as i64;
    for [commit, rollback] in &outcomes {
        check(
            "exactly one is done",
            commit.is_ok() != rollback.is_ok(),
            true,
        )?;
    }
    check("amounts", amounts(database).await?, (1000 - committed, 0))?;
    check("rows committed", rows(database, 2).await?, committed)?;
    Ok(())
}

async fn sagas(database: &MySqlPool) -> Result<(), Box<dyn Error>> {
    let [done, early] = [
        FenceKey::step("saga-7", "Debit")?,
        FenceKey::step("saga-8", "Debit")?,
    ];
    for should in [Entered::Do, Entered::Nothing] {
        check(
            "a step",
            step(database, &done, Operation::Act).await,
            Ok(should),
        )?;
    }
    for should in [Entered::Do, Entered::Nothing] {
        check(
            "its compensation",
            step(database, &done, Operation::Compensate).await,
            Ok(should),
        )?;
    }
    check(
        "an empty compensation",
        step(database, &early, Operation::Compensate).await,
        Ok(Entered::Nothing),
    )?;
    for late in [done, early] {
        let refused = Err(FenceError::Refused(Refusal::RolledBackBefore));
        check(
            "a step after its compensation",
            step(database, &late, Operation::Act).await,
            refused,
        )?;
    }
    check("amounts", amounts(database).await?, (1000, 0))?;
    Ok(())
}

async fn old_rows(database: &MySqlPool) -> Result<(), Box<dyn Error>> {
    for branch in 1..=4 {
        check(
            "a step",
            step(database, &key(branch), Operation::Try).await,
            Ok(Entered::Do),
        )?;
    }
    check(
        "a step",
        step(database, &key(1), Operation::Commit).await,
        Ok(Entered::Do),
    )?;
    check(
        "a step",
        step(database, &key(2), Operation::Rollback).await,
        Ok(Entered::Do),
    )?;
    check(
        "a step",
        step(database, &key(3), Operation::Commit).await,
        Ok(Entered::Do),
    )?;
    let age = "UPDATE tcc_fence_log SET gmt_modified = gmt_modified - INTERVAL 2 DAY WHERE branch_id <> 3";
    database.execute(age).await?;
    let day = Duration::from_secs(86_400);
    check("old rows", clean_up(database, day).await?, 2)?;
    check("what is not ended stays", rows(database, 1).await?, 1)?;
    check("what is new stays", rows(database, 2).await?, 1)?;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(url) = std::env::args().nth(1) else {
        eprintln!("usage: fence_races mysql://USER@HOST:PORT/DATABASE");
        return ExitCode::from(2);
    };
    match run(&url).await {
        Ok(failed) if !failed => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether something is not as it should be.
async fn run(url: &str) -> Result<bool, Box<dyn Error>> {
    let mut failed = false;
    for isolation in ["READ COMMITTED", "REPEATABLE READ"] {
        let set = format!("SET SESSION TRANSACTION ISOLATION LEVEL {isolation}");
        let options = MySqlPoolOptions::new().max_connections(16);
        let options = options.after_connect(move |connection, _| {
            let set = sqlx::AssertSqlSafe(set.clone());
            Box::pin(async move { connection.execute(set).await.map(|_| ()) })
        });
        let database = options.connect(url).await?;
        macro_rules! scenario {
            ($($name:ident),*) => {$(
                anew(&database).await?;
                match $name(&database).await {
                    Ok(()) => println!("PASS {isolation}: {}", stringify!($name)),
                    Err(error) => {
                        failed = true;
                        println!("FAIL {isolation}: {}: {error}", stringify!($name));
                    }
                }
            )*};
        }
        scenario!(
            early_and_twice,
            commits_at_once,
            try_against_rollback,
            commit_against_rollback,
            sagas,
            old_rows
        );
    }
    Ok(failed)
}
