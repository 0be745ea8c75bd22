use diwan::hessian::Limits;
use diwan::rpc::server::Published;
use diwan::rpc::{Server, ServerBuilder};
use diwan_bench::{EchoServer, EchoService};

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
