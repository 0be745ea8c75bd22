//! What the registry's nodes tell each other. This protocol is our own; it is in protocol buffers so that nodes of different
//! versions understand each other while one after the other is replaced.
//!
//! A node streams the registrations of its own clients to every other node, in the order of their numbers, one message at a time:
//! the [`NodesAnswer`] says up to where they are known. Now and then it adds [`Digest`]s of all it holds; what differs is asked for
//! and sent as [`Slot`]s.

use prost::Message;

/// The class that names a [`NodesMessage`] in a frame.
pub const NODES_CLASS: &str = "diwan.registry.Nodes";

/// A node in one of its lives.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Life {
    /// Its name.
    #[prost(string, tag = "1")]
    pub node: String,
    /// Higher with each start.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

/// A service.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Name {
    /// Its name.
    #[prost(string, tag = "1")]
    pub data_id: String,
    /// The tenant.
    #[prost(string, tag = "2")]
    pub instance_id: String,
    /// Its group.
    #[prost(string, tag = "3")]
    pub group: String,
}

/// One piece of what an instance publishes.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Item {
    /// Clients may publish nothing.
    #[prost(string, optional, tag = "1")]
    pub data: Option<String>,
}

/// What an instance publishes.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Instance {
    /// Its data.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Item>,
    /// The cell in which it runs.
    #[prost(string, tag = "2")]
    pub cell: String,
    /// How often its client changed it.
    #[prost(int64, tag = "3")]
    pub version: i64,
    /// When, by the client's clock.
    #[prost(int64, tag = "4")]
    pub timestamp: i64,
    /// It was published before its node started, and its client has not come back yet.
    #[prost(bool, tag = "5")]
    pub provisional: bool,
}

/// A client took back all that it had published up to this.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Withdrawn {
    /// As in [`Instance`].
    #[prost(int64, tag = "1")]
    pub version: i64,
    /// As in [`Instance`].
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// An instance is so now, or is gone.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Change {
    /// Its number among the changes of its origin.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The place of its service's name in the message.
    #[prost(uint32, tag = "2")]
    pub name: u32,
    /// The registration's name.
    #[prost(string, tag = "3")]
    pub id: String,
    /// None if it is gone.
    #[prost(message, optional, tag = "4")]
    pub instance: Option<Instance>,
    /// It is gone because its client said so.
    #[prost(message, optional, tag = "5")]
    pub withdrawn: Option<Withdrawn>,
}

/// All that a node knows of an origin's instances in a slot.
#[derive(Clone, PartialEq, Message)]
pub struct Slot {
    /// The origin.
    #[prost(message, optional, tag = "1")]
    pub origin: Option<Life>,
    /// Which slot.
    #[prost(uint32, tag = "2")]
    pub slot: u32,
    /// It contains all changes up to this number.
    #[prost(uint64, tag = "3")]
    pub number: u64,
    /// The instances.
    #[prost(message, repeated, tag = "4")]
    pub instances: Vec<Change>,
}

/// What a node knows of an origin, in short.
#[derive(Clone, PartialEq, Message)]
pub struct Digest {
    /// The origin.
    #[prost(message, optional, tag = "1")]
    pub origin: Option<Life>,
    /// It was heard of so many milliseconds ago.
    #[prost(uint64, tag = "2")]
    pub age_ms: u64,
    /// For each slot: all changes up to this number are known.
    #[prost(uint64, repeated, tag = "3")]
    pub numbers: Vec<u64>,
    /// For each slot: a sum over its instances.
    #[prost(fixed64, repeated, tag = "4")]
    pub sums: Vec<u64>,
}

/// How a node stands, as it says itself.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Standing {
    /// Who speaks.
    #[prost(message, optional, tag = "1")]
    pub life: Option<Life>,
    /// It has pushed lists to its clients for so many milliseconds; None before it does.
    #[prost(uint64, optional, tag = "2")]
    pub serving_ms: Option<u64>,
    /// Its clock, in milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub unix_ms: u64,
    /// The highest version that it has given.
    #[prost(int64, tag = "4")]
    pub version: i64,
    /// Where its clients connect, `ip:port`.
    #[prost(string, tag = "5")]
    pub address: String,
    /// All that the living nodes knew so many milliseconds ago it knows.
    #[prost(uint64, tag = "6")]
    pub heard_ms: u64,
}

/// From one node to another.
#[derive(Clone, PartialEq, Message)]
pub struct NodesMessage {
    /// Who speaks.
    #[prost(message, optional, tag = "1")]
    pub standing: Option<Standing>,
    /// The changes follow the one with this number.
    #[prost(uint64, tag = "2")]
    pub after: u64,
    /// They are all up to this number.
    #[prost(uint64, tag = "3")]
    pub up_to: u64,
    /// There are more changes than these already.
    #[prost(bool, tag = "4")]
    pub more: bool,
    /// The services that changes and slots are of.
    #[prost(message, repeated, tag = "5")]
    pub names: Vec<Name>,
    /// Changes of its own instances.
    #[prost(message, repeated, tag = "6")]
    pub changes: Vec<Change>,
    /// What the other one asked for.
    #[prost(message, repeated, tag = "7")]
    pub slots: Vec<Slot>,
    /// Of all origins, after the changes.
    #[prost(message, repeated, tag = "8")]
    pub digests: Vec<Digest>,
}

/// Slots that differ.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Wanted {
    /// Of which origin.
    #[prost(message, optional, tag = "1")]
    pub origin: Option<Life>,
    /// Which.
    #[prost(uint32, repeated, tag = "2")]
    pub slots: Vec<u32>,
}

/// The answer to a [`NodesMessage`].
#[derive(Clone, PartialEq, Message)]
pub struct NodesAnswer {
    /// Who answers.
    #[prost(message, optional, tag = "1")]
    pub standing: Option<Standing>,
    /// It knows all changes of the other one up to this number.
    #[prost(uint64, tag = "2")]
    pub known: u64,
    /// It does not know these, or knows something else.
    #[prost(message, repeated, tag = "3")]
    pub wanted: Vec<Wanted>,
}
