//! What operators see of a registry's state.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::time::Duration;

use diwan_registry::state::{
    Config, ConnectionId, Now, Publication, RegistId, Registry, ServiceName, Subscription,
};
use diwan_registry_wire::{DataBox, Scope};

fn name() -> ServiceName {
    ServiceName::new("com.x.S:1.0@DEFAULT", None, Some("SOFA"))
}

fn publish(registry: &mut Registry, connection: u64, id: &str, now: Now) {
    let publication = Publication {
        service: name(),
        id: RegistId::new(id),
        data: vec![DataBox {
            data: Some(id.into()),
        }],
        cell: "cell".into(),
        version: 1,
        timestamp: 7,
    };
    registry
        .publish(ConnectionId(connection), publication, now)
        .unwrap();
}

#[test]
fn what_there_is_and_how_it_stands() {
    let mut registry = Registry::new(Config::default());
    let at = |ms: u64| Now {
        monotonic: Duration::from_millis(ms),
        unix_ms: 1_800_000_000_000 + ms,
    };
    let address = |connection: u64| format!("10.0.0.{connection}:40").parse().unwrap();
    for connection in [1, 2] {
        registry.connected_from(ConnectionId(connection), address(connection));
    }
    let subscription = Subscription {
        service: name(),
        id: RegistId::new("sub"),
        scope: Scope::Global,
        cell: "cell".into(),
    };
    registry
        .subscribe(ConnectionId(1), subscription, at(0))
        .unwrap();
    for id in 0..20 {
        publish(&mut registry, 2, &format!("p{id:02}"), at(0));
    }
    assert_eq!(registry.outgoing(at(0)).len(), 1);
    assert_eq!(registry.subscribers(&name())[0].state, "waiting");

    // Nothing is acknowledged: it is sent again, and the client counts as slow.
    let counts = registry.counts(at(4_000));
    assert_eq!(
        (counts.pushes, counts.retries, counts.slow_clients),
        (1, 0, 0)
    );
    registry.advance(at(4_000));
    let pushes = registry.outgoing(at(4_000));
    let counts = registry.counts(at(5_001));
    assert_eq!(
        (counts.pushes, counts.retries, counts.slow_clients),
        (2, 1, 1)
    );
    registry.acknowledged(ConnectionId(1), pushes[0].push, true, at(5_002));
    assert_eq!(registry.counts(at(9_000)).slow_clients, 0);
    assert_eq!(registry.subscribers(&name())[0].state, "acknowledged");
    let history = registry.push_history(&name());
    let last = history.last().unwrap();
    assert_eq!((last.receivers, last.acknowledged), (1, 1));
    assert_eq!(last.acknowledged_ms, Some(1_002));

    // Most instances vanish.
    registry.disconnected(ConnectionId(2), at(20_000));
    assert_eq!(registry.instances(&name())[0].state, "grace");
    registry.advance(at(22_000));
    let held = registry.guarded(at(22_000));
    assert_eq!((held.len(), held[0].held, held[0].instances), (1, 20, 20));
    assert_eq!(held[0].guard_ms, Some(300_000));
    assert_eq!(registry.instances(&name())[3].state, "held");
    assert_eq!(registry.counts(at(22_000)).held, 20);
    assert_eq!(registry.slot_instances(held[0].slot).len(), 20);
    assert_ne!(registry.slot_sums()[usize::from(held[0].slot)], 0);
    assert!(registry.release(&name(), at(22_000)));
    assert_eq!(registry.guarded(at(22_000)), []);
    assert_eq!(registry.slot_sums(), vec![0; 256]);

    // Names as people write them.
    for text in ["com.x.S:1.0", "com.x.S:1.0@DEFAULT", &name().to_string()] {
        assert_eq!(registry.meant(text), [name()], "{text}");
    }
    assert_eq!(registry.meant("com.x.S"), []);
    let (services, more) = registry.services("x.S", 0, at(22_000));
    assert_eq!((services.len(), more), (0, true));
    assert_eq!(registry.addresses(), [address(1)]);
    assert_eq!(registry.registered()[&name().to_string()], [0, 1, 0]);
    let client = registry.clients_at(&BTreeSet::from([address(1)]));
    assert_eq!(
        client[0].subscribers,
        [(name().to_string(), "sub".to_owned())]
    );
}
