//! The state machine as the log drives it, and as the edge looks at it.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use diwan_archive::{Archive, Entry, Place};
use diwan_log::{Command, Event, SnapshotWriter, StateMachine};
use diwan_seata::GlobalStatus;
use prost::Message as _;
use tokio::sync::mpsc;

use super::command::{Answers, Batch};
use super::coordinator::{Config, Coordinator, Effect};
use super::global::Global;

/// What the edge is told, on the log's thread.
#[derive(Debug)]
pub enum Signal {
    /// This node leads: what is on its way is its to do, and everything from now on.
    Leads {
        /// Since when: it grows with each leadership.
        epoch: u64,
    },
    /// It does not: another one does, if one is known, and since when.
    Follows(Option<(String, u64)>),
    /// What is to be done.
    Effects(Vec<Effect>),
}

/// The state, between the log that changes it and the edge that reads it.
#[derive(Clone)]
pub struct Shared {
    state: Arc<Mutex<Coordinator>>,
    config: Config,
    seed: u64,
    signals: mpsc::UnboundedSender<Signal>,
    archive: Option<Archive>,
}

impl Shared {
    /// Nothing is known yet. `seed` is a secret of this process; what has ended goes to the archive, if there is one.
    pub fn new(
        config: Config,
        seed: u64,
        archive: Option<Archive>,
    ) -> (Self, mpsc::UnboundedReceiver<Signal>) {
        let (signals, signalled) = mpsc::unbounded_channel();
        let shared = Self {
            state: Arc::new(Mutex::new(Coordinator::new(config, seed))),
            config,
            seed,
            signals,
            archive,
        };
        (shared, signalled)
    }

    /// The state, as of the last batch.
    pub fn lock(&self) -> MutexGuard<'_, Coordinator> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where transactions are that have ended.
    pub fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    /// The replica that the log drives.
    pub fn machine(&self) -> Box<dyn StateMachine> {
        Box::new(Machine {
            shared: self.clone(),
            leads: false,
        })
    }
}

struct Machine {
    shared: Shared,
    leads: bool,
}

impl Machine {
    /// What has ended goes to the archive, on every node. Where there was no branch to commit there is nothing to tell.
    fn archive(&self, effects: &[Effect], index: u64, now_us: u64) {
        let Some(archive) = &self.shared.archive else {
            return;
        };
        let ended = effects.iter().filter_map(|effect| match effect {
            Effect::Ended { global, status } => Some((global, *status)),
            _ => None,
        });
        let is_empty = |global: &Global, status| {
            status == GlobalStatus::Committed
                && !global.is_saga()
                && global.branches.is_empty()
                && global.told.is_empty()
        };
        let ended = ended.filter(|(global, status)| !is_empty(global, *status));
        for (number, (global, _)) in (0..).zip(ended) {
            let kept = global.clone();
            archive.add(Entry {
                place: Place { index, number },
                id: global.id.to_string(),
                ended_ms: now_us / 1_000,
                value: Box::new(move || kept.to_bytes()),
            });
        }
    }
}

impl StateMachine for Machine {
    fn apply(&mut self, command: Command<'_>) -> Bytes {
        let mut state = self.shared.lock();
        // A batch that cannot be read answers nothing, everywhere alike.
        let batch = Batch::decode(&command.data[..]).unwrap_or_default();
        let answers = batch.operations.into_iter();
        let answers = answers.map(|operation| state.apply(operation, command.time.0));
        let answers = Answers {
            answers: answers.collect(),
        };
        let effects = state.effects();
        let now_us = state.now_us();
        drop(state);
        self.archive(&effects, command.index, now_us);
        if self.leads && !effects.is_empty() {
            // Nobody listens once the node stops.
            let _ = self.shared.signals.send(Signal::Effects(effects));
        }
        answers.encode_to_vec().into()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let write = self.shared.lock().snapshot();
        let archive = self.shared.archive.clone();
        Box::new(move |out| {
            // The log that could fill it again may go once there is a snapshot.
            if let Some(archive) = archive {
                archive.settle();
            }
            write(out)
        })
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let Shared { config, seed, .. } = self.shared;
        let restored = Coordinator::restored(config, seed, snapshot)?;
        *self.shared.lock() = restored;
        Ok(())
    }

    fn event(&mut self, event: &Event) {
        let signal = match event {
            Event::StartLeading { epoch } => Signal::Leads { epoch: *epoch },
            Event::Following { leader, epoch } => Signal::Follows(Some((leader.clone(), *epoch))),
            Event::StopLeading { .. } | Event::NoLeader | Event::Failed { .. } => {
                Signal::Follows(None)
            }
            Event::Members { .. } | Event::Restored { .. } => return,
        };
        self.leads = matches!(signal, Signal::Leads { .. });
        let _ = self.shared.signals.send(signal);
    }
}
