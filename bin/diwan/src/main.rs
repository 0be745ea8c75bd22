//! The `diwan` binary: the node, the demonstration and the operator's commands.

mod call;
mod json;
mod log;
mod logs;
mod operator;
mod raft;
mod registry;
mod saga;
mod server;
mod sim;
mod table;
mod tx;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use diwan_bank::demo::{Programs, Verdict};
use diwan_bank::{account, demo, gateway};

/// Threads free what others allocated, all the time, at which this one is cheaper than glibc's (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LONG_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("DIWAN_COMMIT"), ")");

const ABOUT: &str = "\
Diwan: the SOFAStack in Rust, in one binary, speaking the wire protocols of the clients you already run.

Start here:
  diwan demo                       a node, three bank services, 10,000 transfers as sagas, two kills, no money lost
  diwan demo --keep                the same, and the services stay for you to talk to
  diwan server --data DIR --node 127.0.0.1:8701
                                   a node, here a cluster of one
  diwan raft status                what its Raft group does; add and remove members
  diwan registry services          what is published in the service registry, by whom and to whom
  diwan tx list --stuck            distributed transactions that wait for somebody
  diwan saga check transfer.json   can this saga lose money, whatever happens?
  diwan call bolt://127.0.0.1:12200 com.x.Hello:1.0 say '[\"Ann\"]'
                                   call any SOFARPC service, Java or Rust, with JSON
  diwan help call                  what each command does, with examples
  source <(diwan completions bash) completion for this shell

Log lines go to standard error; DIWAN_LOG=debug or DIWAN_LOG=diwan_net=trace shows more.";

#[derive(Parser)]
#[command(name = "diwan", version, long_version = LONG_VERSION, about = ABOUT, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node
    #[command(after_help = server::HELP)]
    Server(server::ServerArguments),
    /// Look after a Raft group, Diwan's or JRaft's: members, leader, snapshots
    #[command(after_help = raft::HELP)]
    Raft(raft::RaftArguments),
    /// Look after logs that an engine keeps: etcd or PostgreSQL
    #[command(after_help = log::HELP)]
    Log(log::LogArguments),
    /// Look into the service registry: services, instances, pushes, nodes; stop pushes, take clients out
    #[command(after_help = registry::HELP)]
    Registry(registry::RegistryArguments),
    /// Look into distributed transactions, and decide what nobody finishes
    #[command(after_help = tx::HELP)]
    Tx(tx::TxArguments),
    /// Prove that sagas lose no money before they run, and look after those that do
    #[command(after_help = saga::HELP)]
    Saga(saga::SagaArguments),
    /// Put the production code to the test in simulated worlds
    #[command(subcommand)]
    Sim(sim::Sim),
    /// Move money between Rust services by sagas or by TCC, kill one of them and the node, and count the money
    #[command(after_help = DEMO_HELP)]
    Demo(demo::DemoOptions),
    /// Call a method of a SOFARPC service with JSON in and out
    #[command(after_help = call::HELP)]
    Call(call::CallArguments),
    /// Print the completion script of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// A service of the demonstration
    #[command(subcommand, hide = true)]
    Bank(BankService),
}

#[derive(Subcommand)]
enum BankService {
    /// Keeps balances
    Account(account::AccountOptions),
    /// Takes transfers over HTTP
    Gateway(gateway::GatewayOptions),
}

const DEMO_HELP: &str = "\
The exit code is 0 only if, after a restart from disk, every account equals its opening balance plus and minus
its transfers in the result file, each transfer was booked once on each side, at least 97% of the valid transfers
were done, every line of the file is accounted for, and transfers were under way when a service and the node were killed;
with --tcc only if no money is held and no transaction is open any more, too.

A file of your own has the heading id,from,to,amount,currency,memo and accounts A0000 to A0999, each with
100,000.00 CNY. Bad lines are reported with their number and reason.";

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    // A node's configuration says how it logs.
    if !matches!(command, Command::Server(_)) {
        logs::init("warn", logs::Format::Text)?;
    }
    match command {
        Command::Demo(options) => {
            let program = std::env::current_exe()?.to_string_lossy().into_owned();
            let log = options.log.iter();
            let log = log.flat_map(|url| ["--log".to_owned(), url.clone()]);
            let programs = Programs {
                node: [program.clone(), "server".into()]
                    .into_iter()
                    .chain(log)
                    .collect(),
                bank: vec![program, "bank".into()],
            };
            let verdict = demo::run(&options, programs)?;
            return Ok(if verdict == Verdict::Passed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Command::Call(arguments) => return call::run(&arguments),
        Command::Server(arguments) => return Ok(server::run(&arguments)),
        Command::Sim(command) => return Ok(sim::sim(&command)),
        Command::Raft(arguments) => return raft::run(arguments),
        Command::Log(arguments) => return log::run(&arguments),
        Command::Registry(arguments) => return registry::run(&arguments),
        Command::Tx(arguments) => return tx::run(&arguments),
        Command::Saga(arguments) => return saga::run(&arguments),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "diwan",
                &mut std::io::stdout(),
            );
        }
        Command::Bank(BankService::Account(options)) => account::run(&options)?,
        Command::Bank(BankService::Gateway(options)) => gateway::run(&options)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
