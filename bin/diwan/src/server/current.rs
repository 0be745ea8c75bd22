//! What a role is asked over HTTP is answered from a state as new as anybody's, on every node, also while one has just been started. Of an
//! answer for which nobody vouches it says so.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use diwan_runtime::NodeHandle;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Nobody waits longer for word of a leader.
const PATIENCE: Duration = Duration::from_secs(2);
/// Then the leader is asked again after this.
const PAUSE: Duration = Duration::from_millis(20);
/// On an answer that may be older than what others know.
pub(crate) const STALE: &str = "diwan-stale";

/// The groups of which an answer tells.
#[derive(Clone)]
pub(super) struct Groups {
    node: NodeHandle,
    names: Arc<[&'static str]>,
}

impl Groups {
    pub(super) fn new(node: &NodeHandle, names: &[&'static str]) -> Self {
        Self {
            node: node.clone(),
            names: names.into(),
        }
    }

    /// Returns once this node has of all of them what was committed when this was called.
    async fn read(&self) {
        for &name in &*self.names {
            while !self.is_read(name).await {
                sleep(PAUSE).await;
            }
        }
    }

    async fn is_read(&self, name: &'static str) -> bool {
        let (tell, told) = oneshot::channel();
        self.node.run(move |node| {
            node.read(name, move |result| {
                let _ = tell.send(result.is_ok());
            });
        });
        told.await.unwrap_or(false)
    }
}

/// Lets questions wait until they can be answered as they should be.
pub(super) async fn current(
    State(groups): State<Groups>,
    request: Request,
    next: Next,
) -> Response {
    let asks = request.method() == Method::GET;
    let is_stale = asks && timeout(PATIENCE, groups.read()).await.is_err();
    let mut response = next.run(request).await;
    if is_stale {
        let why =
            HeaderValue::from_static("no leader is known: this may be older than what others know");
        response.headers_mut().insert(STALE, why);
    }
    response
}
