//! The role of a host of sagas: its port, the group whose log holds them, and the way to participants.

use std::net::SocketAddr;
use std::sync::Arc;

use diwan_archive::Archive;
use diwan_raft::Configuration;
use diwan_runtime::{GroupOptions, NodeHandle};
use diwan_saga::engine::Config;
use diwan_saga::host::{self, Host, Shared, Signal};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::config::{Registry, Saga};
use super::group::{opened, proposer};
use super::invoke::Participants;
use super::{ServeError, io};

/// The group whose log holds the sagas. Its members are their hosts.
const GROUP: &str = "saga";

/// A host of sagas that is to run on this node.
pub(super) struct Role {
    listen: SocketAddr,
    /// Where the registry is asked that participants are found through, if this node is one.
    registry: Option<SocketAddr>,
    shared: Shared,
    signals: mpsc::UnboundedReceiver<Signal>,
}

impl Role {
    pub(super) fn new(
        config: &Saga,
        registry: &Registry,
        archive: impl FnOnce(&str) -> Result<Archive, ServeError>,
    ) -> Result<Option<Self>, ServeError> {
        if !config.enabled {
            return Ok(None);
        }
        let bounds = Config {
            retention_ms: config.keep_ended_ms,
            ..Config::default()
        };
        let (shared, signals) = Shared::new(bounds, Some(archive(GROUP)?));
        Ok(Some(Self {
            listen: config.listen,
            registry: registry.enabled.then_some(registry.session_http),
            shared,
            signals,
        }))
    }

    pub(super) fn group(&self, initial: Configuration) -> GroupOptions {
        let shared = self.shared.clone();
        GroupOptions::new(GROUP, initial, move || shared.machine())
    }

    pub(super) async fn start(self, node: &NodeHandle) -> Result<Host, ServeError> {
        opened(self.shared.archive())?;
        let participants = Participants::new(self.registry);
        let participants =
            participants.map_err(|why| io("participants of sagas")(std::io::Error::other(why)))?;
        let host = host::start(host::Options {
            shared: self.shared,
            signals: self.signals,
            propose: proposer(node.clone(), GROUP),
            invoker: Arc::new(participants),
        });
        let addr = self.listen;
        let listener = TcpListener::bind(addr).await;
        let listener = listener.map_err(io(format!(
            "sagas at {addr} (saga.listen; --no-saga if this node is to run none)"
        )))?;
        let router = host.clone().router();
        tokio::spawn(async { axum::serve(listener, router).await });
        tracing::info!(listen = %addr, "sagas");
        Ok(host)
    }
}
