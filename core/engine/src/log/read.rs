//! Reads: the engine tells where the log ends, and a read is answered once this node has applied as much. That holds on every
//! node alike: an owner that answered from what it knows might not have heard yet that its last block stands there, although
//! another node has shown it to a reader.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Log, Role, Step};

#[derive(Debug, Default)]
pub(super) struct Reads {
    /// For the next look.
    waiting: Vec<u64>,
    /// Asked for by the look that is under way.
    flying: Vec<u64>,
    /// Block that must be next, when to give up, ticket.
    barriers: VecDeque<(u64, Duration, u64)>,
}

impl Reads {
    fn len(&self) -> usize {
        self.waiting.len() + self.flying.len() + self.barriers.len()
    }

    pub(super) fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A look was asked for.
    pub(super) fn sent(&mut self) {
        self.flying.append(&mut self.waiting);
    }

    pub(super) fn next_deadline(&self) -> Duration {
        self.barriers.front().map_or(Duration::MAX, |it| it.1)
    }

    pub(super) fn all(&mut self) -> Vec<u64> {
        let mut all = std::mem::take(&mut self.waiting);
        all.append(&mut self.flying);
        all.extend(self.barriers.drain(..).map(|(.., ticket)| ticket));
        all
    }
}

impl Log {
    /// Wants to read; [`Step::Read`] with the `ticket` tells when the state is recent enough.
    pub fn read(&mut self, ticket: u64) {
        match self.failed || self.reads.len() >= self.config.reads_max {
            true => self.steps.push(Step::Read {
                ticket,
                confirmed: false,
            }),
            false => self.reads.waiting.push(ticket),
        }
    }

    pub(super) fn drive_reads(&mut self) {
        if let Role::Leading(lead) = &self.role
            && self.config.lease_reads
            // Others take at once what is resigned.
            && !self.leaves()
            && lead.holds(self.config.lease, self.now)
        {
            let next = lead.end().unwrap_or(self.position.next);
            let waiting = std::mem::take(&mut self.reads.waiting);
            self.wait_for(next, waiting);
        }
        while let Some((_, until, ticket)) = self.reads.barriers.front()
            && *until <= self.now
        {
            let ticket = *ticket;
            self.reads.barriers.pop_front();
            self.steps.push(Step::Read {
                ticket,
                confirmed: false,
            });
        }
    }

    pub(super) fn confirm_reads(&mut self, next: u64) {
        let flying = std::mem::take(&mut self.reads.flying);
        self.wait_for(next, flying);
    }

    fn wait_for(&mut self, next: u64, tickets: Vec<u64>) {
        let until = self.now + self.config.lease * 2;
        let barriers = tickets.into_iter().map(|ticket| (next, until, ticket));
        self.reads.barriers.extend(barriers);
        self.release_reads();
    }

    /// Answers the reads for which enough is applied.
    pub(super) fn release_reads(&mut self) {
        while let Some((_, _, ticket)) = self
            .reads
            .barriers
            .pop_front_if(|(next, ..)| *next <= self.position.next)
        {
            self.steps.push(Step::Read {
                ticket,
                confirmed: true,
            });
        }
    }

    pub(super) fn reads_not_confirmed(&mut self) {
        for ticket in std::mem::take(&mut self.reads.flying) {
            self.steps.push(Step::Read {
                ticket,
                confirmed: false,
            });
        }
    }
}
