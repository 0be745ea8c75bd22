//! What `diwan registry` asks of a node: JSON below `/registry/v1`, on the node's administration port.

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::{self, Secrets};
use super::http::Http;
use super::operate::{Ask, Said};
use super::switches::Unchanged;
use crate::state::ServiceName;

/// Services that are listed unless more are asked for.
const SERVICES: usize = 1_000;
/// Differences that are told.
const DIFFERENCES_MAX: usize = 1_000;

impl Http {
    /// What operators ask: below `/registry/v1`.
    pub fn operator(self) -> Router {
        let routes = Router::new()
            .route("/nodes", get(nodes))
            .route("/services", get(services))
            .route("/instances", get(instances))
            .route("/subscribers", get(subscribers))
            .route("/push-history", get(push_history))
            .route("/diff", get(diff))
            .route("/switch", get(switch).post(set_switch))
            .route("/offline", get(offline).post(set_offline))
            .route("/online", post(set_online))
            .route("/keys", get(keys).post(add_key).delete(remove_key))
            .route("/guard", get(guarded))
            .route("/guard/release", post(release));
        Router::new().nest("/registry/v1", routes).with_state(self)
    }
}

/// Why there is no answer.
struct Trouble(StatusCode, String);

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<Unchanged> for Trouble {
    fn from(unchanged: Unchanged) -> Self {
        let (code, why) = unchanged.into_parts();
        Self(code, why)
    }
}

type Answer = Result<Json<Value>, Trouble>;

/// What each node says, or why it says nothing.
pub(super) fn by_node(said: Said) -> Value {
    let one = |(node, said): (String, Result<Value, String>)| {
        let said = said.unwrap_or_else(|why| json!({ "error": why }));
        (node, said)
    };
    Value::Object(said.into_iter().map(one).collect::<Map<_, _>>())
}

async fn nodes(State(http): State<Http>) -> Json<Value> {
    Json(json!({
        "node": http.own_name(),
        "nodes": by_node(http.everywhere(Ask::Status).await),
    }))
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    contains: String,
    limit: Option<usize>,
}

async fn services(State(http): State<Http>, Query(listed): Query<Listed>) -> Json<Value> {
    let limit = listed.limit.unwrap_or(SERVICES);
    let found = http.registry.ask(move |edge| {
        let registry = edge.registry.borrow();
        registry.services(&listed.contains, limit, edge.now())
    });
    let (services, more) = found.await.unwrap_or_default();
    Json(json!({ "services": services, "more": more }))
}

#[derive(Deserialize)]
struct Of {
    service: String,
}

impl Http {
    /// The one service that a text means.
    async fn meant(&self, text: &str) -> Result<ServiceName, Trouble> {
        let meant = self.registry.here(Ask::Meant(text.to_owned())).await;
        let meant: Vec<ServiceName> = serde_json::from_value(meant).unwrap_or_default();
        match meant.as_slice() {
            [one] => Ok(one.clone()),
            // Others may know it.
            [] if text.contains("#@#") => Ok(ServiceName::parse(text)),
            [] => Err(Trouble(
                StatusCode::NOT_FOUND,
                format!("there is no service {text}: `diwan registry services` lists them"),
            )),
            several => {
                let names: Vec<String> = several.iter().map(ServiceName::to_string).collect();
                Err(Trouble(
                    StatusCode::CONFLICT,
                    format!("{text} may mean {}", names.join(" or ")),
                ))
            }
        }
    }
}

async fn instances(State(http): State<Http>, Query(of): Query<Of>) -> Answer {
    let name = http.meant(&of.service).await?;
    let service = name.to_string();
    let all = http
        .registry
        .ask(move |edge| edge.registry.borrow().instances(&name))
        .await;
    let instances = all.unwrap_or_default();
    Ok(Json(json!({ "service": service, "instances": instances })))
}

async fn subscribers(State(http): State<Http>, Query(of): Query<Of>) -> Answer {
    let name = http.meant(&of.service).await?;
    let service = name.to_string();
    let nodes = by_node(http.everywhere(Ask::Subscribers(name)).await);
    Ok(Json(json!({ "service": service, "nodes": nodes })))
}

async fn push_history(State(http): State<Http>, Query(of): Query<Of>) -> Answer {
    let name = http.meant(&of.service).await?;
    let service = name.to_string();
    let nodes = by_node(http.everywhere(Ask::PushHistory(name)).await);
    Ok(Json(json!({ "service": service, "nodes": nodes })))
}

#[derive(Deserialize)]
struct Two {
    one: String,
    other: String,
}

/// What is shown of each instance, by service and registration.
type Sums = std::collections::BTreeMap<(String, String), u64>;

fn sums(slot: &Value) -> Sums {
    let all = slot.as_array().into_iter().flatten();
    let one = |value: &Value| {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        Some((
            (text("service")?, text("regist_id")?),
            value["sum"].as_u64()?,
        ))
    };
    all.filter_map(one).collect()
}

