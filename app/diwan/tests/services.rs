//! Typed and generic calls from a client to a server over real sockets.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diwan::hessian::Value;
use diwan::rpc::client::{CallInfo, CallOptions, ClientFilter, block_on, callback};
use diwan::rpc::server::{HealthCheck, Outcome, Published, RequestInfo, ServerFilter};
use diwan::rpc::{Consumer, ConsumerOptions, ErrorKind, RpcError, ServiceClient};
use serde::{Deserialize, Serialize};
use support::*;

#[tokio::test]
async fn values_objects_and_nothing_come_back() {
    let server = start();
    let hello = client(&server);
    assert_eq!(
        hello.say("Ann \u{1f600}".into()).await.unwrap(),
        "Hello, Ann \u{1f600}!"
    );
    let person = Person {
        name: "Ann".into(),
        age: 30,
    };
    let people = hello.greet(person, 3).await.unwrap();
    assert_eq!(
        people.iter().map(|person| person.age).collect::<Vec<_>>(),
        [30, 31, 32]
    );
    hello.nothing().await.unwrap();
    assert_eq!(hello.overloaded_one("x".into()).await.unwrap(), "x");
    assert_eq!(hello.overloaded_two("x".into(), 7).await.unwrap(), "x 7");
    assert_eq!(hello.sleep(5).await.unwrap(), 5);
    assert_eq!(hello.block(5).await.unwrap(), 5);
}

#[test]
fn a_client_needs_no_runtime() {
    let server = start();
    assert_eq!(
        block_on(client(&server).say("Ann".into())).unwrap(),
        "Hello, Ann!"
    );
}

#[test]
fn a_callback_gets_the_answer() {
    let server = start();
    let hello = client(&server);
    let (answer, answered) = std::sync::mpsc::channel();
    callback(
        async move { hello.say("Ann".into()).await },
        move |outcome| answer.send(outcome.unwrap()).unwrap(),
    )
    .unwrap();
    assert_eq!(answered.recv().unwrap(), "Hello, Ann!");
}

#[tokio::test]
async fn a_declared_exception_is_told_from_failures() {
    let server = start();
    let hello = client(&server);
    match hello.fail(409).await.unwrap_err() {
        RpcError::Exception(exception) => {
            assert_eq!(
                exception,
                HelloException {
                    message: "declined".into(),
                    code: 409
                }
            );
        }
        other => panic!("{other}"),
    }
    let panicked = hello.panic().await.unwrap_err();
    assert_eq!(panicked.kind(), Some(ErrorKind::Server));
    assert_eq!(
        hello.say("again".into()).await.unwrap(),
        "Hello, again!",
        "the worker lives on"
    );
}

/// The same service with other types: `fail` declares another exception, `say` has another argument, `gone` is missing.
#[diwan::service(interface = "com.x.Hello")]
pub trait Older {
    async fn fail(&self, code: i32) -> Result<String, diwan::hessian::Throwable>;
    #[rpc(name = "fail")]
    async fn fail_undeclared(&self, code: i32) -> String;
    async fn gone(&self) -> String;
    #[rpc(name = "sleep")]
    async fn sleep_text(&self, text: String) -> i64;
    #[rpc(name = "say")]
    async fn say_number(&self, name: String) -> i32;
}

#[tokio::test]
async fn differing_ideas_of_a_service_are_typed_errors() {
    let server = start();
    let older = OlderClient::direct(&url(&server), ConsumerOptions::default()).unwrap();
    match older.fail(1).await.unwrap_err() {
        RpcError::Exception(thrown) => {
            assert_eq!(thrown.to_string(), "com.x.HelloException: declined")
        }
        other => panic!("{other}"),
    }
    match older.fail_undeclared(1).await.unwrap_err() {
        RpcError::Thrown(thrown) => assert_eq!(thrown.class, "com.x.HelloException"),
        other => panic!("{other}"),
    }
    assert_eq!(
        older.gone().await.unwrap_err().kind(),
        Some(ErrorKind::NotFound)
    );
    let mismatch = older.sleep_text("soon".into()).await.unwrap_err();
    assert_eq!(mismatch.kind(), Some(ErrorKind::NotFound), "{mismatch}");
    let answer = older.say_number("Ann".into()).await.unwrap_err();
    assert_eq!(answer.kind(), Some(ErrorKind::Codec), "{answer}");
}

#[tokio::test]
async fn oneway_is_carried_out_and_not_waited_for() {
    let server = start();
    let hello = client(&server);
    hello.nothing().await.unwrap();
    for _ in 0..10 {
        hello.note("x".into()).unwrap();
    }
    // On one connection requests begin in their order.
    assert_eq!(hello.notes().await.unwrap(), 10);
}

#[tokio::test]
async fn blocking_methods_beyond_the_pool_are_answered_busy() {
    let server = builder()
        .publish(service(""))
        .blocking_threads_max(2)
        .start()
        .unwrap();
    let hello = client(&server);
    let calls: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn({
                let hello = hello.clone();
                async move { hello.block(300).await }
            })
        })
        .collect();
    let mut busy = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(300) => {}
            Err(error) => {
                assert_eq!(error.kind(), Some(ErrorKind::Busy), "{error}");
                busy += 1;
            }
            Ok(other) => panic!("{other}"),
        }
    }
    assert_eq!(busy, 1);
}

