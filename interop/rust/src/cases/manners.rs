//! Manners of calling, the connection, the other services.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diwan::hessian::Date;
use diwan::net::bolt::{Client, ClientEvent, ClientOptions, PeerState};
use diwan::rpc::client::{self, CallOptions, ResponseBaggage};
use diwan::rpc::{ConsumerOptions, RpcError, ServiceClient};
use diwan_bench::{Address, EchoClient, Order};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::failures::failed;
use super::{Outcome, Remote, Run, equal, is_true, options};
use crate::samples::{cook, decimal, dish};
use crate::{Cook, Kitchen, PbKitchen, PbKitchenClient, PbService};

fn some(text: &str) -> Option<String> {
    Some(text.into())
}

pub(super) async fn run(run: &mut Run, remote: &Remote) {
    let kitchen = &remote.kitchen;
    run.case("oneway", async {
        let before = kitchen.counter().await?;
        for by in 1..=5 {
            kitchen.tick(by)?;
        }
        let began = Instant::now();
        while kitchen.counter().await? != before + 15 && began.elapsed() < Duration::from_secs(3) {
            sleep(Duration::from_millis(20)).await;
        }
        equal(&(before + 15), &kitchen.counter().await?)
    })
    .await;
    run.case("future", async {
        let reverse = tokio::spawn({
            let kitchen = kitchen.clone();
            async move { kitchen.reverse(some("abc")).await }
        });
        let remade = kitchen.remake(Some(dish(5))).await?;
        let reversed = reverse.await.map_err(|error| error.to_string())?;
        equal(&some("cba"), &reversed?)?;
        equal(&remote.local.remake(Some(dish(5))).await, &remade)
    })
    .await;
    run.case("callback", async {
        let (send, receive) = oneshot::channel();
        let caller = kitchen.clone();
        let call = async move { caller.refuse(some("no"), 3).await };
        client::callback(call, |outcome| {
            // Nobody receives what comes too late.
            let _ = send.send(outcome);
        })
        .map_err(|error| error.to_string())?;
        let outcome = timeout(Duration::from_secs(3), receive).await;
        let outcome = outcome.map_err(|error| error.to_string())?;
        match failed(outcome.map_err(|error| error.to_string())?)? {
            RpcError::Exception(exception) => equal(&3, &exception.code),
            other => Err(other.into()),
        }
    })
    .await;
    run.case("overtaking", async {
        // Two calls under way on one connection: the quick answer does not wait for the slow one.
        let order = Mutex::new(Vec::new());
        let call = async |text: &str, delay_ms| {
            let answer = kitchen.slow(some(text), delay_ms).await;
            order
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(answer.map_err(|error| error.to_string()));
        };
        tokio::join!(call("slow", 600), call("quick", 0));
        let order = order.into_inner().unwrap_or_else(PoisonError::into_inner);
        equal(&vec![Ok(some("quick")), Ok(some("slow"))], &order)
    })
    .await;
    run.case("unique-id", async {
        let annex = remote.kitchen_with(ConsumerOptions {
            unique_id: "annex".into(),
            ..options()
        })?;
        let (main, before) = (kitchen.counter().await?, annex.counter().await?);
        annex.add(3).await?;
        let after = (kitchen.counter().await?, annex.counter().await?);
        equal(&(main, before + 3), &after)
    })
    .await;
    run.case("baggage", async {
        let answered = ResponseBaggage::default();
        let item = "42 \u{4e2d}";
        let laden = kitchen.with(CallOptions {
            baggage: vec![("order".into(), item.into())],
            response_baggage: Some(answered.clone()),
            ..CallOptions::default()
        });
        equal(&some(item), &laden.baggage("order".into()).await?)?;
        equal(&some(&format!("yes:{item}")), &answered.get("served"))
    })
    .await;
    run.case("heartbeat", heartbeat(remote)).await;
    run.case("echo-service", echo_service(remote)).await;
    protobuf(run, remote).await;
}

