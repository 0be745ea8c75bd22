use diwan_rpc::client::{CallInfo, ClientFilter};

use crate::context::{KEY_BRANCH_TYPE, KEY_XID, current};

/// Tells the servers of a consumer's calls which transaction they are part of, under the keys of Seata's own filter for SOFARPC. A
/// server needs no filter: [`current_xid`](crate::current_xid) reads the request that is being handled.
///
/// Source: apache/incubator-seata:integration/sofa-rpc/src/main/java/org/apache/seata/integration/sofa/rpc/
/// TransactionContextConsumerFilter.java. Java reads header entries as properties of the request
/// (sofastack/sofa-rpc:remoting/remoting-bolt/src/main/java/com/alipay/sofa/rpc/codec/bolt/SofaRpcSerialization.java).
#[derive(Clone, Copy, Debug, Default)]
pub struct XidFilter;

impl ClientFilter for XidFilter {
    fn before(&self, _: &CallInfo<'_>, entries: &mut Vec<(String, String)>) -> Result<(), String> {
        if let Some(inside) = current() {
            entries.push((KEY_XID.to_owned(), inside.xid.as_ref().to_owned()));
            let branch_type = inside.branch_type.name().to_owned();
            entries.push((KEY_BRANCH_TYPE.to_owned(), branch_type));
        }
        Ok(())
    }
}
