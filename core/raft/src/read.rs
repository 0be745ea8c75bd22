//! Linearizable reads without a log entry: ReadIndex, on any member, and leases.

use std::time::Duration;

use crate::bug;
use crate::config::Config;
use crate::message::{Body, ErrorCode, Token};
use crate::peer::PeerId;
use crate::raft::Raft;
use crate::ready::{ReadError, ReadReady, StepError};
use crate::time::Time;

/// Reads that have no index yet.
#[derive(Default)]
pub(crate) struct Reads {
    /// Not yet part of a round, or not yet sent to the leader.
    waiting: Vec<Read>,
    /// Of a leader: reads that wait until a majority has answered something sent after them.
    round: Option<Round>,
    /// Of another member: what it asked its leader.
    asked: Option<Asked>,
}

struct Read {
    origin: Origin,
    since: Time,
}

enum Origin {
    Local(u64),
    Remote(PeerId, Token),
}

struct Round {
    /// The first token after the reads.
    from: Token,
    index: u64,
    reads: Vec<Read>,
}

struct Asked {
    token: Token,
    sent: Time,
    reads: Vec<Read>,
}

impl Reads {
    pub(crate) fn len(&self) -> usize {
        let round = self.round.as_ref().map_or(0, |round| round.reads.len());
        self.waiting.len() + round + self.asked.as_ref().map_or(0, |asked| asked.reads.len())
    }

    /// Something with this token or a later one has to be answered before the round ends.
    pub(crate) fn round_from(&self) -> Token {
        self.round.as_ref().map_or(Token(0), |round| round.from)
    }

    pub(crate) fn next_deadline(&self, config: &Config) -> Time {
        let waiting = self
            .waiting
            .first()
            .map_or(Time::NEVER, |read| read.since + patience(config));
        let asked = self
            .asked
            .as_ref()
            .map_or(Time::NEVER, |asked| asked.sent + patience(config));
        waiting.min(asked)
    }
}

/// How long a read waits for a leader, or for its word.
fn patience(config: &Config) -> Duration {
    config.election_timeout
}

impl Raft {
    /// Asks from which index on a read with this context is linearizable. The answer comes in [`crate::Ready::reads`].
    pub fn read_index(&mut self, context: u64) {
        self.add_read(Origin::Local(context));
    }

    fn add_read(&mut self, origin: Origin) {
        self.wake();
        let read = Read {
            origin,
            since: self.now,
        };
        if self.reads.len() >= self.config.reads_max {
            self.end_read(read, Err(ReadError::Busy));
        } else {
            self.reads.waiting.push(read);
        }
    }

    pub(crate) fn on_read_index_request(
        &mut self,
        from: &PeerId,
        token: Token,
        reads: usize,
    ) -> Result<(), StepError> {
        if !self.configuration().contains(from) {
            self.out
                .refuse(from, token, ErrorCode::NotPermitted, "not a member");
            return Err(StepError::NotMember(from.clone()));
        }
        if self.leader.is_none() {
            self.out
                .refuse(from, token, ErrorCode::NotPermitted, "not the leader");
        } else if reads > self.config.reads_max {
            self.out
                .refuse(from, token, ErrorCode::Busy, "too many reads");
        } else {
            self.add_read(Origin::Remote(from.clone(), token));
            // It has to apply what is committed before it answers.
            if let Some(progress) = self.leader.as_mut().and_then(|it| it.progress(from)) {
                progress.tell_at_once();
            }
        }
        Ok(())
    }

    pub(crate) fn on_read_index_response(
        &mut self,
        from: &PeerId,
        token: Token,
        index: Option<u64>,
    ) -> Result<(), StepError> {
        let Some(asked) = self.reads.asked.take_if(|asked| asked.token == token) else {
            return Err(StepError::NoRequest(from.clone()));
        };
        for read in asked.reads {
            self.end_read(read, index.ok_or(ReadError::NotConfirmed));
        }
        Ok(())
    }

    /// Once per turn: all reads that came in it share one round of heartbeats, or one question to the leader.
    pub(crate) fn start_reads(&mut self) {
        if self.reads.waiting.is_empty() {
            return;
        }
        if self.leader.is_none() {
            self.ask_leader();
        } else if self.knows_commit() && self.reads.round.is_none() {
            let reads = std::mem::take(&mut self.reads.waiting);
            self.reads.round = Some(Round {
                from: self.out.next_token(),
                index: self.commit,
                reads,
            });
            let leased = self.config.lease_reads && self.now < self.lease_until();
            if leased || bug!(self, ReadWithoutQuorum) {
                self.end_round();
            } else {
                self.confirm_reads();
            }
        }
    }

    fn ask_leader(&mut self) {
        let Some(leader) = self
            .leader_id
            .clone()
            .filter(|_| self.reads.asked.is_none())
        else {
            return;
        };
        let (local, remote): (Vec<_>, Vec<_>) = self
            .reads
            .waiting
            .drain(..)
            .partition(|read| matches!(read.origin, Origin::Local(_)));
        for read in remote {
            self.end_read(read, Err(ReadError::NoLeader));
        }
        if local.is_empty() {
            return;
        }
        // JRaft's leader wants at least one context and looks at none.
        let token = self.out.request(
            &leader,
            Body::ReadIndexRequest {
                contexts: vec![bytes::Bytes::from_static(b"r")],
            },
        );
        self.reads.asked = Some(Asked {
            token,
            sent: self.now,
            reads: local,
        });
    }

    /// A majority has answered something that was sent after the reads came: this member led then.
    pub(crate) fn confirm_reads(&mut self) {
        let (Some(round), Some(leader)) = (&self.reads.round, &self.leader) else {
            return;
        };
        let (own, from) = (&self.config.id, round.from);
        if self
            .log
            .configuration()
            .is_majority(|peer| peer == own || leader.acked_token(peer) >= from)
        {
            self.end_round();
            // Those that came meanwhile begin the next round when this turn ends.
        }
    }

    fn end_round(&mut self) {
        if let Some(round) = self.reads.round.take() {
            for read in round.reads {
                self.end_read(read, Ok(round.index));
            }
        }
    }

    fn end_read(&mut self, read: Read, index: Result<u64, ReadError>) {
        match (read.origin, index) {
            (Origin::Local(context), index) => self.out.reads.push(ReadReady { context, index }),
            (Origin::Remote(peer, token), Ok(index)) => {
                self.out.answer(
                    &peer,
                    token,
                    Body::ReadIndexResponse {
                        index,
                        success: true,
                    },
                );
            }
            (Origin::Remote(peer, token), Err(error)) => {
                self.out
                    .refuse(&peer, token, ErrorCode::Again, error.to_string());
            }
        }
    }

    /// Leadership ended: nobody here can confirm these reads.
    pub(crate) fn fail_reads(&mut self) {
        let round = self
            .reads
            .round
            .take()
            .map(|round| round.reads)
            .unwrap_or_default();
        for read in round {
            self.end_read(read, Err(ReadError::NotConfirmed));
        }
    }

    pub(crate) fn advance_reads(&mut self) {
        let (now, patience) = (self.now, patience(&self.config));
        let late = |read: &mut Read| now.since(read.since) >= patience;
        let mut ended: Vec<Read> = self.reads.waiting.extract_if(.., late).collect();
        if let Some(asked) = self
            .reads
            .asked
            .take_if(|asked| now.since(asked.sent) >= patience)
        {
            ended.extend(asked.reads);
        }
        for read in ended {
            let error = if self.leader_id.is_none() {
                ReadError::NoLeader
            } else {
                ReadError::NotConfirmed
            };
            self.end_read(read, Err(error));
        }
    }
}
