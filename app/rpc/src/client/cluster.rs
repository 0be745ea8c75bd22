//! The path of an outgoing call: filters, routing, balancing, sending, judging, trying again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use diwan_bolt::{Head, Kind, Status};
use diwan_hessian::{Decode, Decoder, Encode, Encoder, Throwable, Value};
use diwan_net::bolt::{CallError, OwnedFrame};
use diwan_sofarpc::names::{REQUEST_BAGGAGE, codec as code};
use diwan_sofarpc::{Answer, RequestHead, read_response, write_request};
use tokio::sync::watch;

use super::balance::Balance;
use super::consumer::{CallOptions, Cluster, ConsumerOptions};
use super::endpoint::{Endpoint, shared_client};
use super::{CallInfo, ClientMethod, Provider, ToleranceRule};
use crate::codec::Codecs;
use crate::{Context, ErrorKind, NoException, RpcError, SetupError};

/// A consumer's state.
pub(super) struct Inner {
    pub(super) service: String,
    options: ConsumerOptions,
    providers: watch::Receiver<Arc<[Provider]>>,
    /// The endpoints of the list of providers that they were made from.
    endpoints: RwLock<(Arc<[Provider]>, Arc<[Arc<Endpoint>]>)>,
    balance: Balance,
    sticky: Mutex<Weak<Endpoint>>,
    /// End of the fault tolerance window, in milliseconds since `began`.
    window_ends_ms: AtomicU64,
    began: Instant,
}

/// One call, whatever its types.
pub(super) struct Outgoing<'a, 's> {
    pub(super) method: &'a str,
    pub(super) options: &'a CallOptions,
    pub(super) codec: u8,
    pub(super) signatures: Vec<&'s str>,
}

/// A failure with the server it happened at.
struct Failure {
    kind: ErrorKind,
    message: String,
    addr: Option<SocketAddr>,
}

impl Failure {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            addr: None,
        }
    }

    fn at(mut self, addr: SocketAddr) -> Self {
        self.addr = Some(addr);
        self
    }
}

/// A value or an exception: the two answers of a method.
enum Answered<T, E> {
    Value(T),
    Exception(E),
    Thrown(Box<Throwable>),
}

/// Writes the arguments of a call into a frame of the given head.
type WriteRequest<'w> =
    &'w (dyn Fn(&mut Vec<u8>, Head, &RequestHead<'_>) -> Result<(), String> + Sync);

impl Inner {
    pub(super) fn new(
        service: String,
        providers: watch::Receiver<Arc<[Provider]>>,
        options: ConsumerOptions,
    ) -> Result<Self, SetupError> {
        let window = options.tolerance.map_or(Duration::ZERO, |rule| rule.window);
        let inner = Self {
            service,
            providers,
            endpoints: RwLock::default(),
            balance: Balance::default(),
            sticky: Mutex::default(),
            window_ends_ms: AtomicU64::new(window.as_millis() as u64),
            began: Instant::now(),
            options,
        };
        inner.endpoints()?;
        Ok(inner)
    }

    pub(super) fn codec<A, T, E, X>(
        &self,
        method: &ClientMethod<A, T, E>,
    ) -> Result<u8, RpcError<X>> {
        let codecs = &method.codecs;
        let has = |codec| {
            (codec == code::HESSIAN2 && codecs.hessian.is_some()) || codecs.content(codec).is_some()
        };
        let codec = self.options.codec.unwrap_or_else(|| codecs.first());
        if has(codec) {
            return Ok(codec);
        }
        let failure = Failure::new(ErrorKind::Codec, SetupError::Codec(codec).to_string());
        Err(self.failed(method.name, failure))
    }

    pub(super) async fn call_typed<A: Sync, T, E>(
        &self,
        outgoing: Outgoing<'_, '_>,
        codecs: &Codecs<A, T, E>,
        arguments: &A,
    ) -> Result<T, RpcError<E>> {
        let Outgoing {
            method,
            options,
            codec,
            signatures,
        } = outgoing;
        let key = self.key(codecs, arguments);
        let write = self.typed_writer(codec, signatures, codecs, arguments);
        let read = |frame: &OwnedFrame| self.read_typed(frame, codecs);
        let outcome = self.call(method, options, codec, &key, &write, &read).await;
        self.into_result(method, outcome)
    }

