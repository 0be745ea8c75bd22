//! How a node makes connections to others: with TLS, and with the greeting that proves the cluster's token.

use std::net::SocketAddr;
use std::path::Path;

use diwan_bolt::{Frame, FrameWriter, Head, Kind, Status};
use diwan_net::bolt::{Opening, OpeningFactory};
use diwan_net::{ClientTls, ServerTls, TlsError};
use diwan_replica::hello::{self, ClusterToken, Dialer, Message, Nonce};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::mpsc;

use crate::admission::JraftAddress;
use crate::node::{Task, count};
use crate::peers::{CODEC, PeerError};

/// TLS of a node: it shows the same certificate to those that dial it and to those that it dials.
#[derive(Clone, Debug)]
pub struct NodeTls {
    pub(crate) listen: ServerTls,
    pub(crate) dial: ClientTls,
}

impl NodeTls {
    /// Certificate chain, key and authority from PEM files. Other nodes must show a certificate of that authority for the host
    /// in their name; whoever connects must show one too if `require_client_certificate`.
    /// # Errors
    /// A file cannot be read, or the parts do not fit.
    pub fn from_files(
        certificate: &Path,
        key: &Path,
        ca: &Path,
        require_client_certificate: bool,
    ) -> Result<Self, TlsError> {
        let client_ca = require_client_certificate.then_some(ca);
        Ok(Self {
            listen: ServerTls::from_files(certificate, key, client_ca)?,
            // The name is another one for each connection.
            dial: ClientTls::from_files(ca, "localhost", Some((certificate, key)))?,
        })
    }
}

/// What connections to other nodes begin with.
#[derive(Clone, Default)]
pub(crate) struct Dialing {
    pub(crate) token: Option<ClusterToken>,
    pub(crate) tls: Option<ClientTls>,
    /// Nodes that know no token.
    pub(crate) jraft: Vec<JraftAddress>,
    /// Say which node is meant, so that a proof serves nowhere else. An operator may know a node by another address.
    pub(crate) names_node: bool,
}

impl Dialing {
    /// TLS for a connection to this host.
    pub(crate) fn tls(&self, host: &str) -> Result<Option<ClientTls>, TlsError> {
        let to = |tls: &ClientTls| tls.to_server(host.trim_matches(['[', ']']));
        self.tls.as_ref().map(to).transpose()
    }

    /// What is said first on connections to `node` at `addr`.
    pub(crate) fn opening(
        &self,
        node: &str,
        addr: SocketAddr,
        tasks: &mpsc::UnboundedSender<Task>,
    ) -> Option<OpeningFactory> {
        let token = self.token.clone()?;
        if self.jraft.iter().any(|known| known.listens_at(addr)) {
            return None;
        }
        let to = if self.names_node { node } else { "" }.to_owned();
        let tasks = tasks.clone();
        Some(std::sync::Arc::new(move || {
            Box::new(Greeting {
                dialer: nonce().map(|nonce| Dialer::new(token.clone(), &to, nonce)),
                tasks: tasks.clone(),
            })
        }))
    }
}

/// From the system's source of randomness; None if it has none.
pub(crate) fn nonce() -> Option<Nonce> {
    let mut nonce = Nonce::default();
    SystemRandom::new().fill(&mut nonce).ok()?;
    Some(nonce)
}

/// The dialer's side of the greeting on one connection.
struct Greeting {
    dialer: Option<Dialer>,
    tasks: mpsc::UnboundedSender<Task>,
}

impl Opening for Greeting {
    fn next(&mut self, id: u32, answer: Option<&Frame<'_>>) -> Result<Option<Vec<u8>>, String> {
        let next = self.step(id, answer);
        if next.is_err() {
            let _ = self
                .tasks
                .send(Box::new(|node| count(&node.admission.hellos_failed)));
        }
        next.map_err(|error| error.to_string())
    }
}

impl Greeting {
    fn step(&mut self, id: u32, answer: Option<&Frame<'_>>) -> Result<Option<Vec<u8>>, PeerError> {
        let failed = |error: &dyn std::fmt::Display| PeerError::Answer(error.to_string());
        let dialer = self.dialer.as_mut();
        let dialer = dialer.ok_or_else(|| failed(&"the system gives no random numbers"))?;
        let next = match answer {
            None => Some(dialer.hello()),
            Some(answer) => match answer.head.kind {
                Kind::Response { status } if status != Status::Success.code() => {
                    return Err(failed(&format!(
                        "status {status} instead of a proof of the cluster token; a node of JRaft's must be listed in `jraft`"
                    )));
                }
                _ => Message::decode(answer.content)
                    .map_err(hello::HelloFailure::from)
                    .and_then(|answer| dialer.answered(&answer))
                    .map_err(|error| failed(&error))?,
            },
        };
        let Some(message) = next else {
            return Ok(None);
        };
        let mut frame = Vec::new();
        let mut writer = FrameWriter::begin(
            &mut frame,
            Head::request(id, CODEC, 1000),
            hello::CLASS.as_bytes(),
        );
        writer.content().extend_from_slice(&message.encode());
        writer.finish().map_err(|error| failed(&error))?;
        Ok(Some(frame))
    }
}
