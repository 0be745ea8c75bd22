//! The cases against a server of the kitchen.

use std::process::ExitCode;

use clap::Parser;
use diwan_interop::cases::{Remote, Run, kitchen};

/// Calls every case, then CALLS calls of changing content; exit code 1 if one is wrong.
#[derive(Parser)]
struct Arguments {
    /// Where the server is.
    host: String,
    /// Its port.
    port: u16,
    /// Calls of changing content.
    calls: u32,
    /// Only these cases.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Not these cases.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
    /// What the changing content comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let remote = match Remote::new(&arguments.host, arguments.port) {
        Ok(remote) => remote,
        Err(error) => {
            eprintln!("{error:?}");
            return ExitCode::FAILURE;
        }
    };
    let mut run = Run::new(arguments.only, arguments.skip);
    kitchen(&mut run, &remote, arguments.calls, arguments.seed).await;
    if run.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
