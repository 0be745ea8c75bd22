//! What a follower does with entries and snapshots of its leader.

use crate::durable::FULL;
use crate::message::{AppendRequest, AppendResponse, Body, ErrorCode, InstallRequest, Token};
use crate::peer::PeerId;
use crate::raft::{Raft, Role};
use crate::ready::{Fetch, StepError};

/// Indexes beyond this are absurd: a log of a million entries a second would take 100,000 years.
const INDEX_MAX: u64 = i64::MAX as u64 / 2;

impl Raft {
    /// Whether `from` may speak as the leader of `term`; after it, this member follows it. A second leader of one term is
    /// refused here, an old one by the caller.
    fn accept_leader(&mut self, from: &PeerId, token: Token, term: u64) -> Result<bool, StepError> {
        if term < self.hard_state.term {
            self.counters.stale_terms += 1;
            return Ok(false);
        }
        if let Some(leader) = self
            .leader_id
            .as_ref()
            .filter(|leader| *leader != from && term == self.hard_state.term)
        {
            let two_leaders = StepError::TwoLeaders {
                from: from.clone(),
                term,
                leader: leader.clone(),
            };
            let code = ErrorCode::Other(10012);
            self.out.refuse(from, token, code, two_leaders.to_string());
            return Err(two_leaders);
        }
        if term > self.hard_state.term || self.role != Role::Follower || self.leader_id.is_none() {
            self.become_follower(term, Some(from.clone()));
        }
        self.leader_contact = Some(self.now);
        self.fresh = false;
        self.reset_deadline();
        Ok(true)
    }

    pub(crate) fn on_append_request(
        &mut self,
        from: &PeerId,
        token: Token,
        request: AppendRequest,
    ) -> Result<(), StepError> {
        if let Err(what) = check(&request, self.config.entry_bytes_max) {
            self.out.refuse(from, token, ErrorCode::Invalid, what);
            return Err(StepError::Malformed {
                from: from.clone(),
                what,
            });
        }
        if !self.accept_leader(from, token, request.term)? {
            self.answer_append(from, token, false, None);
            return Ok(());
        }
        if self.fetch.is_some() && !request.entries.is_empty() {
            self.out.refuse(
                from,
                token,
                ErrorCode::Busy,
                "a snapshot is being installed",
            );
            return Ok(());
        }
        let matched = request.prev.index + request.entries.len() as u64;
        let compacted = self.log.compacted().index;
        // What lies before the beginning of this log is committed and therefore the same.
        if request.prev.index >= compacted && !self.log.holds(request.prev) {
            let hint = self.log.may_agree_at(request.prev);
            let hint = if hint < self.commit {
                self.commit.min(self.log.last_index())
            } else {
                hint
            };
            self.answer_append(from, token, false, Some(hint));
            return Ok(());
        }
        if self.disk.full && !request.entries.is_empty() && matched > self.stable() {
            self.out.refuse(from, token, ErrorCode::Busy, FULL);
            return Ok(());
        }
        if let Err(conflict) = self.take_entries(from, &request) {
            self.out
                .refuse(from, token, ErrorCode::Internal, conflict.to_string());
            return Err(conflict);
        }
        // A leader's committed index says nothing about entries that this log does not have in common with its own.
        let allowed = match crate::bug!(self, CommitBeyondMatch) {
            true => request.committed,
            false => request.committed.min(matched),
        };
        self.commit_allowed = self.commit_allowed.max(allowed);
        self.commit_as_allowed();
        let last_index = request.entries.is_empty().then(|| self.log.last_index());
        let quiesced = self.quiesce(&request);
        let response = AppendResponse {
            term: self.hard_state.term,
            success: true,
            last_index,
            quiesced,
        };
        self.acknowledge_when_stable(matched, from, token, Body::AppendResponse(response));
        Ok(())
    }

    fn answer_append(&mut self, to: &PeerId, token: Token, success: bool, last_index: Option<u64>) {
        let response = AppendResponse {
            term: self.hard_state.term,
            success,
            last_index,
            quiesced: false,
        };
        self.out.answer(to, token, Body::AppendResponse(response));
    }

    /// Appends what this log lacks, and cuts what contradicts it.
    fn take_entries(&mut self, from: &PeerId, request: &AppendRequest) -> Result<(), StepError> {
        let compacted = self.log.compacted().index;
        let missing = request
            .entries
            .iter()
            .position(|entry| entry.id.index > compacted && !self.log.holds(entry.id));
        let Some(missing) = missing else {
            return Ok(());
        };
        let index = request.entries[missing].id.index;
        if index <= self.commit {
            return Err(StepError::CommittedConflict {
                from: from.clone(),
                index,
            });
        }
        if index <= self.log.last_index() {
            self.truncate_after(index - 1);
        }
        let mut changes = false;
        for entry in &request.entries[missing..] {
            changes |= matches!(entry.payload, crate::Payload::Configuration(_));
            self.log.append(entry.clone());
        }
        if changes {
            self.configuration_changed();
        }
        Ok(())
    }

