//! The state machine as the log drives it, and as the edge looks at it.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use diwan_log::{Command, Event, SnapshotWriter, StateMachine};
use prost::Message as _;
use tokio::sync::mpsc;

use super::command::{Answers, Batch};
use super::coordinator::{Config, Coordinator, Effect};

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
}

impl Shared {
    /// Nothing is known yet. `seed` is a secret of this process.
    pub fn new(config: Config, seed: u64) -> (Self, mpsc::UnboundedReceiver<Signal>) {
        let (signals, signalled) = mpsc::unbounded_channel();
        let shared = Self {
            state: Arc::new(Mutex::new(Coordinator::new(config, seed))),
            config,
            seed,
            signals,
        };
        (shared, signalled)
    }

    /// The state, as of the last batch.
    pub fn lock(&self) -> MutexGuard<'_, Coordinator> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        drop(state);
        if self.leads && !effects.is_empty() {
            // Nobody listens once the node stops.
            let _ = self.shared.signals.send(Signal::Effects(effects));
        }
        answers.encode_to_vec().into()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        self.shared.lock().snapshot()
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
