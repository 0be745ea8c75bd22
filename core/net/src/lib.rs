//! The network of a node: worker threads, listeners, connections, TLS, limits and drain.
//!
//! A protocol is a [`Session`]: bytes in, bytes into an [`Outbox`], no sockets. The driver of this crate reads,
//! hands over what came, and writes everything that is ready in one vectored write. Every connection lives on one
//! single-threaded worker, so nothing on the path of a message takes a lock. [`Server`] accepts, [`bolt::Client`]
//! dials; [`bolt`] has the one protocol that both ends share so far.

pub mod bolt;
mod close;
mod connection;
mod driver;
mod inbox;
mod outbox;
mod room;
mod server;
mod session;
mod stats;
mod stream;
mod tls;
mod workers;

pub use close::CloseReason;
pub use connection::{Connection, ConnectionLimits};
pub use outbox::Outbox;
pub use server::{Server, ServerOptions};
pub use session::{Protocol, ProtocolWorker, Received, Recognition, Session};
pub use stats::Stats;
pub use tls::{ClientTls, ServerTls, TlsError};
pub use workers::Workers;