async fn heartbeat(remote: &Remote) -> Outcome {
    let closed = Arc::new(Mutex::new(Vec::new()));
    let options = ClientOptions {
        heartbeat_interval: Duration::from_millis(300),
        heartbeat_timeout: Duration::from_millis(300),
        events: Some({
            let closed = closed.clone();
            Arc::new(move |event: &ClientEvent| {
                if let ClientEvent::Closed(addr, reason) = event {
                    let mut closed = closed.lock().unwrap_or_else(PoisonError::into_inner);
                    closed.push((*addr, reason.clone()));
                }
            })
        }),
        ..ClientOptions::default()
    };
    let connect = |addr: SocketAddr| {
        Client::connect(addr, options.clone()).map_err(|error| error.to_string())
    };
    // First proof that this can fail: a server that never answers loses the connection.
    let deaf = TcpListener::bind("127.0.0.1:0")
        .await
        .and_then(|deaf| deaf.local_addr().map(|addr| (deaf, addr)));
    let (_deaf, deaf_addr) = deaf.map_err(|error| error.to_string())?;
    let addr = remote.url.trim_start_matches("bolt://").parse();
    let addr: SocketAddr = addr.map_err(|error| format!("{}: {error}", remote.url))?;
    let (_ignored, answered) = (connect(deaf_addr)?, connect(addr)?);
    let events = || {
        closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    };
    let began = Instant::now();
    while events().is_empty() && began.elapsed() < Duration::from_secs(6) {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_millis(500)).await;
    let events = events();
    let is_deaf = |event: &(SocketAddr, String)| event.0 == deaf_addr;
    is_true(
        "a connection without heartbeat answers is closed",
        events.iter().any(is_deaf),
    )?;
    is_true(
        &format!("only that one: {events:?}"),
        events.iter().all(is_deaf),
    )?;
    equal(&PeerState::Connected, &answered.state())
}

fn order() -> Order {
    Order {
        order_id: "ORD-1".into(),
        user_id: "user-1".into(),
        channel: "app".into(),
        currency: "CNY".into(),
        remark: "\u{8bf7}\u{5728}\u{5de5}\u{4f5c}\u{65e5}".into(),
        coupon_code: None,
        status: 3,
        item_count: 4,
        priority: 70_000,
        created_at_ms: 1_585_267_200_123,
        version: 17,
        weight_kg: 12.375,
        discount_rate: 0.15,
        paid: true,
        gift: false,
        deliver_by: Some(Date(1_585_526_400_000)),
        amount: decimal("12345678.90"),
        skus: vec!["A".into(), "B".into()],
        labels: [("cell".to_owned(), "GZ00A".to_owned())].into(),
        address: Some(Address {
            street: "569 Xixi Road".into(),
            city: "Hangzhou".into(),
            zip: "310013".into(),
            country: "CN".into(),
            latitude: 30.2741,
            longitude: 120.1551,
        }),
    }
}

async fn echo_service(remote: &Remote) -> Outcome {
    let echo = EchoClient::direct(&remote.url, options())?;
    equal(&"hello".to_owned(), &echo.echo("hello".into()).await?)?;
    equal(&order(), &echo.order(order()).await?)?;
    echo.oneway("no answer expected".into())?;
    match failed(echo.fail("declined".into()).await)? {
        RpcError::Exception(exception) => equal(
            &("declined".to_owned(), 409),
            &(exception.message, exception.code),
        ),
        other => Err(other.into()),
    }
}

async fn protobuf(run: &mut Run, remote: &Remote) {
    let client = PbKitchenClient::direct(&remote.url, options());
    let cooks = async |requests: Vec<Cook>| {
        let client = client.as_ref().map_err(|error| error.to_string())?;
        for request in requests {
            let expected = PbService.cook(request.clone()).await;
            equal(&expected, &client.cook(request).await?)?;
        }
        Ok(())
    };
    let plain = Cook {
        dish: "x".into(),
        ..Cook::default()
    };
    run.case("protobuf", cooks(vec![plain, cook()])).await;
    // SOFARPC's own server takes a message without bytes for none at all and fails.
    run.special("protobuf-empty", cooks(vec![Cook::default()]))
        .await;
    run.case("protobuf-error", async {
        let client = client.as_ref().map_err(|error| error.to_string())?;
        let fish = Cook {
            dish: "fish".into(),
            ..Cook::default()
        };
        let text = failed(client.refuse(fish).await)?.to_string();
        is_true(&text, text.ends_with("no fish"))
    })
    .await;
}
