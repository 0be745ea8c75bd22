//! Branches that are tried, then committed or rolled back.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use diwan_seata::{BranchEnd, BranchEnded, BranchStatus, BranchType, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::runtime::Handle as Runtime;

use crate::context::{current, in_branch};
use crate::driver::Branches;
use crate::state::{failed, retryable};
use crate::{TxClient, TxError, TxSetupError, data};

/// A branch of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The transaction.
    pub xid: String,
    /// Its number.
    pub id: i64,
    /// The action's name.
    pub resource: String,
}

/// An action of three steps. `prepare` sets aside what is needed, so that `commit` cannot fail for a reason of the business, and
/// `rollback` gives it back.
///
/// The coordinator repeats `commit` and `rollback` until one is `Ok`. `rollback` may come before `prepare`, or without it, and `prepare`
/// after it: a [`fence`](crate::fence) sorts that out.
pub trait TccAction: Send + Sync + 'static {
    /// What all three steps are given. It travels as JSON, field by field: a struct, a map, or `()`.
    type Arguments: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What `prepare` gives.
    type Prepared: Send;
    /// Why a step is not done.
    type Error: Display + Send;

    /// Its name, the same in all processes that can commit and roll back its branches, and no other action's.
    fn name(&self) -> &str;

    /// Tries. On an error the caller is to let the transaction be rolled back.
    fn prepare(
        &self,
        branch: &Branch,
        arguments: &Self::Arguments,
    ) -> impl Future<Output = Result<Self::Prepared, Self::Error>> + Send;

    /// Does what was tried. It is told again after an error.
    fn commit(
        &self,
        branch: &Branch,
        arguments: Self::Arguments,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Undoes what was tried, if it was. It is told again after an error.
    fn rollback(
        &self,
        branch: &Branch,
        arguments: Self::Arguments,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Why an action was not tried, or its try has failed: the transaction is to be rolled back.
#[derive(Debug, Error)]
pub enum PrepareError<E> {
    /// The caller is in no transaction.
    #[error("{0} is tried in no transaction")]
    NotInTransaction(String),
    /// The arguments cannot be written as an object of JSON.
    #[error("arguments of {resource}: {problem}")]
    Arguments {
        /// The action.
        resource: String,
        /// What is wrong.
        problem: String,
    },
    /// The coordinator has not taken the branch, or nobody knows; it was not tried.
    #[error("the branch was not registered: {0}")]
    Register(TxError),
    /// The action's own error.
    #[error("{0}")]
    Prepare(E),
}

/// An action that was offered to the coordinator.
pub struct Tcc<A> {
    client: TxClient,
    action: Arc<A>,
}

impl<A> Clone for Tcc<A> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            action: self.action.clone(),
        }
    }
}

impl<A: TccAction> Tcc<A> {
    pub(crate) fn new(client: TxClient, action: Arc<A>) -> Self {
        Self { client, action }
    }

    /// The action.
    pub fn action(&self) -> &A {
        &self.action
    }

