//! The demonstration: starts a node and the services as processes, drives a file of transfers through them, kills one of
//! them on the way, starts another in its place, and proves from disk that every cent is where the result file says.

mod drive;
mod processes;
mod report;
mod verify;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use crate::generate::TRANSFERS_CSV;
use crate::transfers_file::read_lines;
use drive::Outcome;
use processes::Bank;
pub use processes::Programs;
use report::Report;

/// Options of `diwan demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoOptions {
    /// A CSV file of transfers with the heading id,from,to,amount,currency,memo; the built-in one if it is not given.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Keep the services running at the end, and print how to talk to them.
    #[arg(long)]
    keep: bool,
    /// Where balances and the result file go; a fresh temporary folder if it is not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Transfers under way at a time.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// The gateway makes transfers as transactions of two branches (TCC) that the node coordinates, not as sagas.
    #[arg(long)]
    tcc: bool,
    /// The node keeps its logs in an engine that runs already, in a place of their own: etcd://... or postgres://...
    #[arg(long, value_name = "URL")]
    pub log: Option<String>,
}

/// How transfers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Sagas,
    Tcc,
}

/// Whether no money was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every condition holds.
    Passed,
    /// At least one does not.
    Failed,
}

/// Runs the demonstration.
///
/// # Errors
/// When a service cannot be started or the file cannot be read.
pub fn run(
    options: &DemoOptions,
    programs: Programs,
) -> Result<Verdict, Box<dyn std::error::Error>> {
    crate::runtime()?.block_on(demonstrate(options, programs))
}

async fn demonstrate(
    options: &DemoOptions,
    programs: Programs,
) -> Result<Verdict, Box<dyn std::error::Error>> {
    let began = Instant::now();
    let file = match &options.file {
        Some(path) => {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => TRANSFERS_CSV.to_vec(),
    };
    let lines = read_lines(&file);
    let folder = match &options.data {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("diwan-demo-{}", std::process::id())),
    };
    std::fs::create_dir_all(&folder)?;
    println!(
        "{} lines of transfers, balances in {}",
        lines.len(),
        folder.display()
    );

    let mode = if options.tcc { Mode::Tcc } else { Mode::Sagas };
    let mut bank = Bank::start(programs, mode, &folder).await?;
    println!("started {}", bank.describe());
    let before = verify::read_books(&bank).await?;
    let driven = drive::drive(&mut bank, &lines, options.in_flight.max(1)).await?;
    let result_file = folder.join("result.csv");
    drive::write_result(&result_file, &driven.outcomes)?;
    let open = match mode {
        Mode::Sagas => None,
        Mode::Tcc => Some(drive::until_settled(&bank).await?),
    };

    // From disk: both account services are killed and others take their places, so that nothing is taken from memory.
    bank.replace_accounts().await?;
    let after = verify::read_books(&bank).await?;
    let report = Report::new(
        &lines,
        &driven,
        &before,
        &after,
        open,
        began.elapsed(),
        options.file.is_some(),
    );
    print!("{report}");
    println!("result file     {}", result_file.display());

    if options.keep {
        print!("{}", bank.how_to_talk_to());
        println!("Ctrl-C stops them.");
        crate::stop_signal().await;
    }
    bank.stop().await;
    if options.data.is_none() && report.verdict() == Verdict::Passed {
        // The result file stays to be looked at.
        bank.remove_stores(&folder)?;
    }
    Ok(report.verdict())
}

/// How long the driver asks about one transfer before it reports it as unknown.
const PATIENCE: Duration = Duration::from_secs(15);

impl Outcome {
    /// The word in the result file.
    fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Rejected(_) => "rejected",
            Self::Unknown(_) => "unknown",
            Self::BadLine(_) => "bad line",
        }
    }
}
