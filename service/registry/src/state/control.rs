//! What operators stop: pushes, and what clients at single addresses publish. It stands in the settings, under the names that the
//! original has for it, so that all nodes agree on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::boundary::{Now, Setting};
use super::connection::ConnectionId;
use super::ids::{RegistId, ServiceName};
use super::instance::Owner;
use super::origin::OWN;
use super::registry::Registry;
use super::service::ServiceId;

/// A setting that nodes obey.
/// sofastack/sofa-registry:server/common/model/.../constants/ValueConstants.java
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// `true`: nothing is pushed.
    StopPush,
    /// [`GrayOpen`]: who is pushed to nevertheless.
    GrayOpen,
    /// [`BlackList`].
    BlackList,
    /// [`ClientsOff`].
    ClientsOff,
    /// Names of services, as they are displayed, that nobody publishes.
    Services,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::StopPush,
        Self::GrayOpen,
        Self::BlackList,
        Self::ClientsOff,
        Self::Services,
    ];

    /// The setting's name.
    pub fn name(self) -> ServiceName {
        let data_id = match self {
            Self::StopPush => "session.stop.push.data.switch",
            Self::GrayOpen => "session.push.switch.gray.open",
            Self::BlackList => "session.blacklist.data",
            Self::ClientsOff => "registry.client.off.list",
            Self::Services => "session.dataid.blacklist",
        };
        ServiceName::new(data_id, Some("9600"), Some("CONFIG"))
    }

    fn of(name: &ServiceName) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == *name)
    }
}

/// The addresses to which is pushed while pushes are stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrayOpen {
    /// Of clients.
    pub ips: BTreeSet<IpAddr>,
}

/// Addresses by how they are given: `IP_FULL` is the only way there is.
pub type Patterns = BTreeMap<String, BTreeSet<IpAddr>>;

/// Who may not do what, as the original writes it:
/// `{"FORBIDDEN_PUB":{"IP_FULL":["1.1.1.1"]},"FORBIDDEN_SUB_BY_PREFIX":{"IP_FULL":["1.1.1.1"]}}`.
/// sofastack/sofa-registry:server/server/meta/.../resource/BlacklistDataResource.java
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlackList {
    /// What they publish is answered and not taken.
    #[serde(rename = "FORBIDDEN_PUB")]
    pub publish: Patterns,
    /// What they have subscribed to when they are listed ends; what they subscribe to later does not.
    #[serde(rename = "FORBIDDEN_SUB_BY_PREFIX")]
    pub subscribe: Patterns,
}

impl BlackList {
    /// Reads a list.
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, ControlError> {
        let list: Self = serde_json::from_str(text)
            .map_err(|error| ControlError::Malformed(error.to_string()))?;
        let mut ways = list.publish.keys().chain(list.subscribe.keys());
        match ways.find(|way| *way != IP_FULL) {
            Some(way) => Err(ControlError::Way(way.clone())),
            None => Ok(list),
        }
    }
}

const IP_FULL: &str = "IP_FULL";

/// Whose instances are off, over restarts of clients and nodes.
/// sofastack/sofa-registry:server/common/model/.../metaserver/ClientManagerAddress.java
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientsOff {
    /// What they publish is answered and not taken.
    pub client_off_address: BTreeSet<IpAddr>,
    /// Addresses that were taken from the list without ending their connections.
    pub reduces: BTreeSet<IpAddr>,
}

/// Why a setting that nodes are to obey makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// It is no JSON of its kind.
    #[error("not what this setting is made of: {0}")]
    Malformed(String),
    /// A way of giving addresses that does not exist.
    #[error("addresses by `{0}`: they are given by {IP_FULL}")]
    Way(String),
}

/// What is stopped, as this node obeys it.
#[derive(Debug, Default)]
pub(super) struct Controls {
    stopped: bool,
    open_to: BTreeSet<IpAddr>,
    forbidden: BlackList,
    off: ClientsOff,
    services: BTreeSet<ServiceName>,
    /// Not obeyed yet.
    news: Vec<(Control, Setting)>,
    /// Connections that are to be closed.
    closing: BTreeSet<ConnectionId>,
}

