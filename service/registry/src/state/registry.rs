//! All services and all connections of a node.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use diwan_registry_wire::Version;
use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::boundary::{
    Config, Now, Outgoing, Publication, Refusal, Setting, Start, Subscription, Written,
};
use super::connection::{Connection, ConnectionId, PushId};
use super::control::Controls;
use super::history::History;
use super::ids::{RegistId, ServiceName};
use super::instance::{Copy, Data, Edition, Owner};
use super::nodes::Node;
use super::origin::{OWN, OriginId, Origins, SLOTS};
use super::own::OwnChanges;
use super::service::{Service, ServiceId, Services, Subscriber};
use super::start::Starting;
use super::view::Counters;

/// Something that is to be looked at in time. It may have become pointless.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Changes of a service have waited long enough.
    Window(ServiceId),
    /// Instances of a service whose connections ended are removed.
    Grace(ServiceId),
    /// The shrink guard of a service ends.
    Guard(ServiceId),
    /// A push was not acknowledged.
    Ack(ConnectionId, PushId),
    /// Nobody needs to know any more what clients took back.
    Withdrawn(ServiceId),
    /// The other nodes are looked after.
    Nodes,
}

/// Names of cells that are kept; who invents more of them pays for each.
const CELLS_MAX: usize = 1_000;

/// All that a node knows.
pub struct Registry {
    pub(super) config: Config,
    pub(super) names: HashMap<Arc<ServiceName>, ServiceId, FixedState>,
    pub(super) services: Services,
    /// Services by slot.
    pub(super) slots: Vec<Vec<ServiceId>>,
    cells: BTreeSet<Arc<str>>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) timers: BinaryHeap<Reverse<(Duration, Timer)>>,
    /// Services that changed in this turn and may be told at once.
    pub(super) changed: BTreeSet<ServiceId>,
    pub(super) outgoing: Vec<Outgoing>,
    /// Services whose lists are made, in the order in which they were, and about how many bytes these take.
    pub(super) listed: VecDeque<(ServiceId, usize)>,
    pub(super) listed_bytes: usize,
    /// What is on its way to clients, and those for whom there was no room.
    pub(super) inflight_bytes: usize,
    pub(super) stalled: BTreeSet<ConnectionId>,
    /// The highest that was given, here or elsewhere.
    pub(super) version: Version,
    pub(super) next_push: u32,
    pub(super) origins: Origins,
    pub(super) own: OwnChanges,
    pub(super) nodes: BTreeMap<Arc<str>, Node>,
    /// Until lists are pushed.
    pub(super) starting: Option<Starting>,
    pub(super) serving_since: Duration,
    pub(super) ticking: bool,
    /// Where clients connect.
    pub(super) address: String,
    /// The addresses of those that push lists are not what they were.
    pub(super) addresses_changed: bool,
    /// Messages of other nodes, or parts of them, that make no sense.
    pub(super) malformed: u64,
    pub(super) controls: Controls,
    pub(super) counters: Counters,
    pub(super) history: History,
    /// Instances that changed since they were written down; None while nothing is written down.
    unwritten: Option<BTreeSet<(ServiceId, RegistId)>>,
}

impl Registry {
    /// A registry that is alone and begins with nothing.
    pub fn new(config: Config) -> Self {
        Self {
            names: HashMap::with_hasher(FixedState::with_seed(config.seed)),
            own: OwnChanges::new(config.changes_max),
            config,
            services: Services::default(),
            slots: vec![Vec::new(); SLOTS],
            cells: BTreeSet::new(),
            connections: BTreeMap::new(),
            timers: BinaryHeap::new(),
            changed: BTreeSet::new(),
            outgoing: Vec::new(),
            listed: VecDeque::new(),
            listed_bytes: 0,
            inflight_bytes: 0,
            stalled: BTreeSet::new(),
            version: Version::NO_DATUM,
            next_push: 1,
            origins: Origins::new("", 0),
            nodes: BTreeMap::new(),
            starting: None,
            serving_since: Duration::ZERO,
            ticking: false,
            address: String::new(),
            addresses_changed: false,
            malformed: 0,
            controls: Controls::default(),
            counters: Counters::default(),
            history: History::default(),
            unwritten: None,
        }
    }

    /// One of several, or one that goes on from what it knew. It pushes nothing before it knows what the others know.
    pub fn start(config: Config, start: Start, now: Now) -> Self {
        let mut registry = Self::new(config);
        registry.origins = Origins::new(&start.node, start.epoch);
        registry.address = start.address;
        // What was given after it was written down is passed by.
        let given = u64::try_from(start.version.unix_ms()).unwrap_or(0);
        registry.version = Version::at(given + 1_000).max(Version::NO_DATUM);
        registry.starting = Some(Starting {
            since: now.monotonic,
            recovered: start.recovered,
        });
        registry.set_nodes(start.nodes, now);
        registry
    }

    /// The highest version that was given or heard of: to be written down, so that no later life gives a lower one.
    pub fn version(&self) -> Version {
        self.version
    }

    /// From now on [`Registry::changes`] says what changed.
    pub fn write_down(&mut self) {
        self.unwritten.get_or_insert_default();
    }

