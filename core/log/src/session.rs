//! Sessions: a client numbers its commands, so that one whose outcome is unknown can be proposed again and is carried out once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;

use crate::ProposalError;
use crate::table::Table;

/// Sessions that a log remembers; beyond, the one that was not used for longest is given up.
pub const SESSIONS_MAX: usize = 65_536;
/// Answers that are kept of a session: its client says which ones it no longer needs.
pub const ANSWERS_MAX: usize = 1_024;
/// Bytes of a session's answers.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes of all sessions' answers; beyond, sessions are given up as if there were too many.
pub const ALL_ANSWER_BYTES_MAX: usize = 256 << 20;

/// A session's name: the index of the entry that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Makes a command one that is carried out at most once, however often it is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// An open session.
    pub session: SessionId,
    /// The command's number in its session, the same for each try.
    pub sequence: u64,
    /// All commands with lower numbers are settled: their answers need not be kept.
    pub settled: u64,
}

/// Numbers the commands of a session, for the one who proposes them.
#[derive(Clone, Debug)]
pub struct Sequences {
    session: SessionId,
    next: u64,
    open: BTreeSet<u64>,
}

impl Sequences {
    /// Of a session that was just opened.
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            next: 0,
            open: BTreeSet::new(),
        }
    }

    /// The number for another command. Tell [`Sequences::settle`] when it is known what became of it.
    pub fn begin(&mut self) -> Once {
        let sequence = self.next;
        self.next += 1;
        self.open.insert(sequence);
        self.again(sequence)
    }

    /// For another try of a command.
    pub fn again(&self, sequence: u64) -> Once {
        Once {
            session: self.session,
            sequence,
            settled: self.open.first().copied().unwrap_or(self.next),
        }
    }

    /// A command was answered, or was not carried out and will not be tried again.
    pub fn settle(&mut self, sequence: u64) {
        self.open.remove(&sequence);
    }
}

/// One session. An answer that is not there yet is about to be given.
#[derive(Clone, Debug, Default)]
struct Session {
    used: u64,
    settled: u64,
    bytes: usize,
    answers: BTreeMap<u64, Option<Bytes>>,
}

/// What is known of a command that comes in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: it is to be carried out, and its answer to be told.
    Fresh,
    /// It came just before and has no answer yet.
    Pending,
    /// It was answered.
    Answered(Bytes),
}

/// All sessions of a log: part of its state, the same on every replica.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    all: Table<u64, Arc<Session>>,
    /// By last use.
    order: BTreeMap<u64, u64>,
    bytes: usize,
}

impl Default for Sessions {
    fn default() -> Self {
        // Ids are the log's own: nobody chooses them.
        Self {
            all: Table::new(0),
            order: BTreeMap::new(),
            bytes: 0,
        }
    }
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn open(&mut self, index: u64) {
        let session = Session {
            used: index,
            ..Session::default()
        };
        self.all.insert(index, Arc::new(session));
        self.order.insert(index, index);
        self.make_room();
    }

    pub(crate) fn close(&mut self, id: SessionId) {
        if let Some(session) = self.all.remove(&id.0) {
            self.order.remove(&session.used);
            self.bytes -= session.bytes;
        }
    }

    /// A command of a session comes in at `index`.
    pub(crate) fn begin(&mut self, once: &Once, index: u64) -> Result<Known, ProposalError> {
        let Once {
            session: id,
            sequence,
            settled,
        } = *once;
        let known = self.all.get_mut(&id.0);
        let its = Arc::make_mut(known.ok_or(ProposalError::NoSession(id))?);
        self.order.remove(&its.used);
        self.order.insert(index, id.0);
        its.used = index;
        its.settled = its.settled.max(settled);
        let kept = its.answers.split_off(&its.settled);
        let gone = std::mem::replace(&mut its.answers, kept);
        let gone: usize = gone.values().flatten().map(Bytes::len).sum();
        its.bytes -= gone;
        self.bytes -= gone;
        match its.answers.get(&sequence) {
            _ if sequence < its.settled => Err(ProposalError::Settled { sequence }),
            Some(Some(answer)) => Ok(Known::Answered(answer.clone())),
            Some(None) => Ok(Known::Pending),
            None if its.answers.len() >= ANSWERS_MAX || its.bytes >= ANSWER_BYTES_MAX => {
                Err(ProposalError::Unsettled)
            }
            None => {
                its.answers.insert(sequence, None);
                Ok(Known::Fresh)
            }
        }
    }

    /// A command that came in is answered.
    pub(crate) fn end(&mut self, once: &Once, answer: &Bytes) {
        let Some(session) = self.all.get_mut(&once.session.0) else {
            // Given up meanwhile.
            return;
        };
        let its = Arc::make_mut(session);
        if let Some(place) = its.answers.get_mut(&once.sequence) {
            // A copy: a short answer must not keep a long message in memory.
            *place = Some(Bytes::copy_from_slice(answer));
            its.bytes += answer.len();
            self.bytes += answer.len();
        }
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.all.len() > SESSIONS_MAX || self.bytes > ALL_ANSWER_BYTES_MAX {
            let Some((_, &id)) = self.order.first_key_value() else {
                return;
            };
            self.close(SessionId(id));
        }
    }

    /// `u32 sessions`, each `u64 id, u64 used, u64 settled, u32 answers`, each `u64 sequence, u32 length, bytes`.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut all: Vec<_> = self.all.iter().collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        out.write_all(&length(all.len()).to_be_bytes())?;
        for (id, session) in all {
            for number in [*id, session.used, session.settled] {
                out.write_all(&number.to_be_bytes())?;
            }
            out.write_all(&length(session.answers.len()).to_be_bytes())?;
            for (sequence, answer) in &session.answers {
                let answer = answer.as_deref().unwrap_or_default();
                out.write_all(&sequence.to_be_bytes())?;
                out.write_all(&length(answer.len()).to_be_bytes())?;
                out.write_all(answer)?;
            }
        }
        Ok(())
    }

    pub(crate) fn read(input: &mut dyn Read) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut sessions = Self::default();
        for _ in 0..read_u32(input)? {
            let id = read_u64(input)?;
            let mut session = Session {
                used: read_u64(input)?,
                settled: read_u64(input)?,
                ..Session::default()
            };
            for _ in 0..read_u32(input)? {
                let sequence = read_u64(input)?;
                let length = read_u32(input)? as usize;
                let mut answer = Vec::new();
                input.take(length as u64).read_to_end(&mut answer)?;
                if answer.len() != length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                session.bytes += length;
                session.answers.insert(sequence, Some(answer.into()));
                if session.answers.len() > ANSWERS_MAX {
                    return Err(wrong("a session with too many answers"));
                }
            }
            sessions.bytes += session.bytes;
            let used = session.used;
            if sessions.order.insert(used, id).is_some()
                || sessions.all.insert(id, Arc::new(session)).is_some()
            {
                return Err(wrong("a session stands there twice"));
            }
            if sessions.all.len() > SESSIONS_MAX || sessions.bytes > ALL_ANSWER_BYTES_MAX {
                return Err(wrong("too many sessions"));
            }
        }
        Ok(sessions)
    }
}

fn length(length: usize) -> u32 {
    // All lengths are bounded far below.
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(crate) fn read_u64(input: &mut dyn Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

fn read_u32(input: &mut dyn Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
