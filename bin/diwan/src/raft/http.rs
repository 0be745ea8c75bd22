//! One request to a node's administration.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::server::current::STALE;

/// GETs JSON. What is no success is an error with what the node says.
pub(crate) async fn get(addr: SocketAddr, path: &str, timeout: Duration) -> Result<Value, String> {
    ask(Method::GET, addr, path, timeout).await
}

/// The same, with any method.
pub(crate) async fn ask(
    method: Method,
    addr: SocketAddr,
    path: &str,
    timeout: Duration,
) -> Result<Value, String> {
    send(method, addr, path, String::new(), timeout).await
}

/// The same, with a body.
pub(crate) async fn send(
    method: Method,
    addr: SocketAddr,
    path: &str,
    body: String,
    timeout: Duration,
) -> Result<Value, String> {
    let asked = tokio::time::timeout(timeout, exchange(method, addr, path, body)).await;
    let answer = match asked {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {timeout:?}")),
    };
    let (success, body) = answer.map_err(|why| format!("administration at {addr}: {why}"))?;
    let json: Value = serde_json::from_slice(&body).map_err(|_| {
        format!(
            "administration at {addr}: {}",
            String::from_utf8_lossy(&body)
        )
    })?;
    match success {
        true => Ok(json),
        false => Err(format!(
            "{addr}: {}",
            json["error"].as_str().unwrap_or("refused")
        )),
    }
}

async fn exchange(
    method: Method,
    addr: SocketAddr,
    path: &str,
    body: String,
) -> io::Result<(bool, Bytes)> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", addr.to_string())
        .body(Full::new(Bytes::from(body)))
        .map_err(io::Error::other)?;
    let response = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    if let Some(why) = response.headers().get(STALE) {
        eprintln!("note: {}", why.to_str().unwrap_or("stale"));
    }
    let success = response.status().is_success();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?;
    Ok((success, body.to_bytes()))
}
