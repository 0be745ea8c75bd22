//! One member of one group: its state, and the way in and out.

use std::time::Duration;

use crate::config::Config;
use crate::configuration::Configuration;
use crate::durable::Disk;
use crate::entry::{Entry, LogId, Payload};
use crate::leader::Leader;
use crate::log::{Log, LogState};
use crate::message::{Body, ErrorCode, Outgoing, SnapshotMeta, Token};
use crate::peer::PeerId;
use crate::quiesce::Quiescence;
use crate::read::Reads;
use crate::ready::{Event, Fetch, HardState, Purpose, ReadBack, ReadReady, Ready, StepError};
use crate::time::{Random, Time};
use crate::{bug, invariant};

/// What a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows, or waits for a leader. Learners are followers too.
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Asks to be elected.
    Candidate,
    /// Leads.
    Leader,
}

/// What a member finds on its disk when it starts.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Term and vote.
    pub hard_state: HardState,
    /// The log.
    pub log: LogState,
    /// The snapshot that the state machine has loaded.
    pub snapshot: Option<SnapshotMeta>,
}

/// What was refused or unusual, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of StepError and Event say it")]
pub struct Counters {
    pub elections: u64,
    pub pre_votes: u64,
    pub step_downs_without_majority: u64,
    pub answers_without_request: u64,
    pub not_members: u64,
    pub malformed: u64,
    pub two_leaders: u64,
    pub committed_conflicts: u64,
    pub stale_terms: u64,
    pub rejected_appends: u64,
    pub followers_lost_log: u64,
    pub snapshots_offered: u64,
    pub snapshots_installed: u64,
    pub commit_messages: u64,
    pub changes: u64,
    pub transfers: u64,
}

/// Where a member stands, for people and metrics.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is doing.
    pub role: Role,
    /// The newest term it has seen.
    pub term: u64,
    /// The leader it knows.
    pub leader: Option<PeerId>,
    /// The last committed index it knows.
    pub committed: u64,
    /// The last index it has applied.
    pub applied: u64,
    /// The entry before its first one.
    pub compacted: LogId,
    /// Its last entry.
    pub last: LogId,
    /// Its last durable index.
    pub stable: u64,
    /// The members.
    pub configuration: Configuration,
    /// Of a leader: the others.
    pub peers: Vec<PeerStatus>,
    /// Whether it has fallen silent because there is nothing to do.
    pub quiesced: bool,
    /// Bytes of entries in memory.
    pub cache_bytes: usize,
    /// Counters.
    pub counters: Counters,
}

/// Where a leader's follower stands.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its name.
    pub peer: PeerId,
    /// The last index it is known to hold.
    pub matched: u64,
    /// `probe`, `replicate` or `snapshot`.
    pub state: &'static str,
    /// Requests on their way.
    pub inflight: usize,
    /// Since its last answer.
    pub silent: Duration,
}

/// One member of one group.
pub struct Raft {
    pub(crate) config: Config,
    pub(crate) now: Time,
    pub(crate) random: Random,
    pub(crate) hard_state: HardState,
    pub(crate) log: Log,
    pub(crate) role: Role,
    pub(crate) leader_id: Option<PeerId>,
    pub(crate) leader: Option<Box<Leader>>,
    /// Those who granted (pre-)votes in this election.
    pub(crate) votes: Vec<PeerId>,
    /// Requests of this election that are open.
    pub(crate) vote_tokens: Vec<(Token, PeerId)>,
    pub(crate) leader_contact: Option<Time>,
    /// Until then no vote is given, because a lease from before the start may still hold.
    pub(crate) abstain_until: Time,
    pub(crate) deadline: Time,
    /// Since its start it has neither led nor heard of a leader.
    pub(crate) fresh: bool,
    pub(crate) priority_wanted: u32,
    pub(crate) priority_rounds: u32,
    pub(crate) reads: Reads,
    pub(crate) commit: u64,
    /// The commit index that this term's leader allows: entries up to it agree with the leader's.
    pub(crate) commit_allowed: u64,
    pub(crate) fetch: Option<(Token, PeerId, LogId)>,
    pub(crate) counters: Counters,
    pub(crate) out: Out,
    pub(crate) disk: Disk,
    pub(crate) quiescence: Quiescence,
    apply: Apply,
}

#[derive(Default)]
struct Apply {
    applied: u64,
    handed: u64,
    reading: bool,
    /// Nothing is handed out while a snapshot is loaded.
    paused: bool,
    entries: Vec<Entry>,
}

