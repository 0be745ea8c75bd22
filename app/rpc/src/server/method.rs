use std::cell::RefCell;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use diwan_bolt::{FrameTooLarge, FrameWriter, Status};
use diwan_hessian::Decoder;
use diwan_net::bolt::Responder;
use diwan_sofarpc::names::{RESPONSE_CLASS, SERVER_EXCEPTION_CLASS, codec as code};
use diwan_sofarpc::{
    write_entries, write_error, write_exception, write_failure, write_message, write_value,
};
use tokio::time::Instant;

use super::blocking::{BlockingPool, Ran};
use super::{Outcome, RequestInfo, ServerFilter};
use crate::Context;
use crate::codec::Codecs;

/// Futures of finished calls whose memory is kept for the next ones, for each method and worker.
const SPARE_SLOTS_MAX: usize = 256;

/// A request on its way to its method.
pub struct Incoming<'r, 'a> {
    /// The arguments.
    pub arguments: Arguments<'r, 'a>,
    /// What happens at the end.
    pub finish: Finish,
    pub(super) blocking: &'r BlockingPool,
    /// The method was taken by its name and number of arguments alone: what to answer if it is not the one that was
    /// meant, because the arguments do not fit.
    pub(super) unmatched: Option<String>,
}

/// The arguments of a request, not read yet.
pub enum Arguments<'r, 'a> {
    /// A decoder at the first of them.
    Hessian(&'r mut Decoder<'a>),
    /// The content of a request in another codec.
    Other {
        /// Codec number.
        codec: u8,
        /// The content.
        content: &'a [u8],
    },
}

/// One method on one worker thread.
pub trait MethodWorker {
    /// Reads the arguments, runs the method, answers.
    fn call(self: Rc<Self>, incoming: Incoming<'_, '_>);
}

/// Answers a request and tells the filters.
pub struct Finish {
    pub(super) responder: Responder,
    pub(super) context: Option<Arc<Context>>,
    pub(super) watched: Option<Box<Watched>>,
}

/// What filters are told at the end; made only where there are filters.
pub(super) struct Watched {
    pub(super) filters: Arc<[Arc<dyn ServerFilter>]>,
    pub(super) service: String,
    pub(super) method: String,
    pub(super) remote: SocketAddr,
    pub(super) began: Instant,
}

