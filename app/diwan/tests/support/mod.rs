//! A service with every kind of method, and a raw connection to a server.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "support of tests; each file uses its part"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use diwan::Hessian;
use diwan::net::bolt::{Client, ClientOptions, OwnedFrame};
use diwan::rpc::{ConsumerOptions, Context, Server, ServerBuilder, ServiceClient};

/// An argument with fields.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.x.Person")]
pub struct Person {
    pub name: String,
    pub age: i32,
}

/// The declared exception.
#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.HelloException", throwable)]
pub struct HelloException {
    #[hessian(message)]
    pub message: String,
    pub code: i32,
}

impl std::fmt::Display for HelloException {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Every kind of method.
#[diwan::service(interface = "com.x.Hello", version = "1.0")]
pub trait Hello {
    async fn say(&self, name: String) -> String;
    async fn greet(&self, person: Person, times: i32) -> Vec<Person>;
    async fn nothing(&self);
    async fn fail(&self, code: i32) -> Result<String, HelloException>;
    async fn panic(&self) -> String;
    async fn sleep(&self, ms: i64) -> i64;
    #[rpc(oneway)]
    async fn note(&self, text: String);
    async fn notes(&self) -> i32;
    fn block(&self, ms: i64) -> i64;
    /// What the current context says.
    async fn context(&self, baggage: String) -> Vec<String>;
    #[rpc(name = "overloaded")]
    async fn overloaded_one(&self, text: String) -> String;
    #[rpc(name = "overloaded")]
    async fn overloaded_two(&self, text: String, number: i32) -> String;
}

/// Its implementation; `name` tells instances apart.
#[derive(Default)]
pub struct HelloService {
    pub name: String,
    pub notes: AtomicU32,
}

impl Hello for HelloService {
    async fn say(&self, name: String) -> String {
        format!("{}Hello, {name}!", self.name)
    }
    async fn greet(&self, person: Person, times: i32) -> Vec<Person> {
        (0..times)
            .map(|older| Person {
                name: person.name.clone(),
                age: person.age + older,
            })
            .collect()
    }
    async fn nothing(&self) {}
    async fn fail(&self, code: i32) -> Result<String, HelloException> {
        Err(HelloException {
            message: "declined".into(),
            code,
        })
    }
    async fn panic(&self) -> String {
        panic!("on purpose")
    }
    async fn sleep(&self, ms: i64) -> i64 {
        tokio::time::sleep(Duration::from_millis(ms as u64)).await;
        ms
    }
    async fn note(&self, _text: String) {
        self.notes.fetch_add(1, Relaxed);
    }
    async fn notes(&self) -> i32 {
        self.notes.load(Relaxed) as i32
    }
    fn block(&self, ms: i64) -> i64 {
        std::thread::sleep(Duration::from_millis(ms as u64));
        ms
    }
    async fn context(&self, baggage: String) -> Vec<String> {
        let context = Context::current().unwrap();
        let left = context
            .deadline()
            .map(|deadline| deadline - tokio::time::Instant::now());
        vec![
            context.baggage(&baggage).unwrap_or("none").to_owned(),
            context
                .entry("rpc_trace_context.sofaTraceId")
                .unwrap_or("none")
                .to_owned(),
            left.map_or("none".into(), |left| format!("{}", left.as_millis())),
        ]
    }
    async fn overloaded_one(&self, text: String) -> String {
        text
    }
    async fn overloaded_two(&self, text: String, number: i32) -> String {
        format!("{text} {number}")
    }
}

pub fn service(name: &str) -> HelloServer<HelloService> {
    HelloServer::new(HelloService {
        name: name.into(),
        ..HelloService::default()
    })
}

pub fn builder() -> ServerBuilder {
    Server::builder("127.0.0.1:0").workers(2)
}

pub fn start() -> Server {
    builder().publish(service("")).start().unwrap()
}

pub fn url(server: &Server) -> String {
    format!("bolt://{}", server.local_addr())
}

pub fn client(server: &Server) -> HelloClient {
    HelloClient::direct(&url(server), ConsumerOptions::default()).unwrap()
}

/// Sends whole frames as a test wants them and gets the answers.
pub struct Raw(Arc<Client>);

impl Raw {
    pub fn connect(addr: SocketAddr) -> Self {
        // A trace, so that consumers' shared connections are not these.
        Self(Arc::new(
            Client::connect(addr, ClientOptions::default()).unwrap(),
        ))
    }

    pub async fn call(&self, write: impl FnOnce(&mut Vec<u8>, u32)) -> OwnedFrame {
        let call = self.0.peer().call(Duration::from_secs(5), |out, id| {
            write(out, id);
            Ok(())
        });
        call.await.unwrap()
    }
}
