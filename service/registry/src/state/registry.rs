//! All services and all connections of a node.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use diwan_registry_wire::{DataBox, Scope, Version};
use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::connection::{Connection, ConnectionId, Inflight, PushId};
use super::ids::{RegistId, ServiceName};
use super::service::{Instances, Owner, Publisher, Service, Subscriber};

/// Bounds and times of a registry.
#[derive(Clone, Debug)]
pub struct Config {
    /// A connection that ended may come back within this time before its instances are removed.
    pub grace: Duration,
    /// After a push the next one of the same service waits at least so long.
    pub window_min: Duration,
    /// At most so long, however often it changes.
    pub window_max: Duration,
    /// A push that is not acknowledged in time is sent again.
    pub ack_timeout: Duration,
    /// Pushes on their way to one client.
    pub inflight_max: usize,
    /// Registrations of one connection.
    pub registrations_max: usize,
    /// Bytes of what one instance publishes.
    pub data_bytes_max: usize,
    /// The shrink guard looks back so far.
    pub guard_window: Duration,
    /// It holds back when so many instances of a service vanish, if they are more than half.
    pub guard_instances_min: usize,
    /// It lets go after this time.
    pub guard_max: Duration,
    /// Drawn at the start: decides which names share a place in memory.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grace: Duration::from_millis(1500),
            window_min: Duration::from_millis(5),
            window_max: Duration::from_millis(500),
            ack_timeout: Duration::from_secs(3),
            inflight_max: 64,
            registrations_max: 100_000,
            data_bytes_max: 1 << 20,
            guard_window: Duration::from_secs(10),
            guard_instances_min: 10,
            guard_max: Duration::from_secs(300),
            seed: 0,
        }
    }
}

/// Both clocks of the node.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// A clock that never goes back.
    pub monotonic: Duration,
    /// Milliseconds since 1970: only for versions.
    pub unix_ms: u64,
}

/// An instance as its client describes it.
#[derive(Clone, Debug)]
pub struct Publication {
    /// What it publishes to.
    pub service: ServiceName,
    /// Its name.
    pub id: RegistId,
    /// What it publishes.
    pub data: Vec<DataBox>,
    /// The cell in which it runs.
    pub cell: String,
    /// How often the client changed it.
    pub version: i64,
    /// When, by the client's clock.
    pub timestamp: i64,
}

/// A subscriber as its client describes it.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// What it wants to know.
    pub service: ServiceName,
    /// Its name.
    pub id: RegistId,
    /// How far it looks.
    pub scope: Scope,
    /// The cell in which it runs.
    pub cell: String,
}

/// Why a registration is refused for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its connection has too many.
    #[error("this connection has {limit} registrations, which is the most")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// It publishes too much.
    #[error("{bytes} bytes of data, {limit} are the most")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Its connection is not known (any more).
    #[error("the connection has ended")]
    NoConnection,
}

/// A push for a client, which is to be acknowledged.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// To whom.
    pub connection: ConnectionId,
    /// How its acknowledgement is told.
    pub push: PushId,
    /// Of what.
    pub service: Arc<ServiceName>,
    /// What it says.
    pub content: Content,
    /// Which registrations of the connection it is for.
    pub registrations: Vec<RegistId>,
}

/// What a push says.
#[derive(Clone, Debug)]
pub enum Content {
    /// The instances of a service.
    Instances {
        /// What they are called by.
        version: Version,
        /// How far the subscribers look.
        scope: Scope,
        /// The subscribers' own cell.
        cell: Arc<str>,
        /// The instances.
        instances: Arc<Instances>,
    },
    /// A setting.
    Setting(Setting),
}

/// A setting as clients are told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Clients take only what is newer.
    pub version: Version,
    /// None if it was never set, or was removed.
    pub value: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServiceId(usize);

/// Something that is to be looked at in time. It may have become pointless.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Changes of a service have waited long enough.
    Window(ServiceId),
    /// Instances of a service whose connections ended are removed.
    Grace(ServiceId),
    /// The shrink guard of a service ends.
    Guard(ServiceId),
    /// A push was not acknowledged.
    Ack(ConnectionId, PushId),
}

/// All that a node knows.
pub struct Registry {
    config: Config,
    names: HashMap<Arc<ServiceName>, ServiceId, FixedState>,
    services: Vec<Service>,
    connections: BTreeMap<ConnectionId, Connection>,
    timers: BinaryHeap<Reverse<(Duration, Timer)>>,
    /// Services that changed in this turn and may be told at once.
    changed: BTreeSet<ServiceId>,
    outgoing: Vec<Outgoing>,
    version: Version,
    next_push: u64,
}

