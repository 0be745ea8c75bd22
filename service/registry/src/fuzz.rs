//! Fuzz targets of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use std::time::Duration;

use diwan_registry_wire::nodes::{NodesAnswer, NodesMessage};
use diwan_registry_wire::{DataBox, Version};
use prost::Message as _;

use crate::edge::journal;
use crate::state::{
    Config, ConnectionId, Now, Publication, RegistId, Registry, ServiceName, Start,
};

const NODES: [&str; 3] = ["n0", "n1", "n2"];

fn now(ms: u64) -> Now {
    Now {
        monotonic: Duration::from_millis(ms),
        unix_ms: 1_800_000_000_000 + ms,
    }
}

fn node(name: &str) -> Registry {
    let start = Start {
        node: name.into(),
        epoch: 5,
        address: name.into(),
        nodes: NODES.map(Into::into).to_vec(),
        recovered: Vec::new(),
        version: Version::NO_DATUM,
    };
    Registry::start(Config::default(), start, now(0))
}

/// What other nodes say to one, one after the other: how long after the one before, in tens of milliseconds (a byte); whether it is
/// an answer (a byte); length (u16, big-endian); content. Nothing panics, and what has been said can be shown.
pub fn fuzz_nodes(data: &[u8]) {
    let mut registry = node(NODES[0]);
    registry.connected(ConnectionId(1));
    let (mut rest, mut ms) = (data, 0);
    while let [pause, answer, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (content, after) = after.split_at(length.min(after.len()));
        rest = after;
        ms += u64::from(*pause) * 10;
        if *answer % 2 == 0 {
            if let Ok(message) = NodesMessage::decode(content) {
                registry.received(message, now(ms));
            }
        } else if let Ok(answer) = NodesAnswer::decode(content) {
            for name in &NODES[1..] {
                registry.answered(name, answer.clone(), now(ms));
            }
        }
        registry.advance(now(ms));
        registry.to_nodes(now(ms));
        registry.outgoing(now(ms));
    }
}

/// Any bytes are a journal as far as they can be read, or what a record holds.
pub fn fuzz_journal(data: &[u8]) {
    journal::fuzz(data);
}

/// What a node hears from another one that has instances, for [`fuzz_nodes`], as one conversation and message by message.
pub fn nodes_seeds() -> Vec<Vec<u8>> {
    let (mut speaker, mut hearer) = (node(NODES[1]), node(NODES[0]));
    speaker.connected(ConnectionId(1));
    let mut seeds = vec![Vec::new()];
    let mut say = |answer: bool, content: Vec<u8>| {
        let Ok(length) = u16::try_from(content.len()) else {
            return;
        };
        let mut record = vec![20, u8::from(answer)];
        record.extend(length.to_be_bytes());
        record.extend(content);
        seeds[0].extend(&record);
        seeds.push(record);
    };
    for turn in 0..40 {
        let at = now(turn * 200);
        let publication = Publication {
            service: ServiceName::new(&format!("s{}", turn % 3), None, None),
            id: RegistId::new(&format!("i{turn}")),
            data: vec![DataBox {
                data: Some("data".into()),
            }],
            cell: "c".into(),
            version: 1,
            timestamp: 1,
        };
        // A node that does not serve yet refuses none.
        let _ = speaker.publish(ConnectionId(1), publication, at);
        for (to, message) in speaker.to_nodes(at) {
            if &*to == NODES[0] {
                say(false, message.encode_to_vec());
                let answer = hearer.received(message, at);
                speaker.answered(NODES[0], answer, at);
            }
        }
        for (to, message) in hearer.to_nodes(at) {
            if &*to == NODES[1] {
                let answer = speaker.received(message, at);
                say(true, answer.encode_to_vec());
                hearer.answered(NODES[1], answer, at);
            }
        }
        for registry in [&mut speaker, &mut hearer] {
            registry.advance(at);
        }
    }
    seeds
}

/// Journals for [`fuzz_journal`].
pub fn journal_seeds() -> Vec<Vec<u8>> {
    journal::fuzz_seeds()
}
