//! Services that find each other through a registry: Diwan's own, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use diwan::net::bolt::{Bolt, Handler, Incoming, SessionOptions};
use diwan::net::{Server as NetServer, ServerOptions};
use diwan::rpc::client::{Cluster, Discovery, Provider, block_on};
use diwan::rpc::registry::{
    Announcement, GuardRule, RegistryClient, RegistryEvent, RegistryOptions, Servers, Warmup,
};
use diwan::rpc::server::{HealthCheck, Published};
use diwan::rpc::{ConsumerOptions, ErrorKind, Server, ServiceClient};
use diwan_bolt::{FrameWriter, Head, Status};
use diwan_registry::edge::{self, Handle};
use diwan_registry::settings::Settings;
use diwan_registry::state::Config;
use support::{HelloClient, builder, service};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

const SERVICE: &str = "com.x.Hello:1.0";
const PATIENCE: Duration = Duration::from_secs(20);

/// A registry at an address, port 0 for any.
fn registry(listen: SocketAddr) -> Handle {
    let options = edge::Options {
        listen,
        advertise: listen.to_string(),
        config: Config::default(),
        server: ServerOptions::default(),
        settings: Settings::default(),
        nodes: None,
        directory: None,
        access_keys: None,
    };
    edge::start(options).unwrap()
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind(any_port()).unwrap().local_addr().unwrap()
}

fn at(addr: SocketAddr) -> RegistryOptions {
    RegistryOptions::new(Servers::Fixed(vec![addr.to_string()]))
}

/// A client and what happens to it.
fn watched(
    mut options: RegistryOptions,
) -> (RegistryClient, mpsc::UnboundedReceiver<RegistryEvent>) {
    let (tell, told) = mpsc::unbounded_channel();
    options.events = Some(Arc::new(move |event| drop(tell.send(event.clone()))));
    (RegistryClient::start(options).unwrap(), told)
}

async fn until(
    events: &mut mpsc::UnboundedReceiver<RegistryEvent>,
    wanted: impl Fn(&RegistryEvent) -> bool,
) -> RegistryEvent {
    let find = async {
        loop {
            let event = events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(PATIENCE, find).await.unwrap()
}

type List = watch::Receiver<Arc<[Provider]>>;

/// Waits until so many providers are listed.
async fn listed(list: &mut List, count: usize) -> Arc<[Provider]> {
    let wait = list.wait_for(|providers| providers.len() == count);
    timeout(PATIENCE, wait).await.unwrap().unwrap().clone()
}

fn publish(registry: &RegistryClient, name: &str) -> Server {
    let announcement = Announcement {
        notice: Duration::from_millis(300),
        ..Announcement::default()
    };
    let server = builder().publish(service(name));
    server.register(registry, announcement).start().unwrap()
}

#[tokio::test]
async fn a_consumer_finds_what_a_server_publishes() {
    let registry = registry(any_port());
    let (there, mut events) = watched(at(registry.addr()));
    let announcement = Announcement {
        weight: 30,
        warmup: Some(Warmup {
            time: Duration::from_secs(60),
            weight: 3,
        }),
        attributes: [("color".to_owned(), "blue".to_owned())].into(),
        ..Announcement::default()
    };
    let server = builder()
        .publish(service(""))
        .register(&there, announcement);
    let server = server.start().unwrap();
    until(&mut events, |event| {
        matches!(event, RegistryEvent::Registered { .. })
    })
    .await;

    let here = RegistryClient::start(at(registry.addr())).unwrap();
    // The first call waits for the list; nobody else does.
    let hello = HelloClient::discovered(&here, ConsumerOptions::default()).unwrap();
    assert_eq!(hello.say("Ann".into()).await.unwrap(), "Hello, Ann!");
    let providers = here.subscribe(SERVICE).borrow().clone();
    assert_eq!(providers.len(), 1);
    assert_eq!(providers[0].addr, server.local_addr());
    assert_eq!((providers[0].weight, providers[0].warmup_weight), (30, 3));
    assert!(providers[0].warmup_until.is_some());
    assert_eq!(providers[0].attributes["color"], "blue");
    // A second consumer knows at once, and one without a runtime does, too.
    let again = HelloClient::discovered(&here, ConsumerOptions::default()).unwrap();
    let call = move || block_on(again.say("Bob".into()));
    let said = tokio::task::spawn_blocking(call).await.unwrap();
    assert_eq!(said.unwrap(), "Hello, Bob!");
    registry.stop().await;
}

#[tokio::test]
async fn without_any_list_a_call_says_so() {
    let options = RegistryOptions {
        first_list_timeout: Duration::from_millis(100),
        ..at(nobody())
    };
    let (here, mut events) = watched(options);
    let hello = HelloClient::discovered(&here, ConsumerOptions::default()).unwrap();
    let error = hello.say("Ann".into()).await.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::NoList), "{error}");
    assert!(ErrorKind::NoList.was_not_executed());
    assert!(error.to_string().contains("no list of servers"), "{error}");
    let error = hello.note("oneway".into()).unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::NoList), "{error}");
    until(&mut events, |event| {
        matches!(event, RegistryEvent::ConnectFailed { .. })
    })
    .await;
}

