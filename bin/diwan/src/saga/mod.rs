//! `diwan saga`: machines before they run, and sagas at a node.

mod check;
mod draw;
mod operate;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub(crate) const HELP: &str = "\
Examples:
  diwan saga check transfer.json               can it lose money? errors with the way on which it would
  diwan saga check *.json --strict             machines that say nothing of money, too, as strictly
  diwan saga check *.json --json | jq .findings
  diwan saga draw transfer.json                the machine in the terminal
  diwan saga draw transfer.json --svg > transfer.svg
  diwan saga define transfer.json              a node runs it from now on
  diwan saga list --stuck                      sagas that did not end well, and why
  diwan saga list --ended --contains T1        those that have ended, from the archive of this node
  diwan saga show T1                           its history: states, inputs, outputs, exceptions
  diwan saga forward T1                        go on where it stopped; skip: without the state at which it stopped
  diwan saga compensate T1                     undo it; forget: you have looked after it

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
    /// Give a machine to a node; sagas that run keep theirs
    Define(operate::DefineArguments),
    /// List a node's machines
    Machines(operate::At),
    /// List sagas that live, or have ended not long ago
    List(operate::ListArguments),
    /// A saga with its history
    Show(operate::OneArguments),
    /// A saga that stopped goes on
    Forward(operate::OneArguments),
    /// The same, without the state at which it stopped
    Skip(operate::OneArguments),
    /// A saga is undone
    Compensate(operate::OneArguments),
    /// A saga that stopped is settled by other means
    Forget(operate::OneArguments),
    /// A saga comes back from the archive, so that it can be decided about
    Reload(operate::OneArguments),
}

pub(crate) fn run(arguments: &SagaArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match &arguments.command {
        SagaCommand::Check(arguments) => check::run(arguments),
        SagaCommand::Draw(arguments) => draw::run(arguments),
        SagaCommand::Define(arguments) => operate::run_define(arguments),
        SagaCommand::Machines(at) => operate::run_machines(at),
        SagaCommand::List(arguments) => operate::run_list(arguments),
        SagaCommand::Show(arguments) => operate::run_show(arguments),
        SagaCommand::Forward(arguments) => operate::run_decision(arguments, "forward"),
        SagaCommand::Skip(arguments) => operate::run_decision(arguments, "skip"),
        SagaCommand::Compensate(arguments) => operate::run_decision(arguments, "compensate"),
        SagaCommand::Forget(arguments) => operate::run_decision(arguments, "forget"),
        SagaCommand::Reload(arguments) => operate::run_decision(arguments, "reload"),
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