    /// Instances that changed since the last time, and what is shown of each now.
    pub fn changes(&mut self) -> Vec<Written> {
        let Some(unwritten) = &mut self.unwritten else {
            return Vec::new();
        };
        let changes = std::mem::take(unwritten).into_iter();
        changes
            .map(|(service, id)| self.written(service, &id))
            .collect()
    }

    fn written(&self, service: ServiceId, id: &RegistId) -> Written {
        let service = &self.services[service];
        Written {
            service: service.name.clone(),
            id: id.clone(),
            instance: service.shown(id).map(Copy::to_wire),
        }
    }

    /// All instances of some services, for a whole picture made of parts: from the first service that is not in the parts before.
    /// None if there is no such service.
    pub fn picture(&self, first: usize) -> Option<Vec<Written>> {
        let service = self.services.at(first)?;
        let all = self.services[service].all_shown();
        Some(all.map(|(id, _)| self.written(service, id)).collect())
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
        self.inflight_bytes -= ended
            .inflight
            .values()
            .map(|push| push.bytes)
            .sum::<usize>();
        self.stalled.remove(&connection);
        let until = now.monotonic + self.config.grace;
        let mut services = BTreeSet::new();
        for (service, id) in ended.publishers {
            // It may have moved to another connection.
            if let Some(own) = self.services[service].copy_mut(&id, OWN)
                && own.owner == Owner::Connection(connection)
            {
                own.owner = Owner::Grace(until);
                services.insert(service);
            }
        }
        for (service, id) in ended.subscribers {
            self.services[service].forget(connection, id);
        }
        for service in services {
            self.set_timer(until, Timer::Grace(service));
        }
        self.pump_stalled(now);
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
        if !self.takes_from(connection) || self.is_silenced(&publication.service, connection) {
            return Ok(());
        }
        let service = self.service(&publication.service);
        let id = publication.id.clone();
        self.register(connection, (service, id.clone()), |own| &mut own.publishers)?;
        let copy = self.own_copy(&publication, Owner::Connection(connection));
        let known = &mut self.services[service];
        let taken_back = known.withdrawn.get(&id);
        if taken_back.is_some_and(|(taken_back, _)| *taken_back >= copy.edition) {
            // Its client has begun again.
            known.withdrawn.remove(&id);
        }
        if let Some(own) = known.copy_mut(&id, OWN)
            && (own.edition > copy.edition
                || own.edition == copy.edition && !own.provisional && own.publishes_the_same(&copy))
        {
            // Late or twice: what is known is as new.
            own.owner = copy.owner;
            return Ok(());
        }
        self.put(service, &id, copy, now);
        Ok(())
    }

    /// An instance says that it ends. `edition`: how often its client had changed it then, and when.
    pub fn unpublish(
        &mut self,
        connection: ConnectionId,
        service: &ServiceName,
        id: &RegistId,
        edition: (i64, i64),
        now: Now,
    ) {
        let Some(&service) = self.names.get(service) else {
            return;
        };
        if let Some(own) = self.connections.get_mut(&connection) {
            own.publishers.remove(&(service, id.clone()));
        }
        let own = self.services[service].copy(id, OWN);
        let edition = own.map_or(edition, |own| own.edition.max(edition));
        self.withdraw(OWN, service, id, edition, now);
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
        let service = self.service(&subscription.service);
        let entry = (service, subscription.id.clone());
        self.register(connection, entry, |own| &mut own.subscribers)?;
        let subscriber = Subscriber {
            scope: subscription.scope,
            cell: self.cell(&subscription.cell),
        };
        let version = self.next_version(now);
        let known = &mut self.services[service];
        // A client takes only what is newer than what it has, and it may have come from another node.
        known.version = version;
        let entry = (connection, subscription.id);
        known.subscribers.insert(entry, subscriber);
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
        let service = self.service(&name);
        let entry = (service, id.clone());
        self.register(connection, entry, |own| &mut own.subscribers)?;
        self.services[service].watchers.insert((connection, id));
        self.tell(connection, service);
        self.pump(connection, now);
        Ok(())
    }

    /// A setting changed.
    pub fn set(&mut self, name: ServiceName, setting: Setting) {
        self.controls.told(&name, &setting);
        let service = self.service(&name);
        self.services[service].setting = setting;
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
        self.services[service].forget(connection, id.clone());
    }

    /// Carries out what time has brought.
    pub fn advance(&mut self, now: Now) {
        self.obey(now);
        while let Some(Reverse((at, timer))) = self.timers.peek() {
            if *at > now.monotonic {
                break;
            }
            let timer = timer.clone();
            self.timers.pop();
            match timer {
                Timer::Window(service) => {
                    let config = &self.config;
                    self.services[service].window.ended(now.monotonic, config);
                    self.changed.insert(service);
                }
                Timer::Grace(service) => self.grace_ended(service, now),
                Timer::Guard(service) => {
                    let guard = &self.services[service].guard;
                    if guard.until.is_some_and(|until| until <= now.monotonic) {
                        self.let_go(service, now);
                    }
                }
                Timer::Ack(connection, push) => self.ack_missing(connection, push, now),
                Timer::Withdrawn(service) => {
                    let known = &mut self.services[service];
                    known
                        .withdrawn
                        .retain(|_, (_, until)| *until > now.monotonic);
                }
                Timer::Nodes => {
                    self.ticking = false;
                    self.tick_nodes(now);
                }
            }
        }
    }

