//! What users of other registries complained about, each as a test: the names are those of their issues.
#![allow(clippy::unwrap_used, reason = "a test")]

mod one;

use std::time::Duration;

use diwan_registry::state::{
    Config, ConnectionId, Publication, RegistId, Registry, Start, Subscription,
};
use diwan_registry_wire::nodes::{Digest, Life, NodesMessage, Standing};
use diwan_registry_wire::{DataBox, Scope, Version};
use one::*;

fn publication(id: &str) -> Publication {
    Publication {
        service: name("s"),
        id: RegistId::new(id),
        data: vec![DataBox {
            data: Some(id.into()),
        }],
        cell: CELL.into(),
        version: 1,
        timestamp: 0,
    }
}

/// A node that has started again, and knew two instances before.
fn started_again(world: &World, nodes: &[&str]) -> Registry {
    let start = Start {
        node: "one".into(),
        epoch: 2,
        address: String::new(),
        nodes: nodes.iter().map(ToString::to_string).collect(),
        recovered: vec![publication("a"), publication("b")],
        version: Version::NO_DATUM,
    };
    Registry::start(Config::default(), start, world.now)
}

/// Empty lists are pushed when a server starts again (nacos#10209, sofa-registry#325).
#[test]
fn nacos_10209_sofa_registry_325_no_empty_push_after_a_restart() {
    let mut world = World::new();
    world.registry = started_again(&world, &[]);
    for connection in 0..3 {
        world.registry.connected(ConnectionId(connection));
    }
    // The subscriber is quicker than those that publish; one of them does not come back.
    world.subscribe(1, Scope::Global, CELL);
    assert_eq!(world.run(20), [(0, 1, texts(&["a", "b"]))]);
    world.publish(2, "a", "a", 1);
    assert_eq!(world.run(29_900), []);
    assert_eq!(world.run(200).last().unwrap().2, texts(&["a"]));
}

/// The same where other nodes live: nothing is pushed before what they know is known.
#[test]
fn nacos_10209_no_push_before_the_first_synchronisation() {
    let mut world = World::new();
    world.registry = started_again(&world, &["one", "other"]);
    world.registry.connected(ConnectionId(1));
    world.subscribe(1, Scope::Global, CELL);
    assert_eq!(world.run(1_000), []);
    // The other one serves, and knows instances in a slot of which this one knows nothing.
    let life = Some(Life {
        node: "other".into(),
        epoch: 1,
    });
    let digest = |sums: Vec<u64>| Digest {
        origin: life.clone(),
        age_ms: 0,
        numbers: vec![7; 256],
        sums,
    };
    let says = |sums: Vec<u64>| NodesMessage {
        standing: Some(Standing {
            life: life.clone(),
            serving_ms: Some(1_000_000),
            unix_ms: 1_800_000_000_000,
            ..Standing::default()
        }),
        up_to: 7,
        digests: vec![digest(sums)],
        ..NodesMessage::default()
    };
    let mut sums = vec![0; 256];
    sums[3] = 1;
    let answer = world.registry.received(says(sums), world.now);
    assert_eq!(answer.wanted[0].slots, [3]);
    assert_eq!(world.run(1_000), []);
    let answer = world.registry.received(says(vec![0; 256]), world.now);
    assert_eq!(answer.wanted, []);
    assert_eq!(world.run(100).len(), 1);
}

/// Dead instances stay for a quarter of an hour and more (nacos#10934, nacos#10773).
#[test]
fn nacos_10934_10773_the_dead_go_within_the_grace() {
    let mut world = World::new();
    world.subscribe(1, Scope::Global, CELL);
    world.publish(2, "a", "a", 1);
    world.publish(3, "b", "b", 1);
    world.run(1_000);
    world.registry.disconnected(ConnectionId(2), world.now);
    assert_eq!(world.run(3_600_000), [(1_500, 1, texts(&["b"]))]);
}

/// A client that connects again takes a living service offline (nacos#10975): the end of its old connection is heard last.
#[test]
fn nacos_10975_the_late_end_of_an_old_connection_takes_nothing_away() {
    let mut world = World::new();
    world.subscribe(1, Scope::Global, CELL);
    world.publish(2, "a", "a", 1);
    world.run(1_000);
    world.publish(3, "a", "a", 1);
    world.run(40_000);
    world.registry.disconnected(ConnectionId(2), world.now);
    assert_eq!(world.run(10_000), []);
}

/// Pushes pile up for clients that do not keep up (nacos#10379), until there is no memory left (nacos#11637).
#[test]
fn nacos_10379_11637_who_does_not_keep_up_costs_no_memory() {
    let mut world = World::new();
    for service in 0..200 {
        let subscription = Subscription {
            service: name(&format!("s{service}")),
            id: RegistId::new(&service.to_string()),
            scope: Scope::Global,
            cell: CELL.into(),
        };
        let subscribed = world
            .registry
            .subscribe(ConnectionId(1), subscription, world.now);
        subscribed.unwrap();
    }
    let mut first = world.registry.outgoing(world.now).len();
    let mut pushes = 0;
    // Ten seconds of changes in all of them, and not one acknowledgement.
    for change in 0..100 {
        for service in 0..200 {
            let changed = Publication {
                service: name(&format!("s{service}")),
                version: change,
                timestamp: change,
                ..publication("p")
            };
            world
                .registry
                .publish(ConnectionId(2), changed, world.now)
                .unwrap();
        }
        world.pass(100);
        world.registry.advance(world.now);
        pushes += world.registry.outgoing(world.now).len();
        first = first.max(pushes);
    }
    // As many as fit on their way, and fewer each time that none is acknowledged.
    assert!(first <= 64 + 32 + 16, "{first}");
}

/// A picture of everything takes longer than a heartbeat may (nacos#7697): here it is made in parts.
#[test]
fn nacos_7697_a_picture_is_made_service_by_service() {
    let mut world = World::new();
    for service in 0..50 {
        let changed = Publication {
            service: name(&format!("s{service}")),
            ..publication("p")
        };
        let published = world.registry.publish(ConnectionId(1), changed, world.now);
        published.unwrap();
    }
    let parts: Vec<usize> = (0..)
        .map_while(|part| world.registry.picture(part))
        .map(|part| part.len())
        .collect();
    assert_eq!(parts, [1; 50]);
}

/// A subscription is answered, and the data never come (sofa-registry#36).
#[test]
fn sofa_registry_36_what_is_not_acknowledged_is_sent_again() {
    let mut world = World::new();
    world.publish(2, "a", "a", 1);
    world.subscribe(1, Scope::Global, CELL);
    let mut times = Vec::new();
    for _ in 0..12_000 {
        world.registry.advance(world.now);
        let pushed = world.registry.outgoing(world.now);
        times.extend(pushed.iter().map(|_| world.now.monotonic));
        world.pass(1);
    }
    let waits: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits, [Duration::from_secs(3); 3]);
}
