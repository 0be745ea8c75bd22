//! What a leader makes of commands before they go into the log.

use bytes::Bytes;

use crate::ProposalError;
use crate::clock::{LeaderClock, LogTime};
use crate::envelope::{Envelope, Kind};

/// A wall clock that is further off, in microseconds, is worth a line in the log.
const AHEAD_REPORTED: u64 = 1_000_000;

/// Puts commands into envelopes, as long as its replica leads.
#[derive(Debug)]
pub struct Scribe {
    plain: bool,
    /// Of the leadership that the state machine was told of.
    leadership: Option<(u64, LeaderClock)>,
    ahead: i64,
}

/// Now, by the clocks of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Microseconds of a clock that never goes back.
    pub monotonic: u64,
    /// Microseconds since 1970.
    pub wall: u64,
}

impl Scribe {
    /// One of a log whose entries are envelopes, or are commands as they are if it is `plain`.
    pub fn new(plain: bool) -> Self {
        Self {
            plain,
            leadership: None,
            ahead: 0,
        }
    }

    /// A leadership begins: everything earlier is applied, and `applied` is the state's time.
    pub fn begin(&mut self, epoch: u64, applied: LogTime, monotonic: u64) {
        self.leadership = Some((epoch, LeaderClock::begin(applied, monotonic)));
    }

    /// The leadership ended; returns which one, if there was one.
    pub fn end(&mut self) -> Option<u64> {
        self.leadership.take().map(|(epoch, _)| epoch)
    }

    /// The leadership that the state machine was told of.
    pub fn epoch(&self) -> Option<u64> {
        self.leadership.as_ref().map(|(epoch, _)| *epoch)
    }

    /// Microseconds by which the wall clock was ahead of the log's time when that was last reported.
    pub fn ahead(&self) -> i64 {
        self.ahead
    }

    /// What goes into the log for a command, and by how many microseconds the wall clock is ahead if that is news.
    /// # Errors
    /// The log is plain and this is no command, or the replica does not lead: one that was elected and has not applied
    /// everything earlier does not know the time yet.
    pub fn write(
        &mut self,
        kind: Kind,
        data: Bytes,
        now: Clocks,
    ) -> Result<(Bytes, Option<i64>), ProposalError> {
        if self.plain {
            return match kind {
                Kind::Command => Ok((data, None)),
                Kind::Once(_) | Kind::Open | Kind::Close(_) => Err(ProposalError::Plain),
            };
        }
        let Some((_, clock)) = &mut self.leadership else {
            return Err(ProposalError::NotLeader { leader: None });
        };
        let stamp = clock.stamp(now.monotonic, now.wall);
        let news = stamp.ahead.abs_diff(self.ahead) > AHEAD_REPORTED;
        if news {
            self.ahead = stamp.ahead;
        }
        let entry = Envelope::write(stamp.time, kind, &data);
        Ok((entry, news.then_some(stamp.ahead)))
    }
}