    /// When [`Registry::advance`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn service(&mut self, name: &ServiceName) -> ServiceId {
        if let Some(&id) = self.names.get(name) {
            return id;
        }
        let service = Service::new(name.clone());
        let (name, slot) = (service.name.clone(), service.slot);
        let id = self.services.add(service);
        self.slots[usize::from(slot)].push(id);
        self.names.insert(name, id);
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
    pub(super) fn next_version(&mut self, now: Now) -> Version {
        self.version = self.version.next().max(Version::at(self.version_ms(now)));
        self.version
    }

    /// What is shown of a service changed.
    pub(super) fn changed(&mut self, service: ServiceId, now: Now) {
        let version = self.next_version(now);
        let changed = &mut self.services[service];
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

    /// The name of a cell; there are few, so that all who have it share it.
    pub(super) fn cell(&mut self, name: &str) -> Arc<str> {
        if let Some(cell) = self.cells.get(name) {
            return cell.clone();
        }
        let cell: Arc<str> = name.into();
        if self.cells.len() < CELLS_MAX {
            self.cells.insert(cell.clone());
        }
        cell
    }

    pub(super) fn set_timer(&mut self, at: Duration, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
    }

    /// What a client of this node publishes; its number comes with [`Registry::put`].
    pub(super) fn own_copy(&mut self, publication: &Publication, owner: Owner) -> Copy {
        let data = publication.data.iter().map(|item| item.data.as_deref());
        Copy {
            origin: OWN,
            number: 0,
            sum: 0,
            data: Data::new(data),
            cell: self.cell(&publication.cell),
            edition: (publication.version, publication.timestamp),
            owner,
            provisional: false,
        }
    }

    /// An instance is so, as its origin says.
    pub(super) fn put(&mut self, service: ServiceId, id: &RegistId, mut copy: Copy, now: Now) {
        copy.sum = copy.sum(self.services[service].sum, id);
        if copy.origin == OWN {
            copy.number = self.own.add(service, id, None);
        }
        let (origin, sum) = (copy.origin, copy.sum);
        self.show(service, id, now, |registry| {
            let known = &mut registry.services[service];
            let before = known.put(id, copy);
            let from = registry.origins.get_mut(origin);
            from.add(known.slot, sum);
            if let Some(before) = &before {
                from.subtract(known.slot, before.sum);
            }
        });
    }

    /// An instance is gone, as its origin says. Whether it was there.
    pub(super) fn take(
        &mut self,
        service: ServiceId,
        id: &RegistId,
        origin: OriginId,
        withdrawn: Option<Edition>,
        now: Now,
    ) -> bool {
        let mut there = false;
        self.show(service, id, now, |registry| {
            let known = &mut registry.services[service];
            let taken = known.take(id, origin);
            there = taken.is_some();
            if let Some(taken) = &taken {
                registry
                    .origins
                    .get_mut(origin)
                    .subtract(known.slot, taken.sum);
            }
            if origin == OWN && (there || withdrawn.is_some()) {
                registry.own.add(service, id, withdrawn);
            }
        });
        there
    }

    /// A client took an instance back, as its origin says: whatever copies of it are on their way are not shown any more.
    pub(super) fn withdraw(
        &mut self,
        origin: OriginId,
        service: ServiceId,
        id: &RegistId,
        edition: Edition,
        now: Now,
    ) {
        if self.nodes.is_empty() {
            self.take(service, id, origin, None, now);
            return;
        }
        self.show(service, id, now, |registry| {
            let until = now.monotonic + 2 * registry.config.lease;
            let withdrawn = &mut registry.services[service].withdrawn;
            withdrawn.insert(id.clone(), (edition, until));
            registry.set_timer(until, Timer::Withdrawn(service));
            registry.take(service, id, origin, Some(edition), now);
            // Nobody else removes what a node had that has ended: who starts anew would be told of it.
            for ended in registry.ended_with(service, id, edition, now) {
                registry.take(service, id, ended, None, now);
            }
        });
    }

    /// Does something with an instance; if other than before is shown of it then, subscribers are told.
    fn show(&mut self, service: ServiceId, id: &RegistId, now: Now, act: impl FnOnce(&mut Self)) {
        let shown = |registry: &Self| registry.services[service].shown(id).cloned();
        let before = shown(self);
        act(self);
        let after = shown(self);
        let same = |same: fn(&Copy, &Copy) -> bool| match (&before, &after) {
            (None, None) => true,
            (Some(before), Some(after)) => same(before, after),
            _ => false,
        };
        if let Some(unwritten) = &mut self.unwritten
            && !same(|before, after| before.sum == after.sum)
        {
            unwritten.insert((service, id.clone()));
        }
        if !same(|before, after| before.publishes_the_same(after)) {
            self.changed(service, now);
        }
    }
}
