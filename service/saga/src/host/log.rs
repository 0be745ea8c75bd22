//! The engine as a log drives it: commands come in batches, each batch one entry.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use diwan_archive::{Archive, Entry as Archived, Place};
use diwan_log::{Command as Entry, Event, SnapshotWriter, StateMachine};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::engine::{Call, Command, Config, Effect, Ended, Refused, Sagas, Snapshot};

/// What the host is told, on the log's thread.
#[derive(Debug)]
pub enum Signal {
    /// This node leads: it makes the calls.
    Leads,
    /// It does not.
    Follows,
    /// Calls to be made by the node that leads.
    Calls(Vec<Call>),
    /// Sagas that stopped or left, by their ids; on every node.
    Stopped(Vec<Arc<str>>),
}

/// The answer to a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Why it does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
    /// Because the saga is there already.
    #[serde(default)]
    pub(super) exists: bool,
}

/// The sagas, between the log that changes them and the host that looks at them.
#[derive(Clone)]
pub struct Shared {
    sagas: Arc<Mutex<Sagas>>,
    config: Config,
    signals: mpsc::UnboundedSender<Signal>,
    archive: Option<Archive>,
}

impl Shared {
    /// None yet. Those that have left go to the archive, if there is one.
    #[must_use]
    pub fn new(
        config: Config,
        archive: Option<Archive>,
    ) -> (Self, mpsc::UnboundedReceiver<Signal>) {
        let (signals, signalled) = mpsc::unbounded_channel();
        let shared = Self {
            sagas: Arc::new(Mutex::new(Sagas::new(config.clone()))),
            config,
            signals,
            archive,
        };
        (shared, signalled)
    }

    /// The sagas, as of the last batch.
    pub fn lock(&self) -> MutexGuard<'_, Sagas> {
        self.sagas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where sagas are that have left.
    #[must_use]
    pub fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    fn archived(&self, ended: Box<Ended>, place: Place, ended_ms: u64) {
        let Some(archive) = &self.archive else {
            return;
        };
        archive.add(Archived {
            place,
            id: ended.saga.id.to_string(),
            ended_ms,
            // Values and texts, and nothing else: it always has a form.
            value: Box::new(move || serde_json::to_vec(&ended).unwrap_or_default()),
        });
    }

    /// The replica that the log drives.
    #[must_use]
    pub fn machine(&self) -> Box<dyn StateMachine> {
        Box::new(Replica {
            shared: self.clone(),
            leads: false,
        })
    }
}

struct Replica {
    shared: Shared,
    leads: bool,
}

impl Replica {
    fn tell(&self, signal: Signal) {
        // Nobody listens once the node stops.
        let _ = self.shared.signals.send(signal);
    }
}

/// A batch as it stands in the log: JSON, so that a log can be read.
pub fn batch(commands: &[Command]) -> Bytes {
    // Values and texts, and nothing else: it always has a form.
    serde_json::to_vec(commands).unwrap_or_default().into()
}

pub(super) fn decode_answers(content: &[u8]) -> Vec<Answer> {
    serde_json::from_slice(content).unwrap_or_default()
}

impl StateMachine for Replica {
    fn apply(&mut self, entry: Entry<'_>) -> Bytes {
        // What cannot be read answers nothing, everywhere alike.
        let commands: Vec<Command> = serde_json::from_slice(entry.data).unwrap_or_default();
        let now_ms = entry.time.0 / 1_000;
        let mut effects = Vec::new();
        let mut sagas = self.shared.lock();
        sagas.in_leadership(entry.epoch);
        let answer = |reply: Result<_, Refused>| match reply {
            Ok(_) => Answer::default(),
            Err(why) => Answer {
                exists: matches!(why, Refused::SagaExists(_)),
                refused: Some(why.to_string()),
            },
        };
        let answers: Vec<Answer> = commands
            .into_iter()
            .map(|command| answer(sagas.apply(now_ms, command, &mut effects)))
            .collect();
        let (mut calls, mut stopped) = (Vec::new(), Vec::new());
        let mut place = Place {
            index: entry.index,
            number: 0,
        };
        for effect in effects {
            match effect {
                Effect::Call(call) => calls.push(call),
                Effect::Stopped { saga, .. } => {
                    stopped.extend(sagas.by_key(saga).map(|saga| Arc::clone(&saga.id)));
                }
                Effect::Ended(ended) => {
                    stopped.push(Arc::clone(&ended.saga.id));
                    self.shared.archived(ended, place, now_ms);
                    place.number += 1;
                }
            }
        }
        drop(sagas);
        if self.leads && !calls.is_empty() {
            self.tell(Signal::Calls(calls));
        }
        if !stopped.is_empty() {
            self.tell(Signal::Stopped(stopped));
        }
        serde_json::to_vec(&answers).unwrap_or_default().into()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let snapshot = self.shared.lock().snapshot();
        let archive = self.shared.archive.clone();
        Box::new(move |out: &mut dyn Write| {
            // The log that could fill it again may go once there is a snapshot.
            if let Some(archive) = archive {
                archive.settle();
            }
            serde_json::to_writer(out, &snapshot).map_err(io::Error::other)
        })
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let snapshot: Snapshot =
            serde_json::from_reader(snapshot).map_err(|error| invalid(error.to_string()))?;
        let sagas = Sagas::restore(snapshot).map_err(|error| invalid(error.to_string()))?;
        *self.shared.lock() = sagas;
        Ok(())
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::StartLeading { .. } => self.leads = true,
            Event::StopLeading { .. }
            | Event::Following { .. }
            | Event::NoLeader
            | Event::Failed { .. } => self.leads = false,
            Event::Members { .. } | Event::Restored { .. } => return,
        }
        self.tell(match self.leads {
            true => Signal::Leads,
            false => Signal::Follows,
        });
    }
}

impl Shared {
    /// The bounds and defaults.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}
