//! The kitchen services over Bolt.

use clap::Parser;
use diwan_interop::{server, until_terminated};

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
    let mut server = server(format!("127.0.0.1:{}", arguments.port));
    if let Some(threads) = arguments.pool {
        server = server.blocking_threads_max(threads);
    }
    let server = server.start()?;
    Ok(until_terminated(server).await?)
}