impl Registry {
    /// An empty registry.
    pub fn new(config: Config) -> Self {
        Self {
            names: HashMap::with_hasher(FixedState::with_seed(config.seed)),
            config,
            services: Vec::new(),
            connections: BTreeMap::new(),
            timers: BinaryHeap::new(),
            changed: BTreeSet::new(),
            outgoing: Vec::new(),
            version: Version::NO_DATUM,
            next_push: 1,
        }
    }

    /// A client connected.
    pub fn connected(&mut self, connection: ConnectionId) {
        self.connections.entry(connection).or_default();
    }

    /// A connection ended. Its instances stay for the grace.
    pub fn disconnected(&mut self, connection: ConnectionId, now: Now) {
        let Some(ended) = self.connections.remove(&connection) else {
            return;
        };
        let until = now.monotonic + self.config.grace;
        let mut services = BTreeSet::new();
        for (service, id) in ended.publishers {
            let publishers = &mut self.services[service.0].publishers;
            // It may have moved to another connection.
            if let Some(publisher) = publishers.get_mut(&id)
                && publisher.owner == Owner::Connection(connection)
            {
                publisher.owner = Owner::Grace(until);
                services.insert(service);
            }
        }
        for (service, _) in ended.subscribers {
            let service = &mut self.services[service.0];
            service.subscribers.remove(&connection);
            service.watchers.remove(&connection);
        }
        for service in services {
            self.timers.push(Reverse((until, Timer::Grace(service))));
        }
    }

    /// An instance begins, changes, or says again what it is.
    /// # Errors
    /// It is refused for good.
    pub fn publish(
        &mut self,
        connection: ConnectionId,
        publication: Publication,
        now: Now,
    ) -> Result<(), Refusal> {
        let bytes: usize = publication
            .data
            .iter()
            .flat_map(|one| &one.data)
            .map(String::len)
            .sum();
        let limit = self.config.data_bytes_max;
        if bytes > limit {
            return Err(Refusal::TooLarge { bytes, limit });
        }
        let service = self.service(publication.service);
        let entry = (service, publication.id.clone());
        self.register(connection, entry, |own| &mut own.publishers)?;
        let publishers = &mut self.services[service.0].publishers;
        let version = (publication.version, publication.timestamp);
        let owner = Owner::Connection(connection);
        match publishers.get_mut(&publication.id) {
            // Late or twice: what is known is newer.
            Some(known) if known.version > version => known.owner = owner,
            Some(known) if *known.data == *publication.data && *known.cell == *publication.cell => {
                (known.version, known.owner) = (version, owner);
            }
            _ => {
                let publisher = Publisher {
                    data: publication.data.into(),
                    cell: publication.cell.into(),
                    version,
                    owner,
                };
                publishers.insert(publication.id, publisher);
                self.changed(service, now);
            }
        }
        Ok(())
    }

    /// An instance says that it ends.
    pub fn unpublish(
        &mut self,
        connection: ConnectionId,
        service: &ServiceName,
        id: &RegistId,
        now: Now,
    ) {
        let Some(&service) = self.names.get(service) else {
            return;
        };
        if let Some(own) = self.connections.get_mut(&connection) {
            own.publishers.remove(&(service, id.clone()));
        }
        if self.services[service.0].publishers.remove(id).is_some() {
            self.changed(service, now);
        }
    }

    /// Somebody wants to know the instances of a service, and is told them.
    /// # Errors
    /// It is refused for good.
    pub fn subscribe(
        &mut self,
        connection: ConnectionId,
        subscription: Subscription,
        now: Now,
    ) -> Result<(), Refusal> {
        let service = self.service(subscription.service);
        let entry = (service, subscription.id.clone());
        self.register(connection, entry, |own| &mut own.subscribers)?;
        let subscriber = Subscriber {
            id: subscription.id,
            scope: subscription.scope,
            cell: subscription.cell.into(),
        };
        let version = self.next_version(now);
        let known = &mut self.services[service.0];
        // A client takes only what is newer than what it has, and it may have come from another node.
        known.version = version;
        let subscribers = known.subscribers.entry(connection).or_default();
        subscribers.retain(|known| known.id != subscriber.id);
        subscribers.push(subscriber);
        self.tell(connection, service);
        self.pump(connection, now);
        Ok(())
    }

