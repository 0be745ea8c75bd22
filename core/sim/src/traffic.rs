//! What members say to each other, as bytes on their way.

use bytes::{Bytes, BytesMut};
use diwan_jraft::Message;
use diwan_raft::{Body, PeerId, Token};
use diwan_replica::wire::{self, RequestKind};

use crate::world::{Event, World};

const GROUP: &str = "sim";

/// A message on its way, as bytes.
pub(crate) struct Packet {
    pub(crate) to: PeerId,
    from: PeerId,
    token: Token,
    message: Bytes,
    class: &'static str,
    request: bool,
}

impl World {
    pub(crate) fn send(&mut self, node: usize, to: &PeerId, token: Token, body: Body) {
        let own = self.nodes[node].id.clone();
        let word = match &body {
            Body::VoteRequest(vote) => !vote.pre_vote,
            Body::VoteResponse { granted, .. } => *granted,
            Body::AppendResponse(append) => append.success && self.random.permille(20),
            _ => false,
        };
        if word
            && !self.in_calm()
            && self
                .random
                .permille(self.faults.luck.crash_after_word_permille)
        {
            let (delay, life) = (self.random.below(4_000), self.nodes[node].life);
            self.after(delay, Event::Crash { node, life });
        }
        let request = RequestKind::of(&body).is_some();
        let message = if request {
            match wire::request(GROUP, &own, to, body) {
                Some(message) => message,
                None => return self.violated("a request that is none".into()),
            }
        } else {
            let Some(alive) = &mut self.nodes[node].alive else {
                return;
            };
            let Some(kind) = alive.asked.remove(&(to.clone(), token)) else {
                // A request that came twice is answered twice; the second answer finds nobody.
                return;
            };
            wire::answer(body, kind)
        };
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        let (bytes, class, place) = (bytes.freeze(), message.class(), self.place_of(to));
        let arrivals = self.network.arrivals(node, place, &mut self.random);
        match arrivals.len() {
            0 => self.counts.add("packets lost"),
            1 => self.counts.add("packets"),
            _ => self.counts.add("packets doubled"),
        }
        for delay in arrivals {
            let message = bytes.clone();
            self.after(
                delay,
                Event::Arrives(Packet {
                    to: to.clone(),
                    from: own.clone(),
                    token,
                    message,
                    class,
                    request,
                }),
            );
        }
    }

    pub(crate) fn receive(&mut self, packet: Packet) {
        let Packet {
            to,
            from,
            token,
            message,
            class,
            request,
        } = packet;
        let (sender, target) = (from, to);
        let (from, to) = (self.place_of(&sender), self.place_of(&target));
        self.trace(&[1, to as u64, from as u64, token.0, message.len() as u64]);
        if self.nodes[to].id != target {
            return self.counts.add("packets for members that are gone");
        }
        let now = self.nodes[to].clock.local(self.now);
        let Some(alive) = &mut self.nodes[to].alive else {
            return;
        };
        let decoded = Message::decode(class.as_bytes(), message).map_err(|error| error.to_string());
        let body = decoded.and_then(|message| match request {
            true => wire::read_request(message)
                .map(|request| request.body)
                .map_err(|error| error.to_string()),
            false => wire::read_answer(message).map_err(|error| error.to_string()),
        });
        let body = match body {
            Ok(body) => body,
            Err(error) => {
                return self.violated(format!(
                    "node {to} cannot read what node {from} wrote: {error}"
                ));
            }
        };
        if let Some(kind) = RequestKind::of(&body) {
            alive.asked.insert((sender.clone(), token), kind);
        }
        alive.group.advance(now);
        let result = alive.group.raft_mut().step(&sender, token, body);
        if let Err(error) = result {
            match error {
                diwan_raft::StepError::NoRequest(_) => self.counts.add("answers nobody waited for"),
                diwan_raft::StepError::NotMember(_) => self.counts.add("requests of non-members"),
                other => self.violated(format!("node {to} refuses node {from}: {other}")),
            }
        }
        self.turn(to);
    }
}
