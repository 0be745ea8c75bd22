//! The local API of a MOSN sidecar (13330), by which applications without a registry client publish and subscribe: this node is a
//! client of its own registry for them, over a connection that exists only here.
//! Its messages: alipay/sofa-bolt-python:anthunder/mesh/mesh_client.py, as PyPI anthunder 0.8.1 has it.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router, middleware};
use diwan_registry_wire::{DataBox, Scope};
use serde::Deserialize;
use serde_json::json;

use super::bolt::DEFAULT_CELL;
use super::{Edge, Handle, switches};
use crate::state::{ConnectionId, Publication, RegistId, ServiceName, Subscription};

/// The applications of this machine, as one client.
#[derive(Debug, Default)]
pub(super) struct Local {
    connection: Cell<Option<ConnectionId>>,
}

impl Edge {
    /// The connection of this machine's applications, which begins when it is needed and never ends.
    fn local(&self) -> ConnectionId {
        if let Some(known) = self.local.connection.get() {
            return known;
        }
        let id = self.next_connection.get();
        self.next_connection.set(id + 1);
        let id = ConnectionId(id);
        self.local.connection.set(Some(id));
        self.act(|registry, _| registry.connected(id));
        id
    }

    /// Whether a push is for this machine's applications: they ask for lists when they want them.
    pub(super) fn is_local(&self, connection: ConnectionId) -> bool {
        self.local.connection.get() == Some(connection)
    }
}

/// What the API needs.
#[derive(Clone)]
struct Mosn {
    registry: Handle,
    /// Where the applications of this machine are reached.
    ip: IpAddr,
    /// Tells this node's registrations from those of others.
    node: Arc<str>,
    application: Arc<std::sync::Mutex<Application>>,
}

/// The local API. `ip`: where other machines reach the applications of this one; `node`: this node's name.
pub fn mosn(registry: Handle, ip: IpAddr, node: &str) -> Router {
    let state = Mosn {
        registry,
        ip,
        node: node.into(),
        application: Arc::default(),
    };
    Router::new()
        .route("/configs/application", post(application))
        .route("/services/subscribe", post(subscribe))
        .route("/services/unsubscribe", post(unsubscribe))
        .route("/services/publish", post(publish))
        .route("/services/unpublish", post(unpublish))
        .layer(middleware::from_fn(switches::refuse_browsers))
        .with_state(state)
}

/// What an application says of itself. Keys of a cloud are not read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Application {
    app_name: String,
    zone: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    service_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    service_name: String,
    provider_meta_info: Meta,
    port: Port,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    protocol: String,
    version: String,
    serialize_type: String,
    app_name: String,
}

/// Clients write it either way.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

