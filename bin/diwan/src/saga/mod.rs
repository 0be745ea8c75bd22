//! `diwan saga`: machines before they run.

mod check;
mod draw;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub(crate) const HELP: &str = "\
Examples:
  diwan saga check transfer.json               can it lose money? errors with the way on which it would
  diwan saga check *.json --strict             machines that say nothing of money, too, as strictly
  diwan saga check *.json --json | jq .findings
  diwan saga draw transfer.json                the machine in the terminal
  diwan saga draw transfer.json --svg > transfer.svg

Exit codes of `check`: 0 accepted, with warnings or without; 1 refused; 2 command line, or a file that cannot be read.";

#[derive(Args)]
pub(crate) struct SagaArguments {
    #[command(subcommand)]
    command: SagaCommand,
}

#[derive(Subcommand)]
enum SagaCommand {
    /// Prove that machines lose no money, or refuse them
    #[command(after_help = check::HELP)]
    Check(check::CheckArguments),
    /// Draw a machine
    #[command(after_help = draw::HELP)]
    Draw(draw::DrawArguments),
}

pub(crate) fn run(arguments: &SagaArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match &arguments.command {
        SagaCommand::Check(arguments) => check::run(arguments),
        SagaCommand::Draw(arguments) => draw::run(arguments),
    }
}

/// A machine's text; larger ones are refused by their size, so not all of a huge file is needed.
fn read(file: &str) -> Result<String, String> {
    use std::io::Read as _;
    let limit = diwan_saga::lang::MACHINE_BYTES_MAX as u64 + 1;
    let mut text = String::new();
    let opened = std::fs::File::open(file).map(|opened| opened.take(limit));
    match opened.and_then(|mut opened| opened.read_to_string(&mut text)) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{file}: {error}")),
    }
}
