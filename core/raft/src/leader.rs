//! What a leader does: proposals, replication, commit, heartbeats, and handing leadership on.

use bytes::Bytes;

use crate::change::Change;
use crate::config::Config;
use crate::entry::{Entry, LogId, Payload};
use crate::message::{AppendResponse, Body, InstallRequest, SnapshotMeta, Token};
use crate::peer::{PeerId, Priority};
use crate::progress::{Progress, State, View};
use crate::raft::{PeerStatus, Raft, Role};
use crate::ready::{ChangeError, Event, ProposeError, StepError};
use crate::time::Time;
use crate::{bug, invariant};

/// What only a leader has.
pub(crate) struct Leader {
    /// Everybody else: voters, learners, and those that are catching up.
    pub(crate) peers: Vec<Progress>,
    /// The first entry of this leader's term.
    pub(crate) first: u64,
    pub(crate) change: Option<Change>,
    transfer: Option<Transfer>,
    /// Once TimeoutNow has left it may arrive at any time: no lease until the next term.
    timeout_now_sent: bool,
    told: bool,
    uncommitted_bytes: usize,
    /// Weights of what is proposed and not committed: (index, bytes).
    uncommitted: std::collections::VecDeque<(u64, usize)>,
}

struct Transfer {
    to: PeerId,
    until: Time,
    sent: bool,
}

/// What sending needs to know: borrows all but the leader's own state.
macro_rules! view {
    ($raft:expr) => {
        View {
            log: &$raft.log,
            config: &$raft.config,
            term: $raft.hard_state.term,
            commit: $raft.commit,
            stable: $raft.stable(),
            now: $raft.now,
            quiesce: $raft.quiescence.is_asking(),
        }
    };
}

impl Leader {
    pub(crate) fn progress(&mut self, peer: &PeerId) -> Option<&mut Progress> {
        self.peers
            .iter_mut()
            .find(|progress| progress.peer == *peer)
    }

    fn peer(&self, peer: &PeerId) -> Option<&Progress> {
        self.peers.iter().find(|progress| progress.peer == *peer)
    }

    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.uncommitted_bytes
    }

    /// Neither members nor leadership are about to change.
    pub(crate) fn has_no_plans(&self) -> bool {
        self.change.is_none() && self.transfer.is_none()
    }

    pub(crate) fn matched(&self, peer: &PeerId) -> u64 {
        self.peer(peer).map_or(0, |progress| progress.matched)
    }

    pub(crate) fn acked_token(&self, peer: &PeerId) -> Token {
        self.peer(peer)
            .map_or(Token(0), |progress| progress.acked_token)
    }

    /// Returns whether `token` was a request to `from` that was open.
    pub(crate) fn failed(&mut self, from: &PeerId, token: Token, retry_at: Time) -> bool {
        self.progress(from)
            .is_some_and(|progress| progress.failed(token, retry_at))
    }

    pub(crate) fn next_deadline(&self, now: Time, commit: u64, config: &Config) -> Time {
        let peers = self.peers.iter().map(|peer| {
            peer.heartbeat_due
                .min(peer.notice_due(commit))
                .min(peer.times_out_at(config))
                .min(peer.retries_at())
        });
        let transfer = self
            .transfer
            .as_ref()
            .map_or(Time::NEVER, |transfer| transfer.until);
        peers
            .min()
            .unwrap_or(now + config.election_timeout)
            .min(transfer)
    }

    pub(crate) fn status(&self, now: Time) -> Vec<PeerStatus> {
        let status = |progress: &Progress| PeerStatus {
            peer: progress.peer.clone(),
            matched: progress.matched,
            state: match progress.state {
                State::Probe => "probe",
                State::Replicate => "replicate",
                State::Snapshot => "snapshot",
            },
            inflight: progress.inflight.len(),
            silent: now.since(progress.heard),
        };
        self.peers.iter().map(status).collect()
    }
}

