use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::processes::Bank;
use super::{Mode, PATIENCE};
use crate::gateway::{TransferAnswer, TransferRequest};
use crate::http::Http;
use crate::transfers_file::{Line, Transfer};

/// A branch that was away is told again within half a minute.
const SETTLED: Duration = Duration::from_secs(45);

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
    /// What the node does about transfers.
    pub(super) node_does: &'static str,
    /// In the order of the file.
    pub(super) outcomes: Vec<LineOutcome>,
    pub(super) took: Duration,
    /// The account service was killed.
    pub(super) service: Outage,
    /// The node was killed.
    pub(super) node: Outage,
}

/// Something was killed, and something else put in its place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outage {
    /// How many transfers were under way then.
    pub(super) under_way: usize,
    /// How long nothing was there.
    pub(super) away: Duration,
}

/// Sends every transfer, kills an account service when a third of them are done and the node when two thirds are, and starts others in
/// their places.
pub(super) async fn drive(bank: &mut Bank, lines: &[Line], in_flight: usize) -> io::Result<Driven> {
    let began = Instant::now();
    let transfers: Vec<(usize, Transfer)> = lines
        .iter()
        .filter_map(|line| Some((line.number, line.content.as_ref().ok()?.clone())))
        .collect();
    let (kill_service_at, kill_node_at) = (transfers.len() / 3, transfers.len() * 2 / 3);
    let queue = Arc::new((AtomicUsize::new(0), transfers));
    let (report, mut reported) = mpsc::unbounded_channel();
    for _ in 0..in_flight {
        let (queue, report) = (queue.clone(), report.clone());
        tokio::spawn(work(queue, bank.gateway_addr(), report));
    }
    drop(report);

    let bar = progress(queue.1.len());
    let mut ended = Vec::new();
    let (mut service, mut node) = (Outage::default(), Outage::default());
    while let Some(outcome) = reported.recv().await {
        ended.push(outcome);
        bar.inc(1);
        if ended.len() == kill_service_at {
            service = replace_service(bank, &bar).await?;
        }
        if ended.len() == kill_node_at {
            node = restart_node(bank, &bar).await?;
        }
    }
    bar.finish_and_clear();
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
        node_does: bank.node_does(),
        outcomes: ended,
        took: began.elapsed(),
        service,
        node,
    })
}

/// How many sagas run or transactions are open, as the node says.
async fn open(node: &mut Http, mode: Mode) -> io::Result<usize> {
    let (path, key) = match mode {
        Mode::Sagas => ("/saga/v1/sagas?running=true&limit=1000", "sagas"),
        Mode::Tcc => ("/tx/v1/transactions?limit=1000", "transactions"),
    };
    let said: Value = node.get(path).await?;
    let all = said[key].as_array();
    all.map(Vec::len)
        .ok_or_else(|| io::Error::other(format!("the node says {said}")))
}

/// Only a kill with transfers under way shows anything: waits for a moment that has some.
async fn under_way(bank: &Bank) -> io::Result<usize> {
    let mut node = Http::new(bank.open_addr());
    for _ in 0..1000 {
        let count = open(&mut node, bank.mode()).await?;
        if count > 0 {
            return Ok(count);
        }
    }
    Ok(0)
}

/// A transfer is answered when it is decided: the branches that were away then are told later. Waits until nothing is open, and says how
/// many transactions still are after a long time.
pub(super) async fn until_settled(bank: &Bank) -> io::Result<usize> {
    let mut node = Http::new(bank.open_addr());
    let began = Instant::now();
    loop {
        let count = open(&mut node, bank.mode()).await?;
        if count == 0 || began.elapsed() > SETTLED {
            return Ok(count);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn replace_service(bank: &mut Bank, bar: &ProgressBar) -> io::Result<Outage> {
    let under_way = under_way(bank).await?;
    let killed = Instant::now();
    bank.kill_account(0).await?;
    bar.println("killed account service 0 (SIGKILL) with transfers under way");
    // Long enough for calls to run into the gap.
    sleep(Duration::from_millis(300)).await;
    let addr = bank.replace_account(0).await?;
    let away = killed.elapsed();
    bar.println(format!(
        "started another on its store after {} ms, at {addr}",
        away.as_millis()
    ));
    Ok(Outage { under_way, away })
}

async fn restart_node(bank: &mut Bank, bar: &ProgressBar) -> io::Result<Outage> {
    let under_way = under_way(bank).await?;
    let killed = Instant::now();
    bank.kill_node().await?;
    bar.println(format!(
        "killed the node that {} (SIGKILL) with transfers under way",
        bank.node_does()
    ));
    bank.start_node_again().await?;
    let away = killed.elapsed();
    bar.println(format!("it answers again after {} ms", away.as_millis()));
    Ok(Outage { under_way, away })
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
