//! The beginning of a node: nothing is pushed before it knows what others know, or goes on from what it knew itself.

use std::collections::BTreeSet;
use std::time::Duration;

use super::boundary::{Now, Publication};
use super::instance::{Copy, Owner};
use super::registry::{Registry, Timer};

/// A registry that has just begun.
#[derive(Debug)]
pub(super) struct Starting {
    pub(super) since: Duration,
    /// What was published when it ended the last time.
    pub(super) recovered: Vec<Publication>,
}

impl Registry {
    /// Lists are pushed as soon as this node knows what living nodes know; if there is none, what it knew when it ended counts
    /// until clients confirm it.
    pub(super) fn check_start(&mut self, now: Now) {
        let Some(starting) = &self.starting else {
            return;
        };
        let age = now.monotonic.saturating_sub(starting.since);
        let serving: Vec<(Duration, bool)> = self
            .nodes
            .values()
            .filter_map(|node| Some((node.serving??, node.synced)))
            .collect();
        let waited =
            age >= self.config.start_wait || self.nodes.values().all(|node| node.serving.is_some());
        let adopt = match serving.is_empty() {
            true if waited => true,
            // They may know less than this one did, if they have only just begun themselves.
            false if waited && serving.iter().all(|(_, synced)| *synced) => {
                serving.iter().any(|(since, _)| *since < self.config.lease)
            }
            _ if age >= self.config.start_max => true,
            _ => return,
        };
        let Some(starting) = self.starting.take() else {
            return;
        };
        if adopt {
            self.adopt(starting.recovered, now);
        }
        self.serving_since = now.monotonic;
        self.pump_all(now);
    }

    /// Instances of an earlier life count as long as a lost node's, unless they are known already.
    fn adopt(&mut self, recovered: Vec<Publication>, now: Now) {
        let until = now.monotonic + self.config.lease;
        let mut services = BTreeSet::new();
        for publication in recovered {
            let service = self.service(&publication.service);
            let copy = Copy {
                provisional: true,
                ..self.own_copy(&publication, Owner::Grace(until))
            };
            let shown = self.services[service].shown(&publication.id);
            if shown.is_some_and(|shown| shown.edition >= copy.edition) {
                continue;
            }
            self.put(service, &publication.id, copy, now);
            services.insert(service);
        }
        for service in services {
            self.set_timer(until, Timer::Grace(service));
        }
    }
}
