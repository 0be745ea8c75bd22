//! What a member asks of its disk, and what waits until it is done.

use std::collections::VecDeque;

use crate::configuration::Configuration;
use crate::entry::LogId;
use crate::message::{Body, ErrorCode, Outgoing, Token};
use crate::peer::PeerId;
use crate::raft::Raft;
use crate::ready::Write;
use crate::{bug, invariant};

pub(crate) const FULL: &str = "the disk is full";

/// What has been asked of the disk.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) stable: u64,
    pub(crate) next_sequence: u64,
    pub(crate) hard_state_dirty: bool,
    pub(crate) hard_state_sequence: u64,
    /// Terms and votes of all writes up to this one are durable; entries may lag behind while the disk is full.
    pub(crate) hard_state_durable: u64,
    /// Entries are refused until there is room.
    pub(crate) full: bool,
    /// Writes under way: sequence, and the last index of the log they make durable.
    pub(crate) writes: VecDeque<(u64, u64)>,
    pub(crate) unwritten: u64,
    pub(crate) reset: Option<LogId>,
    pub(crate) compact: Option<LogId>,
    /// Messages that wait for the term and vote of a write.
    pub(crate) withheld: VecDeque<(u64, Outgoing)>,
    /// Answers that wait for all of a write.
    pub(crate) awaiting: VecDeque<(u64, Outgoing)>,
    /// Answers for appended entries that wait until the log is durable up to an index.
    pub(crate) acknowledgements: VecDeque<(u64, Outgoing)>,
    /// Answers that wait for the write of this turn.
    pub(crate) after_write: Vec<Outgoing>,
}

impl Raft {
    pub(crate) fn stable(&self) -> u64 {
        self.disk.stable
    }

    pub(crate) fn take_write(&mut self) -> Option<Write> {
        let disk = &mut self.disk;
        let last = self.log.last_index();
        let append = match disk.unwritten <= last {
            true => self
                .log
                .cached(disk.unwritten, last, usize::MAX, usize::MAX),
            false => None,
        };
        if !disk.hard_state_dirty
            && append.is_none()
            && disk.reset.is_none()
            && disk.compact.is_none()
        {
            return None;
        }
        let sequence = disk.next_sequence;
        disk.next_sequence += 1;
        let hard_state = disk.hard_state_dirty.then(|| self.hard_state.clone());
        if hard_state.is_some() {
            disk.hard_state_dirty = false;
            disk.hard_state_sequence = sequence;
        }
        disk.unwritten = last + 1;
        disk.writes.push_back((sequence, last));
        Some(Write {
            sequence,
            hard_state,
            reset: disk.reset.take(),
            append: append.unwrap_or_default(),
            compact: disk.compact.take(),
        })
    }

    /// The write `sequence` and all before it are on stable storage.
    pub fn persisted(&mut self, sequence: u64) {
        invariant!(
            sequence < self.disk.next_sequence,
            "write {sequence} was never asked for"
        );
        while let Some((_, last)) = self
            .disk
            .writes
            .pop_front_if(|(written, _)| *written <= sequence)
        {
            self.disk.stable = self.disk.stable.max(last);
        }
        while let Some((_, message)) = self
            .disk
            .awaiting
            .pop_front_if(|(needs, _)| *needs <= sequence)
        {
            self.out.messages.push(message);
        }
        self.hard_state_persisted(sequence);
        self.release_acknowledgements();
        match self.leader {
            Some(_) => self.advance_commit(),
            None => self.commit_as_allowed(),
        }
    }

