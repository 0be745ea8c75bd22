//! Instances that vanish without having said so.

use std::collections::BTreeSet;
use std::time::Duration;

use super::boundary::Now;
use super::ids::{RegistId, ServiceName};
use super::instance::{self, Copies, Owner};
use super::origin::{OWN, OriginId};
use super::registry::{Registry, Timer};
use super::service::ServiceId;

impl Registry {
    /// Lets go of what the shrink guard of a service holds back. Whether it held anything.
    pub fn release(&mut self, service: &ServiceName, now: Now) -> bool {
        let Some(&id) = self.names.get(service) else {
            return false;
        };
        self.let_go(id, now)
    }

    /// Instances whose grace has ended are removed, unless they are too many at once.
    pub(super) fn grace_ended(&mut self, service: ServiceId, now: Now) {
        // Its client may have come back elsewhere: what everybody else knew then has to be known first.
        let publishers = self.services[service].publishers.values();
        let owners = publishers.filter_map(|copies| instance::of_origin(copies, OWN));
        let over = |owner: Owner| match owner {
            Owner::Grace(until) if until <= now.monotonic => Some(until),
            _ => None,
        };
        let over: BTreeSet<Duration> = owners.filter_map(|copy| over(copy.owner)).collect();
        let (known, unknown): (BTreeSet<Duration>, BTreeSet<Duration>) = over
            .into_iter()
            .partition(|until| self.is_known_to_all(*until, now));
        if !unknown.is_empty() {
            self.set_timer(now.monotonic + self.config.beat / 2, Timer::Grace(service));
        }
        if !known.is_empty() {
            let gone =
                |owner: Owner| matches!(owner, Owner::Grace(until) if known.contains(&until));
            self.vanish(service, OWN, gone, now);
        }
    }

    /// A node was not heard of for too long: its instances are removed, unless they are too many at once.
    pub(super) fn expire(&mut self, origin: OriginId, now: Now) {
        for service in self.services.all() {
            let here = |owner: Owner| owner != Owner::Held;
            self.vanish(service, origin, here, now);
        }
    }

    /// Removes what an origin has of a service, as far as its owner is `gone`. What nobody else has may have to be held back.
    fn vanish(&mut self, id: ServiceId, origin: OriginId, gone: impl Fn(Owner) -> bool, now: Now) {
        let service = &mut self.services[id];
        let is_gone = |copies: &Copies| {
            instance::of_origin(copies, origin).is_some_and(|copy| gone(copy.owner))
        };
        let all = service.publishers.iter();
        let vanishing: Vec<(RegistId, bool)> = all
            .filter(|(_, copies)| is_gone(copies))
            .map(|(id, copies)| (id.clone(), copies.len() == 1))
            .collect();
        let lost = vanishing.iter().filter(|(_, lost)| *lost).count();
        let listed = service.publishers.len();
        let held = lost > 0
            && service
                .guard
                .holds(lost, listed, now.monotonic, &self.config);
        if held {
            let until = service.guard.until.unwrap_or(now.monotonic);
            self.set_timer(until, Timer::Guard(id));
        }
        for (instance, lost) in vanishing {
            if !(held && lost) {
                self.take(id, &instance, origin, None, now);
            } else if let Some(copy) = self.services[id].copy_mut(&instance, origin) {
                copy.owner = Owner::Held;
            }
        }
    }

    /// The guard of a service ends, and what it held back goes.
    pub(super) fn let_go(&mut self, id: ServiceId, now: Now) -> bool {
        let service = &mut self.services[id];
        service.guard.release();
        let mut held: Vec<(RegistId, OriginId)> = Vec::new();
        for (instance, copies) in &service.publishers {
            let copies = copies.iter().filter(|copy| copy.owner == Owner::Held);
            held.extend(copies.map(|copy| (instance.clone(), copy.origin)));
        }
        for (instance, origin) in &held {
            self.take(id, instance, *origin, None, now);
        }
        !held.is_empty()
    }
}
