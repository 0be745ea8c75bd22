//! What operators ask of this node and of the others, as JSON: the same questions over HTTP and between nodes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::http::Http;
use super::{Edge, Handle};
use crate::state::{Counts, NodeState, ServiceName};

/// The class under which nodes ask each other what operators want to know.
pub const OPERATE_CLASS: &str = "diwan.RegistryOperate";

/// A question, or something to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// How much there is.
    Status,
    /// The services that a person may mean.
    Meant(String),
    /// Subscribers.
    Subscribers(ServiceName),
    /// What was pushed lately.
    PushHistory(ServiceName),
    /// This node's publishers.
    Publishers(ServiceName),
    /// A sum over each slot.
    SlotSums,
    /// What is in a slot.
    Slot(u8),
    /// Services that the shrink guard holds back.
    Guarded,
    /// Lets go of what it holds.
    Release(ServiceName),
    /// Takes out what these clients publish, once.
    ClientsOff(BTreeSet<IpAddr>),
    /// Ends these clients' connections.
    ClientsOpen(BTreeSet<IpAddr>),
}

/// A node in short.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// How much there is.
    #[serde(flatten)]
    pub counts: Counts,
    /// Registrations of clients that were refused.
    pub refused: u64,
    /// Messages of clients that could not be read.
    pub malformed_requests: u64,
    /// The other nodes.
    #[serde(skip)]
    pub nodes: Vec<NodeState>,
}

/// Services that are listed at once.
const GUARDED_MAX: usize = 10_000;

impl Edge {
    fn status(&self) -> Status {
        let registry = self.registry.borrow();
        Status {
            counts: registry.counts(self.now()),
            refused: self.refused.get(),
            malformed_requests: self.malformed.get(),
            nodes: registry.nodes(),
        }
    }

    fn answer(&self, ask: Ask) -> Value {
        match ask {
            Ask::Status => {
                let status = self.status();
                let mut said = json!(status);
                said["nodes"] = status.nodes.iter().map(node_view).collect();
                said
            }
            Ask::Meant(text) => json!(self.registry.borrow().meant(&text)),
            Ask::Subscribers(name) => json!(self.registry.borrow().subscribers(&name)),
            Ask::PushHistory(name) => json!(self.registry.borrow().push_history(&name)),
            Ask::Publishers(name) => {
                let all = self.registry.borrow().instances(&name);
                let own = all.into_iter().filter(|one| one.state != "elsewhere");
                json!(own.collect::<Vec<_>>())
            }
            Ask::SlotSums => json!(self.registry.borrow().slot_sums()),
            Ask::Slot(slot) => json!(self.registry.borrow().slot_instances(slot)),
            Ask::Guarded => {
                let now = self.now();
                let held = self.registry.borrow().guarded(now).into_iter();
                json!(held.take(GUARDED_MAX).collect::<Vec<_>>())
            }
            Ask::Release(name) => json!(self.act(|registry, now| registry.release(&name, now))),
            Ask::ClientsOff(ips) => {
                self.act(|registry, now| registry.clients_off(&ips, now));
                Value::Bool(true)
            }
            Ask::ClientsOpen(ips) => {
                self.act(|registry, _| registry.clients_open(&ips));
                Value::Bool(true)
            }
        }
    }
}

fn node_view(node: &NodeState) -> Value {
    json!({
        "node": *node.node,
        "serving": node.serving,
        "synced": node.synced,
        "behind": node.behind,
        "ahead_ms": node.ahead_ms,
    })
}

impl Handle {
    /// A node in short.
    pub async fn status(&self) -> Status {
        self.ask(|edge| edge.status()).await.unwrap_or_default()
    }

    /// Another node asks for its operator: to be given the answer, unless the question makes no sense.
    pub fn asked(&self, content: &Bytes, answer: impl FnOnce(Bytes) + Send + 'static) {
        match serde_json::from_slice::<Ask>(content) {
            Ok(ask) => {
                let _ = self.tasks.send(Box::new(move |edge: &Rc<Edge>| {
                    answer(edge.answer(ask).to_string().into());
                }));
            }
            Err(error) => tracing::warn!(%error, "a question of another node cannot be read"),
        }
    }

    pub(super) async fn here(&self, ask: Ask) -> Value {
        let answer = self.ask(move |edge| edge.answer(ask));
        answer.await.unwrap_or(Value::Null)
    }
}

/// What each node says; of those that say nothing, why.
pub(super) type Said = Vec<(String, Result<Value, String>)>;

impl Http {
    /// This node's name.
    pub(super) fn own_name(&self) -> String {
        let nodes = self.nodes.as_ref();
        nodes.map_or_else(
            || self.registry.addr().to_string(),
            |nodes| nodes.name.clone(),
        )
    }

    /// All nodes, this one first.
    pub(super) fn all_names(&self) -> Vec<String> {
        let own = self.own_name();
        let mut names = vec![own.clone()];
        if let Some(nodes) = &self.nodes {
            let others = nodes.all.borrow();
            names.extend(others.iter().filter(|name| **name != own).cloned());
        }
        names
    }

    /// Asks one node.
    pub(super) async fn at(&self, node: &str, ask: &Ask) -> Result<Value, String> {
        if node == self.own_name() {
            return Ok(self.registry.here(ask.clone()).await);
        }
        let Some(nodes) = &self.nodes else {
            return Err(format!("there is no node {node}"));
        };
        if !nodes.all.borrow().iter().any(|name| name == node) {
            return Err(format!("there is no node {node}"));
        }
        let content = serde_json::to_vec(ask).map_err(|error| error.to_string())?;
        let answer = (nodes.call)(node, content.into()).await?;
        serde_json::from_slice(&answer).map_err(|error| error.to_string())
    }

    /// Asks all nodes at the same time.
    pub(super) async fn everywhere(&self, ask: Ask) -> Said {
        let mut asked = JoinSet::new();
        for (place, node) in self.all_names().into_iter().enumerate() {
            let (http, ask) = (self.clone(), ask.clone());
            asked.spawn(async move {
                let said = http.at(&node, &ask).await;
                (place, node, said)
            });
        }
        let mut said = asked.join_all().await;
        said.sort_by_key(|(place, ..)| *place);
        said.into_iter()
            .map(|(_, node, said)| (node, said))
            .collect()
    }
}
