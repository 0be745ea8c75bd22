//! Bytes per second that may go through somewhere, as a pure count: snapshots must not take the network and the disk from
//! the groups that work.

use std::time::Duration;

use diwan_raft::Time;

/// So many bytes per second, and a tenth of a second's bytes at once.
#[derive(Debug)]
pub struct Throttle {
    /// None: no limit.
    bytes_per_second: Option<u64>,
    /// Bytes that may go now.
    free: u64,
    at: Time,
}

impl Throttle {
    /// One that lets through `bytes_per_second`; None for all.
    pub fn new(bytes_per_second: Option<u64>, now: Time) -> Self {
        let mut throttle = Self {
            bytes_per_second: bytes_per_second.map(|bytes| bytes.max(1)),
            free: 0,
            at: now,
        };
        throttle.free = throttle.burst();
        throttle
    }

    fn burst(&self) -> u64 {
        self.bytes_per_second
            .map_or(u64::MAX, |bytes| (bytes / 10).max(1))
    }

    /// How many of `wanted` bytes may go now: all of them, or as many as ever go at once.
    /// # Errors
    /// None yet: how long to wait.
    pub fn take(&mut self, wanted: u64, now: Time) -> Result<u64, Duration> {
        let Some(rate) = self.bytes_per_second else {
            return Ok(wanted);
        };
        let micros = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        let more = u128::from(micros) * u128::from(rate) / 1_000_000;
        if more > 0 {
            // What is less than a byte goes on counting.
            self.at = now;
            let more = u64::try_from(more).unwrap_or(u64::MAX);
            self.free = self.free.saturating_add(more).min(self.burst());
        }
        let granted = wanted.min(self.burst());
        if granted > self.free {
            let missing = u128::from(granted - self.free) * 1_000_000;
            let micros = missing.div_ceil(u128::from(rate));
            return Err(Duration::from_micros(
                u64::try_from(micros).unwrap_or(u64::MAX),
            ));
        }
        self.free -= granted;
        Ok(granted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_not_used_is_kept_for_a_tenth_of_a_second() {
        let mut throttle = Throttle::new(Some(1_000), Time(0));
        assert_eq!(throttle.take(70, Time(0)), Ok(70));
        assert_eq!(throttle.take(70, Time(0)), Err(Duration::from_millis(40)));
        assert_eq!(throttle.take(70, Time(40_000)), Ok(70));
        // As much as ever goes at once, however long nobody came.
        assert_eq!(throttle.take(5_000, Time(60_000_000)), Ok(100));
        assert!(throttle.take(1, Time(60_000_000)).is_err());
        assert_eq!(
            Throttle::new(None, Time(0)).take(1 << 40, Time(0)),
            Ok(1 << 40)
        );
    }

    proptest! {
        #[test]
        fn whoever_waits_as_told_gets_the_rate_and_no_more(
            rate in 1_u64..1 << 40, wanted in 1_u64..1 << 20, begin in 0_u64..1 << 40,
        ) {
            let mut throttle = Throttle::new(Some(rate), Time(begin));
            let (mut now, mut sum) = (Time(begin), 0_u64);
            for _ in 0..1_000 {
                match throttle.take(wanted, now) {
                    Ok(granted) => {
                        prop_assert!(granted > 0 && granted <= wanted);
                        sum += granted;
                    }
                    Err(wait) => now = now + wait,
                }
                let seconds = now.since(Time(begin)).as_secs_f64();
                let most = rate as f64 * (seconds + 0.1) + 2.0;
                prop_assert!(sum as f64 <= most * 1.000_001, "{sum} in {seconds} s");
            }
            // Each wait is as long as it needs to be: the last one at the latest was followed by bytes.
            prop_assert!(sum >= wanted.min((rate / 10).max(1)) * 400);
        }
    }
}