/// What this turn sends and tells.
#[derive(Default)]
pub(crate) struct Out {
    next_token: u64,
    pub(crate) messages: Vec<Outgoing>,
    pub(crate) reads: Vec<ReadReady>,
    pub(crate) read_back: Vec<ReadBack>,
    pub(crate) offers: Vec<PeerId>,
    pub(crate) fetch: Option<Fetch>,
    pub(crate) events: Vec<Event>,
}

impl Out {
    /// The token that the next request will have.
    pub(crate) fn next_token(&self) -> Token {
        Token(self.next_token)
    }

    pub(crate) fn request(&mut self, to: &PeerId, body: Body) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.messages.push(Outgoing {
            to: to.clone(),
            token,
            body,
        });
        token
    }

    pub(crate) fn answer(&mut self, to: &PeerId, token: Token, body: Body) {
        self.messages.push(Outgoing {
            to: to.clone(),
            token,
            body,
        });
    }

    pub(crate) fn refuse(
        &mut self,
        to: &PeerId,
        token: Token,
        code: ErrorCode,
        message: impl Into<String>,
    ) {
        self.answer(
            to,
            token,
            Body::Error {
                code,
                message: message.into(),
            },
        );
    }
}

impl Raft {
    /// A member that starts at `now` with what its disk holds.
    pub fn new(config: Config, start: Start, now: Time) -> Self {
        let mut random = Random::new(config.seed);
        // Numbers begin at random and far below the end, so that an answer to a request of an earlier life matches none.
        let next_token = random.next() >> 2;
        let log = Log::new(start.log, config.initial.clone());
        let abstain_until = if config.lease_reads && !log.configuration().is_empty() {
            now + config.election_timeout
        } else {
            now
        };
        let compacted = log.compacted().index;
        let last = log.last_index();
        let commit = compacted;
        let disk = Disk {
            stable: last,
            next_sequence: 1,
            unwritten: last + 1,
            ..Disk::default()
        };
        let apply = Apply {
            applied: commit,
            handed: commit,
            ..Apply::default()
        };
        let mut raft = Self {
            now,
            random,
            hard_state: start.hard_state,
            log,
            role: Role::Follower,
            leader_id: None,
            leader: None,
            votes: Vec::new(),
            vote_tokens: Vec::new(),
            leader_contact: None,
            abstain_until,
            deadline: now,
            fresh: true,
            priority_wanted: 0,
            priority_rounds: 0,
            reads: Reads::default(),
            commit,
            commit_allowed: 0,
            fetch: None,
            counters: Counters::default(),
            out: Out {
                next_token,
                ..Out::default()
            },
            disk,
            quiescence: Quiescence::default(),
            apply,
            config,
        };
        if let Some(snapshot) = start.snapshot {
            raft.start_from(snapshot);
        }
        raft.priority_wanted = raft.log.configuration().priority_max();
        // Nobody else can lead a group of one: no reason to wait.
        if raft.log.configuration().peers != [raft.config.id.clone()] {
            raft.reset_deadline();
        }
        raft
    }

    fn start_from(&mut self, snapshot: SnapshotMeta) {
        let SnapshotMeta {
            last,
            configuration,
        } = snapshot;
        invariant!(
            last.index >= self.log.compacted().index,
            "entries are gone that the snapshot does not hold"
        );
        // A crash between loading a fetched snapshot and the write that makes the log begin after it.
        if !self.log.holds(last) {
            self.reset_log(last, configuration);
        }
        self.jump_to(last.index);
    }

