//! The hash ring of the original, so that a key goes to the same server from every client
//! (`sofastack/sofa-rpc:core-impl/client/.../ConsistentHashLoadBalancer.java` and `HashUtils.java`).

use std::collections::BTreeMap;

/// Points of a server on the ring.
pub(super) const POINTS: u32 = 128;

/// Servers by the points they own.
#[derive(Debug, Default)]
pub(super) struct Ring {
    points: BTreeMap<u64, usize>,
}

impl Ring {
    /// A ring of servers, each with its name (host and port, nothing between) and number of points.
    pub(super) fn new<'a>(servers: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let mut points = BTreeMap::new();
        for (index, (name, count)) in servers.enumerate() {
            for round in 0..count / 4 {
                let digest = md5::compute(format!("{name}{round}"));
                for quarter in 0..4 {
                    points.insert(point(&digest, quarter), index);
                }
            }
        }
        Self { points }
    }

    /// The server that owns a key; `None` when the ring is empty.
    pub(super) fn owner(&self, key: &str) -> Option<usize> {
        let at = point(&md5::compute(key), 0);
        let next = self
            .points
            .range(at..)
            .next()
            .or_else(|| self.points.iter().next());
        next.map(|(_, index)| *index)
    }
}

fn point(digest: &[u8; 16], quarter: usize) -> u64 {
    let bytes = &digest[quarter * 4..quarter * 4 + 4];
    u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_with_its_server_when_another_leaves() {
        let names = ["10.0.0.112200", "10.0.0.212200", "10.0.0.312200"];
        let all = Ring::new(names.iter().map(|name| (*name, POINTS)));
        let two = Ring::new(names[..2].iter().map(|name| (*name, POINTS)));
        let mut counts = [0; 3];
        for key in 0..3000 {
            let owner = all.owner(&key.to_string()).unwrap();
            counts[owner] += 1;
            if owner < 2 {
                assert_eq!(two.owner(&key.to_string()), Some(owner), "key {key}");
            }
        }
        assert!(
            counts.iter().all(|count| (500..1600).contains(count)),
            "{counts:?}"
        );
        assert_eq!(Ring::default().owner("x"), None);
    }
}
