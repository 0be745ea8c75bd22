//! What the registry tells whom, and when: connections, graces, coalescing, acknowledgements, the shrink guard.
#![allow(clippy::unwrap_used, reason = "a test")]

mod one;

use std::collections::BTreeSet;

use diwan_registry::state::{
    Config, ConnectionId, Content, Publication, PushId, Refusal, RegistId, Registry, Setting,
    Subscription,
};
use diwan_registry_wire::{DataBox, Scope, Version};
use one::*;

#[test]
fn a_subscriber_is_told_at_once_what_there_is_and_what_changes() {
    let mut world = World::new();
    world.subscribe(1, Scope::Global, CELL);
    assert_eq!(world.run(100), [(0, 1, texts(&[]))]);
    world.publish(2, "p", "a", 1);
    assert_eq!(world.run(100), [(0, 1, texts(&["a"]))]);
    world.publish(2, "p", "b", 2);
    assert_eq!(world.run(100), [(0, 1, texts(&["b"]))]);
    // The same again, and something late, change nothing.
    world.publish(2, "p", "b", 2);
    world.publish(2, "p", "a", 1);
    assert_eq!(world.run(1_000), []);
    world.registry.unpublish(
        ConnectionId(2),
        &name("s"),
        &RegistId::new("p"),
        (9, 0),
        world.now,
    );
    assert_eq!(world.run(100), [(0, 1, texts(&[]))]);
    assert!(
        world
            .sent
            .is_sorted_by(|one, next| version(one) < version(next))
    );
}

#[test]
fn changes_that_follow_closely_are_told_together_and_the_last_one_is_told() {
    let mut world = World::new();
    world.subscribe(1, Scope::Global, CELL);
    world.run(100);
    let mut seen = Vec::new();
    for change in 1..=2_000 {
        world.publish(2, "p", &change.to_string(), change);
        seen.extend(world.run(1));
    }
    seen.extend(world.run(600));
    assert!(seen.len() < 30, "{} pushes", seen.len());
    assert_eq!(seen.last().unwrap().2, ["2000"]);
    assert_eq!(seen[0].0, 0, "the first one goes at once");
}

#[test]
fn an_instance_that_comes_back_in_time_was_never_away() {
    let mut world = World::new();
    world.subscribe(1, Scope::Global, CELL);
    world.publish(2, "p", "a", 1);
    world.run(100);
    world.registry.disconnected(ConnectionId(2), world.now);
    assert_eq!(world.run(1_400), []);
    world.publish(3, "p", "a", 1);
    assert_eq!(world.run(10_000), []);
    // Its old connection is not its own any more.
    world.registry.disconnected(ConnectionId(3), world.now);
    world.publish(4, "p", "a", 1);
    world.registry.disconnected(ConnectionId(3), world.now);
    assert_eq!(world.run(10_000), []);
    world.registry.disconnected(ConnectionId(4), world.now);
    assert_eq!(world.run(10_000), [(1_500, 1, texts(&[]))]);
}

#[test]
fn an_instance_that_moved_is_not_removed_with_its_old_connection() {
    let mut world = World::new();
    world.subscribe(1, Scope::Global, CELL);
    world.publish(2, "p", "a", 1);
    world.run(100);
    world.publish(3, "p", "a", 1);
    world.registry.disconnected(ConnectionId(2), world.now);
    assert_eq!(world.run(10_000), []);
}

#[test]
fn half_of_many_that_vanish_at_once_are_held_back_until_the_guard_ends_or_is_released() {
    for release in [false, true] {
        let mut world = World::new();
        world.subscribe(1, Scope::Global, CELL);
        for number in 0..20 {
            world.publish(
                2 + number % 2,
                &format!("p{number:02}"),
                &number.to_string(),
                1,
            );
        }
        world.run(1_000);
        world.registry.disconnected(ConnectionId(2), world.now);
        world.registry.disconnected(ConnectionId(3), world.now);
        assert_eq!(world.run(60_000), []);
        // One comes back.
        world.publish(4, "p00", "0", 1);
        if release {
            assert!(world.registry.release(&name("s"), world.now));
            assert!(!world.registry.release(&name("s"), world.now));
        }
        let seen = world.run(300_000);
        let after = if release { 0 } else { 300_000 - 60_000 + 1_500 };
        assert_eq!(seen, [(after, 1, texts(&["0"]))]);
    }
}

