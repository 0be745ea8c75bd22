//! The archives' metrics.

use diwan_archive::Status;

use super::Text;

/// All of them, in Prometheus' text form; each archive with its role's name.
pub(crate) fn text(archives: &[(&'static str, Status)]) -> String {
    let mut text = Text(String::new());
    let mut family = |name: &str, kind: &str, help: &str, value: fn(&Status) -> u64| {
        text.family(
            (&format!("diwan_archive_{name}"), kind, help),
            archives.iter().map(|(role, status)| {
                let labels = vec![("archive", (*role).to_owned())];
                (labels, value(status) as f64)
            }),
        );
    };
    family("entries", "gauge", "What has ended and is kept", |status| {
        status.entries
    });
    family(
        "written_total",
        "counter",
        "Written down, some of it again after a restart",
        |status| status.written,
    );
    family(
        "lost_total",
        "counter",
        "Not written down: too much ended at once, or the disk refused",
        |status| status.lost,
    );
    text.0
}
