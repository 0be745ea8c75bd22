//! The log of one group as the core sees it: the terms of all entries, the newest entries themselves as far as the cache
//! holds them, and every configuration since the last snapshot. What left the cache is read back from the disk.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::configuration::Configuration;
use crate::entry::{Entry, LogId, Payload};

/// What a node finds on its disk when it starts.
#[derive(Clone, Debug, Default)]
pub struct LogState {
    /// The entry before the first one that the log holds: the end of the snapshot or of compaction.
    pub compacted: LogId,
    /// Index of the last entry, or `compacted.index` if there is none.
    pub last: u64,
    /// Runs of equal terms after `compacted`: (first index, term), ascending.
    pub terms: Vec<(u64, u64)>,
    /// Configurations by index, ascending: that of the snapshot and those of the entries after it.
    pub configurations: Vec<(u64, Configuration)>,
}

#[derive(Debug)]
pub(crate) struct Log {
    compacted: LogId,
    last: u64,
    terms: VecDeque<(u64, u64)>,
    /// The entries `last + 1 - cache.len() ..= last`.
    cache: VecDeque<Entry>,
    cache_bytes: usize,
    /// Never empty: the first one counts from the beginning of the log.
    configurations: VecDeque<(u64, Arc<Configuration>)>,
}

impl Log {
    pub(crate) fn new(state: LogState, initial: Configuration) -> Self {
        let mut configurations: VecDeque<_> = state
            .configurations
            .into_iter()
            .map(|(index, it)| (index, Arc::new(it)))
            .collect();
        if configurations
            .front()
            .is_none_or(|(index, _)| *index > state.compacted.index)
        {
            configurations.push_front((0, Arc::new(initial)));
        }
        Self {
            compacted: state.compacted,
            last: state.last.max(state.compacted.index),
            terms: state.terms.into(),
            cache: VecDeque::new(),
            cache_bytes: 0,
            configurations,
        }
    }

    pub(crate) fn compacted(&self) -> LogId {
        self.compacted
    }

    pub(crate) fn last_index(&self) -> u64 {
        self.last
    }

    pub(crate) fn last_id(&self) -> LogId {
        let term = self
            .terms
            .back()
            .map_or(self.compacted.term, |(_, term)| *term);
        LogId {
            term,
            index: self.last,
        }
    }

    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// Bytes of memory that the cache takes: its entries by weight, and the places for them.
    pub(crate) fn cache_memory(&self) -> usize {
        self.cache_bytes + self.cache.capacity() * size_of::<Entry>()
    }

    fn cache_first(&self) -> u64 {
        self.last + 1 - self.cache.len() as u64
    }

