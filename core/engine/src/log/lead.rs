//! Owning the log: one block on its way to the engine at a time, while the next one gathers.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::{Ask, Leadership, Log, Outcome, Refusal, Role, Step};
use crate::block::{BLOCK_BYTES, Block, COMMAND_BYTES};
use crate::{Failure, Request, Seen};

/// The engine is asked again for space after so long.
const NO_SPACE_PAUSE: Duration = Duration::from_secs(1);

/// This node owns the log.
#[derive(Debug)]
pub(super) struct Lead {
    nonce: u64,
    pub(super) term: u64,
    stage: Stage,
    /// The first request asked for after the log was taken.
    after: u64,
    /// When it last asked for what others see as a sign of life, and the engine did it: a take, a beat, an append.
    signed: Duration,
    queue: VecDeque<(u64, Bytes)>,
    queue_bytes: usize,
    flight: Option<Flight>,
    snapshots: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Reads what others appended, up to the end if it is known.
    Arriving(Option<u64>),
    Serving,
    /// Another node owns the log; what happened to the last block is to be found out.
    Deposed,
}

/// A block on its way.
#[derive(Debug)]
struct Flight {
    block: Block,
    bytes: Bytes,
    checksum: u32,
    tickets: Vec<u64>,
    want: Want,
    /// It may have been appended by an earlier try, or may be later.
    doubt: bool,
    /// The engine said that it has no space for it.
    no_space: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Append,
    /// To see who owns the log, no earlier than by this request.
    Look {
        after: u64,
    },
    /// To see what stands in its place. `lost`: another node owns the log, which is longer than up to this place; if nothing
    /// stands there any more, a snapshot has taken it in.
    Verify {
        lost: bool,
    },
}

impl Lead {
    pub(super) fn new(nonce: u64, term: u64, signed: Duration, after: u64) -> Self {
        Self {
            nonce,
            term,
            stage: Stage::Arriving(None),
            after,
            signed,
            queue: VecDeque::new(),
            queue_bytes: 0,
            flight: None,
            snapshots: 0,
        }
    }

    /// A number for a snapshot, higher than those of all earlier ones. That of an earlier try is not used again: its pieces
    /// may still come.
    pub(super) fn next_snapshot(&mut self) -> u64 {
        self.snapshots += 1;
        (self.term << 20) + self.snapshots
    }

    pub(super) fn serves(&self) -> bool {
        self.stage == Stage::Serving
    }

    /// Whether nobody else can have appended what this node has not read.
    pub(super) fn knows_the_end(&self) -> bool {
        !matches!(self.stage, Stage::Arriving(_))
    }

    pub(super) fn beat_at(&self, lease: Duration) -> Duration {
        self.signed + lease / 3
    }

    /// When it is no more to be expected that the log is still this node's.
    pub(super) fn hopeless_at(&self, lease: Duration) -> Duration {
        self.signed + lease * 2
    }

    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.queue.len(), self.queue_bytes)
    }

    /// The block after the last one that may stand in the engine already.
    pub(super) fn end(&self) -> Option<u64> {
        self.flight.as_ref().map(|flight| flight.block.number + 1)
    }

    /// Whether others wait out the lease that this node has: less a tenth for clocks that run at other rates.
    pub(super) fn holds(&self, lease: Duration, now: Duration) -> bool {
        self.serves() && now < self.signed + lease * 9 / 10
    }
}

impl Log {
    /// Proposes a command; a [`Step`] with its `ticket` tells how it ended.
    /// # Errors
    /// It was not carried out and never will be.
    pub fn propose(&mut self, ticket: u64, data: Bytes) -> Result<(), Refusal> {
        let limit = self.command_bytes_max();
        let bytes = data.len();
        let no_space = self.no_space_until.is_some_and(|until| self.now < until);
        let queue_bytes_max = self.config.queue_bytes_max;
        let leaves = self.leaves();
        let Role::Leading(lead) = &mut self.role else {
            return Err(self.not_leader());
        };
        match () {
            () if !lead.serves() || leaves => Err(self.not_leader()),
            () if bytes > limit => Err(Refusal::TooLarge { bytes, limit }),
            () if no_space => Err(Refusal::NoSpace),
            () if lead.queue_bytes + bytes > queue_bytes_max => Err(Refusal::Busy),
            () => {
                lead.queue_bytes += bytes;
                lead.queue.push_back((ticket, data));
                Ok(())
            }
        }
    }

    fn not_leader(&self) -> Refusal {
        let other = self.owner.as_ref().filter(|it| it.name != self.config.node);
        Refusal::NotLeader {
            leader: other.map(|owner| owner.name.clone()),
        }
    }

