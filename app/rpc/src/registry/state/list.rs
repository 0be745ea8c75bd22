//! The list of one service: what the registry told, and what of it consumers see.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::announcement::authority;

/// When a list that lost instances is not believed at once. A server of the registry that has just started knows nobody until
/// they have come back to it: what vanishes from a list right after connecting may be alive.
///
/// The first list that stands on a connection ends the protection: what that server takes off later is gone. A list does not stand
/// if it is empty and was not, or if it is less than half as long and at least `lost_min` instances are missing. While it is held
/// back, consumers see the old instances and the new ones together. Where nothing is known yet, an empty list waits for a moment:
/// the original's server 5.4.3 tells one first though there are instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardRule {
    /// A list is held back for so long at most, then it is believed; zero believes everything at once.
    pub hold: Duration,
    /// Fewer instances than this may always go, if one is left.
    pub lost_min: usize,
    /// An empty list waits for so long where nothing is known yet.
    pub first_empty: Duration,
}

impl Default for GuardRule {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(30),
            lost_min: 3,
            first_empty: Duration::from_secs(1),
        }
    }
}

impl GuardRule {
    /// How long a list waits to be believed; zero for not at all.
    fn doubts(&self, before: Option<usize>, after: usize) -> Duration {
        let Some(before) = before else {
            return if after == 0 {
                self.first_empty
            } else {
                Duration::ZERO
            };
        };
        let stands = after >= before
            || (after > 0 && (after * 2 >= before || before - after < self.lost_min));
        if stands { Duration::ZERO } else { self.hold }
    }
}

/// Instances as their providers wrote them, sorted, each once.
pub(in super::super) type Instances = Vec<String>;

/// What becomes of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Outdated,
    Taken,
    /// Not believed yet, the first of its kind.
    HeldBack {
        kept: usize,
        came: usize,
    },
    /// Not believed yet.
    Waits,
}

/// What time brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    Released(usize),
    Snapshot(usize),
    /// There is no instance, and there was none before.
    Empty,
}

#[derive(Debug)]
pub(super) struct ServiceList {
    /// What this connection's server told, by data centre.
    segments: BTreeMap<String, (i64, Instances)>,
    /// What is believed; at first what the snapshot says.
    believed: Option<Instances>,
    held: Option<(Instances, Duration)>,
    /// A list of this connection's server stands.
    settled: bool,
    /// Until then the snapshot is not shown.
    hidden_until: Option<Duration>,
    shown: Option<Instances>,
}

impl ServiceList {
    /// A list that is not known yet, but for a snapshot that is to be shown at `show_at` if nobody has told anything by then.
    pub(super) fn new(snapshot: Option<Instances>, show_at: Duration) -> Self {
        Self {
            segments: BTreeMap::new(),
            hidden_until: snapshot.is_some().then_some(show_at),
            believed: snapshot,
            held: None,
            settled: false,
            shown: None,
        }
    }

    /// Another server, or one that may have forgotten everything: its versions are not compared with those before.
    pub(super) fn connected(&mut self) {
        self.segments.clear();
        self.settled = false;
    }

    /// What was held back is kept beside the old, because nobody is there to say more.
    pub(super) fn disconnected(&mut self) {
        if self.held.is_some() {
            self.believed = self.current();
            self.held = None;
        }
    }

    pub(super) fn push(
        &mut self,
        segment: &str,
        version: i64,
        instances: Instances,
        rule: &GuardRule,
        now: Duration,
    ) -> Fate {
        match self.segments.get(segment) {
            Some((known, _)) if *known >= version => return Fate::Outdated,
            _ => self
                .segments
                .insert(segment.to_owned(), (version, instances)),
        };
        let all: BTreeSet<&String> = self.segments.values().flat_map(|(_, list)| list).collect();
        let list: Instances = all.into_iter().cloned().collect();
        self.hidden_until = None;
        let kept = self.believed.as_deref().map(addresses);
        let came = addresses(&list);
        let doubts = rule.doubts(kept, came);
        if self.settled || doubts.is_zero() {
            self.settled = true;
            self.held = None;
            self.believed = Some(list);
            return Fate::Taken;
        }
        let until = self.held.as_ref().map_or(now + doubts, |(_, until)| *until);
        let told = self.held.is_some();
        self.held = Some((list, until));
        match kept {
            Some(kept) if !told => Fate::HeldBack { kept, came },
            _ => Fate::Waits,
        }
    }

    pub(super) fn advance(&mut self, now: Duration) -> Option<Passed> {
        if let Some((list, _)) = self.held.take_if(|(_, until)| *until <= now) {
            let instances = list.len();
            self.settled = true;
            return Some(match self.believed.replace(list) {
                Some(_) => Passed::Released(instances),
                None => Passed::Empty,
            });
        }
        self.hidden_until.take_if(|until| *until <= now)?;
        Some(Passed::Snapshot(self.believed.as_ref().map_or(0, Vec::len)))
    }

    /// When [`advance`](Self::advance) has something to do.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let held = self.held.as_ref().map(|(_, until)| *until);
        held.into_iter().chain(self.hidden_until).min()
    }

    /// What is to be shown, if it is not what was shown last.
    pub(super) fn changed(&mut self) -> Option<Instances> {
        if self.hidden_until.is_some() {
            return None;
        }
        let current = self.current();
        if current == self.shown {
            return None;
        }
        self.shown.clone_from(&current);
        current
    }

    /// The list, if the registry's word stands behind it.
    pub(super) fn believed(&self) -> Option<&Instances> {
        self.believed.as_ref().filter(|_| self.settled)
    }

    /// The believed instances, and those besides that are not believed to be all.
    fn current(&self) -> Option<Instances> {
        let believed = self.believed.as_ref()?;
        let Some((held, _)) = &self.held else {
            return Some(believed.clone());
        };
        // By address: an instance that came back says something new of itself.
        let news: BTreeSet<&str> = held.iter().map(|data| authority(data)).collect();
        let old = believed
            .iter()
            .filter(|data| !news.contains(authority(data)));
        let both: BTreeSet<&String> = old.chain(held).collect();
        Some(both.into_iter().cloned().collect())
    }
}

fn addresses(list: &[String]) -> usize {
    let all: BTreeSet<&str> = list.iter().map(|data| authority(data)).collect();
    all.len()
}
