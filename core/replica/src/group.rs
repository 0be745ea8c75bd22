//! One group: its Raft member, and everybody who waits for it.

use std::collections::BTreeMap;

use bytes::Bytes;
use diwan_raft::{Entry, Event, LogId, Outgoing, ProposeError, Raft, ReadBack, Role, Time, Write};

use crate::budget::Held;
use crate::outcome::{Outcome, ReadOutcome};

/// One member of a group and those who wait for it.
pub struct Group {
    raft: Raft,
    /// Proposals without an outcome, by index: term, ticket.
    proposals: BTreeMap<u64, (u64, u64)>,
    /// When what a lost leadership left open is given up as unknown.
    unknown_at: Time,
    /// Reads whose index is known and not yet applied: by index, contexts.
    reads: BTreeMap<u64, Vec<u64>>,
    outcomes: Vec<(u64, Outcome)>,
    finished_reads: Vec<(u64, ReadOutcome)>,
}

/// A committed entry to be applied.
#[derive(Clone, Debug)]
pub struct Apply {
    /// The entry.
    pub entry: Entry,
    /// Of an entry that was proposed here: who waits for it. Its outcome is [`Outcome::Committed`].
    pub ticket: Option<u64>,
}

/// All that one turn of a group asks for: [`diwan_raft::Ready`] with waiting proposals and reads resolved.
#[derive(Debug, Default)]
pub struct GroupReady {
    /// To be made durable; answer with `persisted`.
    pub write: Option<Write>,
    /// To be sent.
    pub messages: Vec<Outgoing>,
    /// To be applied in order; answer with `applied`.
    pub apply: Vec<Apply>,
    /// Proposals that ended without being applied here: ticket and how.
    pub outcomes: Vec<(u64, Outcome)>,
    /// Reads that may be served from the state machine as it is now, or that failed: context and how.
    pub reads: Vec<(u64, ReadOutcome)>,
    /// To be read from the disk; answer with `Raft::entries_read`.
    pub read_back: Vec<ReadBack>,
    /// Followers that need a snapshot.
    pub offers: Vec<diwan_raft::PeerId>,
    /// A snapshot to fetch and load.
    pub fetch: Option<diwan_raft::Fetch>,
    /// What happened.
    pub events: Vec<Event>,
}

impl GroupReady {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.write.is_none()
            && self.messages.is_empty()
            && self.apply.is_empty()
            && self.outcomes.is_empty()
            && self.reads.is_empty()
            && self.read_back.is_empty()
            && self.offers.is_empty()
            && self.fetch.is_none()
            && self.events.is_empty()
    }
}

impl Group {
    /// A group around its member.
    pub fn new(raft: Raft) -> Self {
        Self {
            raft,
            proposals: BTreeMap::new(),
            unknown_at: Time::NEVER,
            reads: BTreeMap::new(),
            outcomes: Vec::new(),
            finished_reads: Vec::new(),
        }
    }

    /// The member.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The member, for messages, completed writes and the operator's wishes. Time goes through [`Group::advance`],
    /// applied entries through [`Group::applied`].
    pub fn raft_mut(&mut self) -> &mut Raft {
        &mut self.raft
    }

    /// Time has come to `now`.
    pub fn advance(&mut self, now: Time) {
        self.raft.advance(now);
        if now >= self.unknown_at {
            self.unknown_at = Time::NEVER;
            if self.raft.role() != Role::Leader {
                self.give_up_proposals(u64::MAX);
            }
        }
    }

    /// When `advance` has something to do at the latest.
    pub fn next_deadline(&self) -> Time {
        self.raft.next_deadline().min(self.unknown_at)
    }

    /// Proposes `data`; `ticket` comes back with its outcome.
    /// # Errors
    /// It is not in the log and never will be.
    pub fn propose(&mut self, data: Bytes, ticket: u64) -> Result<LogId, ProposeError> {
        let id = self.raft.propose(data)?;
        if let Some((_, lost)) = self.proposals.insert(id.index, (id.term, ticket)) {
            // An entry of an earlier leadership stood there: it was cut.
            self.outcomes.push((lost, Outcome::NotCommitted));
        }
        Ok(id)
    }

    /// What it holds in memory.
    pub fn held(&self) -> Held {
        Held {
            cache_bytes: self.raft.cache_memory(),
            uncommitted_bytes: self.raft.uncommitted_bytes(),
            proposals: self.proposals.len(),
            log_entries: self.raft.log_entries(),
        }
    }

    /// Proposals without an outcome.
    pub fn proposals_open(&self) -> usize {
        self.proposals.len()
    }

    /// A linearizable read: once `context` comes back without an error, the state machine may be read.
    pub fn read(&mut self, context: u64) {
        self.raft.read_index(context);
    }

    /// The state machine has applied everything up to `index`.
    pub fn applied(&mut self, index: u64) {
        self.raft.applied(index);
        let applied = self.raft.applied_index();
        let later = self.reads.split_off(&(applied + 1));
        for context in std::mem::replace(&mut self.reads, later)
            .into_values()
            .flatten()
        {
            self.finished_reads.push((context, Ok(())));
        }
    }

    /// A fetched snapshot is durable and loaded.
    pub fn snapshot_installed(&mut self, token: diwan_raft::Token, meta: diwan_raft::SnapshotMeta) {
        let index = meta.last.index;
        self.raft.snapshot_installed(token, meta);
        // Whether these are among what the snapshot holds cannot be told.
        self.give_up_proposals(index);
        self.applied(index);
    }

    fn give_up_proposals(&mut self, through: u64) {
        let later = if through == u64::MAX {
            BTreeMap::new()
        } else {
            self.proposals.split_off(&(through + 1))
        };
        for (_, ticket) in std::mem::replace(&mut self.proposals, later).into_values() {
            self.outcomes.push((ticket, Outcome::Unknown));
        }
    }

    /// What this turn asks for.
    pub fn ready(&mut self, unknown_after: std::time::Duration, now: Time) -> GroupReady {
        let ready = self.raft.ready();
        for event in &ready.events {
            if let Event::Role { role, .. } = event
                && *role != Role::Leader
                && !self.proposals.is_empty()
            {
                self.unknown_at = self.unknown_at.min(now + unknown_after);
            }
        }
        let apply = ready
            .apply
            .into_iter()
            .map(|entry| self.match_proposal(entry))
            .collect();
        for read in ready.reads {
            match read.index {
                Ok(index) if index > self.raft.applied_index() => {
                    self.reads.entry(index).or_default().push(read.context)
                }
                outcome => self
                    .finished_reads
                    .push((read.context, outcome.map(|_| ()))),
            }
        }
        GroupReady {
            write: ready.write,
            messages: ready.messages,
            apply,
            outcomes: std::mem::take(&mut self.outcomes),
            reads: std::mem::take(&mut self.finished_reads),
            read_back: ready.read_back,
            offers: ready.offers,
            fetch: ready.fetch,
            events: ready.events,
        }
    }

    fn match_proposal(&mut self, entry: Entry) -> Apply {
        let ticket = match self.proposals.remove(&entry.id.index) {
            Some((term, ticket)) if term == entry.id.term => Some(ticket),
            Some((_, ticket)) => {
                self.outcomes.push((ticket, Outcome::NotCommitted));
                None
            }
            None => None,
        };
        Apply { entry, ticket }
    }
}
