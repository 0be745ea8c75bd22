//! Which server a call goes to, and what happens when one fails.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diwan::rpc::client::{
    Balancer, CallInfo, CallOptions, ClientFilter, Cluster, Discovery, Provider, Router,
    StaticDiscovery, ToleranceRule,
};
use diwan::rpc::{ConsumerOptions, ErrorKind, Server, ServiceClient};
use support::*;

const NAME: &str = "com.x.Hello:1.0";

/// Servers called `a`, `b`, ... and a discovery that knows them.
fn cluster(count: usize) -> (Vec<Server>, StaticDiscovery) {
    let servers: Vec<_> = (0..count)
        .map(|index| {
            builder()
                .publish(service(&format!("{} ", (b'a' + index as u8) as char)))
                .start()
                .unwrap()
        })
        .collect();
    let discovery = StaticDiscovery::new();
    discovery.set(
        NAME,
        servers
            .iter()
            .map(|server| Provider::new(server.local_addr()))
            .collect::<Vec<_>>(),
    );
    (servers, discovery)
}

/// How many of `calls` calls each server answered.
async fn spread(hello: &HelloClient, calls: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for number in 0..calls {
        let answer = hello.say(number.to_string()).await.unwrap();
        *counts.entry(answer[..1].to_owned()).or_default() += 1;
    }
    counts
}

fn with(balancer: Balancer) -> ConsumerOptions {
    ConsumerOptions {
        balancer,
        ..ConsumerOptions::default()
    }
}

#[tokio::test]
async fn round_robin_gives_each_server_its_turn() {
    let (_servers, discovery) = cluster(3);
    let hello = HelloClient::discovered(&discovery, with(Balancer::RoundRobin)).unwrap();
    assert_eq!(
        spread(&hello, 30).await.into_values().collect::<Vec<_>>(),
        [10, 10, 10]
    );
}

#[tokio::test]
async fn weights_count() {
    let (servers, discovery) = cluster(2);
    let mut providers: Vec<_> = servers
        .iter()
        .map(|server| Provider::new(server.local_addr()))
        .collect();
    providers[1].weight = 300;
    discovery.set(NAME, providers);
    let turns = HelloClient::discovered(&discovery, with(Balancer::WeightRoundRobin)).unwrap();
    assert_eq!(
        spread(&turns, 400).await.into_values().collect::<Vec<_>>(),
        [100, 300]
    );
    let chance = HelloClient::discovered(&discovery, with(Balancer::Random)).unwrap();
    let counts = spread(&chance, 400).await;
    assert!((60..140).contains(&counts["a"]), "{counts:?}");
}

#[tokio::test]
async fn consistent_hash_keeps_a_key_with_its_server() {
    for balancer in [Balancer::ConsistentHash, Balancer::WeightConsistentHash] {
        let (_servers, discovery) = cluster(3);
        let hello = HelloClient::discovered(&discovery, with(balancer)).unwrap();
        let mut owners = BTreeMap::new();
        for round in 0..3 {
            for key in 0..30 {
                let answer = hello.say(format!("key-{key}")).await.unwrap();
                let owner = owners.entry(key).or_insert_with(|| answer[..1].to_owned());
                assert_eq!(*owner, answer[..1], "{balancer:?} round {round}");
            }
        }
        let used: std::collections::BTreeSet<_> = owners.values().collect();
        assert_eq!(used.len(), 3, "{balancer:?}");
    }
}

#[tokio::test]
async fn a_list_that_changes_is_followed() {
    let (servers, discovery) = cluster(2);
    let hello = HelloClient::discovered(&discovery, with(Balancer::RoundRobin)).unwrap();
    assert_eq!(spread(&hello, 10).await.len(), 2);
    discovery.set(NAME, [Provider::new(servers[1].local_addr())]);
    assert_eq!(
        spread(&hello, 10).await.into_keys().collect::<Vec<_>>(),
        ["b"]
    );
    discovery.set(NAME, []);
    let error = hello.say("x".into()).await.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::NoProvider), "{error}");
    assert_eq!(discovery.subscribe(NAME).borrow().len(), 0);
}

