//! What other nodes send may be anything: nothing panics, what makes no sense is counted, and what was known before stays.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use diwan_registry::state::{Config, Now, Registry, Start};
use diwan_registry_wire::Version;
use diwan_registry_wire::nodes::{
    Change, Digest, Instance, Item, Life, Name, NodesAnswer, NodesMessage, Slot, Standing, Wanted,
    Withdrawn,
};
use proptest::prelude::*;
use prost::Message as _;

fn now(ms: u64) -> Now {
    Now {
        monotonic: Duration::from_millis(ms),
        unix_ms: 1_800_000_000_000 + ms,
    }
}

fn node() -> Registry {
    let start = Start {
        node: "n0".into(),
        epoch: 5,
        address: "a0".into(),
        nodes: vec!["n0".into(), "n1".into(), "n2".into()],
        recovered: Vec::new(),
        version: Version::NO_DATUM,
    };
    Registry::start(Config::default(), start, now(0))
}

/// Mostly small, now and then absurd.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..300, Just(u64::MAX), any::<u64>()]
}

fn life() -> impl Strategy<Value = Option<Life>> {
    let life = ("n[0-3]", 0_u64..7).prop_map(|(node, epoch)| Life { node, epoch });
    prop::option::weighted(0.9, life)
}

fn standing() -> impl Strategy<Value = Option<Standing>> {
    let serving_ms = prop::option::of(number());
    let parts = (life(), serving_ms, number(), any::<i64>(), number());
    let standing = parts.prop_map(|(life, serving_ms, unix_ms, version, heard_ms)| Standing {
        life,
        serving_ms,
        unix_ms,
        version,
        address: "a".into(),
        heard_ms,
    });
    prop::option::weighted(0.9, standing)
}

fn change() -> impl Strategy<Value = Change> {
    let items = prop::collection::vec(prop::option::of("[a-z]{0,4}"), 0..3);
    let instance = (items, "c[0-2]", any::<i64>(), any::<i64>(), any::<bool>());
    let instance = instance.prop_map(|(items, cell, version, timestamp, provisional)| Instance {
        items: items.into_iter().map(|data| Item { data }).collect(),
        cell,
        version,
        timestamp,
        provisional,
    });
    let withdrawn = (any::<i64>(), any::<i64>());
    let withdrawn = withdrawn.prop_map(|(version, timestamp)| Withdrawn { version, timestamp });
    let parts = (
        number(),
        0_u32..4,
        "i[0-5]",
        prop::option::of(instance),
        prop::option::of(withdrawn),
    );
    parts.prop_map(|(number, name, id, instance, withdrawn)| Change {
        number,
        name,
        id,
        instance,
        withdrawn,
    })
}

fn message() -> impl Strategy<Value = NodesMessage> {
    let slot = (
        life(),
        0_u32..260,
        number(),
        prop::collection::vec(change(), 0..4),
    );
    let slot = slot.prop_map(|(origin, slot, number, instances)| Slot {
        origin,
        slot,
        number,
        instances,
    });
    let sums = prop::collection::vec(any::<u64>(), 0..260);
    let numbers = prop::collection::vec(number(), 0..260);
    let digest = (life(), number(), numbers, sums);
    let digest = digest.prop_map(|(origin, age_ms, numbers, sums)| Digest {
        origin,
        age_ms,
        numbers,
        sums,
    });
    let name = "s[0-2]".prop_map(|data_id| Name {
        data_id,
        ..Name::default()
    });
    let head = (standing(), number(), number(), any::<bool>());
    let lists = (
        prop::collection::vec(name, 0..4),
        prop::collection::vec(change(), 0..6),
        prop::collection::vec(slot, 0..3),
        prop::collection::vec(digest, 0..3),
    );
    (head, lists).prop_map(
        |((standing, after, up_to, more), (names, changes, slots, digests))| NodesMessage {
            standing,
            after,
            up_to,
            more,
            names,
            changes,
            slots,
            digests,
        },
    )
}

fn answer() -> impl Strategy<Value = NodesAnswer> {
    let wanted = (life(), prop::collection::vec(0_u32..260, 0..5));
    let wanted = wanted.prop_map(|(origin, slots)| Wanted { origin, slots });
    let parts = (standing(), number(), prop::collection::vec(wanted, 0..3));
    parts.prop_map(|(standing, known, wanted)| NodesAnswer {
        standing,
        known,
        wanted,
    })
}

proptest! {
    #[test]
    fn whatever_nodes_say_nothing_panics(
        said in prop::collection::vec((message(), answer(), 0_u64..40_000), 1..12)
    ) {
        let mut registry = node();
        registry.write_down();
        let mut at = 0;
        for (message, answer, pause) in said {
            at += pause;
            registry.received(message, now(at));
            for (to, _) in registry.to_nodes(now(at)) {
                registry.answered(&to, answer.clone(), now(at));
            }
            registry.advance(now(at));
            registry.outgoing(now(at));
            registry.changes();
        }
        prop_assert!(registry.is_serving() || at < 40_000);
    }

    #[test]
    fn any_bytes_are_no_message_or_one(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = NodesMessage::decode(&bytes[..]) {
            node().received(message, now(1));
        }
    }
}
