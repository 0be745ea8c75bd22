//! One ping between two nodes, however many groups they share: while all nodes of a group answer, the group may be silent.
//! It is JRaft's own ping, whose answer says in its text which start of which program it comes from; a node of JRaft
//! answers with no text.

use std::rc::Rc;
use std::time::Duration;

use diwan_jraft::{ErrorResponse, Message, PingRequest};
use diwan_raft::{PeerId, Time};
use diwan_replica::Liveness;

use crate::clock;
use crate::group::Hosted;
use crate::node::Node;
use crate::peers::node_of;

const PROGRAM: &str = "diwan ";

/// What a node knows of the others.
pub(crate) struct Watch {
    liveness: Liveness<PeerId>,
    /// When it is to be found out anew which nodes there are: never, unless members of a group changed.
    collect_at: Time,
    collected: Time,
    /// Drawn at the start.
    incarnation: u64,
    timeout: Duration,
}

impl Watch {
    /// A node is silent once no ping was answered for `timeout`.
    pub(crate) fn new(timeout: Duration, incarnation: u64) -> Self {
        Self {
            liveness: Liveness::new(timeout),
            collect_at: Time(0),
            collected: Time(0),
            incarnation,
            timeout,
        }
    }

    /// Members of a group changed. Where there are many groups this happens often, and all are looked at then: not at once.
    pub(crate) fn members_changed(&mut self) {
        self.collect_at = self.collected + self.timeout / 4;
    }

    fn next_deadline(&self) -> Time {
        self.liveness.next_deadline().min(self.collect_at)
    }

    /// The answer to a ping.
    pub(crate) fn pong(&self) -> Message {
        Message::ErrorResponse(ErrorResponse {
            error_code: 0,
            error_message: Some(format!("{PROGRAM}{:016x}", self.incarnation)),
        })
    }
}

/// The incarnation in the answer to a ping, if it comes from a node of ours.
fn incarnation_in(pong: &Message) -> Option<u64> {
    let Message::ErrorResponse(response) = pong else {
        return None;
    };
    let text = response.error_message.as_deref()?.strip_prefix(PROGRAM)?;
    u64::from_str_radix(text, 16).ok()
}

impl Node {
    /// Pings whom it is time to ping. Returns when to come again.
    pub(crate) fn watch_nodes(self: &Rc<Self>, now: Time) -> Time {
        let mut watch = self.watch.borrow_mut();
        if now < watch.next_deadline() {
            return watch.next_deadline();
        }
        if now >= watch.collect_at {
            (watch.collect_at, watch.collected) = (Time::NEVER, now);
            let own = node_of(&self.id);
            let mut nodes = Vec::new();
            self.each_group(|hosted| {
                let members = hosted.group.raft().configuration().members();
                nodes.extend(members.iter().map(node_of));
            });
            nodes.sort();
            nodes.dedup();
            nodes.retain(|node| *node != own);
            watch.liveness.watch(nodes, now);
            drop(watch);
            self.tell_groups();
            watch = self.watch.borrow_mut();
        }
        let (ping, silent) = watch.liveness.advance(now);
        let next = watch.next_deadline();
        let timeout = watch.timeout;
        drop(watch);
        if !silent.is_empty() {
            let names: Vec<String> = silent.iter().map(PeerId::to_string).collect();
            tracing::info!(node = %self.id, silent = ?names, "nodes do not answer");
            self.tell_groups();
        }
        for node in ping {
            tokio::task::spawn_local(self.clone().ping(node, now, timeout));
        }
        next
    }

    async fn ping(self: Rc<Self>, node: PeerId, sent: Time, timeout: Duration) {
        let ping = Message::PingRequest(PingRequest {
            send_timestamp: i64::try_from(sent.0 / 1000).unwrap_or(0),
        });
        let Ok(pong) = self.ask_member(&node, &ping, timeout).await else {
            return;
        };
        let now = clock::now();
        self.peer_is_ours(&node, incarnation_in(&pong).is_some());
        let changed =
            self.watch
                .borrow_mut()
                .liveness
                .answered(&node, incarnation_in(&pong), sent, now);
        if changed {
            self.tell_groups();
        }
    }

    /// Tells every group whether all its nodes answer.
    fn tell_groups(&self) {
        let own = node_of(&self.id);
        let watch = self.watch.borrow();
        let all_answer = |hosted: &Hosted| {
            let members = hosted.group.raft().configuration().members();
            members
                .iter()
                .map(node_of)
                .all(|node| node == own || watch.liveness.answers(&node))
        };
        for place in 0..self.group_count() {
            self.with_group(place, |hosted| {
                let all = all_answer(hosted);
                hosted.group.raft_mut().nodes_answer(all);
            });
        }
    }
}
