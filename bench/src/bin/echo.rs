//! The Rust server under measurement.

use clap::Parser;
use diwan::rpc::Server;
use diwan_bench::{EchoServer, EchoService};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves com.diwan.bench.Echo:1.0 over Bolt.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:12200")]
    addr: String,
    /// Worker threads; as many as cores may be used if it is not given.
    #[arg(long)]
    workers: Option<usize>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut server = Server::builder(arguments.addr).publish(EchoServer::new(EchoService));
    if let Some(workers) = arguments.workers {
        server = server.workers(workers);
    }
    let server = server.start()?;
    println!("listening on {}", server.local_addr());
    loop {
        std::thread::park();
    }
}