#[tokio::test]
async fn generic_calls_carry_any_value() {
    let server = start();
    let consumer =
        Consumer::direct("com.x.Hello", &url(&server), ConsumerOptions::default()).unwrap();
    let person = Value::object(
        "com.x.Person",
        [("name", Value::str("Ann")), ("age", Value::int(30))],
    );
    let options = CallOptions::default();
    let answer = consumer
        .generic(
            "greet",
            &["com.x.Person", "int"],
            &[person.clone(), Value::int(1)],
            &options,
        )
        .await
        .unwrap();
    assert_eq!(
        answer.items().next().unwrap().get("age").unwrap().as_i64(),
        Some(30)
    );
    let thrown = consumer
        .generic("fail", &["int"], &[Value::int(7)], &options)
        .await
        .unwrap_err();
    match thrown {
        RpcError::Exception(thrown) => {
            assert_eq!(
                (thrown.class.as_str(), thrown.fields[0].1.as_i64()),
                ("com.x.HelloException", Some(7))
            );
        }
        other => panic!("{other}"),
    }
}

/// JSON and Hessian.
#[diwan::service(interface = "com.x.Json", codecs(json, hessian))]
pub trait Jsonic {
    async fn join(&self, parts: Vec<String>, separator: String) -> String;
    async fn count(&self, parts: Vec<String>) -> i32;
    async fn fail(&self) -> Result<i32, HelloException>;
}

struct JsonService;

impl Jsonic for JsonService {
    async fn join(&self, parts: Vec<String>, separator: String) -> String {
        parts.join(&separator)
    }
    async fn count(&self, parts: Vec<String>) -> i32 {
        parts.len() as i32
    }
    async fn fail(&self) -> Result<i32, HelloException> {
        Err(HelloException {
            message: "declined".into(),
            code: 1,
        })
    }
}

/// Protocol buffers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Text {
    #[prost(string, tag = "1")]
    pub text: String,
}

#[diwan::service(interface = "com.x.Proto", codecs(protobuf))]
pub trait Proto {
    async fn shout(&self, text: Text) -> Text;
    async fn fail(&self, text: Text) -> Result<Text, HelloException>;
}

struct ProtoService;

impl Proto for ProtoService {
    async fn shout(&self, text: Text) -> Text {
        Text {
            text: text.text.to_uppercase(),
        }
    }
    async fn fail(&self, text: Text) -> Result<Text, HelloException> {
        Err(HelloException {
            message: text.text,
            code: 1,
        })
    }
}

#[tokio::test]
async fn json_and_protobuf_are_spoken_beside_hessian() {
    let server = builder()
        .publish(JsonicServer::new(JsonService))
        .publish(ProtoServer::new(ProtoService))
        .start()
        .unwrap();
    for codec in [None, Some(1), Some(12)] {
        let options = ConsumerOptions {
            codec,
            ..ConsumerOptions::default()
        };
        let json = JsonicClient::direct(&url(&server), options).unwrap();
        assert_eq!(
            json.join(vec!["a".into(), "b".into()], "-".into())
                .await
                .unwrap(),
            "a-b"
        );
        assert_eq!(json.count(vec!["a".into()]).await.unwrap(), 1);
        let failed = json.fail().await.unwrap_err();
        if codec == Some(1) {
            assert!(matches!(failed, RpcError::Exception(_)));
        } else {
            assert!(failed.to_string().ends_with(": declined"), "{failed}");
        }
    }
    let proto = ProtoClient::direct(&url(&server), ConsumerOptions::default()).unwrap();
    assert_eq!(
        proto.shout(Text { text: "hi".into() }).await.unwrap().text,
        "HI"
    );
    assert_eq!(
        proto.shout(Text::default()).await.unwrap().text,
        "",
        "an empty message has no bytes at all"
    );
    let failed = proto.fail(Text { text: "no".into() }).await.unwrap_err();
    assert!(failed.to_string().ends_with(": no"), "{failed}");
    let options = ConsumerOptions {
        codec: Some(1),
        ..ConsumerOptions::default()
    };
    let refused = ProtoClient::direct(&url(&server), options)
        .unwrap()
        .shout(Text::default())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), Some(ErrorKind::Codec));
}

/// Passes a call on to the next server.
#[diwan::service(interface = "com.x.Relay")]
pub trait Relay {
    async fn context(&self, baggage: String) -> Vec<String>;
}

struct RelayService(HelloClient);

impl Relay for RelayService {
    async fn context(&self, baggage: String) -> Vec<String> {
        self.0.context(baggage).await.unwrap()
    }
}

/// Adds what a tracer of the first caller would add.
struct Tracer;

impl ClientFilter for Tracer {
    fn before(&self, _: &CallInfo<'_>, entries: &mut Vec<(String, String)>) -> Result<(), String> {
        entries.push(("rpc_trace_context.sofaTraceId".into(), "c0000202".into()));
        Ok(())
    }
}

