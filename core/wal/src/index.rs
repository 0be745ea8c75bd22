//! What is live and where it stands: the state that the records of the log make, without the entries' data.
//!
//! The same [`Index::apply`] serves writing and recovery. Recovery may begin anywhere at or before the head, so it may meet
//! a group in the middle of its history: entries that were rewritten come after their successors, and wait in `moved` for
//! [`Index::finish`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::entry::{GroupId, HardState, LogPoint};
use crate::format::{Record, Seed, Tag};

/// Where a record is. 12 bytes for each live entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Location {
    /// The low half of the segment's sequence number: four billion segments are never live at once.
    pub segment: u32,
    pub offset: u32,
    /// Of the whole record.
    pub bytes: u32,
}

/// A segment that belongs to the log.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub sequence: u64,
    pub name: String,
    pub file: Arc<F>,
    pub seed: Seed,
    pub bytes: u32,
    /// The records in it that still count.
    pub live_bytes: u64,
}

/// The segments from the head to the tail, without a gap.
#[derive(Debug)]
pub(crate) struct Segments<F>(pub VecDeque<Segment<F>>);

impl<F> Segments<F> {
    pub(crate) fn of(&self, location: Location) -> Option<&Segment<F>> {
        let head = self.0.front()?.sequence as u32;
        self.0.get(location.segment.wrapping_sub(head) as usize)
    }

    fn of_mut(&mut self, location: Location) -> Option<&mut Segment<F>> {
        let head = self.0.front()?.sequence as u32;
        self.0.get_mut(location.segment.wrapping_sub(head) as usize)
    }

    fn charge(&mut self, location: Location) {
        if let Some(segment) = self.of_mut(location) {
            segment.live_bytes += u64::from(location.bytes);
        }
    }

    fn release(&mut self, location: Location) {
        if let Some(segment) = self.of_mut(location) {
            segment.live_bytes -= u64::from(location.bytes);
        }
    }

    fn release_some(&mut self, location: Option<Location>) {
        if let Some(location) = location {
            self.release(location);
        }
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.0.iter().map(|segment| segment.live_bytes).sum()
    }
}

/// One group's part of the log.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub hard_state: Option<(HardState, Location)>,
    /// What was compacted; its record is live unless it is the point before the first entry.
    pub base: LogPoint,
    pub base_at: Option<Location>,
    /// The index of the first of `entries`; `base.index + 1` outside of recovery.
    first: u64,
    entries: VecDeque<Location>,
    /// Where the terms of `entries` change: (first index, term).
    terms: VecDeque<(u64, u64)>,
    /// In recovery: rewritten entries below `first`.
    moved: BTreeMap<u64, (Location, u64)>,
}

impl Group {
    pub(crate) fn last(&self) -> u64 {
        match self.entries.len() {
            0 => self.base.index,
            count => self.first + count as u64 - 1,
        }
    }

    pub(crate) fn last_point(&self) -> LogPoint {
        match self.terms.back() {
            Some(&(_, term)) => LogPoint {
                index: self.last(),
                term,
            },
            None => self.base,
        }
    }

    pub(crate) fn location(&self, index: u64) -> Option<Location> {
        let nth = index.checked_sub(self.first)?;
        self.entries.get(usize::try_from(nth).ok()?).copied()
    }

