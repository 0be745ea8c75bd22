//! The fence of the account services' branches, in the ledger's own transactions.

use std::future::{Future, ready};

use diwan::rpc::client::block_on;
use diwan::tx::fence::{Entered, FenceError, FenceKey, FenceStatus, FenceStore, Operation, enter};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use crate::ledger::{self, Entry, LedgerError, Side, Step, store};

/// What was done with each branch: transaction and branch, to status.
pub(crate) const ROWS: TableDefinition<'_, (&str, i64), u8> = TableDefinition::new("fence");

/// The row of one step. Steps share a transaction of the store with others: a step that is refused must leave no row, so that the row is
/// written behind the business' change.
struct Row<'t> {
    transaction: &'t WriteTransaction,
    to_write: Option<FenceStatus>,
}

fn id(key: &FenceKey) -> (&str, i64) {
    (key.xid(), key.branch_id())
}

impl Row<'_> {
    fn read(&self, key: &FenceKey) -> Result<Option<FenceStatus>, LedgerError> {
        let rows = store(self.transaction.open_table(ROWS))?;
        let number = store(rows.get(id(key)))?.map(|row| row.value());
        let status = |number| {
            let status = FenceStatus::from_number(number);
            status.ok_or_else(|| LedgerError::Store(format!("a fence has no status {number}")))
        };
        number.map(status).transpose()
    }

    fn write(&self, key: &FenceKey) -> Result<(), LedgerError> {
        if let Some(status) = self.to_write {
            let mut rows = store(self.transaction.open_table(ROWS))?;
            store(rows.insert(id(key), status.number()))?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        key: &FenceKey,
        from: Option<FenceStatus>,
        to: FenceStatus,
    ) -> Result<bool, LedgerError> {
        let is_expected = self.read(key)? == from;
        self.to_write = is_expected.then_some(to);
        Ok(is_expected)
    }
}

impl FenceStore for Row<'_> {
    type Error = LedgerError;

    fn row(
        &mut self,
        key: &FenceKey,
    ) -> impl Future<Output = Result<Option<FenceStatus>, LedgerError>> + Send {
        ready(self.read(key))
    }

    fn insert(
        &mut self,
        key: &FenceKey,
        status: FenceStatus,
    ) -> impl Future<Output = Result<bool, LedgerError>> + Send {
        ready(self.change(key, None, status))
    }

    fn update(
        &mut self,
        key: &FenceKey,
        from: FenceStatus,
        to: FenceStatus,
    ) -> impl Future<Output = Result<bool, LedgerError>> + Send {
        ready(self.change(key, Some(from), to))
    }
}

/// A debit is tried by setting the money aside, and a credit by looking whether the account can take it; both are booked by the commit.
pub(crate) fn apply(
    transaction: &WriteTransaction,
    key: &FenceKey,
    operation: Operation,
    entry: &Entry,
) -> Result<(), LedgerError> {
    let mut row = Row {
        transaction,
        to_write: None,
    };
    let transfer = entry.transfer.clone();
    // The store's own thread: its futures are ready at once.
    let entered = match block_on(enter(&mut row, key, operation)) {
        Ok(entered) => entered,
        Err(FenceError::Store(error)) => return Err(error),
        Err(FenceError::Refused(refusal)) => {
            return Err(LedgerError::Refused { transfer, refusal });
        }
        Err(FenceError::Contended) => return Err(LedgerError::UnderWay(transfer)),
    };
    if entered == Entered::Do {
        let step = match (operation, entry.side) {
            (Operation::Try | Operation::Act, side) => {
                ledger::is_free(transaction, entry)?;
                (side == Side::Debit).then(|| Step::Hold {
                    transfer,
                    account: entry.account.clone(),
                    cents: entry.cents,
                })
            }
            (Operation::Commit, _) => Some(Step::Book(entry.clone())),
            (Operation::Rollback | Operation::Compensate, Side::Debit) => {
                Some(Step::Release { transfer })
            }
            (Operation::Rollback | Operation::Compensate, Side::Credit) => None,
        };
        if let Some(step) = step {
            ledger::apply(transaction, &step)?;
        }
    }
    row.write(key)
}

#[cfg(test)]
mod tests {
    use diwan::tx::Branch;
    use diwan::tx::fence::Refusal;

    use super::*;
    use crate::ledger::Ledger;

    fn key(branch: i64) -> FenceKey {
        let branch = Branch {
            xid: "tc:1:1".into(),
            id: branch,
            resource: "debit".into(),
        };
        FenceKey::branch(&branch).unwrap()
    }

