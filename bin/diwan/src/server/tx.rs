//! The role of a coordinator of distributed transactions: its port, and the group whose log holds the transactions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use diwan_archive::Archive;
use diwan_log::ProposalError;
use diwan_raft::{Configuration, PeerId};
use diwan_runtime::{GroupOptions, NodeHandle};
use diwan_tx::edge::{self, Barrier, Handle, Nodes, NotDone, Proposer, TX_CLASS, Users};
use diwan_tx::state::{self, Shared, Signal};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::config::Tx;
use super::current::{Groups, current};
use super::group::{caller, members, opened, watch_members};
use super::{ServeError, io};

/// The group whose log holds the transactions. Its members are the coordinator's nodes.
pub(super) const GROUP: &str = "tx";
/// Another node may wait for its branches' first answers before it answers: longer than those may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(25);

/// A coordinator that is to run on this node.
pub(super) struct Role {
    listen: SocketAddr,
    advertise: String,
    http: SocketAddr,
    users: Users,
    shared: Shared,
    signals: mpsc::UnboundedReceiver<Signal>,
}

impl Role {
    pub(super) fn new(
        config: &Tx,
        users: Users,
        archive: impl FnOnce(&str) -> Result<Archive, ServeError>,
    ) -> Result<Option<Self>, ServeError> {
        if !config.enabled {
            return Ok(None);
        }
        let (bounds, seed) = (state::Config::default(), diwan_runtime::random());
        let (shared, signals) = Shared::new(bounds, seed, Some(archive(GROUP)?));
        let listen = config.listen.to_string();
        Ok(Some(Self {
            listen: config.listen,
            advertise: config.advertise.clone().unwrap_or(listen),
            http: config.http,
            users,
            shared,
            signals,
        }))
    }

    pub(super) fn group(&self, initial: Configuration) -> GroupOptions {
        let shared = self.shared.clone();
        GroupOptions::new(GROUP, initial, move || shared.machine())
    }

    pub(super) async fn start(
        self,
        name: &PeerId,
        node: &NodeHandle,
    ) -> Result<Handle, ServeError> {
        opened(self.shared.archive())?;
        let (tell, all) = watch::channel(members(node, GROUP).await);
        tokio::spawn(watch_members(node.clone(), GROUP, tell));
        let coordinator = edge::start(edge::Options {
            listen: self.listen,
            control: control(&self.advertise, self.http),
            advertise: self.advertise,
            server: Default::default(),
            shared: self.shared,
            signals: self.signals,
            propose: proposer(node.clone()),
            barrier: barrier(node.clone()),
            nodes: Some(Nodes {
                name: name.to_string(),
                all,
                call: caller(node.clone(), TX_CLASS, CALL_TIMEOUT),
            }),
        })
        .map_err(io(format!(
            "coordinator at {} (tx.listen; --no-tx if this node is not to be one)",
            self.listen
        )))?;
        let received = coordinator.clone();
        node.serve(
            TX_CLASS,
            Arc::new(move |content, reply| {
                received.received(content, |answer| reply.send(answer));
            }),
        );
        let addr = self.http;
        let listener = TcpListener::bind(addr).await;
        let listener =
            listener.map_err(io(format!("coordinator over HTTP at {addr} (tx.http)")))?;
        let questions = middleware::from_fn_with_state(Groups::new(node, &[GROUP]), ask_console);
        let console = coordinator
            .clone()
            .console(self.users, diwan_runtime::random)
            .layer(questions);
        tokio::spawn(async { axum::serve(listener, console).await });
        tracing::info!(listen = %self.listen, http = %addr, "coordinator of transactions");
        Ok(coordinator)
    }
}

/// Who leads is said by whoever is asked; all else is to be known.
async fn ask_console(State(groups): State<Groups>, request: Request, next: Next) -> Response {
    match request.uri().path().starts_with("/api/v1/console/") {
        true => current(State(groups), request, next).await,
        false => next.run(request).await,
    }
}

/// The port for HTTP at the address that clients know.
fn control(advertise: &str, http: SocketAddr) -> String {
    let host = advertise
        .rsplit_once(':')
        .map_or(advertise, |(host, _)| host);
    format!("{host}:{}", http.port())
}

/// Proposes here: the edge knows who leads.
fn proposer(node: NodeHandle) -> Proposer {
    Arc::new(move |command, done| {
        node.run(move |node| {
            node.propose(GROUP, command, move |result| {
                done(match result {
                    Ok(committed) => Ok(committed.answer),
                    Err(error @ ProposalError::Unknown) => Err(NotDone::Unknown(error.to_string())),
                    Err(error) => Err(NotDone::No(error.to_string())),
                });
            });
        });
    })
}

fn barrier(node: NodeHandle) -> Barrier {
    Arc::new(move |done| {
        node.run(move |node| node.read(GROUP, move |result| done(result.is_ok())));
    })
}
