use diwan_bolt::{Frame, HeaderMap, Kind, Status};
use diwan_hessian::{Decode, Decoder, Limits, Throwable};

use crate::classes::response_class;
use crate::names::{self, codec};
use crate::{Error, Result};

/// What a response frame says.
#[derive(Debug, PartialEq)]
pub enum Answer<T, X> {
    /// The method returned.
    Value(T),
    /// The method threw an exception of its service.
    Exception(X),
    /// The framework of the server could not call the method: no such service, no such method, stopped.
    Error(String),
    /// The transport of the server failed the request, with a status and perhaps a reason.
    Failure {
        /// Status code, usually one of [`Status`].
        status: u16,
        /// What the server says of it.
        message: Option<String>,
    },
}

/// Reads a response: `value` reads what the method returned, `exception` what it threw. `other` reads either from
/// the content of a codec that is not Hessian; it is given the content.
///
/// # Errors
/// When the content is broken or one of the closures fails.
pub fn read_response<'a, T, X>(
    frame: &Frame<'a>,
    limits: Limits,
    value: impl FnOnce(&mut Decoder<'a>) -> diwan_hessian::Result<T>,
    exception: impl FnOnce(&mut Decoder<'a>) -> diwan_hessian::Result<X>,
    other: impl FnOnce(&'a [u8]) -> Result<T>,
) -> Result<Answer<T, X>> {
    let status = match frame.head.kind {
        Kind::Response { status } => status,
        _ => return Err(Error::Missing("status: it is a request")),
    };
    let is_failure =
        status != Status::Success.code() || frame.class == names::SERVER_EXCEPTION_CLASS.as_bytes();
    if is_failure {
        return Ok(Answer::Failure {
            status,
            message: failure_message(frame, limits),
        });
    }
    let header = HeaderMap::new(frame.header);
    let is_exception = header.get(names::RESPONSE_ERROR) == Some("true");
    if frame.head.codec != codec::HESSIAN2 {
        // These codecs have one string for both kinds of error.
        return if is_exception {
            Ok(Answer::Error(
                String::from_utf8_lossy(frame.content).into_owned(),
            ))
        } else {
            other(frame.content).map(Answer::Value)
        };
    }

    let mut decoder = Decoder::with(frame.content, None, limits);
    let (object, _) = decoder
        .object_of(response_class())?
        .ok_or(Error::Missing("SofaResponse"))?;
    let mut is_error = false;
    let mut error_message = None;
    let mut answer = None;
    let (mut value, mut exception) = (Some(value), Some(exception));
    for index in 0..decoder.field_count(object) {
        match decoder.field_bytes(object, index) {
            b"isError" => is_error = decoder.bool()?,
            b"errorMsg" => error_message = decoder.str()?,
            b"appResponse" if decoder.take_null()? => {}
            b"appResponse" if is_exception => {
                if let Some(exception) = exception.take() {
                    answer = Some(Answer::Exception(exception(&mut decoder)?));
                }
            }
            b"appResponse" => {
                if let Some(value) = value.take() {
                    answer = Some(Answer::Value(value(&mut decoder)?));
                }
            }
            _ => decoder.skip()?,
        }
    }
    if is_error {
        return Ok(Answer::Error(
            error_message.unwrap_or_default().into_owned(),
        ));
    }
    match (answer, value) {
        (Some(answer), _) => Ok(answer),
        (None, Some(value)) => Ok(Answer::Value(value(&mut Decoder::new(b"N"))?)),
        (None, None) => Err(Error::Missing("appResponse")),
    }
}

/// The reason in the `RpcServerException` of a failure; whatever else stands there is no reason to fail again.
fn failure_message(frame: &Frame<'_>, limits: Limits) -> Option<String> {
    if frame.content.is_empty() {
        return None;
    }
    let mut decoder = Decoder::with(frame.content, None, limits);
    Throwable::decode(&mut decoder)
        .ok()
        .and_then(|thrown| thrown.message)
}
