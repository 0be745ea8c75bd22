//! What operators do with the clients of this node, over the HTTP of the original's session server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::Http;
use super::operate::{Ask, Said};
use super::switches::{Ips, done, failed, found};
use crate::state::{InstanceView, ServiceName, SubscriberView};

/// sofastack/sofa-registry:server/server/session/.../resource/{ClientManagerResource,ClientsOpenResource,SessionDigestResource,
/// ConnectionsResource}.java
pub(super) fn routes() -> Router<Http> {
    Router::new()
        .route("/api/clientManager/clientOff", post(client_off))
        .route("/api/clientManager/clientOpen", post(client_open))
        .route("/api/clientManager/zone/clientOff", post(zone_client_off))
        .route("/api/clientManager/zone/clientOpen", post(zone_client_open))
        .route(
            "/api/clientManager/zone/queryClientOff",
            post(zone_query_client_off),
        )
        .route(
            "/api/clientManager/connectionMapper.json",
            get(connection_mapper),
        )
        .route("/api/clients/off", post(clean))
        .route("/connections/query", get(connections))
        .route("/digest/{type}/data/query", get(data))
        .route("/digest/{type}/connect/query", post(connect))
        .route("/digest/{type}/serverList/query", get(servers))
        .route("/digest/data/count", get(count))
        .route("/digest/data/queryPublisher", get(publishers))
        .route("/digest/data/zone/queryPublisher", get(zone_publishers))
        .route("/digest/pushSwitch", get(push_switch))
        .route("/digest/getDataInfoIdList", get(names))
        .route(
            "/digest/{type}/getDataInfoIdListGroupByCount",
            get(names_by_count),
        )
}

async fn client_off(State(http): State<Http>, Ips(ips): Ips) -> Response {
    http.registry.here(Ask::ClientsOff(ips)).await;
    done()
}

async fn client_open(State(http): State<Http>, Ips(ips): Ips) -> Response {
    http.registry.here(Ask::ClientsOpen(ips)).await;
    done()
}

async fn zone_client_off(State(http): State<Http>, Ips(ips): Ips) -> Response {
    done_everywhere(&http.everywhere(Ask::ClientsOff(ips)).await)
}

async fn zone_client_open(State(http): State<Http>, Ips(ips): Ips) -> Response {
    done_everywhere(&http.everywhere(Ask::ClientsOpen(ips)).await)
}

fn done_everywhere(said: &Said) -> Response {
    let failures = said.iter().filter_map(|(node, said)| {
        let why = said.as_ref().err()?;
        Some(format!("{node}: {why}"))
    });
    let failures: Vec<String> = failures.collect();
    match failures.is_empty() {
        true => done(),
        false => failed(StatusCode::BAD_GATEWAY, failures.join("; ")),
    }
}

/// Settings are the same everywhere; the original asks each node what it has heard of them.
async fn zone_query_client_off(State(http): State<Http>) -> Response {
    let off = http.clients_that_are_off().client_off_address;
    let view = json!({ "success": true, "ips": off });
    let all = http.all_names();
    let all: Map<String, Value> = all.into_iter().map(|node| (node, view.clone())).collect();
    found(all)
}

impl Http {
    async fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self
            .registry
            .ask(|edge| edge.registry.borrow().addresses())
            .await;
        addresses.unwrap_or_default()
    }

    async fn registered(&self) -> BTreeMap<String, [usize; 3]> {
        let registered = self
            .registry
            .ask(|edge| edge.registry.borrow().registered())
            .await;
        registered.unwrap_or_default()
    }
}

/// The address of a connection, and that of the client behind it.
async fn connection_mapper(State(http): State<Http>) -> Json<BTreeMap<String, IpAddr>> {
    let addresses = http.addresses().await.into_iter();
    Json(addresses.map(|at| (at.to_string(), at.ip())).collect())
}

