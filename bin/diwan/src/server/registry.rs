//! The registry's role: its ports, and the group of its settings.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use diwan_raft::{Configuration, PeerId};
use diwan_registry::edge::{self, AccessKeys, Http, Nodes, OPERATE_CLASS};
use diwan_registry::settings::Settings;
use diwan_registry::state;
use diwan_registry_wire::nodes::NODES_CLASS as CLASS;
use diwan_runtime::{GroupOptions, NodeHandle};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::config::Registry;
use super::group::{caller, members, proposer, watch_members};
use super::{ServeError, io};

/// The group whose log holds the settings. Its members are the registry's nodes.
const GROUP: &str = "registry";

/// A registry that is to run on this node.
pub(super) struct Role {
    listen: SocketAddr,
    session_http: SocketAddr,
    meta_http: SocketAddr,
    advertise: String,
    mosn: Option<SocketAddr>,
    access_keys: Option<AccessKeys>,
    settings: Settings,
    directory: PathBuf,
    config: state::Config,
}

impl Role {
    pub(super) fn new(
        config: &Registry,
        access_keys: Option<AccessKeys>,
        data: &Path,
    ) -> Option<Self> {
        config.enabled.then(|| Self {
            listen: config.listen,
            session_http: config.session_http,
            meta_http: config.meta_http,
            advertise: config
                .advertise
                .clone()
                .unwrap_or_else(|| config.listen.to_string()),
            mosn: config.mosn,
            access_keys,
            settings: Settings::default(),
            directory: data.join("registry"),
            config: state::Config {
                grace: Duration::from_millis(config.grace_ms),
                lease: Duration::from_millis(config.lease_ms),
                guard_max: Duration::from_millis(config.guard_ms),
                seed: diwan_runtime::random(),
                ..state::Config::default()
            },
        })
    }

    pub(super) fn group(&self, members: Configuration) -> GroupOptions {
        let settings = self.settings.clone();
        GroupOptions::new(GROUP, members, move || settings.machine())
    }

    pub(super) async fn start(self, name: &PeerId, node: &NodeHandle) -> Result<Http, ServeError> {
        let (tell, all) = watch::channel(members(node, GROUP).await);
        if all.borrow().is_empty() {
            tracing::info!("the registry waits until this node is a member of the group `{GROUP}`");
        }
        while all.borrow().is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            tell.send_replace(members(node, GROUP).await);
        }
        tokio::spawn(watch_members(node.clone(), GROUP, tell));
        until_settings_are_known(node).await;
        let registry = edge::start(edge::Options {
            listen: self.listen,
            advertise: self.advertise.clone(),
            config: self.config,
            server: Default::default(),
            settings: self.settings,
            nodes: Some(Nodes {
                name: name.to_string(),
                all: all.clone(),
                call: caller(node.clone(), CLASS, CALL_TIMEOUT),
            }),
            directory: Some(self.directory),
            access_keys: self.access_keys,
        })
        .map_err(io(format!(
            "registry at {} (registry.listen; --no-registry if this node is not to be one)",
            self.listen
        )))?;
        let received = registry.clone();
        node.serve(
            CLASS,
            Arc::new(move |content, reply| {
                received.received(content, |answer| reply.send(answer));
            }),
        );
        let asked = registry.clone();
        node.serve(
            OPERATE_CLASS,
            Arc::new(move |content, reply| {
                asked.asked(&content, |answer| reply.send(answer));
            }),
        );
        let http = Http {
            registry: registry.clone(),
            propose: proposer(node.clone(), GROUP),
            nodes: Some(Nodes {
                name: name.to_string(),
                all,
                call: caller(node.clone(), OPERATE_CLASS, CALL_TIMEOUT),
            }),
        };
        let mut ports = vec![
            (self.session_http, http.clone().session()),
            (self.meta_http, http.clone().meta()),
        ];
        if let Some(addr) = self.mosn {
            let advertised = self.advertise.parse::<SocketAddr>();
            let ip = advertised.map_or(self.listen.ip(), |advertised| advertised.ip());
            ports.push((addr, edge::mosn(registry.clone(), ip, &name.to_string())));
        }
        for (addr, router) in ports {
            let listener = TcpListener::bind(addr).await;
            let listener = listener.map_err(io(format!("registry over HTTP at {addr}")))?;
            tokio::spawn(async { axum::serve(listener, router).await });
        }
        tracing::info!(listen = %self.listen, http = %self.session_http, "registry");
        Ok(http)
    }
}

/// A registry that begins looks so long for its settings: a node without a majority has to serve, too.
const SETTINGS_PATIENCE: Duration = Duration::from_secs(3);

/// Waits until the log has told what was set before, so that nothing is pushed that an operator has stopped.
async fn until_settings_are_known(node: &NodeHandle) {
    let known = async {
        loop {
            let (tell, told) = oneshot::channel();
            node.run(|node| {
                node.read(GROUP, |result| {
                    let _ = tell.send(result);
                });
            });
            if let Ok(Ok(())) = told.await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(SETTINGS_PATIENCE, known)
        .await
        .is_err()
    {
        tracing::warn!(
            "the registry begins without its settings: nobody leads the group `{GROUP}`"
        );
    }
}

/// A node that says nothing for so long is asked again.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