#[tokio::test]
async fn baggage_trace_and_deadline_go_from_server_to_server() {
    let last = start();
    let middle = builder()
        .publish(RelayServer::new(RelayService(client(&last))))
        .start()
        .unwrap();
    let options = ConsumerOptions {
        filters: vec![Arc::new(Tracer)],
        ..ConsumerOptions::default()
    };
    let relay = RelayClient::direct(&url(&middle), options).unwrap();
    let options = CallOptions {
        timeout: Some(Duration::from_millis(700)),
        baggage: vec![("user".into(), "ann".into())],
        ..CallOptions::default()
    };
    let seen = relay.with(options).context("user".into()).await.unwrap();
    assert_eq!(seen[..2], ["ann", "c0000202"]);
    // The relay's own timeout is 3 s: the last server sees what is left of the first caller's 700 ms.
    let left: u64 = seen[2].parse().unwrap();
    assert!((1..=700).contains(&left), "{left}");
}

struct Flag(Arc<AtomicBool>);

impl HealthCheck for Flag {
    fn name(&self) -> &str {
        "flag"
    }
    fn check(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async {
            if self.0.load(Relaxed) {
                Ok(())
            } else {
                Err("not raised".into())
            }
        })
    }
}

#[tokio::test]
async fn a_service_is_published_when_its_health_checks_pass() {
    let flag = Arc::new(AtomicBool::new(false));
    let gated = Published::from(service(""))
        .unique_id("gated")
        .health(Flag(flag.clone()));
    let server = builder()
        .publish(service(""))
        .publish(gated)
        .start()
        .unwrap();
    assert_eq!(
        server.services(),
        ["com.x.Hello:1.0", "com.x.Hello:1.0:gated"]
    );
    let options = ConsumerOptions {
        unique_id: "gated".into(),
        ..ConsumerOptions::default()
    };
    let gated = HelloClient::direct(&url(&server), options).unwrap();
    assert_eq!(
        gated.say("x".into()).await.unwrap_err().kind(),
        Some(ErrorKind::NotFound)
    );
    assert!(
        client(&server).say("x".into()).await.is_ok(),
        "the other one is not held up"
    );
    flag.store(true, Relaxed);
    server.ready().await;
    assert!(gated.say("x".into()).await.is_ok());
}

#[derive(Default)]
struct Watch {
    seen: Mutex<Vec<(String, Outcome)>>,
    refused: AtomicUsize,
}

struct WatchFilter(Arc<Watch>);

impl ServerFilter for WatchFilter {
    fn before(&self, request: &RequestInfo<'_>) -> Result<(), String> {
        if request.context.baggage("password") == Some("wrong") {
            self.0.refused.fetch_add(1, Relaxed);
            return Err("access denied".into());
        }
        Ok(())
    }
    fn after(&self, request: &RequestInfo<'_>, outcome: Outcome, _took: Duration) {
        self.0
            .seen
            .lock()
            .unwrap()
            .push((request.method.to_owned(), outcome));
    }
}

#[tokio::test]
async fn filters_see_and_refuse_requests() {
    let watch = Arc::new(Watch::default());
    let server = builder()
        .publish(service(""))
        .filter(WatchFilter(watch.clone()))
        .start()
        .unwrap();
    let hello = client(&server);
    hello.say("x".into()).await.unwrap();
    hello.fail(1).await.unwrap_err();
    hello.sleep(1).await.unwrap();
    let intruder = hello.with(CallOptions {
        baggage: vec![("password".into(), "wrong".into())],
        ..CallOptions::default()
    });
    let refused = intruder.say("x".into()).await.unwrap_err();
    assert!(refused.to_string().ends_with("access denied"), "{refused}");
    let seen = watch.seen.lock().unwrap().clone();
    let expected = [
        ("say", Outcome::Value),
        ("fail", Outcome::Exception),
        ("sleep", Outcome::Value),
    ];
    assert_eq!(
        seen,
        expected.map(|(method, outcome)| (method.to_owned(), outcome))
    );
    assert_eq!(watch.refused.load(Relaxed), 1);
}

#[test]
fn a_service_published_twice_is_refused() {
    let error = builder()
        .publish(service(""))
        .publish(service(""))
        .start()
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "com.x.Hello:1.0 is published twice");
}

/// `serde` types travel by JSON only; this is checked by the compiler.
#[derive(Serialize, Deserialize)]
pub struct OnlyJson {
    pub text: String,
}

#[diwan::service(interface = "com.x.OnlyJson", codecs(json))]
pub trait JsonOnly {
    async fn same(&self, value: OnlyJson) -> OnlyJson;
}

/// Handlers call other services: the clients' futures must be `Send`.
#[test]
fn client_futures_can_change_threads() {
    fn is_send<T: Send>(_: &T) {}
    let server = start();
    let hello = client(&server);
    is_send(&hello.say("x".into()));
    is_send(&hello.fail(1));
    is_send(&hello.greet(Person::default(), 1));
}