impl Raft {
    pub(crate) fn become_leader(&mut self) {
        let term = self.hard_state.term;
        self.role = Role::Leader;
        self.fresh = false;
        self.leader_id = Some(self.config.id.clone());
        self.votes.clear();
        self.vote_tokens.clear();
        self.leader = Some(Box::new(Leader {
            peers: Vec::new(),
            first: self.log.last_index() + 1,
            change: None,
            transfer: None,
            timeout_now_sent: false,
            told: false,
            uncommitted_bytes: 0,
            uncommitted: std::collections::VecDeque::new(),
        }));
        self.tell_role();
        // The first entry of a term names the members, as JRaft has it: it commits what earlier terms left, and makes
        // what manual recovery set in memory durable.
        let configuration = self.configuration().clone();
        let joint = configuration.is_joint().then(|| configuration.clone());
        let id = self.append(Payload::Configuration(configuration.into()));
        invariant!(id.term == term, "a leader writes in its own term");
        if let Some(leader) = &mut self.leader {
            leader.change = joint.map(|joint| Change::inherited(id.index, &joint));
        }
    }

    /// Everything that a leader alone has ends.
    pub(crate) fn end_leadership(&mut self) {
        let Some(leader) = self.leader.take() else {
            return;
        };
        if leader.change.is_some_and(|change| change.was_asked_for()) {
            self.out
                .events
                .push(Event::ChangeEnded(Err(ChangeError::SteppedDown)));
        }
        self.fail_reads();
    }

    /// Proposes a command. Its outcome shows when an entry with this id, or another one with its index, is handed out to
    /// be applied.
    /// # Errors
    /// The command is not in the log.
    pub fn propose(&mut self, data: Bytes) -> Result<LogId, ProposeError> {
        let Some(leader) = &self.leader else {
            return Err(ProposeError::NotLeader(self.leader_id.clone()));
        };
        if leader.transfer.is_some() {
            return Err(ProposeError::Transferring);
        }
        if self.disk.full {
            return Err(ProposeError::DiskFull);
        }
        let (bytes, limit) = (data.len(), self.config.entry_bytes_max);
        if bytes > limit {
            return Err(ProposeError::TooLarge { bytes, limit });
        }
        let payload = Payload::Data(data);
        let weight = payload.weight();
        if leader.uncommitted_bytes > 0
            && leader.uncommitted_bytes + weight > self.config.uncommitted_bytes_max
        {
            return Err(ProposeError::Busy);
        }
        self.wake();
        let id = self.append(payload);
        if let Some(leader) = &mut self.leader {
            leader.uncommitted_bytes += weight;
            leader.uncommitted.push_back((id.index, weight));
        }
        Ok(id)
    }

    /// Followers get what they lack, and learn at once what is committed: this leader may not lead any more when it is time.
    pub(crate) fn fan_out_at_once(&mut self) {
        if let Some(leader) = &mut self.leader {
            leader.peers.iter_mut().for_each(Progress::tell_at_once);
        }
        self.fan_out();
    }

    /// Followers get what they lack, once per turn.
    pub(crate) fn fan_out(&mut self) {
        self.start_reads();
        let read_from = self.reads.round_from();
        let view = view!(self);
        let Some(leader) = &mut self.leader else {
            return;
        };
        for progress in &mut leader.peers {
            let sent = progress.replicate(&view, &mut self.out);
            if sent || progress.heartbeat_under_way(&view) {
                continue;
            }
            // An idle group does not wait for the next heartbeat to learn of a commit, nor a read for its confirmation.
            let tells_commit = progress.is_to_be_told(&view);
            if tells_commit || progress.last_sent() < read_from {
                self.counters.commit_messages += u64::from(tells_commit);
                progress.send_heartbeat(&view, &mut self.out);
            }
        }
    }

