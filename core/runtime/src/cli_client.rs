//! Asks members what an operator wants, as JRaft's CliService and RouteTable do, so that it works with JRaft's nodes too.
//! (sofastack/sofa-jraft:jraft-core/src/main/java/com/alipay/sofa/jraft/core/CliServiceImpl.java)

use std::io;
use std::time::Duration;

use diwan_jraft::{ErrorResponse, GetLeaderRequest, Message};
use diwan_net::Workers;
use diwan_raft::{ErrorCode, PeerId};
use diwan_replica::hello::ClusterToken;
use tokio::sync::mpsc;

use crate::admission::UNPROVED;
use crate::dial::{Dialing, NodeTls};
use crate::peers::{self, Peers};

/// Connections to members of groups, for an operator.
pub struct CliClient {
    peers: Peers,
    timeout: Duration,
}

/// Why an operator's request was not carried out, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CliError {
    /// The member gave no answer. Whether it did what was asked is not known.
    #[error("{peer}: {what}")]
    NoAnswer {
        /// Who was asked.
        peer: PeerId,
        /// What happened instead.
        what: String,
    },
    /// The member says no.
    #[error("{peer} refuses: {what} ({})", code.number())]
    Refused {
        /// Who was asked.
        peer: PeerId,
        /// JRaft's number.
        code: ErrorCode,
        /// In words.
        what: String,
    },
    /// None of the members names a leader.
    #[error("no leader of {group} is known: {}", if answers.is_empty() { "there is nobody to ask" } else { answers.as_str() })]
    NoLeader {
        /// The group.
        group: String,
        /// What each member said.
        answers: String,
        /// Whether asking again may help: not where every member says that it has no such group, or
        /// wants a proof of the cluster token.
        may_pass: bool,
    },
}

/// ENOENT.
const NO_GROUP: ErrorCode = ErrorCode::Other(1012);

impl CliClient {
    /// A client that waits so long for each answer. With a token it asks only nodes that know it, with TLS only those of the
    /// same authority.
    /// # Errors
    /// The threads that hold connections cannot be started.
    pub fn new(
        timeout: Duration,
        token: Option<ClusterToken>,
        tls: Option<&NodeTls>,
    ) -> io::Result<Self> {
        let dialing = Dialing {
            token,
            tls: tls.map(|tls| tls.dial.clone()),
            ..Dialing::default()
        };
        // Nobody sends batches to a client.
        let tasks = mpsc::unbounded_channel().0;
        Ok(Self {
            peers: Peers::new(Workers::shared()?.clone(), tasks, dialing),
            timeout,
        })
    }

    /// Asks one member.
    /// # Errors
    /// It refuses, or does not answer.
    pub async fn ask(&mut self, peer: &PeerId, message: &Message) -> Result<Message, CliError> {
        let found = self.peers.look_up(peer).await;
        let answer = match found.and_then(|()| self.peers.call(peer, message, self.timeout)) {
            Ok(call) => peers::answer(call).await,
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error| CliError::NoAnswer {
            peer: peer.clone(),
            what: error.to_string(),
        })?;
        match refusal(&answer) {
            Some(error) => Err(CliError::Refused {
                peer: peer.clone(),
                code: ErrorCode::of(error.error_code),
                what: error.error_message.clone().unwrap_or_default(),
            }),
            None => Ok(answer),
        }
    }

    /// Asks one member after the other who leads, until one names a leader.
    /// # Errors
    /// None does.
    pub async fn leader(&mut self, group: &str, members: &[PeerId]) -> Result<PeerId, CliError> {
        let mut answers = Vec::new();
        let mut may_pass = false;
        for member in members {
            let request = Message::GetLeaderRequest(GetLeaderRequest {
                group_id: group.to_owned(),
                peer_id: Some(member.to_string()),
            });
            match self.ask(member, &request).await {
                Ok(Message::GetLeaderResponse(response)) => match response.leader_id.parse() {
                    Ok(leader) => return Ok(leader),
                    Err(_) => {
                        may_pass = true;
                        answers.push(format!("{member} knows of none"));
                    }
                },
                Ok(other) => answers.push(format!("{member} answers {}", other.class())),
                Err(error) => {
                    may_pass |= !matches!(
                        error,
                        CliError::Refused {
                            code: NO_GROUP | UNPROVED,
                            ..
                        }
                    );
                    answers.push(error.to_string());
                }
            }
        }
        Err(CliError::NoLeader {
            group: group.to_owned(),
            answers: answers.join("; "),
            may_pass,
        })
    }
}

/// The error in an answer: an answer of its own, or a field of the answer that was hoped for.
fn refusal(answer: &Message) -> Option<&ErrorResponse> {
    let error = match answer {
        Message::ErrorResponse(error) => Some(error),
        Message::AddPeerResponse(response)
        | Message::RemovePeerResponse(response)
        | Message::ChangePeersResponse(response) => response.error_response.as_ref(),
        Message::GetLeaderResponse(response) => response.error_response.as_ref(),
        Message::GetPeersResponse(response) => response.error_response.as_ref(),
        Message::LearnersOpResponse(response) => response.error_response.as_ref(),
        _ => None,
    };
    error.filter(|error| error.error_code != 0)
}
