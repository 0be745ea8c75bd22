//! What operators see of a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use diwan_registry_wire::Version;
use serde::Serialize;

use super::boundary::Now;
use super::connection::{Connection, ConnectionId};
use super::history::PushView;
use super::ids::{RegistId, ServiceName};
use super::instance::{Copy, Owner};
use super::origin::{OWN, SLOTS};
use super::registry::Registry;
use super::service::ServiceId;

/// A client that was sent something and acknowledged nothing for so long is slow.
const SLOW_AFTER: Duration = Duration::from_secs(5);

/// What happened since the node began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) pushes: u64,
    pub(super) retries: u64,
}

/// How much there is, and what happened since the node began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Clients that have registered something.
    pub connections: u64,
    /// Instances of this node's clients.
    pub publishers: u64,
    /// Subscribers of this node.
    pub subscribers: u64,
    /// Of this node, who wants to know settings.
    pub watchers: u64,
    /// Services with instances or subscribers.
    pub services: u64,
    /// Instances of all nodes' clients.
    pub instances: u64,
    /// Copies of them, one for each node that vouches for one.
    pub copies: u64,
    /// Withdrawals that are remembered for a while.
    pub withdrawn: u64,
    /// What was sent to clients.
    pub pushes: u64,
    /// What was not acknowledged in time, and is sent again.
    pub retries: u64,
    /// Clients that were sent something and acknowledged nothing for more than 5 s.
    pub slow_clients: u64,
    /// Instances that the shrink guard holds back.
    pub held: u64,
    /// Messages of other nodes, and settings, that make no sense.
    pub malformed: u64,
    /// Whether pushes are stopped.
    pub pushes_stopped: bool,
    /// Whether lists are pushed yet.
    pub serving: bool,
}

/// A service in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceView {
    /// `dataId#@#instanceId#@#group`.
    pub service: String,
    /// Services are spread over 256 slots.
    pub slot: u8,
    /// What its newest list is called.
    pub version: i64,
    /// Instances of all nodes' clients.
    pub instances: usize,
    /// Of this node's clients.
    pub publishers: usize,
    /// This node's clients that subscribe.
    pub subscribers: usize,
    /// This node's clients that want to know the setting of this name.
    pub watchers: usize,
    /// Instances that the shrink guard holds back.
    pub held: usize,
    /// When the guard lets go by itself, in milliseconds from now.
    pub guard_ms: Option<u64>,
}

/// An instance as it is shown to subscribers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceView {
    /// Its registration.
    pub regist_id: String,
    /// The node whose client it is.
    pub node: String,
    /// That client, if it is this node's and connected.
    pub address: Option<SocketAddr>,
    /// The cell in which it runs.
    pub cell: String,
    /// What it publishes.
    pub data: Vec<Option<String>>,
    /// How often its client changed it.
    pub version: i64,
    /// When, by the client's clock.
    pub timestamp: i64,
    /// `connected`; `grace` or `held` after its connection ended; `elsewhere` for another node's.
    pub state: &'static str,
    /// It is known from before its node began; its client has not come back yet.
    pub provisional: bool,
}

/// A subscriber of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscriberView {
    /// Its registration.
    pub regist_id: String,
    /// Its client.
    pub address: Option<SocketAddr>,
    /// How far it looks; `config` for who wants to know a setting.
    pub scope: &'static str,
    /// The cell in which it runs.
    pub cell: String,
    /// `waiting` for the newest, was `sent` it, or has `acknowledged` it.
    pub state: &'static str,
}

/// A client of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionView {
    /// Its address.
    pub address: Option<SocketAddr>,
    /// What it publishes: service and registration.
    pub publishers: Vec<(String, String)>,
    /// What it subscribes to, settings among it.
    pub subscribers: Vec<(String, String)>,
}

/// An instance in short, to be compared with what another node has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct InstanceSum {
    /// `dataId#@#instanceId#@#group`.
    pub service: String,
    /// Its registration.
    pub regist_id: String,
    /// Of all that clients see of it.
    pub sum: u64,
}

