//! Who waits for what a bank says, and what is made of it.

use diwan_saga::engine::{Call, CallId, Exception, Kind, Outcome};
use diwan_seata::{BranchEnd, BranchStatus};
use diwan_tx_client::Branch;
use diwan_tx_client::fence::{FenceKey, KeyTooLong, Operation};
use serde_json::Value;

use crate::bank::{Order, Said, Side};
use crate::machines::REFUSED;

#[derive(Clone, Debug)]
pub(crate) enum Waiter {
    /// The host of sagas that led then.
    Call { epoch: u64, call: CallId },
    /// The coordinator that led then.
    Branch {
        epoch: u64,
        transaction: i64,
        branch: i64,
        commit: bool,
    },
    /// The application that makes a transfer.
    Try { transfer: usize, side: Side },
}

/// Why nothing was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Nobody was there.
    Connect,
    /// Nobody knows.
    Timeout,
}

/// The key of a saga's step: what undoes it has the same.
pub(crate) fn step_key(saga: &str, side: Side, account: usize) -> Result<FenceKey, KeyTooLong> {
    FenceKey::step(saga, &format!("{side:?} {account}"))
}

pub(crate) fn branch_key(xid: &str, branch: i64, side: Side) -> Result<FenceKey, KeyTooLong> {
    FenceKey::branch(&Branch {
        xid: xid.into(),
        id: branch,
        resource: resource(side).into(),
    })
}

pub(crate) fn resource(side: Side) -> &'static str {
    match side {
        Side::Debit => "debit",
        Side::Credit => "credit",
    }
}

/// What a saga's call asks of a bank.
pub(crate) fn of_call(call: &Call) -> Option<Order> {
    let number = |at: usize| call.args.get(at)?.as_i64();
    let (side, operation) = match &*call.service.method {
        "debit" => (Side::Debit, Operation::Act),
        "refund" => (Side::Debit, Operation::Compensate),
        "credit" => (Side::Credit, Operation::Act),
        "forbid" => (Side::Credit, Operation::Compensate),
        _ => return None,
    };
    let account = usize::try_from(number(1)?).ok()?;
    Some(Order {
        key: step_key(call.args.first()?.as_str()?, side, account).ok()?,
        operation,
        side,
        account,
        cents: number(2)?,
    })
}

/// What a branch was registered with: account and cents.
pub(crate) fn data(account: usize, cents: i64) -> String {
    format!("{account} {cents}")
}

/// What the coordinator asks of a bank.
pub(crate) fn of_branch(end: &BranchEnd, commit: bool) -> Option<Order> {
    let (account, cents) = end.application_data.split_once(' ')?;
    let side = match end.resource_id.as_str() {
        "debit" => Side::Debit,
        _ => Side::Credit,
    };
    Some(Order {
        key: branch_key(&end.xid, end.branch_id, side).ok()?,
        operation: match commit {
            true => Operation::Commit,
            false => Operation::Rollback,
        },
        side,
        account: account.parse().ok()?,
        cents: cents.parse().ok()?,
    })
}

/// What the host makes of it.
pub(crate) fn outcome(said: Result<Said, Silence>) -> Outcome {
    let network = |kind, class: &str| {
        Outcome::Exception(Exception {
            kind,
            ..Exception::business(class, "no answer")
        })
    };
    match said {
        Ok(Said::Done(_)) => Outcome::Value(Value::Bool(true).into()),
        Ok(Said::Refused) => Outcome::Exception(Exception::business(REFUSED, "refused")),
        Ok(Said::Fenced(why)) => Outcome::Exception(Exception::business(REFUSED, why.to_string())),
        Err(Silence::Connect) => network(Kind::Connect, "java.net.ConnectException"),
        Err(Silence::Timeout) => network(Kind::ReadTimeout, "java.net.SocketTimeoutException"),
    }
}

/// What the resource manager answers.
pub(crate) fn branch_status(said: Result<Said, Silence>, commit: bool) -> Option<BranchStatus> {
    match (said, commit) {
        (Err(_), _) => None,
        (Ok(Said::Done(_)), true) => Some(BranchStatus::PhaseTwoCommitted),
        (Ok(Said::Done(_)), false) => Some(BranchStatus::PhaseTwoRollbacked),
        (Ok(_), true) => Some(BranchStatus::PhaseTwoCommitFailedRetryable),
        (Ok(_), false) => Some(BranchStatus::PhaseTwoRollbackFailedRetryable),
    }
}
