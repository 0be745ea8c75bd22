//! What Seata's servers offer over HTTP: who leads, for clients whose registry is `raft`, and the console's questions and orders.
//! Sources: apache/incubator-seata:server/src/main/java/org/apache/seata/server/{controller/ClusterController,console/controller/
//! {GlobalSessionController,GlobalLockController}}.java, discovery/seata-discovery-raft/.../RaftRegistryServiceImpl.java.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Form, Json, Router, middleware};
use diwan_seata::GlobalStatus;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Handle;
use super::api::number;
use super::peers::Where;
use crate::state::{Branch, Decision, Global, Operate, has_failed, is_stopped};

/// A client's question waits so long for a change unless it says otherwise.
const WATCH: Duration = Duration::from_secs(28);
/// A token is good for so long; the original's for half an hour.
const TOKEN_LIFE: Duration = Duration::from_secs(30 * 60);
/// Tokens that are good at a time.
const TOKENS_MAX: usize = 1_000;

/// Who may ask, by name and password. Without any, everybody may: the port is for this machine then.
#[derive(Clone, Debug, Default)]
pub struct Users(pub HashMap<String, String>);

#[derive(Clone)]
struct Console {
    handle: Handle,
    users: Arc<Users>,
    tokens: Arc<Mutex<HashMap<String, Instant>>>,
    random: fn() -> u64,
}

impl Handle {
    /// What is offered at the port of Seata's console. `random` makes tokens that nobody guesses.
    pub fn console(self, users: Users, random: fn() -> u64) -> Router {
        let console = Console {
            handle: self,
            users: Arc::new(users),
            tokens: Arc::default(),
            random,
        };
        let sessions = "/api/v1/console/globalSession";
        let branches = "/api/v1/console/branchSession";
        let decisions = Router::new()
            .route(&format!("{sessions}/sendCommitOrRollback"), put(retry))
            .route(&format!("{sessions}/changeGlobalStatus"), put(retry_failed))
            .route(&format!("{sessions}/startGlobalSession"), put(start))
            .route(&format!("{sessions}/stopGlobalSession"), put(stop))
            .route(
                &format!("{sessions}/deleteGlobalSession"),
                delete(forget_decided),
            )
            .route(
                &format!("{sessions}/forceDeleteGlobalSession"),
                delete(forget),
            )
            .route(
                &format!("{branches}/deleteBranchSession"),
                delete(forget_branch),
            )
            .route(
                &format!("{branches}/forceDeleteBranchSession"),
                delete(forget_branch),
            )
            .route(&format!("{branches}/stopBranchSession"), put(stop_branch))
            .route(&format!("{branches}/startBranchSession"), put(start_branch))
            .route("/api/v1/console/globalLock/delete", delete(free_row));
        Router::new()
            .route("/metadata/v1/cluster", get(cluster))
            .route("/metadata/v1/watch", post(watch))
            .route(&format!("{sessions}/query"), get(sessions_query))
            .route("/api/v1/console/globalLock/query", get(locks_query))
            .route("/api/v1/console/globalLock/check", get(branch_check))
            .merge(decisions)
            .layer(middleware::from_fn_with_state(
                console.clone(),
                authenticated,
            ))
            .route("/api/v1/auth/login", post(login))
            .route("/health", get(async || "ok\n"))
            .with_state(console)
    }
}

/// Whoever has no token is refused, if there are users.
async fn authenticated(
    State(console): State<Console>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let token = headers.get(header::AUTHORIZATION);
    let token = token
        .and_then(|token| token.to_str().ok())
        .unwrap_or_default();
    let is_known = || {
        let tokens = console
            .tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tokens
            .get(token)
            .is_some_and(|until| *until > Instant::now())
    };
    match console.users.0.is_empty() || is_known() {
        true => next.run(request).await,
        false => failed(
            StatusCode::UNAUTHORIZED,
            "401",
            "log in first: /api/v1/auth/login",
        ),
    }
}

fn failed(code: StatusCode, text: &str, why: impl ToString) -> Response {
    let said = json!({ "code": text, "message": why.to_string(), "success": false });
    (code, Json(said)).into_response()
}