/// Where two nodes do not show the same. What is on its way between them shows up, too: ask again.
async fn diff(State(http): State<Http>, Query(two): Query<Two>) -> Answer {
    let ask = async |node: &str, ask: &Ask| {
        let said = http.at(node, ask).await;
        said.map_err(|why| Trouble(StatusCode::BAD_GATEWAY, format!("{node}: {why}")))
    };
    let one = ask(&two.one, &Ask::SlotSums).await?;
    let other = ask(&two.other, &Ask::SlotSums).await?;
    let mut differences = Vec::new();
    let mut slots = Vec::new();
    for slot in 0..=u8::MAX {
        if one[usize::from(slot)] == other[usize::from(slot)] {
            continue;
        }
        slots.push(slot);
        if differences.len() >= DIFFERENCES_MAX {
            continue;
        }
        let here = sums(&ask(&two.one, &Ask::Slot(slot)).await?);
        let there = sums(&ask(&two.other, &Ask::Slot(slot)).await?);
        let names: BTreeSet<_> = here.keys().chain(there.keys()).collect();
        for name in names {
            let says = match (here.get(name), there.get(name)) {
                (Some(here), Some(there)) if here == there => continue,
                (Some(_), Some(_)) => "differs".to_owned(),
                (Some(_), None) => format!("only at {}", two.one),
                _ => format!("only at {}", two.other),
            };
            differences.push(json!({ "service": name.0, "regist_id": name.1, "difference": says }));
        }
    }
    let more = differences.len() > DIFFERENCES_MAX;
    differences.truncate(DIFFERENCES_MAX);
    Ok(Json(
        json!({ "slots": slots, "differences": differences, "more": more }),
    ))
}

async fn switch(State(http): State<Http>) -> Json<Value> {
    let stopped = http.registry.ask(|edge| {
        let registry = edge.registry.borrow();
        registry.stopped_pushes().cloned()
    });
    let stopped: Option<BTreeSet<IpAddr>> = stopped.await.flatten();
    Json(json!({
        "push": if stopped.is_some() { "closed" } else { "open" },
        "open_to": stopped.unwrap_or_default(),
    }))
}

#[derive(Deserialize)]
struct Push {
    push: Position,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Position {
    Open,
    Close,
}

async fn set_switch(State(http): State<Http>, Query(push): Query<Push>) -> Answer {
    http.switch_pushes(push.push == Position::Close).await?;
    let push = match push.push {
        Position::Open => "open",
        Position::Close => "closed",
    };
    Ok(Json(json!({ "push": push })))
}

async fn offline(State(http): State<Http>) -> Json<Value> {
    Json(json!({ "offline": http.clients_that_are_off().client_off_address }))
}

#[derive(Deserialize)]
struct At {
    ip: IpAddr,
}

async fn set_offline(State(http): State<Http>, Query(at): Query<At>) -> Answer {
    http.turn_off(&BTreeSet::from([at.ip])).await?;
    Ok(offline(State(http)).await)
}

async fn set_online(State(http): State<Http>, Query(at): Query<At>) -> Answer {
    http.turn_on(&BTreeSet::from([at.ip])).await?;
    Ok(offline(State(http)).await)
}

/// The access keys of the log. Secrets are told nobody.
async fn keys(State(http): State<Http>) -> Answer {
    let setting = http.registry.settings().get(&access::setting());
    let secrets = setting.map_or_else(|| Ok(Secrets::new()), |setting| setting.json());
    let secrets =
        secrets.map_err(|error| Trouble(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let keys: Vec<String> = secrets.into_keys().collect();
    Ok(Json(json!({ "keys": keys })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    key: String,
    secret: String,
}

async fn add_key(State(http): State<Http>, body: String) -> Answer {
    let new: NewKey = serde_json::from_str(&body)
        .map_err(|error| Trouble(StatusCode::BAD_REQUEST, error.to_string()))?;
    let add = |secrets: &mut Secrets| {
        access::add(secrets, &new.key, &new.secret).map_err(|error| error.to_string())
    };
    http.change(access::setting(), add).await?;
    Ok(Json(json!({ "added": new.key })))
}

#[derive(Deserialize)]
struct OldKey {
    key: String,
}

async fn remove_key(State(http): State<Http>, Query(old): Query<OldKey>) -> Answer {
    let remove = |secrets: &mut Secrets| match secrets.remove(&old.key) {
        Some(_) => Ok(()),
        None => Err(format!("there is no access key {}", old.key)),
    };
    http.change(access::setting(), remove).await?;
    Ok(Json(json!({ "removed": old.key })))
}

async fn guarded(State(http): State<Http>) -> Json<Value> {
    let nodes = by_node(http.everywhere(Ask::Guarded).await);
    Json(json!({ "nodes": nodes }))
}

/// Each node guards for itself: all are told.
async fn release(State(http): State<Http>, Query(of): Query<Of>) -> Answer {
    let name = http.meant(&of.service).await?;
    let service = name.to_string();
    let nodes = by_node(http.everywhere(Ask::Release(name)).await);
    Ok(Json(json!({ "service": service, "released": nodes })))
}