impl Registry {
    /// How much there is.
    pub fn counts(&self, now: Now) -> Counts {
        let connections = self.connections.values();
        let slow = connections.clone().filter(|one| one.is_slow(now));
        let services = self.services.iter();
        let used = services.clone().filter(|one| !one.is_unused());
        let watchers: usize = services.clone().map(|one| one.watchers.len()).sum();
        let registered: usize = connections.clone().map(|one| one.subscribers.len()).sum();
        let guarded = self.services.all();
        Counts {
            connections: self.connections.len() as u64,
            publishers: connections.map(|one| one.publishers.len() as u64).sum(),
            subscribers: registered.saturating_sub(watchers) as u64,
            watchers: watchers as u64,
            services: used.count() as u64,
            instances: services
                .clone()
                .map(|one| one.publishers.len() as u64)
                .sum(),
            copies: services
                .clone()
                .flat_map(|one| one.publishers.values())
                .map(|copies| copies.len() as u64)
                .sum(),
            withdrawn: services.map(|one| one.withdrawn.len() as u64).sum(),
            pushes: self.counters.pushes,
            retries: self.counters.retries,
            slow_clients: slow.count() as u64,
            held: guarded.map(|service| self.held(service) as u64).sum(),
            malformed: self.malformed,
            pushes_stopped: self.stopped_pushes().is_some(),
            serving: self.is_serving(),
        }
    }

    fn held(&self, service: ServiceId) -> usize {
        let service = &self.services[service];
        match service.guard.until {
            None => 0,
            Some(_) => service
                .publishers
                .values()
                .flatten()
                .filter(|copy| copy.owner == Owner::Held)
                .count(),
        }
    }

    /// Services whose names contain a text and that have instances, subscribers or watchers: as many as are wanted, and whether
    /// there are more.
    pub fn services(&self, text: &str, limit: usize, now: Now) -> (Vec<ServiceView>, bool) {
        let mut found: Vec<(String, ServiceId)> = Vec::new();
        for id in self.services.all() {
            let service = &self.services[id];
            let name = service.name.to_string();
            if !service.is_unused() && name.contains(text) {
                found.push((name, id));
            }
        }
        found.sort_unstable();
        let more = found.len() > limit;
        found.truncate(limit);
        let views = found.into_iter();
        let views = views.map(|(name, id)| self.service_view(name, id, now));
        (views.collect(), more)
    }

    /// The version of a service that has instances, subscribers or watchers.
    pub fn version_of(&self, name: &ServiceName) -> Option<Version> {
        let service = &self.services[*self.names.get(name)?];
        (!service.is_unused()).then_some(service.version)
    }

    fn service_view(&self, name: String, id: ServiceId, now: Now) -> ServiceView {
        let service = &self.services[id];
        let own = |copy: &&Copy| copy.origin == OWN;
        let guard = service.guard.until;
        ServiceView {
            service: name,
            slot: service.slot,
            version: service.version.0,
            instances: service.all_shown().count(),
            publishers: service.publishers.values().flatten().filter(own).count(),
            subscribers: service.subscribers.len(),
            watchers: service.watchers.len(),
            held: self.held(id),
            guard_ms: guard.map(|until| millis(until.saturating_sub(now.monotonic))),
        }
    }

    /// The services that a person may mean: by the whole name, or by the data id alone, with or without SOFARPC's `@DEFAULT`.
    pub fn meant(&self, text: &str) -> Vec<ServiceName> {
        let is = |name: &ServiceName| match text.contains("#@#") {
            true => name.to_string() == text,
            false => {
                let data_id = name.data_id.as_str();
                data_id == text || data_id.strip_suffix("@DEFAULT") == Some(text)
            }
        };
        let mut meant: Vec<ServiceName> = self
            .names
            .keys()
            .filter(|name| is(name))
            .map(|name| (**name).clone())
            .collect();
        meant.sort_unstable();
        meant
    }

    /// The instances of a service as subscribers see them.
    pub fn instances(&self, name: &ServiceName) -> Vec<InstanceView> {
        let Some(id) = self.names.get(name).copied() else {
            return Vec::new();
        };
        let view = |(id, copy): (&RegistId, &Copy)| {
            let address = match copy.owner {
                Owner::Connection(connection) => self.address(connection),
                _ => None,
            };
            InstanceView {
                regist_id: id.to_string(),
                node: self.origins.get(copy.origin).node.to_string(),
                address,
                cell: copy.cell.to_string(),
                data: copy.data.items().collect(),
                version: copy.edition.0,
                timestamp: copy.edition.1,
                state: match copy.owner {
                    Owner::Connection(_) => "connected",
                    Owner::Grace(_) => "grace",
                    Owner::Held => "held",
                    Owner::Node => "elsewhere",
                },
                provisional: copy.provisional,
            }
        };
        self.services[id].all_shown().map(view).collect()
    }

