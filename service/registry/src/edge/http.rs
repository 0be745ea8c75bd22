//! The HTTP of the original's session and meta servers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{Handle, Nodes, access, overview, session, switches};
use crate::state::ServiceName;

/// How a proposal ends: with the state machine's answer, or why there is none.
pub type Proposed = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;
/// Proposes a command to the settings' log.
pub type Proposer = Arc<dyn Fn(Bytes) -> Proposed + Send + Sync>;

/// What the registry answers over HTTP.
#[derive(Clone)]
pub struct Http {
    /// The registry.
    pub registry: Handle,
    /// The settings' log.
    pub propose: Proposer,
    /// The other nodes, as operators' requests reach them: [`super::OPERATE_CLASS`]. None for a registry that is alone.
    pub nodes: Option<Nodes>,
}

impl Http {
    /// What the session server answers: port 9603.
    /// sofastack/sofa-registry:server/server/session/.../resource/{SessionOpenResource,HealthResource}.java
    pub fn session(self) -> Router {
        Router::new()
            .route("/api/servers/query", get(query))
            .route("/api/servers/query.json", get(query_json))
            .route("/api/servers/queryWithWeight", get(query_with_weight))
            .route("/api/servers/connectionNum", get(connections))
            .route("/api/servers/alive", get(async || "OK"))
            .route("/health/check", get(health))
            .merge(session::routes())
            .merge(switches::persistence_routes())
            .layer(middleware::from_fn(switches::refuse_browsers))
            .with_state(self)
    }

    /// What the meta server answers: port 9615.
    /// sofastack/sofa-registry:server/server/meta/.../resource/ProvideDataResource.java
    pub fn meta(self) -> Router {
        Router::new()
            .route("/persistentData/put", post(put))
            .route("/persistentData/remove", post(remove))
            .route("/health/check", get(health))
            .merge(switches::routes())
            .merge(overview::routes())
            .layer(middleware::from_fn(switches::refuse_browsers))
            .with_state(self)
    }
}

async fn query(State(http): State<Http>) -> String {
    http.registry.addresses().join(";")
}

async fn query_json(State(http): State<Http>) -> Json<Vec<String>> {
    Json(http.registry.addresses().to_vec())
}

async fn query_with_weight(State(http): State<Http>) -> String {
    let weighted: Vec<String> = http
        .registry
        .addresses()
        .iter()
        .map(|server| format!("{server}?weight=100"))
        .collect();
    weighted.join(";")
}

async fn connections(State(http): State<Http>) -> String {
    http.registry.connections().to_string()
}

async fn health() -> Response {
    Json(json!({ "success": true, "message": "Registry is running" })).into_response()
}

/// The body of a change of persistent data.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PersistentData {
    data_id: String,
    instance_id: Option<String>,
    group: Option<String>,
    data: Option<String>,
}

async fn put(State(http): State<Http>, body: Json<PersistentData>) -> Response {
    let value = body.data.clone();
    change(&http, &body, Some(value.unwrap_or_default())).await
}

async fn remove(State(http): State<Http>, body: Json<PersistentData>) -> Response {
    change(&http, &body, None).await
}

async fn change(http: &Http, body: &PersistentData, value: Option<String>) -> Response {
    let name = ServiceName::new(
        &body.data_id,
        body.instance_id.as_deref(),
        body.group.as_deref(),
    );
    if name == access::setting() {
        let why = "access keys are changed by `diwan registry keys`";
        return switches::failed(StatusCode::FORBIDDEN, why);
    }
    match http.set(name, value).await {
        Ok(()) => Json(json!({ "success": true, "message": null })).into_response(),
        Err(unchanged) => unchanged.answer(),
    }
}
