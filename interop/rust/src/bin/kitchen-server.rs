//! The kitchen services over Bolt.

use std::time::Duration;

use clap::Parser;
use diwan::hessian::Limits;
use diwan::rpc::Server;
use diwan::rpc::server::Published;
use diwan_bench::{EchoServer, EchoService};
use diwan_interop::{KitchenServer, KitchenService, PbKitchenServer, PbService};
use tokio::signal::unix::{SignalKind, signal};

/// What the original allows requests to end.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// The case `deep` nests further than the default.
const DEPTH_MAX: u32 = 500;

/// Serves Kitchen, its annex, PbKitchen and Echo on 127.0.0.1; SIGTERM stops it gracefully.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    port: u16,
    /// Threads for blocking methods.
    #[arg(long)]
    pool: Option<usize>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let annex = KitchenServer::new(KitchenService::default());
    let mut server = Server::builder(format!("127.0.0.1:{}", arguments.port))
        .publish(KitchenServer::new(KitchenService::default()))
        // Its own counter: a server that ignores the unique id is found out.
        .publish(Published::from(annex).unique_id("annex"))
        .publish(PbKitchenServer::new(PbService))
        .publish(EchoServer::new(EchoService))
        .hessian_limits(Limits {
            depth_max: DEPTH_MAX,
            ..Limits::default()
        });
    if let Some(threads) = arguments.pool {
        server = server.blocking_threads_max(threads);
    }
    let server = server.start()?;
    let mut terminated = signal(SignalKind::terminate())?;
    println!("listening on {}", server.local_addr());
    terminated.recv().await;
    server.stop(STOP_WITHIN).await;
    println!("stopped");
    Ok(())
}
