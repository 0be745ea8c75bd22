//! The way to the other nodes.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use diwan_registry_wire::nodes::{NodesAnswer, NodesMessage};
use prost::Message as _;
use tokio::sync::watch;

use super::Edge;

/// How a call ends: with the other node's answer, or why there is none.
pub type Called = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

/// Sends a node, by its name, what [`super::Handle::received`] takes there.
pub type Caller = Arc<dyn Fn(&str, Bytes) -> Called + Send + Sync>;

/// How this node reaches the others.
#[derive(Clone)]
pub struct Nodes {
    /// This node's own name.
    pub name: String,
    /// The names of all of them, as they change.
    pub all: watch::Receiver<Vec<String>>,
    /// The way to them.
    pub call: Caller,
}

impl Edge {
    /// Sends the other nodes what is due.
    pub(super) fn tell_nodes(self: &Rc<Self>) {
        let Some(nodes) = &self.nodes else { return };
        let messages = self.registry.borrow_mut().to_nodes(self.now());
        for (node, message) in messages {
            let called = (nodes.call)(&node, message.encode_to_vec().into());
            let edge = self.clone();
            tokio::task::spawn_local(async move {
                let answer = called.await.and_then(|answer| {
                    NodesAnswer::decode(answer).map_err(|error| error.to_string())
                });
                edge.act(|registry, now| match answer {
                    Ok(answer) => registry.answered(&node, answer, now),
                    Err(error) => {
                        tracing::debug!(%node, error, "a node of the registry does not answer");
                        registry.unanswered(&node, now);
                    }
                });
                edge.clocks.look(&edge.registry.borrow().nodes());
            });
        }
    }

    /// Another node spoke; its answer, if it made sense.
    pub(super) fn received(&self, content: Bytes) -> Option<Bytes> {
        match NodesMessage::decode(content) {
            Ok(message) => {
                let answer = self.act(|registry, now| registry.received(message, now));
                Some(answer.encode_to_vec().into())
            }
            Err(error) => {
                tracing::warn!(%error, "a message of another node cannot be read");
                None
            }
        }
    }
}
