//! One service: its instances, its subscribers, and when they are told of changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Index, IndexMut};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diwan_hessian::Dialect;
use diwan_registry_wire::{Codec, DataBox, ReceivedData, Scope, Version, Zones};

use super::boundary::{Config, Setting};
use super::connection::ConnectionId;
use super::ids::{RegistId, ServiceName};
use super::instance::{self, Copies, Copy, Edition};
use super::origin::{OriginId, Sum};

#[derive(Clone, Debug)]
pub(super) struct Subscriber {
    pub(super) scope: Scope,
    /// The cell in which it runs.
    pub(super) cell: Arc<str>,
}

/// The instances of a service as subscribers see them: those of one cell, or all. Each form is encoded once.
#[derive(Debug, Default)]
pub struct Instances {
    /// About what a push of them takes.
    pub(super) bytes: usize,
    zones: Zones,
    encoded: [OnceLock<Vec<u8>>; 3],
    compressed: [OnceLock<Option<Vec<u8>>>; 2],
}

impl Instances {
    /// Instances by cell.
    pub fn new(zones: Zones) -> Self {
        Self {
            zones,
            ..Self::default()
        }
    }

    /// Compressed in one of two ways: `make` does it the first time. None if it cannot.
    pub fn compressed(&self, way: usize, make: impl FnOnce() -> Option<Vec<u8>>) -> Option<&[u8]> {
        self.compressed.get(way)?.get_or_init(make).as_deref()
    }

    /// By cell.
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// As part of a push: [`ReceivedData::encode_with`].
    pub fn encoded(&self, codec: Codec) -> &[u8] {
        let place = match codec {
            Codec::Hessian(Dialect::Draft) => 0,
            Codec::Hessian(Dialect::Final) => 1,
            Codec::Protobuf => 2,
        };
        self.encoded[place]
            .get_or_init(|| ReceivedData::encode_instances(self.zones.clone(), codec))
    }
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: Arc<ServiceName>,
    /// In which slot it is, and what its instances' sums begin with.
    pub(super) slot: u8,
    pub(super) sum: u64,
    pub(super) publishers: BTreeMap<RegistId, Copies>,
    /// Instances that their clients took back: copies up to this that are still on their way are not shown, until then.
    pub(super) withdrawn: BTreeMap<RegistId, (Edition, Duration)>,
    pub(super) subscribers: BTreeMap<(ConnectionId, RegistId), Subscriber>,
    /// Who wants to know the setting of this name.
    pub(super) watchers: BTreeSet<(ConnectionId, RegistId)>,
    pub(super) setting: Setting,
    pub(super) version: Version,
    /// Its instances of one cell, or all, as they are pushed.
    lists: BTreeMap<Option<Arc<str>>, Arc<Instances>>,
    pub(super) window: Window,
    pub(super) guard: Guard,
}

impl Service {
    pub(super) fn new(name: ServiceName) -> Self {
        let parts = [&name.data_id, &name.instance_id, &name.group];
        let sum = parts
            .iter()
            .fold(Sum::new(0), |sum, part| sum.with(part.as_bytes()));
        let sum = sum.finish();
        Self {
            name: Arc::new(name),
            slot: sum.to_le_bytes()[7],
            sum,
            publishers: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            watchers: BTreeSet::new(),
            setting: Setting {
                version: Version::NO_DATUM,
                value: None,
            },
            version: Version::NO_DATUM,
            lists: BTreeMap::new(),
            window: Window::default(),
            guard: Guard::default(),
        }
    }

    /// Its instances changed.
    pub(super) fn changed(&mut self, version: Version) {
        self.version = version;
        self.lists.clear();
    }

    /// The copy of an instance that is shown.
    pub(super) fn shown(&self, id: &RegistId) -> Option<&Copy> {
        let withdrawn = self.withdrawn.get(id).map(|(edition, _)| *edition);
        instance::shown(self.publishers.get(id)?, withdrawn)
    }

    /// All instances that are shown.
    pub(super) fn all_shown(&self) -> impl Iterator<Item = (&RegistId, &Copy)> {
        self.publishers.iter().filter_map(|(id, copies)| {
            let withdrawn = self.withdrawn.get(id).map(|(edition, _)| *edition);
            Some((id, instance::shown(copies, withdrawn)?))
        })
    }

    pub(super) fn copy(&self, id: &RegistId, origin: OriginId) -> Option<&Copy> {
        instance::of_origin(self.publishers.get(id)?, origin)
    }

    pub(super) fn copy_mut(&mut self, id: &RegistId, origin: OriginId) -> Option<&mut Copy> {
        let copies = self.publishers.get_mut(id)?;
        copies.iter_mut().find(|copy| copy.origin == origin)
    }

    /// Adds a copy; returns the one that was there of the same origin.
    pub(super) fn put(&mut self, id: &RegistId, copy: Copy) -> Option<Copy> {
        if let Some(known) = self.copy_mut(id, copy.origin) {
            return Some(std::mem::replace(known, copy));
        }
        self.publishers.entry(id.clone()).or_default().push(copy);
        None
    }

    pub(super) fn take(&mut self, id: &RegistId, origin: OriginId) -> Option<Copy> {
        let copies = self.publishers.get_mut(id)?;
        let place = copies.iter().position(|copy| copy.origin == origin)?;
        let taken = copies.remove(place);
        if copies.is_empty() {
            self.publishers.remove(id);
        }
        Some(taken)
    }

    /// The subscribers of a connection.
    pub(super) fn subscribers_of(
        &self,
        connection: ConnectionId,
    ) -> impl Iterator<Item = (&RegistId, &Subscriber)> {
        let from = self.subscribers.range((connection, RegistId::FIRST)..);
        from.take_while(move |((other, _), _)| *other == connection)
            .map(|((_, id), subscriber)| (id, subscriber))
    }

