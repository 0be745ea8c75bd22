use std::borrow::Cow;

use diwan_bolt::{Frame, HeaderMap};
use diwan_hessian::Decoder;
use smallvec::SmallVec;

use crate::classes::request_class;
use crate::names::{self, codec};
use crate::{Error, Result};

/// A request as a server reads it; borrows from its frame.
pub struct Request<'a> {
    /// Unique name of the service; the header's overrides the body's.
    pub service: Cow<'a, str>,
    /// Method name.
    pub method: Cow<'a, str>,
    /// What is left of the caller's time in milliseconds, where it says so.
    pub deadline_remain_ms: Option<i64>,
    /// The header block.
    pub header: HeaderMap<'a>,
    /// Java signatures of the arguments, one for each; `None` in a codec that does not tell them.
    pub signatures: Option<Signatures<'a>>,
}

impl<'a> Request<'a> {
    /// Reads a request frame up to its arguments. With Hessian, `decoder` must be one of the frame's content and stands
    /// at the first argument afterwards; with another codec the content holds nothing but the arguments.
    ///
    /// # Errors
    /// When the frame holds something else, the header or the content is broken, or no service or method is named.
    pub fn read(frame: &Frame<'a>, decoder: &mut Decoder<'a>) -> Result<Self> {
        if frame.class != names::REQUEST_CLASS.as_bytes() {
            return Err(Error::Class {
                found: String::from_utf8_lossy(frame.class).into_owned(),
                expected: names::REQUEST_CLASS,
            });
        }
        let head = Head::read(frame.header)?;
        if frame.head.codec == codec::HESSIAN2 {
            return Self::read_hessian(frame, head, decoder);
        }
        // Other codecs have nothing but the arguments in the content; what the body would say is in the header.
        Ok(Self {
            service: head.service.ok_or(Error::Missing("service name"))?.into(),
            method: head.method.ok_or(Error::Missing("method name"))?.into(),
            deadline_remain_ms: head.deadline_remain_ms,
            header: HeaderMap::new(frame.header),
            signatures: None,
        })
    }

    fn read_hessian(frame: &Frame<'a>, head: Head<'a>, decoder: &mut Decoder<'a>) -> Result<Self> {
        let (object, is_usual) = decoder
            .object_of(request_class())?
            .ok_or(Error::Missing("SofaRequest"))?;
        let mut body = Body::default();
        if is_usual {
            decoder.skip()?;
            body.method = decoder.str()?;
            body.service = decoder.str()?;
            body.deadline_remain_ms = read_deadline(decoder)?;
            read_signatures(decoder, &mut body.signatures)?;
        } else {
            for index in 0..decoder.field_count(object) {
                // Clients send the fields in different orders: by name.
                match decoder.field_bytes(object, index) {
                    b"methodName" => body.method = decoder.str()?,
                    b"targetServiceUniqueName" => body.service = decoder.str()?,
                    b"methodArgSigs" => read_signatures(decoder, &mut body.signatures)?,
                    b"requestProps" => {
                        let remain = read_deadline(decoder)?;
                        body.deadline_remain_ms = remain.or(body.deadline_remain_ms);
                    }
                    _ => decoder.skip()?,
                }
            }
        }
        decoder.object_end(object)?;
        Ok(Self {
            service: head
                .service
                .map(Cow::Borrowed)
                .or(body.service)
                .filter(|name| !name.is_empty())
                .ok_or(Error::Missing("service name"))?,
            method: body
                .method
                .or(head.method.map(Cow::Borrowed))
                .filter(|name| !name.is_empty())
                .ok_or(Error::Missing("method name"))?,
            deadline_remain_ms: body.deadline_remain_ms.or(head.deadline_remain_ms),
            header: HeaderMap::new(frame.header),
            signatures: Some(body.signatures),
        })
    }
}

type Signatures<'a> = SmallVec<[Cow<'a, str>; 6]>;

/// What the request object says.
#[derive(Default)]
struct Body<'a> {
    service: Option<Cow<'a, str>>,
    method: Option<Cow<'a, str>>,
    deadline_remain_ms: Option<i64>,
    signatures: Signatures<'a>,
}

/// The header entries that a server dispatches by.
struct Head<'a> {
    service: Option<&'a str>,
    method: Option<&'a str>,
    deadline_remain_ms: Option<i64>,
}

impl<'a> Head<'a> {
    fn read(block: &'a [u8]) -> Result<Self> {
        let (mut service, mut target_service, mut method, mut deadline_remain_ms) =
            (None, None, None, None);
        // Bytes: most entries are of no interest here, and text costs a check of every one.
        for entry in HeaderMap::new(block).raw() {
            let (key, value) = entry?;
            if key == names::SERVICE.as_bytes() {
                service = Some(value);
            } else if key == names::TARGET_SERVICE.as_bytes() {
                target_service = Some(value);
            } else if key == names::METHOD_NAME.as_bytes() {
                method = Some(text(value, names::METHOD_NAME)?);
            } else if key == names::DEADLINE_REMAIN_MS.as_bytes() {
                deadline_remain_ms = text(value, names::DEADLINE_REMAIN_MS)?.trim().parse().ok();
            }
        }
        // A mesh rewrites `service`; a blank one does not count.
        let service = service
            .or(target_service)
            .map(|name| text(name, names::SERVICE))
            .transpose()?
            .filter(|name| !name.trim().is_empty());
        Ok(Self {
            service,
            method,
            deadline_remain_ms,
        })
    }
}

fn text<'a>(value: &'a [u8], key: &'static str) -> Result<&'a str> {
    str::from_utf8(value).map_err(|_| Error::HeaderValue(key))
}

fn read_deadline(decoder: &mut Decoder<'_>) -> Result<Option<i64>> {
    let mut remain = None;
    if let Some(mut map) = decoder.map_begin()? {
        while decoder.map_more(&mut map)? {
            if decoder.str()?.as_deref() == Some(names::DEADLINE_REMAIN_MS) {
                remain = Some(decoder.long()?);
            } else {
                decoder.skip()?;
            }
        }
    }
    Ok(remain)
}

fn read_signatures<'a>(decoder: &mut Decoder<'a>, signatures: &mut Signatures<'a>) -> Result<()> {
    if let Some(mut list) = decoder.list_begin()? {
        while decoder.list_more(&mut list)? {
            signatures.push(decoder.str()?.unwrap_or_default());
        }
    }
    Ok(())
}