#[tokio::test]
async fn sticky_stays_and_a_target_is_obeyed() {
    let (servers, discovery) = cluster(3);
    let options = ConsumerOptions {
        sticky: true,
        ..with(Balancer::RoundRobin)
    };
    let hello = HelloClient::discovered(&discovery, options).unwrap();
    assert_eq!(spread(&hello, 20).await.len(), 1);
    let target = CallOptions {
        target: Some(servers[2].local_addr()),
        ..CallOptions::default()
    };
    assert_eq!(
        spread(&hello.with(target), 5)
            .await
            .into_keys()
            .collect::<Vec<_>>(),
        ["c"]
    );
}

#[tokio::test]
async fn a_target_is_obeyed_by_oneway_requests_too() {
    let (servers, discovery) = cluster(2);
    let hello = HelloClient::discovered(&discovery, with(Balancer::RoundRobin)).unwrap();
    let to_second = hello.with(CallOptions {
        target: Some(servers[1].local_addr()),
        ..CallOptions::default()
    });
    for _ in 0..6 {
        to_second.note("x".into()).unwrap();
    }
    assert_eq!(to_second.notes().await.unwrap(), 6);
}

struct OnlyPort(u16);

impl Router for OnlyPort {
    fn allows(&self, _call: &CallInfo<'_>, provider: &Provider) -> bool {
        provider.addr.port() == self.0
    }
}

#[tokio::test]
async fn routers_narrow_the_choice() {
    let (servers, discovery) = cluster(3);
    let mut options = with(Balancer::RoundRobin);
    options
        .routers
        .push(Arc::new(OnlyPort(servers[1].local_addr().port())));
    let hello = HelloClient::discovered(&discovery, options.clone()).unwrap();
    assert_eq!(
        spread(&hello, 5).await.into_keys().collect::<Vec<_>>(),
        ["b"]
    );
    options
        .routers
        .push(Arc::new(OnlyPort(servers[2].local_addr().port())));
    let none = HelloClient::discovered(&discovery, options).unwrap();
    assert!(
        none.say("x".into())
            .await
            .unwrap_err()
            .to_string()
            .ends_with("routing leaves no server")
    );
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn failover_passes_over_servers_that_cannot_be_reached() {
    let (servers, discovery) = cluster(1);
    discovery.set(
        NAME,
        [
            Provider::new(nobody()),
            Provider::new(servers[0].local_addr()),
        ],
    );
    let hello = HelloClient::discovered(&discovery, with(Balancer::RoundRobin)).unwrap();
    assert_eq!(spread(&hello, 20).await["a"], 20);
    discovery.set(NAME, [Provider::new(nobody())]);
    let error = hello.say("x".into()).await.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::NoProvider), "{error}");
}

#[tokio::test]
async fn a_timeout_is_repeated_only_as_often_as_asked() {
    let (_servers, discovery) = cluster(2);
    for (retries, cluster, attempts) in [
        (0, Cluster::Failover, 1),
        (2, Cluster::Failover, 3),
        (2, Cluster::Failfast, 1),
    ] {
        let count = Arc::new(Count::default());
        let options = ConsumerOptions {
            timeout: Duration::from_millis(30),
            retries,
            cluster,
            filters: vec![count.clone()],
            ..ConsumerOptions::default()
        };
        let hello = HelloClient::discovered(&discovery, options).unwrap();
        let began = std::time::Instant::now();
        let error = hello.sleep(10_000).await.unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::Timeout));
        assert!(
            began.elapsed() >= Duration::from_millis(30 * attempts),
            "{retries} {cluster:?}"
        );
        assert!(
            began.elapsed() < Duration::from_millis(30 * attempts + 500),
            "{retries} {cluster:?}"
        );
        assert_eq!(*count.ends.lock().unwrap(), [Some(ErrorKind::Timeout)]);
    }
}

