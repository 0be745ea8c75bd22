//! The path of an outgoing call: filters, choice of the server, sending, judging, trying again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diwan_bolt::{Head, Kind};
use diwan_hessian::{Decode, Decoder, Dialect, Encode, Encoder, Throwable, Value};
use diwan_net::bolt::{CallError, OwnedFrame};
use diwan_sofarpc::names::{REQUEST_BAGGAGE, codec as code};
use diwan_sofarpc::{RequestHead, write_request};
use tokio::sync::watch;

use super::answer::{Answered, Failure, read, read_typed};
use super::consumer::{CallOptions, Cluster, ConsumerOptions};
use super::endpoint::Endpoint;
use super::select::Selection;
use super::{CallInfo, ClientMethod, Provider};
use crate::codec::Codecs;
use crate::{Context, ErrorKind, RpcError, SetupError};

/// A consumer's state.
pub(super) struct Inner {
    pub(super) service: String,
    options: ConsumerOptions,
    selection: Selection,
}

/// One call, whatever its types.
struct Outgoing<'a> {
    info: CallInfo<'a>,
    options: &'a CallOptions,
    codec: u8,
    /// What consistent hashing goes by.
    key: String,
    /// Writes the request into a frame of the given head.
    write: &'a Write<'a>,
}

type Write<'a> = dyn Fn(&mut Vec<u8>, Head, &RequestHead<'_>) -> Result<(), String> + Sync + 'a;
type Read<'a, T, E> = dyn Fn(&OwnedFrame) -> Result<Answered<T, E>, Failure> + Sync + 'a;
type Entries = Vec<(String, String)>;

impl Inner {
    pub(super) fn new(
        service: String,
        providers: watch::Receiver<Arc<[Provider]>>,
        first_list_timeout: Option<Duration>,
        options: ConsumerOptions,
    ) -> Result<Self, SetupError> {
        let selection = Selection::new(providers, first_list_timeout, &options)?;
        Ok(Self {
            service,
            options,
            selection,
        })
    }

    pub(super) async fn call_typed<A: Sync, T, E>(
        &self,
        method: &ClientMethod<A, T, E>,
        arguments: &A,
        options: &CallOptions,
    ) -> Result<T, RpcError<E>> {
        let failed = |failure: Failure| failure.into_error(&self.service, method.name);
        let write: &Write<'_> =
            &|out, frame, head| write_typed(method, arguments, out, frame, head);
        let outgoing = self.outgoing(method, arguments, options, false, write);
        let outgoing = outgoing.map_err(failed)?;
        let read = |frame: &OwnedFrame| read_typed(frame, self.options.hessian, &method.codecs);
        self.call(&outgoing, &read)
            .await
            .map_err(failed)?
            .into_result()
    }

    pub(super) fn oneway_typed<A: Sync, T, E>(
        &self,
        method: &ClientMethod<A, T, E>,
        arguments: &A,
        options: &CallOptions,
    ) -> Result<(), RpcError> {
        let failed = |failure: Failure| failure.into_error(&self.service, method.name);
        let write: &Write<'_> =
            &|out, frame, head| write_typed(method, arguments, out, frame, head);
        let outgoing = self.outgoing(method, arguments, options, true, write);
        self.oneway(&outgoing.map_err(failed)?).map_err(failed)
    }