impl Finish {
    fn answer(
        &mut self,
        outcome: Outcome,
        write: impl FnOnce(&mut FrameWriter<'_>) -> Result<(), String>,
    ) {
        let mut problem = None;
        let sent = self
            .responder
            .send(Status::Success, RESPONSE_CLASS.as_bytes(), |writer| {
                problem = write(writer).err();
            });
        match sent {
            Ok(()) if problem.is_none() => self.tell(outcome),
            Ok(()) => self.tell(Outcome::Failed),
            Err(FrameTooLarge { part, bytes, .. }) => {
                self.fail(
                    Status::ServerSerialException,
                    &format!("the answer's {part} of {bytes} bytes is too large"),
                );
            }
        }
    }

    /// Answers that the framework could not call the method. Not an exception: `isError` is set.
    pub(super) fn error(&mut self, message: &str) {
        log_refusal(&self.responder, message);
        let codec = self.responder.head().codec;
        self.answer(Outcome::Failed, |writer| {
            match codec {
                code::HESSIAN2 => write_error(writer, message),
                code::JSON => write_message(writer, &serde_json::Value::from(message).to_string()),
                _ => write_message(writer, message),
            }
            Ok(())
        });
    }

    /// Answers with a failure of the transport and an `RpcServerException`, which is Hessian whatever was asked in.
    pub(super) fn fail(&mut self, status: Status, message: &str) {
        send_failure(&mut self.responder, status, message);
        self.tell(Outcome::Failed);
    }

    fn busy(&mut self) {
        self.responder.send_busy();
        self.tell(Outcome::Failed);
    }

    fn tell(&mut self, outcome: Outcome) {
        let (Some(watched), Some(context)) = (self.watched.take(), &self.context) else {
            return;
        };
        let request = RequestInfo {
            service: &watched.service,
            method: &watched.method,
            remote: watched.remote,
            context,
        };
        for filter in watched.filters.iter() {
            filter.after(&request, outcome, watched.began.elapsed());
        }
    }
}

/// Answers with an `RpcServerException`, which is Hessian whatever was asked in.
pub(super) fn send_failure(responder: &mut Responder, status: Status, message: &str) {
    log_refusal(responder, message);
    responder.use_codec(code::HESSIAN2);
    let sent = responder.send(status, SERVER_EXCEPTION_CLASS.as_bytes(), |writer| {
        write_failure(writer, message)
    });
    if sent.is_err() {
        responder.send_status(status);
    }
}

fn log_refusal(responder: &Responder, message: &str) {
    let (remote, id) = (responder.connection().remote(), responder.head().id);
    tracing::debug!(%remote, id, message, "request refused");
}

/// What a method's future gives. A trait, so that an async method's result needs no future around its own, which would
/// be one more place that arguments and values are moved to.
trait Ended<T, E> {
    /// The result, or why there is none.
    fn result(&self) -> Result<&Result<T, E>, NoResult>;
}

/// Why a method has no result.
enum NoResult {
    Busy,
    Panicked,
}

impl<T, E> Ended<T, E> for Result<T, E> {
    fn result(&self) -> Result<&Result<T, E>, NoResult> {
        Ok(self)
    }
}

impl<T, E> Ended<T, E> for Ran<Result<T, E>> {
    fn result(&self) -> Result<&Result<T, E>, NoResult> {
        match self {
            Ran::Done(result) => Ok(result),
            Ran::Busy => Err(NoResult::Busy),
            Ran::Panicked => Err(NoResult::Panicked),
        }
    }
}

/// Memory for one call's future: refilled, not reallocated, by the next call.
type Slot<Fut> = Pin<Box<Option<Fut>>>;

struct Method<A, T, E, F, Fut> {
    codecs: Codecs<A, T, E>,
    run: F,
    spare: RefCell<Vec<Slot<Fut>>>,
    arguments: PhantomData<fn(A)>,
}

/// The worker part of an async method. `run` starts it.
pub fn method<A, T, E, F, Fut>(codecs: Codecs<A, T, E>, run: F) -> Rc<dyn MethodWorker>
where
    A: 'static,
    T: 'static,
    E: Display + 'static,
    F: Fn(A) -> Fut + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
{
    Rc::new(Method {
        codecs,
        run: move |arguments, _: &BlockingPool| run(arguments),
        spare: RefCell::default(),
        arguments: PhantomData,
    })
}

/// The worker part of a method that blocks: it runs on a bounded pool of threads.
pub fn blocking_method<A, T, E, F>(codecs: Codecs<A, T, E>, run: F) -> Rc<dyn MethodWorker>
where
    A: Send + 'static,
    T: Send + 'static,
    E: Display + Send + 'static,
    F: Fn(A) -> Result<T, E> + Clone + Send + 'static,
{
    let run = move |arguments, pool: &BlockingPool| {
        let (run, pool) = (run.clone(), pool.clone());
        let context = Context::current();
        async move {
            let work = move || Context::scope(context.as_ref(), || run(arguments));
            pool.run(work).await
        }
    };
    Rc::new(Method {
        codecs,
        run,
        spare: RefCell::default(),
        arguments: PhantomData,
    })
}

impl<A, T, E, F, Fut> MethodWorker for Method<A, T, E, F, Fut>
where
    A: 'static,
    T: 'static,
    E: Display + 'static,
    F: Fn(A, &BlockingPool) -> Fut + 'static,
    Fut: Future<Output: Ended<T, E>> + 'static,
{
    fn call(self: Rc<Self>, incoming: Incoming<'_, '_>) {
        let Incoming {
            arguments,
            mut finish,
            blocking,
            unmatched,
        } = incoming;
        let mut slot = self
            .spare
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Box::pin(None));
        // Most methods are done at once: then no task is made. The waker is of no use, because a pending future is
        // polled again by the task that takes it over.
        let mut cx = TaskContext::from_waker(Waker::noop());
        // All in one place: arguments may be large, and every closure they pass through moves them.
        let mut read = Ok(());
        let mut first = Poll::Ready(None);
        let _ = Context::lend(&mut finish.context, || {
            catch_unwind(AssertUnwindSafe(|| {
                read = self.read(arguments, |arguments| {
                    slot.set(Some((self.run)(arguments, blocking)));
                    if let Some(future) = slot.as_mut().as_pin_mut() {
                        first = future.poll(&mut cx).map(Some);
                    }
                });
            }))
        });
        if let Err(problem) = read {
            self.keep(slot);
            return match unmatched {
                Some(message) => finish.error(&message),
                None => finish.fail(
                    Status::ServerDeserialException,
                    &deserialization_failed(&problem),
                ),
            };
        }
        if let Poll::Ready(output) = &first {
            self.keep(slot);
            return self.finish(output.as_ref(), finish);
        }
        finish.responder.defer();
        tokio::task::spawn_local(async move {
            let output =
                poll_fn(|cx| Context::lend(&mut finish.context, || poll(&mut slot, cx))).await;
            self.keep(slot);
            self.finish(output.as_ref(), finish);
        });
    }
}

