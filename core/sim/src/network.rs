//! Links that lose, double, delay and reorder, one way or both.

use std::collections::BTreeSet;

use crate::random::Random;

/// How packets fare.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) loss_permille: u64,
    pub(crate) duplicate_permille: u64,
    pub(crate) delay_micros: (u64, u64),
    /// Of packets that take much longer.
    pub(crate) slow_permille: u64,
    /// Directed links that are cut.
    pub(crate) cut: BTreeSet<(usize, usize)>,
}

impl Network {
    pub(crate) fn calm() -> Self {
        Self {
            loss_permille: 0,
            duplicate_permille: 0,
            delay_micros: (200, 2_000),
            slow_permille: 0,
            cut: BTreeSet::new(),
        }
    }

    /// When the copies of a packet arrive, in microseconds from now: none, one or two.
    pub(crate) fn arrivals(&self, from: usize, to: usize, random: &mut Random) -> Vec<u64> {
        if self.cut.contains(&(from, to)) || random.permille(self.loss_permille) {
            return Vec::new();
        }
        let copies = 1 + u64::from(random.permille(self.duplicate_permille));
        let mut delay = || {
            let (low, high) = self.delay_micros;
            let usual = random.between(low, high);
            if random.permille(self.slow_permille) {
                usual + random.below(3_000_000)
            } else {
                usual
            }
        };
        (0..copies).map(|_| delay()).collect()
    }
}
