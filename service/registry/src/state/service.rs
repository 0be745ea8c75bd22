//! One service: its instances, its subscribers, and when they are told of changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diwan_hessian::Dialect;
use diwan_registry_wire::{Codec, DataBox, ReceivedData, Scope, Version, Zones};

use super::connection::ConnectionId;
use super::ids::{RegistId, ServiceName};
use super::registry::{Config, Setting};

/// Who answers for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A connection.
    Connection(ConnectionId),
    /// Nobody, since its connection ended; it is removed then unless it registers again.
    Grace(Duration),
    /// Nobody; the shrink guard keeps it, until the guard ends.
    Held,
}

#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) data: Arc<[DataBox]>,
    /// The cell in which it runs.
    pub(super) cell: Arc<str>,
    /// The client's own count of its changes, and its clock.
    pub(super) version: (i64, i64),
    pub(super) owner: Owner,
}

#[derive(Clone, Debug)]
pub(super) struct Subscriber {
    pub(super) id: RegistId,
    pub(super) scope: Scope,
    /// The cell in which it runs.
    pub(super) cell: Arc<str>,
}

/// The instances of a service as subscribers see them: those of one cell, or all. Each form is encoded once.
#[derive(Debug, Default)]
pub struct Instances {
    zones: Zones,
    encoded: [OnceLock<Vec<u8>>; 3],
}

impl Instances {
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
    pub(super) publishers: BTreeMap<RegistId, Publisher>,
    pub(super) subscribers: BTreeMap<ConnectionId, Vec<Subscriber>>,
    /// Who wants to know the setting of this name.
    pub(super) watchers: BTreeMap<ConnectionId, Vec<RegistId>>,
    pub(super) setting: Setting,
    pub(super) version: Version,
    /// By the cell that they are of, or all.
    instances: BTreeMap<Option<Arc<str>>, Arc<Instances>>,
    pub(super) window: Window,
    pub(super) guard: Guard,
}

impl Service {
    pub(super) fn new(name: ServiceName) -> Self {
        Self {
            name: Arc::new(name),
            publishers: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            watchers: BTreeMap::new(),
            setting: Setting {
                version: Version::NO_DATUM,
                value: None,
            },
            version: Version::NO_DATUM,
            instances: BTreeMap::new(),
            window: Window::default(),
            guard: Guard::default(),
        }
    }

    /// Its instances changed.
    pub(super) fn changed(&mut self, version: Version) {
        self.version = version;
        self.instances.clear();
    }

    pub(super) fn instances(&mut self, scope: Scope, cell: &Arc<str>) -> Arc<Instances> {
        let only = (scope == Scope::Zone).then(|| cell.clone());
        let publishers = &self.publishers;
        let made = self.instances.entry(only.clone()).or_insert_with(|| {
            let mut zones = Zones::new();
            for publisher in publishers.values() {
                if only.as_ref().is_none_or(|only| publisher.cell == *only) {
                    let zone = zones.entry(publisher.cell.to_string()).or_default();
                    zone.extend_from_slice(&publisher.data);
                }
            }
            Arc::new(Instances {
                zones,
                ..Instances::default()
            })
        });
        made.clone()
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
