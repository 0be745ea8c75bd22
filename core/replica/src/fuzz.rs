//! Fuzz targets of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use bytes::Bytes;
use diwan_jraft::Message;
use diwan_raft::{Body, LogId, Token};
use diwan_wal::GroupId;

use crate::batch;
use crate::hello;
use crate::wire::{
    RequestKind, answer, entry_from_disk, entry_to_disk, read_answer, read_request, request,
};

/// Bytes up to the first zero are the class of a message, the rest is its content: what can be read is written and read again
/// to the same, as JRaft's message, as the core's, and as entries in the write-ahead log.
pub fn fuzz_messages(data: &[u8]) {
    diwan_jraft::fuzz::fuzz_messages(data);
    let end = data.iter().position(|byte| *byte == 0);
    let (class, content) = data.split_at(end.unwrap_or(data.len()));
    let content = Bytes::copy_from_slice(content.get(1..).unwrap_or(&[]));
    disk(content.clone());
    let Ok(message) = Message::decode(class, content) else {
        return;
    };
    let asked = match &message {
        Message::RequestVoteResponse(_) => RequestKind::Vote,
        Message::InstallSnapshotResponse(_) => RequestKind::Install,
        Message::TimeoutNowResponse(_) => RequestKind::TimeoutNow,
        Message::ReadIndexResponse(_) => RequestKind::ReadIndex,
        _ => RequestKind::Append,
    };
    if let Ok(body) = read_answer(message.clone()) {
        assert_eq!(read_answer(answer(body.clone(), asked)), Ok(body));
    }
    if let Ok(read) = read_request(message) {
        if let Body::AppendRequest(append) = &read.body {
            for entry in &append.entries {
                let (kind, data) = entry_to_disk(entry);
                assert_eq!(entry_from_disk(entry.id, kind, data).as_ref(), Ok(entry));
            }
        }
        let written = request(&read.group, &read.from, &read.to, read.body.clone());
        let written = written.expect("a request is written as one");
        assert_eq!(read_request(written), Ok(read));
    }
}

/// A greeting of a new connection: what can be read is written to the same, and neither side trusts it.
pub fn fuzz_hello(data: &[u8]) {
    let token = hello::ClusterToken::new(&[7; hello::TOKEN_BYTES_MIN]).ok();
    let mut listener = hello::Listener::default();
    listener.asked(token.as_ref(), "a:1", [1; 32], data);
    assert!(!listener.is_proved());
    let Ok(message) = hello::Message::decode(data) else {
        return;
    };
    assert_eq!(message.encode(), data);
    if let Some(token) = token {
        let mut dialer = hello::Dialer::new(token, "a:1", [1; 32]);
        assert!(!matches!(dialer.answered(&message), Ok(None)));
    }
}

/// Greetings of each kind, to begin with.
pub fn hello_seeds() -> Vec<Vec<u8>> {
    let (nonce, to) = ([3; 32], "10.0.0.1:8701".to_owned());
    [
        hello::Message::Hello { nonce, to },
        hello::Message::Challenge { nonce },
        hello::Message::Proof(nonce),
        hello::Message::Accepted(nonce),
        hello::Message::Refused(hello::Reason::OtherToken),
    ]
    .iter()
    .map(hello::Message::encode)
    .collect()
}

/// A batch of messages between nodes of ours: each item that can be read is written and read again to the same.
pub fn fuzz_batch(data: &[u8]) {
    let mut items = 0;
    for item in batch::read(data) {
        items += 1;
        let Ok(known) = &item else { continue };
        let mut again = Vec::new();
        let taken = batch::push(&mut again, known.token, known.group, &known.message);
        assert!(taken, "what came in a batch may leave in one");
        assert_eq!(batch::read(&again).collect::<Vec<_>>(), [item]);
    }
    assert!(items <= data.len(), "every item takes bytes");
}

/// Batches of messages that are given as class, zero, content: of each alone, and of all that may be in one.
pub fn batch_seeds(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut seeds = Vec::new();
    for (nth, message) in (0_u64..).zip(messages) {
        let Some(end) = message.iter().position(|byte| *byte == 0) else {
            continue;
        };
        let content = Bytes::copy_from_slice(&message[end + 1..]);
        let Ok(message) = Message::decode(&message[..end], content) else {
            continue;
        };
        let mut alone = Vec::new();
        if batch::push(&mut alone, Token(nth), GroupId(!nth), &message) {
            all.extend_from_slice(&alone);
            seeds.push(alone);
        }
    }
    seeds.push(all);
    seeds
}

