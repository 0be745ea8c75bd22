//! One side of a service that is found through a registry, for a peer of another kind.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use diwan::rpc::client::Discovery;
use diwan::rpc::registry::{Announcement, RegistryClient, RegistryOptions, Servers, ZooKeeper};
use diwan::rpc::server::Published;
use diwan::rpc::{ConsumerOptions, Server, ServiceClient};
use diwan_interop::until_terminated;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

/// Until everything has come or gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Publishes a service, or calls it.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    side: Side,
    /// Where the registry tells its servers.
    #[arg(long, global = true, default_value = "127.0.0.1:9603")]
    endpoint: String,
    /// A ZooKeeper instead, as `zookeeper://127.0.0.1:2181/root`.
    #[arg(long, global = true)]
    zookeeper: Option<ZooKeeper>,
    /// How long ZooKeeper waits for a peer that says nothing.
    #[arg(long, global = true, default_value_t = 4000)]
    session_timeout_ms: u64,
    /// Tells this run's service apart.
    #[arg(long, global = true, default_value = "")]
    unique_id: String,
}

#[derive(Subcommand)]
enum Side {
    /// Publishes until SIGTERM.
    Provide {
        /// Where to listen on 127.0.0.1.
        #[arg(long)]
        port: u16,
    },
    /// Calls until the provider has gone.
    Consume,
    /// Calls and says what changes, until SIGTERM.
    Follow,
}

/// What the Java peer calls it.
#[diwan::service(interface = "harness.SofaRpcPeer$Echo")]
trait Echo {
    async fn echo(&self, text: String) -> String;
}

struct Same;

impl Echo for Same {
    async fn echo(&self, text: String) -> String {
        text
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let servers = match arguments.zookeeper {
        Some(zookeeper) => Servers::ZooKeeper(ZooKeeper {
            session_timeout: Duration::from_millis(arguments.session_timeout_ms),
            ..zookeeper
        }),
        None => Servers::Ask(vec![arguments.endpoint]),
    };
    let registry = RegistryClient::start(RegistryOptions {
        app: Some("registry-peer".to_owned()),
        events: Some(Arc::new(|event| eprintln!("{event:?}"))),
        ..RegistryOptions::new(servers)
    })?;
    match arguments.side {
        Side::Provide { port } => provide(&registry, port, &arguments.unique_id).await,
        Side::Consume => consume(&registry, arguments.unique_id).await,
        Side::Follow => follow(&registry, arguments.unique_id).await,
    }
}

async fn provide(
    registry: &RegistryClient,
    port: u16,
    unique_id: &str,
) -> Result<(), Box<dyn Error>> {
    let server = Server::builder(format!("127.0.0.1:{port}"))
        .publish(Published::from(EchoServer::new(Same)).unique_id(unique_id))
        .register(registry, Announcement::default())
        .start()?;
    Ok(until_terminated(server).await?)
}

async fn consume(registry: &RegistryClient, unique_id: String) -> Result<(), Box<dyn Error>> {
    let mut list = registry.subscribe(&format!("harness.SofaRpcPeer$Echo:1.0:{unique_id}"));
    let listed = list.wait_for(|providers| !providers.is_empty());
    let provider = timeout(PATIENCE, listed).await??[0].clone();
    if provider.weight != 70
        || provider.attributes.get("timeout").map(String::as_str) != Some("2000")
    {
        return Err(format!("not what the provider says of itself: {provider:?}").into());
    }
    let options = ConsumerOptions {
        unique_id,
        ..ConsumerOptions::default()
    };
    let echo = EchoClient::discovered(registry, options)?;
    for call in 0..1000 {
        let text = format!("call {call}");
        if echo.echo(text.clone()).await? != text {
            return Err("another answer".into());
        }
    }
    println!("ready");
    let gone = list.wait_for(|providers| providers.is_empty());
    timeout(PATIENCE, gone).await??;
    println!("ok 1000 calls");
    Ok(())
}

/// A call that is interrupted by the end of its server is a failed one; all others are to come through.
async fn follow(registry: &RegistryClient, unique_id: String) -> Result<(), Box<dyn Error>> {
    let mut list = registry.subscribe(&format!("harness.SofaRpcPeer$Echo:1.0:{unique_id}"));
    let options = ConsumerOptions {
        unique_id,
        ..ConsumerOptions::default()
    };
    let echo = EchoClient::discovered(registry, options)?;
    let listed = list.wait_for(|providers| !providers.is_empty());
    timeout(PATIENCE, listed).await??;
    let mut terminated = signal(SignalKind::terminate())?;
    let (mut calls, mut failed, mut listed) = (0, 0, 0);
    loop {
        let now = list.borrow().len();
        if std::mem::replace(&mut listed, now) != now {
            println!("providers {now}");
        }
        let text = format!("call {calls}");
        match echo.echo(text.clone()).await {
            Ok(answer) if answer == text => {}
            Ok(_) => return Err("another answer".into()),
            Err(error) => {
                failed += 1;
                println!("failed: {error}");
            }
        }
        calls += 1;
        let pause = sleep(Duration::from_millis(1));
        if timeout(Duration::ZERO, terminated.recv()).await.is_ok() {
            println!("ok {calls} calls, {failed} failed");
            return Ok(());
        }
        pause.await;
    }
}
