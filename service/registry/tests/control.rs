//! What operators stop: pushes, and clients of single addresses.
#![allow(clippy::unwrap_used, reason = "a test")]

mod one;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use diwan_registry::state::{BlackList, ConnectionId, Control, Setting};
use diwan_registry_wire::{Scope, Version};
use one::CELL;

/// One whose clients have addresses, and settings that it obeys.
struct World {
    one: one::World,
    settings: i64,
}

/// The client of connection N is at 10.0.0.N.
fn address(connection: u64) -> SocketAddr {
    format!("10.0.0.{connection}:4000").parse().unwrap()
}

fn ips(connections: &[u64]) -> BTreeSet<IpAddr> {
    connections
        .iter()
        .map(|connection| address(*connection).ip())
        .collect()
}

impl World {
    fn new() -> Self {
        let mut one = one::World::new();
        for connection in 1..10 {
            one.registry
                .connected_from(ConnectionId(connection), address(connection));
        }
        Self { one, settings: 1 }
    }

    fn set(&mut self, control: Control, value: &str) {
        self.settings += 1;
        let setting = Setting {
            version: Version(self.settings),
            value: Some(value.into()),
        };
        self.one.registry.set(control.name(), setting);
    }

    fn publish(&mut self, connection: u64, id: &str, version: i64) {
        let data = format!("{id}{version}");
        self.one.publish(connection, id, &data, version);
    }

    fn subscribe(&mut self, connection: u64) {
        self.one.subscribe(connection, Scope::Global, CELL);
    }

    /// Everybody acknowledges. Who was told what.
    fn run(&mut self, millis: u64) -> Vec<(u64, String)> {
        let seen = self.one.run(millis).into_iter();
        seen.map(|(_, connection, list)| (connection, list.join(" ")))
            .collect()
    }
}

fn told(all: &[(u64, &str)]) -> Vec<(u64, String)> {
    all.iter()
        .map(|(connection, data)| (*connection, (*data).to_owned()))
        .collect()
}

#[test]
fn while_pushes_are_stopped_all_else_goes_on_and_then_everybody_is_told_once_what_was_missed() {
    let mut world = World::new();
    world.subscribe(1);
    world.run(10);
    world.set(Control::StopPush, "true");
    world.run(10);
    assert_eq!(world.one.registry.stopped_pushes(), Some(&ips(&[])));
    world.subscribe(2);
    for version in 1..100 {
        world.publish(3, "p", version);
        assert_eq!(world.run(50), []);
    }
    world.publish(4, "q", 1);
    // Registrations, graces and the end of connections are as always.
    world
        .one
        .registry
        .disconnected(ConnectionId(4), world.one.now);
    assert_eq!(world.run(10_000), []);
    world.set(Control::StopPush, "false");
    assert_eq!(world.run(5_000), told(&[(1, "p99"), (2, "p99")]));
    assert_eq!(world.one.registry.stopped_pushes(), None);
}

