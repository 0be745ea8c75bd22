//! What a leader knows of one follower, and how it sends to it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Config;
use crate::entry::{Entry, LogId};
use crate::log::Log;
use crate::message::{AppendRequest, Body, Token};
use crate::peer::PeerId;
use crate::raft::Out;
use crate::ready::{Purpose, ReadBack};
use crate::time::Time;

/// How a follower is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its log may differ: one request at a time until one succeeds.
    Probe,
    /// Requests follow each other without waiting.
    Replicate,
    /// It needs a snapshot: offered, or about to be.
    Snapshot,
}

#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) peer: PeerId,
    pub(crate) state: State,
    /// It durably holds the leader's log up to here.
    pub(crate) matched: u64,
    /// The next entry to send.
    pub(crate) next: u64,
    pub(crate) inflight: VecDeque<Inflight>,
    inflight_bytes: usize,
    /// The committed index that it can know from what was sent.
    commit_sent: u64,
    /// When it is to be told of a commit, unless entries tell it before; never while there is nothing to tell.
    notice_due: Time,
    heartbeat: Option<Inflight>,
    pub(crate) heartbeat_due: Time,
    retry_at: Time,
    /// How far the next refusal without a useful hint goes back.
    back: u64,
    probe_carries_entries: bool,
    reading: bool,
    pub(crate) install: Option<(Token, Time, LogId)>,
    /// When the newest answered request was sent.
    pub(crate) acked_sent: Time,
    pub(crate) acked_token: Token,
    last_sent: Token,
    pub(crate) heard: Time,
    /// When the newest heartbeat left in answer to which it fell silent.
    pub(crate) quiesced: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Inflight {
    pub(crate) token: Token,
    pub(crate) prev: u64,
    pub(crate) count: u64,
    bytes: usize,
    pub(crate) sent: Time,
}

/// What sending needs to know of the member.
pub(crate) struct View<'a> {
    pub(crate) log: &'a Log,
    pub(crate) config: &'a Config,
    pub(crate) term: u64,
    pub(crate) commit: u64,
    pub(crate) stable: u64,
    pub(crate) now: Time,
    /// Heartbeats ask to fall silent.
    pub(crate) quiesce: bool,
}

impl Progress {
    pub(crate) fn new(peer: PeerId, next: u64, now: Time) -> Self {
        Self {
            peer,
            state: State::Probe,
            matched: 0,
            next,
            inflight: VecDeque::new(),
            inflight_bytes: 0,
            commit_sent: 0,
            notice_due: Time::NEVER,
            heartbeat: None,
            heartbeat_due: now,
            retry_at: Time(0),
            back: 1,
            probe_carries_entries: true,
            reading: false,
            install: None,
            acked_sent: Time(0),
            last_sent: Token(0),
            acked_token: Token(0),
            heard: now,
            quiesced: None,
        }
    }

    /// Sends what may be sent. Returns whether a request for entries left.
    pub(crate) fn replicate(&mut self, view: &View<'_>, out: &mut Out) -> bool {
        let mut sent = false;
        loop {
            let more = match self.state {
                State::Snapshot => false,
                State::Probe => {
                    self.inflight.is_empty() && !self.reading && view.now >= self.retry_at
                }
                State::Replicate => {
                    self.next <= view.log.last_index()
                        && self.inflight.len() < view.config.inflight_messages_max
                        && self.inflight_bytes < view.config.inflight_bytes_max
                        && !self.reading
                }
            };
            if !more || !self.send_next(view, out) {
                return sent;
            }
            sent = true;
        }
    }

    fn send_next(&mut self, view: &View<'_>, out: &mut Out) -> bool {
        let Some(prev_term) = view.log.term_at(self.next - 1) else {
            self.state = State::Snapshot;
            self.forget_inflight();
            out.offers.push(self.peer.clone());
            return false;
        };
        let entries = if self.state == State::Replicate || self.probe_carries_entries {
            let config = view.config;
            let last = view.log.last_index();
            let cached = view.log.cached(
                self.next,
                last,
                config.message_entries_max,
                config.message_bytes_max,
            );
            let Some(entries) = cached else {
                let high = view
                    .stable
                    .min(self.next + config.message_entries_max as u64 - 1);
                self.reading = true;
                let purpose = Purpose::Send(self.peer.clone());
                out.read_back.push(ReadBack {
                    purpose,
                    low: self.next,
                    high,
                    bytes_max: config.message_bytes_max,
                });
                return false;
            };
            entries
        } else {
            Vec::new()
        };
        self.send(view, out, prev_term, entries);
        true
    }

