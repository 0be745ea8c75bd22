//! What a member wants done.

use std::time::Duration;

use diwan_raft::{Event as RaftEvent, Payload, Role, Time};
use diwan_replica::Outcome;

use crate::world::{ELECTION_TIMEOUT_MICROS, Event, World};
use crate::{group, machine};

impl World {
    /// Performs what the members of a node want done, one after the other.
    pub(crate) fn turn_all(&mut self, node: usize) {
        for group in self.all_groups() {
            self.turn(node, group);
        }
    }

    /// Performs what a member wants done.
    pub(crate) fn turn(&mut self, node: usize, group: usize) {
        let now = self.nodes[node].clock.local(self.now);
        if self.pause_of(node).is_some() {
            return;
        }
        if let Some(member) = self.nodes[node].member_mut(group) {
            member.group.advance(now);
        }
        loop {
            let Some(member) = self.nodes[node].member_mut(group) else {
                return;
            };
            let unknown_after = Duration::from_micros(2 * ELECTION_TIMEOUT_MICROS);
            let ready = member.group.ready(unknown_after, now);
            if ready.is_empty() {
                break;
            }
            let life = self.nodes[node].life;
            for event in ready.events {
                self.raft_event(node, group, event);
            }
            let it = &mut self.nodes[node];
            if let (Some(write), Some(alive)) = (&ready.write, &mut it.alive) {
                it.store.told.entry(group).or_default().asks(write);
                let snapshot = it.store.snapshots.get(&group);
                alive.members[group].note_configurations(write, snapshot);
            }
            if let Some(write) = ready.write {
                self.trace(&[2, node as u64, write.sequence, write.append.len() as u64]);
                if let Some(alive) = &mut self.nodes[node].alive {
                    alive.queue.push(group::wal_id(group), write);
                }
                self.start_sync(node);
            }
            for message in ready.messages {
                self.send(node, group, &message.to, message.token, message.body);
            }
            for read in ready.read_back {
                let delay = self.random.between(50, 3_000);
                self.after(
                    delay,
                    Event::ReadBack {
                        node,
                        group,
                        life,
                        purpose: read.purpose,
                        low: read.low,
                        high: read.high,
                        bytes_max: read.bytes_max,
                    },
                );
            }
            for peer in ready.offers {
                self.offer_snapshot(node, group, &peer);
            }
            if let Some(fetch) = ready.fetch {
                let from = self.place_of(&fetch.from);
                let delay = self.random.between(1_000, 400_000);
                self.after(
                    delay,
                    Event::Fetched {
                        node,
                        group,
                        life,
                        token: fetch.token,
                        from,
                    },
                );
            }
            self.apply(node, group, ready.apply);
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
        self.check_configuration(node, group);
        self.set_timer(node, group);
    }

    fn set_timer(&mut self, node: usize, group: usize) {
        let it = &self.nodes[node];
        let Some(member) = it.member(group) else {
            return;
        };
        let deadline = member.group.next_deadline();
        if deadline == Time::NEVER {
            return;
        }
        let at = it.clock.world(deadline).max(self.now + 1);
        if at != member.timer {
            self.arm(node, group, at);
        }
    }

    /// Has a member look at its timers then.
    pub(crate) fn arm(&mut self, node: usize, group: usize, at: u64) {
        let it = &mut self.nodes[node];
        let life = it.life;
        let Some(member) = it.member_mut(group) else {
            return;
        };
        member.timer = at;
        self.at(
            at,
            Event::Timer {
                node,
                group,
                life,
                at,
            },
        );
    }

    fn raft_event(&mut self, node: usize, group: usize, event: RaftEvent) {
        match event {
            RaftEvent::Role { role, term, .. } => {
                self.trace(&[3, node as u64, role as u64, term]);
                if role == Role::Leader {
                    self.counts.add("leaders elected");
                    if let Some(member) = self.nodes[node].member(group) {
                        let promises = &mut self.groups[group].promises;
                        let result = promises.leads(node, member.group.raft());
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
                if let Some(member) = self.nodes[node].member_mut(group) {
                    member.changing = false;
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

    fn apply(&mut self, node: usize, group: usize, apply: Vec<diwan_replica::Apply>) {
        let Some(last) = apply.last().map(|apply| apply.entry.id.index) else {
            return;
        };
        let member = self.nodes[node].member(group);
        let term = member.map_or(0, |member| member.group.raft().term());
        for diwan_replica::Apply { entry, ticket } in apply {
            let promises = &mut self.groups[group].promises;
            let result = promises.applies(node, term, &entry);
            self.check(result);
            if let Payload::Data(data) = &entry.payload {
                if self.group_of_key(machine::key(data)) != group {
                    self.violated(format!(
                        "node {node} applies what is another group's at {} of group {group}",
                        entry.id.index
                    ));
                }
                if let Some(member) = self.nodes[node].member_mut(group) {
                    member.machine.apply(data);
                }
            }
            if let Some(ticket) = ticket {
                self.finish_put(ticket, entry.id.index);
            }
        }
        let life = self.nodes[node].life;
        let member = self.nodes[node].member(group);
        let leads = member.is_some_and(|it| it.group.raft().role() == Role::Leader);
        if leads && self.options.hostile_elections && !self.in_calm() && self.random.permille(20) {
            let delay = self.random.below(3_000);
            self.after(delay, Event::Crash { node, life });
        }
        let slow = self.random.permille(100);
        if let Some(member) = self.nodes[node].member_mut(group) {
            member.applied = last;
            if !slow {
                member.group.applied(last);
            }
        }
        if slow {
            let delay = self.random.between(1, 20_000);
            self.after(
                delay,
                Event::Applied {
                    node,
                    group,
                    life,
                    index: last,
                },
            );
        } else {
            self.maybe_snapshot(node, group);
        }
    }
}
