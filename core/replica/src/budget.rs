//! What all groups of a node hold in memory together, and what they may. Groups tell what they hold; whoever has most gives
//! first. Nothing here knows the time, and the same numbers have the same outcome.

/// What the groups of a node may hold together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of memory for entries, in use or kept for slow followers. What is not durable or not applied cannot leave.
    pub cache_bytes_max: usize,
    /// Bytes of entries proposed and not committed; beyond it proposals are refused as busy.
    pub uncommitted_bytes_max: usize,
    /// Proposals without an outcome; beyond it proposals are refused as busy.
    pub proposals_max: usize,
    /// Entries in the log, of which each takes some bytes of memory wherever it lies; beyond it the group with most of them is
    /// due for a snapshot.
    pub log_entries_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_bytes_max: 32 << 20,
            uncommitted_bytes_max: 64 << 20,
            proposals_max: 100_000,
            log_entries_max: 2_000_000,
        }
    }
}

/// What one group holds, or all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "Limits says it")]
pub struct Held {
    pub cache_bytes: usize,
    pub uncommitted_bytes: usize,
    pub proposals: usize,
    pub log_entries: usize,
}

/// What each group of a node holds.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    groups: Vec<Held>,
    total: Held,
    /// With so many entries in the log a group is looked for that is due for a snapshot.
    log_check: usize,
}

impl Budget {
    /// For a node with so many groups that hold nothing yet.
    pub fn new(limits: Limits, groups: usize) -> Self {
        Self {
            limits,
            groups: vec![Held::default(); groups],
            total: Held::default(),
            log_check: limits.log_entries_max,
        }
    }

    /// A group holds so much now.
    pub fn set(&mut self, place: usize, held: Held) {
        let before = std::mem::replace(&mut self.groups[place], held);
        let total = &mut self.total;
        total.cache_bytes = total.cache_bytes - before.cache_bytes + held.cache_bytes;
        total.uncommitted_bytes =
            total.uncommitted_bytes - before.uncommitted_bytes + held.uncommitted_bytes;
        total.proposals = total.proposals - before.proposals + held.proposals;
        total.log_entries = total.log_entries - before.log_entries + held.log_entries;
        if total.log_entries <= self.limits.log_entries_max {
            self.log_check = self.limits.log_entries_max;
        }
    }

    /// What all groups hold.
    pub fn total(&self) -> Held {
        self.total
    }

    /// Whether one more command of `bytes` may be proposed.
    pub fn has_room(&self, bytes: usize) -> bool {
        let uncommitted = self.total.uncommitted_bytes;
        self.total.proposals < self.limits.proposals_max
            && (uncommitted == 0 || uncommitted + bytes <= self.limits.uncommitted_bytes_max)
    }

    /// If the log has too many entries: the group with most of them. Said again only after a sixteenth of the limit more, since a
    /// snapshot takes its time and may not be possible.
    pub fn longest_log(&mut self) -> Option<usize> {
        if self.total.log_entries <= self.log_check {
            return None;
        }
        self.log_check = self.total.log_entries + self.limits.log_entries_max / 16;
        let groups = self.groups.iter().enumerate();
        groups
            .max_by_key(|(_, held)| held.log_entries)
            .map(|(place, _)| place)
    }

    /// If the caches hold too much: how much one of them may, and which ones hold more. An eighth is made free at once, so that
    /// this is rare.
    pub fn too_large(&self) -> Option<(usize, Vec<usize>)> {
        let limit = self.limits.cache_bytes_max;
        if self.total.cache_bytes <= limit {
            return None;
        }
        // Small ones keep what they have; what they leave is shared by the others.
        let (mut left, mut sharing) = (limit - limit / 8, self.groups.len());
        let mut share = 0;
        loop {
            let (before, level) = (share, left / sharing.max(1));
            let smaller = self.groups.iter().map(|held| held.cache_bytes);
            let smaller = smaller.filter(|bytes| (before..level).contains(bytes));
            let (count, bytes) =
                smaller.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes));
            share = level;
            if count == 0 {
                break;
            }
            left -= bytes;
            sharing -= count;
        }
        let places = self.groups.iter().enumerate();
        let places = places.filter(|(_, held)| held.cache_bytes > share);
        Some((share, places.map(|(place, _)| place).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(cache_bytes_max: usize, caches: &[usize]) -> Budget {
        let limits = Limits {
            cache_bytes_max,
            ..Limits::default()
        };
        let mut budget = Budget::new(limits, caches.len());
        for (place, cache_bytes) in caches.iter().enumerate() {
            let held = Held {
                cache_bytes: *cache_bytes,
                ..Held::default()
            };
            budget.set(place, held);
        }
        budget
    }

    #[test]
    fn the_largest_give_first() {
        assert_eq!(budget(100, &[50, 50]).too_large(), None);
        // 88 in all: 10 and 20 stay, 58 are shared by two.
        assert_eq!(
            budget(100, &[10, 60, 20, 30]).too_large(),
            Some((29, vec![1, 3]))
        );
        assert_eq!(budget(100, &[0, 0, 200]).too_large(), Some((88, vec![2])));
    }

    #[test]
    fn the_longest_log_is_due_for_a_snapshot_now_and_then() {
        let limits = Limits {
            log_entries_max: 160,
            ..Limits::default()
        };
        let mut budget = Budget::new(limits, 2);
        let set = |budget: &mut Budget, place, log_entries| {
            let held = Held {
                log_entries,
                ..Held::default()
            };
            budget.set(place, held);
            budget.longest_log()
        };
        assert_eq!(set(&mut budget, 0, 60), None);
        assert_eq!(set(&mut budget, 1, 100), None);
        assert_eq!(set(&mut budget, 1, 101), Some(1));
        assert_eq!(set(&mut budget, 1, 110), None);
        assert_eq!(set(&mut budget, 1, 112), Some(1));
        assert_eq!(set(&mut budget, 1, 10), None);
        assert_eq!(set(&mut budget, 0, 151), Some(0));
    }

    #[test]
    fn proposals_of_all_groups_count() {
        let limits = Limits {
            uncommitted_bytes_max: 100,
            proposals_max: 3,
            ..Limits::default()
        };
        let mut budget = Budget::new(limits, 2);
        let held = |uncommitted_bytes, proposals| Held {
            uncommitted_bytes,
            proposals,
            ..Held::default()
        };
        assert!(budget.has_room(1000), "one command always has room");
        budget.set(0, held(40, 1));
        budget.set(1, held(50, 1));
        assert_eq!(budget.total(), held(90, 2));
        assert!(budget.has_room(10) && !budget.has_room(11));
        budget.set(1, held(0, 2));
        assert!(!budget.has_room(10));
        budget.set(0, held(0, 0));
        assert!(budget.has_room(10));
    }

    proptest! {
        #[test]
        fn who_gives_what_it_may_is_within_the_budget(
            limit in 100_usize..10_000, mut caches in prop::collection::vec(0_usize..2_000, 1..40),
        ) {
            let before = budget(limit, &caches);
            let Some((share, places)) = before.too_large() else {
                prop_assert!(caches.iter().sum::<usize>() <= limit);
                return Ok(());
            };
            for place in places {
                prop_assert!(caches[place] > share);
                caches[place] = share;
            }
            let sum = caches.iter().sum::<usize>();
            prop_assert!(sum <= limit - limit / 8, "{sum} of {limit}");
            // Nobody gave without need: as much is used as whole bytes allow.
            prop_assert!(sum + caches.len() > limit - limit / 8, "{sum} of {limit}");
        }
    }
}
