use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{CallError, OwnedFrame};

/// Whether calls to a peer can go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PeerState {
    /// Nothing has been tried yet, or an attempt is under way: calls wait for it.
    Connecting = 0,
    /// Connected.
    Connected = 1,
    /// Not connected: calls fail until the next attempt succeeds.
    Down = 2,
    /// Closed for good.
    Closed = 3,
}

pub(super) type Reply = oneshot::Sender<Result<OwnedFrame, CallError>>;

pub(super) enum Command {
    Call {
        id: u32,
        frame: Vec<u8>,
        timeout: Duration,
        deadline: Instant,
        reply: Reply,
    },
    Oneway {
        frame: Vec<u8>,
    },
    /// Nobody waits for this call any more.
    Forget {
        id: u32,
    },
    Close,
}

#[derive(Debug)]
pub(super) struct PeerShared {
    pub(super) addr: SocketAddr,
    state: AtomicU8,
    next_id: AtomicU32,
    /// Calls sent or queued that have no answer yet.
    pub(super) calls: AtomicUsize,
    pub(super) calls_max: usize,
    /// Oneway requests that wait in the mailbox.
    pub(super) oneways: AtomicUsize,
}

impl PeerShared {
    pub(super) fn new(addr: SocketAddr, state: PeerState, calls_max: usize) -> Arc<Self> {
        Arc::new(Self {
            addr,
            state: AtomicU8::new(state as u8),
            next_id: AtomicU32::new(1),
            calls: AtomicUsize::new(0),
            calls_max,
            oneways: AtomicUsize::new(0),
        })
    }

    pub(super) fn set_state(&self, state: PeerState) {
        self.state.store(state as u8, Relaxed);
    }

    pub(super) fn next_id(&self) -> u32 {
        self.next_id.fetch_add(1, Relaxed)
    }
}

/// A handle on the other end of a connection, to be used from any thread and any runtime.
#[derive(Clone)]
pub struct Peer {
    pub(super) shared: Arc<PeerShared>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
}

impl Peer {
    /// Address of the other end.
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// Whether calls can go out now.
    pub fn state(&self) -> PeerState {
        match self.shared.state.load(Relaxed) {
            0 => PeerState::Connecting,
            1 => PeerState::Connected,
            2 => PeerState::Down,
            _ => PeerState::Closed,
        }
    }

    /// Calls that have no answer yet.
    pub fn calls_in_flight(&self) -> usize {
        self.shared.calls.load(Relaxed)
    }

    /// Sends the request that `write` puts into the buffer, whole frame with the id it is given, and waits for the
    /// answer for at most `timeout`. Dropping the returned future forgets the call.
    pub fn call(
        &self,
        timeout: Duration,
        write: impl FnOnce(&mut Vec<u8>, u32) -> Result<(), CallError>,
    ) -> Call {
        let (reply, answer) = oneshot::channel();
        let mut call = Call {
            id: 0,
            peer: self.clone(),
            answer,
            counted: true,
        };
        if self.shared.calls.fetch_add(1, Relaxed) >= self.shared.calls_max {
            let limit = self.shared.calls_max;
            let _ = reply.send(Err(CallError::TooManyCalls {
                addr: self.addr(),
                limit,
            }));
            return call;
        }
        call.id = self.shared.next_id();
        let mut frame = Vec::new();
        if let Err(error) = write(&mut frame, call.id) {
            let _ = reply.send(Err(error));
            return call;
        }
        let deadline = Instant::now() + timeout;
        let command = Command::Call {
            id: call.id,
            frame,
            timeout,
            deadline,
            reply,
        };
        if let Err(mpsc::error::SendError(Command::Call { reply, .. })) =
            self.commands.send(command)
        {
            let _ = reply.send(Err(self.closed()));
        }
        call
    }

    /// Sends a request that is never answered. It goes out when there is a connection and is lost otherwise.
    ///
    /// # Errors
    /// When the connection is closed for good, too many wait to be sent, or `write` fails.
    pub fn oneway(
        &self,
        write: impl FnOnce(&mut Vec<u8>, u32) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        let limit = self.shared.calls_max;
        if self.shared.oneways.load(Relaxed) >= limit {
            return Err(CallError::TooManyCalls {
                addr: self.addr(),
                limit,
            });
        }
        let mut frame = Vec::new();
        write(&mut frame, self.shared.next_id())?;
        self.shared.oneways.fetch_add(1, Relaxed);
        self.commands
            .send(Command::Oneway { frame })
            .map_err(|_| self.closed())
    }

    /// Closes the connection once what was sent before is written, and never connects again.
    pub fn close(&self) {
        let _ = self.commands.send(Command::Close);
    }

    fn closed(&self) -> CallError {
        CallError::NotConnected {
            addr: self.addr(),
            reason: "the connection is closed".into(),
        }
    }
}

/// A call that waits for its answer.
#[must_use = "a call does nothing for its caller unless it is awaited"]
pub struct Call {
    id: u32,
    peer: Peer,
    answer: oneshot::Receiver<Result<OwnedFrame, CallError>>,
    /// Whether the call still counts as in flight.
    counted: bool,
}

impl Future for Call {
    type Output = Result<OwnedFrame, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = std::task::ready!(Pin::new(&mut self.answer).poll(cx));
        self.counted = false;
        self.peer.shared.calls.fetch_sub(1, Relaxed);
        Poll::Ready(outcome.unwrap_or_else(|_| Err(self.peer.closed())))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.counted {
            self.peer.shared.calls.fetch_sub(1, Relaxed);
            let _ = self.peer.commands.send(Command::Forget { id: self.id });
        }
    }
}
