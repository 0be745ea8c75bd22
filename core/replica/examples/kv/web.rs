//! The store over HTTP, for people and scripts.

use axum::Router;
use axum::body::Bytes as Body;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::routing::{any, get};
use bytes::{BufMut, Bytes, BytesMut};
use diwan_runtime::NodeHandle;
use tokio::net::TcpListener;

use crate::machine::Shared;
use crate::requests::carry_out;

/// Serves on a port of loopback.
pub async fn serve(
    port: u16,
    node: NodeHandle,
    group: String,
    shared: Shared,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let (status_node, status_group, status_shared) = (node.clone(), group.clone(), shared.clone());
    let router = Router::new()
        .route(
            "/status",
            get(move || {
                status(
                    status_node.clone(),
                    status_group.clone(),
                    status_shared.clone(),
                )
            }),
        )
        .route(
            "/kv/{key}",
            any(move |method: Method, Path(key): Path<String>, body: Body| {
                let operation = if method == Method::PUT { 1 } else { 2 };
                ask(
                    node.clone(),
                    group.clone(),
                    shared.clone(),
                    operation,
                    key,
                    body,
                )
            }),
        );
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

async fn status(node: NodeHandle, group: String, shared: Shared) -> String {
    let own = shared.clone();
    // State and index are taken in one turn of the node, so that they belong together.
    let asked = node
        .ask(move |node| (node.status(&group), node.id().to_string(), own.freeze()))
        .await;
    let Some((Some(status), own, frozen)) = asked else {
        return "{}\n".to_owned();
    };
    let (entries, digest) = frozen.digest();
    let leader = status
        .leader
        .map(|leader| leader.to_string())
        .unwrap_or_default();
    format!(
        "{{\"self\":\"{own}\",\"state\":\"{:?}\",\"leader\":\"{leader}\",\"term\":{},\"last_log\":{},\"committed\":{},\
         \"applied\":{},\"entries\":{entries},\"digest\":\"{digest}\"}}\n",
        status.role, status.term, status.last.index, status.committed, status.applied,
    )
}

async fn ask(
    node: NodeHandle,
    group: String,
    shared: Shared,
    operation: u8,
    key: String,
    value: Body,
) -> (StatusCode, Bytes) {
    let mut command = BytesMut::new();
    command.put_u8(operation);
    command.put_u32(key.len() as u32);
    command.extend_from_slice(key.as_bytes());
    if operation == 1 {
        command.extend_from_slice(&value);
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    node.run(move |node| {
        carry_out(node, &group, &shared, command.freeze(), move |answer| {
            let _ = tell.send(answer);
        });
    });
    let answer = told
        .await
        .unwrap_or_else(|_| Bytes::from_static(b"\x03the node is gone"));
    let code = match answer.first() {
        Some(0) => StatusCode::OK,
        Some(1) => StatusCode::MISDIRECTED_REQUEST,
        Some(2) => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, answer.slice(1.min(answer.len())..))
}