    /// Term and vote of the write `sequence` and all before it are on stable storage, but not all their entries: the disk is
    /// full. What was written ahead of them is not in the way of what they still write.
    pub fn hard_state_persisted(&mut self, sequence: u64) {
        invariant!(
            sequence < self.disk.next_sequence,
            "write {sequence} was never asked for"
        );
        let disk = &mut self.disk;
        disk.hard_state_durable = disk.hard_state_durable.max(sequence);
        while let Some((_, message)) = disk.withheld.pop_front_if(|(needs, _)| *needs <= sequence) {
            self.out.messages.push(message);
        }
        if self.disk.hard_state_durable >= self.disk.hard_state_sequence
            && !self.disk.hard_state_dirty
        {
            self.count_own_vote();
        }
    }

    /// The disk takes no more entries, or takes them again. While it is full a follower tells its leader to try later, and a
    /// leader refuses proposals and hands leadership on if the others show that they can commit without its disk.
    pub fn disk_full(&mut self, full: bool) {
        self.disk.full = full;
        if full {
            for (_, message) in std::mem::take(&mut self.disk.acknowledgements) {
                self.out
                    .refuse(&message.to, message.token, ErrorCode::Busy, FULL);
            }
        }
    }

    pub(crate) fn truncate_after(&mut self, last: u64) {
        invariant!(
            last >= self.commit,
            "committed entry {} would be cut at {last}",
            self.commit
        );
        self.log.truncate_after(last);
        let disk = &mut self.disk;
        disk.stable = disk.stable.min(last);
        disk.unwritten = disk.unwritten.min(last + 1);
        for (_, written) in &mut disk.writes {
            *written = (*written).min(last);
        }
        self.configuration_changed();
    }

    /// The log begins anew after a snapshot that is durable and loaded.
    pub(crate) fn reset_log(&mut self, last: LogId, configuration: Configuration) {
        let stale = bug!(self, StaleAfterSnapshot) && self.log.configuration_index() > self.commit;
        let stale = stale.then(|| self.configuration().clone());
        self.log.reset(last, configuration);
        if let Some(stale) = stale {
            self.log.override_configuration(stale);
        }
        let disk = &mut self.disk;
        disk.reset = Some(last);
        disk.compact = None;
        disk.unwritten = last.index + 1;
        disk.stable = last.index;
        disk.writes.iter_mut().for_each(|(_, written)| *written = 0);
        self.configuration_changed();
    }

    pub(crate) fn compact_log(&mut self, index: u64) {
        if let Some(compacted) = self.log.compact(index) {
            self.disk.compact = Some(compacted);
        }
    }

    pub(crate) fn answer_after_write(&mut self, to: &PeerId, token: Token, body: Body) {
        self.disk.after_write.push(Outgoing {
            to: to.clone(),
            token,
            body,
        });
    }

    pub(crate) fn acknowledge_when_stable(
        &mut self,
        index: u64,
        to: &PeerId,
        token: Token,
        body: Body,
    ) {
        // A heartbeat's answer never waits behind those of entries whose disk is slow.
        if index <= self.disk.stable || bug!(self, AcknowledgeUnsynced) {
            self.out.answer(to, token, body);
        } else if self.disk.full {
            self.out.refuse(to, token, ErrorCode::Busy, FULL);
        } else {
            self.disk.acknowledgements.push_back((
                index,
                Outgoing {
                    to: to.clone(),
                    token,
                    body,
                },
            ));
        }
    }

    fn release_acknowledgements(&mut self) {
        let stable = if bug!(self, AcknowledgeUnsynced) {
            u64::MAX
        } else {
            self.disk.stable
        };
        while let Some((_, message)) = self
            .disk
            .acknowledgements
            .pop_front_if(|(needs, _)| *needs <= stable)
        {
            self.out.messages.push(message);
        }
    }

    /// The term ended before these entries were durable: their old leader must not count them.
    pub(crate) fn refuse_acknowledgements(&mut self) {
        let term = self.hard_state.term;
        for (_, message) in self.disk.acknowledgements.drain(..) {
            let body = Body::AppendResponse(crate::AppendResponse {
                term,
                success: false,
                last_index: None,
                quiesced: false,
            });
            self.out.messages.push(Outgoing { body, ..message });
        }
    }
}
