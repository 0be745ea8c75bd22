//! Metrics of logs that an engine keeps.

use diwan_external::LogStatus;

use super::Text;

/// A family with one sample for each log: name, kind, help, value.
type PerLog = (
    &'static str,
    &'static str,
    &'static str,
    fn(&LogStatus) -> u64,
);

const PER_LOG: &[PerLog] = &[
    ("term", "gauge", "The owner's term", |log| log.status.term),
    (
        "leading",
        "gauge",
        "1 if this node owns the log and has applied everything appended before",
        |log| log.leading.into(),
    ),
    ("owned", "gauge", "1 if a node is known to own it", |log| {
        log.status.owner.is_some().into()
    }),
    (
        "next_block",
        "gauge",
        "Number of the engine's next block, as far as known",
        |log| log.status.next,
    ),
    (
        "lag_blocks",
        "gauge",
        "Blocks that are known and not applied here",
        |log| log.status.next.saturating_sub(log.status.position.next),
    ),
    (
        "applied_index",
        "gauge",
        "Index of the last command applied here",
        |log| log.status.position.index,
    ),
    (
        "snapshot_bytes",
        "gauge",
        "Bytes of the log's snapshot",
        |log| log.status.snapshot.map_or(0, |snapshot| snapshot.bytes),
    ),
    (
        "since_snapshot_bytes",
        "gauge",
        "Bytes of blocks applied since the last snapshot",
        |log| log.status.since_snapshot,
    ),
    (
        "waiting_commands",
        "gauge",
        "Commands that wait to be appended",
        |log| log.status.waiting.0 as u64,
    ),
    (
        "no_space",
        "gauge",
        "1 if the engine had no space when a block was last to be appended",
        |log| log.status.no_space.into(),
    ),
    ("blocks_total", "counter", "Blocks applied here", |log| {
        log.counts.applied.0
    }),
    (
        "commands_total",
        "counter",
        "Commands applied here",
        |log| log.counts.applied.1,
    ),
    (
        "command_bytes_total",
        "counter",
        "Bytes of commands applied here",
        |log| log.counts.applied.2,
    ),
    (
        "appended_blocks_total",
        "counter",
        "Blocks that this node appended",
        |log| log.counts.appended,
    ),
    (
        "requests_total",
        "counter",
        "Requests to the engine",
        |log| log.counts.requests.0,
    ),
    (
        "requests_failed_total",
        "counter",
        "Requests to the engine that brought no reply, or that it failed to carry out",
        |log| log.counts.requests.1,
    ),
    (
        "proposals_refused_total",
        "counter",
        "Proposals that were not taken",
        |log| log.counts.refused,
    ),
    (
        "leaderships_total",
        "counter",
        "Times this node began to lead",
        |log| log.counts.leaderships,
    ),
    (
        "snapshots_taken_total",
        "counter",
        "Snapshots frozen here",
        |log| log.counts.snapshots.0,
    ),
    (
        "snapshots_restored_total",
        "counter",
        "Snapshots restored here",
        |log| log.counts.snapshots.1,
    ),
];

/// All of them, in Prometheus' text form.
pub(crate) fn text(logs: &[LogStatus]) -> String {
    let mut text = Text(String::new());
    for (name, kind, help, value) in PER_LOG {
        let samples = logs
            .iter()
            .map(|log| (vec![("log", log.name.clone())], value(log) as f64));
        text.family((&format!("diwan_log_{name}"), kind, help), samples);
    }
    text.0
}
