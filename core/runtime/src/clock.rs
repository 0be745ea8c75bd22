//! The clock of timers and leases, and the one that people read.

use std::time::SystemTime;

use diwan_raft::Time;
use rustix::time::{ClockId, clock_gettime};

/// CLOCK_BOOTTIME: monotonic, and it goes on while the machine sleeps, so that no lease outlives a suspended machine.
pub fn now() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Time(seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000)
}

/// Microseconds since 1970, as the wall clock has it.
pub fn wall() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}
