//! What a world is like.

use std::time::Duration;

/// What a world is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// Simulated minutes with faults; a calm phase follows.
    pub minutes: u64,
    /// Machines that exist; three or five of them are members at first.
    pub nodes: usize,
    /// Groups that every node hosts, at least one. Where there are several they share each node's log, its disk and its packets.
    pub groups: usize,
    /// Followers may learn so much later what is committed.
    pub commit_delay: Duration,
    /// Whether leaders answer reads from their leases.
    pub lease_reads: bool,
    /// Whether elections go wrong all the time, and entries travel one by one.
    pub hostile_elections: bool,
    /// Whether members change all the time, and the group falls apart while they do.
    pub hostile_changes: bool,
    /// Whether clients take their time, and nodes watch each other so that an idle group may be silent.
    pub idles: bool,
    /// What puts carry beside key and value: large ones fill disks.
    pub padding_bytes: usize,
    /// Largest clock error in parts per million.
    pub drift_ppm: u64,
    /// Old bugs that are to be present.
    #[cfg(feature = "museum")]
    pub bugs: diwan_raft::museum::Bugs,
    /// Whether the log trusts what a failed sync left in the page cache.
    #[cfg(feature = "museum")]
    pub trusts_page_cache: bool,
}

impl Options {
    /// A world as the tests use it: everything but the seed at its usual value.
    pub fn new(seed: u64) -> Self {
        // As on Diwan's nodes, and as on JRaft's.
        let (groups, commit_delay_ms) = if seed % 13 == 4 { (3, 2) } else { (1, 0) };
        Self {
            seed,
            minutes: 2,
            nodes: 6,
            groups,
            commit_delay: Duration::from_millis(commit_delay_ms),
            lease_reads: seed.is_multiple_of(3),
            hostile_elections: seed % 4 == 1,
            hostile_changes: seed % 8 == 3,
            idles: seed % 8 == 7,
            padding_bytes: if seed % 4 == 2 { 1_500 } else { 0 },
            drift_ppm: 10_000,
            #[cfg(feature = "museum")]
            bugs: diwan_raft::museum::Bugs::default(),
            #[cfg(feature = "museum")]
            trusts_page_cache: false,
        }
    }
}