    fn send(&mut self, view: &View<'_>, out: &mut Out, prev_term: u64, entries: Vec<Entry>) {
        let prev = LogId {
            term: prev_term,
            index: self.next - 1,
        };
        let count = entries.len() as u64;
        let bytes = entries.iter().map(Entry::weight).sum();
        let request = AppendRequest {
            term: view.term,
            prev,
            committed: view.commit,
            entries,
            heartbeat: false,
            quiesce: false,
        };
        let token = out.request(&self.peer, Body::AppendRequest(request));
        self.last_sent = token;
        self.inflight.push_back(Inflight {
            token,
            prev: prev.index,
            count,
            bytes,
            sent: view.now,
        });
        self.inflight_bytes += bytes;
        self.commit_sent = self.commit_sent.max(view.commit.min(prev.index + count));
        self.notice_due = Time::NEVER;
        if self.state == State::Replicate {
            self.next += count;
        }
    }

    /// Entries that were read back for this follower, if they are still the next ones.
    pub(crate) fn send_read_back(
        &mut self,
        view: &View<'_>,
        out: &mut Out,
        mut entries: Vec<Entry>,
    ) {
        self.reading = false;
        entries.truncate(view.config.message_entries_max);
        let next = entries
            .first()
            .is_some_and(|entry| entry.id.index == self.next);
        let current = entries.iter().all(|entry| view.log.holds(entry.id));
        let wanted = match self.state {
            State::Replicate => true,
            State::Probe => self.inflight.is_empty() && self.probe_carries_entries,
            State::Snapshot => false,
        };
        if let Some(prev_term) = view.log.term_at(self.next - 1)
            && next
            && current
            && wanted
        {
            self.send(view, out, prev_term, entries);
        }
    }

    /// A heartbeat says that the leader lives, and what is committed of what this follower holds. At most one is on its way.
    pub(crate) fn send_heartbeat(&mut self, view: &View<'_>, out: &mut Out) {
        // What is compacted cannot be named: the beginning always agrees.
        let prev = match view.log.term_at(self.matched) {
            Some(term) => LogId {
                term,
                index: self.matched,
            },
            None => LogId::default(),
        };
        let request = AppendRequest {
            term: view.term,
            prev,
            committed: view.commit,
            entries: Vec::new(),
            heartbeat: true,
            quiesce: view.quiesce,
        };
        let token = out.request(&self.peer, Body::AppendRequest(request));
        self.last_sent = token;
        self.heartbeat = Some(Inflight {
            token,
            prev: prev.index,
            count: 0,
            bytes: 0,
            sent: view.now,
        });
        self.heartbeat_due = view.now + view.config.heartbeat_interval;
        self.commit_sent = self.commit_sent.max(view.commit.min(prev.index));
        self.notice_due = Time::NEVER;
    }

    pub(crate) fn heartbeat_under_way(&self, view: &View<'_>) -> bool {
        self.heartbeat
            .is_some_and(|sent| view.now.since(sent.sent) < view.config.heartbeat_interval)
    }

    /// Whether this follower holds committed entries that it cannot know to be committed.
    pub(crate) fn wants_commit(&self, commit: u64) -> bool {
        self.state == State::Replicate && commit.min(self.matched) > self.commit_sent
    }

    /// Whether it is time to tell this follower of a commit. The first time that it is asked after a commit it is, or will be after
    /// the delay.
    pub(crate) fn is_to_be_told(&mut self, view: &View<'_>) -> bool {
        if !self.wants_commit(view.commit) {
            return false;
        }
        self.notice_due = self.notice_due.min(view.now + view.config.commit_delay);
        view.now >= self.notice_due
    }

    /// No delay for what this follower is to be told.
    pub(crate) fn tell_at_once(&mut self) {
        self.notice_due = Time(0);
    }

    /// When it is to be told of what is committed.
    pub(crate) fn notice_due(&self, commit: u64) -> Time {
        // While a heartbeat is on its way, its answer or the next one comes first.
        match self.heartbeat.is_none() && self.wants_commit(commit) {
            true => self.notice_due,
            false => Time::NEVER,
        }
    }

    /// The newest request.
    pub(crate) fn last_sent(&self) -> Token {
        self.last_sent
    }

    /// Takes the request that `token` names off the way, and those before it: answers may overtake each other, and a
    /// later success speaks for the earlier ones.
    pub(crate) fn take_inflight(&mut self, token: Token) -> Option<Inflight> {
        let place = self
            .inflight
            .iter()
            .position(|inflight| inflight.token == token)?;
        let mut taken = None;
        for inflight in self.inflight.drain(..=place) {
            self.inflight_bytes -= inflight.bytes;
            taken = Some(inflight);
        }
        taken
    }

