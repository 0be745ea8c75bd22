//! Who belongs to a group, and what a majority of it is.

use std::fmt;

use crate::peer::{PeerId, Priority};

/// The members of a group. While `old_peers` is not empty the group is in joint consensus: whatever needs a majority
/// needs one of `peers` and one of `old_peers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Voters.
    pub peers: Vec<PeerId>,
    /// Members that receive the log and do not vote.
    pub learners: Vec<PeerId>,
    /// Voters before the change that is under way.
    pub old_peers: Vec<PeerId>,
    /// Learners before the change that is under way.
    pub old_learners: Vec<PeerId>,
}

impl Configuration {
    /// Voters only.
    pub fn of(peers: Vec<PeerId>) -> Self {
        Self {
            peers,
            ..Self::default()
        }
    }

    /// Whether nobody votes.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Whether a change is under way.
    pub fn is_joint(&self) -> bool {
        !self.old_peers.is_empty()
    }

    /// Whether `peer` votes, in the new or the old half.
    pub fn votes(&self, peer: &PeerId) -> bool {
        self.peers.contains(peer) || self.old_peers.contains(peer)
    }

    /// Whether `peer` is anything in this configuration.
    pub fn contains(&self, peer: &PeerId) -> bool {
        self.votes(peer) || self.learners.contains(peer) || self.old_learners.contains(peer)
    }

    /// Every member once: voters first.
    pub fn members(&self) -> Vec<PeerId> {
        let mut members: Vec<PeerId> = Vec::with_capacity(self.peers.len() + self.learners.len());
        for peer in [
            &self.peers,
            &self.old_peers,
            &self.learners,
            &self.old_learners,
        ]
        .into_iter()
        .flatten()
        {
            if !members.contains(peer) {
                members.push(peer.clone());
            }
        }
        members
    }

    /// Whether those for whom `has` is true are a majority (of both halves in joint consensus).
    pub fn is_majority(&self, mut has: impl FnMut(&PeerId) -> bool) -> bool {
        let mut majority =
            |peers: &[PeerId]| peers.iter().filter(|peer| has(peer)).count() > peers.len() / 2;
        !self.peers.is_empty()
            && majority(&self.peers)
            && (self.old_peers.is_empty() || majority(&self.old_peers))
    }

    /// The largest value that a majority has reached, by what each voter has reached.
    pub fn majority_value<T: Ord + Copy>(&self, mut value: impl FnMut(&PeerId) -> T) -> Option<T> {
        let mut reached = |peers: &[PeerId]| {
            let mut values: Vec<T> = peers.iter().map(&mut value).collect();
            values.sort_unstable();
            values.get((values.len().max(1) - 1) / 2).copied()
        };
        let new = reached(&self.peers)?;
        Some(reached(&self.old_peers).map_or(new, |old| new.min(old)))
    }

    /// The same configuration without its old half.
    pub fn stable(&self) -> Self {
        Self {
            peers: self.peers.clone(),
            learners: self.learners.clone(),
            ..Self::default()
        }
    }

    /// The joint configuration on the way from `old` to `self`.
    pub fn joint_with(&self, old: &Self) -> Self {
        Self {
            old_peers: old.peers.clone(),
            old_learners: old.learners.clone(),
            ..self.stable()
        }
    }

    /// The name of `peer` as it stands here, with its priority.
    pub fn named(&self, peer: &PeerId) -> Option<&PeerId> {
        [&self.peers, &self.old_peers, &self.learners]
            .into_iter()
            .flatten()
            .find(|named| *named == peer)
    }

    /// The highest priority among the voters; 0 where all are off.
    pub fn priority_max(&self) -> u32 {
        let level = |peer: &PeerId| {
            if let Priority::Level(level) = peer.priority() {
                level
            } else {
                0
            }
        };
        self.peers.iter().map(level).max().unwrap_or(0)
    }
}

/// `a:1,b:2,c:3/learner`, and in joint consensus the old half behind `|`, as JRaft writes it.
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut half = |peers: &[PeerId], learners: &[PeerId]| {
            let mut separator = "";
            for peer in peers {
                write!(f, "{separator}{peer}")?;
                separator = ",";
            }
            for learner in learners {
                write!(f, "{separator}{learner}/learner")?;
                separator = ",";
            }
            Ok(())
        };
        half(&self.peers, &self.learners)?;
        if self.is_joint() {
            write!(f, "|")?;
            let mut separator = "";
            for peer in &self.old_peers {
                write!(f, "{separator}{peer}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(ports: &[u16]) -> Vec<PeerId> {
        ports.iter().map(|port| PeerId::new("h", *port)).collect()
    }

    #[test]
    fn a_majority_is_more_than_half_of_each_half() {
        let joint = Configuration {
            old_peers: peers(&[1, 2, 3]),
            ..Configuration::of(peers(&[3, 4, 5, 6]))
        };
        let majority = |ports: &[u16]| joint.is_majority(|peer| ports.contains(&peer.port()));
        assert!(majority(&[1, 3, 4, 5]));
        assert!(!majority(&[1, 2, 4, 5]));
        assert!(!majority(&[3, 4, 5]));
        assert!(!Configuration::default().is_majority(|_| true));
    }

    #[test]
    fn the_value_of_a_majority_is_what_a_majority_reached() {
        let of = |ports: &[u16]| Configuration::of(peers(ports)).majority_value(PeerId::port);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some(7));
        assert_eq!(of(&[1, 9]), Some(1));
        assert_eq!(of(&[1, 5, 9]), Some(5));
        assert_eq!(of(&[1, 5, 8, 9]), Some(5));
        let joint = Configuration {
            old_peers: peers(&[1, 2, 3]),
            ..Configuration::of(peers(&[7, 8, 9]))
        };
        assert_eq!(joint.majority_value(PeerId::port), Some(2));
    }
}
