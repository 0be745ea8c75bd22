//! What roles need to know of their groups, and how their nodes speak.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diwan_archive::Archive;
use diwan_raft::PeerId;
use diwan_runtime::NodeHandle;
use tokio::sync::watch;

use super::{ServeError, io};

/// An archive is opened once the node has its directory.
pub(super) fn opened(archive: Option<&Archive>) -> Result<(), ServeError> {
    let opened = archive.map_or(Ok(()), Archive::open);
    opened.map_err(|error| io("an archive")(std::io::Error::other(error)))
}

/// The members of a group; nobody while this node is none of them.
pub(super) async fn members(node: &NodeHandle, group: &'static str) -> Vec<String> {
    let members = node.ask(move |node| node.members(group)).await;
    members.unwrap_or_default()
}

/// Tells the members of a group when they change, for as long as somebody listens.
pub(super) async fn watch_members(
    node: NodeHandle,
    group: &'static str,
    tell: watch::Sender<Vec<String>>,
) {
    while !tell.is_closed() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = members(&node, group).await;
        tell.send_if_modified(|known| {
            !now.is_empty() && std::mem::replace(known, now.clone()) != now
        });
    }
}

/// The way to the other nodes for what is said under a class.
pub(super) fn caller(
    node: NodeHandle,
    class: &'static str,
    timeout: Duration,
) -> diwan_registry::edge::Caller {
    Arc::new(move |to: &str, content: Bytes| {
        let (node, to) = (node.clone(), to.parse::<PeerId>());
        Box::pin(async move {
            let to = to.map_err(|error| error.to_string())?;
            let answer = node.call(to, class, content, timeout).await;
            answer.map_err(|error| error.to_string())
        })
    })
}

/// The way into a group's log.
pub(super) fn proposer(node: NodeHandle, group: &'static str) -> diwan_registry::edge::Proposer {
    Arc::new(move |command| {
        let node = node.clone();
        Box::pin(async move {
            let committed = node.propose(group, command).await;
            let committed = committed.map_err(|error| error.to_string())?;
            Ok(committed.answer)
        })
    })
}
