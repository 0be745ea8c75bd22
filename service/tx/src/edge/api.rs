//! What an operator sees of transactions, and decides: JSON over HTTP, below `/tx/v1`.

use std::cmp::Reverse;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use diwan_seata::GlobalStatus;
use prost::Message as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Handle;
use super::desk::Then;
use super::peers::Answered;
use crate::state::{Answer, Branch, Decision, Global, Kind, Operate};

/// A transaction that was told in vain so often is listed as stuck.
const STUCK_TRIES: u32 = 3;

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/tx/v1/transactions", get(transactions))
        .route("/tx/v1/transactions/{id}", get(transaction))
        .route("/tx/v1/transactions/{id}/{decision}", post(decide))
        .route("/tx/v1/locks", get(locks))
}

fn failed(code: StatusCode, why: impl ToString) -> Response {
    (code, Json(json!({ "error": why.to_string() }))).into_response()
}

#[derive(Deserialize)]
#[serde(default)]
struct Filter {
    /// Those that have ended, from the archive.
    ended: bool,
    /// Only those that wait for somebody: a decision, or a resource manager.
    stuck: bool,
    /// Only those in this status.
    status: String,
    /// Only those whose names contain this.
    contains: String,
    limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            ended: false,
            stuck: false,
            status: String::new(),
            contains: String::new(),
            limit: 100,
        }
    }
}

pub(super) fn is_stuck(global: &Global) -> bool {
    global.is_stuck() || global.tries >= STUCK_TRIES
}

/// What has ended, the newest first.
async fn from_archive(
    handle: &Handle,
    filter: Filter,
    status: Option<GlobalStatus>,
) -> Result<Value, String> {
    let open = handle.state().lock().len();
    let Some(archive) = handle.state().archive().cloned() else {
        return Ok(json!({ "transactions": [], "more": false, "open": open }));
    };
    let page = tokio::task::spawn_blocking(move || {
        archive.list(None, filter.limit, |kept| {
            let global = Global::from_bytes(&kept.value)?;
            let is_wanted = status.is_none_or(|status| global.status == status)
                && (global.origin.name.contains(&filter.contains)
                    || global.xid().contains(&filter.contains));
            is_wanted.then(|| ended(&global, kept.ended_ms))
        })
    });
    let page = page.await.map_err(|error| error.to_string())?;
    let page = page.map_err(|error| error.to_string())?;
    Ok(json!({ "transactions": page.entries, "more": page.more.is_some(), "open": open }))
}

fn ended(global: &Global, ended_ms: u64) -> Value {
    let mut said = summary(global, ended_ms * 1_000);
    said["ended_ms"] = ended_ms.into();
    said
}

/// The oldest first; of those that have ended the newest.
async fn transactions(State(handle): State<Handle>, Query(filter): Query<Filter>) -> Response {
    let wanted = match filter.status.is_empty() {
        true => None,
        false => match filter.status.parse::<GlobalStatus>() {
            Ok(status) => Some(status),
            Err(()) => return failed(StatusCode::BAD_REQUEST, "there is no such status"),
        },
    };
    if filter.ended {
        return match from_archive(&handle, filter, wanted).await {
            Ok(said) => Json(said).into_response(),
            Err(why) => failed(StatusCode::INTERNAL_SERVER_ERROR, why),
        };
    }
    let state = handle.state().lock();
    let matches = state.globals().filter(|global| {
        (!filter.stuck || is_stuck(global))
            && wanted.is_none_or(|status| global.status == status)
            && (global.origin.name.contains(&filter.contains)
                || global.xid().contains(&filter.contains))
    });
    // Only so many are held at a time, however many there are.
    let mut oldest = std::collections::BinaryHeap::new();
    let mut more = false;
    for global in matches {
        oldest.push(global.id);
        if oldest.len() > filter.limit {
            more = true;
            oldest.pop();
        }
    }
    let now_us = state.now_us();
    let all = oldest.into_sorted_vec().into_iter();
    let all: Vec<Value> = all
        .filter_map(|id| state.global(id))
        .map(|global| summary(global, now_us))
        .collect();
    let open = state.len();
    drop(state);
    Json(json!({ "transactions": all, "more": more, "open": open })).into_response()
}

fn summary(global: &Global, now_us: u64) -> Value {
    json!({
        "xid": global.xid(),
        "id": global.id,
        "name": global.origin.name,
        "application": global.origin.application,
        "group": global.origin.group,
        "status": global.status.name(),
        "begun_ms": global.begun_us / 1_000,
        "age_ms": now_us.saturating_sub(global.begun_us) / 1_000,
        "timeout_ms": global.timeout_ms,
        "branches": global.told.len() + global.branches.len(),
        "tries": global.tries,
        "next_try_ms": (global.due_us > 0).then_some(global.due_us / 1_000),
        "stuck": is_stuck(global),
        "trouble": global.trouble,
    })
}

fn branch(one: &Branch) -> Value {
    json!({
        "id": one.id,
        "type": one.branch_type.name(),
        "status": one.status.name(),
        "resource": &*one.resource,
        "client": &*one.client,
        "lock_key": one.lock_key,
        "data": one.application_data,
    })
}

/// Those first that need not be told anything any more.
fn with_branches(global: &Global, mut said: Value) -> Value {
    let branches = global.told.iter().chain(&global.branches);
    said["branches"] = branches.map(branch).collect::<Vec<_>>().into();
    said
}

