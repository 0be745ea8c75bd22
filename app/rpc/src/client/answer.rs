//! What a call comes to: an answer of the method, or a failure on the way.

use std::fmt::Display;
use std::net::SocketAddr;

use diwan_bolt::Status;
use diwan_hessian::{Decode, Decoder, Limits, Throwable};
use diwan_net::bolt::{CallError, OwnedFrame};
use diwan_sofarpc::names::codec as code;
use diwan_sofarpc::{Answer, read_response};

use crate::codec::Codecs;
use crate::{ErrorKind, NoException, RpcError};

/// A failure with the server it happened at.
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    pub(super) addr: Option<SocketAddr>,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            addr: None,
        }
    }

    pub(super) fn at(mut self, addr: SocketAddr) -> Self {
        self.addr = Some(addr);
        self
    }

    pub(super) fn into_error<E>(self, service: &str, method: &str) -> RpcError<E> {
        RpcError::Failed {
            kind: self.kind,
            service: service.to_owned(),
            method: method.to_owned(),
            addr: self.addr,
            message: self.message,
        }
    }

    fn unreadable(error: &dyn Display) -> Self {
        Self::new(
            ErrorKind::Codec,
            format!("the answer cannot be read: {error}"),
        )
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let kind = match error {
            CallError::NotConnected { .. } => ErrorKind::NoProvider,
            CallError::ConnectionClosed { .. } => ErrorKind::ConnectionClosed,
            CallError::Timeout { .. } => ErrorKind::Timeout,
            CallError::TooManyCalls { .. } | CallError::SendBufferFull { .. } => {
                ErrorKind::TooManyCalls
            }
            CallError::ResponseTooLarge { .. } | CallError::Unsendable(_) => ErrorKind::Codec,
        };
        Self::new(kind, error.to_string())
    }
}

/// What a method answers.
pub(super) enum Answered<T, E> {
    Value(T),
    Exception(E),
    /// An exception that the method does not declare.
    Thrown(Box<Throwable>),
}

impl<T, E> Answered<T, E> {
    pub(super) fn into_result(self) -> Result<T, RpcError<E>> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Exception(exception) => Err(RpcError::Exception(exception)),
            Self::Thrown(thrown) => Err(RpcError::Thrown(thrown)),
        }
    }
}

/// Reads the answer to a typed call.
pub(super) fn read_typed<A, T, E>(
    frame: &OwnedFrame,
    limits: Limits,
    codecs: &Codecs<A, T, E>,
) -> Result<Answered<T, E>, Failure> {
    let codec = frame.frame().head.codec;
    let other = |content: &[u8]| match codecs.content(codec) {
        Some(content_codec) => (content_codec.decode_value)(content),
        None => Err(format!("it is in codec {codec}")),
    };
    match &codecs.hessian {
        Some(hessian) => read(
            frame,
            limits,
            hessian.decode_value,
            hessian.decode_exception,
            other,
        ),
        None => read(frame, limits, no_hessian, no_hessian, other),
    }
}

/// Reads an answer with the functions of its types; `other` reads a value in another codec than Hessian.
pub(super) fn read<T, E>(
    frame: &OwnedFrame,
    limits: Limits,
    value: impl for<'de> Fn(&mut Decoder<'de>) -> diwan_hessian::Result<T>,
    exception: impl for<'de> Fn(&mut Decoder<'de>) -> diwan_hessian::Result<E>,
    other: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<Answered<T, E>, Failure> {
    let frame = frame.frame();
    let is_json = frame.head.codec == code::JSON;
    let mut is_exception = false;
    let declared = read_response(
        &frame,
        limits,
        value,
        |decoder| {
            is_exception = true;
            exception(decoder).map(Answered::Exception)
        },
        |content| other(content).map_err(diwan_sofarpc::Error::Content),
    );
    let answer = match declared {
        // An exception that is not the declared one is read again, as what every exception has.
        Err(_) if is_exception => {
            let any = |decoder: &mut Decoder<'_>| {
                Throwable::decode(decoder).map(|any| Answered::Thrown(Box::new(any)))
            };
            let no_content = |_: &[u8]| Err(diwan_sofarpc::Error::Missing("exception"));
            read_response(&frame, limits, no_hessian, any, no_content)
        }
        outcome => outcome,
    };
    match answer.map_err(|error| Failure::unreadable(&error))? {
        Answer::Value(value) => Ok(Answered::Value(value)),
        Answer::Exception(answered) => Ok(answered),
        Answer::Error(message) => {
            let message = if is_json {
                serde_json::from_str(&message).unwrap_or(message)
            } else {
                message
            };
            // Numbers of the original's messages: no such service, no such method.
            let missing = ["RPC-020100010", "RPC-020100011"]
                .iter()
                .any(|code| message.starts_with(code));
            Err(Failure::new(
                if missing {
                    ErrorKind::NotFound
                } else {
                    ErrorKind::Server
                },
                message,
            ))
        }
        Answer::Failure { status, message } => Err(status_failure(status, message)),
    }
}

fn status_failure(code: u16, message: Option<String>) -> Failure {
    let status = Status::from_code(code);
    let kind = match status {
        Some(Status::ServerThreadPoolBusy) => ErrorKind::Busy,
        Some(Status::NoProcessor) => ErrorKind::NotFound,
        Some(Status::ServerDeserialException) => ErrorKind::BadRequest,
        Some(Status::Timeout) => ErrorKind::Timeout,
        Some(Status::ConnectionClosed) => ErrorKind::ConnectionClosed,
        _ => ErrorKind::Server,
    };
    let name = status.map_or_else(|| format!("{code:#x}"), |status| format!("{status:?}"));
    Failure::new(
        kind,
        message.map_or_else(
            || format!("status {name}"),
            |text| format!("status {name}: {text}"),
        ),
    )
}

/// Reads what no Hessian stream holds.
fn no_hessian<T>(decoder: &mut Decoder<'_>) -> diwan_hessian::Result<T> {
    NoException::decode(decoder).map(|never| match never {})
}
