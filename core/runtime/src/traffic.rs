//! Messages to nodes of ours travel in batches: what all groups have to say to a node in one turn is one frame. Answers go back
//! on the connection on which their requests came.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use diwan_bolt::{FrameWriter, Head};
use diwan_jraft::Message;
use diwan_net::bolt::{CallError, Peer};
use diwan_raft::{PeerId, Time, Token};
use diwan_replica::batch;
use diwan_wal::GroupId;

use crate::peers::{CODEC, node_of};

/// A batch leaves before its turn ends once it has so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// Batches that gather in this turn, by the connection on which they will leave.
#[derive(Default)]
pub(crate) struct Outboxes {
    open: HashMap<SocketAddr, (Peer, Vec<u8>)>,
    /// Batches that were sent, and messages in them.
    pub(crate) sent: (u64, u64),
}

impl Outboxes {
    pub(crate) fn push(&mut self, peer: &Peer, token: Token, group: GroupId, message: &Message) {
        let addr = peer.addr();
        let (_, content) = self
            .open
            .entry(addr)
            .or_insert_with(|| (peer.clone(), Vec::new()));
        // All messages between members have their number.
        batch::push(content, token, group, message);
        self.sent.1 += 1;
        if content.len() >= BATCH_BYTES
            && let Some((peer, content)) = self.open.remove(&addr)
        {
            self.sent.0 += 1;
            send(&peer, &content);
        }
    }

    pub(crate) fn flush(&mut self) {
        for (_, (peer, content)) in self.open.drain() {
            self.sent.0 += 1;
            send(&peer, &content);
        }
    }
}

/// What cannot be sent is lost: whoever waits for an answer finds out.
fn send(peer: &Peer, content: &[u8]) {
    let sent = peer.oneway(|frame, id| {
        let mut writer =
            FrameWriter::begin(frame, Head::oneway(id, CODEC), batch::CLASS.as_bytes());
        writer.content().extend_from_slice(content);
        writer
            .finish()
            .map_err(|error| CallError::Unsendable(error.to_string()))
    });
    if let Err(error) = sent {
        tracing::debug!(%error, "a batch was not sent");
    }
}

/// A request in a batch that has no answer yet.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) place: usize,
    pub(crate) token: Token,
    pub(crate) to: PeerId,
}

/// Requests in batches that wait for their answers.
#[derive(Default)]
pub(crate) struct OpenRequests {
    open: HashMap<(usize, Token), PeerId>,
    /// By how long their senders wait, in the order in which they left.
    queues: BTreeMap<Duration, VecDeque<(Time, usize, Token)>>,
}

impl OpenRequests {
    pub(crate) fn add(&mut self, request: Open, timeout: Duration, now: Time) {
        let Open { place, token, to } = request;
        self.open.insert((place, token), to);
        let queue = self.queues.entry(timeout).or_default();
        queue.push_back((now + timeout, place, token));
    }

    /// An answer has come. To whom the request went, if it is open.
    pub(crate) fn take(&mut self, place: usize, token: Token) -> Option<PeerId> {
        self.open.remove(&(place, token))
    }

    /// Requests that waited too long.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<Open> {
        let mut expired = Vec::new();
        for queue in self.queues.values_mut() {
            while let Some(&(deadline, place, token)) = queue.front() {
                let is_open = self.open.contains_key(&(place, token));
                if is_open && deadline > now {
                    break;
                }
                queue.pop_front();
                let to = self.open.remove(&(place, token));
                expired.extend(to.map(|to| Open { place, token, to }));
            }
        }
        expired
    }

    /// When `expire` has something to do at the latest.
    pub(crate) fn next_deadline(&self) -> Time {
        let fronts = self.queues.values().filter_map(VecDeque::front);
        fronts
            .map(|(deadline, ..)| *deadline)
            .min()
            .unwrap_or(Time::NEVER)
    }

    /// Requests to a node whose connection broke.
    pub(crate) fn lost(&mut self, node: &PeerId) -> Vec<Open> {
        let lost = self.open.extract_if(|_, to| node_of(to) == *node);
        lost.map(|((place, token), to)| Open { place, token, to })
            .collect()
    }
}

/// Reads a batch; what is damaged ends it.
pub(crate) fn read(content: &[u8]) -> impl Iterator<Item = Result<batch::Item, batch::BatchError>> {
    batch::read(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_end_by_answer_time_or_loss() {
        let mut open = OpenRequests::default();
        let (a, b) = (PeerId::new("a", 1), PeerId::new("b", 1));
        let request = |token, to: &PeerId| Open {
            place: 3,
            token: Token(token),
            to: to.clone(),
        };
        let second = Duration::from_secs(1);
        open.add(request(1, &a), second, Time(0));
        open.add(request(2, &a), second * 5, Time(0));
        open.add(request(3, &b), second, Time(10));
        assert_eq!(open.next_deadline(), Time(1_000_000));
        assert_eq!(open.take(3, Token(1)), Some(a.clone()));
        assert_eq!(open.take(3, Token(1)), None);
        assert!(open.expire(Time(1_000_000)).is_empty());
        let expired = open.expire(Time(1_000_010));
        assert_eq!((expired.len(), &expired[0].to), (1, &b));
        assert_eq!(open.lost(&a).len(), 1);
        open.expire(Time(2_000_000));
        assert_eq!(open.next_deadline(), Time::NEVER);
    }
}
