//! The state machine as the log drives it, and as the edge looks at it.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use diwan_log::{Command, Event, SnapshotWriter, StateMachine};
use prost::Message;
use tokio::sync::mpsc;

use super::command::{Answers, Batch};
use super::coordinator::{Config, Coordinator, Effect};
use super::global::Global;

/// What the edge is told, on the log's thread.
#[derive(Debug)]
pub enum Signal {
    /// This node leads: what is on its way is its to do, and everything from now on.
    Leads,
    /// It does not: another one does, if one is known.
    Follows(Option<String>),
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

const SNAPSHOT_VERSION: u32 = 1;
/// A transaction with all its branches takes no more.
const GLOBAL_BYTES_MAX: usize = 1 << 30;

/// What stands at the beginning of a snapshot.
#[derive(Clone, PartialEq, Message)]
struct Head {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(sint64, tag = "2")]
    last_id: i64,
    #[prost(uint64, tag = "3")]
    now_us: u64,
    #[prost(uint64, tag = "4")]
    globals: u64,
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
        let state = self.shared.lock();
        let head = Head {
            version: SNAPSHOT_VERSION,
            last_id: state.last_id,
            now_us: state.now_us,
            globals: state.globals.len() as u64,
        };
        let globals = state.globals.clone();
        Box::new(move |out: &mut dyn Write| {
            write_framed(out, &head)?;
            for (_, global) in globals.iter() {
                write_framed(out, global)?;
            }
            Ok(())
        })
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let head: Head = read_framed(snapshot)?;
        if head.version != SNAPSHOT_VERSION {
            let why = format!("a snapshot of version {} of the coordinator", head.version);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut state = Coordinator::new(self.shared.config, self.shared.seed);
        state.last_id = head.last_id;
        state.now_us = head.now_us;
        for _ in 0..head.globals {
            state.put_back(read_framed::<Global>(snapshot)?);
        }
        *self.shared.lock() = state;
        Ok(())
    }

    fn event(&mut self, event: &Event) {
        let signal = match event {
            Event::StartLeading { .. } => Signal::Leads,
            Event::Following { leader, .. } => Signal::Follows(Some(leader.clone())),
            Event::StopLeading { .. } | Event::NoLeader | Event::Failed { .. } => {
                Signal::Follows(None)
            }
            Event::Members { .. } | Event::Restored { .. } => return,
        };
        self.leads = matches!(signal, Signal::Leads);
        let _ = self.shared.signals.send(signal);
    }
}

fn write_framed(out: &mut dyn Write, message: &impl Message) -> io::Result<()> {
    let bytes = message.encode_length_delimited_to_vec();
    out.write_all(&bytes)
}

fn read_framed<M: Message + Default>(input: &mut dyn Read) -> io::Result<M> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let mut prefix = Vec::new();
    loop {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        prefix.push(byte[0]);
        if byte[0] < 0x80 {
            break;
        }
        if prefix.len() == 10 {
            return Err(invalid("a length of more than ten bytes"));
        }
    }
    let length = prost::decode_length_delimiter(&prefix[..]);
    let length = length.map_err(|error| invalid(&error.to_string()))?;
    if length > GLOBAL_BYTES_MAX {
        return Err(invalid("a transaction of more than a gibibyte"));
    }
    let mut bytes = Vec::new();
    input.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    M::decode(&bytes[..]).map_err(|error| invalid(&error.to_string()))
}
