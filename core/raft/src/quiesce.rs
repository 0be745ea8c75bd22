//! Idle groups fall silent: no heartbeats, no timers. Something else has to watch over the members then, one thing for all groups
//! of two nodes: whoever drives the core pings the nodes, and tells every group when one of them does not answer or was
//! started anew ([`Raft::nodes_answer`]). JRaft's nodes do not take part; a group with one of them never falls silent.

use crate::message::AppendRequest;
use crate::progress::State;
use crate::raft::{Raft, Role};
use crate::time::Time;

/// How far a member is on its way to silence.
#[derive(Default)]
pub(crate) struct Quiescence {
    /// All members' nodes answer, as one that never sleeps can tell.
    nodes_answer: bool,
    /// No timer runs.
    quiesced: bool,
    /// Of a leader: since when there is nothing to do.
    idle_since: Option<Time>,
    /// Of a leader: since when its heartbeats ask the followers to fall silent.
    asking_since: Option<Time>,
}

impl Quiescence {
    pub(crate) fn is_asking(&self) -> bool {
        self.asking_since.is_some()
    }
}

impl Raft {
    /// Whether the nodes of all members answer. As soon as one does not, or was started anew, this has to be said at once:
    /// it wakes the group.
    pub fn nodes_answer(&mut self, all: bool) {
        self.quiescence.nodes_answer = all;
        if !all {
            self.wake();
        }
    }

    /// Whether no timer of this member runs.
    pub fn is_quiesced(&self) -> bool {
        self.quiescence.quiesced
    }

    /// Something happens: timers run again, from now.
    pub(crate) fn wake(&mut self) {
        self.quiescence.idle_since = None;
        self.quiescence.asking_since = None;
        if !std::mem::take(&mut self.quiescence.quiesced) {
            return;
        }
        let now = self.now;
        match &mut self.leader {
            Some(leader) => {
                for progress in &mut leader.peers {
                    progress.heard = now;
                    progress.heartbeat_due = now;
                }
            }
            None => {
                // The node of the leader was alive until now.
                self.leader_contact = self.leader_id.as_ref().map(|_| now);
                self.reset_deadline();
            }
        }
    }

    /// An idle leader asks its followers to fall silent, and falls silent itself once all have.
    pub(crate) fn advance_quiescence(&mut self) {
        if !self.is_idle() {
            self.quiescence.idle_since = None;
            self.quiescence.asking_since = None;
            return;
        }
        let now = self.now;
        let idle_since = *self.quiescence.idle_since.get_or_insert(now);
        if now.since(idle_since) < self.config.quiesce_after {
            return;
        }
        let asking_since = *self.quiescence.asking_since.get_or_insert(now);
        let all = self.leader.as_ref().is_some_and(|leader| {
            let mut peers = leader.peers.iter();
            peers.all(|progress| progress.quiesced.is_some_and(|asked| asked >= asking_since))
        });
        self.quiescence.quiesced = all;
    }

    /// Whether all that this leader has is everywhere, and known to be.
    fn is_idle(&self) -> bool {
        let last = self.log.last_index();
        let Some(leader) = &self.leader else {
            return false;
        };
        self.quiescence.nodes_answer
            && !self.disk.full
            && self.knows_commit()
            && self.is_settled(last)
            && self.reads.len() == 0
            && leader.has_no_plans()
            && leader.peers.iter().all(|progress| {
                progress.state == State::Replicate
                    && progress.matched == last
                    && progress.inflight.is_empty()
                    && !progress.wants_commit(self.commit)
            })
    }

    fn is_settled(&self, last: u64) -> bool {
        self.commit == last
            && self.stable() == last
            && self.applied_index() == last
            && self.disk.writes.is_empty()
            && !self.disk.hard_state_dirty
    }

    /// A follower was asked to fall silent: it does if it has all that its leader has. Returns whether it did.
    pub(crate) fn quiesce(&mut self, request: &AppendRequest) -> bool {
        let last = self.log.last_index();
        self.quiescence.quiesced = request.quiesce
            && self.quiescence.nodes_answer
            && self.role == Role::Follower
            && self.fetch.is_none()
            && request.prev == self.log.last_id()
            && request.committed == last
            && self.is_settled(last)
            && self.reads.len() == 0;
        self.quiescence.quiesced
    }
}