#[test]
fn few_that_vanish_are_removed() {
    let mut world = World::new();
    world.subscribe(1, Scope::Global, CELL);
    for number in 0..20 {
        let connection = if number < 9 { 2 } else { 3 };
        world.publish(connection, &format!("p{number:02}"), &number.to_string(), 1);
    }
    world.run(1_000);
    world.registry.disconnected(ConnectionId(2), world.now);
    let seen = world.run(2_000);
    assert_eq!((seen.len(), seen[0].0, seen[0].2.len()), (1, 1_500, 11));
}

#[test]
fn a_client_that_does_not_acknowledge_is_told_again_and_costs_no_others() {
    let mut world = World::new();
    world.subscribe(1, Scope::Global, CELL);
    world.subscribe(2, Scope::Global, CELL);
    let first = world.registry.outgoing(world.now);
    assert_eq!(first.len(), 2);
    let second = first.iter().find(|push| push.connection.0 == 2).unwrap();
    world
        .registry
        .acknowledged(ConnectionId(2), second.push, true, world.now);
    for change in 1..100 {
        world.publish(3, "p", &change.to_string(), change);
        for push in world.registry.outgoing(world.now) {
            assert_eq!(push.connection.0, 2);
            world
                .registry
                .acknowledged(push.connection, push.push, true, world.now);
        }
        world.pass(20);
        world.registry.advance(world.now);
    }
    // It was to be told again after three seconds: the newest, once.
    world.pass(2_000);
    let again = world.run(0);
    let silent: Vec<_> = again.iter().filter(|push| push.1 == 1).collect();
    assert_eq!(silent, [&(0, 1, texts(&["99"]))]);
    world
        .registry
        .acknowledged(ConnectionId(7), PushId(1), true, world.now);
}

#[test]
fn each_cell_sees_itself_as_its_own() {
    let mut world = World::new();
    world.subscribe(1, Scope::Zone, "east");
    world.subscribe(1, Scope::Global, "west");
    world.publish(2, "p", "a", 1);
    world.run(100);
    let cells: Vec<_> = world
        .sent
        .iter()
        .rev()
        .take(2)
        .map(|push| match &push.content {
            Content::Instances { cell, scope, .. } => (cell.to_string(), *scope, list(push)),
            Content::Setting(_) => unreachable!(),
        })
        .collect();
    let wanted = [
        ("west".to_owned(), Scope::Global, texts(&["a"])),
        ("east".to_owned(), Scope::Zone, texts(&[])),
    ];
    assert_eq!(cells, wanted);
}

#[test]
fn settings_are_told_when_asked_for_and_when_they_change() {
    let mut world = World::new();
    let result =
        world
            .registry
            .watch_setting(ConnectionId(1), name("c"), RegistId::new("w"), world.now);
    result.unwrap();
    world.run(10);
    let setting = Setting {
        version: Version(77),
        value: Some("v1".into()),
    };
    world.registry.set(name("c"), setting.clone());
    world.run(10);
    let told: Vec<_> = world
        .sent
        .iter()
        .map(|push| match &push.content {
            Content::Setting(setting) => setting.value.clone(),
            Content::Instances { .. } => unreachable!(),
        })
        .collect();
    assert_eq!(told, [None, setting.value]);
}

#[test]
fn what_is_too_much_is_refused() {
    let mut registry = Registry::new(Config {
        registrations_max: 1,
        data_bytes_max: 3,
        ..Config::default()
    });
    let now = World::new().now;
    let publication = |data: &str| Publication {
        service: name("s"),
        id: RegistId::new("p"),
        data: vec![DataBox {
            data: Some(data.into()),
        }],
        cell: CELL.into(),
        version: 1,
        timestamp: 1,
    };
    let one = ConnectionId(1);
    assert_eq!(
        registry.publish(one, publication("a"), now),
        Err(Refusal::NoConnection)
    );
    registry.connected(one);
    let too_large = Refusal::TooLarge { bytes: 4, limit: 3 };
    assert_eq!(
        registry.publish(one, publication("abcd"), now),
        Err(too_large)
    );
    assert_eq!(registry.publish(one, publication("abc"), now), Ok(()));
    assert_eq!(
        registry.publish(one, publication("ab"), now),
        Ok(()),
        "it is the same one"
    );
    let other = registry.watch_setting(one, name("c"), RegistId::new("w"), now);
    assert_eq!(other, Err(Refusal::TooMany { limit: 1 }));
}

