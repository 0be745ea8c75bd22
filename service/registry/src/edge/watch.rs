//! Says so when the clock of another node is ahead: versions follow the one that is furthest ahead.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::state::NodeState;

/// A clock that is further ahead is worth a line.
const AHEAD_MS: i64 = 500;

/// Nodes whose clocks are ahead, as was said.
#[derive(Debug, Default)]
pub(super) struct Clocks(RefCell<BTreeSet<Arc<str>>>);

impl Clocks {
    /// Looks at all nodes, and says once when a clock goes ahead and once when it is not any more.
    pub(super) fn look(&self, nodes: &[NodeState]) {
        for (node, ahead_ms, begins) in self.news(nodes) {
            match begins {
                true => {
                    tracing::warn!(%node, ahead_ms, "the clock of a node is ahead of this one's: versions follow it")
                }
                false => tracing::info!(%node, ahead_ms, "the clock of a node is ahead no more"),
            }
        }
    }

    fn news(&self, nodes: &[NodeState]) -> Vec<(Arc<str>, i64, bool)> {
        let mut known = self.0.borrow_mut();
        known.retain(|node| nodes.iter().any(|one| one.node == *node));
        let mut news = Vec::new();
        for NodeState { node, ahead_ms, .. } in nodes {
            // A clock near the limit does not say so again and again.
            let changed = match *ahead_ms {
                AHEAD_MS.. => known.insert(node.clone()),
                ahead if ahead < AHEAD_MS / 2 => known.remove(node),
                _ => false,
            };
            if changed {
                news.push((node.clone(), *ahead_ms, *ahead_ms >= AHEAD_MS));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_in_each_episode() {
        let clocks = Clocks::default();
        let said = |ahead_ms| {
            let node = NodeState {
                node: "n".into(),
                serving: true,
                synced: true,
                behind: 0,
                ahead_ms,
            };
            clocks.news(&[node]).first().map(|(_, _, begins)| *begins)
        };
        let all = [10, 600, 700, 400, 600, 10, 20, 501].map(said);
        let expected = [
            None,
            Some(true),
            None,
            None,
            None,
            Some(false),
            None,
            Some(true),
        ];
        assert_eq!(all, expected);
    }
}
