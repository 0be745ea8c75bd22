//! What was pushed lately, for operators: of each service the newest pushes, of the services those that changed last.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use diwan_registry_wire::Version;
use serde::Serialize;

use super::boundary::Now;
use super::service::ServiceId;

/// Pushes that are kept of a service.
const PUSHES_MAX: usize = 16;
/// Services of which any are kept.
const SERVICES_MAX: usize = 10_000;

/// One version of a service on its way to those who want it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PushView {
    /// The version.
    pub version: i64,
    /// When the first one was sent, by the node's wall clock.
    pub unix_ms: u64,
    /// Times that it was sent to a client.
    pub receivers: u64,
    /// How many of them were acknowledged.
    pub acknowledged: u64,
    /// How long it took until all were, as far as they are.
    pub acknowledged_ms: Option<u64>,
}

#[derive(Debug)]
struct Pushed {
    version: Version,
    unix_ms: u64,
    began: Duration,
    receivers: u64,
    acknowledged: u64,
    last: Duration,
}

#[derive(Debug, Default)]
struct Ring {
    used: u64,
    pushes: VecDeque<Pushed>,
}

#[derive(Debug, Default)]
pub(super) struct History {
    rings: BTreeMap<ServiceId, Ring>,
    /// By when they were used.
    used: BTreeMap<u64, ServiceId>,
    next: u64,
}

impl History {
    /// Something was sent to a client.
    pub(super) fn sent(&mut self, service: ServiceId, version: Version, now: Now) {
        let ring = self.rings.entry(service).or_default();
        if let Some(newest) = ring.pushes.back_mut()
            && newest.version == version
        {
            newest.receivers += 1;
            return;
        }
        if ring.pushes.len() >= PUSHES_MAX {
            ring.pushes.pop_front();
        }
        ring.pushes.push_back(Pushed {
            version,
            unix_ms: now.unix_ms,
            began: now.monotonic,
            receivers: 1,
            acknowledged: 0,
            last: now.monotonic,
        });
        self.used.remove(&ring.used);
        self.next += 1;
        ring.used = self.next;
        self.used.insert(self.next, service);
        if self.used.len() > SERVICES_MAX
            && let Some((_, oldest)) = self.used.pop_first()
        {
            self.rings.remove(&oldest);
        }
    }

    /// A client acknowledged it.
    pub(super) fn acknowledged(&mut self, service: ServiceId, version: Version, now: Now) {
        let Some(ring) = self.rings.get_mut(&service) else {
            return;
        };
        let mut newest_first = ring.pushes.iter_mut().rev();
        if let Some(pushed) = newest_first.find(|pushed| pushed.version == version) {
            pushed.acknowledged += 1;
            pushed.last = now.monotonic;
        }
    }

    /// The newest comes last.
    pub(super) fn of(&self, service: ServiceId) -> Vec<PushView> {
        let pushes = self.rings.get(&service).into_iter();
        let view = |pushed: &Pushed| {
            let took = pushed.last.saturating_sub(pushed.began);
            PushView {
                version: pushed.version.0,
                unix_ms: pushed.unix_ms,
                receivers: pushed.receivers,
                acknowledged: pushed.acknowledged,
                acknowledged_ms: (pushed.acknowledged >= pushed.receivers)
                    .then(|| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            }
        };
        pushes.flat_map(|ring| &ring.pushes).map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_was_used_last() {
        let mut history = History::default();
        let now = |ms| Now {
            monotonic: Duration::from_millis(ms),
            unix_ms: ms,
        };
        for service in 0..SERVICES_MAX as u32 + 5 {
            history.sent(ServiceId(service), Version(1), now(1));
        }
        assert_eq!(history.rings.len(), SERVICES_MAX);
        assert_eq!(history.of(ServiceId(4)), []);
        for version in 2..100 {
            history.sent(ServiceId(5), Version(version), now(10));
        }
        history.sent(ServiceId(5), Version(99), now(11));
        history.acknowledged(ServiceId(5), Version(99), now(12));
        history.acknowledged(ServiceId(5), Version(3), now(12));
        let views = history.of(ServiceId(5));
        assert_eq!((views.len(), views[0].version), (PUSHES_MAX, 84));
        let last = views.last().cloned();
        assert_eq!(last.as_ref().and_then(|last| last.acknowledged_ms), None);
        history.acknowledged(ServiceId(5), Version(99), now(30));
        let expected = PushView {
            version: 99,
            unix_ms: 10,
            receivers: 2,
            acknowledged: 2,
            acknowledged_ms: Some(20),
        };
        assert_eq!(history.of(ServiceId(5)).last(), Some(&expected));
        assert_eq!(history.used.len(), SERVICES_MAX);
    }
}
