//! Work as a transaction. Source: apache/incubator-seata:tm/src/main/java/org/apache/seata/tm/api/TransactionalTemplate.java.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::str::FromStr;
use std::time::{Duration, Instant};

use diwan_seata::{BranchType, GlobalStatus};

use crate::context::{current_xid, in_branch, outside};
use crate::{TransactionError, TxClient};

/// What work has to do with the transaction that it is called in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// It takes part, or begins one if there is none.
    #[default]
    Required,
    /// It begins one of its own.
    RequiresNew,
    /// It takes part if there is one.
    Supports,
    /// It never takes part.
    NotSupported,
    /// It refuses to be called in one.
    Never,
    /// It refuses to be called outside of one.
    Mandatory,
}

impl Propagation {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Required,
        Self::RequiresNew,
        Self::Supports,
        Self::NotSupported,
        Self::Never,
        Self::Mandatory,
    ];

    /// As the original has it, in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::RequiresNew => "requires_new",
            Self::Supports => "supports",
            Self::NotSupported => "not_supported",
            Self::Never => "never",
            Self::Mandatory => "mandatory",
        }
    }
}

impl FromStr for Propagation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|one| one.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("{text:?} is no propagation"))
    }
}

/// How work is a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transactional {
    /// What the coordinator calls it.
    pub name: String,
    /// It is rolled back after this.
    pub timeout: Duration,
    /// What it has to do with the one that it is called in.
    pub propagation: Propagation,
}

impl Transactional {
    /// [`Propagation::Required`], and a minute, as in the original.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            timeout: Duration::from_secs(60),
            propagation: Propagation::default(),
        }
    }

    /// Does the work. If it begins a transaction, the transaction is committed when the work is `Ok`, and rolled back when it is `Err`,
    /// panics or is no longer awaited; if it takes part in one, whoever has begun that one decides.
    ///
    /// # Errors
    /// The work's own; or why it is not committed although the work is `Ok`. If it cannot be rolled back, the coordinator does it when its
    /// time is over.
    pub async fn run<T, E, F>(&self, client: &TxClient, work: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: From<TransactionError>,
    {
        let current = current_xid();
        match (self.propagation, current) {
            (Propagation::Required | Propagation::Supports | Propagation::Mandatory, Some(_))
            | (Propagation::Supports | Propagation::Never, None) => work.await,
            (Propagation::NotSupported, _) => outside(work).await,
            (Propagation::Never, Some(xid)) => {
                let name = self.name.clone();
                Err(TransactionError::InTransaction { name, xid }.into())
            }
            (Propagation::Mandatory, None) => {
                Err(TransactionError::NotInTransaction(self.name.clone()).into())
            }
            (Propagation::Required, None) | (Propagation::RequiresNew, _) => {
                self.launch(client, work).await
            }
        }
    }

    async fn launch<T, E, F>(&self, client: &TxClient, work: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: From<TransactionError>,
    {
        let began = Instant::now();
        let xid = client.begin(&self.name, self.timeout).await;
        let xid = xid.map_err(TransactionError::Begin)?;
        let mut unfinished = Unfinished {
            client,
            xid: Some(xid.clone()),
        };
        let work = in_branch(xid.as_str().into(), BranchType::At, work);
        match unwound(work).await {
            Ok(Ok(value)) if began.elapsed() <= self.timeout => {
                unfinished.xid = None;
                committed(&xid, client.commit(&xid).await)?;
                Ok(value)
            }
            Ok(Ok(_)) => {
                let status = roll_back(client, &xid).await;
                unfinished.xid = None;
                let status = status.unwrap_or(GlobalStatus::TimeoutRollbacking);
                Err(TransactionError::TimedOut { xid, status }.into())
            }
            Ok(Err(error)) => {
                roll_back(client, &xid).await;
                unfinished.xid = None;
                Err(error)
            }
            Err(panic) => {
                roll_back(client, &xid).await;
                unfinished.xid = None;
                resume_unwind(panic)
            }
        }
    }
}

/// Work that is no longer awaited has not ended: its transaction is rolled back.
struct Unfinished<'c> {
    client: &'c TxClient,
    xid: Option<String>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(xid) = &self.xid {
            tracing::warn!(xid, "the work of a transaction is no longer awaited");
            self.client.roll_back_behind(xid);
        }
    }
}

async fn unwound<F: Future>(work: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        // It is not polled again after a panic.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    })
    .await
}

async fn roll_back(client: &TxClient, xid: &str) -> Option<GlobalStatus> {
    match client.rollback(xid).await {
        Ok(status) => Some(status),
        Err(error) => {
            tracing::warn!(xid, %error, "a transaction is rolled back only when its time is over");
            None
        }
    }
}

/// What the coordinator's answer to a commit means.
fn committed(
    xid: &str,
    answer: Result<GlobalStatus, crate::TxError>,
) -> Result<(), TransactionError> {
    let xid = xid.to_owned();
    let status = match answer {
        Ok(status) => status,
        Err(error) => return Err(TransactionError::Commit { xid, error }),
    };
    match status {
        GlobalStatus::Committed
        | GlobalStatus::Committing
        | GlobalStatus::CommitRetrying
        | GlobalStatus::AsyncCommitting => Ok(()),
        GlobalStatus::TimeoutRollbacking
        | GlobalStatus::TimeoutRollbackRetrying
        | GlobalStatus::TimeoutRollbacked
        | GlobalStatus::TimeoutRollbackFailed => Err(TransactionError::TimedOut { xid, status }),
        GlobalStatus::Rollbacking
        | GlobalStatus::RollbackRetrying
        | GlobalStatus::Rollbacked
        | GlobalStatus::RollbackFailed
        | GlobalStatus::RollbackRetryTimeout => Err(TransactionError::RolledBack { xid, status }),
        GlobalStatus::UnKnown
        | GlobalStatus::Begin
        | GlobalStatus::CommitFailed
        | GlobalStatus::Finished
        | GlobalStatus::CommitRetryTimeout
        | GlobalStatus::Deleting
        | GlobalStatus::StopCommitOrCommitRetry
        | GlobalStatus::StopRollbackOrRollbackRetry => {
            Err(TransactionError::Unknown { xid, status })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_commit_is_never_taken_for_more_than_it_says() {
        for status in GlobalStatus::ALL.iter().copied() {
            let name = status.name();
            let said = committed("x", Ok(status));
            let is_commit = name.contains("Commit") && !name.contains("Fail");
            let is_commit = is_commit && !name.contains("Timeout") && !name.contains("Stop");
            assert_eq!(said.is_ok(), is_commit, "{name}");
            if let Err(error) = said {
                let is_rollback = name.contains("ollback") && !name.contains("Stop");
                assert_eq!(error.was_not_committed(), is_rollback, "{name}");
            }
        }
        let lost = crate::TxError::ConnectionLost("x".into());
        let error = committed("x", Err(lost)).unwrap_err();
        assert!(!error.was_not_committed());
    }

    #[test]
    fn names_of_propagations_are_read_in_either_case() {
        for one in Propagation::ALL {
            assert_eq!(one.name().to_uppercase().parse(), Ok(one));
        }
        assert!("nested".parse::<Propagation>().is_err());
    }
}