#[tokio::test]
async fn a_list_without_instances_is_a_list() {
    let registry = registry(any_port());
    let here = RegistryClient::start(at(registry.addr())).unwrap();
    let hello = HelloClient::discovered(&here, ConsumerOptions::default()).unwrap();
    let error = hello.say("Ann".into()).await.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::NoProvider), "{error}");
    registry.stop().await;
}

struct Flag(Arc<AtomicBool>);

impl HealthCheck for Flag {
    fn name(&self) -> &str {
        "flag"
    }
    fn check(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        let up = self.0.load(Relaxed);
        Box::pin(async move { if up { Ok(()) } else { Err("down".into()) } })
    }
}

#[tokio::test]
async fn a_service_is_listed_once_it_is_ready() {
    let registry = registry(any_port());
    let (there, mut events) = watched(at(registry.addr()));
    let flag = Arc::new(AtomicBool::new(false));
    let gated = Published::from(service("")).unique_id("gated");
    let gated = gated.health(Flag(flag.clone()));
    let server = builder().publish(service("")).publish(gated);
    let server = server.register(&there, Announcement::default());
    let server = server.start().unwrap();
    let event = until(&mut events, |event| {
        matches!(event, RegistryEvent::Registered { .. })
    })
    .await;
    assert!(matches!(event, RegistryEvent::Registered { service, .. } if service == SERVICE));
    let here = RegistryClient::start(at(registry.addr())).unwrap();
    let mut list = here.subscribe("com.x.Hello:1.0:gated");
    timeout(PATIENCE, list.changed()).await.unwrap().unwrap();
    assert_eq!(list.borrow_and_update().len(), 0);
    flag.store(true, Relaxed);
    listed(&mut list, 1).await;
    assert_eq!(list.borrow()[0].addr, server.local_addr());
    registry.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_costs_no_call() {
    let registry = registry(any_port());
    let there = RegistryClient::start(at(registry.addr())).unwrap();
    let here = RegistryClient::start(at(registry.addr())).unwrap();
    let (stays, goes) = (publish(&there, "a "), publish(&there, "b "));
    let mut list = here.subscribe(SERVICE);
    listed(&mut list, 2).await;
    // Nothing is repeated: each call shows itself what the list was worth.
    let options = ConsumerOptions {
        cluster: Cluster::Failfast,
        ..ConsumerOptions::default()
    };
    let hello = HelloClient::discovered(&here, options).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let calling = tokio::spawn({
        let ended = ended.clone();
        async move {
            let mut calls = 0;
            while !ended.load(Relaxed) {
                hello.say("x".into()).await.unwrap();
                calls += 1;
            }
            calls
        }
    });
    goes.stop(Duration::from_secs(5)).await;
    assert_eq!(list.borrow().len(), 1, "it was taken off before it stopped");
    ended.store(true, Relaxed);
    assert!(calling.await.unwrap() > 0);
    drop(stays);
    listed(&mut list, 0).await;
    registry.stop().await;
}

#[tokio::test]
async fn a_registry_that_forgot_everything_empties_no_list() {
    let first = registry(any_port());
    let addr = first.addr();
    let (there, mut events) = watched(at(addr));
    let (here, mut here_events) = watched(at(addr));
    let server = publish(&there, "");
    let mut list = here.subscribe(SERVICE);
    listed(&mut list, 1).await;
    list.mark_unchanged();
    first.stop().await;
    let lost = |event: &RegistryEvent| matches!(event, RegistryEvent::Lost { .. });
    until(&mut events, lost).await;
    until(&mut here_events, lost).await;
    let second = registry(addr);
    let registered = |event: &RegistryEvent| matches!(event, RegistryEvent::Registered { .. });
    until(&mut events, registered).await;
    until(&mut here_events, registered).await;
    // A newcomer sees what the new registry knows.
    let newcomer = RegistryClient::start(at(addr)).unwrap();
    let mut seen = newcomer.subscribe(SERVICE);
    assert_eq!(listed(&mut seen, 1).await[0].addr, server.local_addr());
    assert!(!list.has_changed().unwrap(), "it was there all the time");
    second.stop().await;
}

#[tokio::test]
async fn a_registry_that_knows_nobody_is_not_believed_at_once() {
    let first = registry(any_port());
    let there = RegistryClient::start(at(first.addr())).unwrap();
    let _server = publish(&there, "");
    let second = nobody();
    let servers = Servers::Fixed(vec![first.addr().to_string(), second.to_string()]);
    let (here, mut events) = watched(RegistryOptions {
        guard: GuardRule {
            hold: Duration::from_millis(500),
            ..GuardRule::default()
        },
        ..RegistryOptions::new(servers)
    });
    let mut list = here.subscribe(SERVICE);
    listed(&mut list, 1).await;
    // The consumer goes to another server of the registry, where the provider never is.
    let second = registry(second);
    first.stop().await;
    let held = |event: &RegistryEvent| matches!(event, RegistryEvent::ListHeldBack { .. });
    until(&mut events, held).await;
    assert_eq!(list.borrow().len(), 1);
    let hello = HelloClient::discovered(&here, ConsumerOptions::default()).unwrap();
    assert_eq!(hello.say("Ann".into()).await.unwrap(), "Hello, Ann!");
    let released = |event: &RegistryEvent| matches!(event, RegistryEvent::ListReleased { .. });
    until(&mut events, released).await;
    listed(&mut list, 0).await;
    second.stop().await;
}

#[tokio::test]
async fn lists_outlive_the_registry_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let options = |addr| RegistryOptions {
        snapshot: Some(folder.path().join("lists.json")),
        snapshot_after: Duration::from_millis(50),
        ..at(addr)
    };
    let registry = registry(any_port());
    let there = RegistryClient::start(at(registry.addr())).unwrap();
    let _server = publish(&there, "");
    let here = RegistryClient::start(options(registry.addr())).unwrap();
    listed(&mut here.subscribe(SERVICE), 1).await;
    let written = async {
        loop {
            let text = std::fs::read_to_string(folder.path().join("lists.json"));
            if text.is_ok_and(|text| text.contains("127.0.0.1")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, written).await.unwrap();
    drop(here);
    registry.stop().await;

    let (later, mut events) = watched(options(nobody()));
    let hello = HelloClient::discovered(&later, ConsumerOptions::default()).unwrap();
    assert_eq!(hello.say("Ann".into()).await.unwrap(), "Hello, Ann!");
    until(&mut events, |event| {
        matches!(event, RegistryEvent::SnapshotUsed { .. })
    })
    .await;
    assert_eq!(later.stats().snapshots_used.load(Relaxed), 1);

    std::fs::write(folder.path().join("lists.json"), "nonsense").unwrap();
    let (_damaged, mut events) = watched(options(nobody()));
    until(&mut events, |event| {
        matches!(event, RegistryEvent::SnapshotFailed { .. })
    })
    .await;
}

#[tokio::test]
async fn another_server_of_the_registry_takes_over() {
    let (one, other) = (registry(any_port()), registry(any_port()));
    let servers = Servers::Fixed(vec![one.addr().to_string(), other.addr().to_string()]);
    let (there, mut events) = watched(RegistryOptions::new(servers));
    let server = publish(&there, "");
    let connected = |event: &RegistryEvent| matches!(event, RegistryEvent::Connected { .. });
    let RegistryEvent::Connected { addr } = until(&mut events, connected).await else {
        panic!()
    };
    let (goes, stays) = if addr == one.addr() {
        (one, other)
    } else {
        (other, one)
    };
    goes.stop().await;
    let here = RegistryClient::start(at(stays.addr())).unwrap();
    let list = listed(&mut here.subscribe(SERVICE), 1).await;
    assert_eq!(list[0].addr, server.local_addr());
    stays.stop().await;
}

/// Takes every registration for nonsense, and says nonsense of its own.
struct Liar;

impl Handler for Liar {
    fn request(&self, mut incoming: Incoming<'_>) {
        let peer = incoming.peer();
        let _ = incoming
            .responder
            .send(Status::Success, b"java.lang.String", |writer| {
                writer.content().extend(b"\x03yes");
            });
        let pushes: [(&[u8], &[u8]); 4] = [
            (
                b"com.alipay.sofa.registry.core.model.ReceivedData",
                b"O\x90",
            ),
            (b"com.alipay.sofa.registry.core.model.ReceivedData", b""),
            (b"com.x.Unknown", b"N"),
            (b"", b""),
        ];
        for (class, content) in pushes {
            let call = peer.call(PATIENCE, |frame, id| {
                let head = Head::request(id, 1, 1000);
                let mut writer = FrameWriter::begin(frame, head, class);
                writer.content().extend(content);
                writer.finish().unwrap();
                Ok(())
            });
            tokio::task::spawn_local(async move { drop(call.await) });
        }
    }
}

#[tokio::test]
async fn nonsense_is_counted_and_changes_nothing() {
    let handler = Arc::new(|| Rc::new(Liar) as Rc<dyn Handler>);
    let bolt = Bolt::new(handler, SessionOptions::default());
    let liar = NetServer::start(any_port(), vec![bolt], ServerOptions::default()).unwrap();
    let (here, mut events) = watched(at(liar.local_addr()));
    let list = here.subscribe(SERVICE);
    let stats = here.stats().clone();
    let all_told = |_: &RegistryEvent| {
        let refused = stats.pushes_refused.load(Relaxed);
        refused >= 4 && stats.not_registered.load(Relaxed) >= 1
    };
    until(&mut events, all_told).await;
    assert!(!list.has_changed().unwrap());
    liar.stop(Duration::ZERO).await;
}
