//! Log lines go to standard error.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `DIWAN_LOG` in the environment counts more than `level`.
/// # Errors
/// `level` is not a filter.
pub(crate) fn init(level: &str, format: Format) -> Result<(), String> {
    let filter = match EnvFilter::try_from_env("DIWAN_LOG") {
        Ok(filter) => filter,
        Err(_) => EnvFilter::try_new(level).map_err(|error| error.to_string())?,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match format {
        Format::Text => lines.init(),
        Format::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
