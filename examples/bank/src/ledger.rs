use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use thiserror::Error;
use tokio::sync::oneshot;

use diwan::tx::fence::{FenceKey, Operation, Refusal};

use crate::fence;
use crate::money::account_name;

/// Balance and held part of each account, in cents.
const ACCOUNTS: TableDefinition<'_, &str, (i64, i64)> = TableDefinition::new("accounts");
/// What was applied: transfer and side, to account and cents. Makes every step repeatable.
const ENTRIES: TableDefinition<'_, (&str, u8), (&str, i64)> = TableDefinition::new("entries");
/// Transfers whose debit was taken back, or must not come any more.
const CANCELLED: TableDefinition<'_, &str, ()> = TableDefinition::new("cancelled");
/// Money set aside for a transfer: account and cents.
const HOLDS: TableDefinition<'_, &str, (&str, i64)> = TableDefinition::new("holds");

/// Steps of one commit.
const BATCH_MAX: usize = 1024;

/// The side of a transfer that an entry books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Side {
    /// Money left the account.
    Debit = 0,
    /// Money came to the account.
    Credit = 1,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Its name.
    pub account: String,
    /// All of its money, the held part included.
    pub cents: i64,
    /// What is set aside for transfers under way.
    pub held_cents: i64,
}

/// One applied side of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Transfer.
    pub transfer: String,
    /// Side.
    pub side: Side,
    /// Account.
    pub account: String,
    /// Amount.
    pub cents: i64,
}

/// A change to the ledger. Each can be repeated without further effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Set money aside, if there is enough.
    Hold {
        /// Transfer.
        transfer: String,
        /// Account.
        account: String,
        /// Amount.
        cents: i64,
    },
    /// Give back what was set aside.
    Release {
        /// Transfer.
        transfer: String,
    },
    /// Book one side; a debit uses up its hold.
    Book(Entry),
    /// Take a transfer's debit back; if it has not come yet, it must not come any more.
    Cancel {
        /// Transfer.
        transfer: String,
    },
    /// One side of a transfer as a branch of a transaction: try, commit or roll back, in whatever order they come.
    Branch {
        /// Which branch.
        key: FenceKey,
        /// What is to be done with it.
        operation: Operation,
        /// The side.
        entry: Entry,
    },
}

/// Why a step is refused, or the ledger does not work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// The account is not kept here.
    #[error("account {0} does not exist")]
    NoSuchAccount(String),
    /// Less money than wanted that is not held.
    #[error("account {account} has {available} available, {wanted} wanted")]
    InsufficientFunds {
        /// Account.
        account: String,
        /// Not held, in cents.
        available: i64,
        /// Wanted, in cents.
        wanted: i64,
    },
    /// The transfer was applied before with another account or amount.
    #[error("transfer {0} was made before with other content")]
    Conflict(String),
    /// The transfer's debit was taken back, or was too late.
    #[error("transfer {0} is cancelled")]
    Cancelled(String),
    /// Another transaction holds the money for the same transfer.
    #[error("transfer {0} is under way")]
    UnderWay(String),
    /// The side was booked by another transaction.
    #[error("transfer {0} is booked")]
    Booked(String),
    /// A branch's step that must not be done.
    #[error("a branch of transfer {transfer} is refused: {refusal}")]
    Refused {
        /// Transfer.
        transfer: String,
        /// Why.
        refusal: Refusal,
    },
    /// An amount that is zero, negative, or would overflow.
    #[error("amount {0} cannot be booked")]
    Amount(i64),
    /// The store failed.
    #[error("store: {0}")]
    Store(String),
}

