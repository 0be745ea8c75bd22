//! Whoever took a log first may not be the node that it should be at: after nodes have started again, one would have them all. The
//! owner of a log leaves it to a node that comes before it in the log's order, once that one follows closely.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diwan_runtime::NodeHandle;

use crate::host::{LogStatus, before};
use crate::logs::Logs;

/// What nodes ask each other: the name of a log; the answer is the number of the block that the node applies next.
const CLASS: &str = "diwan.log.next";
/// So often an owner looks whether a log is better at another node.
const LOOK: Duration = Duration::from_secs(5);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(1);
/// The other one takes it meanwhile, or this one goes on.
const ASIDE: Duration = Duration::from_secs(2);
/// A node that lacks more blocks is not asked to lead.
const NEAR_BLOCKS: u64 = 16;

impl Logs {
    /// Answers other nodes, and from now on leaves logs to those that they belong to.
    pub fn spread(&self, node: &NodeHandle, own: String, members: Vec<String>) {
        let logs = self.clone();
        node.serve(
            CLASS,
            Arc::new(move |name, reply| {
                logs.run(move |host| {
                    let is = |log: &LogStatus| log.name.as_bytes() == &*name;
                    if let Some(log) = host.status().into_iter().find(is) {
                        let next = log.status.position.next.to_be_bytes();
                        reply.send(Bytes::copy_from_slice(&next));
                    }
                });
            }),
        );
        let (logs, node) = (self.clone(), node.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(all) = logs.status().await else {
                    return;
                };
                for log in all.into_iter().filter(|log| log.leading) {
                    let Some(better) = better(&node, &own, &members, &log).await else {
                        continue;
                    };
                    let log = log.name;
                    tracing::info!(log, node = better, "left to the node that it belongs to");
                    logs.run(move |host| host.rest(&log, ASIDE));
                }
            }
        });
    }
}

/// The first node in the order of a log, if it comes before this one, is there, and knows the log nearly to its end; or the second.
async fn better<'a>(
    node: &NodeHandle,
    own: &str,
    members: &'a [String],
    log: &LogStatus,
) -> Option<&'a String> {
    let mut order: Vec<&String> = before(&log.name, own, members).collect();
    order.sort_by_key(|member| before(&log.name, member, members).count());
    for other in order {
        let name = Bytes::copy_from_slice(log.name.as_bytes());
        let answer = node.call(other.parse().ok()?, CLASS, name, PATIENCE).await;
        let next = answer.ok().and_then(|next| next.as_ref().try_into().ok());
        if next.is_some_and(|next| u64::from_be_bytes(next) + NEAR_BLOCKS >= log.status.next) {
            return Some(other);
        }
    }
    None
}