    /// Registers a branch of the [current transaction](crate::current_xid), then tries the action.
    ///
    /// # Errors
    /// Why it was not tried, or what its try came to.
    pub async fn prepare(
        &self,
        arguments: &A::Arguments,
    ) -> Result<A::Prepared, PrepareError<A::Error>> {
        let resource = self.action.name();
        let inside =
            current().ok_or_else(|| PrepareError::NotInTransaction(resource.to_owned()))?;
        let data =
            data::write(arguments, unix_ms()).map_err(|problem| PrepareError::Arguments {
                resource: resource.to_owned(),
                problem,
            })?;
        let registered = self
            .client
            .register(&inside.xid, BranchType::Tcc, resource, data);
        let branch = Branch {
            id: registered.await.map_err(PrepareError::Register)?,
            xid: inside.xid.as_ref().to_owned(),
            resource: resource.to_owned(),
        };
        let tried = self.action.prepare(&branch, arguments);
        let tried = in_branch(inside.xid, BranchType::Tcc, tried);
        tried.await.map_err(PrepareError::Prepare)
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

type Work = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
/// Commits a branch, or rolls it back, given its data.
type End = Box<dyn Fn(bool, Branch, &str) -> Work + Send + Sync>;

/// An action, whatever its type, and where its steps run.
struct Resource {
    end: End,
    runtime: Option<Runtime>,
}

/// The actions of a client, by their names.
#[derive(Clone, Default)]
pub(crate) struct Resources(Arc<Mutex<BTreeMap<String, Arc<Resource>>>>);

impl Resources {
    pub(crate) fn add<A: TccAction>(
        &self,
        name: &str,
        action: &Arc<A>,
    ) -> Result<(), TxSetupError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.contains_key(name) {
            return Err(TxSetupError::Duplicate(name.to_owned()));
        }
        let action = action.clone();
        let end = move |commit, branch: Branch, data: &str| -> Work {
            let (action, arguments) = (action.clone(), data::read(data));
            Box::pin(async move {
                let arguments =
                    arguments.map_err(|why| format!("what it was to be told: {why}"))?;
                let done = match commit {
                    true => action.commit(&branch, arguments).await,
                    false => action.rollback(&branch, arguments).await,
                };
                done.map_err(|error| error.to_string())
            })
        };
        let resource = Resource {
            end: Box::new(end),
            runtime: Runtime::try_current().ok(),
        };
        all.insert(name.to_owned(), Arc::new(resource));
        Ok(())
    }

    /// What carries out the coordinator's orders.
    pub(crate) fn branches(&self) -> Branches {
        let resources = self.clone();
        Arc::new(move |commit, end| {
            let all = resources.0.lock().unwrap_or_else(PoisonError::into_inner);
            let resource = all.get(&end.resource_id).cloned();
            Box::pin(carry_out(resource, commit, end))
        })
    }
}

/// Answers as the original does: what is thrown, refused or cannot be read is told again; of an action that is not here it says so.
/// Source: apache/incubator-seata:tcc/src/main/java/org/apache/seata/rm/tcc/TCCResourceManager.java.
async fn carry_out(resource: Option<Arc<Resource>>, commit: bool, end: BranchEnd) -> BranchEnded {
    let (xid, branch_id) = (&end.xid, end.branch_id);
    let Some(resource) = resource else {
        let why = format!("there is no TCC resource {:?} here", end.resource_id);
        tracing::error!(xid, branch_id, why, "a branch is told what cannot be done");
        return failed(&end, commit, why);
    };
    let branch = Branch {
        xid: end.xid.clone(),
        id: end.branch_id,
        resource: end.resource_id.clone(),
    };
    let data = end.application_data.clone();
    let work_of = resource.clone();
    // Made inside of the task, so that a panic there is noticed like any other.
    let work = async move { (work_of.end)(commit, branch, &data).await };
    let task = match &resource.runtime {
        Some(runtime) => runtime.spawn(work),
        None => tokio::spawn(work),
    };
    let done = task.await.unwrap_or_else(|error| Err(error.to_string()));
    let status = match done {
        Ok(()) if commit => BranchStatus::PhaseTwoCommitted,
        Ok(()) => BranchStatus::PhaseTwoRollbacked,
        Err(why) => {
            tracing::error!(
                xid,
                branch_id,
                resource = end.resource_id,
                commit,
                why,
                "a branch is to be told again"
            );
            retryable(commit)
        }
    };
    tracing::debug!(xid, branch_id, resource = end.resource_id, %status, "a branch ends");
    BranchEnded {
        outcome: Outcome::SUCCESS,
        xid: end.xid,
        branch_id: end.branch_id,
        status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits what it is told, in the way that it is told.
    struct Told;

    #[derive(Serialize, serde::Deserialize)]
    struct How {
        how: String,
    }

    impl TccAction for Told {
        type Arguments = How;
        type Prepared = ();
        type Error = String;

        fn name(&self) -> &str {
            "told"
        }

        async fn prepare(&self, _: &Branch, _: &How) -> Result<(), String> {
            Ok(())
        }

        async fn commit(&self, branch: &Branch, told: How) -> Result<(), String> {
            assert_eq!(
                (&*branch.xid, branch.id, &*branch.resource),
                ("x", 7, "told")
            );
            match &*told.how {
                "well" => Ok(()),
                "panics" => panic!("as it was to"),
                other => Err(other.to_owned()),
            }
        }

        async fn rollback(&self, branch: &Branch, told: How) -> Result<(), String> {
            self.commit(branch, told).await
        }
    }

    #[tokio::test]
    async fn each_order_is_answered_as_the_original_answers_it() {
        let resources = Resources::default();
        resources.add("told", &Arc::new(Told)).unwrap();
        let again = resources.add("told", &Arc::new(Told));
        assert!(matches!(again, Err(TxSetupError::Duplicate(name)) if name == "told"));
        let branches = resources.branches();
        let well = data::write(&How { how: "well".into() }, 7).unwrap();
        let panics = well.replace("well", "panics");
        let fails = well.replace("well", "badly");
        let missing = r#"{"actionContext":{"action-start-time":7}}"#;
        for (resource, data, is_done, is_refused) in [
            ("told", &*well, true, false),
            ("told", &panics, false, false),
            ("told", &fails, false, false),
            ("told", missing, false, false),
            ("told", "{", false, false),
            ("told", "", false, false),
            ("other", &well, false, true),
        ] {
            for commit in [true, false] {
                let end = BranchEnd {
                    xid: "x".into(),
                    branch_id: 7,
                    branch_type: BranchType::Tcc,
                    resource_id: resource.into(),
                    application_data: data.into(),
                };
                let ended = branches(commit, end).await;
                let done = match commit {
                    true => BranchStatus::PhaseTwoCommitted,
                    false => BranchStatus::PhaseTwoRollbacked,
                };
                let expected = if is_done { done } else { retryable(commit) };
                assert_eq!(ended.status, expected, "{resource} {data}");
                assert_eq!(ended.outcome.failure.is_some(), is_refused, "{data}");
                assert_eq!((&*ended.xid, ended.branch_id), ("x", 7));
            }
        }
    }
}
