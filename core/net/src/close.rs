use std::io;
use std::time::Duration;

use thiserror::Error;

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum CloseReason {
    /// The peer closed it between two frames.
    #[error("closed by the peer")]
    Peer,
    /// The peer closed it inside a frame.
    #[error("closed by the peer inside a frame, {bytes} bytes into it")]
    PeerInFrame {
        /// How much of the frame had come.
        bytes: usize,
    },
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The bytes are no frame of the protocol; nothing after them can be trusted.
    #[error("framing lost: {0}")]
    Framing(String),
    /// No protocol of this port begins with these bytes.
    #[error("no protocol of this port begins with {0:02x?}")]
    UnknownProtocol(Vec<u8>),
    /// Nothing was read or written for long.
    #[error("idle for {0:?}")]
    Idle(Duration),
    /// A frame that had begun did not go on fast enough.
    #[error("a frame did not arrive within {0:?}")]
    SlowFrame(Duration),
    /// The peer does not read what it is sent.
    #[error("the peer has not read for {0:?}")]
    SlowReader(Duration),
    /// Heartbeats were not answered.
    #[error("{0} heartbeats without an answer")]
    Heartbeat(u32),
    /// The server is stopping and this connection had nothing left to do, or the drain time was over.
    #[error("the server is stopping")]
    Drained,
    /// Closed from this side.
    #[error("closed on request")]
    Requested,
    /// The server has as many connections as it may have.
    #[error("the limit of {0} connections is reached")]
    TooManyConnections(usize),
    /// The TLS handshake failed or did not come.
    #[error("TLS: {0}")]
    Tls(String),
}