    /// Those of a connection that want to know the setting.
    pub(super) fn watchers_of(&self, connection: ConnectionId) -> impl Iterator<Item = &RegistId> {
        let from = self.watchers.range((connection, RegistId::FIRST)..);
        from.take_while(move |(other, _)| *other == connection)
            .map(|(_, id)| id)
    }

    pub(super) fn has_lists(&self) -> bool {
        !self.lists.is_empty()
    }

    /// About what its lists take: each instance as it is and as it is written.
    pub(super) fn list_bytes(&self) -> usize {
        let bytes = |copy: &Copy| 2 * copy.data.bytes().len() + 64;
        256 + self.all_shown().map(|(_, copy)| bytes(copy)).sum::<usize>()
    }

    /// Nobody publishes to it, subscribes to it or watches it.
    pub(super) fn is_unused(&self) -> bool {
        self.publishers.is_empty() && self.subscribers.is_empty() && self.watchers.is_empty()
    }

    /// A registration of a connection does not want to know anything any more.
    pub(super) fn forget(&mut self, connection: ConnectionId, id: RegistId) {
        let entry = (connection, id);
        self.subscribers.remove(&entry);
        self.watchers.remove(&entry);
    }

    /// Forgets what was made for pushes: it is made again.
    pub(super) fn forget_lists(&mut self) {
        self.lists.clear();
    }

    /// What a subscriber is shown.
    pub(super) fn list(&mut self, scope: Scope, cell: &Arc<str>) -> Arc<Instances> {
        let only = (scope == Scope::Zone).then(|| cell.clone());
        if let Some(made) = self.lists.get(&only) {
            return made.clone();
        }
        let mut zones = Zones::new();
        let mut bytes = 256;
        for (_, copy) in self.all_shown() {
            if only.as_ref().is_none_or(|only| copy.cell == *only) {
                bytes += copy.data.bytes().len() + 16;
                let zone = zones.entry(copy.cell.to_string()).or_default();
                zone.extend(copy.data.items().map(|data| DataBox { data }));
            }
        }
        let mut made = Instances::new(zones);
        made.bytes = bytes;
        let made = Arc::new(made);
        self.lists.insert(only, made.clone());
        made
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ServiceId(pub(super) u32);

/// All services, by their places.
#[derive(Debug, Default)]
pub(super) struct Services(Vec<Service>);

impl Services {
    pub(super) fn all(&self) -> impl Iterator<Item = ServiceId> + use<> {
        (0..u32::try_from(self.0.len()).unwrap_or(u32::MAX)).map(ServiceId)
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Service> {
        self.0.iter()
    }

    pub(super) fn at(&self, place: usize) -> Option<ServiceId> {
        let id = u32::try_from(place).ok()?;
        (place < self.0.len()).then_some(ServiceId(id))
    }

    pub(super) fn add(&mut self, service: Service) -> ServiceId {
        self.0.push(service);
        ServiceId(u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX))
    }
}

impl Index<ServiceId> for Services {
    type Output = Service;

    fn index(&self, id: ServiceId) -> &Service {
        &self.0[id.0 as usize]
    }
}

impl IndexMut<ServiceId> for Services {
    fn index_mut(&mut self, id: ServiceId) -> &mut Service {
        &mut self.0[id.0 as usize]
    }
}

/// When changes are pushed: the first one at once, those that follow closely together.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Changes before this wait for it.
    until: Duration,
    width: Duration,
    /// Something waits.
    pub(super) waiting: bool,
}

impl Window {
    /// Something changed. When it may be pushed, if that is not now.
    pub(super) fn changed(&mut self, now: Duration, config: &Config) -> Option<Duration> {
        if now >= self.until {
            let quiet = now - self.until > config.window_max;
            self.width = if quiet { config.window_min } else { self.width };
            self.begin(now, config);
            return None;
        }
        (!std::mem::replace(&mut self.waiting, true)).then_some(self.until)
    }

    /// What waited is pushed: whoever changes all the time is pushed less often.
    pub(super) fn ended(&mut self, now: Duration, config: &Config) {
        self.waiting = false;
        self.width = (self.width * 2).min(config.window_max);
        self.begin(now, config);
    }

    fn begin(&mut self, now: Duration, config: &Config) {
        self.width = self.width.max(config.window_min);
        self.until = now + self.width;
    }
}

/// Holds back instances that vanish in large numbers without having said so: rather a dead instance in a list than a list without
/// live ones.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// When instances vanished, and how many.
    vanished: VecDeque<(Duration, usize)>,
    /// It holds back until then.
    pub(super) until: Option<Duration>,
}

impl Guard {
    /// So many instances vanish now, of `listed`. Whether they are to be held back; then the guard has begun, or goes on.
    pub(super) fn holds(
        &mut self,
        vanishing: usize,
        listed: usize,
        now: Duration,
        config: &Config,
    ) -> bool {
        if self.until.is_some() {
            return true;
        }
        let begin = now.saturating_sub(config.guard_window);
        self.vanished.retain(|(at, _)| *at >= begin);
        let earlier: usize = self.vanished.iter().map(|(_, count)| count).sum();
        let (all, before) = (earlier + vanishing, earlier + listed);
        if all >= config.guard_instances_min && all * 2 > before {
            self.until = Some(now + config.guard_max);
            return true;
        }
        self.vanished.push_back((now, vanishing));
        false
    }

    /// It holds nothing back any more.
    pub(super) fn release(&mut self) {
        *self = Self::default();
    }
}
