use std::rc::Rc;
use std::task::Context;

use tokio::time::Instant;

use crate::{CloseReason, Connection};

/// What a session did with the bytes it was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes of whole frames that were taken.
    pub consumed: usize,
    /// Length, from the first byte not consumed, that the next frame has at least; 0 when unknown.
    pub wanted: usize,
    /// Bytes behind the input that belong to a refused frame: read and thrown away.
    pub skip: u64,
}

/// A protocol on one connection. It never touches the socket: it is shown bytes and appends to the connection's
/// [`Outbox`](crate::Outbox). All calls come from the connection's own worker thread.
pub trait Session {
    /// Takes every whole frame at the front of `input`.
    ///
    /// # Errors
    /// When framing is lost; the connection is then closed.
    fn receive(&mut self, input: &[u8]) -> Result<Received, CloseReason>;

    /// Does what is not caused by received bytes: commands from other threads, timers. Called at every turn of the
    /// connection. Returns when it wants to be called at the latest.
    ///
    /// # Errors
    /// When the connection is to be closed.
    fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<Option<Instant>, CloseReason>;

    /// The connection is about to be closed from this side: what is appended to the outbox now is its last word.
    fn finish(&mut self) {}

    /// Whether calls of this side still wait for an answer.
    fn has_calls_out(&self) -> bool;

    /// The connection is gone.
    fn closed(&mut self, reason: &CloseReason);
}

/// Whether the first bytes of a connection belong to a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// They do.
    Yes,
    /// They do not.
    No,
    /// Not enough bytes to tell.
    More,
}

/// A protocol that a [`Server`](crate::Server) offers on its port.
pub trait Protocol: Send + Sync + 'static {
    /// Looks at the first bytes of a connection, of which there is at least one.
    fn recognize(&self, first: &[u8]) -> Recognition;

    /// Makes the part that lives on one worker thread; called once on each.
    fn worker(&self) -> Box<dyn ProtocolWorker>;
}

/// A protocol on one worker thread.
pub trait ProtocolWorker {
    /// Starts a session.
    fn open(&self, connection: Rc<Connection>) -> Box<dyn Session>;
}
