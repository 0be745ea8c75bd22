//! What JRaft's command-line service asks. (sofastack/sofa-jraft:jraft-core/src/main/java/com/alipay/sofa/jraft/rpc/impl/cli/)

use std::rc::Rc;

use diwan_jraft as jraft;
use diwan_jraft::{ErrorResponse, Message};
use diwan_raft::{ChangeError, Configuration, ErrorCode, PeerId, PeerParseError, Role};

use crate::members::{names, parse, with_learners, with_peers};
use crate::node::Node;

/// Why a request of an operator was refused.
struct Refusal(ErrorCode, String);

impl From<PeerParseError> for Refusal {
    fn from(error: PeerParseError) -> Self {
        Self(ErrorCode::Invalid, error.to_string())
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let code = match &error {
            ChangeError::NotLeader | ChangeError::SteppedDown => ErrorCode::NotPermitted,
            ChangeError::Busy => ErrorCode::Busy,
            ChangeError::Invalid(_) => ErrorCode::Invalid,
            ChangeError::CatchUp(_) => ErrorCode::Other(10003),
        };
        Self(code, error.to_string())
    }
}

/// What becomes of a request.
enum Outcome {
    Answer(Message),
    /// Change the members, then say who was and is one.
    Change(usize, Configuration, Answer),
    Snapshot(usize),
}

/// Makes the answer to a membership change of the members before and after.
type Answer = fn(&Configuration, &Configuration) -> Message;

impl Node {
    /// Carries out what an operator asks in one of the messages of JRaft's command-line service. `done` is told the answer,
    /// an `ErrorResponse` if it was refused, when the change is complete: at once or later.
    pub fn operate(self: &Rc<Self>, message: Message, done: impl FnOnce(Message) + 'static) {
        let finish = |result: Result<Message, Refusal>| match result {
            Ok(message) => done(message),
            Err(Refusal(code, why)) => done(Message::ErrorResponse(ErrorResponse {
                error_code: code.number(),
                error_message: Some(why),
            })),
        };
        match decide(self, message) {
            Ok(Outcome::Answer(message)) => finish(Ok(message)),
            Ok(Outcome::Change(place, target, answer)) => {
                let before = configuration(self, place);
                let after = target.clone();
                self.change(
                    place,
                    target,
                    Box::new(move |result| {
                        finish(
                            result
                                .map_err(Refusal::from)
                                .map(|()| answer(&before, &after)),
                        );
                    }),
                );
            }
            Ok(Outcome::Snapshot(place)) => self.with_group(place, |hosted| {
                hosted.snapshots.waiting.push(Box::new(move |result| {
                    let failed = |why| Refusal(ErrorCode::Other(1014), why);
                    finish(result.map_err(failed).map(|()| success()));
                }));
                self.take_snapshot(place, hosted);
            }),
            Err(refusal) => finish(Err(refusal)),
        }
    }
}

fn success() -> Message {
    Message::ErrorResponse(ErrorResponse {
        error_code: 0,
        error_message: Some("OK".into()),
    })
}

fn configuration(node: &Node, place: usize) -> Configuration {
    node.with_group(place, |hosted| hosted.group.raft().configuration().clone())
}

fn place(node: &Node, group: &str) -> Result<usize, Refusal> {
    node.place_of(group).ok_or_else(|| {
        Refusal(
            ErrorCode::Other(1012),
            format!("there is no group {group} here"),
        )
    })
}

/// Where the group is led by this node, and its members.
fn led(node: &Node, group: &str) -> Result<(usize, Configuration), Refusal> {
    let place = place(node, group)?;
    let (role, leader) = node.with_group(place, |hosted| {
        (
            hosted.group.raft().role(),
            hosted.group.raft().leader().cloned(),
        )
    });
    if role != Role::Leader {
        let leader = leader.map_or_else(|| "nobody".to_owned(), |leader| leader.to_string());
        return Err(Refusal(
            ErrorCode::NotPermitted,
            format!("this node does not lead {group}: {leader} does"),
        ));
    }
    Ok((place, configuration(node, place)))
}

fn peers_answer(before: &Configuration, after: &Configuration) -> jraft::PeersResponse {
    jraft::PeersResponse {
        old_peers: names(&before.peers),
        new_peers: names(&after.peers),
        error_response: None,
    }
}

fn learners_answer(before: &Configuration, after: &Configuration) -> Message {
    Message::LearnersOpResponse(jraft::LearnersResponse {
        old_learners: names(&before.learners),
        new_learners: names(&after.learners),
        error_response: None,
    })
}

