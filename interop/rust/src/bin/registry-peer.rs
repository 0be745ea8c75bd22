//! One side of a service that is found through a registry, for a peer of another kind.

use std::error::Error;
use std::time::Duration;

use clap::{Parser, Subcommand};
use diwan::rpc::client::Discovery;
use diwan::rpc::registry::{Announcement, RegistryClient, RegistryOptions, Servers};
use diwan::rpc::server::Published;
use diwan::rpc::{ConsumerOptions, Server, ServiceClient};
use diwan_interop::until_terminated;
use tokio::time::timeout;

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
    let registry = RegistryClient::start(RegistryOptions {
        app: Some("registry-peer".to_owned()),
        ..RegistryOptions::new(Servers::Ask(vec![arguments.endpoint]))
    })?;
    match arguments.side {
        Side::Provide { port } => provide(&registry, port, &arguments.unique_id).await,
        Side::Consume => consume(&registry, arguments.unique_id).await,
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
