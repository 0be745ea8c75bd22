//! What is registered, and the stamps by which it is recognized in a push.

use diwan_registry_wire::{BaseRegister, DataBox, PublisherRegister, Request, SubscriberRegister};

pub(crate) const STAMP: &str = "stamp=";
pub(crate) const STAMP_DIGITS: usize = 20;

pub(crate) fn base(service: &str, id: String, version: i64) -> BaseRegister {
    let text = |text: &str| Some(text.to_owned());
    BaseRegister {
        instance_id: text("DEFAULT_INSTANCE_ID"),
        zone: text("DEFAULT_ZONE"),
        app_name: text("load"),
        data_id: text(service),
        group: text("DEFAULT_GROUP"),
        process_id: text("load"),
        regist_id: Some(id),
        client_id: None,
        data_info_id: Some(format!("{service}#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP")),
        ip: text("127.0.0.1"),
        port: None,
        event_type: text("REGISTER"),
        version: Some(version),
        timestamp: Some(version),
        attributes: None,
    }
}

/// As long as a UUID, and one.
pub(crate) fn id(kind: u32, number: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

pub(crate) fn publisher(service: &str, number: usize, version: i64, data: String) -> Request {
    Request::PublisherRegister(PublisherRegister {
        data_list: Some(vec![DataBox { data: Some(data) }]),
        base: base(service, id(1, number), version),
    })
}

pub(crate) fn subscriber(service: &str, number: usize) -> Request {
    Request::SubscriberRegister(SubscriberRegister {
        scope: Some("global".into()),
        accept_encoding: None,
        accept_multi: false,
        base: base(service, id(2, number), 1),
    })
}

pub(crate) fn stamped(stamp: usize, bytes: usize) -> String {
    let mut data = format!("{STAMP}{stamp:0STAMP_DIGITS$}");
    while data.len() < bytes {
        data.push('x');
    }
    data
}

pub(crate) fn stamp_of(content: &[u8]) -> Option<(usize, usize)> {
    let mark = STAMP.as_bytes();
    let at = content.windows(mark.len()).position(|part| part == mark)? + mark.len();
    let digits = std::str::from_utf8(content.get(at..at + STAMP_DIGITS)?).ok()?;
    Some((digits.parse().ok()?, at))
}

/// How many instances a list has, and how many of them have a stamp of this or later.
pub(crate) fn count(content: &[u8], from: usize) -> (usize, usize) {
    let (mut all, mut new) = (0, 0);
    for at in memchr::memmem::find_iter(content, STAMP.as_bytes()) {
        let digits = content.get(at + STAMP.len()..at + STAMP.len() + STAMP_DIGITS);
        let stamp = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        all += 1;
        new += usize::from(stamp.is_some_and(|stamp: usize| stamp >= from));
    }
    (all, new)
}
