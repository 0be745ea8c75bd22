//! What clients are told: pushes, as far as each of them keeps up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use diwan_registry_wire::{Scope, Version};

use super::boundary::{Content, Now, Outgoing};
use super::connection::{ConnectionId, Inflight, PushId};
use super::ids::RegistId;
use super::registry::{Registry, Timer};
use super::service::ServiceId;

impl Registry {
    /// A client acknowledged a push, or could not take it.
    pub fn acknowledged(&mut self, connection: ConnectionId, push: PushId, taken: bool, now: Now) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        // Otherwise it is not sent again at once, but when the time for its acknowledgement is over.
        if taken {
            if let Some(inflight) = own.inflight.remove(&push) {
                self.inflight_bytes -= inflight.bytes;
                own.distrust = own.distrust.saturating_sub(1);
                own.silent_since = (!own.inflight.is_empty()).then_some(now.monotonic);
                self.history
                    .acknowledged(inflight.service, inflight.version, now);
            }
            self.pump(connection, now);
            self.pump_stalled(now);
        }
    }

    /// What is to be sent now. To be asked for after every turn.
    pub fn outgoing(&mut self, now: Now) -> Vec<Outgoing> {
        for service in std::mem::take(&mut self.changed) {
            let changed = &self.services[service];
            let subscribers = changed.subscribers.keys();
            let all = subscribers.chain(&changed.watchers).map(|(of, _)| *of);
            let connections: BTreeSet<ConnectionId> = all.collect();
            let version = changed.version;
            for connection in connections {
                if !self.is_being_told(connection, service, version) {
                    self.tell(connection, service);
                    self.pump(connection, now);
                }
            }
        }
        while self.listed_bytes > self.config.list_bytes
            && let Some((service, bytes)) = self.listed.pop_front()
        {
            self.listed_bytes -= bytes;
            self.services[service].forget_lists();
        }
        std::mem::take(&mut self.outgoing)
    }

    /// Whether the newest is on its way to a connection that wants nothing else of the service.
    fn is_being_told(
        &self,
        connection: ConnectionId,
        service: ServiceId,
        version: Version,
    ) -> bool {
        let mut watchers = self.services[service].watchers_of(connection);
        let own = self.connections.get(&connection);
        let mut inflight = own.into_iter().flat_map(|own| own.inflight.values());
        watchers.next().is_none()
            && inflight.any(|push| push.service == service && push.version == version)
    }

    pub(super) fn ack_missing(&mut self, connection: ConnectionId, push: PushId, now: Now) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        let Some(inflight) = own.inflight.get(&push).cloned() else {
            return;
        };
        if inflight.deadline > now.monotonic {
            self.set_timer(inflight.deadline, Timer::Ack(connection, push));
            return;
        }
        own.inflight.remove(&push);
        own.distrust =
            (own.distrust + own.inflight.len() / 2 + 1).min(self.config.inflight_max - 1);
        self.inflight_bytes -= inflight.bytes;
        self.counters.retries += 1;
        self.tell(connection, inflight.service);
        self.pump(connection, now);
        self.pump_stalled(now);
    }

    /// Everybody is pushed what was missed, as far as they are pushed to.
    pub(super) fn pump_all(&mut self, now: Now) {
        let all: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for connection in all {
            self.pump(connection, now);
        }
    }

    /// Those go on for whom there was no room.
    pub(super) fn pump_stalled(&mut self, now: Now) {
        while self.inflight_bytes < self.config.inflight_bytes_max
            && let Some(connection) = self.stalled.pop_first()
        {
            self.pump(connection, now);
        }
    }

    /// A connection does not have the newest of a service.
    pub(super) fn tell(&mut self, connection: ConnectionId, service: ServiceId) {
        if let Some(own) = self.connections.get_mut(&connection)
            && own.queued.insert(service)
        {
            own.waiting.push_back(service);
        }
    }

    /// Sends a connection what waits for it, as far as it keeps up.
    pub(super) fn pump(&mut self, connection: ConnectionId, now: Now) {
        if !self.is_serving() || !self.pushes_to(connection) {
            return;
        }
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        for _ in 0..own.waiting.len() {
            if own.inflight.len() + own.distrust >= self.config.inflight_max {
                return;
            }
            // One is always let through: who does not acknowledge cannot hold up everybody else.
            if self.inflight_bytes >= self.config.inflight_bytes_max && !own.inflight.is_empty() {
                self.stalled.insert(connection);
                return;
            }
            let Some(service) = own.waiting.pop_front() else {
                return;
            };
            if own.is_inflight(service) {
                own.waiting.push_back(service);
                continue;
            }
            own.queued.remove(&service);
            let known = &mut self.services[service];
            let mut groups: BTreeMap<(Scope, Arc<str>), Vec<RegistId>> = BTreeMap::new();
            for (id, subscriber) in known.subscribers_of(connection) {
                let group = groups.entry((subscriber.scope, subscriber.cell.clone()));
                group.or_default().push(id.clone());
            }
            if !groups.is_empty() && !known.has_lists() {
                let bytes = known.list_bytes();
                self.listed.push_back((service, bytes));
                self.listed_bytes += bytes;
            }
            let mut contents: Vec<(Content, Vec<RegistId>)> = groups
                .into_iter()
                .map(|((scope, cell), subscribers)| {
                    let content = Content::Instances {
                        version: known.version,
                        instances: known.list(scope, &cell),
                        scope,
                        cell,
                    };
                    (content, subscribers)
                })
                .collect();
            let watchers: Vec<RegistId> = known.watchers_of(connection).cloned().collect();
            if !watchers.is_empty() {
                contents.push((Content::Setting(known.setting.clone()), watchers));
            }
            for (content, registrations) in contents {
                self.next_push = self.next_push.wrapping_add(1);
                let push = PushId(self.next_push);
                let bytes = content.bytes();
                self.inflight_bytes += bytes;
                let version = content.version();
                self.counters.pushes += 1;
                self.history.sent(service, version, now);
                own.silent_since.get_or_insert(now.monotonic);
                self.outgoing.push(Outgoing {
                    connection,
                    push,
                    service: known.name.clone(),
                    content,
                    registrations,
                });
                let deadline = now.monotonic + self.config.ack_timeout;
                let inflight = Inflight {
                    service,
                    bytes,
                    version,
                    deadline,
                };
                own.inflight.insert(push, inflight);
                self.timers
                    .push(Reverse((deadline, Timer::Ack(connection, push))));
            }
        }
    }
}
