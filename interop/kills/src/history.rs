//! What the clients asked for and were told, and whether one order explains it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use diwan_sim::{Action, Operation, Random, is_linearizable};

/// A key is left for the next one after this many operations, or after this many puts of unknown outcome: the search for an
/// order grows with both.
const OPERATIONS_MAX: usize = 40;
const UNKNOWN_MAX: usize = 5;
/// Keys in use at the same time.
const KEYS_OPEN: usize = 4;

#[derive(Default)]
struct Register {
    asked: usize,
    unknown: usize,
    operations: Vec<Operation>,
}

struct State {
    open: [u64; KEYS_OPEN],
    next_value: u64,
    registers: BTreeMap<u64, Register>,
    counts: Counts,
}

/// How operations ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Acknowledged puts.
    pub puts: u64,
    /// Answered gets.
    pub gets: u64,
    /// Puts of which nobody knows.
    pub unknown: u64,
}

/// All that happened to all keys.
pub struct History {
    began: Instant,
    state: Mutex<State>,
}

impl History {
    /// Nothing has happened yet.
    pub fn new() -> History {
        History {
            began: Instant::now(),
            state: Mutex::new(State {
                open: std::array::from_fn(|key| key as u64),
                next_value: 1,
                registers: BTreeMap::new(),
                counts: Counts::default(),
            }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Now, in nanoseconds.
    pub fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// A key for the next operation.
    pub fn key(&self, random: &mut Random) -> u64 {
        let mut state = self.state();
        let slot = random.below(KEYS_OPEN as u64) as usize;
        let key = state.open[slot];
        let register = state.registers.entry(key).or_default();
        register.asked += 1;
        if register.asked >= OPERATIONS_MAX || register.unknown >= UNKNOWN_MAX {
            let last = state.open.iter().copied().max().unwrap_or_default();
            state.open[slot] = last + 1;
        }
        key
    }

    /// A value that nobody has put yet.
    pub fn value(&self) -> u64 {
        let mut state = self.state();
        state.next_value += 1;
        state.next_value - 1
    }

    /// Notes what ended. `returned` is none for a put whose outcome is unknown.
    pub fn record(&self, key: u64, action: Action, called: u64, returned: Option<u64>) {
        let mut state = self.state();
        match (action, returned) {
            (Action::Put(_), Some(_)) => state.counts.puts += 1,
            (Action::Put(_), None) => state.counts.unknown += 1,
            (Action::Get(_), _) => state.counts.gets += 1,
        }
        let register = state.registers.entry(key).or_default();
        register.unknown += usize::from(returned.is_none());
        register.operations.push(Operation {
            action,
            called,
            returned: returned.unwrap_or(u64::MAX),
        });
    }

    /// How operations ended so far.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Every key that was used.
    pub fn keys(&self) -> Vec<u64> {
        self.state().registers.keys().copied().collect()
    }

    /// The first key whose operations no order explains, and the operations.
    pub fn violation(&self) -> Option<String> {
        let state = self.state();
        let broken = state
            .registers
            .iter()
            .find(|(_, register)| !is_linearizable(&register.operations));
        broken.map(|(key, register)| {
            let mut operations = register.operations.clone();
            operations.sort_by_key(|operation| operation.called);
            let lines: Vec<String> = operations.iter().map(line).collect();
            format!(
                "no order explains what clients saw of key {key}:\n{}",
                lines.join("\n")
            )
        })
    }
}

fn line(operation: &Operation) -> String {
    let called = operation.called / 1000;
    match operation.returned {
        u64::MAX => format!("  {called} us: {:?}, outcome unknown", operation.action),
        returned => format!(
            "  {called} to {} us: {:?}",
            returned / 1000,
            operation.action
        ),
    }
}

/// The bytes of a value: its number, and as many more as follow from it.
pub fn bytes_of(value: u64) -> Vec<u8> {
    let mut bytes = value.to_be_bytes().to_vec();
    let mut random = Random::new(value);
    bytes.extend((0..random.below(1500)).map(|place| (value ^ place) as u8));
    bytes
}

/// The value with these bytes; none if no client ever made them.
pub fn value_of(bytes: &[u8]) -> Option<u64> {
    let value = u64::from_be_bytes(*bytes.first_chunk::<8>()?);
    (bytes_of(value) == bytes).then_some(value)
}