impl From<redb::Error> for LedgerError {
    fn from(error: redb::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// Turns any of redb's error types into one.
pub(crate) fn store<T, E: Into<redb::Error>>(result: Result<T, E>) -> Result<T, LedgerError> {
    result.map_err(|error| LedgerError::Store(error.into().to_string()))
}

type Done = oneshot::Sender<Result<(), LedgerError>>;

/// Balances in an embedded store. A step is answered when it is on stable storage; steps that come while a commit is
/// under way share the next one.
#[derive(Clone)]
pub struct Ledger {
    database: Arc<Database>,
    steps: mpsc::Sender<(Step, Done)>,
}

impl Ledger {
    /// Opens or makes the store at `path`; accounts of the range that it does not have get the opening balance.
    ///
    /// # Errors
    /// When the store cannot be opened or written.
    pub fn open(
        path: &Path,
        accounts: Range<u32>,
        opening_cents: i64,
    ) -> Result<Self, LedgerError> {
        let database = store(Database::create(path))?;
        let opening = store(database.begin_write())?;
        {
            let mut table = store(opening.open_table(ACCOUNTS))?;
            for number in accounts {
                let name = account_name(number);
                if store(table.get(name.as_str()))?.is_none() {
                    store(table.insert(name.as_str(), (opening_cents, 0)))?;
                }
            }
            store(opening.open_table(ENTRIES))?;
            store(opening.open_table(HOLDS))?;
            store(opening.open_table(CANCELLED))?;
            store(opening.open_table(fence::ROWS))?;
        }
        store(opening.commit())?;
        let database = Arc::new(database);
        let (steps, to_apply) = mpsc::channel();
        let writer = database.clone();
        thread::Builder::new()
            .name("ledger".into())
            .spawn(move || write(&writer, &to_apply))
            .map_err(|error| LedgerError::Store(error.to_string()))?;
        Ok(Self { database, steps })
    }

    /// Applies a step and waits until it is durable.
    ///
    /// # Errors
    /// Why it is refused. Nothing has changed then.
    pub async fn apply(&self, step: Step) -> Result<(), LedgerError> {
        let (done, applied) = oneshot::channel();
        let stopped = || LedgerError::Store("the ledger has stopped".into());
        self.steps.send((step, done)).map_err(|_| stopped())?;
        applied.await.map_err(|_| stopped())?
    }

    /// One account.
    ///
    /// # Errors
    /// When it is not kept here or the store fails.
    pub fn balance(&self, account: &str) -> Result<Balance, LedgerError> {
        let read = store(self.database.begin_read())?;
        let table = store(read.open_table(ACCOUNTS))?;
        match store(table.get(account))? {
            None => Err(LedgerError::NoSuchAccount(account.to_owned())),
            Some(row) => {
                let (cents, held_cents) = row.value();
                Ok(Balance {
                    account: account.to_owned(),
                    cents,
                    held_cents,
                })
            }
        }
    }

    /// All accounts.
    ///
    /// # Errors
    /// When the store fails.
    pub fn balances(&self) -> Result<Vec<Balance>, LedgerError> {
        let read = store(self.database.begin_read())?;
        let table = store(read.open_table(ACCOUNTS))?;
        store(table.iter())?
            .map(|row| {
                let (account, amounts) = store(row)?;
                let (cents, held_cents) = amounts.value();
                Ok(Balance {
                    account: account.value().to_owned(),
                    cents,
                    held_cents,
                })
            })
            .collect()
    }

    /// Applied sides behind `(transfer, side)` in their order, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn entries(
        &self,
        after: Option<(&str, Side)>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        let read = store(self.database.begin_read())?;
        let table = store(read.open_table(ENTRIES))?;
        let (transfer, side) = after.map_or(("", 0), |(transfer, side)| (transfer, side as u8 + 1));
        store(table.range((transfer, side)..))?
            .take(limit)
            .map(|row| {
                let (key, value) = store(row)?;
                let (transfer, side) = key.value();
                let (account, cents) = value.value();
                Ok(Entry {
                    transfer: transfer.to_owned(),
                    side: if side == 0 { Side::Debit } else { Side::Credit },
                    account: account.to_owned(),
                    cents,
                })
            })
            .collect()
    }
}

/// The writer: group commit, one batch after the other.
fn write(database: &Database, steps: &mpsc::Receiver<(Step, Done)>) {
    while let Ok(first) = steps.recv() {
        let batch: Vec<_> = std::iter::once(first)
            .chain(steps.try_iter().take(BATCH_MAX - 1))
            .collect();
        match commit(database, &batch) {
            Ok(results) => {
                for ((_, done), result) in batch.into_iter().zip(results) {
                    let _ = done.send(result);
                }
            }
            Err(error) => {
                // Whether the batch is on disk is unknown: nobody may be told anything, and nothing may follow.
                eprintln!("account: the ledger cannot be written: {error}");
                std::process::exit(1);
            }
        }
    }
}

fn commit(
    database: &Database,
    batch: &[(Step, Done)],
) -> Result<Vec<Result<(), LedgerError>>, LedgerError> {
    let transaction = store(database.begin_write())?;
    let mut results = Vec::with_capacity(batch.len());
    for (step, _) in batch {
        match apply(&transaction, step) {
            Err(LedgerError::Store(problem)) => return Err(LedgerError::Store(problem)),
            result => results.push(result),
        }
    }
    store(transaction.commit())?;
    Ok(results)
}

/// Applies one step, or changes nothing and says why.
pub(crate) fn apply(transaction: &WriteTransaction, step: &Step) -> Result<(), LedgerError> {
    let mut accounts = store(transaction.open_table(ACCOUNTS))?;
    let mut entries = store(transaction.open_table(ENTRIES))?;
    let mut holds = store(transaction.open_table(HOLDS))?;
    let mut cancelled = store(transaction.open_table(CANCELLED))?;
    match step {
        Step::Branch {
            key,
            operation,
            entry,
        } => {
            // It comes back with the step that it is made of, and a table is open once at a time.
            drop((accounts, entries, holds, cancelled));
            return fence::apply(transaction, key, *operation, entry);
        }
        Step::Cancel { transfer } => {
            store(cancelled.insert(transfer.as_str(), ()))?;
            let debit =
                store(entries.remove((transfer.as_str(), Side::Debit as u8)))?.map(|entry| {
                    let (account, cents) = entry.value();
                    (account.to_owned(), cents)
                });
            if let Some((account, cents)) = debit {
                let (balance, held) = amounts(&accounts, &account)?;
                store(accounts.insert(account.as_str(), (balance + cents, held)))?;
            }
        }
        Step::Hold {
            transfer,
            account,
            cents,
        } => {
            let repeated = match store(entries.get((transfer.as_str(), Side::Debit as u8)))? {
                // The debit that the hold was for is done.
                Some(entry) => Some(entry.value() == (account.as_str(), *cents)),
                None => store(holds.get(transfer.as_str()))?
                    .map(|hold| hold.value() == (account.as_str(), *cents)),
            };
            match repeated {
                Some(true) => return Ok(()),
                Some(false) => return Err(LedgerError::Conflict(transfer.clone())),
                None => {}
            }
            let (balance, held) = amounts(&accounts, account)?;
            let held = enough(account, balance, held, *cents)?;
            store(accounts.insert(account.as_str(), (balance, held)))?;
            store(holds.insert(transfer.as_str(), (account.as_str(), *cents)))?;
        }
        Step::Release { transfer } => {
            let hold = store(holds.remove(transfer.as_str()))?.map(|hold| {
                let (account, cents) = hold.value();
                (account.to_owned(), cents)
            });
            if let Some((account, cents)) = hold {
                let (balance, held) = amounts(&accounts, &account)?;
                store(accounts.insert(account.as_str(), (balance, held - cents)))?;
            }
        }
        Step::Book(Entry {
            transfer,
            side,
            account,
            cents,
        }) => {
            let key = (transfer.as_str(), *side as u8);
            if let Some(entry) = store(entries.get(key))? {
                let same = entry.value() == (account.as_str(), *cents);
                return if same {
                    Ok(())
                } else {
                    Err(LedgerError::Conflict(transfer.clone()))
                };
            }
            if *side == Side::Debit && store(cancelled.get(transfer.as_str()))?.is_some() {
                return Err(LedgerError::Cancelled(transfer.clone()));
            }
            let (balance, held) = amounts(&accounts, account)?;
            let after = match side {
                Side::Credit if *cents <= 0 => return Err(LedgerError::Amount(*cents)),
                Side::Credit => (
                    balance
                        .checked_add(*cents)
                        .ok_or(LedgerError::Amount(*cents))?,
                    held,
                ),
                Side::Debit => {
                    let hold = store(holds.get(transfer.as_str()))?
                        .map(|hold| hold.value() == (account, *cents));
                    match hold {
                        Some(true) => {
                            store(holds.remove(transfer.as_str()))?;
                            (balance - cents, held - cents)
                        }
                        Some(false) => return Err(LedgerError::Conflict(transfer.clone())),
                        None => {
                            enough(account, balance, held, *cents)?;
                            (balance - cents, held)
                        }
                    }
                }
            };
            store(accounts.insert(account.as_str(), after))?;
            store(entries.insert(key, (account.as_str(), *cents)))?;
        }
    }
    Ok(())
}

/// Whether the first step of a branch may be taken: nobody else makes the same side, or has made it.
pub(crate) fn is_free(transaction: &WriteTransaction, entry: &Entry) -> Result<(), LedgerError> {
    let Entry {
        transfer,
        side,
        account,
        cents,
    } = entry;
    let content = (account.as_str(), *cents);
    let entries = store(transaction.open_table(ENTRIES))?;
    if let Some(booked) = store(entries.get((transfer.as_str(), *side as u8)))? {
        return Err(match booked.value() == content {
            true => LedgerError::Booked(transfer.clone()),
            false => LedgerError::Conflict(transfer.clone()),
        });
    }
    let accounts = store(transaction.open_table(ACCOUNTS))?;
    let (balance, _) = amounts(&accounts, account)?;
    match side {
        Side::Credit if *cents <= 0 || balance.checked_add(*cents).is_none() => {
            Err(LedgerError::Amount(*cents))
        }
        Side::Credit => Ok(()),
        Side::Debit => {
            let holds = store(transaction.open_table(HOLDS))?;
            let held = store(holds.get(transfer.as_str()))?.map(|hold| hold.value() == content);
            match held {
                None => Ok(()),
                Some(true) => Err(LedgerError::UnderWay(transfer.clone())),
                Some(false) => Err(LedgerError::Conflict(transfer.clone())),
            }
        }
    }
}

fn amounts(
    accounts: &impl ReadableTable<&'static str, (i64, i64)>,
    account: &str,
) -> Result<(i64, i64), LedgerError> {
    let row = store(accounts.get(account))?;
    row.map(|row| row.value())
        .ok_or_else(|| LedgerError::NoSuchAccount(account.to_owned()))
}

/// The held part after `cents` more are taken from what is available.
fn enough(account: &str, balance: i64, held: i64, cents: i64) -> Result<i64, LedgerError> {
    if cents <= 0 {
        return Err(LedgerError::Amount(cents));
    }
    let available = balance - held;
    if available < cents {
        return Err(LedgerError::InsufficientFunds {
            account: account.to_owned(),
            available,
            wanted: cents,
        });
    }
    Ok(held + cents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(transfer: &str, side: Side, account: &str, cents: i64) -> Step {
        Step::Book(Entry {
            transfer: transfer.into(),
            side,
            account: account.into(),
            cents,
        })
    }

    fn hold(transfer: &str, account: &str, cents: i64) -> Step {
        Step::Hold {
            transfer: transfer.into(),
            account: account.into(),
            cents,
        }
    }

    fn amounts_of(ledger: &Ledger, account: &str) -> (i64, i64) {
        let balance = ledger.balance(account).unwrap();
        (balance.cents, balance.held_cents)
    }

    #[tokio::test]
    async fn a_debit_is_taken_back_once_and_never_comes_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("l.redb"), 1..3, 1000).unwrap();
        let cancel = |transfer: &str| Step::Cancel {
            transfer: transfer.into(),
        };
        let debit = |transfer| book(transfer, Side::Debit, "A0001", 300);
        ledger.apply(debit("t1")).await.unwrap();
        for _ in 0..2 {
            ledger.apply(cancel("t1")).await.unwrap();
            assert_eq!(amounts_of(&ledger, "A0001"), (1000, 0));
        }
        // It is asked to take back what never came, or comes later.
        ledger.apply(cancel("t2")).await.unwrap();
        for transfer in ["t1", "t2"] {
            let refused = ledger.apply(debit(transfer)).await;
            assert_eq!(refused, Err(LedgerError::Cancelled(transfer.into())));
        }
        assert_eq!(amounts_of(&ledger, "A0001"), (1000, 0));
        assert_eq!(ledger.entries(None, 10).unwrap(), []);
    }