    pub(crate) fn take_heartbeat(&mut self, token: Token) -> Option<Inflight> {
        self.heartbeat.take_if(|heartbeat| heartbeat.token == token)
    }

    /// It answered a request of the current term.
    pub(crate) fn answered(&mut self, inflight: Inflight, now: Time) {
        self.heard = now;
        self.acked_sent = self.acked_sent.max(inflight.sent);
        self.acked_token = self.acked_token.max(inflight.token);
    }

    pub(crate) fn succeeded(&mut self, inflight: Inflight) {
        self.matched = self.matched.max(inflight.prev + inflight.count);
        self.next = self.next.max(self.matched + 1);
        self.back = 1;
        if self.state == State::Probe {
            self.state = State::Replicate;
        }
    }

    /// Its log does not hold `inflight.prev`. `hint`: its last index, or the last one that may agree.
    /// Returns whether it has lost what it had acknowledged.
    pub(crate) fn refused(&mut self, inflight: Inflight, hint: u64) -> bool {
        let lost = hint < self.matched;
        if lost {
            self.matched = 0;
            self.commit_sent = 0;
        }
        // JRaft's followers name the end of their log even where the disagreement lies far before it: go back in
        // growing steps instead of one by one.
        let behind_hint = (hint + 1).min(inflight.prev);
        let next = if hint >= inflight.prev {
            inflight.prev.saturating_sub(self.back - 1)
        } else {
            behind_hint
        };
        self.back = if hint >= inflight.prev {
            self.back.saturating_mul(2)
        } else {
            1
        };
        // Empty probes from here on, until one succeeds.
        self.state = State::Probe;
        self.next = next.max(self.matched + 1);
        self.probe(Time(0), false);
        lost
    }

    pub(crate) fn probe(&mut self, retry_at: Time, carries_entries: bool) {
        if self.state == State::Replicate {
            self.next = self
                .next
                .min(
                    self.inflight
                        .front()
                        .map_or(self.next, |first| first.prev + 1),
                )
                .max(self.matched + 1);
        }
        self.state = State::Probe;
        self.retry_at = retry_at;
        self.probe_carries_entries = carries_entries;
        self.install = None;
        self.forget_inflight();
    }

    fn forget_inflight(&mut self) {
        self.inflight.clear();
        self.inflight_bytes = 0;
    }

    /// A heartbeat was answered. What was sent well before it and has no answer, although the follower's log does not even reach
    /// there, was lost on the way: no need to wait until it times out.
    pub(crate) fn suspect_loss(
        &mut self,
        heartbeat: Inflight,
        last_index: Option<u64>,
        now: Time,
        interval: Duration,
    ) {
        let Some(oldest) = self.inflight.front() else {
            return;
        };
        let overdue = oldest.token < heartbeat.token && now.since(oldest.sent) > interval * 2;
        let missing = last_index.is_some_and(|last| last < oldest.prev + oldest.count);
        if overdue && (missing || self.state == State::Probe) {
            self.probe(Time(0), false);
        }
    }

    /// A request failed: the connection broke, it timed out, the follower was busy. Returns whether it was one of these.
    pub(crate) fn failed(&mut self, token: Token, retry_at: Time) -> bool {
        if self.take_heartbeat(token).is_some() {
            return true;
        }
        if self.install.is_some_and(|(open, ..)| open == token)
            || self.inflight.iter().any(|it| it.token == token)
        {
            self.probe(retry_at, false);
            return true;
        }
        false
    }

    pub(crate) fn installed(&mut self, last: u64) {
        self.matched = self.matched.max(last);
        self.next = self.matched + 1;
        self.install = None;
        self.state = State::Replicate;
    }

    pub(crate) fn offer_refused(&mut self, retry_at: Time) {
        if self.state == State::Snapshot {
            self.probe(retry_at, false);
        }
    }

    /// When the oldest request without an answer is given up.
    pub(crate) fn times_out_at(&self, config: &Config) -> Time {
        let append = self
            .inflight
            .front()
            .map_or(Time::NEVER, |first| first.sent + config.append_timeout);
        let install = self
            .install
            .map_or(Time::NEVER, |(_, sent, _)| sent + config.install_timeout);
        append.min(install)
    }

    /// When a paused probe goes on.
    pub(crate) fn retries_at(&self) -> Time {
        if self.state == State::Probe && self.inflight.is_empty() {
            self.retry_at
        } else {
            Time::NEVER
        }
    }
}