/// Polls the future in a slot; one that panics has ended without output.
fn poll<Fut: Future>(slot: &mut Slot<Fut>, cx: &mut TaskContext<'_>) -> Poll<Option<Fut::Output>> {
    let Some(future) = slot.as_mut().as_pin_mut() else {
        return Poll::Ready(None);
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| future.poll(cx).map(Some)));
    outcome.unwrap_or(Poll::Ready(None))
}

impl<A, T, E: Display, F, Fut> Method<A, T, E, F, Fut> {
    /// Reads the arguments and hands them on.
    fn read(&self, arguments: Arguments<'_, '_>, run: impl FnOnce(A)) -> Result<(), String> {
        match arguments {
            Arguments::Hessian(decoder) => match &self.codecs.hessian {
                Some(hessian) => match (hessian.decode_arguments)(decoder) {
                    Ok(arguments) => run(arguments),
                    Err(error) => return Err(error.to_string()),
                },
                None => return Err(unsupported(code::HESSIAN2)),
            },
            Arguments::Other { codec, content } => match self.codecs.content(codec) {
                Some(content_codec) => run((content_codec.decode_arguments)(content)?),
                None => return Err(unsupported(codec)),
            },
        }
        Ok(())
    }

    fn keep(&self, mut slot: Slot<Fut>) {
        // A future that panics in its drop must not take the worker with it.
        let emptied = catch_unwind(AssertUnwindSafe(|| slot.set(None)));
        let mut spare = self.spare.borrow_mut();
        if emptied.is_ok() && spare.len() < SPARE_SLOTS_MAX {
            spare.push(slot);
        }
    }

    /// Answers with what a method gave; nothing if it panicked.
    fn finish<O: Ended<T, E>>(&self, output: Option<&O>, mut finish: Finish) {
        let codec = finish.responder.head().codec;
        let entries = finish
            .context
            .as_ref()
            .map(|context| context.take_answered())
            .unwrap_or_default();
        match output.map_or(Err(NoResult::Panicked), Ended::result) {
            Err(NoResult::Busy) => finish.busy(),
            Err(NoResult::Panicked) => {
                let (remote, id) = (
                    finish.responder.connection().remote(),
                    finish.responder.head().id,
                );
                tracing::error!(%remote, id, "a method panicked");
                finish.error("the method panicked");
            }
            Ok(Ok(value)) => match (&self.codecs.hessian, self.codecs.content(codec)) {
                (Some(hessian), _) if codec == code::HESSIAN2 => {
                    finish.answer(Outcome::Value, |writer| {
                        write_value(writer, (hessian.encode_value)(value), &entries);
                        Ok(())
                    })
                }
                (_, Some(content)) => match (content.encode_value)(value) {
                    Ok(bytes) => finish.answer(Outcome::Value, |writer| {
                        write_entries(writer, &entries);
                        writer.content().extend_from_slice(&bytes);
                        Ok(())
                    }),
                    Err(problem) => finish.fail(Status::ServerSerialException, &problem),
                },
                _ => finish.fail(Status::ServerSerialException, &unsupported(codec)),
            },
            Ok(Err(exception)) => match &self.codecs.hessian {
                Some(hessian) if codec == code::HESSIAN2 => {
                    finish.answer(Outcome::Exception, |writer| {
                        write_exception(writer, (hessian.encode_exception)(exception), &entries);
                        Ok(())
                    })
                }
                _ => finish.error(&exception.to_string()),
            },
        }
    }
}

fn unsupported(codec: u8) -> String {
    format!("codec {codec} is not supported by this method")
}

/// The words of the original (`sofastack/sofa-bolt:com/alipay/remoting/rpc/RpcCommandFactory.java`).
pub(super) fn deserialization_failed(problem: &str) -> String {
    format!(
        "[Server]OriginErrorMsg: com.alipay.remoting.exception.DeserializationException: {problem}. \
         AdditionalErrorMsg: null"
    )
}
