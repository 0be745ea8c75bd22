//! The coordinator's metrics.

use diwan_seata::GlobalStatus;
use diwan_tx::edge::Status;

use super::Text;

/// All of them, in Prometheus' text form.
pub(crate) fn text(status: &Status) -> String {
    let mut text = Text(String::new());
    for (name, kind, help, value) in [
        (
            "connections",
            "gauge",
            "Connections of transaction and resource managers to this node",
            status.connections,
        ),
        (
            "begun_total",
            "counter",
            "Transactions that have begun since this process knows of them",
            status.begun,
        ),
        (
            "stuck",
            "gauge",
            "Transactions that wait for a decision, or for a resource manager that is missing",
            status.stuck,
        ),
        (
            "locked_rows",
            "gauge",
            "Rows that transactions have locked",
            status.locked_rows,
        ),
    ] {
        text.one(&format!("diwan_tx_{name}"), kind, help, value);
    }
    let label = |status: &GlobalStatus| vec![("status", status.name().to_owned())];
    text.family(
        ("diwan_tx_open", "gauge", "Transactions that are open"),
        status
            .open
            .iter()
            .map(|(status, count)| (label(status), *count as f64)),
    );
    text.family(
        (
            "diwan_tx_ended_total",
            "counter",
            "Transactions that have ended since this process knows of them",
        ),
        status
            .ended
            .iter()
            .map(|(status, count)| (label(status), *count as f64)),
    );
    let seata = |status: &str| {
        [("role", "tc"), ("meter", "counter"), ("status", status)]
            .map(|(key, value)| (key, value.to_owned()))
            .to_vec()
    };
    let ended = status.ended.iter();
    let ended = ended.filter_map(|(status, count)| Some((seata_name(*status)?, *count)));
    let open: u64 = status.open.values().sum();
    text.family(
        (
            "seata_transaction",
            "gauge",
            "The same under the original's name",
        ),
        [("active", open)]
            .into_iter()
            .chain(ended)
            .map(|(status, count)| (seata(status), count as f64)),
    );
    text.0
}

/// Source: apache/incubator-seata:metrics/seata-metrics-api/src/main/java/org/apache/seata/metrics/IdConstants.java.
fn seata_name(status: GlobalStatus) -> Option<&'static str> {
    Some(match status {
        GlobalStatus::Committed => "committed",
        GlobalStatus::Rollbacked => "rollbacked",
        GlobalStatus::CommitFailed => "commitFailed",
        GlobalStatus::RollbackFailed => "rollbackFailed",
        GlobalStatus::TimeoutRollbacked => "timeoutRollbacked",
        GlobalStatus::TimeoutRollbackFailed => "timeoutRollbackFailed",
        _ => return None,
    })
}
