//! Logs that an engine keeps, in place of this node's own groups.

use std::time::Duration;

use diwan_external::{Address, Logs, Options};
use diwan_raft::PeerId;
use diwan_runtime::{GroupOptions, NodeHandle};

use super::ServeError;
use super::config::Engine;

/// Takes part in the logs of `groups`.
pub(super) async fn start(
    node: &NodeHandle,
    name: &PeerId,
    members: Vec<String>,
    address: Address,
    engine: &Engine,
    groups: Vec<GroupOptions>,
) -> Result<Logs, ServeError> {
    let options = Options {
        node: name.to_string(),
        members: members.clone(),
        lease: Duration::from_millis(engine.lease_ms),
        lease_reads: engine.lease_reads,
        snapshot_log_bytes: engine.snapshot_log_bytes,
        snapshot_bytes_max: engine.snapshot_bytes_max,
        seed: diwan_runtime::random(),
    };
    let (shown, timeout) = (
        address.to_string(),
        Duration::from_millis(engine.timeout_ms),
    );
    let started = Logs::start(node, address, timeout, options, groups).await;
    let logs = started.map_err(|failure| ServeError::Engine(shown, failure))?;
    logs.spread(node, name.to_string(), members);
    Ok(logs)
}
