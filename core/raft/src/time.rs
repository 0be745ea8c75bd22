//! Time as the caller tells it.

use std::time::Duration;

/// Microseconds of a monotonic clock whose origin is the caller's. It must go on while the machine sleeps (CLOCK_BOOTTIME):
/// a lease must not outlive a suspended machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// A time that is never reached.
    pub const NEVER: Time = Time(u64::MAX);

    /// Since `earlier`, zero if that is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        Time(
            self.0
                .saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

/// SplitMix64: the only source of spread in the core, seeded by the caller.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between `low` and twice `low`.
    pub(crate) fn spread(&mut self, low: Duration) -> Duration {
        let micros = u64::try_from(low.as_micros()).unwrap_or(u64::MAX).max(1);
        low + Duration::from_micros(self.next() % micros)
    }
}
