use std::net::SocketAddr;
use std::time::Duration;

use diwan_bolt::{Frame, Head};
use thiserror::Error;

use super::{Peer, Responder};

/// A request that came in.
pub struct Incoming<'a> {
    /// The request, borrowed from the receive buffer.
    pub frame: Frame<'a>,
    /// Answers it.
    pub responder: Responder,
    pub(super) session: &'a mut dyn PeerSource,
}

/// Where a handle on the other side can be had.
pub(super) trait PeerSource {
    fn peer(&mut self) -> Peer;
}

impl Incoming<'_> {
    /// A handle to call the requester on the same connection, now or later.
    pub fn peer(&mut self) -> Peer {
        self.session.peer()
    }
}

/// A frame that owns its bytes.
#[derive(Clone, Debug)]
pub struct OwnedFrame {
    head: Head,
    body: Vec<u8>,
    class_bytes: usize,
    header_bytes: usize,
}

impl OwnedFrame {
    pub(super) fn copy(frame: &Frame<'_>) -> Self {
        let mut body =
            Vec::with_capacity(frame.class.len() + frame.header.len() + frame.content.len());
        body.extend_from_slice(frame.class);
        body.extend_from_slice(frame.header);
        body.extend_from_slice(frame.content);
        Self {
            head: frame.head,
            body,
            class_bytes: frame.class.len(),
            header_bytes: frame.header.len(),
        }
    }

    /// The frame.
    pub fn frame(&self) -> Frame<'_> {
        let (class, rest) = self.body.split_at(self.class_bytes);
        let (header, content) = rest.split_at(self.header_bytes);
        Frame {
            head: self.head,
            class,
            header,
            content,
        }
    }
}

/// Why a call got no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// No connection; the request was not sent.
    #[error("{addr}: not connected: {reason}")]
    NotConnected {
        /// Of the server.
        addr: SocketAddr,
        /// What the last attempt said.
        reason: String,
    },
    /// The connection ended after the request was sent: whether it was carried out is unknown.
    #[error("{addr}: connection ended before the answer came: {reason}")]
    ConnectionClosed {
        /// Of the peer.
        addr: SocketAddr,
        /// Why it ended.
        reason: String,
    },
    /// No answer within the call's time: whether it was carried out is unknown.
    #[error("{addr}: no answer within {timeout:?}")]
    Timeout {
        /// Of the peer.
        addr: SocketAddr,
        /// What was allowed.
        timeout: Duration,
    },
    /// Too many calls wait for an answer; the request was not sent.
    #[error("{addr}: {limit} calls wait for an answer already")]
    TooManyCalls {
        /// Of the peer.
        addr: SocketAddr,
        /// How many may.
        limit: usize,
    },
    /// The peer does not read as fast as it is sent to; the request was not sent.
    #[error("{addr}: {bytes} bytes wait to be written already")]
    SendBufferFull {
        /// Of the peer.
        addr: SocketAddr,
        /// How many.
        bytes: usize,
    },
    /// The answer was larger than this side accepts.
    #[error("{addr}: the answer of {bytes} bytes is larger than {limit}")]
    ResponseTooLarge {
        /// Of the peer.
        addr: SocketAddr,
        /// Its size.
        bytes: u64,
        /// What is accepted.
        limit: usize,
    },
    /// The request cannot be put into a frame.
    #[error("the request cannot be sent: {0}")]
    Unsendable(String),
}

impl CallError {
    /// Whether it is certain that the peer never saw the request, so that repeating it elsewhere is safe.
    pub fn was_not_sent(&self) -> bool {
        matches!(
            self,
            Self::NotConnected { .. }
                | Self::TooManyCalls { .. }
                | Self::SendBufferFull { .. }
                | Self::Unsendable(_)
        )
    }
}