    pub(crate) fn advance_leader(&mut self) {
        let (now, configuration) = (self.now, self.log.configuration().clone());
        let own = self.config.id.clone();
        self.advance_quiescence();
        let view = view!(self);
        let Some(leader) = &mut self.leader else {
            return;
        };
        for progress in &mut leader.peers {
            if now >= progress.times_out_at(&self.config) {
                progress.probe(now + self.config.heartbeat_interval, false);
            }
            if now >= progress.heartbeat_due {
                progress.send_heartbeat(&view, &mut self.out);
            }
        }
        if let Some(transfer) = leader.transfer.take_if(|transfer| now >= transfer.until) {
            self.out.events.push(Event::TransferFailed(transfer.to));
        }
        let heard = configuration.majority_value(|peer| match *peer == own {
            true => now,
            false => leader.peer(peer).map_or(Time(0), |progress| progress.heard),
        });
        self.advance_change();
        self.leave_full_disk();
        self.step_down_without_majority(heard.unwrap_or(now));
    }

    pub(crate) fn on_append_response(
        &mut self,
        from: &PeerId,
        token: Token,
        response: &AppendResponse,
    ) -> Result<(), StepError> {
        let term = self.hard_state.term;
        if response.term > term {
            self.observe_term(response.term);
            return Ok(());
        }
        let missing = || StepError::NoRequest(from.clone());
        let progress = self
            .leader
            .as_mut()
            .and_then(|leader| leader.progress(from))
            .ok_or_else(missing)?;
        let heartbeat = progress.take_heartbeat(token);
        let is_heartbeat = heartbeat.is_some();
        let inflight = heartbeat
            .or_else(|| progress.take_inflight(token))
            .ok_or_else(missing)?;
        if response.term < term {
            // It answered before it knew this term, which no honest member does.
            self.counters.stale_terms += 1;
            return Ok(());
        }
        progress.answered(inflight, self.now);
        match (response.success, response.last_index) {
            (true, last_index) if is_heartbeat => {
                progress.quiesced = response.quiesced.then_some(inflight.sent);
                let interval = self.config.heartbeat_interval;
                progress.suspect_loss(inflight, last_index, self.now, interval);
            }
            (true, _) => progress.succeeded(inflight),
            // A follower that compacted beyond the heartbeat's entry cannot compare it: nothing is wrong.
            (false, Some(hint)) if is_heartbeat && hint >= inflight.prev => {}
            (false, hint) => {
                self.counters.rejected_appends += 1;
                if progress.refused(inflight, hint.unwrap_or(0)) {
                    self.counters.followers_lost_log += 1;
                }
            }
        }
        self.after_answer(from);
        Ok(())
    }

    /// What an answer of `from` may have made possible.
    fn after_answer(&mut self, from: &PeerId) {
        self.advance_commit();
        self.confirm_reads();
        self.advance_change();
        self.advance_transfer(from);
    }

    /// Commits what a majority holds.
    pub(crate) fn advance_commit(&mut self) {
        let Some(leader) = &self.leader else { return };
        let own = match bug!(self, CountOwnUnsynced) {
            true => self.log.last_index(),
            false => self.stable(),
        };
        let reached =
            self.log
                .configuration()
                .majority_value(|peer| match *peer == self.config.id {
                    true => own,
                    false => leader.matched(peer),
                });
        let Some(mut reached) = reached else { return };
        if bug!(self, CommitWithoutQuorum) {
            let peers = &self.log.configuration().peers;
            let peer = &peers[(peers.len() - 1) / 2];
            let unsorted = match *peer == self.config.id {
                true => self.stable(),
                false => leader.matched(peer),
            };
            reached = reached.max(unsorted);
        }
        // Raft's figure 8: only an entry of its own term shows a leader that earlier ones are safe.
        let own_term =
            self.log.term_at(reached) == Some(self.hard_state.term) || bug!(self, CommitOlderTerm);
        if reached <= self.commit || !own_term {
            return;
        }
        invariant!(
            reached <= self.log.last_index(),
            "a commit lies within the log"
        );
        self.commit = reached;
        let Some(leader) = &mut self.leader else {
            return;
        };
        while let Some((_, weight)) = leader
            .uncommitted
            .pop_front_if(|(index, _)| *index <= reached)
        {
            leader.uncommitted_bytes -= weight;
        }
        if !leader.told && reached >= leader.first {
            leader.told = true;
            self.out.events.push(Event::Leading {
                term: self.hard_state.term,
                index: leader.first,
            });
        }
        self.change_committed();
    }

