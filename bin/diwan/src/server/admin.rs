//! Administration over HTTP, on loopback: health, metrics, groups and what an operator does with them, the node's own store.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use diwan_external::{LogStatus, Logs};
use diwan_jraft::Message;
use diwan_log::{ProposalError, ReadError};
use diwan_raft::{ErrorCode, PeerId};
use diwan_registry::edge::Http;
use diwan_runtime::{GroupMetrics, NodeHandle, NodeMetrics};
use diwan_saga::host::Hosts;
use diwan_tx::edge::Handle;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use super::current::{Groups, current};
use super::meta::{self, Registers};
use super::metrics::{self, role_name};
use super::{saga, tx};
use crate::raft::operation::{Answer, Operation};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) node: NodeHandle,
    /// The group of the node's own store.
    pub(crate) meta_group: String,
    pub(crate) registers: Registers,
    /// Those that an engine keeps, if one does.
    pub(crate) logs: Option<Logs>,
    pub(crate) stopping: Arc<AtomicBool>,
    /// Once it has begun.
    pub(crate) registry: Arc<OnceLock<Http>>,
    pub(crate) coordinator: Arc<OnceLock<Handle>>,
    pub(crate) sagas: Arc<OnceLock<Hosts>>,
    /// Whose logs they are in.
    pub(crate) saga_groups: Vec<&'static str>,
}

const ROUTES: &str = "\
GET  /livez                       200 while the node works
GET  /readyz                      200 while every group here has a leader and this member knows it
GET  /metrics                     Prometheus text
GET  /raft                        the groups of this node
GET  /raft/GROUP                  one group as this member sees it
GET  /raft/GROUP/peers            its members; ?alive=true: those that answer
POST /raft/GROUP/add-peer         ?peer=IP:PORT
POST /raft/GROUP/remove-peer      ?peer=IP:PORT
POST /raft/GROUP/change-peers     ?peers=IP:PORT,..
POST /raft/GROUP/reset-peers      ?peers=IP:PORT,..&accept_loss=yes
POST /raft/GROUP/transfer-leader  [?peer=IP:PORT]
POST /raft/GROUP/snapshot
POST /raft/GROUP/add-learners     ?peers=IP:PORT,..  (also remove-learners, reset-learners)
POST /raft/GROUP/promote          ?peer=IP:PORT: a learner becomes a voter
GET  /log                         the logs that an engine keeps for this node
POST /log/NAME/snapshot           a snapshot of one of them, at its owner
GET  /meta/KEY, PUT /meta/KEY     the cluster's own small store
GET  /registry/v1/nodes           the service registry, if this node is one; also services, instances, subscribers,
                                  push-history ?service=, diff ?one=NODE&other=NODE, switch, offline, guard
POST /registry/v1/switch          ?push=open or close; offline, online ?ip=; guard/release ?service=
GET  /tx/v1/transactions          distributed transactions, if this node coordinates them; ?stuck=true, status=, contains=; /{xid}; locks
POST /tx/v1/transactions/{xid}/{what}  retry, commit, rollback, stop, forget, unlock
";

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, admin: Admin) {
    let questions_to = |groups: &[&'static str]| {
        middleware::from_fn_with_state(Groups::new(&admin.node, groups), current)
    };
    let transactions = any(transactions).layer(questions_to(&[tx::GROUP]));
    let sagas = any(sagas).layer(questions_to(&admin.saga_groups));
    let router = Router::new()
        .route("/", get(async || ROUTES))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus))
        .route("/raft", get(groups))
        .route("/raft/{group}", get(group))
        .route("/raft/{group}/peers", get(peers))
        .route("/raft/{group}/{operation}", post(operate))
        .route("/log", get(logs))
        .route("/log/{name}/snapshot", post(log_snapshot))
        .route("/meta/{key}", get(read).put(write))
        .route("/registry/v1/{*what}", any(registry))
        .route("/tx/v1/{*what}", transactions)
        .route("/saga/v1/{*what}", sagas)
        .with_state(admin)
        .layer(DefaultBodyLimit::max(meta::VALUE_BYTES_MAX))
        .layer(middleware::from_fn(refuse_browsers));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "administration ended");
    }
}

/// A page in a browser of this machine can reach loopback too. It says where it comes from, or under which name it looked.
async fn refuse_browsers(headers: HeaderMap, request: Request, next: Next) -> Response {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let local = host.is_some_and(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        name == "localhost"
            || host
                .parse::<SocketAddr>()
                .is_ok_and(|addr| addr.ip().is_loopback())
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    });
    if !local || headers.contains_key(header::ORIGIN) {
        let why =
            "this is for programs on this machine: ask 127.0.0.1 or localhost, without an Origin";
        return error(StatusCode::FORBIDDEN, why, json!({}));
    }
    next.run(request).await
}

