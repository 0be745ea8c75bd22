//! Commands on their way into a group's log and out of it, and reads.

use std::rc::Rc;

use bytes::Bytes;
use diwan_log::provider::{Clocks, Entry, Kind, Proposed, Read};
use diwan_log::{Committed, Event as LogEvent, Once, ProposalError, ReadError, SessionId};
use diwan_raft::{Payload, ProposeError, Role};
use diwan_replica::{Apply, Outcome, ReadOutcome};

use super::{Node, leader_name};
use crate::clock;
use crate::group::Hosted;

impl Node {
    /// Proposes a command to a group; `done` is told its answer, or why there is none. Exactly once.
    pub fn propose(
        &self,
        group: &str,
        data: Bytes,
        done: impl FnOnce(Result<Committed, ProposalError>) + 'static,
    ) {
        self.propose_as(group, Kind::Command, data, Box::new(done));
    }

    /// Proposes a command that is carried out at most once, however often it is proposed: what to do when
    /// [`ProposalError::is_unknown`]. Not on plain logs.
    pub fn propose_once(
        &self,
        group: &str,
        once: Once,
        data: Bytes,
        done: impl FnOnce(Result<Committed, ProposalError>) + 'static,
    ) {
        self.propose_as(group, Kind::Once(once), data, Box::new(done));
    }

    /// Opens a session; where its opening is unknown, another one may be opened. Not on plain logs.
    pub fn open_session(
        &self,
        group: &str,
        done: impl FnOnce(Result<SessionId, ProposalError>) + 'static,
    ) {
        let opened = |result: Result<Committed, _>| {
            done(result.map(|committed| SessionId(committed.index)));
        };
        self.propose_as(group, Kind::Open, Bytes::new(), Box::new(opened));
    }

    /// Ends a session: its answers need not be kept. One that is never closed is given up in time.
    pub fn close_session(
        &self,
        group: &str,
        session: SessionId,
        done: impl FnOnce(Result<Committed, ProposalError>) + 'static,
    ) {
        self.propose_as(group, Kind::Close(session), Bytes::new(), Box::new(done));
    }

    fn propose_as(&self, group: &str, kind: Kind, data: Bytes, done: Proposed) {
        let Some(place) = self.place_of(group) else {
            return match self.guest(group) {
                Some(guest) => guest.propose(kind, data, done),
                None => done(Err(ProposalError::NotLeader { leader: None })),
            };
        };
        let refused = self.with_group(place, |hosted| {
            let ticket = hosted.ticket();
            let entry = match hosted.entry(kind, data) {
                Ok(entry) => entry,
                Err(error) => return Some((done, error)),
            };
            let mut budget = self.budget.borrow_mut();
            let leads = hosted.group.raft().role() == Role::Leader;
            let proposed = match leads && !budget.has_room(entry.len()) {
                true => Err(ProposeError::Busy),
                false => hosted.group.propose(entry, ticket),
            };
            budget.set(place, hosted.group.held());
            match proposed {
                Ok(_) => {
                    hosted.proposals.insert(ticket, done);
                    None
                }
                Err(error) => {
                    match error {
                        ProposeError::NotLeader(_) => hosted.refused.0 += 1,
                        _ => hosted.refused.1 += 1,
                    }
                    Some((done, refusal(error)))
                }
            }
        });
        if let Some((done, error)) = refused {
            done(Err(error));
        }
    }

    /// Waits until a read of this node's state machine is linearizable; `done` is told, and reads at once.
    pub fn read(&self, group: &str, done: impl FnOnce(Result<(), ReadError>) + 'static) {
        let Some(place) = self.place_of(group) else {
            return match self.guest(group) {
                Some(guest) => guest.read(Box::new(done)),
                None => done(Err(ReadError::NoLeader)),
            };
        };
        self.with_group(place, |hosted| {
            let context = hosted.ticket();
            hosted.reads.insert(context, Box::new(done) as Read);
            hosted.group.read(context);
        });
    }

