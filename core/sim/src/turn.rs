//! What a member wants done.

use diwan_raft::{Event as RaftEvent, Payload, Role, Time};
use diwan_replica::Outcome;

use crate::store::GROUP;
use crate::world::{ELECTION_TIMEOUT_MICROS, Event, World};

impl World {
    /// Performs what a member wants done.
    pub(crate) fn turn(&mut self, node: usize) {
        let now = self.nodes[node].clock.local(self.now);
        if self.nodes[node].paused_until > self.now {
            return;
        }
        if let Some(alive) = &mut self.nodes[node].alive {
            alive.group.advance(now);
        }
        loop {
            let Some(alive) = &mut self.nodes[node].alive else {
                return;
            };
            let ready = alive.group.ready(
                std::time::Duration::from_micros(2 * ELECTION_TIMEOUT_MICROS),
                now,
            );
            if ready.is_empty() {
                break;
            }
            let life = self.nodes[node].life;
            for event in ready.events {
                self.raft_event(node, event);
            }
            let it = &mut self.nodes[node];
            if let (Some(write), Some(alive)) = (&ready.write, &mut it.alive) {
                alive.note_configurations(write, it.store.snapshot.as_ref());
            }
            if let Some(write) = ready.write {
                self.trace(&[2, node as u64, write.sequence, write.append.len() as u64]);
                if let Some(alive) = &mut self.nodes[node].alive {
                    alive.queue.push(GROUP, write);
                }
                self.start_sync(node);
            }
            for message in ready.messages {
                self.send(node, &message.to, message.token, message.body);
            }
            for read in ready.read_back {
                let delay = self.random.between(50, 3_000);
                self.after(
                    delay,
                    Event::ReadBack {
                        node,
                        life,
                        purpose: read.purpose,
                        low: read.low,
                        high: read.high,
                        bytes_max: read.bytes_max,
                    },
                );
            }
            for peer in ready.offers {
                let snapshot = self.nodes[node].store.snapshot.clone();
                if let Some(alive) = &mut self.nodes[node].alive {
                    match snapshot {
                        Some(snapshot) => {
                            self.counts.add("snapshots offered");
                            alive.group.raft_mut().offer_snapshot(
                                &peer,
                                snapshot.meta,
                                "remote://sim/1".into(),
                            );
                        }
                        None => alive.group.raft_mut().snapshot_refused(&peer),
                    }
                }
            }
            if let Some(fetch) = ready.fetch {
                let from = self.place_of(&fetch.from);
                let delay = self.random.between(1_000, 400_000);
                self.after(
                    delay,
                    Event::Fetched {
                        node,
                        life,
                        token: fetch.token,
                        from,
                    },
                );
            }
            self.apply(node, ready.apply);
            for (ticket, outcome) in ready.outcomes {
                match outcome {
                    Outcome::NotCommitted => self.finish_failed(ticket),
                    Outcome::Unknown => self.finish_unknown(ticket),
                    Outcome::Committed(_) => {}
                }
            }
            for (context, outcome) in ready.reads {
                match outcome {
                    Ok(()) => self.finish_read(node, context),
                    Err(_) => self.finish_failed(context),
                }
            }
        }
        self.check_configuration(node);
        self.set_timer(node);
    }

    fn set_timer(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        let Some(alive) = &mut it.alive else { return };
        let deadline = alive.group.next_deadline();
        if deadline == Time::NEVER {
            return;
        }
        let at = it.clock.world(deadline).max(self.now + 1);
        if at != alive.timer {
            alive.timer = at;
            let life = it.life;
            self.at(at, Event::Timer { node, life, at });
        }
    }

    fn raft_event(&mut self, node: usize, event: RaftEvent) {
        match event {
            RaftEvent::Role { role, term, .. } => {
                self.trace(&[3, node as u64, role as u64, term]);
                if role == Role::Leader {
                    self.counts.add("leaders elected");
                    if let Some(alive) = &self.nodes[node].alive {
                        let result = self.promises.leads(node, alive.group.raft());
                        self.check(result);
                    }
                }
            }
            RaftEvent::Configuration { configuration, .. } => {
                let name = if configuration.is_joint() {
                    "joint configurations"
                } else {
                    "configurations"
                };
                self.counts.add(name);
            }
            RaftEvent::ChangeEnded(result) => {
                if let Some(alive) = &mut self.nodes[node].alive {
                    alive.changing = false;
                }
                self.counts.add(match result {
                    Ok(()) => "membership changes completed",
                    Err(_) => "membership changes failed",
                });
            }
            RaftEvent::TransferFailed(_) => self.counts.add("transfers failed"),
            RaftEvent::Leading { .. } => {}
        }
    }

    fn apply(&mut self, node: usize, apply: Vec<diwan_replica::Apply>) {
        let Some(last) = apply.last().map(|apply| apply.entry.id.index) else {
            return;
        };
        let alive = self.nodes[node].alive.as_ref();
        let term = alive.map_or(0, |alive| alive.group.raft().term());
        for diwan_replica::Apply { entry, ticket } in apply {
            let result = self.promises.applies(node, term, &entry);
            self.check(result);
            if let (Some(alive), Payload::Data(data)) =
                (&mut self.nodes[node].alive, &entry.payload)
            {
                alive.machine.apply(data);
            }
            if let Some(ticket) = ticket {
                self.finish_put(ticket, entry.id.index);
            }
        }
        let life = self.nodes[node].life;
        let leads = self.nodes[node]
            .alive
            .as_ref()
            .is_some_and(|it| it.group.raft().role() == Role::Leader);
        if leads && self.options.hostile_elections && !self.in_calm() && self.random.permille(20) {
            let delay = self.random.below(3_000);
            self.after(delay, Event::Crash { node, life });
        }
        let slow = self.random.permille(100);
        if let Some(alive) = &mut self.nodes[node].alive {
            alive.applied = last;
            if !slow {
                alive.group.applied(last);
            }
        }
        if slow {
            let delay = self.random.between(1, 20_000);
            self.after(
                delay,
                Event::Applied {
                    node,
                    life,
                    index: last,
                },
            );
        } else {
            self.maybe_snapshot(node);
        }
    }
}