fn error(code: StatusCode, why: impl ToString, more: Value) -> Response {
    let mut body = json!({ "error": why.to_string() });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    (code, Json(body)).into_response()
}

fn gone() -> Response {
    error(
        StatusCode::SERVICE_UNAVAILABLE,
        "the node has stopped",
        json!({}),
    )
}

async fn live(State(admin): State<Admin>) -> Response {
    match admin.node.failure() {
        None => "live\n".into_response(),
        Some(why) => error(StatusCode::SERVICE_UNAVAILABLE, why, json!({})),
    }
}

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.stopping.load(Relaxed) {
        return error(
            StatusCode::SERVICE_UNAVAILABLE,
            "the node is stopping",
            json!({}),
        );
    }
    if let Some(why) = admin.node.failure() {
        return error(StatusCode::SERVICE_UNAVAILABLE, why, json!({}));
    }
    let Some(metrics) = metrics_of(&admin).await else {
        return gone();
    };
    let mut waiting: Vec<String> = metrics
        .groups
        .iter()
        .filter_map(|group| unready(&metrics.id, group).map(|why| format!("{}: {why}", group.name)))
        .collect();
    let logs = statuses(&admin).await.unwrap_or_default();
    let id = metrics.id.to_string();
    for log in &logs {
        match &log.status.owner {
            None => waiting.push(format!("{}: nobody owns the log", log.name)),
            Some(owner) if *owner == id && !log.leading => waiting.push(format!(
                "{}: its new owner reads what was appended before",
                log.name
            )),
            Some(_) => {}
        }
    }
    match waiting.is_empty() {
        true => "ready\n".into_response(),
        false => error(
            StatusCode::SERVICE_UNAVAILABLE,
            waiting.join("; "),
            json!({}),
        ),
    }
}

/// Why a group cannot be worked with here, if it cannot.
fn unready(node: &PeerId, group: &GroupMetrics) -> Option<String> {
    let status = &group.status;
    if !status.configuration.contains(node) {
        return Some(
            "not a member yet: add it with `diwan raft add-peer` or `learners add`".to_owned(),
        );
    }
    match &status.leader {
        None => Some("no leader is known".to_owned()),
        Some(leader) if leader == node && !group.leading => {
            Some("the new leader applies what was proposed before".to_owned())
        }
        Some(_) if status.applied < status.committed => Some(format!(
            "applied {} of {} committed entries",
            status.applied, status.committed
        )),
        Some(_) => None,
    }
}

/// The logs that an engine keeps, if one does.
async fn statuses(admin: &Admin) -> Option<Vec<LogStatus>> {
    admin.logs.as_ref()?.status().await
}

const NO_ENGINE: &str = "this node keeps its logs itself: see /raft";

async fn logs(State(admin): State<Admin>) -> Response {
    let Some(engine) = admin.logs.as_ref().map(|logs| logs.engine.clone()) else {
        return error(StatusCode::NOT_FOUND, NO_ENGINE, json!({}));
    };
    let Some(logs) = statuses(&admin).await else {
        return gone();
    };
    let logs: Vec<Value> = logs.iter().map(describe_log).collect();
    Json(json!({ "engine": engine, "logs": logs })).into_response()
}

fn describe_log(log: &LogStatus) -> Value {
    let LogStatus {
        name,
        status,
        leading,
        time,
        counts,
    } = log;
    let (blocks, commands, bytes) = counts.applied;
    json!({
        "log": name,
        "owner": status.owner,
        "term": status.term,
        "leading": leading,
        "next": status.next,
        "applied": status.position.next,
        "lag": status.next.saturating_sub(status.position.next),
        "index": status.position.index,
        "blocks": blocks,
        "commands_per_block": commands.checked_div(blocks),
        "bytes_per_block": bytes.checked_div(blocks),
        "largest_block": counts.largest,
        "snapshot": status.snapshot.map(|snapshot| json!({
            "next": snapshot.position.next,
            "index": snapshot.position.index,
            "bytes": snapshot.bytes,
            "pieces": snapshot.pieces,
        })),
        "since_snapshot_bytes": status.since_snapshot,
        "waiting": status.waiting.0,
        "no_space": status.no_space,
        "trouble": status.trouble,
        "time_ms": time.0 / 1000,
    })
}

