//! One registry in virtual time.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "support of tests; each file uses its part"
)]

use std::time::Duration;

use diwan_registry::state::{
    Config, ConnectionId, Content, Now, Outgoing, Publication, RegistId, Registry, ServiceName,
    Subscription,
};
use diwan_registry_wire::{DataBox, Scope, Version};

/// A registry that is alone, with ten connections.
pub struct World {
    pub registry: Registry,
    pub now: Now,
    pub sent: Vec<Outgoing>,
}

pub const CELL: &str = "DEFAULT_ZONE";

pub fn name(data_id: &str) -> ServiceName {
    ServiceName::new(data_id, None, None)
}

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            registry: Registry::new(Config::default()),
            now: Now {
                monotonic: Duration::from_secs(100),
                unix_ms: 1_800_000_000_000,
            },
            sent: Vec::new(),
        };
        for connection in 0..10 {
            world.registry.connected(ConnectionId(connection));
        }
        world
    }

    pub fn publish(&mut self, connection: u64, id: &str, data: &str, version: i64) {
        let publication = Publication {
            service: name("s"),
            id: RegistId::new(id),
            data: vec![DataBox {
                data: Some(data.into()),
            }],
            cell: CELL.into(),
            version,
            timestamp: 0,
        };
        let result = self
            .registry
            .publish(ConnectionId(connection), publication, self.now);
        result.unwrap();
    }

    pub fn subscribe(&mut self, connection: u64, scope: Scope, cell: &str) {
        let subscription = Subscription {
            service: name("s"),
            id: RegistId::new(&format!("sub-{connection}-{cell}")),
            scope,
            cell: cell.into(),
        };
        let result = self
            .registry
            .subscribe(ConnectionId(connection), subscription, self.now);
        result.unwrap();
    }

    /// Time goes on; whoever is connected acknowledges. What came: millisecond, connection, instances.
    pub fn run(&mut self, millis: u64) -> Vec<(u64, u64, Vec<String>)> {
        let mut seen = Vec::new();
        for passed in 0..=millis {
            self.registry.advance(self.now);
            loop {
                let outgoing = self.registry.outgoing(self.now);
                if outgoing.is_empty() {
                    break;
                }
                for push in outgoing {
                    seen.push((passed, push.connection.0, list(&push)));
                    self.registry
                        .acknowledged(push.connection, push.push, true, self.now);
                    self.sent.push(push);
                }
            }
            if passed < millis {
                self.pass(1);
            }
        }
        seen
    }

    pub fn pass(&mut self, millis: u64) {
        self.now.monotonic += Duration::from_millis(millis);
        self.now.unix_ms += millis;
    }
}

pub fn list(push: &Outgoing) -> Vec<String> {
    let Content::Instances { instances, .. } = &push.content else {
        return Vec::new();
    };
    let boxes = instances.zones().values().flatten();
    boxes.map(|one| one.data.clone().unwrap()).collect()
}

pub fn version(push: &Outgoing) -> Version {
    match &push.content {
        Content::Instances { version, .. } => *version,
        Content::Setting(setting) => setting.version,
    }
}

pub fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