fn succeeded(data: impl Into<Value>) -> Response {
    let data = data.into();
    Json(json!({ "code": "200", "message": "success", "success": true, "data": data }))
        .into_response()
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

async fn login(State(console): State<Console>, Json(login): Json<Login>) -> Response {
    let known = console.users.0.get(&login.username);
    if !console.users.0.is_empty() && known != Some(&login.password) {
        return failed(StatusCode::UNAUTHORIZED, "401", "login failed");
    }
    let token = format!(
        "Bearer {:016x}{:016x}",
        (console.random)(),
        (console.random)()
    );
    let now = Instant::now();
    let mut tokens = console
        .tokens
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    tokens.retain(|_, until| *until > now);
    if tokens.len() >= TOKENS_MAX {
        return failed(
            StatusCode::TOO_MANY_REQUESTS,
            "429",
            "too many are logged in",
        );
    }
    tokens.insert(token.clone(), now + TOKEN_LIFE);
    succeeded(token)
}

fn endpoint(address: &str) -> Value {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    json!({ "host": host.trim_matches(['[', ']']), "port": port.parse::<u16>().unwrap_or(0) })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Of {
    group: String,
}

async fn cluster(State(console): State<Console>, Query(of): Query<Of>) -> Response {
    let group = if of.group.is_empty() {
        "default"
    } else {
        &of.group
    };
    let (nodes, leadership) = console.handle.nodes().await;
    let node = |one: &(String, Where)| {
        let (name, at) = one;
        let leads = leadership.leader.as_deref() == Some(name.as_str());
        json!({
            "control": endpoint(&at.control),
            "transaction": endpoint(&at.transaction),
            "internal": endpoint(name),
            "group": group,
            "role": if leads { "LEADER" } else { "FOLLOWER" },
            "version": "2.0.0",
            "metadata": {},
        })
    };
    let nodes: Vec<Value> = nodes.iter().map(node).collect();
    Json(json!({ "nodes": nodes, "storeMode": "raft", "term": leadership.epoch })).into_response()
}

/// Answers once another node leads than in the term that the client knows, or after a while.
async fn watch(
    State(console): State<Console>,
    Form(terms): Form<HashMap<String, String>>,
) -> StatusCode {
    let patience = terms.get("timeout").and_then(|ms| ms.parse().ok());
    let patience = patience.map_or(WATCH, Duration::from_millis).min(WATCH);
    let known: Vec<u64> = terms
        .iter()
        .filter(|(name, _)| *name != "timeout")
        .filter_map(|(_, term)| term.parse().ok())
        .collect();
    let mut leadership = console.handle.leadership();
    let changed = leadership
        .wait_for(|now| now.leader.is_some() && known.iter().any(|term| *term != now.epoch));
    match tokio::time::timeout(patience, changed).await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::NOT_MODIFIED,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sessions {
    xid: String,
    application_id: String,
    transaction_name: String,
    status: Option<u8>,
    with_branch: bool,
    page_num: usize,
    page_size: usize,
    time_start: Option<u64>,
    time_end: Option<u64>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            xid: String::new(),
            application_id: String::new(),
            transaction_name: String::new(),
            status: None,
            with_branch: false,
            page_num: 1,
            page_size: 20,
            time_start: None,
            time_end: None,
        }
    }
}

/// A page of something.
fn page(all: Vec<Value>, total: usize, number: usize, size: usize) -> Response {
    Json(json!({
        "code": "200", "message": "success", "success": true,
        "pageNum": number, "pageSize": size, "total": total, "pages": total.div_ceil(size.max(1)),
        "data": all,
    }))
    .into_response()
}

async fn sessions_query(State(console): State<Console>, Query(asked): Query<Sessions>) -> Response {
    let state = console.handle.state().lock();
    let mut ids: Vec<i64> = state
        .globals()
        .filter(|global| {
            let begun_ms = global.begun_us / 1_000;
            (asked.xid.is_empty() || global.xid() == asked.xid)
                && global.origin.application.contains(&asked.application_id)
                && global.origin.name.contains(&asked.transaction_name)
                && asked
                    .status
                    .is_none_or(|status| global.status.byte() == status)
                && asked.time_start.is_none_or(|start| begun_ms >= start)
                && asked.time_end.is_none_or(|end| begun_ms <= end)
        })
        .map(|global| global.id)
        .collect();
    ids.sort_unstable();
    let size = asked.page_size.clamp(1, 1_000);
    let from = asked.page_num.saturating_sub(1).saturating_mul(size);
    let here = ids.iter().skip(from).take(size);
    let here = here.filter_map(|id| state.global(*id));
    let here = here
        .map(|global| session(global, asked.with_branch))
        .collect();
    page(here, ids.len(), asked.page_num, size)
}

fn session(global: &Global, with_branches: bool) -> Value {
    let branch = |one: &Branch| {
        json!({
            "xid": global.xid(),
            "transactionId": global.id.to_string(),
            "branchId": one.id.to_string(),
            "resourceId": &*one.resource,
            "branchType": one.branch_type.name(),
            "status": one.status.byte(),
            "clientId": &*one.client,
            "applicationData": one.application_data,
        })
    };
    let branches: Vec<Value> = match with_branches {
        true => global.branches.iter().map(branch).collect(),
        false => Vec::new(),
    };
    json!({
        "xid": global.xid(),
        "transactionId": global.id.to_string(),
        "status": global.status.byte(),
        "applicationId": global.origin.application,
        "transactionServiceGroup": global.origin.group,
        "transactionName": global.origin.name,
        "timeout": global.timeout_ms,
        "beginTime": global.begun_us / 1_000,
        "branchSessionVOs": branches,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LocksAsked {
    xid: String,
    table_name: String,
    resource_id: String,
    page_num: usize,
    page_size: usize,
}

impl Default for LocksAsked {
    fn default() -> Self {
        Self {
            xid: String::new(),
            table_name: String::new(),
            resource_id: String::new(),
            page_num: 1,
            page_size: 20,
        }
    }
}

async fn locks_query(State(console): State<Console>, Query(asked): Query<LocksAsked>) -> Response {
    let state = console.handle.state().lock();
    let size = asked.page_size.clamp(1, 1_000);
    let from = asked.page_num.saturating_sub(1).saturating_mul(size);
    let (mut total, mut here) = (0, Vec::new());
    for lock in state.locks() {
        let (table, key) = lock.row.split_once(':').unwrap_or((&lock.row, ""));
        let xid = state.global(lock.transaction).map(Global::xid);
        let xid = xid.unwrap_or_default();
        let wanted = (asked.xid.is_empty() || asked.xid == xid)
            && (asked.table_name.is_empty() || asked.table_name == table)
            && lock.resource.contains(&asked.resource_id);
        if !wanted {
            continue;
        }
        if (from..from + size).contains(&total) {
            here.push(json!({
                "xid": xid,
                "transactionId": lock.transaction.to_string(),
                "branchId": lock.branch.to_string(),
                "resourceId": lock.resource,
                "tableName": table,
                "pk": key,
                "rowKey": format!("{}^^^{table}^^^{key}", lock.resource),
            }));
        }
        total += 1;
    }
    page(here, total, asked.page_num, size)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneXid {
    xid: String,
    #[serde(default)]
    branch_id: i64,
    #[serde(default)]
    resource_id: String,
    #[serde(default)]
    table_name: String,
    #[serde(default)]
    pk: String,
}

async fn retry(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    decide(&console, &of, Decision::Retry, |_| true).await
}

async fn retry_failed(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    decide(&console, &of, Decision::Retry, has_failed).await
}

async fn start(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    decide(&console, &of, Decision::Retry, is_stopped).await
}

async fn stop(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    decide(&console, &of, Decision::Stop, |_| true).await
}

/// What is on its way or not even decided is deleted by force alone.
async fn forget_decided(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    let decided = |status| {
        has_failed(status)
            || is_stopped(status)
            || matches!(
                status,
                GlobalStatus::CommitRetrying
                    | GlobalStatus::RollbackRetrying
                    | GlobalStatus::TimeoutRollbackRetrying
            )
    };
    decide(&console, &of, Decision::Forget, decided).await
}

async fn forget(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    decide(&console, &of, Decision::Forget, |_| true).await
}

async fn forget_branch(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    decide(&console, &of, Decision::ForgetBranch, |_| true).await
}

async fn stop_branch(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    decide(&console, &of, Decision::StopBranch, |_| true).await
}

async fn start_branch(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    decide(&console, &of, Decision::StartBranch, |_| true).await
}

async fn free_row(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    decide(&console, &of, Decision::FreeRow, |_| true).await
}

async fn branch_check(State(console): State<Console>, Query(of): Query<OneXid>) -> Response {
    let state = console.handle.state().lock();
    let global = number(&of.xid).and_then(|id| state.global(id));
    let is_there = global.is_some_and(|global| {
        let mut branches = global.branches.iter();
        branches.any(|branch| branch.id == of.branch_id)
    });
    succeeded(is_there)
}

/// Which of the console's orders are for which statuses.
/// Source: apache/incubator-seata:server/src/main/java/org/apache/seata/server/console/impl/AbstractGlobalService.java.
async fn decide(
    console: &Console,
    of: &OneXid,
    decision: Decision,
    allowed: impl Fn(GlobalStatus) -> bool,
) -> Response {
    let Some(id) = number(&of.xid) else {
        return failed(StatusCode::BAD_REQUEST, "400", "that is no xid");
    };
    let status = console
        .handle
        .state()
        .lock()
        .global(id)
        .map(|global| global.status);
    if let Some(status) = status.filter(|status| !allowed(*status)) {
        let why = format!("that is not for a transaction that is {}", status.name());
        return failed(StatusCode::BAD_REQUEST, "400", why);
    }
    let mut operate = Operate {
        transaction: id,
        decision: decision as u32,
        branch: of.branch_id,
        ..Operate::default()
    };
    if decision == Decision::FreeRow {
        operate.resource.clone_from(&of.resource_id);
        operate.row = format!("{}:{}", of.table_name, of.pk);
    }
    match console.handle.operate(operate).await {
        Ok(status) => succeeded(status),
        Err((code, why)) => failed(code, code.as_str(), why),
    }
}
