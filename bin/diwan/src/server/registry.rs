//! The registry's role: its ports, and the group of its settings.

use std::net::SocketAddr;
use std::sync::Arc;

use diwan_log::ProposalError;
use diwan_raft::Configuration;
use diwan_registry::edge::{self, Handle, Http, Proposer};
use diwan_registry::settings::Settings;
use diwan_registry::state;
use diwan_runtime::{GroupOptions, NodeHandle};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::config::Registry;
use super::{ServeError, io};

/// The group whose log holds the settings.
const GROUP: &str = "registry";

/// A registry that is to run on this node.
pub(super) struct Role {
    listen: SocketAddr,
    session_http: SocketAddr,
    meta_http: SocketAddr,
    advertise: String,
    settings: Settings,
}

impl Role {
    pub(super) fn new(config: &Registry) -> Option<Self> {
        config.enabled.then(|| Self {
            listen: config.listen,
            session_http: config.session_http,
            meta_http: config.meta_http,
            advertise: config
                .advertise
                .clone()
                .unwrap_or_else(|| config.listen.to_string()),
            settings: Settings::default(),
        })
    }

    pub(super) fn group(&self, members: Configuration) -> GroupOptions {
        let settings = self.settings.clone();
        GroupOptions::new(GROUP, members, move || settings.machine())
    }

    pub(super) async fn start(self, node: &NodeHandle) -> Result<Handle, ServeError> {
        let registry = edge::start(edge::Options {
            listen: self.listen,
            config: state::Config {
                seed: diwan_runtime::random(),
                ..state::Config::default()
            },
            server: Default::default(),
            settings: self.settings,
        })
        .map_err(io(format!("registry at {}", self.listen)))?;
        let http = Http {
            registry: registry.clone(),
            servers: [self.advertise].into(),
            propose: proposer(node.clone()),
        };
        for (addr, router) in [
            (self.session_http, http.clone().session()),
            (self.meta_http, http.meta()),
        ] {
            let listener = TcpListener::bind(addr).await;
            let listener = listener.map_err(io(format!("registry over HTTP at {addr}")))?;
            tokio::spawn(async { axum::serve(listener, router).await });
        }
        tracing::info!(listen = %self.listen, http = %self.session_http, "registry");
        Ok(registry)
    }
}

fn proposer(node: NodeHandle) -> Proposer {
    Arc::new(move |command| {
        let (tell, told) = oneshot::channel();
        node.run(move |node| {
            node.propose(GROUP, command, move |result| {
                let _ = tell.send(result);
            });
        });
        // A node that is gone tells nobody.
        Box::pin(async { told.await.unwrap_or(Err(ProposalError::Unknown)) })
    })
}