/// A transaction by its number, or by its xid.
pub(super) fn number(text: &str) -> Option<i64> {
    text.rsplit(':').next()?.parse().ok()
}

/// By name: the server around may have path parameters of its own.
#[derive(Deserialize)]
struct One {
    id: String,
}

#[derive(Deserialize)]
struct Decided {
    id: String,
    decision: String,
}

async fn transaction(State(handle): State<Handle>, Path(One { id }): Path<One>) -> Response {
    let Some(id) = number(&id) else {
        return failed(StatusCode::BAD_REQUEST, "that is no xid");
    };
    let open = {
        let state = handle.state().lock();
        let global = state.global(id);
        global.map(|global| with_branches(global, summary(global, state.now_us())))
    };
    if let Some(said) = open {
        return Json(said).into_response();
    }
    let archive = handle.state().archive();
    let kept = match archive.map(|archive| archive.get(&id.to_string())) {
        Some(Err(error)) => return failed(StatusCode::INTERNAL_SERVER_ERROR, error),
        Some(Ok(kept)) => kept,
        None => None,
    };
    let global = kept.and_then(|kept| {
        let global = Global::from_bytes(&kept.value)?;
        Some(with_branches(&global, ended(&global, kept.ended_ms)))
    });
    match global {
        Some(said) => Json(said).into_response(),
        None => failed(
            StatusCode::NOT_FOUND,
            format!(
                "there is no transaction {id}, or it has ended and is not in this node's archive"
            ),
        ),
    }
}

/// What of a transaction is decided on, if not on all of it.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    branch: Option<i64>,
    resource: String,
    row: String,
}

async fn decide(
    State(handle): State<Handle>,
    Path(Decided { id, decision }): Path<Decided>,
    Query(part): Query<Part>,
) -> Response {
    let decision = match decision.as_str() {
        "retry" if part.branch.is_some() => Decision::StartBranch,
        "retry" => Decision::Retry,
        "commit" => Decision::Commit,
        "rollback" => Decision::Rollback,
        "forget" if part.branch.is_some() => Decision::ForgetBranch,
        "forget" => Decision::Forget,
        "stop" if part.branch.is_some() => Decision::StopBranch,
        "stop" => Decision::Stop,
        "unlock" => Decision::FreeRow,
        _ => {
            return failed(
                StatusCode::NOT_FOUND,
                "retry, commit, rollback, stop, forget or unlock",
            );
        }
    };
    let Some(id) = number(&id) else {
        return failed(StatusCode::BAD_REQUEST, "that is no xid");
    };
    let operate = Operate {
        transaction: id,
        decision: decision as u32,
        branch: part.branch.unwrap_or_default(),
        resource: part.resource,
        row: part.row,
    };
    match handle.operate(operate).await {
        Ok(status) => Json(json!({ "status": status })).into_response(),
        Err((code, why)) => failed(code, why),
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct LockFilter {
    contains: String,
    limit: usize,
}

impl Default for LockFilter {
    fn default() -> Self {
        Self {
            contains: String::new(),
            limit: 100,
        }
    }
}

async fn locks(State(handle): State<Handle>, Query(filter): Query<LockFilter>) -> Response {
    let state = handle.state().lock();
    let mut all: Vec<_> = state
        .locks()
        .filter(|lock| {
            lock.row.contains(&filter.contains) || lock.resource.contains(&filter.contains)
        })
        .take(filter.limit.saturating_add(1))
        .collect();
    let more = all.len() > filter.limit;
    all.truncate(filter.limit);
    all.sort_by_key(|lock| Reverse((lock.transaction, lock.branch)));
    let said: Vec<Value> = all
        .iter()
        .map(|lock| {
            json!({
                "resource": lock.resource,
                "row": lock.row,
                "xid": state.global(lock.transaction).map(Global::xid),
                "branch": lock.branch,
            })
        })
        .collect();
    Json(json!({ "locks": said, "more": more, "locked": state.locked_rows() })).into_response()
}

impl Handle {
    /// What an operator is offered, for a server to put at its address.
    pub fn operator(self) -> Router {
        routes().with_state(self)
    }

    /// Does what an operator has decided; the name of the status to which it has led, or why not.
    pub(super) async fn operate(
        &self,
        operate: Operate,
    ) -> Result<Option<&'static str>, (StatusCode, String)> {
        let operation = Kind::Operate(operate.clone());
        let answer = self.carry_out(operation).await;
        let answer = answer.map_err(|why| (StatusCode::SERVICE_UNAVAILABLE, why))?;
        if let Some(why) = answer.refused {
            return Err((StatusCode::CONFLICT, why));
        }
        tracing::info!(?operate, "an operator has decided");
        let status = u8::try_from(answer.status).ok();
        Ok(status
            .and_then(GlobalStatus::from_byte)
            .map(GlobalStatus::name))
    }

    /// Carries an operation out, wherever the node is that leads.
    async fn carry_out(&self, kind: Kind) -> Result<Answer, String> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let _ = self.tasks.send(Box::new(move |desk| {
            let reply = Box::new(move |content| drop(tell.send(content)));
            desk.submit(kind.into(), Then::Here(reply));
        }));
        let content = told.await.map_err(|_| "the coordinator has stopped")?;
        let answered = Answered::decode(&content[..]).map_err(|error| error.to_string())?;
        let why = || answered.why.unwrap_or_default();
        answered.answer.ok_or_else(why)
    }
}
