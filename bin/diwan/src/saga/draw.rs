//! `diwan saga draw`.

use std::process::ExitCode;

use clap::Args;
use diwan_saga::draw;
use diwan_saga::lang::load_named;

pub(super) const HELP: &str = "\
[Task]  [[machine within]]  <Choice>  {compensates}  (end)  =fork, join=  ↶ what undoes it

Examples:
  diwan saga draw transfer.json
  diwan saga draw transfer.json --svg > transfer.svg

Exit codes: 0 drawn, 1 it does not load, 2 command line or a file that cannot be read.";

#[derive(Args)]
pub(crate) struct DrawArguments {
    /// A machine in Seata's JSON, plain or a designer's
    file: String,
    /// As a picture that browsers show
    #[arg(long)]
    svg: bool,
}

pub(super) fn run(arguments: &DrawArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let text = match super::read(&arguments.file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    let machine = load_named(Some(&arguments.file), &text)?;
    match arguments.svg {
        true => print!("{}", draw::svg(&machine)),
        false => print!("{}", draw::text(&machine)),
    }
    Ok(ExitCode::SUCCESS)
}