impl Port {
    fn number(&self) -> Option<u16> {
        match self {
            Self::Number(port) => Some(*port),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

/// Names are SOFARPC's: `interface:version`, and the group of its services.
fn service(name: &str) -> Option<ServiceName> {
    let data_id = match (name.is_empty(), name.contains('@')) {
        (true, _) => return None,
        (_, true) => name.to_owned(),
        (_, false) => format!("{name}@DEFAULT"),
    };
    Some(ServiceName::new(&data_id, None, Some("SOFA")))
}

/// An address as SOFARPC's consumers read it.
/// sofastack/sofa-rpc:registry/registry-sofa/.../SofaRegistryHelper.java
fn url(ip: IpAddr, port: u16, meta: &Meta) -> String {
    let host = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let mut url = format!("{host}:{port}?p={}&v={}", meta.protocol, meta.version);
    for (key, value) in [
        ("_SERIALIZETYPE", &meta.serialize_type),
        ("app_name", &meta.app_name),
    ] {
        if !value.is_empty() {
            url += &format!("&{key}={value}");
        }
    }
    url
}

fn done() -> Response {
    Json(json!({ "success": true, "errorMessage": "" })).into_response()
}

/// Clients look at `success`, and take any status but 200 for a sidecar that is not there.
fn refused(why: impl ToString) -> Response {
    let answer = json!({ "success": false, "errorMessage": why.to_string() });
    (StatusCode::OK, Json(answer)).into_response()
}

async fn application(State(mosn): State<Mosn>, Json(said): Json<Application>) -> Response {
    let known = mosn.application.lock();
    *known.unwrap_or_else(std::sync::PoisonError::into_inner) = said;
    done()
}

impl Mosn {
    fn cell(&self) -> String {
        let application = self.application.lock();
        let application = application.unwrap_or_else(std::sync::PoisonError::into_inner);
        match application.zone.is_empty() {
            true => DEFAULT_CELL.to_owned(),
            false => application.zone.clone(),
        }
    }

    fn id(&self, what: &str, service: &ServiceName) -> RegistId {
        RegistId::new(&format!("mosn-{what}-{}-{}", self.node, service.data_id))
    }

    async fn act(
        &self,
        act: impl FnOnce(&Rc<Edge>, ConnectionId) -> Result<(), String> + Send + 'static,
    ) -> Result<(), String> {
        let acted = self.registry.ask(move |edge| {
            let connection = edge.local();
            act(edge, connection)
        });
        let acted = acted.await;
        acted.unwrap_or_else(|| Err("the registry has stopped".into()))
    }
}

fn answer(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => done(),
        Err(why) => refused(why),
    }
}

async fn subscribe(State(mosn): State<Mosn>, Json(wanted): Json<Service>) -> Response {
    let Some(name) = service(&wanted.service_name) else {
        return refused("serviceName is missing");
    };
    let subscription = Subscription {
        id: mosn.id("sub", &name),
        service: name.clone(),
        scope: Scope::Global,
        cell: mosn.cell(),
    };
    let subscribed = mosn.act(|edge, connection| {
        let result = edge.act(|registry, now| registry.subscribe(connection, subscription, now));
        result.map_err(|refusal| refusal.to_string())
    });
    if let Err(why) = subscribed.await {
        return refused(why);
    }
    let instances = mosn
        .registry
        .ask(move |edge| edge.registry.borrow().instances(&name))
        .await;
    let instances = instances.unwrap_or_default().into_iter();
    let datas: Vec<String> = instances.flat_map(|one| one.data).flatten().collect();
    let answer = json!({
        "success": true,
        "errorMessage": "",
        "serviceName": wanted.service_name,
        "datas": datas,
    });
    Json(answer).into_response()
}

async fn unsubscribe(State(mosn): State<Mosn>, Json(wanted): Json<Service>) -> Response {
    let Some(name) = service(&wanted.service_name) else {
        return refused("serviceName is missing");
    };
    let id = mosn.id("sub", &name);
    answer(
        mosn.act(move |edge, connection| {
            edge.act(|registry, _| registry.unsubscribe(connection, &name, &id));
            Ok(())
        })
        .await,
    )
}

async fn publish(State(mosn): State<Mosn>, Json(mut provider): Json<Provider>) -> Response {
    let Some(name) = service(&provider.service_name) else {
        return refused("serviceName is missing");
    };
    let Some(port) = provider.port.number() else {
        return refused("port is none");
    };
    if provider.provider_meta_info.app_name.is_empty() {
        let known = mosn.application.lock();
        let known = known.unwrap_or_else(std::sync::PoisonError::into_inner);
        provider
            .provider_meta_info
            .app_name
            .clone_from(&known.app_name);
    }
    let publication = Publication {
        id: mosn.id("pub", &name),
        service: name,
        data: vec![DataBox {
            data: Some(url(mosn.ip, port, &provider.provider_meta_info)),
        }],
        cell: mosn.cell(),
        version: 1,
        timestamp: i64::try_from(super::unix_ms()).unwrap_or(i64::MAX),
    };
    answer(
        mosn.act(|edge, connection| {
            let result = edge.act(|registry, now| registry.publish(connection, publication, now));
            result.map_err(|refusal| refusal.to_string())
        })
        .await,
    )
}

async fn unpublish(State(mosn): State<Mosn>, Json(wanted): Json<Service>) -> Response {
    let Some(name) = service(&wanted.service_name) else {
        return refused("serviceName is missing");
    };
    let id = mosn.id("pub", &name);
    let edition = (1, i64::try_from(super::unix_ms()).unwrap_or(i64::MAX));
    answer(
        mosn.act(move |edge, connection| {
            edge.act(|registry, now| registry.unpublish(connection, &name, &id, edition, now));
            Ok(())
        })
        .await,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    /// As anthunder 0.8.1 writes it.
    #[test]
    fn a_publication_is_an_address_of_sofarpc() {
        let said = r#"{"serviceName":"com.x.S:1.0","providerMetaInfo":{"protocol":"1","version":"4.0","serializeType":"protobuf","appName":"app"},"port":"12200","protocolType":"DEFAULT","onlyPublishInCloud":false}"#;
        let provider: Provider = serde_json::from_str(said).unwrap();
        let name = service(&provider.service_name).unwrap();
        assert_eq!(
            name.to_string(),
            "com.x.S:1.0@DEFAULT#@#DEFAULT_INSTANCE_ID#@#SOFA"
        );
        let ip = "10.0.0.1".parse().unwrap();
        let port = provider.port.number().unwrap();
        assert_eq!(
            url(ip, port, &provider.provider_meta_info),
            "10.0.0.1:12200?p=1&v=4.0&_SERIALIZETYPE=protobuf&app_name=app"
        );
    }
}