    /// The subscribers of a service that are this node's clients, and who wants to know the setting of that name.
    pub fn subscribers(&self, name: &ServiceName) -> Vec<SubscriberView> {
        let Some(id) = self.names.get(name).copied() else {
            return Vec::new();
        };
        let service = &self.services[id];
        let view = |connection: ConnectionId, id: &RegistId, scope, cell: &str| SubscriberView {
            regist_id: id.to_string(),
            address: self.address(connection),
            scope,
            cell: cell.to_owned(),
            state: self.stands(connection, name),
        };
        let subscribers = service.subscribers.iter();
        let subscribers = subscribers
            .map(|((connection, id), one)| view(*connection, id, one.scope.name(), &one.cell));
        let watchers = service.watchers.iter();
        let watchers = watchers.map(|(connection, id)| view(*connection, id, "config", ""));
        subscribers.chain(watchers).collect()
    }

    fn stands(&self, connection: ConnectionId, name: &ServiceName) -> &'static str {
        let known = self.connections.get(&connection);
        let (Some(known), Some(service)) = (known, self.names.get(name).copied()) else {
            return "waiting";
        };
        match (known.queued.contains(&service), known.is_inflight(service)) {
            (true, _) => "waiting",
            (false, true) => "sent",
            (false, false) => "acknowledged",
        }
    }

    fn address(&self, connection: ConnectionId) -> Option<SocketAddr> {
        self.connections.get(&connection)?.address
    }

    /// What was pushed of a service lately, the newest last.
    pub fn push_history(&self, name: &ServiceName) -> Vec<PushView> {
        let id = self.names.get(name).copied();
        id.map(|id| self.history.of(id)).unwrap_or_default()
    }

    /// The clients of this node that have these addresses.
    pub fn clients_at(&self, addresses: &BTreeSet<SocketAddr>) -> Vec<ConnectionView> {
        let named = |(service, id): &(ServiceId, RegistId)| {
            (self.services[*service].name.to_string(), id.to_string())
        };
        let view = |one: &Connection| ConnectionView {
            address: one.address,
            publishers: one.publishers.iter().map(named).collect(),
            subscribers: one.subscribers.iter().map(named).collect(),
        };
        let there = self.connections.values();
        let there = there.filter(|one| one.address.is_some_and(|at| addresses.contains(&at)));
        there.map(view).collect()
    }

    /// The addresses of this node's clients.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let connections = self.connections.values();
        connections.filter_map(|one| one.address).collect()
    }

    /// What this node's clients have registered, by service: publishers, subscribers, watchers.
    pub fn registered(&self) -> BTreeMap<String, [usize; 3]> {
        let all = self.services.iter().map(|service| {
            let own = |copy: &&Copy| copy.origin == OWN;
            let publishers = service.publishers.values().flatten().filter(own).count();
            let subscribers = service.subscribers.len();
            let watchers = service.watchers.len();
            (service, [publishers, subscribers, watchers])
        });
        let used = all.filter(|(_, counts)| *counts != [0; 3]);
        used.map(|(service, counts)| (service.name.to_string(), counts))
            .collect()
    }

    /// Services that the shrink guard holds something back of.
    pub fn guarded(&self, now: Now) -> Vec<ServiceView> {
        let all = self.services.all();
        let guarded = all.filter(|id| self.held(*id) > 0);
        let view = |id: ServiceId| self.service_view(self.services[id].name.to_string(), id, now);
        guarded.map(view).collect()
    }

    /// A sum over all that is known, by slot: nodes that know the same have the same.
    pub fn slot_sums(&self) -> Vec<u64> {
        let mut sums = vec![0_u64; SLOTS];
        for (_, origin) in self.origins.all() {
            for (sum, one) in sums.iter_mut().zip(origin.sums.iter()) {
                *sum = sum.wrapping_add(*one);
            }
        }
        sums
    }

    /// What is shown in a slot.
    pub fn slot_instances(&self, slot: u8) -> Vec<InstanceSum> {
        let services = self.slots[usize::from(slot)].iter();
        let mut all: Vec<InstanceSum> = services
            .flat_map(|id| {
                let service = &self.services[*id];
                service.all_shown().map(|(id, copy)| InstanceSum {
                    service: service.name.to_string(),
                    regist_id: id.to_string(),
                    sum: copy.sum,
                })
            })
            .collect();
        all.sort_unstable();
        all
    }
}

impl Connection {
    fn is_slow(&self, now: Now) -> bool {
        let silent = self.silent_since;
        // What was not acknowledged before pushes were stopped is not on its way any more.
        !self.inflight.is_empty() && silent.is_some_and(|since| since + SLOW_AFTER < now.monotonic)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
