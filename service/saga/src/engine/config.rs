//! Bounds and defaults.

use serde::{Deserialize, Serialize};

/// Bounds and defaults of the engine. All replicas must have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Sagas that live at once, those that others started included.
    pub sagas_max: usize,
    /// The states that one saga goes through, repetitions included.
    pub records_max: usize,
    /// The elements of one loop.
    pub loop_max: usize,
    /// The bytes of a saga's parameters, of a call's result and of its exception, roughly.
    pub value_bytes_max: usize,
    /// The variables that a saga starts with, or is given by somebody.
    pub variables_max: usize,
    /// How deep sagas start sagas.
    pub depth_max: u32,
    /// The machines that are defined.
    pub machines_max: usize,
    /// The states that a saga goes through without waiting.
    pub steps_max: u32,
    /// After this time a saga is recovered as its machine says (`AbstractStateMachineConfig.java`: 30 minutes).
    pub transaction_timeout_ms: u64,
    /// A call without an answer for this long has an unknown outcome (`AbstractStateMachineConfig.java`: 5 minutes).
    pub call_timeout_ms: u64,
    /// Whether sagas that did not end well are recovered. Seata's engine alone does not; its coordinator asks for it.
    pub recovers: bool,
    /// Before the first recovery; each further one waits twice as long.
    pub recovery_first_ms: u64,
    /// No recovery waits longer.
    pub recovery_most_ms: u64,
    /// From this many states on, automatic recovery overwrites its history instead of adding to it.
    pub recovery_records: usize,
    /// How long an ended saga can still be operated on.
    pub retention_ms: u64,
    /// Whether a retried state overwrites its history, if its machine does not say.
    pub retry_updates: bool,
    /// The same of a repeated compensation.
    pub compensation_updates: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sagas_max: 1_000_000,
            records_max: 10_000,
            loop_max: 4_096,
            value_bytes_max: 1 << 20,
            variables_max: 1_000,
            depth_max: 16,
            machines_max: 10_000,
            steps_max: 10_000,
            transaction_timeout_ms: 30 * 60_000,
            call_timeout_ms: 5 * 60_000,
            recovers: true,
            recovery_first_ms: 1_000,
            recovery_most_ms: 5 * 60_000,
            recovery_records: 256,
            retention_ms: 0,
            retry_updates: false,
            compensation_updates: false,
        }
    }
}