    /// Applies committed entries.
    pub(super) fn apply(
        self: &Rc<Self>,
        place: usize,
        hosted: &mut Hosted,
        apply: Vec<Apply>,
        done: &mut Vec<Box<dyn FnOnce()>>,
    ) {
        let Some(last) = apply.last().map(|apply| apply.entry.id.index) else {
            return;
        };
        let commands: Vec<Entry<'_>> = apply.iter().filter_map(command).collect();
        let bytes: usize = commands.iter().map(|command| command.data.len()).sum();
        let ended = match hosted.machine.apply(&commands) {
            Ok(ended) => ended,
            Err(error) => return self.fail(format!("group {}: {error}", hosted.name)),
        };
        let mut ended = ended.into_iter();
        for Apply { entry, ticket } in &apply {
            let ended = match &entry.payload {
                Payload::Data(_) => ended.next(),
                Payload::NoOp | Payload::Configuration(_) => None,
            };
            let proposed = ticket.and_then(|ticket| hosted.proposals.remove(&ticket));
            if let (Some(proposed), Some(ended)) = (proposed, ended) {
                let index = entry.id.index;
                let result = ended.map(|answer| Committed { index, answer });
                done.push(Box::new(move || proposed(result)));
            }
        }
        hosted.group.applied(last);
        if let Some((epoch, _)) = hosted.leading_at.take_if(|(_, index)| *index <= last) {
            let time = hosted.machine.time();
            hosted.scribe.begin(epoch, time, clock::now().0);
            hosted.machine.event(&LogEvent::StartLeading { epoch });
        }
        let snapshots = &mut hosted.snapshots;
        snapshots.log_bytes += bytes as u64;
        if snapshots.log_bytes >= snapshots.log_bytes_max.max(snapshots.newest_bytes) {
            self.take_snapshot(place, hosted);
        }
    }

    /// Proposals and reads ended without their command being applied here.
    pub(super) fn ended(
        &self,
        hosted: &mut Hosted,
        outcomes: Vec<(u64, Outcome)>,
        reads: Vec<(u64, ReadOutcome)>,
        done: &mut Vec<Box<dyn FnOnce()>>,
    ) {
        for (ticket, outcome) in outcomes {
            if let Some(proposed) = hosted.proposals.remove(&ticket) {
                let error = match outcome {
                    Outcome::NotCommitted => ProposalError::NotLeader {
                        leader: leader_name(&hosted.group),
                    },
                    Outcome::Unknown | Outcome::Committed(_) => ProposalError::Unknown,
                };
                done.push(Box::new(move || proposed(Err(error))));
            }
        }
        for (context, outcome) in reads {
            if let Some(read) = hosted.reads.remove(&context) {
                let outcome = outcome.map_err(|error| match error {
                    diwan_raft::ReadError::NoLeader => ReadError::NoLeader,
                    diwan_raft::ReadError::NotConfirmed => ReadError::NotConfirmed,
                    diwan_raft::ReadError::Busy => ReadError::Busy,
                });
                done.push(Box::new(move || read(outcome)));
            }
        }
    }
}

impl Hosted {
    /// What goes into the log for a command.
    fn entry(&mut self, kind: Kind, data: Bytes) -> Result<Bytes, ProposalError> {
        let now = Clocks {
            monotonic: clock::now().0,
            wall: clock::wall(),
        };
        match self.scribe.write(kind, data, now) {
            Ok((entry, ahead)) => {
                if let Some(ahead) = ahead {
                    tracing::warn!(
                        group = self.name,
                        ahead_s = ahead as f64 / 1e6,
                        "this machine's wall clock is off the log's time"
                    );
                }
                Ok(entry)
            }
            Err(ProposalError::NotLeader { .. }) => {
                self.refused.0 += 1;
                let leader = leader_name(&self.group);
                Err(ProposalError::NotLeader { leader })
            }
            Err(error) => Err(error),
        }
    }
}

fn command(apply: &Apply) -> Option<Entry<'_>> {
    let Payload::Data(data) = &apply.entry.payload else {
        return None;
    };
    Some(Entry {
        index: apply.entry.id.index,
        epoch: apply.entry.id.term,
        data,
    })
}

fn refusal(error: ProposeError) -> ProposalError {
    match error {
        ProposeError::NotLeader(leader) => ProposalError::NotLeader {
            leader: leader.map(|leader| leader.to_string()),
        },
        ProposeError::Busy | ProposeError::Transferring => ProposalError::Busy,
        ProposeError::DiskFull => ProposalError::DiskFull,
        ProposeError::TooLarge { bytes, limit } => ProposalError::TooLarge { bytes, limit },
    }
}
