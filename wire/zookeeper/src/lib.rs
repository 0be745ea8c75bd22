//! What a ZooKeeper client and its server say to each other, as far as a registry of services needs it: sessions, nodes that
//! live as long as their session, and watched lists of children. A packet is a length and a record in Jute; the first one each
//! way is a [`ConnectRequest`] and a [`ConnectResponse`], later ones are [`Request`]s, and [`Incoming`] whose bodies are
//! [`Response`]s. What they mean is the client's (`diwan-rpc`).
//!
//! Records and numbers: apache/zookeeper:zookeeper-jute/src/main/resources/zookeeper.jute and
//! zookeeper-server/src/main/java/org/apache/zookeeper/{ZooDefs,KeeperException,ClientCnxn}.java.
//! Data, access lists, transactions, SASL, and setWatches are not here: who lists again after a reconnect watches again.

mod error;
#[doc(hidden)]
pub mod fuzz;
mod jute;
mod message;
mod packet;

pub use error::{DecodeError, ErrorCode};
pub use jute::{Buffer, ELEMENTS_MAX, Record};
pub use message::{
    Acl, ConnectRequest, ConnectResponse, CreateRequest, DeleteRequest, Incoming, Op, PathRequest,
    ReplyHeader, Request, Response, Stat, WatcherEvent,
};
pub use packet::{next_packet, write_packet};
