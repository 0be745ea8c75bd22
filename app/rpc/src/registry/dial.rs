//! Which server is tried next, and when.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// After a connection has ended the next one is tried within this: all clients of a server that went down would come at once
/// otherwise. A registry's server keeps who comes back soon; Diwan's for 1.5 s.
const AFTER_LOSS_MAX: Duration = Duration::from_millis(100);
/// First and largest wait after all servers have failed.
const AFTER_ROUND: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What to do about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Find out which servers there are.
    Ask,
    /// Connect.
    Connect(SocketAddr),
}

/// Servers in the order in which they are tried.
#[derive(Debug, Default)]
pub(super) struct Dial {
    known: Vec<SocketAddr>,
    untried: VecDeque<SocketAddr>,
    /// Rounds that failed since there was a connection.
    rounds: u32,
}

impl Dial {
    pub(super) fn step(&mut self) -> Step {
        self.untried.pop_front().map_or(Step::Ask, Step::Connect)
    }

    /// Which servers there are. `random` decides where the round begins, so that clients spread.
    /// Without any, those known from before.
    pub(super) fn told(&mut self, servers: Vec<SocketAddr>, random: u64) {
        if !servers.is_empty() {
            self.known = servers;
        }
        self.untried = self.known.iter().copied().collect();
        let count = self.untried.len().max(1) as u64;
        self.untried.rotate_left((random % count) as usize);
    }

    pub(super) fn connected(&mut self) {
        self.rounds = 0;
    }

    /// The connection ended: the others are tried first. How long to wait.
    pub(super) fn lost(&mut self, addr: SocketAddr, random: u64) -> Duration {
        self.told(Vec::new(), random);
        self.untried.retain(|other| *other != addr);
        self.untried.push_back(addr);
        part(AFTER_LOSS_MAX, random)
    }

    /// An attempt failed, or nobody could be asked. How long to wait.
    pub(super) fn failed(&mut self, random: u64) -> Duration {
        if !self.untried.is_empty() {
            return Duration::ZERO;
        }
        let (first, largest) = AFTER_ROUND;
        let wait = (first * 2_u32.saturating_pow(self.rounds.min(16))).min(largest);
        self.rounds += 1;
        wait / 2 + part(wait / 2, random)
    }
}

fn part(of: Duration, random: u64) -> Duration {
    of.mul_f64((random >> 11) as f64 / (u64::MAX >> 11) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn after_a_loss_the_others_come_first_and_then_everybody_is_asked() {
        let mut dial = Dial::default();
        assert_eq!(dial.step(), Step::Ask);
        dial.told(vec![addr(1), addr(2), addr(3)], 1);
        assert_eq!(dial.step(), Step::Connect(addr(2)));
        dial.connected();
        assert!(dial.lost(addr(2), u64::MAX) <= AFTER_LOSS_MAX);
        let mut tried = vec![];
        while let Step::Connect(addr) = dial.step() {
            tried.push(addr);
        }
        assert_eq!(tried.len(), 3);
        assert_eq!(tried[2], addr(2));
    }

    #[test]
    fn waits_grow_to_five_seconds_and_a_known_server_is_tried_though_nobody_answers() {
        let mut dial = Dial::default();
        let waits: Vec<u128> = (0..7).map(|_| dial.failed(0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 2500, 2500]);
        assert_eq!(dial.failed(u64::MAX), Duration::from_secs(5));
        dial.told(vec![addr(1)], 7);
        assert_eq!(dial.step(), Step::Connect(addr(1)));
        dial.connected();
        assert_eq!(dial.failed(0).as_millis(), 100);
        dial.told(Vec::new(), 7);
        assert_eq!(dial.step(), Step::Connect(addr(1)));
    }
}