    /// Somebody wants to know a setting, and is told it.
    /// # Errors
    /// It is refused for good.
    pub fn watch_setting(
        &mut self,
        connection: ConnectionId,
        name: ServiceName,
        id: RegistId,
        now: Now,
    ) -> Result<(), Refusal> {
        let service = self.service(name);
        let entry = (service, id.clone());
        self.register(connection, entry, |own| &mut own.subscribers)?;
        let watchers = self.services[service.0].watchers.entry(connection);
        let watchers = watchers.or_default();
        watchers.retain(|known| *known != id);
        watchers.push(id);
        self.tell(connection, service);
        self.pump(connection, now);
        Ok(())
    }

    /// A setting changed.
    pub fn set(&mut self, name: ServiceName, setting: Setting) {
        let service = self.service(name);
        self.services[service.0].setting = setting;
        self.changed.insert(service);
    }

    /// Somebody does not want to know it any more.
    pub fn unsubscribe(&mut self, connection: ConnectionId, service: &ServiceName, id: &RegistId) {
        let Some(&service) = self.names.get(service) else {
            return;
        };
        if let Some(own) = self.connections.get_mut(&connection) {
            own.subscribers.remove(&(service, id.clone()));
        }
        let all = &mut self.services[service.0].subscribers;
        if let Some(subscribers) = all.get_mut(&connection) {
            subscribers.retain(|known| known.id != *id);
            if subscribers.is_empty() {
                all.remove(&connection);
            }
        }
        let all = &mut self.services[service.0].watchers;
        if let Some(watchers) = all.get_mut(&connection) {
            watchers.retain(|known| known != id);
            if watchers.is_empty() {
                all.remove(&connection);
            }
        }
    }

