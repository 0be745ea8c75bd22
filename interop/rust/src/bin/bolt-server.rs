//! Bare Bolt, without SOFARPC above it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicI32;

use clap::Parser;
use diwan::net::bolt::{Bolt, SessionOptions};
use diwan::net::{Server, ServerOptions};
use diwan_interop::Greeter;

/// Answers greetings on 127.0.0.1.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    port: u16,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, Arguments::parse().port));
    let oneway = Arc::new(AtomicI32::new(0));
    let handler = Arc::new(move || Greeter::server(oneway.clone()));
    let bolt = Bolt::new(handler, SessionOptions::default());
    let server = Server::start(addr, vec![bolt], ServerOptions::default())?;
    println!("listening on {}", server.local_addr());
    loop {
        std::thread::park();
    }
}
