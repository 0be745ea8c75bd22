//! Sagas over HTTP, JSON, below `/saga/v1`: for applications that start them, and for operators.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{HostError, Hosts, Start, Summary};

/// Nobody waits longer for a saga.
const WAIT_MOST_MS: u64 = 60_000;

impl Hosts {
    /// What is offered, for a server to put at its address.
    pub fn router(self) -> Router {
        Router::new()
            .route("/saga/v1/machines", get(machines).post(define))
            .route("/saga/v1/sagas", get(list).post(start))
            .route("/saga/v1/sagas/{id}", get(show))
            .route("/saga/v1/sagas/{id}/{operation}", post(operate))
            .with_state(self)
    }
}

fn failed(code: StatusCode, why: impl ToString) -> Response {
    (code, Json(json!({ "error": why.to_string() }))).into_response()
}

fn error(error: &HostError) -> Response {
    failed(
        match error {
            HostError::Refused(_) => StatusCode::CONFLICT,
            HostError::Log(_) => StatusCode::SERVICE_UNAVAILABLE,
            HostError::Archive(_) => StatusCode::INTERNAL_SERVER_ERROR,
        },
        error,
    )
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tenant {
    tenant: String,
}

/// The body is the machine.
async fn define(State(hosts): State<Hosts>, Query(of): Query<Tenant>, text: String) -> Response {
    match hosts.define(&of.tenant, &text).await {
        Ok(()) => Json(json!({})).into_response(),
        Err(why) => error(&why),
    }
}

async fn machines(State(hosts): State<Hosts>) -> Response {
    // Each log has them all.
    let Some(first) = hosts.iter().next() else {
        return Json(json!({ "machines": [] })).into_response();
    };
    let sagas = first.shared().lock();
    let machine = |(tenant, machine): (&str, &crate::lang::Machine)| {
        json!({
            "name": machine.name,
            "tenant": tenant,
            "version": machine.version,
            "states": machine.states.len(),
        })
    };
    let all: Vec<Value> = sagas.latest_machines().map(machine).collect();
    Json(json!({ "machines": all })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Started {
    id: String,
    machine: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    business_key: Option<String>,
    #[serde(default)]
    params: Map<String, Value>,
    /// Answer when it has stopped, or after so long.
    #[serde(default)]
    wait_ms: u64,
}

async fn start(State(hosts): State<Hosts>, Json(body): Json<Started>) -> Response {
    if body.id.is_empty() {
        return failed(StatusCode::BAD_REQUEST, "a saga needs an id");
    }
    let patience = Duration::from_millis(body.wait_ms.min(WAIT_MOST_MS));
    let start = Start {
        id: body.id,
        machine: body.machine,
        tenant: body.tenant,
        business_key: body.business_key,
        params: body.params,
    };
    match hosts.start(start, patience).await {
        Ok(view) => Json(view).into_response(),
        Err(why) => error(&why),
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Filter {
    /// Only those that did not end well: they are recovered, or wait for a decision.
    stuck: bool,
    /// Only those that are on their way.
    running: bool,
    /// Those that have left, from this node's archive.
    ended: bool,
    /// Only those whose id, machine or business key contains this.
    contains: String,
    limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            stuck: false,
            running: false,
            ended: false,
            contains: String::new(),
            limit: 100,
        }
    }
}

async fn list(State(hosts): State<Hosts>, Query(filter): Query<Filter>) -> Response {
    let (ended, limit) = (filter.ended, filter.limit);
    let filter = std::sync::Arc::new(filter);
    let is = move |one: &Summary| {
        let has = |text: &str| text.contains(&filter.contains);
        (!filter.stuck || one.stuck)
            && (!filter.running || one.is_running)
            && (has(&one.id) || has(&one.machine) || one.business_key.as_deref().is_some_and(has))
    };
    let (all, more) = if ended {
        match hosts.ended(limit, is).await {
            Ok(found) => found,
            Err(why) => return error(&why),
        }
    } else {
        let mut all = hosts.list(limit.saturating_add(1), is);
        let more = all.len() > limit;
        all.truncate(limit);
        (all, more)
    };
    let living: usize = hosts.iter().map(|host| host.shared().lock().len()).sum();
    Json(json!({ "sagas": all, "more": more, "living": living })).into_response()
}

/// By name: the server around may have path parameters of its own.
#[derive(Deserialize)]
struct One {
    id: String,
}

#[derive(Deserialize)]
struct Operated {
    id: String,
    operation: String,
}

async fn show(State(hosts): State<Hosts>, Path(One { id }): Path<One>) -> Response {
    match hosts.find(&id).await {
        Ok(Some(view)) => Json(view).into_response(),
        Ok(None) => failed(
            StatusCode::NOT_FOUND,
            format!("there is no saga {id}, nor is it in this node's archive"),
        ),
        Err(why) => error(&why),
    }
}

async fn operate(
    State(hosts): State<Hosts>,
    Path(Operated { id, operation }): Path<Operated>,
    body: String,
) -> Response {
    let params: Map<String, Value> = match body.is_empty() {
        true => Map::new(),
        false => match serde_json::from_str(&body) {
            Ok(params) => params,
            Err(why) => return failed(StatusCode::BAD_REQUEST, why),
        },
    };
    tracing::info!(saga = id, operation, "an operator decides");
    let host = match hosts.with(&id).await {
        Ok(host) => host,
        Err(why) => return error(&why),
    };
    let done = match operation.as_str() {
        "forward" => host.forward(id.clone(), params, false).await,
        "skip" => host.forward(id.clone(), params, true).await,
        "compensate" => host.compensate(id.clone(), params).await,
        "forget" => host.forget(id.clone()).await,
        "reload" => host.reload(&id).await,
        _ => {
            let known = "forward, skip, compensate, forget or reload";
            return failed(StatusCode::NOT_FOUND, known);
        }
    };
    match done {
        Ok(()) => Json(json!({ "id": id })).into_response(),
        Err(why) => error(&why),
    }
}