async fn log_snapshot(State(admin): State<Admin>, Path(name): Path<String>) -> Response {
    let Some(logs) = &admin.logs else {
        return error(StatusCode::NOT_FOUND, NO_ENGINE, json!({}));
    };
    match logs.snapshot(name.clone()).await {
        true => Json(json!({ "asked": true })).into_response(),
        false => no_group(&name),
    }
}

async fn metrics_of(admin: &Admin) -> Option<NodeMetrics> {
    admin.node.ask(|node| node.metrics()).await
}

async fn registry(State(admin): State<Admin>, request: Request) -> Response {
    let router = admin.registry.get().map(|http| http.clone().operator());
    role(router, "a registry", request).await
}

async fn transactions(State(admin): State<Admin>, request: Request) -> Response {
    let coordinator = admin.coordinator.get();
    let router = coordinator.map(|coordinator| coordinator.clone().operator());
    role(router, "a coordinator of transactions", request).await
}

async fn sagas(State(admin): State<Admin>, request: Request) -> Response {
    let router = admin.sagas.get().map(|host| host.clone().router());
    role(router, "a host of sagas", request).await
}

async fn role(router: Option<Router>, what: &str, request: Request) -> Response {
    match router {
        Some(router) => match router.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => error(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("this node is not {what}, or not yet"),
            json!({}),
        ),
    }
}

async fn prometheus(State(admin): State<Admin>) -> Response {
    let Some(metrics) = metrics_of(&admin).await else {
        return gone();
    };
    let connections = admin
        .node
        .connections()
        .map(|(stats, open)| (open as u64, stats.snapshot()));
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    let mut text = metrics::text(&metrics, connections);
    if let Some(logs) = statuses(&admin).await {
        text += &metrics::engine::text(&logs);
    }
    if let Some(http) = admin.registry.get() {
        text += &metrics::registry::text(&http.registry.status().await);
    }
    let mut archives = Vec::new();
    if let Some(coordinator) = admin.coordinator.get() {
        text += &metrics::tx::text(&coordinator.status());
        archives.extend(
            coordinator
                .state()
                .archive()
                .map(|one| ("tx", one.status())),
        );
    }
    if let Some(sagas) = admin.sagas.get() {
        text += &metrics::saga::text(&sagas.counts());
        let kept = sagas
            .iter()
            .zip(saga::GROUPS)
            .filter_map(|(host, group)| Some((group, host.shared().archive()?.status())));
        archives.extend(kept);
    }
    if !archives.is_empty() {
        text += &metrics::archive::text(&archives);
    }
    (kind, text).into_response()
}

async fn groups(State(admin): State<Admin>) -> Response {
    let Some(metrics) = metrics_of(&admin).await else {
        return gone();
    };
    let groups: Vec<&str> = metrics
        .groups
        .iter()
        .map(|group| group.name.as_str())
        .collect();
    Json(json!({ "node": metrics.id.to_string(), "groups": groups })).into_response()
}

async fn group(State(admin): State<Admin>, Path(name): Path<String>) -> Response {
    let Some(metrics) = metrics_of(&admin).await else {
        return gone();
    };
    match metrics.groups.iter().find(|group| group.name == name) {
        Some(group) => Json(describe(&metrics.id, group)).into_response(),
        None => no_group(&name),
    }
}

fn no_group(name: &str) -> Response {
    error(
        StatusCode::NOT_FOUND,
        format!("there is no group {name} here"),
        json!({}),
    )
}