    /// A call of a typed method.
    fn outgoing<'a, A, T, E>(
        &'a self,
        method: &'a ClientMethod<A, T, E>,
        arguments: &A,
        options: &'a CallOptions,
        oneway: bool,
        write: &'a Write<'a>,
    ) -> Result<Outgoing<'a>, Failure> {
        Ok(Outgoing {
            info: CallInfo {
                service: &self.service,
                method: method.name,
                oneway,
            },
            options,
            codec: self.codec(&method.codecs)?,
            key: self.key(&method.codecs, arguments),
            write,
        })
    }

    pub(super) async fn call_generic(
        &self,
        method: &str,
        signatures: &[&str],
        arguments: &[Value<'_>],
        options: &CallOptions,
    ) -> Result<Value<'static>, RpcError<Throwable>> {
        let encode = |encoder: &mut Encoder<'_>| {
            arguments
                .iter()
                .for_each(|argument| argument.encode(encoder))
        };
        let outgoing = Outgoing {
            info: CallInfo {
                service: &self.service,
                method,
                oneway: false,
            },
            options,
            codec: code::HESSIAN2,
            key: self.key_of(&encode),
            write: &|out, frame, head| {
                let sent =
                    write_request(out, frame, head, signatures.iter().copied(), encode, None);
                sent.map_err(|error| error.to_string())
            },
        };
        let read = |frame: &OwnedFrame| {
            let value = |decoder: &mut Decoder<'_>| decoder.value().map(Value::into_owned);
            let exception = |decoder: &mut Decoder<'_>| Throwable::decode(decoder);
            read(frame, self.options.hessian, value, exception, |_| {
                Err("it is not Hessian".into())
            })
        };
        let answered = self.call(&outgoing, &read).await;
        answered
            .map_err(|failure| failure.into_error(&self.service, method))?
            .into_result()
    }

    /// The whole way of one call.
    async fn call<T, E>(
        &self,
        call: &Outgoing<'_>,
        read: &Read<'_, T, E>,
    ) -> Result<Answered<T, E>, Failure> {
        let began = Instant::now();
        let entries = self.before(call)?;
        let outcome = self.attempts(call, &entries, read).await;
        let (addr, failure) = match &outcome {
            Ok((addr, _)) => (Some(*addr), None),
            Err(failure) => (failure.addr, Some(failure.kind)),
        };
        for filter in self.options.filters.iter().rev() {
            filter.after(&call.info, addr, failure, began.elapsed());
        }
        outcome.map(|(_, answered)| answered)
    }

    /// The header entries of a call, once every filter has let it pass.
    fn before(&self, call: &Outgoing<'_>) -> Result<Entries, Failure> {
        let mut entries = carried(call.options);
        for filter in &self.options.filters {
            let passed = filter.before(&call.info, &mut entries);
            passed.map_err(|refusal| Failure::new(ErrorKind::Rejected, refusal))?;
        }
        Ok(entries)
    }

    /// Attempts at one server after the other until one answers or the policy says stop.
    async fn attempts<T, E>(
        &self,
        call: &Outgoing<'_>,
        entries: &Entries,
        read: &Read<'_, T, E>,
    ) -> Result<(SocketAddr, Answered<T, E>), Failure> {
        if let Some(limit) = self.selection.awaits_first_list() {
            let left = caller_waits().unwrap_or(limit);
            self.selection.first_list(limit.min(left)).await?;
        }
        let failover = self.options.cluster == Cluster::Failover;
        let mut retries_left = if failover { self.options.retries } else { 0 };
        let mut busy_is_free = failover;
        let mut tried = Vec::new();
        let mut last: Option<Failure> = None;
        loop {
            let endpoint = match (self.select(call, &tried), last) {
                (Ok(endpoint), _) => endpoint,
                // Nobody is left to try: what the last one said is of more use.
                (Err(_), Some(failure)) | (Err(failure), None) => return Err(failure),
            };
            let addr = endpoint.provider.addr;
            let outcome = self.attempt(&endpoint, call, entries, read).await;
            self.selection.judge(
                &self.options,
                &endpoint,
                outcome.as_ref().err().map(|failure| failure.kind),
            );
            let failure = match outcome {
                Ok(answered) => return Ok((addr, answered)),
                Err(failure) => failure.at(addr),
            };
            // Never sent is free to try elsewhere. So is one busy answer, which every stopping server gives; more of
            // them would add load where there is too much already.
            let free = match failure.kind {
                ErrorKind::NoProvider => failover,
                ErrorKind::Busy => {
                    endpoint.said_busy();
                    std::mem::take(&mut busy_is_free)
                        && self.selection.has_other(&self.options, &endpoint)
                }
                _ => false,
            };
            if !free {
                let repeatable = matches!(failure.kind, ErrorKind::Busy | ErrorKind::Timeout);
                if !repeatable || retries_left == 0 {
                    return Err(failure);
                }
                retries_left -= 1;
            }
            let (service, method, reason) = (&self.service, call.info.method, &failure.message);
            tracing::debug!(service, method, %addr, reason, "trying again");
            tried.push(endpoint);
            last = Some(failure);
        }
    }

    async fn attempt<T, E>(
        &self,
        endpoint: &Endpoint,
        call: &Outgoing<'_>,
        entries: &Entries,
        read: &Read<'_, T, E>,
    ) -> Result<Answered<T, E>, Failure> {
        let timeout = self.time_left(call.options)?;
        let timeout_ms = as_ms(timeout);
        let head = self.head(call, timeout_ms, entries);
        let answer = endpoint.client.peer().call(timeout, |out, id| {
            let frame = Head::request(id, call.codec, timeout_ms);
            (call.write)(out, frame, &head).map_err(CallError::Unsendable)
        });
        let frame = answer.await?;
        if let Some(baggage) = &call.options.response_baggage {
            baggage.fill(frame.frame().header);
        }
        read(&frame)
    }

    fn oneway(&self, call: &Outgoing<'_>) -> Result<(), Failure> {
        if self.selection.awaits_first_list().is_some() {
            let why = "no list of servers has come yet, and a oneway call does not wait";
            return Err(Failure::new(ErrorKind::NoList, why));
        }
        let entries = self.before(call)?;
        let endpoint = self.select(call, &[])?;
        let timeout_ms = as_ms(self.time_left(call.options)?);
        let head = self.head(call, timeout_ms, &entries);
        let sent = endpoint.client.peer().oneway(|out, id| {
            let kind = Kind::Oneway { timeout_ms };
            let frame = Head {
                kind,
                ..Head::request(id, call.codec, timeout_ms)
            };
            (call.write)(out, frame, &head).map_err(CallError::Unsendable)
        });
        sent.map_err(|error| Failure::from(error).at(endpoint.provider.addr))
    }

    fn select(
        &self,
        call: &Outgoing<'_>,
        tried: &[Arc<Endpoint>],
    ) -> Result<Arc<Endpoint>, Failure> {
        self.selection.select(
            &self.options,
            &call.info,
            call.options.target,
            &call.key,
            tried,
        )
    }

    fn head<'h>(
        &'h self,
        call: &Outgoing<'h>,
        timeout_ms: i32,
        entries: &'h Entries,
    ) -> RequestHead<'h> {
        RequestHead {
            service: &self.service,
            method: call.info.method,
            target_app: self.options.target_app.as_deref(),
            invoke_type: if call.info.oneway { "oneway" } else { "sync" },
            deadline_remain_ms: self.options.send_deadline.then_some(timeout_ms),
            entries,
        }
    }

    /// The time of an attempt: not longer than the caller of the current request waits.
    fn time_left(&self, options: &CallOptions) -> Result<Duration, Failure> {
        let timeout = options.timeout.unwrap_or(self.options.timeout);
        let Some(left) = caller_waits() else {
            return Ok(timeout);
        };
        if left.is_zero() {
            return Err(Failure::new(
                ErrorKind::Timeout,
                "the deadline of the request being handled is over",
            ));
        }
        Ok(timeout.min(left))
    }

    fn codec<A, T, E>(&self, codecs: &Codecs<A, T, E>) -> Result<u8, Failure> {
        let codec = self.options.codec.unwrap_or(codecs.first);
        let is_hessian = codec == code::HESSIAN2 && codecs.hessian.is_some();
        if is_hessian || codecs.content(codec).is_some() {
            return Ok(codec);
        }
        Err(Failure::new(
            ErrorKind::Codec,
            format!("codec {codec} is not among the codecs of this service"),
        ))
    }

    fn key<A, T, E>(&self, codecs: &Codecs<A, T, E>, arguments: &A) -> String {
        match &codecs.hessian {
            Some(hessian) => self.key_of(&|encoder| (hessian.encode_arguments)(arguments, encoder)),
            None => String::new(),
        }
    }

    /// What consistent hashing goes by: the first argument as Java's `toString` gives it, where it is simple, else its
    /// bytes.
    fn key_of(&self, encode: &dyn Fn(&mut Encoder<'_>)) -> String {
        if !self.options.balancer.wants_key() {
            return String::new();
        }
        let mut bytes = Vec::new();
        encode(&mut Encoder::new(Dialect::Draft, &mut bytes));
        let mut decoder = Decoder::new(&bytes);
        let Ok(first) = decoder.value() else {
            return String::new();
        };
        let number = first.as_i64().map(|number| number.to_string());
        let bytes = || {
            bytes[..decoder.position()]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        };
        first
            .as_str()
            .map(str::to_owned)
            .or(number)
            .unwrap_or_else(bytes)
    }
}

