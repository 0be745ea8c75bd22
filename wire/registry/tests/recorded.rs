//! What real clients and servers wrote is read, and written again byte for byte where our order of fields is theirs.
#![allow(clippy::unwrap_used, reason = "a test")]

use diwan_bolt::{Decoded, decode};
use diwan_hessian::Dialect;
use diwan_registry_wire::{
    Answer, Codec, DataBox, EventType, Push, ReceivedData, Request, Scope, Zones, fuzz,
};
use proptest::prelude::*;

const FILES: [&str; 3] = [
    include_str!("frames/registry-client-6.6.3-snapshot_hessian-3.3.8.txt"),
    include_str!("frames/registry-client-6.6.3-snapshot_hessian-4.0.4.txt"),
    include_str!("frames/npm-sofa-registry-node-0.0.1_full-pubsub-push.txt"),
];

struct Recorded {
    class: Vec<u8>,
    content: Vec<u8>,
}

/// `C>S 449 hex` on each line: direction, length, a Bolt frame.
fn recorded(text: &str) -> Vec<Recorded> {
    text.lines()
        .map(|line| {
            let hex = line.split(' ').nth(2).unwrap();
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            let Decoded::Frame { frame, .. } = decode(&bytes, 1 << 20).unwrap() else {
                panic!("a whole frame")
            };
            assert_eq!(frame.head.codec, 1);
            Recorded {
                class: frame.class.to_vec(),
                content: frame.content.to_vec(),
            }
        })
        .collect()
}

fn short(class: &[u8]) -> &str {
    let name = std::str::from_utf8(class).unwrap();
    name.rsplit('.').next().unwrap()
}

#[test]
fn every_recorded_frame_is_read_and_written_alike() {
    let mut alike = 0;
    for (file, dialect) in FILES
        .iter()
        .zip([Dialect::Draft, Dialect::Final, Dialect::Draft])
    {
        for Recorded { class, content } in recorded(file) {
            let mut written = Vec::new();
            macro_rules! check {
                ($kind:ident) => {{
                    let (message, codec) = $kind::decode(&class, 1, &content).unwrap();
                    assert_eq!(codec, Codec::Hessian(dialect));
                    assert_eq!(message.class(codec).as_bytes(), class);
                    message.encode(codec, &mut written);
                    assert_eq!($kind::decode(&class, 1, &written).unwrap().0, message);
                }};
            }
            match short(&class) {
                "RegisterResponse" | "Result" => check!(Answer),
                "ReceivedData" => check!(Push),
                _ => check!(Request),
            }
            alike += usize::from(written == content);
        }
    }
    // The npm client has its own order of fields, and so has our push.
    assert_eq!(alike, 13, "of 16");
}

#[test]
fn registrations_say_what_they_said() {
    let frames = recorded(FILES[0]);
    let (request, _) = Request::decode(&frames[0].class, 1, &frames[0].content).unwrap();
    let Request::PublisherRegister(publisher) = request else {
        panic!("{request:?}")
    };
    let base = &publisher.base;
    assert_eq!(base.data_id.as_deref(), Some("com.x.Svc:1.0@DEFAULT"));
    assert_eq!(
        (base.group.as_deref(), base.event()),
        (Some("SOFA"), EventType::Register)
    );
    assert_eq!((base.version, base.ip.as_ref()), (Some(1), None));
    let data = publisher.data_list.unwrap();
    assert_eq!(data[0].data.as_deref(), Some("10.0.0.1:12200?x=1"));

    let (request, _) = Request::decode(&frames[2].class, 1, &frames[2].content).unwrap();
    let Request::SubscriberRegister(subscriber) = request else {
        panic!("{request:?}")
    };
    let scope = Scope::of(subscriber.scope.as_deref().unwrap());
    assert_eq!((scope, subscriber.accept_multi), (Some(Scope::Zone), false));
}