    /// The term of the entry at `index`; that of index 0 is 0. None where the log does not reach.
    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.compacted.index {
            return Some(self.compacted.term);
        }
        if index < self.compacted.index || index > self.last {
            return None;
        }
        let run = self
            .terms
            .partition_point(|(first, _)| *first <= index)
            .checked_sub(1)?;
        Some(self.terms[run].1)
    }

    pub(crate) fn holds(&self, id: LogId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// The largest index up to `index` whose term is not above `term`: where a leader that has `(term, index)` may agree
    /// with this log.
    pub(crate) fn may_agree_at(&self, id: LogId) -> u64 {
        let index = id.index.min(self.last);
        let mut end = index;
        for (first, term) in self.terms.iter().rev() {
            if *first > index {
                continue;
            }
            if *term <= id.term {
                break;
            }
            end = first - 1;
        }
        end.max(self.compacted.index)
    }

    pub(crate) fn configuration(&self) -> &Arc<Configuration> {
        &self.configurations[self.configurations.len() - 1].1
    }

    pub(crate) fn configuration_index(&self) -> u64 {
        self.configurations[self.configurations.len() - 1].0
    }

    pub(crate) fn configuration_at(&self, index: u64) -> &Arc<Configuration> {
        let after = self.configurations.partition_point(|(at, _)| *at <= index);
        &self.configurations[after.max(1) - 1].1
    }

    /// The configuration at `index` and all later ones.
    pub(crate) fn configurations_since(&self, index: u64) -> impl Iterator<Item = &Configuration> {
        let after = self.configurations.partition_point(|(at, _)| *at <= index);
        self.configurations
            .range(after.max(1) - 1..)
            .map(|(_, configuration)| &**configuration)
    }

    /// Replaces the current configuration in memory alone: manual recovery.
    pub(crate) fn override_configuration(&mut self, configuration: Configuration) {
        self.configurations
            .push_back((self.last, Arc::new(configuration)));
    }

    pub(crate) fn append(&mut self, entry: Entry) {
        assert_eq!(
            entry.id.index,
            self.last + 1,
            "an entry is appended at the end"
        );
        if self
            .terms
            .back()
            .is_none_or(|(_, term)| *term != entry.id.term)
        {
            self.terms.push_back((entry.id.index, entry.id.term));
        }
        if let Payload::Configuration(configuration) = &entry.payload {
            self.configurations
                .push_back((entry.id.index, configuration.clone()));
        }
        self.last = entry.id.index;
        self.cache_bytes += entry.weight();
        self.cache.push_back(entry);
    }

    /// Drops everything after `last`.
    pub(crate) fn truncate_after(&mut self, last: u64) {
        assert!(
            last >= self.compacted.index,
            "what a snapshot holds is never cut"
        );
        while self.last > last {
            if let Some(entry) = self.cache.pop_back() {
                self.cache_bytes -= entry.weight();
            }
            self.last -= 1;
        }
        self.give_back();
        while self.terms.back().is_some_and(|(first, _)| *first > last) {
            self.terms.pop_back();
        }
        while self.configurations.len() > 1 && self.configuration_index() > last {
            self.configurations.pop_back();
        }
    }

    /// Forgets entries up to `index`, which a snapshot holds. Returns the new start if anything went.
    pub(crate) fn compact(&mut self, index: u64) -> Option<LogId> {
        let term = self
            .term_at(index)
            .filter(|_| index > self.compacted.index)?;
        while self
            .terms
            .get(1)
            .is_some_and(|(first, _)| *first <= index + 1)
        {
            self.terms.pop_front();
        }
        if self.last == index {
            self.terms.clear();
        } else if let Some((first, _)) = self.terms.front_mut() {
            *first = (*first).max(index + 1);
        }
        while self
            .configurations
            .get(1)
            .is_some_and(|(at, _)| *at <= index)
        {
            self.configurations.pop_front();
        }
        self.compacted = LogId { term, index };
        while self
            .cache
            .front()
            .is_some_and(|entry| entry.id.index <= index)
        {
            self.evict_front();
        }
        self.give_back();
        Some(self.compacted)
    }

    /// Begins again after a snapshot that lies beyond this log or contradicts it.
    pub(crate) fn reset(&mut self, last: LogId, configuration: Configuration) {
        self.compacted = last;
        self.last = last.index;
        self.terms.clear();
        self.cache = VecDeque::new();
        self.cache_bytes = 0;
        self.configurations.clear();
        self.configurations
            .push_back((last.index, Arc::new(configuration)));
    }

    /// Drops cached entries up to `through` from the front while the cache weighs more than `bytes_max`.
    pub(crate) fn evict(&mut self, through: u64, bytes_max: usize) {
        while self.cache_bytes > bytes_max
            && self
                .cache
                .front()
                .is_some_and(|entry| entry.id.index <= through)
        {
            self.evict_front();
        }
        self.give_back();
    }

    /// Drops cached entries up to `through` from the front until the cache takes at most `memory_max` bytes of memory.
    pub(crate) fn trim(&mut self, through: u64, memory_max: usize) {
        // Room for as many again, so that the next ones do not move all of them.
        let memory = |log: &Self| log.cache_bytes + 2 * log.cache.len() * size_of::<Entry>();
        while memory(self) > memory_max
            && self
                .cache
                .front()
                .is_some_and(|entry| entry.id.index <= through)
        {
            self.evict_front();
        }
        self.cache.shrink_to(2 * self.cache.len());
    }

    /// Places that many entries once needed are not kept.
    fn give_back(&mut self) {
        if self.cache.capacity() > 64.max(4 * self.cache.len()) {
            self.cache.shrink_to(2 * self.cache.len());
        }
    }

    fn evict_front(&mut self) {
        if let Some(entry) = self.cache.pop_front() {
            self.cache_bytes -= entry.weight();
        }
    }

    /// Entries from `low` to `high` as far as `count_max` and `bytes_max` allow (at least one). None if `low` is not in
    /// the cache any more.
    pub(crate) fn cached(
        &self,
        low: u64,
        high: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<Entry>> {
        let first = self.cache_first();
        if low < first || low > self.last {
            return (low > self.last).then(Vec::new);
        }
        let mut bytes = 0;
        let skip = usize::try_from(low - first).unwrap_or(usize::MAX);
        let wanted = usize::try_from(high + 1 - low)
            .unwrap_or(usize::MAX)
            .min(count_max);
        let mut entries = Vec::with_capacity(wanted.min(self.cache.len() - skip));
        for entry in self.cache.range(skip..).take(wanted) {
            bytes += entry.weight();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Some(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(compacted: (u64, u64), terms: &[u64]) -> Log {
        let compacted = LogId {
            term: compacted.0,
            index: compacted.1,
        };
        let state = LogState {
            compacted,
            last: compacted.index,
            ..LogState::default()
        };
        let mut log = Log::new(state, Configuration::default());
        for (place, term) in (compacted.index + 1..).zip(terms) {
            log.append(Entry {
                id: LogId {
                    term: *term,
                    index: place,
                },
                payload: Payload::NoOp,
            });
        }
        log
    }

    #[test]
    fn terms_survive_eviction_truncation_and_compaction() {
        let mut log = log((0, 0), &[1, 1, 2, 2, 5]);
        log.evict(4, 0);
        assert_eq!(log.cached(4, 5, 9, 999), None);
        assert_eq!(log.cached(5, 5, 9, 999).map(|it| it.len()), Some(1));
        assert_eq!(
            (0..=6).map(|at| log.term_at(at)).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(1), Some(2), Some(2), Some(5), None]
        );
        log.truncate_after(3);
        assert_eq!(log.last_id(), LogId { term: 2, index: 3 });
        assert_eq!(log.compact(2), Some(LogId { term: 1, index: 2 }));
        assert_eq!(
            (log.term_at(1), log.term_at(2), log.term_at(3)),
            (None, Some(1), Some(2))
        );
        assert_eq!(log.compact(3), Some(LogId { term: 2, index: 3 }));
        assert_eq!(
            (log.term_at(3), log.last_id()),
            (Some(2), LogId { term: 2, index: 3 })
        );
    }

    #[test]
    fn a_cache_that_is_trimmed_gives_its_memory_back() {
        let mut log = log((0, 0), &[1; 10_000]);
        let before = log.cache_memory();
        log.trim(9_000, 200 << 10);
        assert!(log.cache_memory() <= 200 << 10 && before > 1 << 20);
        let kept = log.cache.len() as u64;
        assert_eq!(
            log.cached(10_001 - kept, 10_000, 1, 999).map(|it| it.len()),
            Some(1)
        );
        assert_eq!(log.cached(10_000 - kept, 10_000, 1, 999), None);
        // What may not leave stays, whatever it takes.
        log.trim(9_990, 0);
        assert_eq!(log.cache.len(), 10);
        log.truncate_after(9_990);
        log.compact(9_990);
        assert!(log.cache_memory() <= 64 * size_of::<Entry>());
    }

    #[test]
    fn a_hint_skips_terms_that_the_leader_cannot_have() {
        let log = log((0, 0), &[1, 1, 2, 2, 5, 5]);
        let hint = |term, index| log.may_agree_at(LogId { term, index });
        assert_eq!(
            (hint(3, 9), hint(3, 5), hint(1, 4), hint(5, 9), hint(0, 9)),
            (4, 4, 2, 6, 0)
        );
    }
}
