//! The sagas' metrics.

use diwan_saga::host::Counts;

use super::Text;

/// All of them, in Prometheus' text form.
pub(crate) fn text(counts: &Counts) -> String {
    let mut text = Text(String::new());
    for (name, help, value) in [
        (
            "living",
            "Sagas that run, are recovered, wait for a decision, or have ended not long ago",
            counts.living,
        ),
        ("running", "Sagas that are on their way", counts.running),
        (
            "stuck",
            "Sagas that did not end well: they are tried again, or wait for a decision",
            counts.stuck,
        ),
        (
            "calls",
            "Calls of participants that have no outcome yet",
            counts.calls,
        ),
    ] {
        text.one(&format!("diwan_saga_{name}"), "gauge", help, value);
    }
    text.0
}