/// How long the caller of the current request still waits.
fn caller_waits() -> Option<Duration> {
    let deadline = Context::current()?.deadline()?;
    Some(deadline.saturating_duration_since(tokio::time::Instant::now()))
}

fn write_typed<A, T, E>(
    method: &ClientMethod<A, T, E>,
    arguments: &A,
    out: &mut Vec<u8>,
    frame: Head,
    head: &RequestHead<'_>,
) -> Result<(), String> {
    let content = match method.codecs.content(frame.codec) {
        None => None,
        Some(content) => Some((content.encode_arguments)(arguments)?),
    };
    let encode = |encoder: &mut Encoder<'_>| {
        if let Some(hessian) = &method.codecs.hessian {
            (hessian.encode_arguments)(arguments, encoder);
        }
    };
    let signatures = method.signatures.iter().map(|signature| &**signature);
    write_request(out, frame, head, signatures, encode, content.as_deref())
        .map_err(|error| error.to_string())
}

fn as_ms(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis())
        .unwrap_or(i32::MAX)
        .max(1)
}

/// Entries that the request being handled passes on, and the call's own baggage.
fn carried(options: &CallOptions) -> Entries {
    let mut entries = Entries::new();
    if let Some(context) = Context::current() {
        entries.extend(
            context
                .carried()
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
    }
    entries.extend(
        options
            .baggage
            .iter()
            .map(|(key, value)| (format!("{REQUEST_BAGGAGE}.{key}"), value.clone())),
    );
    entries
}
