use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use super::endpoint::Endpoint;
use super::ring::{POINTS, Ring};

/// How the server of a call is chosen, by the names of the original.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balancer {
    /// By chance, in proportion to the weights.
    Random,
    /// By chance among the servers of this host, if it has any.
    LocalPref,
    /// One after the other, for each method.
    RoundRobin,
    /// One after the other, each as often as its weight says.
    WeightRoundRobin,
    /// By the hash of the first argument.
    ConsistentHash,
    /// By the hash of the first argument, in proportion to the weights.
    WeightConsistentHash,
    /// What the dynamic configuration says; random while there is none.
    #[default]
    Auto,
}

impl Balancer {
    /// Whether the choice depends on the first argument.
    pub(super) fn wants_key(self) -> bool {
        matches!(self, Self::ConsistentHash | Self::WeightConsistentHash)
    }
}

/// A balancer with what it remembers between calls of one consumer.
#[derive(Default)]
pub(super) struct Balance {
    turns: Mutex<HashMap<String, AtomicUsize>>,
    ring: Mutex<Option<(Vec<Member>, Arc<Ring>)>>,
}

/// A server on the ring: its name and how many points it has.
type Member = (String, u32);

impl Balance {
    /// The server for a call of `method`; `candidates` is not empty.
    pub(super) fn select<'e>(
        &self,
        balancer: Balancer,
        method: &str,
        key: &str,
        candidates: &'e [Arc<Endpoint>],
        now: SystemTime,
    ) -> &'e Arc<Endpoint> {
        if let [only] = candidates {
            return only;
        }
        let index = match balancer {
            Balancer::Random | Balancer::Auto => weighted(&weights(candidates, now), random()),
            Balancer::LocalPref => local(candidates, now),
            Balancer::RoundRobin => self.turn(method) % candidates.len(),
            Balancer::WeightRoundRobin => in_turn(&weights(candidates, now), self.turn(method)),
            Balancer::ConsistentHash => self.owner(candidates, key, |_| POINTS),
            Balancer::WeightConsistentHash => self.owner(candidates, key, |endpoint| {
                32 * endpoint.weight(now).min(10_000)
            }),
        };
        &candidates[index]
    }

    fn turn(&self, method: &str) -> usize {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(method) {
            return turn.fetch_add(1, Relaxed);
        }
        turns.insert(method.to_owned(), AtomicUsize::new(1));
        0
    }

    fn owner(
        &self,
        candidates: &[Arc<Endpoint>],
        key: &str,
        points: impl Fn(&Endpoint) -> u32,
    ) -> usize {
        let members: Vec<Member> = candidates
            .iter()
            .map(|endpoint| {
                let provider = &endpoint.provider;
                (
                    format!("{}{}", provider.host, provider.addr.port()),
                    points(endpoint),
                )
            })
            .collect();
        let mut kept = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = match &*kept {
            Some((known, ring)) if *known == members => ring.clone(),
            _ => {
                let ring = Arc::new(Ring::new(
                    members
                        .iter()
                        .map(|(name, points)| (name.as_str(), *points)),
                ));
                *kept = Some((members, ring.clone()));
                ring
            }
        };
        ring.owner(key).unwrap_or(0)
    }
}

fn weights(candidates: &[Arc<Endpoint>], now: SystemTime) -> Vec<u32> {
    candidates
        .iter()
        .map(|endpoint| endpoint.weight(now))
        .collect()
}

/// The index that a random number falls on when each has its weight; all alike when there is no weight at all.
fn weighted(weights: &[u32], random: u64) -> usize {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if total == 0 {
        return (random % weights.len() as u64) as usize;
    }
    let mut offset = random % total;
    for (index, weight) in weights.iter().enumerate() {
        match offset.checked_sub(u64::from(*weight)) {
            Some(rest) => offset = rest,
            None => return index,
        }
    }
    weights.len() - 1
}

/// The index of a turn when in each round the servers take turns until each has had as many as its weight: the first
/// column holds everyone, the last only the heaviest
/// (`sofastack/sofa-rpc:core-impl/client/.../WeightRoundRobinLoadBalancer.java`).
fn in_turn(weights: &[u32], turn: usize) -> usize {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if total == 0 || weights.windows(2).all(|pair| pair[0] == pair[1]) {
        return turn % weights.len();
    }
    let mut place = turn as u64 % total;
    let mut sorted = weights.to_vec();
    sorted.sort_unstable();
    let mut level = 0;
    // Between two neighbouring weights the columns are alike: skip them in one step.
    for (lighter, &weight) in sorted.iter().enumerate() {
        let width = (sorted.len() - lighter) as u64;
        let block = width * u64::from(weight - level);
        if place < block {
            let column = (place % width) as usize;
            let present = weights
                .iter()
                .enumerate()
                .filter(|(_, own)| **own >= weight);
            return present.map(|(index, _)| index).nth(column).unwrap_or(0);
        }
        place -= block;
        level = weight;
    }
    0
}

fn local(candidates: &[Arc<Endpoint>], now: SystemTime) -> usize {
    let here: Vec<usize> = (0..candidates.len())
        .filter(|&index| is_local(candidates[index].provider.addr.ip()))
        .collect();
    let all = weights(candidates, now);
    if here.is_empty() {
        return weighted(&all, random());
    }
    let those: Vec<u32> = here.iter().map(|&index| all[index]).collect();
    here[weighted(&those, random())]
}

fn is_local(ip: IpAddr) -> bool {
    static OWN: OnceLock<Mutex<HashMap<IpAddr, bool>>> = OnceLock::new();
    if ip.is_loopback() {
        return true;
    }
    let mut known = OWN
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    // Only an address of this host can be bound.
    *known
        .entry(ip)
        .or_insert_with(|| std::net::UdpSocket::bind((ip, 0)).is_ok())
}

pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_follows_the_weights() {
        let weights = [100, 0, 300];
        let mut counts = [0; 3];
        for number in 0..400 {
            counts[weighted(&weights, number)] += 1;
        }
        assert_eq!(counts, [100, 0, 300]);
        assert_eq!(weighted(&[0, 0], 3), 1);
    }

    /// The order of the original for weights 1, 3, 2: columns of everyone, then of those with weight left.
    #[test]
    fn weighted_turns_go_in_the_order_of_the_original() {
        let order: Vec<usize> = (0..12).map(|turn| in_turn(&[1, 3, 2], turn)).collect();
        assert_eq!(order, [0, 1, 2, 1, 2, 1, 0, 1, 2, 1, 2, 1]);
        let alike: Vec<usize> = (0..4).map(|turn| in_turn(&[5, 5], turn)).collect();
        assert_eq!(alike, [0, 1, 0, 1]);
    }
}
