//! The gateway as a program of its own.

use clap::Parser;
use diwan_bank::gateway::{GatewayOptions, run};

/// Takes transfers over HTTP and makes them with the account services.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: GatewayOptions,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(&Arguments::parse().options)
}