async fn connections(State(http): State<Http>) -> Json<Vec<SocketAddr>> {
    Json(http.addresses().await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelAddresses {
    #[serde(default)]
    connect_ids: Vec<ConnectId>,
}

/// sofastack/sofa-registry:server/common/model/.../ConnectId.java
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectId {
    client_host_address: IpAddr,
    client_port: u16,
}

async fn clean(State(http): State<Http>, body: Json<CancelAddresses>) -> Response {
    let ids = body.0.connect_ids.into_iter();
    let addresses = ids.map(|id| SocketAddr::new(id.client_host_address, id.client_port));
    let addresses: Vec<SocketAddr> = addresses.collect();
    if addresses.is_empty() {
        return failed(StatusCode::BAD_REQUEST, "ConnectIds can not be null.");
    }
    let clean = http.registry.ask(move |edge| {
        edge.act(|registry, now| {
            for address in addresses {
                registry.clean(address, now);
            }
        });
    });
    clean.await;
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    data_info_id: String,
}

impl Named {
    pub(super) fn name(&self) -> ServiceName {
        ServiceName::parse(&self.data_info_id)
    }
}

fn source(address: Option<SocketAddr>) -> Value {
    match address {
        Some(address) => json!({ "ipAddress": address.ip(), "port": address.port() }),
        None => Value::Null,
    }
}

fn head(name: &ServiceName, id: &str) -> Map<String, Value> {
    let mut head = Map::new();
    head.insert("dataInfoId".into(), name.to_string().into());
    head.insert("dataId".into(), name.data_id.clone().into());
    head.insert("instanceId".into(), name.instance_id.clone().into());
    head.insert("group".into(), name.group.clone().into());
    head.insert("registerId".into(), id.into());
    head
}

fn publisher(name: &ServiceName, one: &InstanceView) -> Value {
    let mut view = head(name, &one.regist_id);
    view.insert("sourceAddress".into(), source(one.address));
    view.insert("cell".into(), one.cell.clone().into());
    view.insert("version".into(), one.version.into());
    view.insert("clientRegisterTimestamp".into(), one.timestamp.into());
    view.insert("dataList".into(), json!(one.data));
    Value::Object(view)
}

fn subscriber(name: &ServiceName, one: &SubscriberView) -> Value {
    let mut view = head(name, &one.regist_id);
    view.insert("sourceAddress".into(), source(one.address));
    view.insert("cell".into(), one.cell.clone().into());
    view.insert("scope".into(), one.scope.into());
    Value::Object(view)
}

/// Lists by what they are of: `PUB`, `SUB`, `WAT`; those that are asked for and not empty.
fn lists(asked: &str, lists: [(&str, Vec<Value>); 3]) -> Json<Map<String, Value>> {
    let asked = asked.to_uppercase();
    // `watcher` is what people say.
    let asked = match asked.as_str() {
        "WATCHER" => "WAT",
        other => other,
    };
    let one = lists.iter().any(|(kind, _)| *kind == asked);
    let wanted = lists
        .into_iter()
        .filter(|(kind, list)| !list.is_empty() && (!one || *kind == asked));
    Json(
        wanted
            .map(|(kind, list)| (kind.to_owned(), Value::Array(list)))
            .collect(),
    )
}

async fn data(
    State(http): State<Http>,
    Path(kind): Path<String>,
    Query(named): Query<Named>,
) -> Json<Map<String, Value>> {
    let name = named.name();
    let asked = name.clone();
    let known = http.registry.ask(move |edge| {
        let registry = edge.registry.borrow();
        (registry.instances(&asked), registry.subscribers(&asked))
    });
    let (instances, subscribers) = known.await.unwrap_or_default();
    let own = instances.iter().filter(|one| one.state != "elsewhere");
    let (watchers, subscribers): (Vec<_>, Vec<_>) =
        subscribers.iter().partition(|one| one.scope == "config");
    let list = |all: Vec<&SubscriberView>| all.iter().map(|one| subscriber(&name, one)).collect();
    lists(
        &kind,
        [
            ("PUB", own.map(|one| publisher(&name, one)).collect()),
            ("SUB", list(subscribers)),
            ("WAT", list(watchers)),
        ],
    )
}

/// Connections are named `ip:port`, or `ip:port_ip:port` with the server's own address.
async fn connect(
    State(http): State<Http>,
    Path(kind): Path<String>,
    ids: Json<Vec<String>>,
) -> Json<Map<String, Value>> {
    let asked = ids.0.iter().filter_map(|id| {
        let client = id.split('_').next().unwrap_or_default();
        client.parse().ok()
    });
    let asked: BTreeSet<SocketAddr> = asked.collect();
    let (mut publishers, mut subscribers) = (Vec::new(), Vec::new());
    let found = http
        .registry
        .ask(move |edge| edge.registry.borrow().clients_at(&asked))
        .await;
    for client in found.unwrap_or_default() {
        let view = |(service, id): &(String, String)| {
            let mut view = head(&ServiceName::parse(service), id);
            view.insert("sourceAddress".into(), source(client.address));
            Value::Object(view)
        };
        publishers.extend(client.publishers.iter().map(view));
        subscribers.extend(client.subscribers.iter().map(view));
    }
    lists(
        &kind,
        [
            ("PUB", publishers),
            ("SUB", subscribers),
            ("WAT", Vec::new()),
        ],
    )
}

/// All nodes are equal: each is a session, a data and a meta server.
async fn servers(State(http): State<Http>, Path(_): Path<String>) -> Json<Vec<String>> {
    Json(http.all_names())
}

async fn count(State(http): State<Http>) -> String {
    let counts = http.registry.status().await.counts;
    format!(
        "Subscriber count: {}, Publisher count: {}, Watcher count: {}",
        counts.subscribers, counts.publishers, counts.watchers
    )
}

async fn push_switch(State(http): State<Http>) -> Json<Value> {
    let stopped = http.registry.status().await.counts.pushes_stopped;
    Json(json!({ "pushSwitch": if stopped { "closed" } else { "open" } }))
}

async fn names(State(http): State<Http>) -> Json<Vec<String>> {
    let registered = http.registered().await.into_iter();
    let used = registered.filter(|(_, [publishers, subscribers, _])| publishers + subscribers > 0);
    Json(used.map(|(name, _)| name).collect())
}

async fn names_by_count(
    State(http): State<Http>,
    Path(kind): Path<String>,
) -> Json<Vec<BTreeMap<String, usize>>> {
    let place = match kind.to_uppercase().as_str() {
        "PUB" => 0,
        "WAT" => 2,
        _ => 1,
    };
    let counts = http.registered().await.into_iter();
    let counts = counts.map(|(name, counts)| (name, counts[place]));
    let mut sorted: Vec<(String, usize)> = counts.filter(|(_, count)| *count > 0).collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let one = |(name, count)| BTreeMap::from([(name, count)]);
    Json(sorted.into_iter().map(one).collect())
}

/// sofastack/sofa-registry:server/common/model/.../sessionserver/SimplePublisher.java
fn simple(one: &Value) -> Value {
    json!({
        "clientId": one["regist_id"],
        "sourceAddress": one["address"],
        "appName": "",
    })
}

/// All instances, whichever node their clients are at.
async fn publishers(State(http): State<Http>, Query(named): Query<Named>) -> Response {
    let name = named.name();
    let all = http
        .registry
        .ask(move |edge| edge.registry.borrow().instances(&name))
        .await;
    let all = all.unwrap_or_default();
    let all: Vec<Value> = all.iter().map(|one| simple(&json!(one))).collect();
    found(all)
}

async fn zone_publishers(State(http): State<Http>, Query(named): Query<Named>) -> Response {
    let said = http.everywhere(Ask::Publishers(named.name())).await;
    let said = said.iter().filter_map(|(_, said)| said.as_ref().ok());
    let all = said.filter_map(Value::as_array).flatten();
    let all: Vec<Value> = all.map(simple).collect();
    found(all)
}
