//! The time that state machines see: given by whoever leads, never by their own clocks.

/// Microseconds since 1970, as far as leaders' clocks could be trusted: it never goes back and never jumps, so that it is
/// made for timeouts. Zero: nothing was ever stamped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogTime(pub u64);

/// Stamps the commands of one leadership after the other. From one stamp to the next, time advances by what passed on the
/// leader's monotonic clock, give or take 1 %, whatever its wall clock does; the 1 % brings it towards the wall clock. What
/// passed without a leader does not count at once: nothing may time out because nobody was there to serve it.
#[derive(Clone, Debug)]
pub struct LeaderClock {
    /// The last stamp, and the monotonic clock then.
    last: Option<(LogTime, u64)>,
    /// Hundredths of a microsecond that the correction may still use.
    carry: u64,
}

/// A stamp, and what the wall clock says against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time for the command.
    pub time: LogTime,
    /// Microseconds by which the wall clock is ahead of it; negative if it is behind.
    pub ahead: i64,
}

impl LeaderClock {
    /// A leadership begins: everything earlier is applied, and `applied` is the state's time. `monotonic` is now, in
    /// microseconds.
    pub fn begin(applied: LogTime, monotonic: u64) -> Self {
        Self {
            last: (applied.0 != 0).then_some((applied, monotonic)),
            carry: 0,
        }
    }

    /// Stamps a command at `monotonic` microseconds of a clock that never goes back, `wall` microseconds since 1970 by the
    /// wall clock. The very first command of a log takes the wall clock's word.
    pub fn stamp(&mut self, monotonic: u64, wall: u64) -> Stamp {
        let time = match self.last {
            None => wall.max(1),
            Some((LogTime(last), at)) => {
                let elapsed = monotonic.saturating_sub(at);
                self.carry += elapsed;
                let most = self.carry / 100;
                let expected = last.saturating_add(elapsed);
                let correction = wall.abs_diff(expected).min(most);
                self.carry %= 100;
                match wall > expected {
                    true => expected.saturating_add(correction),
                    false => expected.saturating_sub(correction),
                }
            }
        };
        let time = LogTime(time);
        self.last = Some((time, monotonic));
        let ahead = i64::try_from(i128::from(wall) - i128::from(time.0));
        Stamp {
            time,
            ahead: ahead.unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000;
    const NOON: u64 = 1_700_000_000_000_000;

    #[test]
    fn the_first_stamp_of_a_log_is_the_wall_clocks_and_later_ones_follow_it() {
        let mut clock = LeaderClock::begin(LogTime(0), 5);
        assert_eq!(clock.stamp(10, NOON).time, LogTime(NOON));
        let stamp = clock.stamp(1_010, NOON + 1_000);
        assert_eq!((stamp.time, stamp.ahead), (LogTime(NOON + 1_000), 0));
    }

    #[test]
    fn a_wall_clock_that_jumps_is_followed_by_one_percent_and_reported() {
        for (jump, says) in [(HOUR as i64, 101), (-(HOUR as i64), 99)] {
            let mut clock = LeaderClock::begin(LogTime(0), 0);
            clock.stamp(0, NOON);
            let wall = (NOON as i64 + 100 + jump) as u64;
            let stamp = clock.stamp(100, wall);
            assert_eq!(stamp.time, LogTime(NOON + says));
            assert_eq!(stamp.ahead, jump + 100 - says as i64);
        }
    }

    #[test]
    fn many_small_steps_are_corrected_like_a_large_one() {
        let mut clock = LeaderClock::begin(LogTime(0), 0);
        clock.stamp(0, NOON);
        let mut last = LogTime(NOON);
        for step in 1..=1_000_000 {
            last = clock.stamp(step, NOON + HOUR).time;
        }
        assert_eq!(last, LogTime(NOON + 1_010_000));
    }

    #[test]
    fn time_without_a_leader_does_not_count() {
        let mut clock = LeaderClock::begin(LogTime(NOON), 77);
        let stamp = clock.stamp(78, NOON + 24 * HOUR);
        assert_eq!(stamp.time, LogTime(NOON + 1));
        assert!(stamp.ahead > 23 * HOUR as i64);
        clock = LeaderClock::begin(LogTime(NOON + 9), 1_000);
        assert_eq!(clock.stamp(1_000, 3).time, LogTime(NOON + 9));
    }
}