    pub(super) async fn call_generic(
        &self,
        outgoing: Outgoing<'_, '_>,
        arguments: &[Value<'_>],
    ) -> Result<Value<'static>, RpcError<Throwable>> {
        let Outgoing {
            method,
            options,
            codec,
            signatures,
        } = outgoing;
        let write = |out: &mut Vec<u8>, frame: Head, head: &RequestHead<'_>| {
            let encode = |encoder: &mut Encoder<'_>| {
                arguments
                    .iter()
                    .for_each(|argument| argument.encode(encoder))
            };
            write_request(out, frame, head, signatures.iter().copied(), encode, None)
                .map_err(|error| error.to_string())
        };
        let read = |frame: &OwnedFrame| {
            let value = |decoder: &mut Decoder<'_>| decoder.value().map(Value::into_owned);
            let exception = |decoder: &mut Decoder<'_>| Throwable::decode(decoder);
            read_answer(frame, &self.options, value, exception, |_| {
                Err("not Hessian".into())
            })
        };
        let outcome = self.call(method, options, codec, "", &write, &read).await;
        self.into_result(method, outcome)
    }

    pub(super) fn oneway_typed<A: Sync, T, E>(
        &self,
        outgoing: Outgoing<'_, '_>,
        codecs: &Codecs<A, T, E>,
        arguments: &A,
    ) -> Result<(), RpcError> {
        let Outgoing {
            method,
            options,
            codec,
            signatures,
        } = outgoing;
        let key = self.key(codecs, arguments);
        let write = self.typed_writer(codec, signatures, codecs, arguments);
        self.oneway(method, options, codec, &key, &write)
            .map_err(|failure| self.failed(method, failure))
    }

    /// The whole way of one call.
    async fn call<T, E>(
        &self,
        method: &str,
        options: &CallOptions,
        codec: u8,
        key: &str,
        write: WriteRequest<'_>,
        read: &(dyn Fn(&OwnedFrame) -> Result<Answered<T, E>, Failure> + Sync),
    ) -> Result<Answered<T, E>, Failure> {
        let info = CallInfo {
            service: &self.service,
            method,
            oneway: false,
        };
        let began = Instant::now();
        let mut entries = carried(options);
        for filter in &self.options.filters {
            filter
                .before(&info, &mut entries)
                .map_err(|refusal| Failure::new(ErrorKind::Rejected, refusal))?;
        }
        let outcome = self
            .attempts(&info, options, codec, key, &entries, write, read)
            .await;
        let (addr, failure) = match &outcome {
            Ok((addr, _)) => (Some(*addr), None),
            Err(failure) => (failure.addr, Some(failure.kind)),
        };
        for filter in self.options.filters.iter().rev() {
            filter.after(&info, addr, failure, began.elapsed());
        }
        outcome.map(|(_, answer)| answer)
    }

    /// Attempts at one server after the other until one answers or the policy says stop.
    #[expect(clippy::too_many_arguments, reason = "one caller; the parts of a call")]
    async fn attempts<T, E>(
        &self,
        info: &CallInfo<'_>,
        options: &CallOptions,
        codec: u8,
        key: &str,
        entries: &[(String, String)],
        write: WriteRequest<'_>,
        read: &(dyn Fn(&OwnedFrame) -> Result<Answered<T, E>, Failure> + Sync),
    ) -> Result<(SocketAddr, Answered<T, E>), Failure> {
        let mut retries_left = match self.options.cluster {
            Cluster::Failover => self.options.retries,
            Cluster::Failfast => 0,
        };
        let mut busy_is_free = self.options.cluster == Cluster::Failover;
        let mut tried = Vec::new();
        let mut last: Option<Failure> = None;
        loop {
            let endpoint = match (self.select(info, options, key, &tried), last) {
                (Ok(endpoint), _) => endpoint,
                // Nobody is left to try: what the last one said is of more use.
                (Err(_), Some(failure)) => return Err(failure),
                (Err(failure), None) => return Err(failure),
            };
            let addr = endpoint.provider.addr;
            let outcome = self
                .attempt(&endpoint, info, options, codec, entries, write, read)
                .await;
            self.judge(&endpoint, outcome.as_ref().err());
            let failure = match outcome {
                Ok(answer) => return Ok((addr, answer)),
                Err(failure) => failure.at(addr),
            };
            // Never sent is free to try elsewhere. So is one busy answer, which every stopping server gives; more of
            // them would add load where there is too much already.
            let free = match failure.kind {
                ErrorKind::NoProvider => self.options.cluster == Cluster::Failover,
                ErrorKind::Busy => {
                    endpoint.said_busy();
                    std::mem::take(&mut busy_is_free) && self.has_other(&endpoint)
                }
                _ => false,
            };
            let repeatable = matches!(failure.kind, ErrorKind::Busy | ErrorKind::Timeout);
            let counted = !free && repeatable && retries_left > 0;
            if !free && !counted {
                return Err(failure);
            }
            if counted {
                retries_left -= 1;
            }
            tracing::debug!(service = self.service, method = info.method, %addr, reason = failure.message, "trying again");
            tried.push(endpoint);
            last = Some(failure);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller; the parts of a call")]
    async fn attempt<T, E>(
        &self,
        endpoint: &Endpoint,
        info: &CallInfo<'_>,
        options: &CallOptions,
        codec: u8,
        entries: &[(String, String)],
        write: WriteRequest<'_>,
        read: &(dyn Fn(&OwnedFrame) -> Result<Answered<T, E>, Failure> + Sync),
    ) -> Result<Answered<T, E>, Failure> {
        let timeout = self.time_left(options)?;
        let timeout_ms = i32::try_from(timeout.as_millis())
            .unwrap_or(i32::MAX)
            .max(1);
        let head = self.head(info, timeout_ms, entries);
        let call = endpoint.client.peer().call(timeout, |out, id| {
            write(out, Head::request(id, codec, timeout_ms), &head).map_err(CallError::Unsendable)
        });
        let frame = call.await.map_err(|error| {
            let kind = match error {
                CallError::NotConnected { .. } => ErrorKind::NoProvider,
                CallError::ConnectionClosed { .. } => ErrorKind::ConnectionClosed,
                CallError::Timeout { .. } => ErrorKind::Timeout,
                CallError::TooManyCalls { .. } => ErrorKind::TooManyCalls,
                CallError::ResponseTooLarge { .. } | CallError::Unsendable(_) => ErrorKind::Codec,
            };
            Failure::new(kind, error.to_string())
        })?;
        if let Some(baggage) = &options.response_baggage {
            baggage.fill(frame.frame().header);
        }
        read(&frame)
    }

    fn oneway(
        &self,
        method: &str,
        options: &CallOptions,
        codec: u8,
        key: &str,
        write: WriteRequest<'_>,
    ) -> Result<(), Failure> {
        let info = CallInfo {
            service: &self.service,
            method,
            oneway: true,
        };
        let mut entries = carried(options);
        for filter in &self.options.filters {
            filter
                .before(&info, &mut entries)
                .map_err(|refusal| Failure::new(ErrorKind::Rejected, refusal))?;
        }
        let endpoint = self.select(&info, options, key, &[])?;
        let timeout_ms = i32::try_from(self.time_left(options)?.as_millis()).unwrap_or(i32::MAX);
        let head = self.head(&info, timeout_ms, &entries);
        let sent = endpoint.client.peer().oneway(|out, id| {
            let frame = Head {
                kind: Kind::Oneway { timeout_ms },
                ..Head::request(id, codec, timeout_ms)
            };
            write(out, frame, &head).map_err(CallError::Unsendable)
        });
        sent.map_err(|error| {
            Failure::new(ErrorKind::NoProvider, error.to_string()).at(endpoint.provider.addr)
        })
    }

    fn head<'h>(
        &'h self,
        info: &CallInfo<'h>,
        timeout_ms: i32,
        entries: &'h [(String, String)],
    ) -> RequestHead<'h> {
        RequestHead {
            service: &self.service,
            method: info.method,
            target_app: self.options.target_app.as_deref(),
            invoke_type: if info.oneway { "oneway" } else { "sync" },
            deadline_remain_ms: self.options.send_deadline.then_some(timeout_ms),
            entries,
        }
    }

    /// The time of an attempt: not longer than the caller of the current request waits.
    fn time_left(&self, options: &CallOptions) -> Result<Duration, Failure> {
        let timeout = options.timeout.unwrap_or(self.options.timeout);
        let Some(deadline) = Context::current().and_then(|context| context.deadline()) else {
            return Ok(timeout);
        };
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if left.is_zero() {
            return Err(Failure::new(
                ErrorKind::Timeout,
                "the deadline of the request being handled is over",
            ));
        }
        Ok(timeout.min(left))
    }

    /// The server of the next attempt.
    fn select(
        &self,
        info: &CallInfo<'_>,
        options: &CallOptions,
        key: &str,
        tried: &[Arc<Endpoint>],
    ) -> Result<Arc<Endpoint>, Failure> {
        let endpoints = self
            .endpoints()
            .map_err(|error| Failure::new(ErrorKind::NoProvider, error.to_string()))?;
        let none = |why: &str| Failure::new(ErrorKind::NoProvider, why);
        if endpoints.is_empty() {
            return Err(none("no server offers the service"));
        }
        let allowed = |endpoint: &&Arc<Endpoint>| {
            options
                .target
                .is_none_or(|target| target == endpoint.provider.addr)
                && self
                    .options
                    .routers
                    .iter()
                    .all(|router| router.allows(info, &endpoint.provider))
        };
        let routed: Vec<Arc<Endpoint>> = endpoints.iter().filter(allowed).cloned().collect();
        if routed.is_empty() {
            return Err(none("routing leaves no server"));
        }
        let untried =
            |endpoint: &Arc<Endpoint>| !tried.iter().any(|other| Arc::ptr_eq(other, endpoint));
        // The best that there is: available and not busy a moment ago; available; down as far as is known, where an
        // attempt says why; and at last one that was tried already, for a retry with a single server.
        let ranks: [&dyn Fn(&Arc<Endpoint>) -> bool; 4] = [
            &|endpoint| untried(endpoint) && endpoint.is_available() && !endpoint.is_resting(),
            &|endpoint| untried(endpoint) && endpoint.is_available(),
            &untried,
            &|endpoint| endpoint.is_available(),
        ];
        let candidates = ranks
            .iter()
            .map(|wanted| {
                routed
                    .iter()
                    .filter(|endpoint| wanted(endpoint))
                    .cloned()
                    .collect()
            })
            .find(|candidates: &Vec<_>| !candidates.is_empty())
            .unwrap_or_default();
        if candidates.is_empty() {
            return Err(none("no server is left to try"));
        }
        if self.options.sticky {
            let mut sticky = self.sticky.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(kept) = sticky.upgrade()
                && candidates
                    .iter()
                    .any(|candidate| Arc::ptr_eq(candidate, &kept))
            {
                return Ok(kept);
            }
            let chosen = self.choose(info, key, &candidates);
            *sticky = Arc::downgrade(&chosen);
            return Ok(chosen);
        }
        Ok(self.choose(info, key, &candidates))
    }

    fn has_other(&self, endpoint: &Arc<Endpoint>) -> bool {
        let is_other = |other: &Arc<Endpoint>| !Arc::ptr_eq(other, endpoint);
        self.endpoints()
            .is_ok_and(|endpoints| endpoints.iter().any(is_other))
    }

    fn choose(
        &self,
        info: &CallInfo<'_>,
        key: &str,
        candidates: &[Arc<Endpoint>],
    ) -> Arc<Endpoint> {
        self.balance
            .select(
                self.options.balancer,
                info.method,
                key,
                candidates,
                SystemTime::now(),
            )
            .clone()
    }

    /// The endpoints of the current list; those that stay keep their connections and health.
    fn endpoints(&self) -> Result<Arc<[Arc<Endpoint>]>, SetupError> {
        let current = self.providers.borrow().clone();
        {
            let known = self
                .endpoints
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&known.0, &current) {
                return Ok(known.1.clone());
            }
        }
        let mut known = self
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&known.0, &current) {
            return Ok(known.1.clone());
        }
        let endpoints: Arc<[Arc<Endpoint>]> = current
            .iter()
            .map(|provider| {
                if let Some(kept) = known
                    .1
                    .iter()
                    .find(|endpoint| endpoint.provider == *provider)
                {
                    return Ok(kept.clone());
                }
                let client = shared_client(provider.addr, &self.options.connection)?;
                Ok(Arc::new(Endpoint::new(provider.clone(), client)))
            })
            .collect::<Result<_, SetupError>>()?;
        *known = (current, endpoints.clone());
        Ok(endpoints)
    }

    /// Feeds fault tolerance.
    fn judge(&self, endpoint: &Endpoint, failure: Option<&Failure>) {
        let Some(rule) = &self.options.tolerance else {
            return;
        };
        let failed = failure.is_some_and(|failure| {
            matches!(
                failure.kind,
                ErrorKind::Timeout
                    | ErrorKind::Busy
                    | ErrorKind::ConnectionClosed
                    | ErrorKind::NoProvider
            )
        });
        ToleranceRule::record(endpoint, failed);
        let now_ms = self.began.elapsed().as_millis() as u64;
        let ends_ms = self.window_ends_ms.load(Relaxed);
        let next_ms = now_ms + rule.window.as_millis() as u64;
        if now_ms >= ends_ms
            && self
                .window_ends_ms
                .compare_exchange(ends_ms, next_ms, Relaxed, Relaxed)
                .is_ok()
            && let Ok(endpoints) = self.endpoints()
        {
            rule.judge(&endpoints);
        }
    }

    /// What consistent hashing goes by: the first argument as Java's `toString` gives it, where it is simple.
    fn key<A, T, E>(&self, codecs: &Codecs<A, T, E>, arguments: &A) -> String {
        let Some(hessian) = codecs
            .hessian
            .as_ref()
            .filter(|_| self.options.balancer.wants_key())
        else {
            return String::new();
        };
        let mut bytes = Vec::new();
        (hessian.encode_arguments)(
            arguments,
            &mut Encoder::new(diwan_hessian::Dialect::Draft, &mut bytes),
        );
        first_key(&bytes)
    }

    fn typed_writer<'w, A: Sync, T, E>(
        &self,
        codec: u8,
        signatures: Vec<&'w str>,
        codecs: &'w Codecs<A, T, E>,
        arguments: &'w A,
    ) -> impl Fn(&mut Vec<u8>, Head, &RequestHead<'_>) -> Result<(), String> + use<'w, A, T, E>
    {
        move |out, frame, head| {
            let content = match codecs.content(codec) {
                None => None,
                Some(content) => Some((content.encode_arguments)(arguments)?),
            };
            let encode = |encoder: &mut Encoder<'_>| {
                if let Some(hessian) = &codecs.hessian {
                    (hessian.encode_arguments)(arguments, encoder);
                }
            };
            write_request(
                out,
                frame,
                head,
                signatures.iter().copied(),
                encode,
                content.as_deref(),
            )
            .map_err(|error| error.to_string())
        }
    }

    fn read_typed<A, T, E>(
        &self,
        frame: &OwnedFrame,
        codecs: &Codecs<A, T, E>,
    ) -> Result<Answered<T, E>, Failure> {
        let codec = frame.frame().head.codec;
        let other = |content: &[u8]| match codecs.content(codec) {
            Some(content_codec) => (content_codec.decode_value)(content),
            None => Err(format!("an answer in codec {codec}")),
        };
        match &codecs.hessian {
            Some(hessian) => read_answer(
                frame,
                &self.options,
                hessian.decode_value,
                hessian.decode_exception,
                other,
            ),
            None if codec == code::HESSIAN2 => Err(Failure::new(
                ErrorKind::Codec,
                "the answer is Hessian, which was not asked for",
            )),
            None => read_answer(frame, &self.options, no_hessian, no_hessian, other),
        }
    }

    fn into_result<T, E>(
        &self,
        method: &str,
        outcome: Result<Answered<T, E>, Failure>,
    ) -> Result<T, RpcError<E>> {
        match outcome {
            Ok(Answered::Value(value)) => Ok(value),
            Ok(Answered::Exception(exception)) => Err(RpcError::Exception(exception)),
            Ok(Answered::Thrown(thrown)) => Err(RpcError::Thrown(thrown)),
            Err(failure) => Err(self.failed(method, failure)),
        }
    }

    fn failed<E>(&self, method: &str, failure: Failure) -> RpcError<E> {
        RpcError::Failed {
            kind: failure.kind,
            service: self.service.clone(),
            method: method.to_owned(),
            addr: failure.addr,
            message: failure.message,
        }
    }
}