    pub(crate) fn on_install_request(
        &mut self,
        from: &PeerId,
        token: Token,
        request: InstallRequest,
    ) -> Result<(), StepError> {
        let meta = &request.meta;
        let absurd = meta.last.index > INDEX_MAX
            || meta.last.term > request.term
            || meta.configuration.is_empty();
        if absurd {
            self.out
                .refuse(from, token, ErrorCode::Invalid, "absurd snapshot");
            return Err(StepError::Malformed {
                from: from.clone(),
                what: "an absurd snapshot",
            });
        }
        let accepted = self.accept_leader(from, token, request.term)?;
        // All of it may be here already.
        if !accepted || meta.last.index <= self.commit {
            let (term, success) = (self.hard_state.term, accepted);
            self.out
                .answer(from, token, Body::InstallResponse { term, success });
            return Ok(());
        }
        if self.fetch.is_some() {
            self.out.refuse(
                from,
                token,
                ErrorCode::Busy,
                "a snapshot is being installed",
            );
            return Ok(());
        }
        self.fetch = Some((token, from.clone(), meta.last));
        self.out.fetch = Some(Fetch {
            token,
            from: from.clone(),
            request,
        });
        Ok(())
    }

    /// The end of the snapshot that this fetch is about, while it is wanted.
    pub fn fetching(&self, token: Token) -> Option<crate::LogId> {
        self.fetch
            .as_ref()
            .filter(|(open, ..)| *open == token)
            .map(|(_, _, last)| *last)
    }

    /// The files of a fetch are here: from now until `snapshot_installed` or `snapshot_failed` nothing is handed out to be
    /// applied. False if the snapshot is of no use any more: entries beyond it were handed out meanwhile.
    pub fn begin_install(&mut self, token: Token) -> bool {
        let Some((_, from, last)) = &self.fetch else {
            return false;
        };
        let (from, last) = (from.clone(), *last);
        if self.fetch.as_ref().is_none_or(|(open, ..)| *open != token) {
            return false;
        }
        if self.handed_out() >= last.index {
            self.fetch = None;
            self.out.answer(
                &from,
                token,
                Body::InstallResponse {
                    term: self.hard_state.term,
                    success: true,
                },
            );
            return false;
        }
        self.pause_apply(true);
        true
    }

    /// The snapshot of a fetch is durable and loaded into the state machine, which stands at its end now.
    pub fn snapshot_installed(&mut self, token: Token, meta: crate::SnapshotMeta) {
        let Some((_, from, last)) = self.fetch.take_if(|(open, ..)| *open == token) else {
            return;
        };
        crate::invariant!(
            last == meta.last,
            "the snapshot that was offered is installed"
        );
        crate::invariant!(
            last.index > self.applied_index(),
            "a snapshot never takes the state machine back"
        );
        self.counters.snapshots_installed += 1;
        match self.log.holds(last) {
            true => self.compact_log(last.index.min(self.stable())),
            false => self.reset_log(last, meta.configuration),
        }
        self.jump_to(last.index);
        self.reset_deadline();
        let body = Body::InstallResponse {
            term: self.hard_state.term,
            success: true,
        };
        self.answer_after_write(&from, token, body);
    }

    /// A fetch came to nothing.
    pub fn snapshot_failed(&mut self, token: Token, why: &str) {
        if let Some((_, from, _)) = self.fetch.take_if(|(open, ..)| *open == token) {
            self.pause_apply(false);
            self.reset_deadline();
            self.out.refuse(&from, token, ErrorCode::Internal, why);
        }
    }
}

/// What no honest leader sends.
fn check(request: &AppendRequest, entry_bytes_max: usize) -> Result<(), &'static str> {
    if request.prev.index > INDEX_MAX || request.committed > INDEX_MAX || request.term > INDEX_MAX {
        return Err("an absurd index or term");
    }
    if request.prev.term > request.term || (request.prev.index == 0) != (request.prev.term == 0) {
        return Err("the entry before the first one cannot be");
    }
    let mut before = request.prev;
    for entry in &request.entries {
        if entry.id.index != before.index + 1 {
            return Err("entries with a gap");
        }
        if entry.id.term < before.term || entry.id.term > request.term {
            return Err("terms of entries that sink or lie in the future");
        }
        if entry.weight() > entry_bytes_max.saturating_add(64 << 10) {
            return Err("an entry that is too large");
        }
        before = entry.id;
    }
    Ok(())
}