    /// Leaves the log to others, for good: what was proposed is appended, nothing more is taken.
    pub fn retire(&mut self, now: Duration) {
        self.retired = true;
        self.advance(now);
    }

    /// Leaves the log to others, if it is this node's: what was proposed is appended, and the log is not taken again before `pause` has
    /// passed.
    pub fn rest(&mut self, pause: Duration, now: Duration) {
        if let Role::Leading(_) = self.role {
            self.resting = Some(now + pause);
        }
        self.advance(now);
    }

    /// Whether it gives the log back. It may have done so already, as long as it does not know: nothing changes its mind.
    pub(super) fn leaves(&self) -> bool {
        let leads = matches!(self.role, Role::Leading(_));
        self.retired || leads && self.resting.is_some()
    }

    /// Whether it is known that the log is not this node's.
    pub fn is_free(&self) -> bool {
        self.term() == 0
    }

    pub(super) fn drive_leading(&mut self) {
        let (now, lease) = (self.now, self.config.lease);
        let applied = self.position.next;
        if self.no_space_until.is_some_and(|until| now >= until) {
            self.no_space_until = None;
        }
        let no_space = self.no_space_until.is_some();
        let leaves = self.leaves();
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        match lead.stage {
            Stage::Arriving(Some(end)) if applied >= end => {
                lead.stage = Stage::Serving;
                let epoch = lead.term;
                self.steps
                    .push(Step::Leadership(Leadership::Start { epoch }));
                self.clean();
            }
            Stage::Deposed if lead.flight.is_none() => return self.go(Outcome::NotCarriedOut),
            _ => {}
        }
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        if lead.stage == Stage::Serving && lead.flight.is_none() && !no_space {
            lead.flight = next_flight(lead, &self.position, self.config.block_bytes_max);
        }
        let idle = lead.flight.is_none() && lead.queue.is_empty();
        let beats = now >= lead.beat_at(lease) && lead.stage != Stage::Deposed;
        if let Some(flight) = &lead.flight {
            let (number, block) = (flight.block.number, flight.bytes.clone());
            match flight.want {
                Want::Append => self.ask(Ask::Append, |term| Request::Append {
                    term,
                    number,
                    block,
                }),
                Want::Verify { .. } => self.ask(Ask::Verify, |_| Request::Read {
                    from: number,
                    bytes_max: 1,
                }),
                Want::Look { .. } => {
                    self.follow.look = true;
                    None
                }
            };
        }
        if leaves && idle {
            self.ask(Ask::Resign, |term| Request::Resign { term });
        } else if beats {
            self.ask(Ask::Beat, |term| Request::Beat { term });
        }
    }

    pub(super) fn arriving(&self) -> bool {
        matches!(&self.role, Role::Leading(lead) if lead.stage == Stage::Arriving(None))
    }

    pub(super) fn looked_leading(&mut self, id: u64, seen: Seen) {
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        if id < lead.after {
            return;
        }
        let owned = seen.term == lead.term;
        if let Some(flight) = &mut lead.flight {
            let number = flight.block.number;
            match flight.want {
                Want::Look { after } if id >= after && owned => {
                    flight.want = Want::Verify { lost: false };
                }
                // Nothing of this leadership can be appended any more, and nothing was.
                Want::Look { .. } if !owned && seen.next <= number => {
                    return self.go(Outcome::NotCarriedOut);
                }
                Want::Look { .. } if !owned => flight.want = Want::Verify { lost: true },
                _ => {}
            }
        }
        if !owned {
            return self.deposed();
        }
        if lead.stage == Stage::Arriving(None) {
            lead.stage = Stage::Arriving(Some(seen.next));
        }
        self.look_for_seal(id);
    }

    pub(super) fn signed(&mut self, at: Duration) {
        if let Role::Leading(lead) = &mut self.role {
            lead.signed = lead.signed.max(at);
        }
    }

    pub(super) fn appended(&mut self, at: Duration) {
        self.signed(at);
        self.no_space_until = None;
        self.carried_out();
    }

    fn carried_out(&mut self) {
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        if let Some(flight) = lead.flight.take() {
            let bytes = flight.bytes.len();
            self.apply(flight.block, flight.checksum, bytes, flight.tickets);
            self.release_reads();
        }
    }

    fn want(&mut self, want: Want) {
        if let Role::Leading(lead) = &mut self.role
            && let Some(flight) = &mut lead.flight
        {
            flight.doubt = true;
            flight.want = want;
        }
    }

    /// The engine refused the block on its way: because it stands there already, or the log is another node's.
    pub(super) fn append_refused(&mut self) {
        let after = self.next_ask;
        self.want(Want::Look { after });
    }

