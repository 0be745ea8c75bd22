//! One heartbeat between two nodes, whatever the number of groups that they share. While it is answered their idle groups may be
//! silent (see [`diwan_raft::Raft::nodes_answer`]).

use std::collections::BTreeMap;
use std::time::Duration;

use diwan_raft::Time;

/// What a node knows of the others by its pings. An answer carries the answering node's incarnation, a number that it draws
/// when it starts: a node that was started anew has forgotten that it led.
#[derive(Debug)]
pub struct Liveness<K> {
    timeout: Duration,
    nodes: BTreeMap<K, Watched>,
}

#[derive(Debug)]
struct Watched {
    /// None until it has answered as a node of ours.
    incarnation: Option<u64>,
    /// When the newest answered ping left.
    heard: Time,
    due: Time,
    answers: bool,
}

/// A node that answers pings but takes no part is asked again after so many intervals.
const FOREIGN_INTERVALS: u32 = 100;

impl<K: Ord + Clone> Liveness<K> {
    /// A node counts as silent once it has answered no ping for `timeout`. Four pings leave in that time.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            nodes: BTreeMap::new(),
        }
    }

    fn interval(&self) -> Duration {
        self.timeout / 4
    }

    /// Watches these nodes from now on, and no others.
    pub fn watch(&mut self, nodes: impl IntoIterator<Item = K>, now: Time) {
        let mut known = std::mem::take(&mut self.nodes);
        for node in nodes {
            let watched = known.remove(&node).unwrap_or(Watched {
                incarnation: None,
                heard: now,
                due: now,
                answers: false,
            });
            self.nodes.insert(node, watched);
        }
    }

    /// Whether a node is of ours and has answered lately.
    pub fn answers(&self, node: &K) -> bool {
        self.nodes.get(node).is_some_and(|watched| watched.answers)
    }

    /// Time has come to `now`: whom to ping, and who has fallen silent.
    pub fn advance(&mut self, now: Time) -> (Vec<K>, Vec<K>) {
        let (interval, timeout) = (self.interval(), self.timeout);
        let (mut ping, mut silent) = (Vec::new(), Vec::new());
        for (node, watched) in &mut self.nodes {
            if watched.answers && now.since(watched.heard) >= timeout {
                watched.answers = false;
                silent.push(node.clone());
            }
            if now >= watched.due {
                watched.due = now + interval;
                ping.push(node.clone());
            }
        }
        (ping, silent)
    }

    /// When `advance` has something to do at the latest.
    pub fn next_deadline(&self) -> Time {
        let times = self.nodes.values().map(|watched| match watched.answers {
            true => watched.due.min(watched.heard + self.timeout),
            false => watched.due,
        });
        times.min().unwrap_or(Time::NEVER)
    }

    /// A ping that left at `sent` was answered; `incarnation` is None if by a node that is none of ours. Returns whether all
    /// that was silent with this node has to wake or may now fall silent: ask [`Liveness::answers`] which. A node that was
    /// started anew counts as silent until its next answer.
    pub fn answered(&mut self, node: &K, incarnation: Option<u64>, sent: Time, now: Time) -> bool {
        let interval = self.interval();
        let Some(watched) = self.nodes.get_mut(node) else {
            return false;
        };
        if incarnation.is_none() {
            watched.due = watched.due.max(now + interval * FOREIGN_INTERVALS);
        }
        watched.heard = watched.heard.max(sent);
        let before = watched.answers;
        let same = watched.incarnation == incarnation;
        watched.incarnation = incarnation;
        watched.answers = incarnation.is_some() && same && now.since(watched.heard) < self.timeout;
        before != watched.answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time(ms * 1000)
    }

    #[test]
    fn a_node_answers_until_it_is_silent_or_started_anew() {
        let mut liveness = Liveness::new(Duration::from_millis(1000));
        liveness.watch(["b"], at(0));
        assert_eq!(liveness.advance(at(0)), (vec!["b"], vec![]));
        assert!(!liveness.answered(&"b", Some(7), at(0), at(1)));
        assert!(
            !liveness.answers(&"b"),
            "one answer only names the incarnation"
        );
        assert_eq!(liveness.advance(at(250)), (vec!["b"], vec![]));
        assert!(liveness.answered(&"b", Some(7), at(250), at(251)));
        assert!(liveness.answers(&"b"));
        assert_eq!(liveness.next_deadline(), at(500));
        liveness.advance(at(500));
        assert!(
            !liveness.answered(&"b", Some(7), at(500), at(501)),
            "nothing new"
        );
        // Started anew: whatever was silent with it wakes.
        liveness.advance(at(750));
        assert!(liveness.answered(&"b", Some(8), at(750), at(751)));
        assert!(!liveness.answers(&"b"));
        liveness.advance(at(1000));
        assert!(liveness.answered(&"b", Some(8), at(1000), at(1001)));
        // Silent: said once.
        liveness.advance(at(1250));
        assert_eq!(liveness.advance(at(2000)), (vec!["b"], vec!["b"]));
        assert_eq!(liveness.advance(at(2100)), (vec![], vec![]));
        // An answer to a ping of long ago shows nothing.
        assert!(!liveness.answered(&"b", Some(8), at(1100), at(2200)));
        assert!(!liveness.answers(&"b"));
    }

    #[test]
    fn a_foreign_node_is_asked_rarely_and_never_counts() {
        let mut liveness = Liveness::new(Duration::from_millis(1000));
        liveness.watch(["j"], at(0));
        liveness.advance(at(0));
        assert!(!liveness.answered(&"j", None, at(0), at(1)));
        assert!(!liveness.answers(&"j"));
        assert_eq!(liveness.next_deadline(), at(25_001));
        // It is replaced by one of ours.
        liveness.advance(at(25_001));
        liveness.answered(&"j", Some(1), at(25_001), at(25_002));
        liveness.advance(at(50_001));
        assert!(liveness.answered(&"j", Some(1), at(50_001), at(50_002)));
    }
}
