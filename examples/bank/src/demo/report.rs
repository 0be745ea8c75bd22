use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Verdict;
use super::drive::{Driven, LineOutcome, Outage, Outcome};
use super::verify::{Books, differences};
use crate::money::Cents;
use crate::transfers_file::Line;

/// At least this share of the valid transfers must be done.
const DONE_PERCENT_MIN: usize = 97;
/// Refused lines that are printed one by one; more are counted by reason.
const REFUSED_SHOWN: usize = 20;
/// Differences printed; the rest is counted.
const DIFFERENCES_SHOWN: usize = 10;

/// What the demonstration prints at its end.
pub(super) struct Report {
    lines: usize,
    valid: usize,
    done: usize,
    rejected: BTreeMap<String, (usize, usize)>,
    unknown: usize,
    accounted: usize,
    latencies: Vec<Duration>,
    driving: Duration,
    service: Outage,
    node: Outage,
    node_does: &'static str,
    /// Transactions that have not ended.
    open: Option<usize>,
    before: i64,
    after: i64,
    differences: Vec<String>,
    took: Duration,
    /// Each line that was refused, where they are few.
    refused: Vec<(usize, String)>,
    /// Whether the file is the user's: how many of its transfers can be done is then nobody's promise.
    own_file: bool,
}

impl Report {
    pub(super) fn new(
        lines: &[Line],
        driven: &Driven,
        before: &Books,
        after: &Books,
        open: Option<usize>,
        took: Duration,
        own_file: bool,
    ) -> Self {
        let outcomes = &driven.outcomes;
        let mut rejected: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let mut refused = Vec::new();
        for LineOutcome {
            number, outcome, ..
        } in outcomes
        {
            if let Outcome::Rejected(reason) | Outcome::BadLine(reason) = outcome {
                rejected.entry(kind(reason)).or_insert((0, *number)).0 += 1;
                refused.push((*number, reason.clone()));
            }
        }
        let count = |wanted: &str| {
            outcomes
                .iter()
                .filter(|line| line.outcome.word() == wanted)
                .count()
        };
        let mut latencies: Vec<Duration> = outcomes
            .iter()
            .filter(|line| line.outcome == Outcome::Done)
            .map(|line| line.took)
            .collect();
        latencies.sort_unstable();
        Self {
            lines: lines.len(),
            valid: lines.iter().filter(|line| line.content.is_ok()).count(),
            done: count("done"),
            rejected,
            unknown: count("unknown"),
            accounted: outcomes.len(),
            latencies,
            driving: driven.took,
            service: driven.service,
            node: driven.node,
            node_does: driven.node_does,
            open,
            before: before.sum(),
            after: after.sum(),
            differences: differences(outcomes, before, after),
            took,
            refused,
            own_file,
        }
    }

    /// Each condition of the verdict with whether it holds.
    fn conditions(&self) -> Vec<(bool, String)> {
        let mut conditions = vec![
            (
                self.before == self.after,
                "the sum of all balances is what it was".into(),
            ),
            (
                self.differences.is_empty(),
                "after a restart from disk every account and every booking is what the result file says"
                    .into(),
            ),
            (
                self.accounted == self.lines,
                format!("{} of {} lines are accounted for", self.accounted, self.lines),
            ),
        ];
        if let Some(open) = self.open {
            conditions.push((
                open == 0,
                format!("{open} transactions are left open at the node"),
            ));
        }
        if self.own_file {
            let unknown = format!("{} transfers have an unknown outcome", self.unknown);
            conditions.push((self.unknown == 0, unknown));
            return conditions;
        }
        let share = (self.done * 100).checked_div(self.valid).unwrap_or(100);
        let enough =
            format!("{share}% of the valid transfers are done, at least {DONE_PERCENT_MIN}%");
        conditions.push((share >= DONE_PERCENT_MIN, enough));
        for (what, outage) in [("service", self.service), ("node", self.node)] {
            let count = outage.under_way;
            let under_way = format!("{count} transfers were under way when the {what} was killed");
            conditions.push((count > 0, under_way));
        }
        conditions
    }

    pub(super) fn verdict(&self) -> Verdict {
        let holds = self.conditions().iter().all(|(holds, _)| *holds);
        if holds {
            Verdict::Passed
        } else {
            Verdict::Failed
        }
    }

    fn percentile(&self, percent: usize) -> f64 {
        let index =
            (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies
            .get(index)
            .map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// A reason without the names and numbers that differ from line to line.
fn kind(reason: &str) -> String {
    let general = |word: &str| {
        let digits = word.trim_end_matches([',', '.']).trim_start_matches('A');
        !digits.is_empty()
            && digits.len() > 2
            && digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    let reason = reason.split(", in line").next().unwrap_or_default();
    let words: Vec<&str> = reason
        .split(' ')
        .map(|word| if general(word) { "\u{2026}" } else { word })
        .collect();
    words.join(" ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rejected: usize = self.rejected.values().map(|(count, _)| count).sum();
        let per_second = self.done as f64 / self.driving.as_secs_f64().max(0.001);
        writeln!(f)?;
        writeln!(
            f,
            "transfers done  {} of {} lines, {per_second:.0}/s",
            self.done, self.lines
        )?;
        writeln!(f, "rejected        {rejected}")?;
        if self.refused.len() <= REFUSED_SHOWN {
            for (line, reason) in &self.refused {
                writeln!(f, "  line {line}: {reason}")?;
            }
        }
        let many = self
            .rejected
            .iter()
            .filter(|_| self.refused.len() > REFUSED_SHOWN);
        for (reason, (count, line)) in many {
            writeln!(f, "  {count:>5}  {reason} (first in line {line})")?;
        }
        if self.unknown > 0 {
            writeln!(f, "unknown         {}", self.unknown)?;
        }
        writeln!(
            f,
            "killed          an account service, away for {} ms; the node that {}, away for {} ms",
            self.service.away.as_millis(),
            self.node_does,
            self.node.away.as_millis()
        )?;
        writeln!(
            f,
            "latency         p50 {:.1} ms, p99 {:.1} ms; each answer means fsynced",
            self.percentile(50),
            self.percentile(99)
        )?;
        writeln!(f, "money before    {:>16}", Cents(self.before).to_string())?;
        writeln!(f, "money after     {:>16}", Cents(self.after).to_string())?;
        writeln!(f)?;
        for (holds, condition) in self.conditions() {
            writeln!(f, "{}  {condition}", if holds { " ok  " } else { "WRONG" })?;
        }
        for difference in self.differences.iter().take(DIFFERENCES_SHOWN) {
            writeln!(f, "         {difference}")?;
        }
        if self.differences.len() > DIFFERENCES_SHOWN {
            writeln!(
                f,
                "         and {} more",
                self.differences.len() - DIFFERENCES_SHOWN
            )?;
        }
        let verdict = match self.verdict() {
            Verdict::Passed => "No money was lost.",
            Verdict::Failed => "THE DEMONSTRATION FAILED.",
        };
        writeln!(f, "\n{verdict} {:.1} s in all.", self.took.as_secs_f64())
    }
}