    /// Whether this leader has committed an entry of its own term: before that it does not know what is committed.
    pub(crate) fn knows_commit(&self) -> bool {
        self.leader
            .as_ref()
            .is_some_and(|leader| self.commit >= leader.first)
            || bug!(self, ReadBeforeTermCommit)
    }

    /// Until when no other member can have been elected.
    pub(crate) fn lease_until(&self) -> Time {
        let Some(leader) = self
            .leader
            .as_ref()
            .filter(|leader| !leader.timeout_now_sent)
        else {
            return Time(0);
        };
        let sent = self
            .log
            .configuration()
            .majority_value(|peer| match *peer == self.config.id {
                true => self.now,
                false => leader
                    .peer(peer)
                    .map_or(Time(0), |progress| progress.acked_sent),
            });
        sent.map_or(Time(0), |sent| sent + self.config.lease())
    }

    /// Keeps one progress per member, and per member to be.
    pub(crate) fn sync_progress(&mut self) {
        let configuration = self.log.configuration().clone();
        let (own, now, next) = (
            self.config.id.clone(),
            self.now,
            self.log.last_index().max(1),
        );
        let Some(leader) = &mut self.leader else {
            return;
        };
        let mut wanted = configuration.members();
        if let Some(change) = &leader.change {
            wanted.extend(
                change
                    .guests()
                    .iter()
                    .filter(|peer| !configuration.contains(peer))
                    .cloned(),
            );
        }
        leader
            .peers
            .retain(|progress| wanted.contains(&progress.peer));
        for peer in wanted {
            if peer != own && leader.peer(&peer).is_none() {
                leader.peers.push(Progress::new(peer, next, now));
            }
        }
    }

    pub(crate) fn send_read_back(&mut self, peer: &PeerId, entries: Vec<Entry>) {
        let view = view!(self);
        if let Some(progress) = self
            .leader
            .as_mut()
            .and_then(|leader| leader.progress(peer))
        {
            progress.send_read_back(&view, &mut self.out, entries);
        }
    }

    /// The snapshot that a follower needs, ready to be fetched from `uri`.
    pub fn offer_snapshot(&mut self, peer: &PeerId, meta: SnapshotMeta, uri: String) {
        let (term, now) = (self.hard_state.term, self.now);
        let Some(progress) = self
            .leader
            .as_mut()
            .and_then(|leader| leader.progress(peer))
        else {
            return;
        };
        if progress.state == State::Snapshot && progress.install.is_none() {
            self.counters.snapshots_offered += 1;
            let last = meta.last;
            let token = self.out.request(
                peer,
                Body::InstallRequest(InstallRequest { term, meta, uri }),
            );
            progress.install = Some((token, now, last));
        }
    }

    /// There is no snapshot to offer yet.
    pub fn snapshot_refused(&mut self, peer: &PeerId) {
        let retry_at = self.now + self.config.election_timeout;
        if let Some(progress) = self
            .leader
            .as_mut()
            .and_then(|leader| leader.progress(peer))
        {
            progress.offer_refused(retry_at);
        }
    }

