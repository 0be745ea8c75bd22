use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::PATIENCE;
use super::http::Http;
use super::processes::Bank;
use crate::gateway::{InstanceStats, TransferAnswer, TransferRequest};
use crate::transfers_file::{Line, Transfer};

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Both sides are booked.
    Done,
    /// The bank refused it.
    Rejected(String),
    /// The bank could not say.
    Unknown(String),
    /// It is no transfer.
    BadLine(String),
}

/// A line's end.
#[derive(Clone, Debug)]
pub(super) struct LineOutcome {
    pub(super) number: usize,
    pub(super) transfer: Option<Transfer>,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

/// What driving the file gave.
pub(super) struct Driven {
    /// In the order of the file.
    pub(super) outcomes: Vec<LineOutcome>,
    pub(super) took: Duration,
    /// Account service that was killed.
    pub(super) killed: usize,
    /// How long it was away.
    pub(super) away: Duration,
    /// Of each account service, at the end.
    pub(super) stats: Vec<InstanceStats>,
}

/// Sends every transfer, kills an account service when two fifths are done, and starts another in its place.
pub(super) async fn drive(bank: &mut Bank, lines: &[Line], in_flight: usize) -> io::Result<Driven> {
    let began = Instant::now();
    let transfers: Vec<(usize, Transfer)> = lines
        .iter()
        .filter_map(|line| Some((line.number, line.content.as_ref().ok()?.clone())))
        .collect();
    let kill_at = transfers.len() * 2 / 5;
    let queue = Arc::new((AtomicUsize::new(0), transfers));
    let (report, mut reported) = mpsc::unbounded_channel();
    for _ in 0..in_flight {
        let (queue, report) = (queue.clone(), report.clone());
        tokio::spawn(work(queue, bank.gateway_addr(), report));
    }
    drop(report);

    let bar = progress(queue.1.len());
    let mut ended = Vec::new();
    let killed = 0;
    let mut away = Duration::ZERO;
    while let Some(outcome) = reported.recv().await {
        ended.push(outcome);
        bar.inc(1);
        if ended.len() == kill_at {
            away = kill_and_replace(bank, killed, &bar).await?;
        }
    }
    bar.finish_and_clear();
    let stats = Http::new(bank.gateway_addr()).get("/stats").await?;
    let bad = lines.iter().filter_map(|line| {
        let bad = line.content.as_ref().err()?;
        let outcome = Outcome::BadLine(bad.reason.clone());
        Some(LineOutcome {
            number: line.number,
            transfer: None,
            outcome,
            took: Duration::ZERO,
        })
    });
    ended.extend(bad);
    ended.sort_by_key(|outcome| outcome.number);
    Ok(Driven {
        outcomes: ended,
        took: began.elapsed(),
        killed,
        away,
        stats,
    })
}

async fn kill_and_replace(
    bank: &mut Bank,
    index: usize,
    bar: &ProgressBar,
) -> io::Result<Duration> {
    // Only a kill with calls under way shows anything: wait for a moment that has some.
    let mut gateway = Http::new(bank.gateway_addr());
    for _ in 0..1000 {
        let stats: Vec<InstanceStats> = gateway.get("/stats").await?;
        if stats[index].in_flight > 0 {
            break;
        }
    }
    let killed = Instant::now();
    bank.kill_account(index).await?;
    bar.println("killed account service 0 (SIGKILL) with calls in flight");
    // Long enough for calls to run into the gap.
    sleep(Duration::from_millis(300)).await;
    let addr = bank.replace_account(index).await?;
    let away = killed.elapsed();
    bar.println(format!(
        "started another on its store after {} ms, at {addr}",
        away.as_millis()
    ));
    Ok(away)
}

async fn work(
    queue: Arc<(AtomicUsize, Vec<(usize, Transfer)>)>,
    gateway: SocketAddr,
    report: mpsc::UnboundedSender<LineOutcome>,
) {
    let mut http = Http::new(gateway);
    let (next, transfers) = &*queue;
    while let Some((number, transfer)) = transfers.get(next.fetch_add(1, Relaxed)) {
        let began = Instant::now();
        let outcome = send(&mut http, transfer, began).await;
        let done = LineOutcome {
            number: *number,
            transfer: Some(transfer.clone()),
            outcome,
            took: began.elapsed(),
        };
        if report.send(done).is_err() {
            return;
        }
    }
}

/// Asks until the answer is final: the transfer's id makes every repetition the same transfer.
async fn send(http: &mut Http, transfer: &Transfer, began: Instant) -> Outcome {
    let request = TransferRequest {
        id: transfer.id.clone(),
        from: transfer.from.clone(),
        to: transfer.to.clone(),
        amount: transfer.amount.to_string(),
    };
    loop {
        let problem = match http.post::<TransferAnswer>("/transfers", &request).await {
            Ok((_, answer)) => match (answer.status.as_str(), answer.reason) {
                ("done", _) => return Outcome::Done,
                ("rejected", reason) => return Outcome::Rejected(reason.unwrap_or_default()),
                (_, reason) => reason.unwrap_or_default(),
            },
            Err(error) => error.to_string(),
        };
        if began.elapsed() > PATIENCE {
            return Outcome::Unknown(problem);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn progress(transfers: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(transfers as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} transfers, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    bar
}

/// One line for each line of the file: number, transfer, accounts, cents, outcome, reason.
pub(super) fn write_result(path: &Path, outcomes: &[LineOutcome]) -> io::Result<()> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record(["line", "id", "from", "to", "cents", "outcome", "reason"])?;
    for LineOutcome {
        number,
        transfer,
        outcome,
        ..
    } in outcomes
    {
        let (id, from, to, cents) = match transfer {
            None => ("", "", "", String::new()),
            Some(transfer) => (
                transfer.id.as_str(),
                transfer.from.as_str(),
                transfer.to.as_str(),
                transfer.amount.0.to_string(),
            ),
        };
        let reason = match outcome {
            Outcome::Done => "",
            Outcome::Rejected(reason) | Outcome::Unknown(reason) | Outcome::BadLine(reason) => {
                reason
            }
        };
        writer.write_record([
            &number.to_string(),
            id,
            from,
            to,
            &cents,
            outcome.word(),
            reason,
        ])?;
    }
    writer.flush()
}
