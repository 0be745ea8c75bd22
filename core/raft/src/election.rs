//! How a leader comes to be: election timers, pre-votes, votes, priorities, and the request to stand at once.

use crate::message::{Body, Token, VoteRequest};
use crate::peer::{PeerId, Priority};
use crate::raft::{Raft, Role};
use crate::ready::StepError;
use crate::time::Time;
use crate::{bug, invariant};

impl Raft {
    /// No leader was heard of, or an election found no winner.
    pub(crate) fn election_timer_ended(&mut self) {
        self.reset_deadline();
        if self.leader_id.take().is_some() {
            self.tell_role();
        }
        if !self.may_stand() || self.fetch.is_some() || !self.priority_allows() {
            if self.role != Role::Follower {
                self.become_follower(self.hard_state.term, None);
            }
            return;
        }
        self.start_pre_vote();
    }

    /// Whether this member votes as far as is settled, or will. One that is leaving must still be able to stand until its
    /// leaving is committed: it may be the only one with the entry that says so, while the others need its vote.
    /// One whose disk is full could not lead: whatever majority can write without it can elect one of its own.
    fn may_stand(&self) -> bool {
        if self.disk.full {
            return false;
        }
        if bug!(self, LeaverMayNotStand) {
            return self.configuration().votes(&self.config.id);
        }
        self.log
            .configurations_since(self.commit)
            .any(|configuration| configuration.votes(&self.config.id))
    }

    /// JRaft's priorities: who is below the wanted priority lets one timer pass, and then wants less.
    fn priority_allows(&mut self) -> bool {
        let own = match self.config.id.priority() {
            Priority::Never => return false,
            Priority::Off => return true,
            Priority::Level(level) => level,
        };
        if own >= self.priority_wanted {
            return true;
        }
        self.priority_rounds += 1;
        if self.priority_rounds > 1 {
            let gap = self
                .config
                .priority_decay
                .max(10)
                .max(self.priority_wanted / 5);
            self.priority_wanted = self.priority_wanted.saturating_sub(gap).max(1);
            self.priority_rounds = 0;
        }
        self.priority_rounds == 0 && own >= self.priority_wanted
    }

    fn start_pre_vote(&mut self) {
        self.counters.pre_votes += 1;
        self.become_candidate(Role::PreCandidate);
        self.ask_for_votes(VoteRequest {
            term: self.hard_state.term + 1,
            last: self.last_id(),
            pre_vote: true,
            transfer: false,
        });
        self.count_votes();
    }

    fn become_candidate(&mut self, role: Role) {
        self.end_leadership();
        self.role = role;
        self.leader_id = None;
        self.votes = Vec::new();
        self.vote_tokens.clear();
        if role == Role::PreCandidate {
            self.votes.push(self.config.id.clone());
        }
        self.reset_deadline();
        self.tell_role();
    }

    fn campaign(&mut self, transfer: bool) {
        self.counters.elections += 1;
        let term = self.hard_state.term + 1;
        self.enter_term(term, Some(self.config.id.clone()));
        self.become_candidate(Role::Candidate);
        if bug!(self, VoteRequestBeforePersist) {
            self.count_own_vote();
        }
        self.ask_for_votes(VoteRequest {
            term,
            last: self.last_id(),
            pre_vote: false,
            transfer,
        });
        // The own vote counts once it is durable: see `count_own_vote`.
    }

    fn ask_for_votes(&mut self, request: VoteRequest) {
        let configuration = self.log.configuration().clone();
        for peer in configuration.peers.iter().chain(&configuration.old_peers) {
            let asked = self.vote_tokens.iter().any(|(_, asked)| asked == peer);
            if *peer != self.config.id && !asked {
                let token = self.out.request(peer, Body::VoteRequest(request.clone()));
                self.vote_tokens.push((token, peer.clone()));
            }
        }
    }

    /// Term and vote of this candidate are on stable storage.
    pub(crate) fn count_own_vote(&mut self) {
        if self.role == Role::Candidate && !self.votes.contains(&self.config.id) {
            self.votes.push(self.config.id.clone());
            self.count_votes();
        }
    }

