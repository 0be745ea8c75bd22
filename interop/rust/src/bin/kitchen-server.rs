//! The kitchen services over Bolt.

use std::time::Duration;

use clap::Parser;
use diwan_interop::server;
use tokio::signal::unix::{SignalKind, signal};

/// What the original allows requests to end.
const STOP_WITHIN: Duration = Duration::from_secs(20);

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
    let mut terminated = signal(SignalKind::terminate())?;
    println!("listening on {}", server.local_addr());
    terminated.recv().await;
    server.stop(STOP_WITHIN).await;
    println!("stopped");
    Ok(())
}
