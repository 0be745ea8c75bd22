use std::fmt;
use std::net::SocketAddr;

use diwan_hessian::{Decode, Decoder, Encode, Encoder, Throwable};
use thiserror::Error;

/// Why a call gave no value. `E` is the exception type that the method declares.
#[derive(Debug, Error)]
pub enum RpcError<E = NoException> {
    /// The method threw the exception it declares.
    #[error("{0}")]
    Exception(E),
    /// The method threw another exception.
    #[error("{}: {}", .0.class, .0.message.as_deref().unwrap_or("no message"))]
    Thrown(Box<Throwable>),
    /// The call failed on its way, there or back.
    #[error("{service}.{method}: {message}")]
    Failed {
        /// What kind of failure.
        kind: ErrorKind,
        /// Unique name of the service.
        service: String,
        /// Method name.
        method: String,
        /// Server that was asked last, if any was.
        addr: Option<SocketAddr>,
        /// What happened.
        message: String,
    },
}

impl<E> RpcError<E> {
    /// The kind of failure; `None` when the method itself threw.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Failed { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

/// Kinds of failure, after the original's `RpcErrorType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No server is known or reachable; nothing was sent.
    NoProvider,
    /// Nobody has told yet which servers there are, and the call cannot wait (any longer); nothing was sent.
    NoList,
    /// The server has no capacity or is stopping; the request was not carried out.
    Busy,
    /// No answer in time: whether the request was carried out is unknown.
    Timeout,
    /// The connection ended before the answer: whether the request was carried out is unknown.
    ConnectionClosed,
    /// The server does not have this service or method.
    NotFound,
    /// The server failed outside of the method.
    Server,
    /// The server could not read the arguments.
    BadRequest,
    /// The answer cannot be read, or the request cannot be written.
    Codec,
    /// A filter refused the call.
    Rejected,
    /// Too many calls wait already; nothing was sent.
    TooManyCalls,
}

impl ErrorKind {
    /// Whether it is certain that the method was not carried out.
    pub fn was_not_executed(self) -> bool {
        !matches!(
            self,
            Self::Timeout | Self::ConnectionClosed | Self::Server | Self::Codec
        )
    }
}

/// The exception type of a method that declares none: there is no value of it.
#[derive(Clone, Copy, Debug)]
pub enum NoException {}

impl fmt::Display for NoException {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for NoException {}

impl Encode for NoException {
    fn encode(&self, _: &mut Encoder<'_>) {
        match *self {}
    }
}

impl<'de> Decode<'de> for NoException {
    fn decode(decoder: &mut Decoder<'de>) -> diwan_hessian::Result<Self> {
        // Whatever was thrown was not declared: the caller reads it as a `Throwable`.
        let offset = decoder.position();
        let found = decoder.peek_class()?.unwrap_or_default().into();
        Err(diwan_hessian::Error::Class {
            offset,
            expected: "no declared exception",
            found,
        })
    }
}

/// A server or consumer that cannot be set up as asked.
#[derive(Debug, Error)]
pub enum SetupError {
    /// An address is malformed.
    #[error("{url:?}: {problem}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two services of one name on a server.
    #[error("{0} is published twice")]
    Duplicate(String),
    /// The port or a thread cannot be had.
    #[error("{addr}: {error}")]
    Io {
        /// Where.
        addr: String,
        /// Why.
        error: std::io::Error,
    },
}