    fn step(branch: i64, operation: Operation, side: Side, cents: i64) -> Step {
        Step::Branch {
            key: key(branch),
            operation,
            entry: Entry {
                transfer: "t1".into(),
                side,
                account: "A0001".into(),
                cents,
            },
        }
    }

    fn refused(refusal: Refusal) -> Result<(), LedgerError> {
        Err(LedgerError::Refused {
            transfer: "t1".into(),
            refusal,
        })
    }

    fn open() -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("l.redb"), 1..3, 1000).unwrap();
        (folder, ledger)
    }

    fn amounts(ledger: &Ledger) -> (i64, i64) {
        let balance = ledger.balance("A0001").unwrap();
        (balance.cents, balance.held_cents)
    }

    #[tokio::test]
    async fn a_debit_is_held_then_booked_and_each_order_counts_once() {
        let (_folder, ledger) = open();
        let debit = |operation| ledger.apply(step(1, operation, Side::Debit, 300));
        assert_eq!(debit(Operation::Try).await, Ok(()));
        assert_eq!(amounts(&ledger), (1000, 300));
        assert_eq!(debit(Operation::Try).await, refused(Refusal::TriedBefore));
        for _ in 0..2 {
            assert_eq!(debit(Operation::Commit).await, Ok(()));
            assert_eq!(amounts(&ledger), (700, 0));
        }
        assert_eq!(
            debit(Operation::Rollback).await,
            refused(Refusal::CommittedBefore)
        );
        // Another transaction for the same transfer learns that it is made.
        let again = ledger
            .apply(step(2, Operation::Try, Side::Debit, 300))
            .await;
        assert_eq!(again, Err(LedgerError::Booked("t1".into())));
        assert_eq!(amounts(&ledger), (700, 0));
    }

    #[tokio::test]
    async fn a_rollback_before_the_try_keeps_it_from_coming() {
        let (_folder, ledger) = open();
        let debit = |operation| ledger.apply(step(1, operation, Side::Debit, 300));
        assert_eq!(debit(Operation::Rollback).await, Ok(()));
        assert_eq!(
            debit(Operation::Try).await,
            refused(Refusal::RolledBackBefore)
        );
        assert_eq!(amounts(&ledger), (1000, 0));
    }

    #[tokio::test]
    async fn one_transfer_is_held_by_one_transaction_and_given_back_by_it_alone() {
        let (_folder, ledger) = open();
        let debit = |branch, operation| ledger.apply(step(branch, operation, Side::Debit, 300));
        assert_eq!(debit(1, Operation::Try).await, Ok(()));
        let second = debit(2, Operation::Try).await;
        assert_eq!(second, Err(LedgerError::UnderWay("t1".into())));
        // It was not tried, so there is nothing to be given back.
        assert_eq!(debit(2, Operation::Rollback).await, Ok(()));
        assert_eq!(amounts(&ledger), (1000, 300));
        assert_eq!(debit(1, Operation::Rollback).await, Ok(()));
        assert_eq!(amounts(&ledger), (1000, 0));
        assert_eq!(debit(3, Operation::Try).await, Ok(()));
    }

    /// It shares a transaction of the store with the steps around it.
    #[tokio::test]
    async fn a_try_that_is_refused_leaves_no_row() {
        let (_folder, ledger) = open();
        let [poor, rich] =
            [2_000, 300].map(|cents| ledger.apply(step(1, Operation::Try, Side::Debit, cents)));
        let (poor, rich) = tokio::join!(poor, rich);
        assert!(
            matches!(poor, Err(LedgerError::InsufficientFunds { .. })),
            "{poor:?}"
        );
        assert_eq!(rich, Ok(()));
        assert_eq!(amounts(&ledger), (1000, 300));
    }

    #[tokio::test]
    async fn a_credit_is_booked_by_its_commit_only() {
        let (_folder, ledger) = open();
        let credit =
            |branch, operation, cents| ledger.apply(step(branch, operation, Side::Credit, cents));
        assert_eq!(credit(1, Operation::Try, 5).await, Ok(()));
        assert_eq!(amounts(&ledger), (1000, 0));
        assert_eq!(credit(1, Operation::Rollback, 5).await, Ok(()));
        assert_eq!(credit(2, Operation::Try, 5).await, Ok(()));
        assert_eq!(credit(2, Operation::Commit, 5).await, Ok(()));
        assert_eq!(amounts(&ledger), (1005, 0));
        let too_much = credit(3, Operation::Try, i64::MAX).await;
        assert_eq!(too_much, Err(LedgerError::Conflict("t1".into())));
        let untried = credit(4, Operation::Commit, 5).await;
        assert_eq!(untried, refused(Refusal::NotTried));
    }
}