    #[tokio::test]
    async fn each_step_counts_once_however_often_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("l.redb"), 1..3, 1000).unwrap();
        for _ in 0..3 {
            ledger.apply(hold("t1", "A0001", 300)).await.unwrap();
            assert_eq!(amounts_of(&ledger, "A0001"), (1000, 300));
        }
        for _ in 0..3 {
            ledger
                .apply(book("t1", Side::Debit, "A0001", 300))
                .await
                .unwrap();
            ledger
                .apply(book("t1", Side::Credit, "A0002", 300))
                .await
                .unwrap();
            ledger.apply(hold("t1", "A0001", 300)).await.unwrap();
            assert_eq!(amounts_of(&ledger, "A0001"), (700, 0));
            assert_eq!(amounts_of(&ledger, "A0002"), (1300, 0));
        }
        let entries = ledger.entries(None, 10).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(
            ledger.entries(Some(("t1", Side::Debit)), 10).unwrap(),
            entries[1..]
        );
    }

    #[tokio::test]
    async fn what_is_refused_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("l.redb"), 1..3, 1000).unwrap();
        ledger.apply(hold("t1", "A0001", 900)).await.unwrap();
        ledger
            .apply(book("t0", Side::Credit, "A0002", 1))
            .await
            .unwrap();
        let before = ledger.balances().unwrap();
        let conflict = |id: &str| LedgerError::Conflict(id.into());
        for (step, error) in [
            (
                hold("t2", "A0001", 101),
                LedgerError::InsufficientFunds {
                    account: "A0001".into(),
                    available: 100,
                    wanted: 101,
                },
            ),
            (
                book("t2", Side::Debit, "A0001", 101),
                LedgerError::InsufficientFunds {
                    account: "A0001".into(),
                    available: 100,
                    wanted: 101,
                },
            ),
            (hold("t1", "A0002", 900), conflict("t1")),
            (book("t1", Side::Debit, "A0001", 899), conflict("t1")),
            (book("t0", Side::Credit, "A0002", 2), conflict("t0")),
            (
                book("t3", Side::Credit, "A0009", 1),
                LedgerError::NoSuchAccount("A0009".into()),
            ),
            (
                book("t3", Side::Credit, "A0001", i64::MAX),
                LedgerError::Amount(i64::MAX),
            ),
            (
                book("t3", Side::Credit, "A0001", -5),
                LedgerError::Amount(-5),
            ),
            (hold("t3", "A0001", 0), LedgerError::Amount(0)),
        ] {
            assert_eq!(ledger.apply(step).await, Err(error));
            assert_eq!(ledger.balances().unwrap(), before);
        }
        ledger
            .apply(Step::Release {
                transfer: "t1".into(),
            })
            .await
            .unwrap();
        ledger
            .apply(Step::Release {
                transfer: "t1".into(),
            })
            .await
            .unwrap();
        assert_eq!(amounts_of(&ledger, "A0001"), (1000, 0));
    }

    #[tokio::test]
    async fn what_was_answered_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.redb");
        let ledger = Ledger::open(&path, 1..3, 1000).unwrap();
        let steps: Vec<_> = (0..100)
            .map(|n| ledger.apply(book(&format!("t{n}"), Side::Debit, "A0001", 1)))
            .collect();
        for step in steps {
            step.await.unwrap();
        }
        drop(ledger);
        // The writer thread lets go of the file when it has noticed.
        let again = loop {
            match Ledger::open(&path, 1..3, 1000) {
                Ok(ledger) => break ledger,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(amounts_of(&again, "A0001"), (900, 0));
        assert_eq!(again.entries(None, 1000).unwrap().len(), 100);
    }
}
