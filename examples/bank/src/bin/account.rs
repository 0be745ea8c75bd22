//! The account service as a program of its own.

use clap::Parser;
use diwan_bank::account::{AccountOptions, run};

/// Keeps balances and offers com.diwan.bank.Accounts:1.0 over Bolt.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: AccountOptions,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(&Arguments::parse().options)
}