#[derive(Default)]
struct Count {
    refuse: AtomicBool,
    ends: Mutex<Vec<Option<ErrorKind>>>,
}

impl ClientFilter for Count {
    fn before(
        &self,
        _call: &CallInfo<'_>,
        entries: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        entries.push(("rpc_req_baggage.added".into(), "by a filter".into()));
        if self.refuse.load(Relaxed) {
            Err("not today".into())
        } else {
            Ok(())
        }
    }
    fn after(
        &self,
        _call: &CallInfo<'_>,
        _addr: Option<SocketAddr>,
        failure: Option<ErrorKind>,
        _took: Duration,
    ) {
        self.ends.lock().unwrap().push(failure);
    }
}

#[tokio::test]
async fn client_filters_add_and_refuse() {
    let server = start();
    let count = Arc::new(Count::default());
    let options = ConsumerOptions {
        filters: vec![count.clone()],
        ..ConsumerOptions::default()
    };
    let hello = HelloClient::direct(&url(&server), options).unwrap();
    assert_eq!(
        hello.context("added".into()).await.unwrap()[0],
        "by a filter"
    );
    count.refuse.store(true, Relaxed);
    assert_eq!(
        hello.say("x".into()).await.unwrap_err().kind(),
        Some(ErrorKind::Rejected)
    );
    assert_eq!(*count.ends.lock().unwrap(), [None]);
}

#[tokio::test]
async fn fault_tolerance_takes_calls_from_a_server_that_fails() {
    let (servers, discovery) = cluster(8);
    // One address answers nothing: its calls time out.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut providers: Vec<_> = servers
        .iter()
        .map(|server| Provider::new(server.local_addr()))
        .collect();
    let silent_addr = silent.local_addr().unwrap();
    providers.push(Provider::new(silent_addr));
    discovery.set(NAME, providers);
    let to_silent = Arc::new(Tally {
        addr: silent_addr,
        count: Mutex::new(0),
    });
    let options = ConsumerOptions {
        timeout: Duration::from_millis(500),
        tolerance: Some(ToleranceRule {
            window: Duration::from_millis(300),
            ..ToleranceRule::default()
        }),
        filters: vec![to_silent.clone()],
        ..with(Balancer::WeightRoundRobin)
    };
    let hello = HelloClient::discovered(&discovery, options).unwrap();
    let round = async || {
        let call = |_| {
            let hello = hello.clone();
            tokio::spawn(async move { drop(hello.say("x".into()).await) })
        };
        // All at once: the calls to the silent address time out together and end the window.
        for call in (0..180).map(call).collect::<Vec<_>>() {
            call.await.unwrap();
        }
        std::mem::take(&mut *to_silent.count.lock().unwrap())
    };
    let before = round().await;
    // Judged when the next burst ends its window.
    round().await;
    let after = round().await;
    assert_eq!(before, 20, "an equal share of 180 calls");
    assert!(after < before / 3, "{before} then {after}");
}

struct Tally {
    addr: SocketAddr,
    count: Mutex<usize>,
}

impl ClientFilter for Tally {
    fn after(
        &self,
        _call: &CallInfo<'_>,
        addr: Option<SocketAddr>,
        _failure: Option<ErrorKind>,
        _took: Duration,
    ) {
        if addr == Some(self.addr) {
            *self.count.lock().unwrap() += 1;
        }
    }
}

/// One of two servers stops while eight callers are at it: nobody notices.
#[tokio::test]
async fn a_graceful_stop_under_load_fails_no_call() {
    let (mut servers, discovery) = cluster(2);
    let hello = HelloClient::discovered(&discovery, with(Balancer::RoundRobin)).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (hello, over) = (hello.clone(), over.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while !over.load(Relaxed) {
                    hello.sleep(1).await.unwrap();
                    hello.say("x".into()).await.unwrap();
                    calls += 2;
                }
                calls
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    servers.remove(0).stop(Duration::from_secs(20)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    over.store(true, Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 10);
    }
}
