//! What members say to each other, as bytes on their way. Where nodes host one group each message travels alone, as among
//! JRaft's nodes; where they host several, what is said to a node in one turn, or in turns that follow soon, is one batch.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use diwan_jraft::Message;
use diwan_raft::{Body, PeerId, StepError, Token};
use diwan_replica::batch::{self, Item};
use diwan_replica::wire::{self, RequestKind};

use crate::group;
use crate::world::{Event, World};

/// Batches gather for up to this long.
const GATHER_MICROS: u64 = 4_000;

/// Something on its way.
pub(crate) struct Packet {
    pub(crate) to: PeerId,
    from: PeerId,
    content: Content,
}

#[derive(Clone)]
enum Content {
    One {
        token: Token,
        class: &'static str,
        request: bool,
        message: Bytes,
    },
    Batch {
        bytes: Bytes,
        said: Said,
    },
}

/// Which groups a batch is from, in its order, and with which tokens: what is read of it must be the same.
type Said = Vec<(usize, Token)>;

/// Batches that gather: requests to a member, or answers.
pub(crate) type Outboxes = BTreeMap<(PeerId, bool), Outbox>;

#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    said: Said,
}

fn groups(said: &Said) -> BTreeSet<usize> {
    said.iter().map(|(group, _)| *group).collect()
}

impl World {
    pub(crate) fn send(
        &mut self,
        node: usize,
        group: usize,
        to: &PeerId,
        token: Token,
        body: Body,
    ) {
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
            let own = &self.nodes[node].id;
            match wire::request(&group::name(group), own, to, body) {
                Some(message) => message,
                None => return self.violated("a request that is none".into()),
            }
        } else {
            let Some(member) = self.nodes[node].member_mut(group) else {
                return;
            };
            let Some(kind) = member.asked.remove(&(to.clone(), token)) else {
                // A request that came twice is answered twice; the second answer finds nobody.
                return;
            };
            wire::answer(body, kind)
        };
        if self.groups.len() > 1 {
            return self.gather(node, group, (to.clone(), request), token, &message);
        }
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        let content = Content::One {
            token,
            class: message.class(),
            request,
            message: bytes.freeze(),
        };
        self.leave(node, to, &content);
    }

    fn gather(
        &mut self,
        node: usize,
        group: usize,
        to: (PeerId, bool),
        token: Token,
        message: &Message,
    ) {
        let it = &mut self.nodes[node];
        let life = it.life;
        let Some(alive) = &mut it.alive else { return };
        let first = alive.outboxes.is_empty();
        let outbox = alive.outboxes.entry(to).or_default();
        outbox.said.push((group, token));
        if !batch::push(&mut outbox.bytes, token, group::wal_id(group), message) {
            return self.violated(format!("no batch takes {message:?}"));
        }
        if first {
            let delay = self.random.below(GATHER_MICROS);
            self.after(delay, Event::Departs { node, life });
        }
    }

    /// What has gathered at a node leaves.
    pub(crate) fn departs(&mut self, node: usize, life: u64) {
        if self.nodes[node].life != life {
            return;
        }
        if let Some(until) = self.pause_of(node) {
            return self.at(until, Event::Departs { node, life });
        }
        let Some(alive) = &mut self.nodes[node].alive else {
            return;
        };
        for ((to, _), outbox) in std::mem::take(&mut alive.outboxes) {
            let several = groups(&outbox.said).len() > 1;
            let content = Content::Batch {
                bytes: outbox.bytes.into(),
                said: outbox.said,
            };
            let copies = self.leave(node, &to, &content);
            if several {
                self.counts.add(match copies {
                    0 => "batches of several groups lost",
                    1 => "batches of several groups",
                    _ => "batches of several groups doubled",
                });
            }
        }
    }

    /// Puts a packet on its way; how many copies of it will arrive.
    fn leave(&mut self, node: usize, to: &PeerId, content: &Content) -> usize {
        let place = self.place_of(to);
        let arrivals = self.network.arrivals(node, place, &mut self.random);
        let copies = arrivals.len();
        self.counts.add(match copies {
            0 => "packets lost",
            1 => "packets",
            _ => "packets doubled",
        });
        for delay in arrivals {
            let packet = Packet {
                to: to.clone(),
                from: self.nodes[node].id.clone(),
                content: content.clone(),
            };
            self.after(delay, Event::Arrives(packet));
        }
        copies
    }

    pub(crate) fn receive(&mut self, packet: Packet) {
        let Packet { to, from, content } = packet;
        let (node, sender) = (self.place_of(&to), self.place_of(&from));
        let ends = [node as u64, sender as u64];
        match &content {
            Content::One { token, message, .. } => {
                self.trace(&[1, ends[0], ends[1], token.0, message.len() as u64]);
            }
            Content::Batch { bytes, .. } => {
                self.trace(&[5, ends[0], ends[1], bytes.len() as u64]);
            }
        }
        if self.nodes[node].id != to {
            return self.counts.add("packets for members that are gone");
        }
        if self.nodes[node].alive.is_none() {
            return;
        }
        let heard = match content {
            Content::One {
                token,
                class,
                request,
                message,
            } => Message::decode(class.as_bytes(), message)
                .map_err(|error| error.to_string())
                .and_then(|message| {
                    let item = Item {
                        is_request: request,
                        token,
                        group: group::wal_id(0),
                        message,
                    };
                    self.hear(node, &from, item).map(|it| vec![it])
                }),
            Content::Batch { bytes, said } => self.hear_all(node, &from, &bytes, &said),
        };
        match heard {
            Ok(heard) => groups(&heard)
                .into_iter()
                .for_each(|group| self.turn(node, group)),
            Err(error) => self.violated(format!(
                "node {node} cannot read what node {sender} wrote: {error}"
            )),
        }
    }

    fn hear_all(
        &mut self,
        node: usize,
        from: &PeerId,
        batch: &[u8],
        said: &Said,
    ) -> Result<Said, String> {
        let items = batch::read(batch).map(|item| item.map_err(|error| error.to_string()));
        let heard: Result<Said, String> = items.map(|item| self.hear(node, from, item?)).collect();
        let heard = heard?;
        match heard == *said {
            true => Ok(heard),
            false => Err(format!("{said:?} was said, {heard:?} was heard")),
        }
    }

    /// A message has come; for which group, and with which token.
    fn hear(&mut self, node: usize, sender: &PeerId, item: Item) -> Result<(usize, Token), String> {
        let (token, group) = (item.token, group::of_wal_id(item.group));
        let body = match item.is_request {
            true => {
                let request = wire::read_request(item.message).map_err(|it| it.to_string())?;
                if request.group != group::name(group) {
                    return Err(format!("{} in an item of {group}", request.group));
                }
                request.body
            }
            false => wire::read_answer(item.message).map_err(|error| error.to_string())?,
        };
        let it = &mut self.nodes[node];
        let now = it.clock.local(self.now);
        let members = it.alive.as_mut().map(|alive| &mut alive.members);
        let Some(member) = members.and_then(|it| it.get_mut(group)) else {
            return Err(format!("there is no group {group}"));
        };
        if let Some(kind) = RequestKind::of(&body) {
            member.asked.insert((sender.clone(), token), kind);
        }
        member.group.advance(now);
        match member.group.raft_mut().step(sender, token, body) {
            Ok(()) => {}
            Err(StepError::NoRequest(_)) => self.counts.add("answers nobody waited for"),
            Err(StepError::NotMember(_)) => self.counts.add("requests of non-members"),
            Err(error) => self.violated(format!("node {node} refuses a message: {error}")),
        }
        Ok((group, token))
    }
}
