//! Bolt connections: a server's, a client's, and calls in both directions on either.

mod call;
mod client;
mod opening;
mod options;
mod peer;
mod responder;
mod session;

use std::rc::Rc;
use std::sync::Arc;

pub use call::{CallError, Incoming, OwnedFrame};
pub use client::{Client, ClientEvent, ClientEvents};
pub use opening::{Opening, OpeningFactory};
pub use options::{ClientOptions, SessionOptions};
pub use peer::{Call, Peer, PeerState};
pub use responder::Responder;

use crate::{Connection, Protocol, ProtocolWorker, Recognition, Session};

/// Serves the requests that come in on Bolt connections of one worker thread.
pub trait Handler {
    /// Answers one request, at once or later, through its [`Responder`]. The frame is only borrowed.
    fn request(&self, incoming: Incoming<'_>);

    /// A response to a request that no [`Peer`] has sent: of a handler that writes requests to the connection itself, and
    /// waits for their answers in its own way. Whether it is its.
    fn response(&self, frame: &diwan_bolt::Frame<'_>) -> bool {
        let _ = frame;
        false
    }

    /// The handler of one new connection of a server, for one that keeps something with each connection; without it this
    /// one serves them all.
    fn for_connection(&self) -> Option<Rc<dyn Handler>> {
        None
    }
}

/// Makes the handler of each worker.
pub type HandlerFactory = Arc<dyn Fn() -> Rc<dyn Handler> + Send + Sync>;

/// Bolt on a [`Server`](crate::Server)'s port.
pub struct Bolt {
    handler: HandlerFactory,
    options: SessionOptions,
}

impl Bolt {
    /// Bolt with the requests answered by what `handler` makes on each worker.
    pub fn new(handler: HandlerFactory, options: SessionOptions) -> Arc<Self> {
        Arc::new(Self { handler, options })
    }
}

impl Protocol for Bolt {
    fn recognize(&self, first: &[u8]) -> Recognition {
        // Protocol 1 has its type byte second, protocol 2 its version.
        match first {
            [1] | [2] => Recognition::More,
            [1, 0..=2, ..] | [2, 1..=2, ..] => Recognition::Yes,
            _ => Recognition::No,
        }
    }

    fn worker(&self) -> Box<dyn ProtocolWorker> {
        Box::new(BoltWorker {
            handler: (self.handler)(),
            options: self.options,
        })
    }
}

struct BoltWorker {
    handler: Rc<dyn Handler>,
    options: SessionOptions,
}

impl ProtocolWorker for BoltWorker {
    fn open(&self, connection: Rc<Connection>) -> Box<dyn Session> {
        let own = self.handler.for_connection();
        Box::new(session::BoltSession::server(
            connection,
            own.unwrap_or_else(|| self.handler.clone()),
            self.options,
        ))
    }
}
