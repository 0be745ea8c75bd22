//! What is sent when and which list is shown, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use diwan_registry_wire::{
    BaseRegister, DataBox, EventType, ReceivedData, RegisterResponse, Request,
};
use proptest::prelude::*;

use super::client::{PushError, State};
use super::*;
use crate::registry::RegistryEvent;

const SERVICE: &str = "com.x.Shop:1.0";
const ZONE: &str = "DEFAULT_ZONE";

struct World {
    state: State,
    now: Now,
    sent: Vec<(Ticket, Request)>,
}

fn instances(range: std::ops::Range<u16>) -> Vec<String> {
    let mut list: Vec<String> = range.map(|port| format!("127.0.0.1:{port}?p=1")).collect();
    list.sort();
    list
}

fn response(version: i64) -> RegisterResponse {
    RegisterResponse {
        success: true,
        version,
        ..RegisterResponse::default()
    }
}

fn base(request: &Request) -> &BaseRegister {
    match request {
        Request::PublisherRegister(publisher) => &publisher.base,
        Request::SubscriberRegister(subscriber) => &subscriber.base,
        other => panic!("{other:?}"),
    }
}

impl World {
    fn new() -> Self {
        Self::with(Config::default(), BTreeMap::new())
    }

    fn with(config: Config, snapshot: BTreeMap<String, Vec<String>>) -> Self {
        let monotonic = Duration::from_secs(1000);
        Self {
            state: State::new(config, snapshot),
            now: Now {
                monotonic,
                unix_ms: 1_800_000_000_000,
            },
            sent: Vec::new(),
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now.monotonic += Duration::from_millis(millis);
        self.now.unix_ms += millis as i64;
        self.state.advance(self.now);
    }

    fn publish(&mut self, id: &str) {
        let wanted = Wanted::Publish("127.0.0.1:1?p=1".to_owned());
        self.state
            .register(RegistId(id.to_owned()), SERVICE, wanted, self.now);
    }

    fn subscribe(&mut self) {
        let id = RegistId("sub".to_owned());
        self.state
            .register(id, SERVICE, Wanted::Subscribe, self.now);
    }

    fn unregister(&mut self, id: &str) {
        self.state.unregister(&RegistId(id.to_owned()), self.now);
    }

    fn connect(&mut self) {
        self.state.connected(self.now);
    }

    /// What goes out: id, event, version of each.
    fn requests(&mut self) -> Vec<(String, EventType, i64)> {
        self.sent = self.state.requests(self.now);
        let told = |request: &Request| {
            let base = base(request);
            (
                base.regist_id.clone().unwrap(),
                base.event(),
                base.version.unwrap(),
            )
        };
        self.sent.iter().map(|(_, request)| told(request)).collect()
    }

    /// Answers everything that was sent last.
    fn answer(&mut self, answer: impl Fn(i64) -> Result<RegisterResponse, String>) {
        for (ticket, request) in std::mem::take(&mut self.sent) {
            let version = base(&request).version.unwrap();
            self.state.answered(&ticket, answer(version), self.now);
        }
    }

    fn push(&mut self, version: i64, list: Vec<String>) {
        let push = push(version, [(ZONE, list)]);
        self.state.pushed(push, self.now).unwrap();
    }

    /// What consumers see, if it changed.
    fn shown(&mut self) -> Option<Vec<String>> {
        let mut shown = self.state.shown();
        assert!(shown.len() <= 1);
        shown.pop().map(|shown| shown.instances)
    }

    fn events(&mut self) -> Vec<RegistryEvent> {
        self.state.events()
    }
}

fn push<const N: usize>(version: i64, zones: [(&str, Vec<String>); N]) -> ReceivedData {
    let boxes = |list: Vec<String>| list.into_iter().map(|data| DataBox { data: Some(data) });
    let zones = zones.map(|(zone, list)| (zone.to_owned(), boxes(list).collect()));
    ReceivedData {
        data_id: Some(format!("{SERVICE}@DEFAULT")),
        segment: Some("DefaultDataCenter".to_owned()),
        local_zone: Some(ZONE.to_owned()),
        version: Some(version),
        subscriber_regist_ids: Some(vec!["other".to_owned(), "sub".to_owned()]),
        data: Some(zones.into()),
        ..ReceivedData::default()
    }
}

#[test]
fn a_registration_says_what_the_originals_client_says() {
    let mut world = World::new();
    world.publish("p");
    world.subscribe();
    world.connect();
    let sent = world.requests();
    assert_eq!(sent.len(), 2);
    let (Request::PublisherRegister(publisher), Request::SubscriberRegister(subscriber)) =
        (&world.sent[0].1, &world.sent[1].1)
    else {
        panic!("{:?}", world.sent)
    };
    assert_eq!(
        publisher.base.data_id.as_deref(),
        Some("com.x.Shop:1.0@DEFAULT")
    );
    assert_eq!(publisher.base.group.as_deref(), Some("SOFA"));
    assert_eq!(publisher.base.timestamp, Some(1_800_000_000_000));
    let data = publisher.data_list.as_ref().unwrap();
    assert_eq!(data[0].data.as_deref(), Some("127.0.0.1:1?p=1"));
    assert_eq!(subscriber.scope.as_deref(), Some("global"));
    assert!(!subscriber.accept_multi);
}

#[test]
fn everything_is_registered_again_on_every_connection() {
    let mut world = World::new();
    world.publish("p");
    assert_eq!(world.requests(), [], "not connected");
    world.connect();
    assert_eq!(world.requests(), [("p".to_owned(), EventType::Register, 1)]);
    world.answer(|version| Ok(response(version)));
    world.pass(10_000);
    assert_eq!(world.requests(), []);
    assert_eq!(world.events().len(), 1);

    world.state.disconnected();
    world.subscribe();
    assert_eq!(world.requests(), []);
    world.connect();
    let both = [
        ("p".to_owned(), EventType::Register, 1),
        ("sub".to_owned(), EventType::Register, 1),
    ];
    assert_eq!(world.requests(), both);
    // The answers of a connection that is over say nothing.
    let late = std::mem::take(&mut world.sent);
    world.state.disconnected();
    world.connect();
    assert_eq!(world.requests(), both);
    for (ticket, _) in late {
        world.state.answered(&ticket, Ok(response(1)), world.now);
    }
    assert_eq!(world.events(), []);
    world.answer(|version| Ok(response(version)));
    assert_eq!(world.events().len(), 2);
}

#[test]
fn what_is_not_taken_is_sent_again_after_a_second() {
    let failures: [fn(i64) -> Result<RegisterResponse, String>; 3] = [
        |_| Err("no answer".to_owned()),
        |_| Ok(RegisterResponse::default()),
        |version| Ok(response(version + 1)),
    ];
    let mut world = World::new();
    world.publish("p");
    world.connect();
    for failure in failures {
        assert_eq!(world.requests().len(), 1);
        world.answer(failure);
        assert!(matches!(
            world.events()[..],
            [RegistryEvent::NotRegistered { .. }]
        ));
        world.pass(999);
        assert_eq!(world.requests(), []);
        let second = world.now.monotonic + Duration::from_millis(1);
        assert_eq!(world.state.next_deadline(), Some(second));
        world.pass(1);
    }
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn what_is_refused_waits_for_another_connection() {
    let mut world = World::new();
    world.publish("p");
    world.connect();
    world.requests();
    world.answer(|version| {
        Ok(RegisterResponse {
            refused: true,
            message: Some("too much".to_owned()),
            version,
            ..RegisterResponse::default()
        })
    });
    let refused = RegistryEvent::Refused {
        service: SERVICE.to_owned(),
        regist_id: "p".to_owned(),
        reason: "too much".to_owned(),
    };
    assert_eq!(world.events(), [refused]);
    world.pass(100_000);
    assert_eq!(world.requests(), []);
    world.state.disconnected();
    world.connect();
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn a_publisher_ends_when_the_registry_says_so_or_is_not_there() {
    let mut world = World::new();
    for id in ["a", "b", "c"] {
        world.publish(id);
    }
    world.connect();
    assert_eq!(world.requests().len(), 3);
    // While the first request is on its way: the second has another version, and only its answer counts.
    let early = world.sent.clone();
    world.unregister("a");
    world.unregister("a");
    assert_eq!(
        world.requests(),
        [("a".to_owned(), EventType::Unregister, 2)]
    );
    let Request::PublisherRegister(publisher) = &world.sent[0].1 else {
        panic!()
    };
    assert_eq!(publisher.data_list, None);
    let unregister = std::mem::replace(&mut world.sent, early);
    world.answer(|version| Ok(response(version)));
    assert_eq!(world.state.ended(), []);
    world.sent = unregister;
    world.answer(|version| Ok(response(version)));
    assert_eq!(world.state.ended(), [(RegistId("a".to_owned()), true)]);

    world.unregister("b");
    world.requests();
    world.state.disconnected();
    assert_eq!(world.state.ended(), [(RegistId("b".to_owned()), false)]);
    world.unregister("c");
    assert_eq!(world.state.ended(), [(RegistId("c".to_owned()), false)]);
    world.connect();
    assert_eq!(world.requests(), []);
    assert_eq!(world.state.publishers(), 0);
    world.unregister("nobody");
    assert_eq!(
        world.state.ended(),
        [(RegistId("nobody".to_owned()), false)]
    );
}

#[test]
fn no_more_than_64_registrations_are_on_their_way() {
    let mut world = World::new();
    for number in 0..100 {
        world.publish(&number.to_string());
    }
    world.connect();
    assert_eq!(world.requests().len(), 64);
    assert_eq!(world.state.next_deadline(), None);
    world.answer(|version| Ok(response(version)));
    assert_eq!(world.requests().len(), 36);
}

#[test]
fn a_list_is_shown_as_it_changes() {
    let mut world = World::new();
    world.subscribe();
    world.connect();
    assert_eq!(world.shown(), None, "nothing is known");
    // Before the answer to the registration, even.
    world.push(10, Vec::new());
    world.pass(999);
    assert_eq!(world.shown(), None, "it may be too early to say");
    world.pass(1);
    assert_eq!(world.shown(), Some(Vec::new()));
    world.push(11, instances(1..5));
    assert_eq!(world.shown(), Some(instances(1..5)));
    world.push(12, instances(1..5));
    assert_eq!(world.shown(), None);
    world.push(12, instances(1..6));
    world.push(11, instances(1..7));
    assert_eq!(world.shown(), None, "nothing newer");
    let outdated = |event: &RegistryEvent| matches!(event, RegistryEvent::PushOutdated { .. });
    assert_eq!(world.events().iter().filter(|one| outdated(one)).count(), 2);
    // The providers have unregistered.
    world.push(13, Vec::new());
    assert_eq!(world.shown(), Some(Vec::new()));
}

#[test]
fn an_empty_first_list_waits_for_a_better_one() {
    let mut world = World::new();
    world.subscribe();
    world.connect();
    world.push(1, Vec::new());
    world.pass(500);
    world.push(2, instances(0..1));
    assert_eq!(world.shown(), Some(instances(0..1)));
    world.push(3, Vec::new());
    assert_eq!(world.shown(), Some(Vec::new()), "it has gone");
    let told = |event: &RegistryEvent| matches!(event, RegistryEvent::ListChanged { .. });
    assert!(world.events().iter().all(told));
}

#[test]
fn after_a_reconnect_lower_versions_count() {
    let mut world = World::new();
    world.subscribe();
    world.connect();
    world.push(1000, instances(1..3));
    world.shown();
    world.state.disconnected();
    assert_eq!(world.shown(), None, "the list stays");
    world.connect();
    world.push(5, instances(1..4));
    assert_eq!(world.shown(), Some(instances(1..4)));
    world.push(4, instances(1..3));
    assert_eq!(world.shown(), None);
}

/// Before, after a reconnect, and what is shown at once.
#[test]
fn a_list_that_loses_too_much_after_a_reconnect_is_held_back() {
    for (before, after, believed) in [
        (1, 0, false),
        (4, 1, false),
        (10, 4, false),
        (10, 0, false),
        (3, 1, true),
        (4, 2, true),
        (10, 5, true),
        (2, 2, true),
        (2, 9, true),
        (0, 0, true),
    ] {
        let mut world = World::new();
        world.subscribe();
        world.connect();
        let (old, new) = (instances(0..before), instances(0..after));
        world.push(1, old.clone());
        world.pass(1000);
        assert_eq!(world.shown(), Some(old.clone()));
        world.state.disconnected();
        world.connect();
        world.push(2, new.clone());
        let expected = (believed && old != new).then(|| new.clone());
        assert_eq!(world.shown(), expected, "{before} -> {after}");
        if believed {
            continue;
        }
        let held = RegistryEvent::ListHeldBack {
            service: SERVICE.to_owned(),
            kept: before.into(),
            came: after.into(),
        };
        assert!(world.events().contains(&held));
        world.pass(29_999);
        assert_eq!(world.shown(), None);
        world.pass(1);
        assert_eq!(world.shown(), Some(new), "{before} -> {after}");
    }
}

#[test]
fn instances_that_come_back_end_the_protection() {
    let mut world = World::new();
    world.subscribe();
    world.connect();
    world.push(1, instances(0..10));
    world.state.disconnected();
    world.shown();
    world.connect();
    // The registry was restarted: they come back one after the other, one of them as a new instance.
    for count in 0..5 {
        world.push(2 + i64::from(count), instances(0..count));
        assert_eq!(world.shown(), None, "{count}");
        world.pass(100);
    }
    world.push(10, vec!["127.0.0.1:99?p=1".to_owned()]);
    assert_eq!(
        world.shown().unwrap().len(),
        11,
        "the new one can be called at once"
    );
    world.push(11, instances(0..6));
    assert_eq!(world.shown(), Some(instances(0..6)));
    // What goes now is gone.
    world.push(12, instances(0..1));
    assert_eq!(world.shown(), Some(instances(0..1)));
    world.push(13, Vec::new());
    assert_eq!(world.shown(), Some(Vec::new()));
    let held = world.events();
    let held = held
        .iter()
        .filter(|event| matches!(event, RegistryEvent::ListHeldBack { .. }));
    assert_eq!(held.count(), 1, "told once");
}

#[test]
fn an_instance_that_says_something_new_of_itself_is_not_listed_twice() {
    let mut world = World::new();
    world.subscribe();
    world.connect();
    world.push(1, instances(0..4));
    world.state.disconnected();
    world.connect();
    world.shown();
    world.push(2, vec!["127.0.0.1:3?p=1&weight=7".to_owned()]);
    let mut both = instances(0..3);
    both.push("127.0.0.1:3?p=1&weight=7".to_owned());
    assert_eq!(world.shown(), Some(both.clone()));
    // The connection ends: nobody is there to say more.
    world.state.disconnected();
    world.pass(100_000);
    assert_eq!(world.shown(), None);
    world.connect();
    world.push(1, both.clone());
    assert_eq!(world.shown(), None);
}

#[test]
fn without_a_guard_every_list_is_believed() {
    let guard = GuardRule {
        hold: Duration::ZERO,
        ..GuardRule::default()
    };
    let config = Config {
        guard,
        ..Config::default()
    };
    let mut world = World::with(config, BTreeMap::new());
    world.subscribe();
    for version in [1, 2] {
        world.connect();
        world.push(version, instances(0..10));
        world.shown();
        world.state.disconnected();
        world.connect();
        world.push(version, Vec::new());
        assert_eq!(world.shown(), Some(Vec::new()));
    }
}

#[test]
fn the_snapshot_is_shown_if_nobody_tells_a_list_in_time() {
    let snapshot = BTreeMap::from([(SERVICE.to_owned(), instances(1..5))]);
    let mut world = World::with(Config::default(), snapshot.clone());
    world.subscribe();
    assert_eq!(world.shown(), None);
    world.pass(999);
    assert_eq!(world.shown(), None);
    world.pass(1);
    assert_eq!(world.shown(), Some(instances(1..5)));
    assert_eq!(
        world.events()[0],
        RegistryEvent::SnapshotUsed {
            service: SERVICE.to_owned(),
            instances: 4
        }
    );
    assert_eq!(world.state.next_deadline(), None);

    // An empty one says nothing.
    let empty = BTreeMap::from([(SERVICE.to_owned(), Vec::new())]);
    let mut world = World::with(Config::default(), empty);
    world.subscribe();
    world.pass(10_000);
    assert_eq!(world.shown(), None);

    // In time: the registry's list counts, and is kept.
    let mut world = World::with(Config::default(), snapshot.clone());
    world.subscribe();
    world.connect();
    world.push(1, instances(3..7));
    assert_eq!(world.shown(), Some(instances(3..7)));
    let kept = world.state.lists().changed_snapshot().cloned();
    assert_eq!(kept.unwrap()[SERVICE], instances(3..7));
    assert_eq!(world.state.lists().changed_snapshot(), None);

    // In time, but of a registry that has just started and knows nobody.
    let mut world = World::with(Config::default(), snapshot);
    world.subscribe();
    world.connect();
    world.push(1, Vec::new());
    assert_eq!(world.shown(), Some(instances(1..5)));
    assert_eq!(world.state.lists().changed_snapshot(), None);
    world.pass(30_000);
    assert_eq!(world.shown(), Some(Vec::new()));
    let kept = world.state.lists().changed_snapshot().cloned();
    assert_eq!(kept.unwrap()[SERVICE], [""; 0]);
}

#[test]
fn data_centres_are_joined_and_the_own_cell_comes_first() {
    let mut world = World::new();
    world.subscribe();
    world.connect();
    world.push(10, instances(0..2));
    let other = ReceivedData {
        segment: Some("other".to_owned()),
        ..push(3, [(ZONE, instances(5..6))])
    };
    world.state.pushed(other, world.now).unwrap();
    let mut all = instances(0..2);
    all.extend(instances(5..6));
    assert_eq!(world.shown(), Some(all));

    let in_cell = |version, local: &str, own: std::ops::Range<u16>| {
        let mut world = World::new();
        world.subscribe();
        world.connect();
        let push = ReceivedData {
            local_zone: Some(local.to_owned()),
            ..push(
                version,
                [("east", instances(own)), ("west", instances(7..9))],
            )
        };
        world.state.pushed(push, world.now).unwrap();
        world.shown().unwrap()
    };
    assert_eq!(in_cell(1, "EAST", 1..3), instances(1..3));
    assert_eq!(in_cell(1, "", 1..3).len(), 4);
    assert_eq!(
        in_cell(1, "east", 0..0),
        instances(7..9),
        "rather than none"
    );
    assert_eq!(in_cell(1, "north", 1..3).len(), 4);
}

#[test]
fn a_push_that_cannot_be_used_changes_nothing() {
    let config = Config {
        instances_max: 3,
        ..Config::default()
    };
    let mut world = World::with(config, BTreeMap::new());
    world.subscribe();
    world.connect();
    world.push(1, instances(0..3));
    world.shown();
    let whole = || push(2, [(ZONE, instances(0..1))]);
    let data_id = format!("{SERVICE}@DEFAULT");
    for (push, problem) in [
        (
            ReceivedData {
                data: None,
                ..whole()
            },
            PushError::Missing {
                data_id: data_id.clone(),
                what: "data",
            },
        ),
        (
            ReceivedData {
                version: None,
                ..whole()
            },
            PushError::Missing {
                data_id: data_id.clone(),
                what: "version",
            },
        ),
        (
            ReceivedData {
                subscriber_regist_ids: Some(vec!["x".to_owned()]),
                ..whole()
            },
            PushError::NoSubscriber {
                data_id: data_id.clone(),
            },
        ),
        (
            push(2, [(ZONE, instances(0..2)), ("b", instances(2..4))]),
            PushError::TooMany {
                data_id: data_id.clone(),
                instances: 4,
                limit: 3,
            },
        ),
    ] {
        assert_eq!(world.state.pushed(push, world.now), Err(problem));
        assert_eq!(world.shown(), None);
    }
    // Nothing of it was taken for a newer version.
    world.push(2, instances(0..2));
    assert_eq!(world.shown(), Some(instances(0..2)));
}

proptest! {
    /// Whatever comes in whatever order: once a connection lasts for the time of the guard, what is shown is the newest list
    /// that it brought, and everything is registered on it.
    #[test]
    fn in_the_end_everybody_knows_everything(
        steps in proptest::collection::vec((0..6_u8, 0..12_u16, 1..50_i64), 1..60),
        last in 0..12_u16,
    ) {
        let mut world = World::new();
        world.subscribe();
        world.publish("p");
        let mut seen = Vec::new();
        for (step, count, version) in steps {
            match step {
                0 => world.connect(),
                1 => world.state.disconnected(),
                2 => world.push(version, instances(0..count)),
                3 => world.pass(u64::from(count) * 1000),
                4 => drop(world.requests()),
                _ => world.answer(|version| Ok(response(version))),
            }
            if let Some(shown) = world.shown() {
                seen = shown;
            }
        }
        world.state.disconnected();
        world.connect();
        world.push(1, instances(0..last));
        prop_assert_eq!(world.requests().len(), 2);
        world.answer(|version| Ok(response(version)));
        world.pass(30_000);
        prop_assert_eq!(world.requests().len(), 0);
        prop_assert_eq!(world.state.next_deadline(), None);
        prop_assert_eq!(world.shown().unwrap_or(seen), instances(0..last));
    }
}
