//! Frames between members of a real JRaft group: read, and written again to the same bytes.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use diwan_bolt::{Decoded, decode};
use diwan_jraft::{AppendEntriesRequestHeader, Message, fuzz};
use proptest::prelude::*;
use prost::Message as _;

fn recorded() -> Vec<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frames.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let hex = |line: &str| {
        (0..line.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap())
            .collect()
    };
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(hex)
        .collect()
}

#[test]
fn every_recorded_frame_is_read_and_written_alike() {
    let mut classes = BTreeSet::new();
    for bytes in recorded() {
        let Decoded::Frame { frame, .. } = decode(&bytes, 1 << 20).unwrap() else {
            panic!("a whole frame")
        };
        if frame.class.starts_with(b"harness.") {
            continue;
        }
        let content = Bytes::copy_from_slice(frame.content);
        let message = Message::decode(frame.class, content.clone()).unwrap();
        assert_eq!(message.class().as_bytes(), frame.class);
        let mut written = BytesMut::new();
        message.encode(&mut written);
        assert_eq!(written.freeze(), content, "{message:?}");
        if let Message::AppendEntriesRequest(request) = &message {
            let header = AppendEntriesRequestHeader {
                group_id: request.group_id.clone(),
                server_id: request.server_id.clone(),
                peer_id: request.peer_id.clone(),
            };
            assert_eq!(header.encode_to_vec(), frame.header);
        }
        classes.insert(message.class());
    }
    assert!(classes.len() >= 20, "{classes:?}");
}

proptest! {
    #[test]
    fn damaged_messages_are_errors_or_other_messages(place in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let frames = recorded();
        let bytes = &frames[place.index(frames.len())];
        let Ok(Decoded::Frame { frame, .. }) = decode(bytes, 1 << 20) else { panic!("a whole frame") };
        let mut data = frame.class.to_vec();
        data.push(0);
        data.extend_from_slice(frame.content);
        let at = at.index(data.len());
        data[at] = byte;
        fuzz::fuzz_messages(&data);
        data.truncate(at);
        fuzz::fuzz_messages(&data);
    }
}