    fn count_votes(&mut self) {
        if !self
            .configuration()
            .is_majority(|peer| self.votes.contains(peer))
        {
            return;
        }
        match self.role {
            Role::PreCandidate => self.campaign(false),
            Role::Candidate => self.become_leader(),
            Role::Follower | Role::Leader => {}
        }
    }

    /// Whether this member has heard of its leader so lately that it helps nobody to replace it.
    fn follows_living_leader(&self) -> bool {
        self.role == Role::Leader
            || (self.leader_id.is_some()
                && self
                    .leader_contact
                    .is_some_and(|contact| self.now.since(contact) < self.config.election_timeout))
    }

    pub(crate) fn on_vote_request(
        &mut self,
        from: &PeerId,
        token: Token,
        request: &VoteRequest,
    ) -> Result<(), StepError> {
        let answer = |raft: &mut Self, granted| {
            let body = Body::VoteResponse {
                term: raft.hard_state.term,
                granted,
            };
            raft.out.answer(from, token, body);
            Ok(())
        };
        let (term, last) = (self.hard_state.term, self.last_id());
        if request.pre_vote {
            // One that this member does not know may be known to entries that this member lacks: JRaft refuses it, and a
            // group whose members each lack the other's newest configuration then never elects anybody (world 1075).
            let knows_more = request.last > last && !bug!(self, StrangersGetNoPreVote);
            if !self.configuration().contains(from) && !knows_more {
                let _ = answer(self, false);
                return Err(StepError::NotMember(from.clone()));
            }
            let granted = !self.follows_living_leader()
                && self.now >= self.abstain_until
                && request.term >= term
                && request.last >= last;
            return answer(self, granted);
        }
        if request.term < term {
            self.counters.stale_terms += 1;
            return answer(self, false);
        }
        // A lease holds as long as no majority can vote: only the leader itself ends it early.
        let leased = self.config.lease_reads
            && !request.transfer
            && (self.now < self.abstain_until
                || (self.follows_living_leader() && self.leader_id.as_ref() != Some(from)));
        if leased {
            return answer(self, false);
        }
        self.observe_term(request.term);
        let free = self
            .hard_state
            .vote
            .as_ref()
            .is_none_or(|vote| vote == from);
        let granted = free && self.role != Role::Leader && request.last >= last;
        if granted {
            if self.role == Role::PreCandidate {
                self.become_follower(request.term, None);
            }
            self.reset_deadline();
            if self.hard_state.vote.is_none() {
                self.set_hard_state(request.term, Some(from.clone()));
            }
        }
        answer(self, granted)
    }

    pub(crate) fn on_vote_response(
        &mut self,
        from: &PeerId,
        token: Token,
        term: u64,
        granted: bool,
    ) -> Result<(), StepError> {
        let Some(place) = self
            .vote_tokens
            .iter()
            .position(|(open, to)| *open == token && to == from)
        else {
            return Err(StepError::NoRequest(from.clone()));
        };
        self.vote_tokens.swap_remove(place);
        if term > self.hard_state.term {
            // A voter that is ahead refused; one that grants a pre-vote may be behind.
            self.observe_term(term);
            return Ok(());
        }
        if granted {
            invariant!(
                matches!(self.role, Role::Candidate | Role::PreCandidate),
                "open votes belong to an election"
            );
            self.votes.push(from.clone());
            self.count_votes();
        }
        Ok(())
    }

    pub(crate) fn on_timeout_now(
        &mut self,
        from: &PeerId,
        token: Token,
        term: u64,
    ) -> Result<(), StepError> {
        self.observe_term(term);
        let stands = term == self.hard_state.term
            && self.role == Role::Follower
            && self.may_stand()
            && self.fetch.is_none();
        let term = self.hard_state.term + u64::from(stands);
        self.out.answer(
            from,
            token,
            Body::TimeoutNowResponse {
                term,
                success: stands,
            },
        );
        if stands {
            self.campaign(true);
        }
        Ok(())
    }

    /// A leader that hears from no majority leads nobody.
    pub(crate) fn step_down_without_majority(&mut self, heard: Time) {
        if self.now.since(heard) >= self.config.election_timeout && !bug!(self, NoStepDown) {
            self.counters.step_downs_without_majority += 1;
            self.become_follower(self.hard_state.term, None);
        }
    }
}