fn describe(node: &PeerId, group: &GroupMetrics) -> Value {
    let status = &group.status;
    let names = |peers: &[PeerId]| peers.iter().map(PeerId::to_string).collect::<Vec<_>>();
    let followers: Vec<Value> = status
        .peers
        .iter()
        .map(|peer| {
            json!({
                "peer": peer.peer.to_string(),
                "state": peer.state,
                "matched": peer.matched,
                "lag": status.last.index.saturating_sub(peer.matched),
                "inflight": peer.inflight,
                "silent_ms": u64::try_from(peer.silent.as_millis()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    json!({
        "node": node.to_string(),
        "group": group.name,
        "role": role_name(status.role),
        "leading": group.leading,
        "term": status.term,
        "leader": status.leader.as_ref().map(PeerId::to_string),
        "committed": status.committed,
        "applied": status.applied,
        "last": status.last.index,
        "durable": status.stable,
        "compacted": status.compacted.index,
        "peers": names(&status.configuration.peers),
        "learners": names(&status.configuration.learners),
        "old_peers": names(&status.configuration.old_peers),
        "followers": followers,
        "snapshot": {
            "index": group.snapshot_index,
            "taken": group.snapshots_taken,
            "installed": status.counters.snapshots_installed,
            "writing": group.snapshot_busy,
            "fetched_bytes": group.snapshot_fetched_bytes,
        },
        "proposals_open": group.proposals_open,
        "silent": status.quiesced,
        "time_ms": group.time.0 / 1000,
        "sessions": group.sessions,
    })
}

async fn peers(
    State(admin): State<Admin>,
    Path(group): Path<String>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Response {
    let alive = parameters.get("alive").is_some_and(|alive| alive == "true");
    carry_out(&admin, &group, Operation::Peers { alive }).await
}

async fn operate(
    State(admin): State<Admin>,
    Path((group, name)): Path<(String, String)>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Response {
    match Operation::parse(&name, &parameters) {
        Ok(operation) => {
            tracing::info!(group, ?operation, "asked by an operator over HTTP");
            carry_out(&admin, &group, operation).await
        }
        Err(why) => error(StatusCode::BAD_REQUEST, why, json!({})),
    }
}

async fn carry_out(admin: &Admin, group: &str, operation: Operation) -> Response {
    let (tell, told) = oneshot::channel();
    let name = group.to_owned();
    admin.node.run(move |node| {
        let message = operation.message(&name, node.id());
        let leader = node
            .status(&name)
            .map(|status| status.leader.map(|leader| leader.to_string()));
        node.operate(message, move |answer| {
            let _ = tell.send((answer, leader));
        });
    });
    let (answer, leader) = match told.await {
        Ok((answer, Some(leader))) => (answer, leader),
        Ok((_, None)) => return no_group(group),
        Err(_) => return gone(),
    };
    match answer {
        Message::ErrorResponse(refused) if refused.error_code != 0 => {
            let code = match ErrorCode::of(refused.error_code) {
                ErrorCode::NotPermitted => StatusCode::MISDIRECTED_REQUEST,
                ErrorCode::Invalid => StatusCode::BAD_REQUEST,
                ErrorCode::Busy => StatusCode::CONFLICT,
                ErrorCode::Again | ErrorCode::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            let more = json!({ "code": refused.error_code, "leader": leader });
            error(code, refused.error_message.unwrap_or_default(), more)
        }
        other => match Answer::of(other) {
            Some(answer) => Json(answer.json()).into_response(),
            None => error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "an answer that answers nothing",
                json!({}),
            ),
        },
    }
}

async fn write(State(admin): State<Admin>, Path(key): Path<String>, value: Bytes) -> Response {
    let command = match meta::put(&key, &value) {
        Ok(command) => command,
        Err(why) => return error(StatusCode::BAD_REQUEST, why, json!({})),
    };
    let (tell, told) = oneshot::channel();
    let group = admin.meta_group.clone();
    admin.node.run(move |node| {
        node.propose(&group, command, move |result| {
            let _ = tell.send(result);
        });
    });
    let Ok(result) = told.await else {
        return gone();
    };
    let more = |outcome: &str| json!({ "outcome": outcome });
    match result {
        Ok(committed) if committed.answer.is_empty() => {
            Json(json!({ "done": true, "index": committed.index })).into_response()
        }
        Ok(refused) => error(
            StatusCode::INSUFFICIENT_STORAGE,
            String::from_utf8_lossy(&refused.answer),
            more("refused"),
        ),
        Err(why) if why.is_unknown() => {
            error(StatusCode::INTERNAL_SERVER_ERROR, why, more("unknown"))
        }
        Err(why @ ProposalError::NotLeader { .. }) => {
            error(StatusCode::MISDIRECTED_REQUEST, why, more("not committed"))
        }
        Err(why @ ProposalError::DiskFull) => {
            error(StatusCode::INSUFFICIENT_STORAGE, why, more("not committed"))
        }
        // Of the rest the log says that it never will be carried out.
        Err(why) => error(StatusCode::SERVICE_UNAVAILABLE, why, more("not committed")),
    }
}

async fn read(State(admin): State<Admin>, Path(key): Path<String>) -> Response {
    let (tell, told) = oneshot::channel();
    let (group, registers) = (admin.meta_group.clone(), admin.registers.clone());
    let wanted = key.clone();
    admin.node.run(move |node| {
        node.read(&group, move |result| {
            let _ = tell.send(result.map(|()| registers.get(&wanted)));
        });
    });
    let Ok(result) = told.await else {
        return gone();
    };
    match result {
        Ok(Some(value)) => value.into_response(),
        Ok(None) => error(
            StatusCode::NOT_FOUND,
            format!("{key} is not set"),
            json!({}),
        ),
        Err(why @ (ReadError::NoLeader | ReadError::NotConfirmed | ReadError::Busy)) => {
            error(StatusCode::SERVICE_UNAVAILABLE, why, json!({}))
        }
    }
}