#[test]
fn other_classes_and_serializers_are_refused() {
    let refused = |class: &str, serializer| {
        let error = Request::decode(class.as_bytes(), serializer, b"").unwrap_err();
        error.to_string()
    };
    assert!(refused("java.lang.String", 1).contains("java.lang.String"));
    assert!(
        refused("com.alipay.sofa.registry.core.model.PublisherRegister", 2)
            .contains("serializer 2")
    );
    assert!(
        refused("com.alipay.sofa.registry.core.model.PublisherRegister", 1).contains("damaged")
    );
    assert!(
        refused("com.alipay.sofa.registry.core.model.PublisherRegister", 11).contains("no message")
    );
    // One that is empty in protocol buffers says nothing, and is none in Hessian.
    let class = "com.alipay.sofa.registry.common.model.client.pb.PublisherRegisterPb";
    assert!(Request::decode(class.as_bytes(), 11, b"").is_ok());
}

fn whole_zones(push: &Push) -> Vec<String> {
    let Push::ReceivedData(data) = push else {
        panic!("{push:?}")
    };
    data.data
        .iter()
        .flatten()
        .map(|(zone, _)| zone.clone())
        .collect()
}

proptest! {
    /// In protocol buffers too a message is what it was.
    #[test]
    fn both_forms_say_the_same(texts in prop::array::uniform6("[a-z]{1,8}"), port in 1..9_000i32, version in 1..i64::MAX) {
        let [id, group, zone, data, key, value] = texts;
        let mut publisher = diwan_registry_wire::PublisherRegister::default();
        publisher.base.data_id = Some(id);
        publisher.base.group = Some(group);
        publisher.base.zone = Some(zone);
        publisher.base.port = Some(port);
        publisher.base.version = Some(version);
        publisher.base.attributes = Some([(key, value)].into());
        publisher.data_list = Some(vec![diwan_registry_wire::DataBox { data: Some(data) }]);
        let request = Request::PublisherRegister(publisher);
        for codec in [Codec::Protobuf, Codec::Hessian(Dialect::Draft), Codec::Hessian(Dialect::Final)] {
            let mut written = Vec::new();
            request.encode(codec, &mut written);
            let read = Request::decode(request.class(codec).as_bytes(), codec.byte(), &written);
            prop_assert_eq!(read, Ok((request.clone(), codec)));
        }
    }

    /// What is encoded once for many is what is encoded for one.
    #[test]
    fn pushes_are_put_together_from_parts(zones in prop::collection::btree_map("[a-z]{0,5}", prop::collection::vec("[a-z]{0,5}", 0..4), 0..4)) {
        let boxes = |texts: Vec<String>| texts.into_iter().map(|text| DataBox { data: Some(text) }).collect();
        let zones: Zones = zones.into_iter().map(|(zone, texts)| (zone, boxes(texts))).collect();
        let head = ReceivedData {
            data_id: Some("com.x.Svc".into()),
            version: Some(1 << 50),
            subscriber_regist_ids: Some(vec!["one".into(), "other".into()]),
            ..ReceivedData::default()
        };
        for codec in [Codec::Protobuf, Codec::Hessian(Dialect::Draft), Codec::Hessian(Dialect::Final)] {
            let mut parts = Vec::new();
            head.clone().encode_with(&ReceivedData::encode_instances(zones.clone(), codec), codec, &mut parts);
            let whole = Push::ReceivedData(ReceivedData { data: Some(zones.clone()), ..head.clone() });
            let read = Push::decode(whole.class(codec).as_bytes(), codec.byte(), &parts);
            if codec == Codec::Protobuf {
                let Ok((Push::ReceivedData(read), _)) = read else { panic!("{read:?}") };
                let zones: Vec<_> = read.data.unwrap_or_default().into_keys().collect();
                prop_assert_eq!(zones, whole_zones(&whole));
            } else {
                prop_assert_eq!(read, Ok((whole, codec)));
            }
        }
    }

    #[test]
    fn damaged_messages_are_errors_or_other_messages(
        file in 0..3usize, place in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8, protobuf: bool,
    ) {
        let frames = recorded(FILES[file]);
        let frame = &frames[place.index(frames.len())];
        let mut content = frame.content.clone();
        let at = at.index(content.len());
        content[at] = byte;
        let serializer = if protobuf { 11 } else { 1 };
        fuzz::fuzz_messages(&[&frame.class[..], &[0, serializer], &content].concat());
        fuzz::fuzz_messages(&[&frame.class[..], &[0, 1], &frame.content[..at]].concat());
    }
}