impl Controls {
    /// A setting changed.
    pub(super) fn told(&mut self, name: &ServiceName, setting: &Setting) {
        if let Some(control) = Control::of(name) {
            self.news.push((control, setting.clone()));
        }
    }

    fn is_listed(patterns: &Patterns, ip: IpAddr) -> bool {
        patterns.get(IP_FULL).is_some_and(|ips| ips.contains(&ip))
    }

    fn takes_from(&self, ip: IpAddr) -> bool {
        !self.off.client_off_address.contains(&ip) && !Self::is_listed(&self.forbidden.publish, ip)
    }
}

fn read<T: Default + for<'a> Deserialize<'a>>(setting: &Setting) -> Result<T, ControlError> {
    let read = setting.json();
    read.map_err(|error| ControlError::Malformed(error.to_string()))
}

impl Registry {
    /// A client connected from an address. Black lists are about addresses.
    pub fn connected_from(&mut self, connection: ConnectionId, address: SocketAddr) {
        self.connections.entry(connection).or_default().address = Some(address);
    }

    /// Connections that are to be closed: their clients come back and register again.
    pub fn closing(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.controls.closing)
            .into_iter()
            .collect()
    }

    /// Whether pushes are stopped, and to whom they go nevertheless.
    pub fn stopped_pushes(&self) -> Option<&BTreeSet<IpAddr>> {
        let controls = &self.controls;
        controls.stopped.then_some(&controls.open_to)
    }

    /// What clients at these addresses publish is taken out, once: what they publish later is taken.
    /// sofastack/sofa-registry:server/server/session/.../resource/ClientManagerResource.java
    pub fn clients_off(&mut self, ips: &BTreeSet<IpAddr>, now: Now) {
        for connection in self.at(|ip| ips.contains(&ip)) {
            self.end_publishers(connection, now);
        }
    }

    /// Connections from these addresses end, so that their clients register again what was taken out.
    pub fn clients_open(&mut self, ips: &BTreeSet<IpAddr>) {
        let connections = self.at(|ip| ips.contains(&ip));
        self.controls.closing.extend(connections);
    }

    /// All connections end, so that all clients register again.
    pub fn all_again(&mut self) {
        let connections = self.connections.keys().copied();
        self.controls.closing.extend(connections);
    }

    /// All that a client has registered over a connection ends; the connection does not. Whether there is such a connection.
    /// sofastack/sofa-registry:server/server/session/.../resource/ClientsOpenResource.java
    pub fn clean(&mut self, address: SocketAddr, now: Now) -> bool {
        let mut connections = self.connections.iter();
        let found = connections.find(|(_, one)| one.address == Some(address));
        let Some((&connection, _)) = found else {
            return false;
        };
        self.end_publishers(connection, now);
        self.end_subscribers(connection);
        true
    }

    pub(super) fn pushes_to(&self, connection: ConnectionId) -> bool {
        let controls = &self.controls;
        let is_open = |ip: IpAddr| controls.open_to.contains(&ip);
        !controls.stopped || self.ip(connection).is_some_and(is_open)
    }

    pub(super) fn takes_from(&self, connection: ConnectionId) -> bool {
        let controls = &self.controls;
        if controls.off.client_off_address.is_empty() && controls.forbidden.publish.is_empty() {
            return true;
        }
        let ip = self.ip(connection);
        ip.is_none_or(|ip| controls.takes_from(ip))
    }

    /// Whether what is published of a service is answered and not taken.
    pub(super) fn is_silenced(&mut self, service: &ServiceName, connection: ConnectionId) -> bool {
        let silenced = self.controls.services.contains(service);
        if silenced && let Some(connection) = self.connections.get_mut(&connection) {
            connection.silenced = true;
        }
        silenced
    }

    fn ip(&self, connection: ConnectionId) -> Option<IpAddr> {
        self.connections.get(&connection)?.ip()
    }

    fn at(&self, is: impl Fn(IpAddr) -> bool) -> Vec<ConnectionId> {
        let all = self.connections.iter();
        let there = all.filter(|(_, connection)| connection.ip().is_some_and(&is));
        there.map(|(id, _)| *id).collect()
    }

    /// Obeys the settings that changed.
    pub(super) fn obey(&mut self, now: Now) {
        for (control, setting) in std::mem::take(&mut self.controls.news) {
            if self.obey_one(control, &setting, now).is_err() {
                // What was valid before stays so.
                self.malformed += 1;
            }
        }
    }

    fn obey_one(
        &mut self,
        control: Control,
        setting: &Setting,
        now: Now,
    ) -> Result<(), ControlError> {
        match control {
            Control::StopPush => {
                self.controls.stopped = setting.value.as_deref() == Some("true");
                self.pump_all(now);
            }
            Control::GrayOpen => {
                self.controls.open_to = read::<GrayOpen>(setting)?.ips;
                self.pump_all(now);
            }
            Control::BlackList => {
                let new = match setting.value.as_deref() {
                    None | Some("") => BlackList::default(),
                    Some(text) => BlackList::parse(text)?,
                };
                let old = std::mem::replace(&mut self.controls.forbidden, new);
                let is_in = |list: &BlackList, ip| {
                    Controls::is_listed(&list.publish, ip)
                        || Controls::is_listed(&list.subscribe, ip)
                };
                let new = &self.controls.forbidden;
                // As the original: whoever comes onto either list loses all that it has registered.
                let listed = self.at(|ip| is_in(new, ip) && !is_in(&old, ip));
                let open = self.at(|ip| is_in(&old, ip) && !is_in(new, ip));
                let silenced = self.at(|ip| {
                    Controls::is_listed(&new.publish, ip) && !Controls::is_listed(&old.publish, ip)
                });
                for connection in listed {
                    self.end_subscribers(connection);
                    self.end_publishers(connection, now);
                }
                for connection in silenced {
                    self.end_publishers(connection, now);
                }
                self.controls.closing.extend(open);
            }
            Control::ClientsOff => {
                let new = read::<ClientsOff>(setting)?;
                let old = std::mem::replace(&mut self.controls.off, new);
                let (old, new) = (&old.client_off_address, &self.controls.off);
                let off = &new.client_off_address;
                let begin = self.at(|ip| off.contains(&ip) && !old.contains(&ip));
                let open = self
                    .at(|ip| old.contains(&ip) && !off.contains(&ip) && !new.reduces.contains(&ip));
                for connection in begin {
                    self.end_publishers(connection, now);
                }
                self.controls.closing.extend(open);
            }
            Control::Services => {
                let names: Vec<String> = read(setting)?;
                let new = names.iter().map(|name| ServiceName::parse(name)).collect();
                let old = std::mem::replace(&mut self.controls.services, new);
                let begin = self.controls.services.difference(&old);
                let begin: Vec<ServiceName> = begin.cloned().collect();
                let begin: BTreeSet<ServiceId> =
                    begin.iter().map(|name| self.service(name)).collect();
                for connection in self.connections.keys().copied().collect::<Vec<_>>() {
                    self.end_publishers_of(connection, |service| begin.contains(&service), now);
                }
                if !old.is_subset(&self.controls.services) {
                    let silenced = self.connections.iter().filter(|(_, own)| own.silenced);
                    self.controls.closing.extend(silenced.map(|(id, _)| *id));
                }
            }
        }
        Ok(())
    }

    fn end_publishers(&mut self, connection: ConnectionId, now: Now) {
        self.end_publishers_of(connection, |_| true, now);
    }

    fn end_publishers_of(
        &mut self,
        connection: ConnectionId,
        is: impl Fn(ServiceId) -> bool,
        now: Now,
    ) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        let ending = |one: &(ServiceId, RegistId)| is(one.0);
        let (ended, left): (BTreeSet<_>, _) = std::mem::take(&mut own.publishers)
            .into_iter()
            .partition(ending);
        own.publishers = left;
        own.silenced |= !ended.is_empty();
        for (service, id) in ended {
            let copy = self.services[service].copy(&id, OWN);
            // It may have moved to another connection.
            if copy.is_some_and(|copy| copy.owner == Owner::Connection(connection)) {
                self.take(service, &id, OWN, None, now);
            }
        }
    }

    fn end_subscribers(&mut self, connection: ConnectionId) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        for (service, id) in std::mem::take(&mut own.subscribers) {
            self.services[service].forget(connection, id);
        }
    }
}
