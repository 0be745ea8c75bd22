//! The cases against a server of bare Bolt.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use diwan_interop::cases::{Run, greetings};

/// Greets in every version of Bolt; exit code 1 if an answer is wrong.
#[derive(Parser)]
struct Arguments {
    /// Address of the server.
    host: std::net::IpAddr,
    /// Its port.
    port: u16,
    /// Only these cases.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Not these cases.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut run = Run::new(arguments.only, arguments.skip);
    greetings(&mut run, SocketAddr::new(arguments.host, arguments.port)).await;
    if run.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