/// The room for pushes is one for all: who never acknowledges takes one push of it, and everybody else is told everything.
#[test]
fn clients_that_never_acknowledge_hold_nobody_up() {
    let mut world = World::new();
    world.registry = Registry::new(Config {
        inflight_bytes_max: 1,
        ..Config::default()
    });
    for connection in 0..10 {
        world.registry.connected(ConnectionId(connection));
        for service in 0..20 {
            let subscription = Subscription {
                service: name(&format!("s{service}")),
                id: RegistId::new(&format!("{connection}-{service}")),
                scope: Scope::Global,
                cell: CELL.into(),
            };
            let subscribed =
                world
                    .registry
                    .subscribe(ConnectionId(connection), subscription, world.now);
            subscribed.unwrap();
        }
    }
    let (mut told, mut most_deaf) = (vec![0; 10], 0);
    for _ in 0..2_000 {
        world.registry.advance(world.now);
        let mut deaf = 0;
        for push in world.registry.outgoing(world.now) {
            let connection = push.connection.0 as usize;
            told[connection] += 1;
            deaf += usize::from(connection < 5);
            if connection >= 5 {
                let taken = (push.connection, push.push, true, world.now);
                world
                    .registry
                    .acknowledged(taken.0, taken.1, taken.2, taken.3);
            }
        }
        most_deaf = most_deaf.max(deaf);
        world.pass(10);
    }
    assert!(told[5..].iter().all(|pushes| *pushes == 20), "{told:?}");
    assert!(
        told[..5].iter().all(|pushes| (2..20).contains(pushes)),
        "{told:?}"
    );
    assert_eq!(most_deaf, 5);
}

/// A version is the client's own: however wrong its clock, what it says later with a higher one counts, nothing overflows, and
/// subscribers' versions are the registry's.
#[test]
fn clients_whose_clocks_are_wrong_disturb_nobody() {
    let mut world = World::new();
    world.subscribe(1, Scope::Global, CELL);
    world.run(100);
    world.publish(2, "past", "a", i64::MIN);
    world.publish(3, "past", "b", -1);
    world.publish(3, "past", "old", -2);
    world.publish(4, "future", "c", i64::MAX);
    world.publish(4, "future", "late", 7);
    world.run(1_000);
    assert_eq!(list(world.sent.last().unwrap()), ["c", "b"]);
    // Taken back with a version of a clock that was set right: the connection is the instance's own.
    let taken_back = |world: &mut World, id: &str, version| {
        let id = RegistId::new(id);
        let connection = ConnectionId(4);
        world
            .registry
            .unpublish(connection, &name("s"), &id, version, world.now);
    };
    taken_back(&mut world, "future", (i64::MAX, i64::MAX));
    taken_back(&mut world, "nobody", (i64::MIN, i64::MIN));
    world.run(1_000);
    assert_eq!(list(world.sent.last().unwrap()), ["b"]);
    assert!(
        world
            .sent
            .is_sorted_by(|one, next| version(one) < version(next))
    );
    assert!(version(world.sent.last().unwrap()) < Version(i64::MAX / 2));
}

/// Everybody's connection ends at once, and everybody is back within a second: those who stayed see nothing of it, and those who are
/// back are told once, never a list that misses one of those who are still on their way.
#[test]
fn a_storm_of_10_000_clients_that_come_back_is_no_storm_of_pushes() {
    const CLIENTS: u64 = 10_000;
    const PROVIDERS: u64 = 50;
    let mut world = World::new();
    let come = |world: &mut World, connection: u64, client: u64| {
        world.registry.connected(ConnectionId(connection));
        if client < PROVIDERS {
            world.publish(connection, &format!("p{client}"), &client.to_string(), 1);
        }
        world.subscribe(connection, Scope::Global, CELL);
    };
    for client in 0..=CLIENTS {
        come(&mut world, client, client);
    }
    world.run(1_000);
    world.sent.clear();
    // The last one, a consumer only, stays.
    for client in 0..CLIENTS {
        world.registry.disconnected(ConnectionId(client), world.now);
    }
    let mut seen = Vec::new();
    for ms in 0..1_000 {
        // In another order than they left.
        for client in (0..CLIENTS).filter(|client| client * 7 % 1_000 == ms) {
            come(&mut world, CLIENTS + 1 + client, client);
        }
        seen.extend(world.run(1));
    }
    seen.extend(world.run(5_000));
    let lists = seen.iter().map(|(_, _, list)| list.len() as u64);
    assert_eq!(lists.min(), Some(PROVIDERS));
    let told: BTreeSet<u64> = seen.iter().map(|(_, connection, _)| *connection).collect();
    assert_eq!(told, (CLIENTS + 1..=2 * CLIENTS).collect());
    assert_eq!(seen.len(), told.len(), "one push for each that is back");
}