    /// The term of an entry or of the compacted point.
    pub(crate) fn term(&self, index: u64) -> Option<u64> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.location(index)?;
        let after = self.terms.partition_point(|&(first, _)| first <= index);
        Some(self.terms.get(after.checked_sub(1)?)?.1)
    }

    pub(crate) fn terms(&self) -> Vec<(u64, u64)> {
        self.terms.iter().copied().collect()
    }

    /// The places of the entries from `index` on.
    pub(crate) fn locations(&self, index: u64) -> impl Iterator<Item = (u64, Location)> {
        let skip = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let skip = skip.min(self.entries.len());
        // In this order, for the number after the last index may not exist.
        let rest = self.entries.range(skip..).copied();
        rest.zip(self.first + skip as u64..)
            .map(|(location, index)| (index, location))
    }

    fn push<F>(&mut self, index: u64, term: u64, at: Location, segments: &mut Segments<F>) {
        if self.entries.is_empty() {
            self.first = index;
        }
        self.entries.push_back(at);
        if self.terms.back().is_none_or(|&(_, last)| last != term) {
            self.terms.push_back((index, term));
        }
        segments.charge(at);
    }

    fn truncate<F>(&mut self, index: u64, segments: &mut Segments<F>) {
        while !self.entries.is_empty() && self.last() >= index {
            if let Some(at) = self.entries.pop_back() {
                segments.release(at);
            }
        }
        while self.terms.back().is_some_and(|&(first, _)| first >= index) {
            self.terms.pop_back();
        }
        if !self.moved.is_empty() {
            for (at, _) in self.moved.split_off(&index).into_values() {
                segments.release(at);
            }
        }
    }

    fn compact<F>(&mut self, point: LogPoint, segments: &mut Segments<F>) {
        while self.first <= point.index
            && let Some(at) = self.entries.pop_front()
        {
            segments.release(at);
            self.first += 1;
        }
        while self
            .terms
            .get(1)
            .is_some_and(|&(first, _)| first <= self.first)
        {
            self.terms.pop_front();
        }
        if self.entries.is_empty() {
            self.terms.clear();
        } else if let Some(front) = self.terms.front_mut() {
            front.0 = self.first;
        }
        while let Some(entry) = self.moved.first_entry()
            && *entry.key() <= point.index
        {
            segments.release(entry.remove().0);
        }
        self.base = point;
    }

    fn drop_entries<F>(&mut self, segments: &mut Segments<F>) {
        for at in self.entries.drain(..) {
            segments.release(at);
        }
        self.terms.clear();
        for (at, _) in std::mem::take(&mut self.moved).into_values() {
            segments.release(at);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Index<F> {
    pub groups: BTreeMap<GroupId, Group>,
    pub segments: Segments<F>,
}

impl<F> Index<F> {
    pub(crate) fn new() -> Index<F> {
        Index {
            groups: BTreeMap::new(),
            segments: Segments(VecDeque::new()),
        }
    }

    /// What a record does. An error means that the log contradicts itself, which only recovery can meet.
    pub(crate) fn apply(&mut self, record: &Record, at: Location) -> Result<(), &'static str> {
        let Index { groups, segments } = self;
        if record.tag == Tag::Remove {
            if let Some(mut group) = groups.remove(&record.group) {
                group.drop_entries(segments);
                segments.release_some(group.hard_state.map(|(_, at)| at));
                segments.release_some(group.base_at);
            }
            return Ok(());
        }
        let group = groups.entry(record.group).or_default();
        let (index, term) = (record.index, record.term);
        match record.tag {
            Tag::Entry => {
                if index <= group.base.index || index == u64::MAX {
                    return Err("an entry at or below the compacted index");
                }
                group.truncate(index, segments);
                if !group.entries.is_empty() && index != group.last() + 1 {
                    return Err("an entry that leaves a gap");
                }
                group.push(index, term, at, segments);
            }
            Tag::Moved => {
                if index <= group.base.index || index == u64::MAX {
                    return Err("a rewritten entry at or below the compacted index");
                }
                if index >= group.first && !group.entries.is_empty() {
                    if group.term(index).is_some_and(|known| known != term) {
                        return Err("a rewritten entry with another term");
                    }
                    let nth = usize::try_from(index - group.first).unwrap_or(usize::MAX);
                    let Some(place) = group.entries.get_mut(nth) else {
                        return Err("a rewritten entry beyond the end");
                    };
                    segments.release(std::mem::replace(place, at));
                } else if let Some((old, _)) = group.moved.insert(index, (at, term)) {
                    segments.release(old);
                }
                segments.charge(at);
            }
            Tag::HardState => {
                let state = HardState {
                    term,
                    vote: Bytes::copy_from_slice(record.data),
                };
                segments.charge(at);
                let old = group.hard_state.replace((state, at));
                segments.release_some(old.map(|(_, at)| at));
            }
            Tag::Truncate => group.truncate(index, segments),
            Tag::Compact | Tag::Reset => {
                if index == u64::MAX {
                    return Err("a compacted index without a next one");
                }
                if index == 0 && term != 0 {
                    return Err("a term before the first entry");
                }
                if record.tag == Tag::Reset {
                    group.drop_entries(segments);
                    group.base = record.point();
                } else if index < group.base.index {
                    return Ok(());
                } else {
                    group.compact(record.point(), segments);
                }
                segments.release_some(group.base_at.take());
                if group.base.index > 0 {
                    segments.charge(at);
                    group.base_at = Some(at);
                }
            }
            Tag::Remove => {}
        }
        Ok(())
    }

    /// The end of recovery: every group must be whole now. An error names the group that is not.
    pub(crate) fn finish(&mut self) -> Result<(), (GroupId, &'static str)> {
        for (&id, group) in &mut self.groups {
            if !group.moved.is_empty() {
                let moved = std::mem::take(&mut group.moved);
                let entries = std::mem::take(&mut group.entries);
                let terms = std::mem::take(&mut group.terms);
                let rest = group.first;
                for (index, (at, term)) in moved {
                    if !group.entries.is_empty() && index != group.last() + 1 {
                        return Err((id, "rewritten entries that leave a gap"));
                    }
                    if group.entries.is_empty() {
                        group.first = index;
                    }
                    group.entries.push_back(at);
                    if group.terms.back().is_none_or(|&(_, last)| last != term) {
                        group.terms.push_back((index, term));
                    }
                }
                if !entries.is_empty() && group.last() + 1 != rest {
                    return Err((id, "entries missing between the rewritten and the others"));
                }
                group.entries.extend(entries);
                for (index, term) in terms {
                    if group.terms.back().is_none_or(|&(_, last)| last != term) {
                        group.terms.push_back((index, term));
                    }
                }
            }
            if group.entries.is_empty() {
                group.first = group.base.index + 1;
            }
            if group.first != group.base.index + 1 {
                return Err((id, "entries missing after the compacted index"));
            }
        }
        self.groups.retain(|_, group| {
            group.hard_state.is_some() || group.base_at.is_some() || !group.entries.is_empty()
        });
        Ok(())
    }
}
