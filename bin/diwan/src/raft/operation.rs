//! What an operator may ask of a group, once for the command line and for HTTP: to a message of JRaft's, and back from its answer.

use std::collections::BTreeMap;

use diwan_jraft as jraft;
use diwan_jraft::Message;
use diwan_raft::PeerId;
use serde_json::json;

/// What an operator asks of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Peers { alive: bool },
    AddPeer(PeerId),
    RemovePeer(PeerId),
    ChangePeers(Vec<PeerId>),
    ResetPeers(Vec<PeerId>),
    TransferLeader(Option<PeerId>),
    Snapshot,
    AddLearners(Vec<PeerId>),
    RemoveLearners(Vec<PeerId>),
    ResetLearners(Vec<PeerId>),
}

/// Operations as HTTP names them; each changes something.
pub(crate) const NAMES: [&str; 10] = [
    "add-peer",
    "remove-peer",
    "change-peers",
    "reset-peers",
    "transfer-leader",
    "snapshot",
    "add-learners",
    "remove-learners",
    "reset-learners",
    "promote",
];

impl Operation {
    /// The operation with this name and these parameters.
    pub(crate) fn parse(name: &str, parameters: &BTreeMap<String, String>) -> Result<Self, String> {
        let allowed: &[&str] = match name {
            "add-peer" | "remove-peer" | "transfer-leader" | "promote" => &["peer"],
            "reset-peers" => &["peers", "accept_loss"],
            "snapshot" => &[],
            _ => &["peers"],
        };
        if let Some(unknown) = parameters
            .keys()
            .find(|key| !allowed.contains(&key.as_str()))
        {
            return Err(format!(
                "{name} has no parameter `{unknown}`; it has {allowed:?}"
            ));
        }
        let peer = || match parameters.get("peer") {
            Some(peer) => peer
                .parse()
                .map_err(|error: diwan_raft::PeerParseError| error.to_string()),
            None => Err(format!("{name} needs ?peer=IP:PORT")),
        };
        let peers = || match parameters.get("peers") {
            Some(peers) => parse_peers(peers),
            None => Err(format!("{name} needs ?peers=IP:PORT,..")),
        };
        Ok(match name {
            // A learner that is added as a voter is no learner any more.
            "add-peer" | "promote" => Self::AddPeer(peer()?),
            "remove-peer" => Self::RemovePeer(peer()?),
            "change-peers" => Self::ChangePeers(peers()?),
            "reset-peers"
                if parameters
                    .get("accept_loss")
                    .is_some_and(|yes| yes == "yes") =>
            {
                Self::ResetPeers(peers()?)
            }
            "reset-peers" => return Err(format!("{RESET_WARNING} Say accept_loss=yes.")),
            "transfer-leader" if !parameters.contains_key("peer") => Self::TransferLeader(None),
            "transfer-leader" => Self::TransferLeader(Some(peer()?)),
            "snapshot" => Self::Snapshot,
            "add-learners" => Self::AddLearners(peers()?),
            "remove-learners" => Self::RemoveLearners(peers()?),
            "reset-learners" => Self::ResetLearners(peers()?),
            other => {
                return Err(format!(
                    "there is no operation {other}; there are {}",
                    NAMES.join(", ")
                ));
            }
        })
    }