#[test]
fn some_addresses_are_pushed_to_while_pushes_are_stopped() {
    let mut world = World::new();
    world.subscribe(1);
    world.subscribe(2);
    world.run(10);
    world.set(Control::StopPush, "true");
    world.publish(3, "p", 1);
    assert_eq!(world.run(1_000), []);
    world.set(Control::GrayOpen, r#"{"ips":["10.0.0.2"]}"#);
    assert_eq!(world.run(1_000), told(&[(2, "p1")]));
    world.publish(3, "p", 2);
    assert_eq!(world.run(1_000), told(&[(2, "p2")]));
    // What makes no sense changes nothing.
    world.set(Control::GrayOpen, "nobody");
    world.publish(3, "p", 3);
    assert_eq!(world.run(1_000), told(&[(2, "p3")]));
    world.set(Control::GrayOpen, "");
    world.publish(3, "p", 4);
    assert_eq!(world.run(1_000), []);
    world.set(Control::StopPush, "false");
    assert_eq!(world.run(1_000), told(&[(1, "p4"), (2, "p4")]));
}

#[test]
fn who_is_black_listed_loses_what_it_has_registered_and_publishes_no_more() {
    let mut world = World::new();
    world.subscribe(1);
    world.subscribe(2);
    world.publish(2, "p", 1);
    world.publish(3, "q", 1);
    world.run(1_000);
    world.set(
        Control::BlackList,
        r#"{"FORBIDDEN_PUB":{"IP_FULL":["10.0.0.2"]},"FORBIDDEN_SUB_BY_PREFIX":{"IP_FULL":["10.0.0.9"]}}"#,
    );
    assert_eq!(world.run(1_000), told(&[(1, "q1")]));
    // It is answered as if it were taken; the original does not stop who subscribes.
    world.publish(2, "p", 2);
    world.subscribe(2);
    world.subscribe(9);
    assert_eq!(world.run(1_000), told(&[(2, "q1"), (9, "q1")]));
    assert_eq!(world.one.registry.closing(), []);
    // It comes back by itself when it is on the list no more.
    world.set(
        Control::BlackList,
        r#"{"FORBIDDEN_SUB_BY_PREFIX":{"IP_FULL":["10.0.0.9"]}}"#,
    );
    world.run(10);
    assert_eq!(world.one.registry.closing(), [ConnectionId(2)]);
    world.publish(2, "p", 2);
    assert_eq!(
        world.run(1_000),
        told(&[(1, "p2 q1"), (2, "p2 q1"), (9, "p2 q1")])
    );
}

#[test]
fn black_lists_that_make_no_sense_are_told_apart() {
    for (text, says) in [
        ("{}", None),
        (r#"{"FORBIDDEN_PUB":{}}"#, None),
        (
            r#"{"FORBIDDEN_PUB":{"IP_FULL":["10.0.0.x"]}}"#,
            Some("invalid IP address"),
        ),
        (
            r#"{"FORBIDDEN_PUB":{"IP_PREFIX":["10.0.0.1"]}}"#,
            Some("`IP_PREFIX`"),
        ),
        (r#"{"FORBIDDEN":{}}"#, Some("unknown field")),
        ("[", Some("EOF")),
    ] {
        let error = BlackList::parse(text).err().map(|error| error.to_string());
        let same = match (&error, says) {
            (None, None) => true,
            (Some(error), Some(says)) => error.contains(says),
            _ => false,
        };
        assert!(same, "{text}: {error:?}");
    }
}

#[test]
fn clients_that_are_off_publish_nothing_until_they_are_on_again() {
    let mut world = World::new();
    world.subscribe(1);
    world.publish(2, "p", 1);
    world.publish(3, "q", 1);
    world.run(1_000);
    world.set(
        Control::ClientsOff,
        r#"{"clientOffAddress":["10.0.0.2","10.0.0.3"]}"#,
    );
    assert_eq!(world.run(1_000), told(&[(1, "")]));
    world.publish(2, "p", 2);
    assert_eq!(world.run(1_000), []);
    // One is let go without being told, the other is to come back.
    world.set(
        Control::ClientsOff,
        r#"{"clientOffAddress":[],"reduces":["10.0.0.3"]}"#,
    );
    assert_eq!(world.run(1_000), []);
    assert_eq!(world.one.registry.closing(), [ConnectionId(2)]);
    world.publish(2, "p", 2);
    assert_eq!(world.run(1_000), told(&[(1, "p2")]));
}

#[test]
fn clients_are_turned_off_and_on_once_by_their_addresses() {
    let mut world = World::new();
    world.subscribe(1);
    world.publish(2, "p", 1);
    world.run(1_000);
    world.one.registry.clients_off(&ips(&[2]), world.one.now);
    assert_eq!(world.run(1_000), told(&[(1, "")]));
    world.publish(2, "p", 1);
    assert_eq!(world.run(1_000), told(&[(1, "p1")]));
    world.one.registry.clients_open(&ips(&[2, 7]));
    assert_eq!(
        world.one.registry.closing(),
        [ConnectionId(2), ConnectionId(7)]
    );
    assert!(world.one.registry.clean(address(1), world.one.now));
    assert!(!world.one.registry.clean(address(42), world.one.now));
    world.publish(2, "p", 3);
    assert_eq!(world.run(1_000), []);
}

#[test]
fn what_is_published_of_a_service_that_is_listed_is_not_taken() {
    let mut world = World::new();
    world.subscribe(1);
    world.publish(2, "a", 1);
    world.publish(3, "b", 1);
    world.run(1_000);
    world.set(
        Control::Services,
        r#"["s#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP","other"]"#,
    );
    assert_eq!(world.run(1_000), [(1, String::new())]);
    world.publish(4, "c", 1);
    world.set(Control::Services, "nonsense");
    assert_eq!(world.run(1_000), []);
    world.set(Control::Services, r#"["other"]"#);
    world.run(10);
    // Whoever had something to publish comes back, and nobody else has to.
    assert_eq!(world.one.registry.closing(), [2, 3, 4].map(ConnectionId));
    world.publish(5, "a", 1);
    assert_eq!(world.run(1_000), [(1, "a1".to_owned())]);
}