/// Entries that the request being handled passes on, and the call's own baggage.
fn carried(options: &CallOptions) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = match Context::current() {
        None => Vec::new(),
        Some(context) => context
            .carried()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    };
    for (key, value) in &options.baggage {
        entries.push((format!("{REQUEST_BAGGAGE}.{key}"), value.clone()));
    }
    entries
}

fn read_answer<T, E>(
    frame: &OwnedFrame,
    options: &ConsumerOptions,
    value: impl for<'de> FnOnce(&mut Decoder<'de>) -> diwan_hessian::Result<T>,
    exception: impl for<'de> FnOnce(&mut Decoder<'de>) -> diwan_hessian::Result<E>,
    other: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<Answered<T, E>, Failure> {
    let frame = frame.frame();
    let codec_failure = |error: &dyn std::fmt::Display| {
        Failure::new(
            ErrorKind::Codec,
            format!("the answer cannot be read: {error}"),
        )
    };
    let is_json = frame.head.codec == code::JSON;
    let mut other = Some(other);
    let mut value = Some(value);
    let declared = read_response(
        &frame,
        options.hessian,
        |decoder| match value.take() {
            Some(value) => value(decoder),
            None => no_hessian(decoder),
        },
        |decoder| exception(decoder).map(Answered::Exception),
        |content| {
            let read = other
                .take()
                .map_or_else(|| Err(String::new()), |other| other(content));
            read.map_err(diwan_sofarpc::Error::Content)
        },
    );
    let answer = match declared {
        // An exception that is not the declared one is read again, as what every exception has.
        Err(_) if value.is_some() && other.is_some() => read_response(
            &frame,
            options.hessian,
            no_hessian,
            |decoder| Throwable::decode(decoder).map(|thrown| Answered::Thrown(Box::new(thrown))),
            |_| Err(diwan_sofarpc::Error::Missing("exception")),
        ),
        outcome => outcome,
    };
    match answer.map_err(|error| codec_failure(&error))? {
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
        Answer::Failure { status, message } => {
            let kind = match Status::from_code(status) {
                Some(Status::ServerThreadPoolBusy) => ErrorKind::Busy,
                Some(Status::NoProcessor) => ErrorKind::NotFound,
                Some(Status::ServerDeserialException) => ErrorKind::BadRequest,
                Some(Status::Timeout) => ErrorKind::Timeout,
                Some(Status::ConnectionClosed) => ErrorKind::ConnectionClosed,
                _ => ErrorKind::Server,
            };
            let name = Status::from_code(status)
                .map_or_else(|| format!("{status:#x}"), |status| format!("{status:?}"));
            let message = message.map_or_else(
                || format!("status {name}"),
                |message| format!("status {name}: {message}"),
            );
            Err(Failure::new(kind, message))
        }
    }
}

/// The text of the first value in a Hessian stream, as Java's `toString` has it; another value's bytes.
fn first_key(bytes: &[u8]) -> String {
    let mut decoder = Decoder::new(bytes);
    let Ok(value) = decoder.value() else {
        return String::new();
    };
    let root = value.root();
    if let Some(text) = root.as_str() {
        return text.to_owned();
    }
    if let Some(number) = root.as_i64() {
        return number.to_string();
    }
    bytes[..decoder.position()]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Reads what no Hessian stream holds.
fn no_hessian<T>(decoder: &mut Decoder<'_>) -> diwan_hessian::Result<T> {
    NoException::decode(decoder).map(|never| match never {})
}
