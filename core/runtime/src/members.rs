//! Names of members as operators and JRaft's command-line service write them.

use diwan_raft::{Configuration, PeerId, PeerParseError};

/// Reads a list of names; each may end in `/learner`, as JRaft writes configurations.
pub(crate) fn parse(names: &[String]) -> Result<Vec<PeerId>, PeerParseError> {
    names
        .iter()
        .map(|name| name.trim_end_matches("/learner").parse())
        .collect()
}

pub(crate) fn names(peers: &[PeerId]) -> Vec<String> {
    peers.iter().map(PeerId::to_string).collect()
}

/// `current` with other learners: those of `added` come, those of `removed` go.
pub(crate) fn with_learners(
    current: &Configuration,
    added: &[PeerId],
    removed: &[PeerId],
) -> Configuration {
    let mut target = current.stable();
    target.learners.retain(|learner| !removed.contains(learner));
    for learner in added {
        if !target.learners.contains(learner) {
            target.learners.push(learner.clone());
        }
    }
    target
}

/// `current` with other voters; a learner that becomes a voter is no learner any more.
pub(crate) fn with_peers(current: &Configuration, peers: Vec<PeerId>) -> Configuration {
    let mut target = current.stable();
    target.learners.retain(|learner| !peers.contains(learner));
    target.peers = peers;
    target
}
