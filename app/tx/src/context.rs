//! Which transaction the running work is part of.

use std::future::Future;
use std::sync::Arc;

use diwan_rpc::Context;
use diwan_seata::BranchType;

/// The key of the xid in the properties of a SOFARPC request and in the headers of an HTTP request.
/// Source: apache/incubator-seata:core/src/main/java/org/apache/seata/core/context/RootContext.java.
pub(crate) const KEY_XID: &str = "TX_XID";
/// The key of the kind of branch that the caller is in.
pub(crate) const KEY_BRANCH_TYPE: &str = "TX_BRANCH_TYPE";

tokio::task_local! {
    static BOUND: Bound;
}

#[derive(Clone)]
enum Bound {
    /// In no transaction, whatever the request that is handled says.
    Outside,
    Inside(Inside),
}

/// The transaction, and in which kind of branch of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inside {
    pub(crate) xid: Arc<str>,
    pub(crate) branch_type: BranchType,
}

/// The transaction that the running work is part of: the one that it was put in, else the one of the SOFARPC request that is being
/// handled. It follows the work's future, not the tasks that the work spawns: see [`in_transaction`].
pub fn current_xid() -> Option<String> {
    current().map(|inside| inside.xid.as_ref().to_owned())
}

pub(crate) fn current() -> Option<Inside> {
    match BOUND.try_with(Bound::clone) {
        Ok(Bound::Inside(inside)) => Some(inside),
        Ok(Bound::Outside) => None,
        Err(_) => of_request(&*Context::current()?),
    }
}

/// As the original's filter of a provider reads it, in either case; other branches than TCC's are AT's there.
/// Source: apache/incubator-seata:integration/sofa-rpc/src/main/java/org/apache/seata/integration/sofa/rpc/
/// TransactionContextProviderFilter.java.
fn of_request(context: &Context) -> Option<Inside> {
    let entry = context.entry(KEY_XID).or_else(|| context.entry("tx_xid"));
    let xid = entry.filter(|xid| !xid.trim().is_empty())?;
    let is_tcc = context.entry(KEY_BRANCH_TYPE) == Some(BranchType::Tcc.name());
    Some(Inside {
        xid: xid.into(),
        branch_type: if is_tcc {
            BranchType::Tcc
        } else {
            BranchType::At
        },
    })
}

/// Does work as part of a transaction: that of an HTTP request, or in a spawned task that of its parent.
pub async fn in_transaction<F: Future>(xid: impl Into<Arc<str>>, work: F) -> F::Output {
    in_branch(xid.into(), BranchType::At, work).await
}

pub(crate) async fn in_branch<F: Future>(
    xid: Arc<str>,
    branch_type: BranchType,
    work: F,
) -> F::Output {
    let bound = Bound::Inside(Inside { xid, branch_type });
    BOUND.scope(bound, work).await
}

/// Does work in no transaction.
pub async fn outside<F: Future>(work: F) -> F::Output {
    BOUND.scope(Bound::Outside, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_innermost_scope_counts() {
        assert_eq!(current_xid(), None);
        in_transaction("a", async {
            assert_eq!(current_xid().as_deref(), Some("a"));
            in_transaction("b", async {
                assert_eq!(current_xid().as_deref(), Some("b"));
            })
            .await;
            outside(async { assert_eq!(current_xid(), None) }).await;
            assert_eq!(current_xid().as_deref(), Some("a"));
        })
        .await;
    }
}
