//! Membership changes, as JRaft makes them: new voters catch up, then both halves must agree (joint consensus), then the
//! new half stands alone. (sofastack/sofa-jraft:jraft-core/src/main/java/com/alipay/sofa/jraft/core/NodeImpl.java,
//! ConfigurationCtx)

use std::sync::Arc;

use crate::bug;
use crate::configuration::Configuration;
use crate::entry::Payload;
use crate::peer::PeerId;
use crate::raft::Raft;
use crate::ready::{ChangeError, Event};
use crate::time::Time;

/// The change that a leader is carrying out.
pub(crate) struct Change {
    stage: Stage,
    /// None where a former leader began it.
    asked: Option<Asked>,
    /// Those who receive the log although they are no members yet, or no members any more.
    guests: Vec<PeerId>,
}

struct Asked {
    target: Configuration,
    joining: Vec<PeerId>,
    since: Time,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    CatchingUp,
    /// Waits for the joint entry at this index.
    Joint(u64),
    /// Waits for the final entry at this index.
    Stable(u64),
}

impl Change {
    /// A new leader finds the group in joint consensus and ends it.
    pub(crate) fn inherited(index: u64, joint: &Configuration) -> Self {
        Self {
            stage: Stage::Joint(index),
            asked: None,
            guests: joint.members(),
        }
    }

    pub(crate) fn was_asked_for(&self) -> bool {
        self.asked.is_some()
    }

    /// Those who receive the log whatever the configuration says.
    pub(crate) fn guests(&self) -> &[PeerId] {
        &self.guests
    }
}

impl Raft {
    /// Makes `target`'s peers and learners the members. The outcome comes as [`Event::ChangeEnded`].
    /// # Errors
    /// Nothing was begun.
    pub fn change_members(&mut self, target: Configuration) -> Result<(), ChangeError> {
        self.wake();
        let known = self.knows_commit();
        let current = self.configuration().clone();
        let now = self.now;
        let Some(leader) = &mut self.leader else {
            return Err(ChangeError::NotLeader);
        };
        if leader.change.is_some() || current.is_joint() || !known {
            return Err(ChangeError::Busy);
        }
        if target.is_empty() {
            return Err(ChangeError::Invalid("no voter"));
        }
        let doubled = |peers: &[PeerId]| {
            peers
                .iter()
                .enumerate()
                .any(|(place, peer)| peers[..place].contains(peer))
        };
        if doubled(&target.peers) || doubled(&target.learners) {
            return Err(ChangeError::Invalid("a member twice"));
        }
        if target
            .peers
            .iter()
            .any(|peer| target.learners.contains(peer))
        {
            return Err(ChangeError::Invalid(
                "a member cannot vote and be a learner",
            ));
        }
        let target = target.stable();
        if target == current {
            self.out.events.push(Event::ChangeEnded(Ok(())));
            return Ok(());
        }
        self.counters.changes += 1;
        let joining = target
            .peers
            .iter()
            .filter(|peer| !current.votes(peer))
            .cloned()
            .collect();
        let guests = target.joint_with(&current).members();
        leader.change = Some(Change {
            stage: Stage::CatchingUp,
            asked: Some(Asked {
                target,
                joining,
                since: now,
            }),
            guests,
        });
        self.sync_progress();
        self.advance_change();
        Ok(())
    }

    /// New members that have caught up become voters.
    pub(crate) fn advance_change(&mut self) {
        let (last, now) = (self.log.last_index(), self.now);
        let (margin, patience) = (
            self.config.catch_up_margin,
            self.config.election_timeout * 2,
        );
        let Some(leader) = &self.leader else { return };
        let Some(Change {
            stage: Stage::CatchingUp,
            asked: Some(asked),
            ..
        }) = &leader.change
        else {
            return;
        };
        let mut behind = asked
            .joining
            .iter()
            .filter(|peer| leader.matched(peer) + margin < last || leader.matched(peer) == 0);
        if behind.clone().next().is_none() {
            let target = asked.target.clone();
            let joint = match bug!(self, SkipJoint) {
                true => target,
                false => target.joint_with(self.configuration()),
            };
            let index = self.append(Payload::Configuration(Arc::new(joint))).index;
            self.enter_stage(Stage::Joint(index));
            return;
        }
        // A member that answers may take its time; one that does not is waited for no longer.
        let silent = |peer: &PeerId| {
            let heard = leader
                .peers
                .iter()
                .find(|progress| progress.peer == *peer)
                .map_or(Time(0), |progress| progress.heard);
            now.since(heard.max(asked.since)) >= patience
        };
        if let Some(lost) = behind.find(|peer| silent(peer)).cloned() {
            self.end_change(Err(ChangeError::CatchUp(lost)));
        }
    }

    fn enter_stage(&mut self, stage: Stage) {
        if let Some(change) = self
            .leader
            .as_mut()
            .and_then(|leader| leader.change.as_mut())
        {
            change.stage = stage;
        }
    }

    fn end_change(&mut self, result: Result<(), ChangeError>) {
        if self
            .leader
            .as_mut()
            .and_then(|leader| leader.change.take())
            .is_some_and(|change| change.was_asked_for())
        {
            self.out.events.push(Event::ChangeEnded(result));
        }
        self.sync_progress();
    }

    /// An entry that a change waited for may be committed.
    pub(crate) fn change_committed(&mut self) {
        let commit = self.commit;
        let stage = self
            .leader
            .as_ref()
            .and_then(|leader| leader.change.as_ref())
            .map(|change| change.stage);
        match stage {
            Some(Stage::Joint(index)) if commit >= index => {
                let stable = self.configuration().stable();
                let index = self.append(Payload::Configuration(Arc::new(stable))).index;
                self.enter_stage(Stage::Stable(index));
                // A group of one commits by its own disk alone.
                self.advance_commit();
            }
            Some(Stage::Stable(index)) if commit >= index => {
                // Those who leave learn that they have left.
                self.fan_out_at_once();
                self.end_change(Ok(()));
                if !self.configuration().votes(&self.config.id) {
                    self.hand_over();
                }
            }
            None if self.knows_commit() && !self.configuration().votes(&self.config.id) => {
                // It was elected to finish its own leaving.
                self.fan_out_at_once();
                self.hand_over();
            }
            _ => {}
        }
    }
}
