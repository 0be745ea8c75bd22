use diwan_bolt::{FrameTooLarge, FrameWriter, Head, write_entry};
use diwan_hessian::{Dialect, Encode, Encoder, Throwable};

use crate::classes::{request_class, response_class};
use crate::names;

/// What a request says besides its arguments.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Unique name of the service.
    pub service: &'a str,
    /// Method name.
    pub method: &'a str,
    /// Application called.
    pub target_app: Option<&'a str>,
    /// `sync`, `oneway`, `callback` or `future`.
    pub invoke_type: &'a str,
    /// What is left of the caller's time, for the server to pass on.
    pub deadline_remain_ms: Option<i32>,
    /// Further header entries: trace context, baggage. Written as they are.
    pub entries: &'a [(String, String)],
}

/// Appends a request frame. With Hessian, `arguments` continues the stream of the request object and `signatures`
/// tells the Java types; with another codec, `content` is the content.
///
/// # Errors
/// When a part is too long for a frame.
pub fn write_request<'s>(
    out: &mut Vec<u8>,
    frame: Head,
    head: &RequestHead<'_>,
    signatures: impl ExactSizeIterator<Item = &'s str>,
    arguments: impl FnOnce(&mut Encoder<'_>),
    content: Option<&[u8]>,
) -> Result<(), FrameTooLarge> {
    let mut writer = FrameWriter::begin(out, frame, names::REQUEST_CLASS.as_bytes());
    writer.header(|out| {
        write_entry(out, names::TARGET_SERVICE, head.service);
        write_entry(out, names::SERVICE, head.service);
        write_entry(out, names::METHOD_NAME, head.method);
        if let Some(app) = head.target_app {
            write_entry(out, names::TARGET_APP, app);
        }
        write_entry(out, "protocol", "bolt");
        write_entry(out, "type", head.invoke_type);
        if let (Some(_), Some(remain)) = (content, head.deadline_remain_ms) {
            // There is no other place for it.
            write_entry(out, names::DEADLINE_REMAIN_MS, &remain.to_string());
        }
        for (key, value) in head.entries {
            write_entry(out, key, value);
        }
    });
    if let Some(content) = content {
        writer.content().extend_from_slice(content);
        return writer.finish();
    }
    let mut encoder = Encoder::new(Dialect::Draft, writer.content());
    encoder.object_of(request_class());
    match head.target_app {
        Some(app) => encoder.str(app),
        None => encoder.null(),
    }
    encoder.str(head.method);
    encoder.str(head.service);
    encoder.map_begin(None);
    encoder.str("protocol");
    encoder.str("bolt");
    encoder.str("type");
    encoder.str(head.invoke_type);
    if let Some(remain) = head.deadline_remain_ms {
        // The Java server reads it as an Integer and from here only.
        encoder.str(names::DEADLINE_REMAIN_MS);
        encoder.int(remain);
    }
    for prefix in [names::TRACE_CONTEXT, names::REQUEST_BAGGAGE] {
        write_nested(&mut encoder, prefix, head.entries);
    }
    encoder.map_end();
    encoder.list_begin(Some("[string"), signatures.len());
    for signature in signatures {
        encoder.str(signature);
    }
    encoder.list_end();
    arguments(&mut encoder);
    writer.finish()
}

/// Header entries `PREFIX.KEY` as the map PREFIX of the request's properties.
fn write_nested(encoder: &mut Encoder<'_>, prefix: &str, entries: &[(String, String)]) {
    let nested = || {
        entries
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.strip_prefix('.')?, value)))
    };
    if nested().next().is_none() {
        return;
    }
    encoder.str(prefix);
    encoder.map_begin(None);
    for (key, value) in nested() {
        encoder.str(key);
        encoder.str(value);
    }
    encoder.map_end();
}

/// Header and content of a response that returns `value`. `entries` go with it: baggage.
pub fn write_value(writer: &mut FrameWriter<'_>, value: &dyn Encode, entries: &[(String, String)]) {
    write_entries(writer, entries);
    let mut encoder = Encoder::new(Dialect::Draft, writer.content());
    encoder.object_of(response_class());
    encoder.bool(false);
    encoder.null();
    value.encode(&mut encoder);
    if entries.is_empty() {
        return encoder.null();
    }
    encoder.map_begin(None);
    write_properties(&mut encoder, entries);
    encoder.map_end();
}

/// Header entries of a response.
pub fn write_entries(writer: &mut FrameWriter<'_>, entries: &[(String, String)]) {
    writer.header(|out| {
        for (key, value) in entries {
            write_entry(out, key, value);
        }
    });
}

fn write_properties(encoder: &mut Encoder<'_>, entries: &[(String, String)]) {
    for (key, value) in entries {
        encoder.str(key);
        encoder.str(value);
    }
}

/// Header and content of a response that throws `exception`. A Java client tells it from a value by its class alone;
/// other readers by the header. `entries` go with it, as with a value.
pub fn write_exception(
    writer: &mut FrameWriter<'_>,
    exception: &dyn Encode,
    entries: &[(String, String)],
) {
    write_entries(writer, entries);
    writer.header(|out| write_entry(out, names::RESPONSE_ERROR, "true"));
    let mut encoder = Encoder::new(Dialect::Draft, writer.content());
    encoder.object_of(response_class());
    encoder.bool(false);
    encoder.null();
    exception.encode(&mut encoder);
    write_error_property(&mut encoder, entries);
}

/// Header and content of a response in which the framework says that it could not call the method.
pub fn write_error(writer: &mut FrameWriter<'_>, message: &str) {
    writer.header(|out| write_entry(out, names::RESPONSE_ERROR, "true"));
    let mut encoder = Encoder::new(Dialect::Draft, writer.content());
    encoder.object_of(response_class());
    encoder.bool(true);
    encoder.str(message);
    encoder.null();
    write_error_property(&mut encoder, &[]);
}

fn write_error_property(encoder: &mut Encoder<'_>, entries: &[(String, String)]) {
    encoder.map_begin(None);
    write_properties(encoder, entries);
    encoder.str(names::RESPONSE_ERROR);
    encoder.str("true");
    encoder.map_end();
}

/// Header and content of an error in a codec other than Hessian: the message is the content.
pub fn write_message(writer: &mut FrameWriter<'_>, message: &str) {
    writer.header(|out| write_entry(out, names::RESPONSE_ERROR, "true"));
    writer.content().extend_from_slice(message.as_bytes());
}

/// Content of a failure of the transport: an `RpcServerException`. Whatever codec was asked for, it is Hessian.
pub fn write_failure(writer: &mut FrameWriter<'_>, message: &str) {
    let mut encoder = Encoder::new(Dialect::Draft, writer.content());
    Throwable::new(names::SERVER_EXCEPTION_CLASS, message).encode(&mut encoder);
}