/// The content as an entry that lies in the write-ahead log behind its kind.
fn disk(mut content: Bytes) {
    if content.is_empty() {
        return;
    }
    let kind = content.split_to(1)[0];
    let id = LogId { term: 1, index: 1 };
    if let Ok(entry) = entry_from_disk(id, kind, content) {
        let (kind, data) = entry_to_disk(&entry);
        assert_eq!(entry_from_disk(id, kind, data), Ok(entry));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use diwan_raft::{AppendRequest, Configuration, Entry, Payload, PeerId};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Request, WireError, add_checksums};

    fn peers() -> impl Strategy<Value = Vec<PeerId>> {
        let peer = "[a-z0-9.]{1,20}:[1-9][0-9]{0,3}(:[0-9]{1,2}(:-?[0-9]{1,3})?)?";
        prop::collection::vec(peer.prop_map(|name| name.parse().unwrap()), 1..5)
    }

    fn payload() -> impl Strategy<Value = Payload> {
        let members = (peers(), peers(), peers()).prop_map(|(peers, learners, old_peers)| {
            Payload::Configuration(Arc::new(Configuration {
                peers,
                learners,
                old_peers,
                ..Configuration::default()
            }))
        });
        let data = prop::collection::vec(any::<u8>(), 0..50);
        prop_oneof![
            Just(Payload::NoOp),
            data.prop_map(|data| Payload::Data(data.into())),
            members,
        ]
    }

    proptest! {
        #[test]
        fn entries_are_the_same_on_the_other_side(
            payloads in prop::collection::vec(payload(), 0..6),
            heartbeat: bool,
            (term, index, committed) in (1..1_u64 << 40, 0..1_u64 << 40, 0..1_u64 << 40),
        ) {
            let ids = (index + 1..).map(|index| LogId { term, index });
            let append = AppendRequest {
                term,
                prev: LogId { term, index },
                committed,
                heartbeat: heartbeat && payloads.is_empty(),
                quiesce: heartbeat && payloads.is_empty() && committed % 2 == 0,
                entries: ids.zip(payloads).map(|(id, payload)| Entry { id, payload }).collect(),
            };
            let (from, to) = (PeerId::new("a", 1), PeerId::new("b", 2));
            let said = Request { group: "g".into(), from, to, body: Body::AppendRequest(append) };
            let mut message = request(&said.group, &said.from, &said.to, said.body.clone()).unwrap();
            prop_assert_eq!(read_request(message.clone()), Ok(said.clone()));
            add_checksums(&mut message);
            prop_assert_eq!(read_request(message), Ok(said));
        }

        /// A bit that changed on the way is noticed, whichever entry it is in and whatever it says.
        #[test]
        fn a_damaged_entry_is_refused(
            payloads in prop::collection::vec(payload(), 1..6),
            index in 0..1_u64 << 40,
            at: prop::sample::Index,
            bit in 0_u8..40,
        ) {
            let prev = LogId { term: 1, index };
            let ids = (index + 1..).map(|index| LogId { term: 1, index });
            let append = AppendRequest {
                term: 1,
                prev,
                committed: 0,
                heartbeat: false,
                quiesce: false,
                entries: ids.zip(payloads).map(|(id, payload)| Entry { id, payload }).collect(),
            };
            let (from, to) = (PeerId::new("a", 1), PeerId::new("b", 2));
            let mut message = request("g", &from, &to, Body::AppendRequest(append)).unwrap();
            add_checksums(&mut message);
            let Message::AppendEntriesRequest(append) = &mut message else { unreachable!() };
            let place = at.index(append.entries.len());
            match append.data.take().filter(|data| !data.is_empty()) {
                Some(data) => {
                    let mut data = data.to_vec();
                    let place = at.index(data.len());
                    data[place] ^= 1 << (bit % 8);
                    append.data = Some(data.into());
                }
                None => append.entries[place].term ^= 1 << bit,
            }
            let damaged = matches!(read_request(message), Err(WireError::Checksum { .. }));
            prop_assert!(damaged);
        }
    }
}