    /// A client acknowledged a push, or could not take it.
    pub fn acknowledged(&mut self, connection: ConnectionId, push: PushId, taken: bool, now: Now) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        if taken {
            own.inflight.remove(&push);
            self.pump(connection, now);
        } else if let Some(inflight) = own.inflight.get_mut(&push) {
            // Not again at once: it comes up with the time-out.
            inflight.deadline = inflight
                .deadline
                .min(now.monotonic + self.config.ack_timeout);
        }
    }

    /// Lets go of what the shrink guard of a service holds back. Whether it held anything.
    pub fn release(&mut self, service: &ServiceName, now: Now) -> bool {
        let Some(&id) = self.names.get(service) else {
            return false;
        };
        self.let_go(id, now)
    }

    /// Carries out what time has brought.
    pub fn advance(&mut self, now: Now) {
        while let Some(Reverse((at, timer))) = self.timers.peek() {
            if *at > now.monotonic {
                break;
            }
            let timer = timer.clone();
            self.timers.pop();
            match timer {
                Timer::Window(service) => {
                    let config = &self.config;
                    self.services[service.0].window.ended(now.monotonic, config);
                    self.changed.insert(service);
                }
                Timer::Grace(service) => self.grace_ended(service, now),
                Timer::Guard(service) => {
                    let guard = &self.services[service.0].guard;
                    if guard.until.is_some_and(|until| until <= now.monotonic) {
                        self.let_go(service, now);
                    }
                }
                Timer::Ack(connection, push) => self.ack_missing(connection, push, now),
            }
        }
    }

    /// What is to be sent now. To be asked for after every turn.
    pub fn outgoing(&mut self, now: Now) -> Vec<Outgoing> {
        for service in std::mem::take(&mut self.changed) {
            let changed = &self.services[service.0];
            let connections: BTreeSet<ConnectionId> = changed
                .subscribers
                .keys()
                .chain(changed.watchers.keys())
                .copied()
                .collect();
            for connection in connections {
                self.tell(connection, service);
                self.pump(connection, now);
            }
        }
        std::mem::take(&mut self.outgoing)
    }

    /// When [`Registry::advance`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn service(&mut self, name: ServiceName) -> ServiceId {
        if let Some(&id) = self.names.get(&name) {
            return id;
        }
        let id = ServiceId(self.services.len());
        let service = Service::new(name);
        self.names.insert(service.name.clone(), id);
        self.services.push(service);
        id
    }

    /// Counts a registration with its connection; one that is known already counts once.
    fn register(
        &mut self,
        connection: ConnectionId,
        entry: (ServiceId, RegistId),
        kind: fn(&mut Connection) -> &mut BTreeSet<(ServiceId, RegistId)>,
    ) -> Result<(), Refusal> {
        let own = self.connections.get_mut(&connection);
        let own = own.ok_or(Refusal::NoConnection)?;
        let limit = self.config.registrations_max;
        if own.registrations() >= limit && !kind(own).contains(&entry) {
            return Err(Refusal::TooMany { limit });
        }
        kind(own).insert(entry);
        Ok(())
    }

    /// Higher than all before, and near the wall clock when that is ahead.
    fn next_version(&mut self, now: Now) -> Version {
        self.version = self.version.next().max(Version::at(now.unix_ms));
        self.version
    }

    fn changed(&mut self, service: ServiceId, now: Now) {
        let version = self.next_version(now);
        let changed = &mut self.services[service.0];
        changed.changed(version);
        if self.changed.contains(&service) {
            // It is told at the end of this turn anyway.
            return;
        }
        match changed.window.changed(now.monotonic, &self.config) {
            Some(until) => self.timers.push(Reverse((until, Timer::Window(service)))),
            None if changed.window.waiting => {}
            None => drop(self.changed.insert(service)),
        }
    }

    /// Instances whose grace has ended are removed, unless they are too many at once.
    fn grace_ended(&mut self, id: ServiceId, now: Now) {
        let service = &mut self.services[id.0];
        let gone = |publisher: &Publisher| matches!(publisher.owner, Owner::Grace(until) if until <= now.monotonic);
        let vanishing = service.publishers.values().filter(|one| gone(one)).count();
        if vanishing == 0 {
            return;
        }
        let listed = service.publishers.len();
        let held = service
            .guard
            .holds(vanishing, listed, now.monotonic, &self.config);
        if held {
            for publisher in service.publishers.values_mut().filter(|one| gone(one)) {
                publisher.owner = Owner::Held;
            }
            let until = service.guard.until.unwrap_or(now.monotonic);
            self.timers.push(Reverse((until, Timer::Guard(id))));
        } else {
            service.publishers.retain(|_, publisher| !gone(publisher));
            self.changed(id, now);
        }
    }

    fn let_go(&mut self, id: ServiceId, now: Now) -> bool {
        let service = &mut self.services[id.0];
        service.guard.release();
        let before = service.publishers.len();
        service.publishers.retain(|_, one| one.owner != Owner::Held);
        let any = service.publishers.len() < before;
        if any {
            self.changed(id, now);
        }
        any
    }

    fn ack_missing(&mut self, connection: ConnectionId, push: PushId, now: Now) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        let Some(inflight) = own.inflight.get(&push).cloned() else {
            return;
        };
        if inflight.deadline > now.monotonic {
            self.timers
                .push(Reverse((inflight.deadline, Timer::Ack(connection, push))));
            return;
        }
        own.inflight.remove(&push);
        self.tell(connection, inflight.service);
        self.pump(connection, now);
    }

    /// A connection does not have the newest of a service.
    fn tell(&mut self, connection: ConnectionId, service: ServiceId) {
        if let Some(own) = self.connections.get_mut(&connection)
            && own.queued.insert(service)
        {
            own.waiting.push_back(service);
        }
    }

    /// Sends a connection what waits for it, as far as it keeps up.
    fn pump(&mut self, connection: ConnectionId, now: Now) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        for _ in 0..own.waiting.len() {
            if own.inflight.len() >= self.config.inflight_max {
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
            let known = &mut self.services[service.0];
            let mut groups: BTreeMap<(Scope, Arc<str>), Vec<RegistId>> = BTreeMap::new();
            for subscriber in known.subscribers.get(&connection).into_iter().flatten() {
                let group = groups.entry((subscriber.scope, subscriber.cell.clone()));
                group.or_default().push(subscriber.id.clone());
            }
            let mut contents: Vec<(Content, Vec<RegistId>)> = groups
                .into_iter()
                .map(|((scope, cell), subscribers)| {
                    let content = Content::Instances {
                        version: known.version,
                        instances: known.instances(scope, &cell),
                        scope,
                        cell,
                    };
                    (content, subscribers)
                })
                .collect();
            if let Some(watchers) = known.watchers.get(&connection) {
                contents.push((Content::Setting(known.setting.clone()), watchers.clone()));
            }
            for (content, registrations) in contents {
                self.next_push += 1;
                let push = PushId(self.next_push);
                self.outgoing.push(Outgoing {
                    connection,
                    push,
                    service: known.name.clone(),
                    content,
                    registrations,
                });
                let deadline = now.monotonic + self.config.ack_timeout;
                own.inflight.insert(push, Inflight { service, deadline });
                self.timers
                    .push(Reverse((deadline, Timer::Ack(connection, push))));
            }
        }
    }
}
