//! Bare Bolt: the class name in the frame is what requests are told apart by, the content one Hessian value.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Duration;

use diwan::Hessian;
use diwan::hessian::{Decode, Decoder, Dialect, Encode, Encoder, Throwable};
use diwan::net::bolt::{CallError, Handler, Incoming, OwnedFrame, Peer, Responder};
use diwan_bolt::{Frame, FrameWriter, Head, Kind, Status};

/// Request and answer.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.diwan.interop.Greeting")]
pub struct Greeting {
    /// What is said.
    pub text: Option<String>,
    /// A number.
    pub count: i32,
}

const CLASS: &[u8] = b"com.diwan.interop.Greeting";
const EXCEPTION_CLASS: &str = "com.alipay.remoting.rpc.exception.RpcServerException";
const HESSIAN: u8 = 1;
const CALL_BACK_TIMEOUT: Duration = Duration::from_secs(2);

impl Greeting {
    /// Of a text and a number.
    pub fn new(text: &str, count: i32) -> Self {
        let text = Some(text.to_owned());
        Self { text, count }
    }

    /// Reads what a frame carries; what else it says, as text.
    ///
    /// # Errors
    /// When the frame is a failure, or is no greeting.
    pub fn read(frame: &Frame<'_>) -> Result<Self, String> {
        let mut decoder = Decoder::new(frame.content);
        match frame.head.kind {
            Kind::Response { status } if status != Status::Success.code() => {
                let thrown = Throwable::decode(&mut decoder).map_err(|error| error.to_string())?;
                let message = thrown.message.unwrap_or_default();
                Err(format!("status {status}: {message}"))
            }
            _ => Self::decode(&mut decoder).map_err(|error| error.to_string()),
        }
    }

    fn write(&self, writer: &mut FrameWriter<'_>) {
        self.encode(&mut Encoder::new(Dialect::Draft, writer.content()));
    }

    fn answer(&self) -> Self {
        let text = self.text.as_deref().unwrap_or_default();
        Self {
            text: Some(text.chars().rev().collect()),
            count: self.count.wrapping_add(1),
        }
    }
}

/// Calls with greetings on any connection.
pub trait GreetingCalls {
    /// Sends a greeting in a frame like `head` and waits for the answer.
    fn greet(
        &self,
        head: Head,
        class: &[u8],
        greeting: &Greeting,
        timeout: Duration,
    ) -> impl Future<Output = Result<Greeting, String>>;
}

impl GreetingCalls for Peer {
    async fn greet(
        &self,
        head: Head,
        class: &[u8],
        greeting: &Greeting,
        timeout: Duration,
    ) -> Result<Greeting, String> {
        let call = self.call(timeout, |out, id| {
            let mut writer = FrameWriter::begin(out, Head { id, ..head }, class);
            greeting.write(&mut writer);
            writer
                .finish()
                .map_err(|error| CallError::Unsendable(error.to_string()))
        });
        let answer: OwnedFrame = call.await.map_err(|error| error.to_string())?;
        Greeting::read(&answer.frame())
    }
}

/// Answers greetings: the text backwards and the count plus one; some texts ask for more, as `Bolt.java` says.
pub struct Greeter {
    oneway: Arc<AtomicI32>,
    /// Answers as a client does that is called by the server.
    is_client: bool,
}

impl Greeter {
    /// One of a server's, whose workers share a counter.
    pub fn server(oneway: Arc<AtomicI32>) -> Rc<dyn Handler> {
        let is_client = false;
        Rc::new(Self { oneway, is_client })
    }

    /// One of a client's.
    pub fn client() -> Rc<dyn Handler> {
        Rc::new(Self {
            oneway: Arc::default(),
            is_client: true,
        })
    }
}

fn send(responder: &mut Responder, greeting: &Greeting) {
    // A greeting is never too large.
    let _ = responder.send(Status::Success, CLASS, |writer| greeting.write(writer));
}

fn fail(responder: &mut Responder, message: &str) {
    let _ = responder.send(
        Status::ServerException,
        EXCEPTION_CLASS.as_bytes(),
        |writer| {
            let thrown = Throwable::new(EXCEPTION_CLASS, message);
            thrown.encode(&mut Encoder::new(Dialect::Draft, writer.content()));
        },
    );
}

impl Handler for Greeter {
    fn request(&self, mut incoming: Incoming<'_>) {
        let class = String::from_utf8_lossy(incoming.frame.class).into_owned();
        let greeting = (class.as_bytes() == CLASS).then(|| Greeting::read(&incoming.frame));
        let peer = incoming.peer();
        let mut responder = incoming.responder;
        let greeting = match greeting {
            None => {
                let message = format!("No user processor found for request: {class}");
                return fail(&mut responder, &message);
            }
            Some(Err(problem)) => return fail(&mut responder, &problem),
            Some(Ok(greeting)) => greeting,
        };
        let text = greeting.text.as_deref().unwrap_or_default();
        if self.is_client {
            let answer = Greeting::new(&format!("client got: {text}"), greeting.count * 2);
            return send(&mut responder, &answer);
        }
        match text {
            "count" => send(
                &mut responder,
                &Greeting::new("count", self.oneway.load(Relaxed)),
            ),
            "throw" => fail(
                &mut responder,
                &format!(
                    "[Server]OriginErrorMsg: java.lang.IllegalStateException: thrown {}",
                    greeting.count
                ),
            ),
            "sleep" => {
                responder.defer();
                tokio::task::spawn_local(async move {
                    let delay_ms = u64::try_from(greeting.count).unwrap_or_default();
                    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                    send(&mut responder, &greeting.answer());
                });
            }
            "call me" => {
                responder.defer();
                tokio::task::spawn_local(async move {
                    let question = Greeting::new("from the server", greeting.count);
                    // In the protocol of the question: its other end may know no other.
                    let timeout_ms = CALL_BACK_TIMEOUT.as_millis() as i32;
                    let head = Head {
                        kind: Kind::Request { timeout_ms },
                        ..*responder.head()
                    };
                    match peer.greet(head, CLASS, &question, CALL_BACK_TIMEOUT).await {
                        Ok(answer) => send(&mut responder, &answer),
                        Err(problem) => fail(&mut responder, &problem),
                    }
                });
            }
            "oneway" => {
                self.oneway.fetch_add(1, Relaxed);
                send(&mut responder, &greeting.answer());
            }
            _ => send(&mut responder, &greeting.answer()),
        }
    }
}

/// The head of a greeting in protocol 1, to be changed for others.
pub(crate) fn head(timeout: Duration) -> Head {
    Head::request(0, HESSIAN, timeout.as_millis() as i32)
}

pub(crate) const GREETING_CLASS: &[u8] = CLASS;
