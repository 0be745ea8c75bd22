//! The role of a host of sagas: its port, the groups whose logs hold them, and the way to participants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware;
use diwan_archive::Archive;
use diwan_raft::Configuration;
use diwan_runtime::{GroupOptions, NodeHandle};
use diwan_saga::engine::Config;
use diwan_saga::host::{self, HostError, Hosts, Invoker, Shared, Signal};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::config::{Registry, Saga};
use super::current::{Groups, current};
use super::group::{opened, proposer};
use super::invoke::Participants;
use super::{ServeError, io};

/// While nobody leads the first log it is asked again after this.
const PAUSE: Duration = Duration::from_millis(200);

/// The groups whose logs hold the sagas, the first one all of them unless `saga.logs` says otherwise. Their members are the hosts.
pub(crate) const GROUPS: [&str; 16] = [
    "saga", "saga-1", "saga-2", "saga-3", "saga-4", "saga-5", "saga-6", "saga-7", "saga-8",
    "saga-9", "saga-10", "saga-11", "saga-12", "saga-13", "saga-14", "saga-15",
];

/// A host of sagas that is to run on this node.
pub(super) struct Role {
    listen: SocketAddr,
    /// Where the registry is asked that participants are found through, if this node is one.
    registry: Option<SocketAddr>,
    logs: Vec<Part>,
}

/// One log.
struct Part {
    group: &'static str,
    shared: Shared,
    signals: mpsc::UnboundedReceiver<Signal>,
}

impl Role {
    pub(super) fn new(
        config: &Saga,
        registry: &Registry,
        archive: impl Fn(&str) -> Result<Archive, ServeError>,
    ) -> Result<Option<Self>, ServeError> {
        if !config.enabled {
            return Ok(None);
        }
        let bounds = Config {
            retention_ms: config.keep_ended_ms,
            ..Config::default()
        };
        let log = |group: &&'static str| {
            let (shared, signals) = Shared::new(bounds.clone(), Some(archive(group)?));
            Ok(Part {
                group,
                shared,
                signals,
            })
        };
        Ok(Some(Self {
            listen: config.listen,
            registry: registry.enabled.then_some(registry.session_http),
            logs: GROUPS[..config.logs]
                .iter()
                .map(log)
                .collect::<Result<_, ServeError>>()?,
        }))
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.logs.iter().map(|log| log.group).collect()
    }

    pub(super) fn groups(&self, initial: &Configuration) -> Vec<GroupOptions> {
        let group = |log: &Part| {
            let shared = log.shared.clone();
            GroupOptions::new(log.group, initial.clone(), move || shared.machine())
        };
        self.logs.iter().map(group).collect()
    }

    pub(super) async fn start(self, node: &NodeHandle) -> Result<Hosts, ServeError> {
        let groups = Groups::new(node, &self.names());
        let participants = Participants::new(self.registry);
        let participants =
            participants.map_err(|why| io("participants of sagas")(std::io::Error::other(why)))?;
        let participants: Arc<dyn Invoker> = Arc::new(participants);
        let mut hosts = Vec::new();
        for log in self.logs {
            opened(log.shared.archive())?;
            hosts.push(host::start(host::Options {
                shared: log.shared,
                signals: log.signals,
                propose: proposer(node.clone(), log.group),
                invoker: participants.clone(),
            }));
        }
        let hosts = Hosts::new(hosts);
        tokio::spawn(agree(hosts.clone(), node.clone()));
        let addr = self.listen;
        let listener = TcpListener::bind(addr).await;
        let listener = listener.map_err(io(format!(
            "sagas at {addr} (saga.listen; --no-saga if this node is to run none)"
        )))?;
        let questions = middleware::from_fn_with_state(groups, current);
        let router = hosts.clone().router().layer(questions);
        tokio::spawn(async { axum::serve(listener, router).await });
        tracing::info!(listen = %addr, "sagas");
        Ok(hosts)
    }
}

/// A node with another number of logs ends.
async fn agree(hosts: Hosts, node: NodeHandle) {
    loop {
        match hosts.agree().await {
            Ok(()) => return,
            Err(HostError::Refused(why)) => return node.run(move |node| node.fail(why)),
            Err(HostError::Log(_) | HostError::Archive(_)) => tokio::time::sleep(PAUSE).await,
        }
    }
}
