//! The lists of all services that a client asked for: which are believed, what of them is shown when, and what is kept on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::event::RegistryEvent;
use super::list::{Fate, GuardRule, Instances, Passed, ServiceList};
use super::registration::RegistId;

/// A list as consumers are to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Shown {
    pub(in super::super) service: String,
    pub(in super::super) instances: Instances,
}

/// A list as a registry tells it.
pub(in super::super) struct Told {
    /// Each is told of its own: a data centre.
    pub(in super::super) segment: String,
    /// Grows within a connection.
    pub(in super::super) version: i64,
    /// Sorted, each once.
    pub(in super::super) instances: Instances,
}

pub(in super::super) struct ServiceLists {
    guard: GuardRule,
    /// If no list has come by then, the snapshot's is shown.
    snapshot_after: Duration,
    /// By subscriber, with its service.
    lists: BTreeMap<RegistId, (String, ServiceList)>,
    /// When lists are to be looked at again. It may have become pointless.
    timers: BTreeSet<(Duration, RegistId)>,
    /// Lists that may have to be shown anew.
    touched: BTreeSet<RegistId>,
    /// By service: the last lists that a registry stood behind.
    snapshot: BTreeMap<String, Instances>,
    snapshot_changed: bool,
}

impl ServiceLists {
    pub(in super::super) fn new(
        guard: GuardRule,
        snapshot_after: Duration,
        snapshot: BTreeMap<String, Instances>,
    ) -> Self {
        Self {
            guard,
            snapshot_after,
            lists: BTreeMap::new(),
            timers: BTreeSet::new(),
            touched: BTreeSet::new(),
            snapshot,
            snapshot_changed: false,
        }
    }

    pub(in super::super) fn add(&mut self, id: &RegistId, service: &str, now: Duration) {
        // That there was no instance is of no use.
        let snapshot = self.snapshot.get(service);
        let snapshot = snapshot.filter(|list| !list.is_empty()).cloned();
        let list = ServiceList::new(snapshot, now + self.snapshot_after);
        self.lists.insert(id.clone(), (service.to_owned(), list));
        self.touch(id);
    }

    pub(in super::super) fn remove(&mut self, id: &RegistId) {
        self.lists.remove(id);
    }

    pub(in super::super) fn connected(&mut self) {
        for (_, list) in self.lists.values_mut() {
            list.connected();
        }
    }

    pub(in super::super) fn disconnected(&mut self) {
        for (_, list) in self.lists.values_mut() {
            list.disconnected();
        }
    }

    /// A list came. False if there is no such subscriber.
    pub(in super::super) fn told(
        &mut self,
        id: &RegistId,
        told: Told,
        now: Duration,
        events: &mut Vec<RegistryEvent>,
    ) -> bool {
        let Some((service, list)) = self.lists.get_mut(id) else {
            return false;
        };
        let service = service.clone();
        let version = told.version;
        match list.push(&told.segment, version, told.instances, &self.guard, now) {
            Fate::Outdated => events.push(RegistryEvent::PushOutdated { service, version }),
            Fate::HeldBack { kept, came } => events.push(RegistryEvent::ListHeldBack {
                service,
                kept,
                came,
            }),
            Fate::Waits => {}
            Fate::Taken => self.keep(id),
        }
        self.touch(id);
        true
    }

    /// Carries out what time has brought.
    pub(in super::super) fn advance(&mut self, now: Duration, events: &mut Vec<RegistryEvent>) {
        while let Some((at, _)) = self.timers.first() {
            if *at > now {
                break;
            }
            let Some((_, id)) = self.timers.pop_first() else {
                break;
            };
            let Some((service, list)) = self.lists.get_mut(&id) else {
                continue;
            };
            let service = service.clone();
            match list.advance(now) {
                None => {}
                Some(Passed::Empty) => self.keep(&id),
                Some(Passed::Released(instances)) => {
                    events.push(RegistryEvent::ListReleased { service, instances });
                    self.keep(&id);
                }
                Some(Passed::Snapshot(instances)) => {
                    events.push(RegistryEvent::SnapshotUsed { service, instances });
                }
            }
            self.touch(&id);
        }
    }

    /// Lists that consumers are to see from now on.
    pub(in super::super) fn shown(&mut self, events: &mut Vec<RegistryEvent>) -> Vec<Shown> {
        let mut all = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            if let Some((service, list)) = self.lists.get_mut(&id)
                && let Some(instances) = list.changed()
            {
                let service = service.clone();
                events.push(RegistryEvent::ListChanged {
                    service: service.clone(),
                    instances: instances.len(),
                });
                all.push(Shown { service, instances });
            }
        }
        all
    }

    /// Whether [`changed_snapshot`](Self::changed_snapshot) has something.
    pub(in super::super) fn has_changed_snapshot(&self) -> bool {
        self.snapshot_changed
    }

    /// The lists to be kept on disk, if they changed since this was asked last.
    pub(in super::super) fn changed_snapshot(&mut self) -> Option<&BTreeMap<String, Instances>> {
        std::mem::take(&mut self.snapshot_changed).then_some(&self.snapshot)
    }

    /// When [`advance`](Self::advance) has something to do.
    pub(in super::super) fn next_deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// A list may have changed what it shows, or when it wants to be looked at again.
    fn touch(&mut self, id: &RegistId) {
        self.touched.insert(id.clone());
        if let Some(at) = self.lists.get(id).and_then(|(_, list)| list.deadline()) {
            self.timers.insert((at, id.clone()));
        }
    }

    /// Notes a believed list for the snapshot.
    fn keep(&mut self, id: &RegistId) {
        let Some((service, list)) = self.lists.get(id) else {
            return;
        };
        let Some(believed) = list.believed() else {
            return;
        };
        if self.snapshot.get(service) != Some(believed) {
            self.snapshot.insert(service.clone(), believed.clone());
            self.snapshot_changed = true;
        }
    }
}
