//! A bank: accounts, and a fence in the same local transaction as each change of them.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use diwan_tx_client::fence::{
    Entered, FenceError, FenceKey, FenceStatus, FenceStore, Operation, Refusal, enter,
};

use crate::world::Flaw;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Debit,
    Credit,
}

/// What a bank is asked.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) key: FenceKey,
    pub(crate) operation: Operation,
    pub(crate) side: Side,
    pub(crate) account: usize,
    pub(crate) cents: i64,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is done, now or before.
    Done(Entered),
    /// The business says no; nothing is changed.
    Refused,
    /// The fence says no.
    Fenced(Refusal),
}

#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    pub(crate) held: i64,
    pub(crate) closed: bool,
}

/// All banks: which account is whose does not matter to them.
#[derive(Debug)]
pub(crate) struct Banks {
    pub(crate) accounts: Vec<Account>,
    rows: BTreeMap<FenceKey, FenceStatus>,
}

/// The rows within a local transaction.
struct Rows<'a> {
    rows: &'a mut BTreeMap<FenceKey, FenceStatus>,
    before: Option<(FenceKey, Option<FenceStatus>)>,
}

impl Rows<'_> {
    fn write(&mut self, key: &FenceKey, from: Option<FenceStatus>, to: FenceStatus) -> bool {
        let before = self.rows.get(key).copied();
        let is_expected = before == from;
        if is_expected {
            self.before = Some((key.clone(), before));
            self.rows.insert(key.clone(), to);
        }
        is_expected
    }

    fn roll_back(self) {
        match self.before {
            Some((key, Some(status))) => drop(self.rows.insert(key, status)),
            Some((key, None)) => drop(self.rows.remove(&key)),
            None => {}
        }
    }
}

enum Never {}

impl FenceStore for Rows<'_> {
    type Error = Never;

    fn row(
        &mut self,
        key: &FenceKey,
    ) -> impl Future<Output = Result<Option<FenceStatus>, Never>> + Send {
        ready(Ok(self.rows.get(key).copied()))
    }

    fn insert(
        &mut self,
        key: &FenceKey,
        status: FenceStatus,
    ) -> impl Future<Output = Result<bool, Never>> + Send {
        ready(Ok(self.write(key, None, status)))
    }

    fn update(
        &mut self,
        key: &FenceKey,
        from: FenceStatus,
        to: FenceStatus,
    ) -> impl Future<Output = Result<bool, Never>> + Send {
        ready(Ok(self.write(key, Some(from), to)))
    }
}

/// The store's futures are ready at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("nothing is waited for"),
    }
}

impl Banks {
    pub(crate) fn new(accounts: Vec<Account>) -> Self {
        let rows = BTreeMap::new();
        Self { accounts, rows }
    }

    /// Carries an order out in one local transaction.
    pub(crate) fn carry_out(&mut self, order: &Order, flaw: Option<Flaw>) -> Said {
        if flaw == Some(Flaw::NoFence) {
            self.rows.remove(&order.key);
        }
        let is_credit = order.side == Side::Credit;
        let tried = self.rows.get(&order.key) == Some(&FenceStatus::Tried);
        if order.operation == Operation::Compensate && is_credit && tried {
            // What was paid may be spent.
            return Said::Refused;
        }
        let mut rows = Rows {
            rows: &mut self.rows,
            before: None,
        };
        let entered = match at_once(enter(&mut rows, &order.key, order.operation)) {
            Ok(Entered::Nothing) => return Said::Done(Entered::Nothing),
            Ok(Entered::Do) => Entered::Do,
            Err(FenceError::Refused(refusal)) => return Said::Fenced(refusal),
            Err(FenceError::Contended) => unreachable!("one after the other"),
            Err(FenceError::Store(never)) => match never {},
        };
        let account = &mut self.accounts[order.account];
        let Order { side, cents, .. } = *order;
        let is_short = side == Side::Debit && account.balance - account.held < cents;
        let is_closed = is_credit && account.closed;
        match order.operation {
            Operation::Try | Operation::Act if is_short || is_closed => {
                rows.roll_back();
                if order.operation == Operation::Act && flaw != Some(Flaw::RefusalsForgotten) {
                    // A refusal stands: an earlier attempt that comes later must not be carried out.
                    self.rows.insert(order.key.clone(), FenceStatus::Suspended);
                }
                return Said::Refused;
            }
            Operation::Try if side == Side::Debit => account.held += cents,
            Operation::Commit if side == Side::Debit => {
                account.held -= cents;
                account.balance -= cents;
            }
            Operation::Rollback if side == Side::Debit => account.held -= cents,
            Operation::Act if side == Side::Debit => account.balance -= cents,
            Operation::Compensate if side == Side::Debit => account.balance += cents,
            Operation::Commit | Operation::Act => account.balance += cents,
            Operation::Try | Operation::Rollback | Operation::Compensate => {}
        }
        Said::Done(entered)
    }

    /// Whether an order has paid.
    pub(crate) fn has_paid(order: &Order, said: Said) -> bool {
        let pays = matches!(order.operation, Operation::Commit | Operation::Act);
        order.side == Side::Credit && pays && said == Said::Done(Entered::Do)
    }

    /// An account that has less than nothing.
    pub(crate) fn short(&self) -> Option<usize> {
        let is_short = |one: &Account| one.held < 0 || one.balance < one.held;
        self.accounts.iter().position(is_short)
    }

    /// What stands of a branch or a step.
    pub(crate) fn row(&self, key: &FenceKey) -> Option<FenceStatus> {
        self.rows.get(key).copied()
    }
}
