//! Requests of clients: puts are proposed, gets wait for a read barrier.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use diwan_bolt::Status;
use diwan_log::{ProposalError, ReadError};
use diwan_net::bolt::Responder;
use diwan_runtime::{AppHandler, Node};

use crate::machine::{self, Shared};

const REQUEST: &[u8] = b"harness.KvRequest";
const RESPONSE: &[u8] = b"harness.KvResponse";

/// The name of one of the groups over which keys are spread.
pub fn group_name(first: &str, nth: usize) -> String {
    match nth {
        0 => first.to_owned(),
        nth => format!("{first}-{nth}"),
    }
}

/// The group of a key: FNV-1a over its bytes.
fn shard_of(key: &[u8], groups: usize) -> usize {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash % groups as u64) as usize
}

/// Serves clients of the store.
pub fn handler(shards: Vec<(String, Shared)>) -> AppHandler {
    Arc::new(move |node, mut incoming| {
        if incoming.frame.class != REQUEST {
            return incoming.responder.send_status(Status::NoProcessor);
        }
        let command = Bytes::copy_from_slice(incoming.frame.content);
        let shard = match machine::parse(&command) {
            Some((_, key, _)) if shards.len() > 1 => shard_of(&key, shards.len()),
            _ => 0,
        };
        let (group, shared) = &shards[shard];
        let mut responder = incoming.responder;
        responder.defer();
        carry_out(node, group, shared, command, move |answer| {
            respond(&mut responder, &answer)
        });
    })
}

fn respond(responder: &mut Responder, answer: &[u8]) {
    // A value that came in a frame fits into one.
    let _ = responder.send(Status::Success, RESPONSE, |writer| {
        writer.content().extend_from_slice(answer)
    });
}

/// Carries a client's command out and tells `done` its answer: a status, and what belongs to it.
pub fn carry_out(
    node: &Rc<Node>,
    group: &str,
    shared: &Shared,
    command: Bytes,
    done: impl FnOnce(Bytes) + 'static,
) {
    match machine::parse(&command) {
        Some((1, ..)) => node.propose(group, command, move |result| {
            done(match result {
                Ok(committed) => committed.answer,
                Err(ProposalError::NotLeader { leader }) => {
                    answer(1, leader.unwrap_or_default().as_bytes())
                }
                Err(other) => answer(3, other.to_string().as_bytes()),
            });
        }),
        Some((2, key, _)) => {
            let shared = shared.clone();
            node.read(group, move |result| {
                done(match result {
                    Ok(()) => match shared.map().get(&key) {
                        Some(value) => answer(0, value),
                        None => answer(2, b""),
                    },
                    Err(ReadError::NoLeader) => answer(1, b""),
                    Err(other) => answer(3, other.to_string().as_bytes()),
                });
            });
        }
        _ => done(answer(3, b"not a command")),
    }
}

fn answer(status: u8, rest: &[u8]) -> Bytes {
    [&[status], rest].concat().into()
}