    /// The message that asks for it. `member` is asked: the leader, or for a reset and a snapshot any member.
    pub(crate) fn message(&self, group: &str, member: &PeerId) -> Message {
        let (group_id, leader_id) = (group.to_owned(), member.to_string());
        match self {
            Self::Peers { alive } => Message::GetPeersRequest(jraft::GetPeersRequest {
                group_id,
                leader_id: Some(leader_id),
                only_alive: Some(*alive),
            }),
            Self::AddPeer(peer) => Message::AddPeerRequest(jraft::AddPeerRequest {
                group_id,
                leader_id,
                peer_id: peer.to_string(),
            }),
            Self::RemovePeer(peer) => Message::RemovePeerRequest(jraft::RemovePeerRequest {
                group_id,
                leader_id,
                peer_id: peer.to_string(),
            }),
            Self::ChangePeers(peers) => Message::ChangePeersRequest(jraft::ChangePeersRequest {
                group_id,
                leader_id,
                new_peers: names(peers),
            }),
            Self::ResetPeers(peers) => Message::ResetPeerRequest(jraft::ResetPeerRequest {
                group_id,
                peer_id: leader_id,
                old_peers: Vec::new(),
                new_peers: names(peers),
            }),
            Self::TransferLeader(peer) => {
                Message::TransferLeaderRequest(jraft::TransferLeaderRequest {
                    group_id,
                    leader_id,
                    peer_id: peer.as_ref().map(PeerId::to_string),
                })
            }
            Self::Snapshot => Message::SnapshotRequest(jraft::SnapshotRequest {
                group_id,
                peer_id: Some(leader_id),
            }),
            Self::AddLearners(learners) => Message::AddLearnersRequest(jraft::LearnersRequest {
                group_id,
                leader_id,
                learners: names(learners),
            }),
            Self::RemoveLearners(learners) => {
                Message::RemoveLearnersRequest(jraft::LearnersRequest {
                    group_id,
                    leader_id,
                    learners: names(learners),
                })
            }
            Self::ResetLearners(learners) => {
                Message::ResetLearnersRequest(jraft::LearnersRequest {
                    group_id,
                    leader_id,
                    learners: names(learners),
                })
            }
        }
    }
}

/// What resetting peers may cost.
pub(crate) const RESET_WARNING: &str = "Resetting peers is for a group whose majority is lost for good: what only the lost \
members held is lost, and if they come back the group may split.";

/// Names separated by commas.
pub(crate) fn parse_peers(text: &str) -> Result<Vec<PeerId>, String> {
    text.split(',')
        .filter(|peer| !peer.is_empty())
        .map(|peer| {
            peer.parse()
                .map_err(|error: diwan_raft::PeerParseError| error.to_string())
        })
        .collect()
}

fn names(peers: &[PeerId]) -> Vec<String> {
    peers.iter().map(PeerId::to_string).collect()
}

/// What a member answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Members {
        peers: Vec<String>,
        learners: Vec<String>,
    },
    Changed {
        what: &'static str,
        before: Vec<String>,
        after: Vec<String>,
    },
}

impl Answer {
    /// None for a message that answers no operation. An error is not seen here.
    pub(crate) fn of(message: Message) -> Option<Self> {
        Some(match message {
            Message::ErrorResponse(_) => Self::Done,
            Message::GetPeersResponse(response) => Self::Members {
                peers: response.peers,
                learners: response.learners,
            },
            Message::AddPeerResponse(response)
            | Message::RemovePeerResponse(response)
            | Message::ChangePeersResponse(response) => Self::Changed {
                what: "peers",
                before: response.old_peers,
                after: response.new_peers,
            },
            Message::LearnersOpResponse(response) => Self::Changed {
                what: "learners",
                before: response.old_learners,
                after: response.new_learners,
            },
            _ => return None,
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Self::Done => json!({ "done": true }),
            Self::Members { peers, learners } => json!({ "peers": peers, "learners": learners }),
            Self::Changed {
                what,
                before,
                after,
            } => {
                json!({ "done": true, *what: after, "before": before })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_from_http() {
        let parse = |name: &str, parameters: &[(&str, &str)]| {
            let parameters = parameters
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Operation::parse(name, &parameters.collect())
        };
        let peer = PeerId::new("h", 1);
        assert_eq!(
            parse("add-peer", &[("peer", "h:1")]),
            Ok(Operation::AddPeer(peer.clone()))
        );
        assert_eq!(
            parse("transfer-leader", &[]),
            Ok(Operation::TransferLeader(None))
        );
        assert_eq!(
            parse("add-learners", &[("peers", "h:1,")]),
            Ok(Operation::AddLearners(vec![peer]))
        );
        for (name, parameters, says) in [
            ("add-peer", &[][..], "needs ?peer="),
            ("add-peer", &[("per", "h:1")], "no parameter `per`"),
            ("add-peer", &[("peer", "h")], "`h` is not a peer"),
            ("reset-peers", &[("peers", "h:1")], "accept_loss=yes"),
            ("explode", &[], "there is no operation explode"),
        ] {
            let error = parse(name, parameters).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        for name in NAMES {
            let error = parse(name, &[]).err().unwrap_or_default();
            assert!(!error.contains("no operation"), "{name}");
        }
    }
}