fn decide(node: &Rc<Node>, message: Message) -> Result<Outcome, Refusal> {
    Ok(match message {
        Message::AddPeerRequest(request) => {
            let (place, current) = led(node, &request.group_id)?;
            let mut peers = current.peers.clone();
            let peer: PeerId = request.peer_id.parse()?;
            if !peers.contains(&peer) {
                peers.push(peer);
            }
            let answer: Answer =
                |before, after| Message::AddPeerResponse(peers_answer(before, after));
            Outcome::Change(place, with_peers(&current, peers), answer)
        }
        Message::RemovePeerRequest(request) => {
            let (place, current) = led(node, &request.group_id)?;
            let peer: PeerId = request.peer_id.parse()?;
            let peers = current
                .peers
                .iter()
                .filter(|known| **known != peer)
                .cloned()
                .collect();
            let answer: Answer =
                |before, after| Message::RemovePeerResponse(peers_answer(before, after));
            Outcome::Change(place, with_peers(&current, peers), answer)
        }
        Message::ChangePeersRequest(request) => {
            let (place, current) = led(node, &request.group_id)?;
            let peers = parse(&request.new_peers)?;
            let answer: Answer =
                |before, after| Message::ChangePeersResponse(peers_answer(before, after));
            Outcome::Change(place, with_peers(&current, peers), answer)
        }
        Message::AddLearnersRequest(request) => {
            let (place, current) = led(node, &request.group_id)?;
            Outcome::Change(
                place,
                with_learners(&current, &parse(&request.learners)?, &[]),
                learners_answer,
            )
        }
        Message::RemoveLearnersRequest(request) => {
            let (place, current) = led(node, &request.group_id)?;
            Outcome::Change(
                place,
                with_learners(&current, &[], &parse(&request.learners)?),
                learners_answer,
            )
        }
        Message::ResetLearnersRequest(request) => {
            let (place, current) = led(node, &request.group_id)?;
            let target = with_learners(&current, &parse(&request.learners)?, &current.learners);
            Outcome::Change(place, target, learners_answer)
        }
        Message::ResetPeerRequest(request) => {
            let place = place(node, &request.group_id)?;
            let peers = parse(&request.new_peers)?;
            tracing::warn!(
                group = request.group_id,
                ?peers,
                "members are reset by hand"
            );
            node.with_group(place, |hosted| {
                hosted
                    .group
                    .raft_mut()
                    .reset_peers(Configuration::of(peers))
            })?;
            Outcome::Answer(success())
        }
        Message::TransferLeaderRequest(request) => {
            let (place, current) = led(node, &request.group_id)?;
            let to = match request.peer_id.as_deref().filter(|peer| !peer.is_empty()) {
                Some(peer) => peer.parse()?,
                // Any: the one that has most.
                None => most_complete(node, place)
                    .or_else(|| current.peers.first().cloned())
                    .ok_or_else(|| Refusal(ErrorCode::Invalid, "nobody can lead".into()))?,
            };
            node.with_group(place, |hosted| hosted.group.raft_mut().transfer_leader(&to))?;
            Outcome::Answer(success())
        }
        Message::SnapshotRequest(request) => Outcome::Snapshot(place(node, &request.group_id)?),
        Message::GetLeaderRequest(request) => {
            let place = place(node, &request.group_id)?;
            let leader = node.with_group(place, |hosted| hosted.group.raft().leader().cloned());
            let leader = leader.ok_or_else(|| {
                Refusal(
                    ErrorCode::Again,
                    format!("{} has no leader now", request.group_id),
                )
            })?;
            Outcome::Answer(Message::GetLeaderResponse(jraft::GetLeaderResponse {
                leader_id: leader.to_string(),
                error_response: None,
            }))
        }
        Message::GetPeersRequest(request) => {
            let (place, current) = led(node, &request.group_id)?;
            let living = |peers: &[PeerId]| match request.only_alive.unwrap_or(false) {
                true => names(
                    &peers
                        .iter()
                        .filter(|peer| is_alive(node, place, peer))
                        .cloned()
                        .collect::<Vec<_>>(),
                ),
                false => names(peers),
            };
            Outcome::Answer(Message::GetPeersResponse(jraft::GetPeersResponse {
                peers: living(&current.peers),
                learners: living(&current.learners),
                error_response: None,
            }))
        }
        other => {
            return Err(Refusal(
                ErrorCode::Invalid,
                format!("{} is not a request", other.class()),
            ));
        }
    })
}

fn most_complete(node: &Node, place: usize) -> Option<PeerId> {
    let status = node.with_group(place, |hosted| hosted.group.raft().status());
    let voters = status
        .peers
        .into_iter()
        .filter(|peer| status.configuration.peers.contains(&peer.peer));
    voters.max_by_key(|peer| peer.matched).map(|peer| peer.peer)
}

/// Whether a member has answered within an election timeout.
fn is_alive(node: &Node, place: usize, peer: &PeerId) -> bool {
    node.with_group(place, |hosted| {
        let status = hosted.group.raft().status();
        *peer == node.id
            || status
                .peers
                .iter()
                .any(|known| known.peer == *peer && known.silent < hosted.election_timeout)
    })
}
