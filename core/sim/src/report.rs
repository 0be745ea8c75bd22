//! What a run tells.

use std::collections::BTreeMap;
use std::fmt;

/// What the checks found wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("after {seconds}.{micros:06} s: {what}")]
pub struct Violation {
    /// Simulated seconds since the start.
    pub seconds: u64,
    /// And microseconds.
    pub micros: u64,
    /// What is wrong.
    pub what: String,
}

/// How often everything happened, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// One more.
    pub fn add(&mut self, name: &'static str) {
        self.add_many(name, 1);
    }

    /// Some more; with 0 the name is at least listed.
    pub fn add_many(&mut self, name: &'static str, count: u64) {
        *self.0.entry(name).or_default() += count;
    }

    /// How often `name` happened.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Everything, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(name, count)| (*name, *count))
    }

    /// Adds what another run counted.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in other.iter() {
            self.add_many(name, count);
        }
    }
}

/// What became of one world.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed it followed from.
    pub seed: u64,
    /// A hash of everything that happened, in order.
    pub digest: u64,
    /// How long it lived, in simulated microseconds.
    pub lived_micros: u64,
    /// Events and faults.
    pub counts: Counts,
    /// The first thing that was wrong, if anything was.
    pub violation: Option<Violation>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {} lived {} s",
            self.seed,
            self.lived_micros / 1_000_000
        )?;
        for (name, count) in self.counts.iter() {
            writeln!(f, "  {count:>10} {name}")?;
        }
        if let Some(violation) = &self.violation {
            writeln!(f, "VIOLATION {violation}")?;
        }
        write!(f, "digest {:016x}", self.digest)
    }
}
