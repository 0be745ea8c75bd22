//! What the original's meta and data servers say of services and slots, as far as it means something where all nodes are equal:
//! there are 256 slots, and every node has all of them.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::by_node;
use super::http::Http;
use super::operate::Ask;
use super::session::Named;
use super::switches::found;
use crate::state::{ServiceName, ServiceView};

/// Services that are listed at once.
const LIST_MAX: usize = 100_000;
const DATA_CENTER: &str = super::DATA_CENTER;

/// sofastack/sofa-registry:server/server/meta/.../resource/{SlotTableResource,MetaDigestResource}.java and
/// sofastack/sofa-registry:server/server/data/.../resource/{DataDigestResource,DatumApiResource}.java
pub(super) fn routes() -> Router<Http> {
    Router::new()
        .route("/openapi/v1/slot/table", get(slots))
        .route("/openapi/v1/slot/table/status", get(slot_status))
        .route("/digest/{type}/node/query", get(nodes))
        .route("/digest/datum/query", get(datum))
        .route("/digest/datum/count", get(count))
        .route("/digest/datum/getDataInfoIdList", get(names))
        .route("/datum/api/get", post(get_datum))
        .route("/datum/api/summary/query", get(summary))
        .route("/datum/api/getDatumVersions", post(versions))
}

async fn slots(State(http): State<Http>) -> Response {
    let nodes = http.all_names();
    let sums = http.registry.here(Ask::SlotSums).await;
    let sums = sums.as_array().cloned().unwrap_or_default();
    let slot = |(id, sum): (usize, Value)| json!({ "id": id, "nodes": nodes, "sum": sum });
    let slots: Vec<Value> = sums.into_iter().enumerate().map(slot).collect();
    found(json!({ "slotNum": slots.len(), "slots": slots }))
}

/// A slot is stable when all nodes know the same of it.
async fn slot_status(State(http): State<Http>) -> Response {
    let said = http.everywhere(Ask::SlotSums).await;
    let own = said.first().and_then(|(_, said)| said.as_ref().ok());
    let own = own.cloned().unwrap_or_default();
    let one = |(node, said): &(String, Result<Value, String>)| {
        let differ = |said: &Value| -> Vec<usize> {
            (0..256).filter(|slot| said[*slot] != own[*slot]).collect()
        };
        let view = match said {
            Ok(said) => json!({ "answers": true, "differingSlots": differ(said) }),
            Err(why) => json!({ "answers": false, "message": why }),
        };
        (node.clone(), view)
    };
    let nodes: serde_json::Map<String, Value> = said.iter().map(one).collect();
    let is_stable = |view: &Value| view["differingSlots"].as_array().is_some_and(Vec::is_empty);
    let stable = nodes.values().all(is_stable);
    found(json!({ "slotNum": 256, "slotTableStable": stable, "nodes": nodes }))
}

async fn nodes(State(http): State<Http>, Path(_): Path<String>) -> Json<Value> {
    let nodes = by_node(http.everywhere(Ask::Status).await);
    Json(json!({ DATA_CENTER: nodes }))
}

impl Http {
    async fn services(&self) -> Vec<ServiceView> {
        let all = self.registry.ask(|edge| {
            let now = edge.now();
            edge.registry.borrow().services("", LIST_MAX, now)
        });
        all.await.map(|(all, _)| all).unwrap_or_default()
    }

    async fn datum(&self, name: ServiceName) -> Value {
        let id = name.to_string();
        let all = self.registry.ask(move |edge| {
            let registry = edge.registry.borrow();
            let version = registry.version_of(&name);
            (registry.instances(&name), version.map(|version| version.0))
        });
        let (instances, version) = all.await.unwrap_or_default();
        json!({ "dataInfoId": id, "dataCenter": DATA_CENTER, "version": version, "publishers": instances })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts {
    data_id: String,
    group: String,
    instance_id: Option<String>,
}

async fn datum(State(http): State<Http>, Query(parts): Query<Parts>) -> Json<Value> {
    let instance_id = parts.instance_id.as_deref();
    let name = ServiceName::new(&parts.data_id, instance_id, Some(&parts.group));
    Json(json!({ DATA_CENTER: http.datum(name).await }))
}

async fn get_datum(State(http): State<Http>, Json(named): Json<Named>) -> Json<Value> {
    let datum = http.datum(named.name()).await;
    Json(json!({ "success": true, "message": datum }))
}

async fn count(State(http): State<Http>) -> String {
    let counts = http.registry.status().await.counts;
    let (services, instances) = (counts.services, counts.instances);
    format!(
        "CacheDigest [Datum] size of datum in {DATA_CENTER} is {services},[Publisher] size of publisher in {DATA_CENTER} is {instances}"
    )
}

async fn names(State(http): State<Http>) -> Json<Vec<String>> {
    let all = http.services().await.into_iter();
    let name = |one: ServiceView| format!("{DATA_CENTER},{},{}", one.service, one.instances);
    Json(all.map(name).collect())
}

async fn summary(State(http): State<Http>) -> Json<BTreeMap<String, usize>> {
    let all = http.services().await.into_iter();
    Json(all.map(|one| (one.service, one.instances)).collect())
}

async fn versions(State(http): State<Http>) -> Json<BTreeMap<String, i64>> {
    let all = http.services().await.into_iter();
    Json(all.map(|one| (one.service, one.version)).collect())
}