    pub(super) fn not_appended(&mut self, failure: Failure) {
        let no_space = matches!(failure, Failure::NoSpace(_));
        if no_space {
            self.no_space_until = Some(self.now + NO_SPACE_PAUSE);
        }
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        let doubt = lead.flight.as_ref().is_none_or(|flight| flight.doubt);
        if failure.is_unknown() || doubt {
            return self.want(Want::Verify { lost: false });
        }
        match (&mut lead.flight, no_space) {
            // The engine may say so although it has appended the block; later it will not.
            (Some(flight), true) => {
                flight.no_space = true;
                flight.want = Want::Verify { lost: false };
            }
            _ => self.go(Outcome::NotCarriedOut),
        }
    }

    fn refuse_for_space(&mut self) {
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        let flight = lead.flight.take();
        let refused = flight.into_iter().flat_map(|flight| flight.tickets);
        let waiting = std::mem::take(&mut lead.queue);
        lead.queue_bytes = 0;
        for ticket in refused.chain(waiting.into_iter().map(|(ticket, _)| ticket)) {
            let outcome = Outcome::NoSpace;
            self.steps.push(Step::Ended { ticket, outcome });
        }
    }

    /// What stands in the engine in the place of the block on its way.
    pub(super) fn verified(&mut self, found: Option<&Bytes>) {
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        let Some(flight) = &mut lead.flight else {
            return;
        };
        let deposed = lead.stage == Stage::Deposed;
        match (found, flight.want) {
            (Some(found), _) if *found == flight.bytes => self.carried_out(),
            (Some(_), _) => self.go(Outcome::NotCarriedOut),
            (None, Want::Verify { lost: true }) => self.go(Outcome::Unknown),
            (None, _) if deposed => self.append_refused(),
            (None, _) if flight.no_space && !flight.doubt => self.refuse_for_space(),
            // The same bytes again: whichever try comes first, there is one block.
            (None, _) => flight.want = Want::Append,
        }
    }

    /// The log is another node's.
    pub(super) fn deposed(&mut self) {
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        if !lead.knows_the_end() {
            // It never began to lead, and has appended nothing.
            return self.go(Outcome::NotCarriedOut);
        }
        lead.stage = Stage::Deposed;
        let waits = matches!(&lead.flight, Some(flight) if flight.want == Want::Append);
        if waits && !self.is_asked(Ask::Append) {
            self.append_refused();
        }
    }

    pub(super) fn resigned(&mut self) {
        self.go(Outcome::NotCarriedOut);
    }

    /// Nobody knows whether the log is still this node's.
    pub(super) fn give_up(&mut self) {
        self.go(Outcome::Unknown);
    }

    fn go(&mut self, flying: Outcome) {
        if let Role::Leading(lead) = std::mem::replace(&mut self.role, Role::Following) {
            self.leave(*lead, flying);
        }
    }

    /// Ends a leadership; `flying`: what became of the block on its way.
    pub(super) fn leave(&mut self, lead: Lead, flying: Outcome) {
        let flight = lead.flight.into_iter();
        let flight = flight
            .flat_map(|flight| flight.tickets)
            .map(|it| (it, flying));
        let waiting = lead.queue.into_iter();
        let waiting = waiting.map(|(ticket, _)| (ticket, Outcome::NotCarriedOut));
        for (ticket, outcome) in flight.chain(waiting) {
            self.steps.push(Step::Ended { ticket, outcome });
        }
        if !matches!(lead.stage, Stage::Arriving(_)) {
            let epoch = lead.term;
            self.steps
                .push(Step::Leadership(Leadership::Stop { epoch }));
        }
        self.upload = None;
        self.told = None;
        self.follow.look = true;
    }
}

fn next_flight(
    lead: &mut Lead,
    position: &crate::record::Position,
    block_bytes_max: usize,
) -> Option<Flight> {
    let mut bytes = BLOCK_BYTES;
    let (mut tickets, mut commands) = (Vec::new(), Vec::new());
    while let Some((ticket, command)) = lead
        .queue
        .pop_front_if(|(_, command)| bytes + COMMAND_BYTES + command.len() <= block_bytes_max)
    {
        bytes += COMMAND_BYTES + command.len();
        lead.queue_bytes -= command.len();
        tickets.push(ticket);
        commands.push(command);
    }
    if commands.is_empty() {
        return None;
    }
    let block = Block {
        number: position.next,
        term: lead.term,
        nonce: lead.nonce,
        first: position.index + 1,
        chain: position.chain,
        commands,
    };
    let (bytes, checksum) = block.write();
    Some(Flight {
        block,
        bytes,
        checksum,
        tickets,
        want: Want::Append,
        doubt: false,
        no_space: false,
    })
}
