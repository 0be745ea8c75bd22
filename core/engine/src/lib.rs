//! A log on an engine that a company already operates: etcd, or a database that speaks PostgreSQL's wire. The protocol is pure:
//! it asks the engine by [`Request`]s, whose replies may be lost or late, and holds on to no clock but the one it is given.

mod ask;

pub use ask::{Failure, Head, Reply, Request, Seen, VALUE_BYTES_MAX};
