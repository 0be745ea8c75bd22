//! Between a log and a state machine: opens envelopes, keeps time and sessions.

use std::io::{self, Read, Write};

use bytes::Bytes;

use crate::clock::LogTime;
use crate::envelope::{Envelope, EnvelopeError, Kind};
use crate::session::{Known, Once, Sessions, read_u64};
use crate::{Command, Event, ProposalError, SnapshotWriter, StateMachine};

/// The first bytes of a snapshot of a log that is not plain.
const SNAPSHOT: u64 = u64::from_be_bytes(*b"DiwanLg1");

/// A committed entry with a command in it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its place in the log.
    pub index: u64,
    /// The leadership in which it was proposed.
    pub epoch: u64,
    /// What stands there.
    pub data: &'a Bytes,
}

/// Why the replica must stop: going on would make it another one than the others are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// An entry cannot be read.
    #[error("entry {index} cannot be read: {error}")]
    Envelope {
        /// The entry.
        index: u64,
        /// What is wrong with it.
        error: EnvelopeError,
    },
    /// The state machine did not answer each command.
    #[error("the state machine gave {answers} answers to {commands} commands up to entry {index}")]
    Answers {
        /// The last entry.
        index: u64,
        /// How many commands it was given.
        commands: usize,
        /// How many answers it gave.
        answers: usize,
    },
}

/// How an entry ended for the one who proposed it.
pub type Ended = Result<Bytes, ProposalError>;

/// A state machine on its log.
pub struct Applier {
    machine: Box<dyn StateMachine>,
    /// None: the log is plain.
    stamped: Option<Stamped>,
}

#[derive(Clone, Default)]
struct Stamped {
    time: LogTime,
    sessions: Sessions,
}

/// Commands that go to the state machine together.
#[derive(Default)]
struct Run {
    /// Index, epoch, time, command.
    commands: Vec<(u64, u64, LogTime, Bytes)>,
    /// The places of their entries in the batch, and their sessions.
    places: Vec<(usize, Option<Once>)>,
}

impl Applier {
    /// A state machine on a log whose entries are envelopes, or are commands as they are if it is `plain`.
    pub fn new(machine: Box<dyn StateMachine>, plain: bool) -> Self {
        Self {
            machine,
            stamped: (!plain).then(Stamped::default),
        }
    }

    /// The time of the state.
    pub fn time(&self) -> LogTime {
        self.stamped
            .as_ref()
            .map_or(LogTime(0), |stamped| stamped.time)
    }

    /// Open sessions.
    pub fn sessions(&self) -> usize {
        self.stamped
            .as_ref()
            .map_or(0, |stamped| stamped.sessions.len())
    }

    /// Applies entries that were committed together; one outcome for each, in order.
    /// # Errors
    /// The replica must stop.
    pub fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Ended>, ApplyError> {
        let mut ended = Vec::new();
        // A place for each; all are filled in the end.
        ended.resize(entries.len(), Ok(Bytes::new()));
        let mut run = Run::default();
        for (place, entry) in entries.iter().enumerate() {
            let Entry { index, epoch, data } = *entry;
            let Some(stamped) = &mut self.stamped else {
                run.push(place, None, (index, epoch, LogTime(0), data.clone()));
                continue;
            };
            if data.is_empty() {
                // Of a log that moved here: an entry that its provider kept for itself.
                continue;
            }
            let envelope =
                Envelope::read(data).map_err(|error| ApplyError::Envelope { index, error })?;
            stamped.time = stamped.time.max(envelope.time);
            let command = (index, epoch, stamped.time, envelope.data);
            match envelope.kind {
                Kind::Command => run.push(place, None, command),
                Kind::Open => stamped.sessions.open(index),
                Kind::Close(session) => stamped.sessions.close(session),
                Kind::Once(once) => match stamped.sessions.begin(&once, index) {
                    Ok(Known::Fresh) => run.push(place, Some(once), command),
                    Ok(Known::Answered(answer)) => ended[place] = Ok(answer),
                    Ok(Known::Pending) => {
                        self.carry_out(&mut run, &mut ended)?;
                        ended[place] = self.answered(&once, index);
                    }
                    Err(error) => ended[place] = Err(error),
                },
            }
        }
        self.carry_out(&mut run, &mut ended)?;
        Ok(ended)
    }

    /// The answer of a command that was carried out in the same batch.
    fn answered(&mut self, once: &Once, index: u64) -> Ended {
        let sessions = self.stamped.as_mut().map(|stamped| &mut stamped.sessions);
        match sessions.map(|sessions| sessions.begin(once, index)) {
            Some(Ok(Known::Answered(answer))) => Ok(answer),
            Some(Err(error)) => Err(error),
            // Its session was given up by what came between.
            _ => Err(ProposalError::NoSession(once.session)),
        }
    }

    fn carry_out(&mut self, run: &mut Run, ended: &mut [Ended]) -> Result<(), ApplyError> {
        let Run { commands, places } = std::mem::take(run);
        let Some(index) = commands.last().map(|command| command.0) else {
            return Ok(());
        };
        let commands: Vec<Command<'_>> = commands
            .iter()
            .map(|(index, epoch, time, data)| Command {
                index: *index,
                epoch: *epoch,
                time: *time,
                data,
            })
            .collect();
        let mut answers = Vec::with_capacity(commands.len());
        self.machine.apply_batch(&commands, &mut answers);
        if answers.len() != commands.len() {
            return Err(ApplyError::Answers {
                index,
                commands: commands.len(),
                answers: answers.len(),
            });
        }
        for ((place, once), answer) in places.into_iter().zip(answers) {
            if let (Some(once), Some(stamped)) = (once, &mut self.stamped) {
                stamped.sessions.end(&once, &answer);
            }
            ended[place] = Ok(answer);
        }
        Ok(())
    }

    /// Freezes the state as it is.
    pub fn snapshot(&mut self) -> SnapshotWriter {
        let stamped = self.stamped.clone();
        let machine = self.machine.snapshot();
        Box::new(move |out: &mut dyn Write| {
            if let Some(Stamped { time, sessions }) = stamped {
                out.write_all(&SNAPSHOT.to_be_bytes())?;
                out.write_all(&time.0.to_be_bytes())?;
                sessions.write(out)?;
            }
            machine(out)
        })
    }

    /// Replaces the state by what a snapshot holds.
    /// # Errors
    /// The snapshot is not one of this kind of log, or cannot be read. The state may be half replaced.
    pub fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        if let Some(stamped) = &mut self.stamped {
            if read_u64(snapshot)? != SNAPSHOT {
                let what = "this snapshot has no time and no sessions: it is of a plain log";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            stamped.time = LogTime(read_u64(snapshot)?);
            stamped.sessions = Sessions::read(snapshot)?;
        }
        self.machine.restore(snapshot)
    }

    /// Tells the state machine what happened.
    pub fn event(&mut self, event: &Event) {
        self.machine.event(event);
    }
}

impl Run {
    fn push(&mut self, place: usize, once: Option<Once>, command: (u64, u64, LogTime, Bytes)) {
        self.places.push((place, once));
        self.commands.push(command);
    }
}
