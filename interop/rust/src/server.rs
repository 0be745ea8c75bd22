use std::time::Duration;

use diwan::hessian::Limits;
use diwan::rpc::server::Published;
use diwan::rpc::{Server, ServerBuilder};
use diwan_bench::{EchoServer, EchoService};
use tokio::signal::unix::{SignalKind, signal};

use crate::{KitchenServer, KitchenService, PbKitchenServer, PbService};

/// What the case `deep` needs, and some more.
const DEPTH_MAX: u32 = 500;

/// A server of the kitchen, its annex, the kitchen over protocol buffers, and the echo.
pub fn server(addr: impl Into<String>) -> ServerBuilder {
    let annex = KitchenServer::new(KitchenService::default());
    Server::builder(addr)
        .publish(KitchenServer::new(KitchenService::default()))
        // Its own counter: a server that ignores the unique id is found out.
        .publish(Published::from(annex).unique_id("annex"))
        .publish(PbKitchenServer::new(PbService))
        .publish(EchoServer::new(EchoService))
        .hessian_limits(Limits {
            depth_max: DEPTH_MAX,
            ..Limits::default()
        })
}

/// What the original allows requests to end.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Says where it listens, serves until SIGTERM, stops and says so.
/// # Errors
/// There are no signals.
pub async fn until_terminated(server: Server) -> std::io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    println!("listening on {}", server.local_addr());
    terminated.recv().await;
    server.stop(STOP_WITHIN).await;
    println!("stopped");
    Ok(())
}
