//! Nodes that ping each other, so that idle groups may be silent.

use std::time::Duration;

use diwan_raft::Time;
use diwan_replica::Liveness;

use crate::world::{ELECTION_TIMEOUT_MICROS, Event, World};

const TICK_MICROS: u64 = ELECTION_TIMEOUT_MICROS / 8;

/// A ping or its answer on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ping {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// When the ping left, by the clock of who sent it, and in which life.
    sent: Time,
    life: u64,
    /// Of an answer: the life of who answers.
    answer: Option<u64>,
}

impl World {
    /// So many operations of busy clients, or what clients who take their time do meanwhile.
    pub(crate) fn busy(&self, operations: u64) -> u64 {
        match self.options.idles {
            true => operations / 10,
            false => operations,
        }
    }

    /// What a node that starts knows of the others: nothing.
    pub(crate) fn new_liveness(&self, node: usize, now: Time) -> Liveness<usize> {
        let mut liveness = Liveness::new(Duration::from_micros(ELECTION_TIMEOUT_MICROS));
        liveness.watch((0..self.nodes.len()).filter(|other| *other != node), now);
        liveness
    }

    /// Time to look after the others.
    pub(crate) fn watch(&mut self, node: usize, life: u64) {
        if self.nodes[node].life != life {
            return;
        }
        if let Some(until) = self.pause_of(node) {
            return self.at(until, Event::Watch { node, life });
        }
        self.after(TICK_MICROS, Event::Watch { node, life });
        let it = &mut self.nodes[node];
        let now = it.clock.local(self.now);
        let Some(alive) = &mut it.alive else { return };
        let (ping, _) = alive.liveness.advance(now);
        self.tell_who_answers(node);
        for to in ping {
            self.send_ping(Ping {
                from: node,
                to,
                sent: now,
                life,
                answer: None,
            });
        }
    }

    fn send_ping(&mut self, ping: Ping) {
        let (from, to) = match ping.answer {
            None => (ping.from, ping.to),
            Some(_) => (ping.to, ping.from),
        };
        for delay in self.network.arrivals(from, to, &mut self.random) {
            self.after(delay, Event::Ping(ping));
        }
    }

    pub(crate) fn ping_arrives(&mut self, ping: Ping) {
        let at = match ping.answer {
            None => ping.to,
            Some(_) => ping.from,
        };
        if let Some(until) = self.pause_of(at) {
            return self.at(until, Event::Ping(ping));
        }
        let it = &mut self.nodes[at];
        let now = it.clock.local(self.now);
        let Some(alive) = &mut it.alive else { return };
        let Some(incarnation) = ping.answer else {
            let answer = Some(it.life);
            return self.send_ping(Ping { answer, ..ping });
        };
        // An answer finds nobody after a restart.
        if it.life == ping.life
            && alive
                .liveness
                .answered(&ping.to, Some(incarnation), ping.sent, now)
        {
            self.tell_who_answers(at);
        }
    }

    fn tell_who_answers(&mut self, node: usize) {
        for group in self.all_groups() {
            self.tell_member_who_answers(node, group);
        }
    }

    fn tell_member_who_answers(&mut self, node: usize, group: usize) {
        let Some(alive) = &self.nodes[node].alive else {
            return;
        };
        let members = alive.members[group].group.raft().configuration().members();
        let places = members.iter().map(|member| self.place_of(member));
        let all = places
            .filter(|place| *place != node)
            .all(|place| alive.liveness.answers(&place));
        let now = self.nodes[node].clock.local(self.now);
        let Some(member) = self.nodes[node].member_mut(group) else {
            return;
        };
        let quiesced = member.group.raft().is_quiesced();
        member.group.advance(now);
        member.group.raft_mut().nodes_answer(all);
        if quiesced {
            self.counts.add(match all {
                true => "looks at silent members",
                false => "silent members woken by a silent node",
            });
        }
        self.turn(node, group);
    }
}