    pub(crate) fn on_install_response(
        &mut self,
        from: &PeerId,
        token: Token,
        term: u64,
        success: bool,
    ) -> Result<(), StepError> {
        if term > self.hard_state.term {
            self.observe_term(term);
            return Ok(());
        }
        let retry_at = self.now + self.config.heartbeat_interval;
        let missing = || StepError::NoRequest(from.clone());
        let progress = self
            .leader
            .as_mut()
            .and_then(|leader| leader.progress(from))
            .ok_or_else(missing)?;
        let (_, _, last) = progress
            .install
            .take_if(|(open, ..)| *open == token)
            .ok_or_else(missing)?;
        progress.heard = self.now;
        match success && term == self.hard_state.term {
            true => progress.installed(last.index),
            false => progress.probe(retry_at, false),
        }
        self.after_answer(from);
        Ok(())
    }

    /// Hands leadership to `peer`: no proposals from now on, and once it holds everything it is asked to stand at once.
    /// # Errors
    /// This member does not lead, or `peer` does not vote.
    pub fn transfer_leader(&mut self, peer: &PeerId) -> Result<(), ChangeError> {
        self.wake();
        let votes = self.configuration().peers.contains(peer);
        let until = self.now + self.config.election_timeout;
        let own = *peer == self.config.id;
        let Some(leader) = &mut self.leader else {
            return Err(ChangeError::NotLeader);
        };
        if !votes {
            return Err(ChangeError::Invalid("only a voter can lead"));
        }
        if leader.transfer.is_some() || leader.change.is_some() {
            return Err(ChangeError::Busy);
        }
        if !own {
            self.counters.transfers += 1;
            leader.transfer = Some(Transfer {
                to: peer.clone(),
                until,
                sent: false,
            });
            self.advance_transfer(peer);
        }
        Ok(())
    }

    /// A leader whose disk is full hands leadership on once the others have committed all there is without it: then they have
    /// room. If they have none either, it stays, for reads still need a leader.
    fn leave_full_disk(&mut self) {
        let last = self.log.last_index();
        if !self.disk.full || self.commit < last || self.stable() >= last {
            return;
        }
        if let Some((heir, matched)) = self.heir()
            && matched == last
        {
            // Refused while another transfer is under way: the next turn tries again.
            let _ = self.transfer_leader(&heir);
        }
    }

    /// The voter that has most, and how much. Of those that have as much, JRaft too takes the one of highest priority, and
    /// never one of priority 0; here one that answers goes before one that has not been heard of lately.
    fn heir(&self) -> Option<(PeerId, u64)> {
        let leader = self.leader.as_ref()?;
        let voters = &self.log.configuration().peers;
        let heirs = leader.peers.iter().filter_map(|progress| {
            let voter = voters.iter().find(|voter| **voter == progress.peer)?;
            let priority = voter.priority();
            let answers = self.now.since(progress.heard) < self.config.election_timeout;
            let rank = (progress.matched, answers, priority);
            (priority != Priority::Never).then_some((rank, voter))
        });
        let ((matched, ..), voter) = heirs.max_by_key(|(rank, _)| *rank)?;
        Some((voter.clone(), matched))
    }

    fn advance_transfer(&mut self, from: &PeerId) {
        let last = self.log.last_index();
        let Some(leader) = &mut self.leader else {
            return;
        };
        let Some(transfer) = &mut leader.transfer else {
            return;
        };
        let ready = leader
            .peers
            .iter()
            .any(|progress| progress.peer == *from && progress.matched == last);
        if transfer.to == *from && ready && !transfer.sent {
            transfer.sent = true;
            leader.timeout_now_sent = true;
            self.out.request(
                from,
                Body::TimeoutNowRequest {
                    term: self.hard_state.term,
                },
            );
        }
    }

    /// A leader that stops, or that is no member any more, asks the follower that has most to stand at once.
    pub fn hand_over(&mut self) {
        self.wake();
        let (term, heir) = (self.hard_state.term, self.heir());
        let Some(leader) = &mut self.leader else {
            return;
        };
        if let Some((heir, _)) = heir {
            leader.timeout_now_sent = true;
            self.out.request(&heir, Body::TimeoutNowRequest { term });
        }
        self.become_follower(term, None);
    }
}
