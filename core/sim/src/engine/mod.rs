//! A simulated engine with nodes whose logs stand in it: requests and replies get lost, come late and twice, the engine is away or
//! full, nodes die, and stop for longer than their lease while others take over.

mod model;
mod world;

pub use model::Model;
pub use world::run;

/// What is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The engine appends what a former owner sends.
    AppendsOfFormerOwners,
    /// The engine appends in any place.
    AppendsAnywhere,
    /// The engine makes a snapshot the log's whatever that was.
    SealsOverAny,
    /// The engine deletes the pieces of all snapshots but one, also of one that is still on its way.
    CleansOtherSnapshots,
    /// That no reply came is taken for a refusal.
    UnknownIsNo,
    /// The engine tells how a log stood some time ago.
    OldLooks,
    /// Reads are answered as soon as the engine has confirmed the owner, from what that has applied.
    ReadsWithoutBarrier,
    /// Nodes that follow take the log for theirs before the lease has ended, and owners trust their leases.
    ShortLeases,
}

/// Which world.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// None in a world that is to hold.
    pub flaw: Option<Flaw>,
}
