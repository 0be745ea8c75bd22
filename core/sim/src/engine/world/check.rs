//! What must hold in the end.

use super::{NODES, World};

impl World {
    pub(super) fn check_end(&mut self) {
        for ask in self.asks.keys().copied().collect::<Vec<_>>() {
            self.finish_unknown(ask);
        }
        for (index, value) in std::mem::take(&mut self.acknowledged) {
            let applied = self.applied.get(&index).and_then(|put| put.last_chunk());
            if applied.map(|last| u64::from_be_bytes(*last)) != Some(value) {
                self.violated(format!(
                    "the acknowledged put of {value} at {index} is lost"
                ));
            }
        }
        if let Some((key, operations)) = self.history.first_violation() {
            let what = format!("no order explains what clients saw of key {key}: {operations:?}");
            // A wrong answer weighs more than a log that stands still.
            self.violation = None;
            self.violated(what);
        }
        if self.violation.is_some() {
            return;
        }
        if self.acknowledged_in_calm < 500 {
            let states: Vec<_> = self
                .nodes
                .iter()
                .map(|it| it.alive.as_ref().map(|it| it.log.status()))
                .collect();
            let puts = self.acknowledged_in_calm;

            self.violated(format!("only {puts} puts in the calm: {states:?}"));
        }
        let last = self.applied.keys().next_back().copied().unwrap_or(0);
        for node in 0..NODES {
            let alive = self.nodes[node].alive.as_ref();
            let index = alive.map_or(0, |it| it.log.status().position.index);
            if index + 200 < last {
                self.violated(format!(
                    "node {node} stands at {index} after the calm, the log at {last}"
                ));
            }
        }
        let (blocks, pieces) = self.model.held();
        if blocks > 800 || pieces > 200 {
            self.violated(format!(
                "{blocks} blocks and {pieces} pieces stand in the engine"
            ));
        }
    }
}