    /// Time has come to `now`: timers that ended do their work.
    pub fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        if self.is_quiesced() {
            return;
        }
        if self.leader.is_some() {
            self.advance_leader();
        } else if self.now >= self.deadline {
            self.election_timer_ended();
        }
        self.advance_reads();
    }

    /// When `advance` has something to do at the latest.
    pub fn next_deadline(&self) -> Time {
        if self.is_quiesced() {
            return Time::NEVER;
        }
        let own = match &self.leader {
            Some(leader) => leader.next_deadline(self.now, self.commit, &self.config),
            None => self.deadline,
        };
        own.min(self.reads.next_deadline(&self.config))
    }

    /// A message has come from `from`, at the time of the last `advance`.
    /// # Errors
    /// It was not accepted; nothing changed but a counter. A request has been answered where an answer helps.
    pub fn step(&mut self, from: &PeerId, token: Token, body: Body) -> Result<(), StepError> {
        // A late answer to a heartbeat says nothing new.
        let silent = match &body {
            Body::AppendRequest(request) => request.quiesce,
            Body::AppendResponse(_) => true,
            _ => false,
        };
        if !silent {
            self.wake();
        }
        let result = match body {
            Body::VoteRequest(request) => self.on_vote_request(from, token, &request),
            Body::VoteResponse { term, granted } => {
                self.on_vote_response(from, token, term, granted)
            }
            Body::AppendRequest(request) => self.on_append_request(from, token, request),
            Body::AppendResponse(response) => self.on_append_response(from, token, &response),
            Body::InstallRequest(request) => self.on_install_request(from, token, request),
            Body::InstallResponse { term, success } => {
                self.on_install_response(from, token, term, success)
            }
            Body::TimeoutNowRequest { term } => self.on_timeout_now(from, token, term),
            Body::TimeoutNowResponse { term, .. } => {
                self.observe_term(term);
                Ok(())
            }
            Body::ReadIndexRequest { contexts } => {
                self.on_read_index_request(from, token, contexts.len())
            }
            Body::ReadIndexResponse { index, success } => {
                self.on_read_index_response(from, token, success.then_some(index))
            }
            Body::Error { code, .. } => self.on_error(from, token, code),
        };
        match &result {
            Ok(()) => {}
            Err(StepError::NoRequest(_)) => self.counters.answers_without_request += 1,
            Err(StepError::NotMember(_)) => self.counters.not_members += 1,
            Err(StepError::Malformed { .. }) => self.counters.malformed += 1,
            Err(StepError::TwoLeaders { .. }) => self.counters.two_leaders += 1,
            Err(StepError::CommittedConflict { .. }) => self.counters.committed_conflicts += 1,
        }
        result
    }

    /// A request will not be answered: its connection broke, or it timed out.
    pub fn unanswered(&mut self, to: &PeerId, token: Token) {
        let _ = self.on_error(to, token, ErrorCode::TimedOut);
    }

    fn on_error(&mut self, from: &PeerId, token: Token, _code: ErrorCode) -> Result<(), StepError> {
        if let Some(leader) = &mut self.leader
            && leader.failed(from, token, self.now + self.config.heartbeat_interval)
        {
            return Ok(());
        }
        if let Some(place) = self
            .vote_tokens
            .iter()
            .position(|(open, to)| *open == token && to == from)
        {
            self.vote_tokens.swap_remove(place);
            return Ok(());
        }
        self.on_read_index_response(from, token, None)
    }

    /// The state machine has applied everything up to `index`.
    pub fn applied(&mut self, index: u64) {
        invariant!(
            index <= self.apply.handed,
            "entry {index} was not handed out"
        );
        self.apply.applied = self.apply.applied.max(index);
    }

    /// Entries that were read back.
    pub fn entries_read(&mut self, purpose: &Purpose, entries: Vec<Entry>) {
        match purpose {
            Purpose::Send(peer) => self.send_read_back(peer, entries),
            Purpose::Apply => {
                self.apply.reading = false;
                let wanted = entries
                    .first()
                    .is_some_and(|entry| entry.id.index == self.apply.handed + 1);
                let agrees = entries
                    .iter()
                    .all(|entry| self.log.holds(entry.id) && entry.id.index <= self.commit);
                if wanted && agrees {
                    self.apply.entries = entries;
                }
            }
        }
    }

    /// The state machine's snapshot at `index` is durable: entries up to `index - keep` may go.
    pub fn compact(&mut self, index: u64, keep: u64) {
        let index = index
            .saturating_sub(keep)
            .min(self.apply.applied)
            .min(self.disk.stable);
        self.compact_log(index);
    }

    /// The members at `index`, and the term of its entry: what a snapshot of the state at `index` has to say.
    pub fn snapshot_meta(&self, index: u64) -> Option<SnapshotMeta> {
        let term = self.log.term_at(index)?;
        let configuration = Configuration::clone(self.log.configuration_at(index));
        Some(SnapshotMeta {
            last: LogId { term, index },
            configuration,
        })
    }

    /// Whether `ready` has anything new may only be seen by calling it.
    pub fn ready(&mut self) -> Ready {
        self.fan_out();
        let write = self.take_write();
        let mut messages = std::mem::take(&mut self.out.messages);
        if self.disk.hard_state_sequence > self.disk.hard_state_durable
            && !bug!(self, AcknowledgeUnsynced)
        {
            let needs = self.disk.hard_state_sequence;
            let early = |body: &Body| match body {
                Body::VoteRequest(request) => {
                    request.pre_vote || bug!(self, VoteRequestBeforePersist)
                }
                Body::VoteResponse { .. } => bug!(self, VoteAnswerBeforePersist),
                _ => false,
            };
            let (now, later): (Vec<_>, Vec<_>) = messages
                .into_iter()
                .partition(|message| early(&message.body));
            messages = now;
            self.disk
                .withheld
                .extend(later.into_iter().map(|message| (needs, message)));
        }
        let after_write = std::mem::take(&mut self.disk.after_write);
        match &write {
            Some(write) => self.disk.awaiting.extend(
                after_write
                    .into_iter()
                    .map(|message| (write.sequence, message)),
            ),
            None => messages.extend(after_write),
        }
        let apply = self.take_apply();
        self.log.evict(
            self.disk.stable.min(self.apply.applied),
            self.config.cache_bytes_max,
        );
        Ready {
            write,
            messages,
            apply,
            reads: std::mem::take(&mut self.out.reads),
            read_back: std::mem::take(&mut self.out.read_back),
            offers: std::mem::take(&mut self.out.offers),
            fetch: self.out.fetch.take(),
            events: std::mem::take(&mut self.out.events),
        }
    }

    fn take_apply(&mut self) -> Vec<Entry> {
        if self.apply.paused {
            return Vec::new();
        }
        let (low, high) = (
            self.apply.handed + 1,
            self.commit.min(self.log.last_index()),
        );
        let mut entries = std::mem::take(&mut self.apply.entries);
        if entries.is_empty()
            && low <= high
            && self.apply.applied == self.apply.handed
            && !self.apply.reading
        {
            match self
                .log
                .cached(low, high, usize::MAX, self.config.apply_bytes_max)
            {
                Some(cached) => entries = cached,
                None => {
                    self.apply.reading = true;
                    let bytes_max = self.config.apply_bytes_max;
                    let high = high.min(self.disk.stable);
                    self.out.read_back.push(ReadBack {
                        purpose: Purpose::Apply,
                        low,
                        high,
                        bytes_max,
                    });
                }
            }
        }
        for entry in &entries {
            invariant!(
                entry.id.index == self.apply.handed + 1,
                "entries are applied in order"
            );
            self.apply.handed = entry.id.index;
            if let Payload::Configuration(configuration) = &entry.payload {
                let configuration = configuration.clone();
                self.out.events.push(Event::Configuration {
                    index: entry.id.index,
                    configuration,
                });
            }
        }
        entries
    }

    /// Where this member stands.
    pub fn status(&self) -> Status {
        Status {
            role: self.role,
            term: self.hard_state.term,
            leader: self.leader_id.clone(),
            committed: self.commit,
            applied: self.apply.applied,
            compacted: self.log.compacted(),
            last: self.log.last_id(),
            stable: self.disk.stable,
            configuration: Configuration::clone(self.log.configuration()),
            peers: self
                .leader
                .as_ref()
                .map(|leader| leader.status(self.now))
                .unwrap_or_default(),
            quiesced: self.is_quiesced(),
            cache_bytes: self.log.cache_bytes(),
            counters: self.counters,
        }
    }

    /// Entries in its log, wherever they lie.
    pub fn log_entries(&self) -> usize {
        let entries = self.log.last_id().index - self.log.compacted().index;
        usize::try_from(entries).unwrap_or(usize::MAX)
    }

    /// Bytes of memory that its entries take.
    pub fn cache_memory(&self) -> usize {
        self.log.cache_memory()
    }

    /// Bytes of entries that this leader has proposed and not committed.
    pub fn uncommitted_bytes(&self) -> usize {
        self.leader.as_ref().map_or(0, |it| it.uncommitted_bytes())
    }

    /// Lets entries leave memory until they take at most `bytes_max`, as far as they are durable and applied. Whoever needs
    /// them again gets them from the disk.
    pub fn trim_cache(&mut self, bytes_max: usize) {
        let through = self.disk.stable.min(self.apply.applied);
        self.log.trim(through, bytes_max);
    }

    /// This member.
    pub fn id(&self) -> &PeerId {
        &self.config.id
    }

    /// What it is doing.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The newest term it has seen.
    pub fn term(&self) -> u64 {
        self.hard_state.term
    }

    /// The leader it knows.
    pub fn leader(&self) -> Option<&PeerId> {
        self.leader_id.as_ref()
    }

    /// The last committed index it knows.
    pub fn committed(&self) -> u64 {
        self.commit
    }

    /// The last index that it was told is applied.
    pub fn applied_index(&self) -> u64 {
        self.apply.applied
    }

    /// The members that count now.
    pub fn configuration(&self) -> &Configuration {
        self.log.configuration()
    }

    /// The term of the entry at `index`, where the log reaches.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.log.term_at(index)
    }

    /// Manual recovery after the loss of a majority: from now on `configuration` are the members, whatever the log says.
    /// What the lost members alone had committed is lost. The leader that these members elect writes it into the log.
    /// # Errors
    /// `configuration` has no voter.
    pub fn reset_peers(&mut self, configuration: Configuration) -> Result<(), crate::ChangeError> {
        if configuration.is_empty() {
            return Err(crate::ChangeError::Invalid("no voter"));
        }
        self.log.override_configuration(configuration.stable());
        self.become_follower(self.hard_state.term + 1, None);
        self.configuration_changed();
        Ok(())
    }

    pub(crate) fn last_id(&self) -> LogId {
        self.log.last_id()
    }

    pub(crate) fn reset_deadline(&mut self) {
        // Whoever starts asks soon whether there is a leader: if there is, its followers say no to the pre-vote.
        let timeout = if self.fresh {
            self.config.start_timeout
        } else {
            self.config.election_timeout
        };
        self.deadline = self.now + self.random.spread(timeout);
    }

    pub(crate) fn set_hard_state(&mut self, term: u64, vote: Option<PeerId>) {
        invariant!(term >= self.hard_state.term, "terms never sink");
        self.hard_state = HardState { term, vote };
        self.disk.hard_state_dirty = true;
    }

    /// What held in the old term alone ends.
    pub(crate) fn enter_term(&mut self, term: u64, vote: Option<PeerId>) {
        self.set_hard_state(term, vote);
        self.commit_allowed = 0;
        self.refuse_acknowledgements();
    }

    /// Follows `leader`, or nobody, in `term`.
    pub(crate) fn become_follower(&mut self, term: u64, leader: Option<PeerId>) {
        let changed =
            self.role != Role::Follower || self.hard_state.term != term || self.leader_id != leader;
        if term > self.hard_state.term {
            self.enter_term(term, None);
        }
        self.wake();
        self.end_leadership();
        self.votes.clear();
        self.vote_tokens.clear();
        self.role = Role::Follower;
        self.leader_id = leader;
        self.reset_deadline();
        if changed {
            self.tell_role();
        }
    }

    pub(crate) fn tell_role(&mut self) {
        let (role, term, leader) = (self.role, self.hard_state.term, self.leader_id.clone());
        self.out.events.push(Event::Role { role, term, leader });
    }

    /// A higher term ends whatever this member was doing.
    pub(crate) fn observe_term(&mut self, term: u64) {
        if term > self.hard_state.term {
            self.become_follower(term, None);
        }
    }

    pub(crate) fn append(&mut self, payload: Payload) -> LogId {
        let id = LogId {
            term: self.hard_state.term,
            index: self.log.last_index() + 1,
        };
        let changes = matches!(payload, Payload::Configuration(_));
        self.log.append(Entry { id, payload });
        if changes {
            self.configuration_changed();
        }
        id
    }

    /// The state machine stands at a loaded snapshot.
    pub(crate) fn jump_to(&mut self, index: u64) {
        self.commit = self.commit.max(index);
        self.apply = Apply {
            applied: index,
            handed: index,
            ..Apply::default()
        };
    }

    pub(crate) fn handed_out(&self) -> u64 {
        self.apply.handed
    }

    pub(crate) fn pause_apply(&mut self, paused: bool) {
        self.apply.paused = paused;
    }

    /// A follower commits what its leader allows, as far as it is durable here.
    pub(crate) fn commit_as_allowed(&mut self) {
        let commit = match bug!(self, CommitBeyondMatch) {
            true => self.commit_allowed.min(self.log.last_index()),
            false => self.commit_allowed.min(self.disk.stable),
        };
        self.commit = self.commit.max(commit);
    }

    pub(crate) fn configuration_changed(&mut self) {
        self.priority_wanted = self.log.configuration().priority_max();
        self.priority_rounds = 0;
        self.sync_progress();
    }
}
