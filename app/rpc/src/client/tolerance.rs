use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::endpoint::{Endpoint, PERMILLE_FULL};

/// When a server that fails more than the others gets fewer calls: the original's fault tolerance
/// (`sofastack/sofa-rpc:fault/fault-tolerance/.../FaultToleranceConfig.java`), off by default there and here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToleranceRule {
    /// Calls are judged in windows of this length.
    pub window: Duration,
    /// A server is judged when it had so many calls in the window, fewer in proportion to a degraded weight.
    pub calls_min: u32,
    /// Abnormal is an error rate of so many times the average of all servers.
    pub rate_multiple: f64,
    /// An abnormal server's weight is multiplied by this.
    pub degrade_rate: f64,
    /// A degraded server that is normal again gets its weight multiplied by this.
    pub recover_rate: f64,
    /// No more servers than this are degraded at a time.
    pub degraded_max: usize,
}

impl Default for ToleranceRule {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            calls_min: 10,
            rate_multiple: 6.0,
            degrade_rate: 0.05,
            recover_rate: 2.0,
            degraded_max: 2,
        }
    }
}

impl ToleranceRule {
    /// Ends a window: judges every endpoint and begins to count anew.
    pub(super) fn judge(&self, endpoints: &[Arc<Endpoint>]) {
        let counts: Vec<(u32, u32)> = endpoints
            .iter()
            .map(|endpoint| {
                (
                    endpoint.health.calls.swap(0, Relaxed),
                    endpoint.health.errors.swap(0, Relaxed),
                )
            })
            .collect();
        let before: Vec<u32> = endpoints
            .iter()
            .map(|endpoint| endpoint.health.permille.load(Relaxed))
            .collect();
        for (endpoint, permille) in endpoints.iter().zip(self.judged(&counts, &before)) {
            if endpoint.health.permille.swap(permille, Relaxed) != permille {
                tracing::warn!(addr = %endpoint.provider.addr, permille, "weight changed by fault tolerance");
            }
        }
    }

    /// The new share of each endpoint from calls and errors of the window and its share before.
    fn judged(&self, counts: &[(u32, u32)], before: &[u32]) -> Vec<u32> {
        let enough = |calls: u32, permille: u32| {
            let wanted = f64::from(self.calls_min) * f64::from(permille) / f64::from(PERMILLE_FULL);
            calls > 0 && f64::from(calls) >= wanted
        };
        let measured = || {
            counts
                .iter()
                .zip(before)
                .filter(|((calls, _), permille)| enough(*calls, **permille))
        };
        let calls: u64 = measured().map(|((calls, _), _)| u64::from(*calls)).sum();
        let errors: u64 = measured().map(|((_, errors), _)| u64::from(*errors)).sum();
        if calls == 0 {
            return before.to_vec();
        }
        let average = errors as f64 / calls as f64;
        let mut degraded = before
            .iter()
            .filter(|permille| **permille < PERMILLE_FULL)
            .count();
        let judge_one = |(&(calls, errors), &permille): (&(u32, u32), &u32)| {
            if !enough(calls, permille) {
                return permille;
            }
            let rate = f64::from(errors) / f64::from(calls);
            let abnormal = average > 0.0 && rate / average >= self.rate_multiple;
            let is_degraded = permille < PERMILLE_FULL;
            if abnormal && (is_degraded || degraded < self.degraded_max) {
                degraded += usize::from(!is_degraded);
                return ((f64::from(permille) * self.degrade_rate) as u32).max(1);
            }
            if !abnormal && is_degraded {
                return ((f64::from(permille) * self.recover_rate).ceil() as u32)
                    .min(PERMILLE_FULL);
            }
            permille
        };
        counts.iter().zip(before).map(judge_one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: fn() -> ToleranceRule = ToleranceRule::default;

    #[test]
    fn a_server_that_fails_more_than_the_others_is_degraded_and_recovers() {
        let good = (100, 0);
        let counts = [(100, 90), good, good, good, good, good, good, good];
        let mut share = vec![1000; 8];
        share = RULE().judged(&counts, &share);
        assert_eq!(share, [50, 1000, 1000, 1000, 1000, 1000, 1000, 1000]);
        share = RULE().judged(&counts, &share);
        assert_eq!(share[0], 2);
        // Normal again, with the few calls that its weight brings.
        let well = [(1, 0), good, good, good, good, good, good, good];
        for expected in [4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000] {
            let mut counts = well;
            counts[0].0 = 10;
            share = RULE().judged(&counts, &share);
            assert_eq!(share[0], expected);
        }
    }

    #[test]
    fn not_more_than_two_servers_are_degraded_and_few_calls_prove_nothing() {
        let mut counts = vec![(100, 0); 40];
        counts[3] = (100, 100);
        counts[5] = (100, 100);
        counts[7] = (100, 100);
        let share = RULE().judged(&counts, &[1000; 40]);
        assert_eq!(share.iter().filter(|share| **share < 1000).count(), 2);

        let mut counts = vec![(100, 0); 40];
        counts[0] = (9, 9);
        assert_eq!(RULE().judged(&counts, &[1000; 40]), [1000; 40]);
        assert_eq!(RULE().judged(&[], &[]), [0; 0]);
    }

    #[test]
    fn when_all_fail_alike_nobody_is_degraded() {
        assert_eq!(RULE().judged(&[(100, 50); 3], &[1000; 3]), [1000; 3]);
    }
}
