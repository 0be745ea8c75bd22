//! What runs of killed nodes share, whatever the nodes do: their processes, and the ways between them.

pub mod network;
pub mod process;

use std::time::{SystemTime, UNIX_EPOCH};

/// The seed that is given, or one from the clock.
pub fn seed(given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(1, |since| since.as_nanos() as u64)
    })
}
