//! What operators stop, over the HTTP of the original's meta server: pushes, and clients of single addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::http::Http;
use crate::settings::{CHANGED, Change};
use crate::state::{BlackList, ClientsOff, Control, GrayOpen, ServiceName, Setting};

/// sofastack/sofa-registry:server/server/meta/.../resource/{StopPushDataResource,BlacklistDataResource,ClientManagerResource,
/// DataInfoIDBlacklistResource,MetaDigestResource}.java
pub(super) fn routes() -> Router<Http> {
    Router::new()
        .route("/stopPushDataSwitch/open", get(stop_pushes))
        .route("/stopPushDataSwitch/close", get(open_pushes))
        .route("/stopPushDataSwitch/grayOpen", post(gray_open))
        .route("/blacklist/update", post(black_list))
        .route("/digest/pushSwitch", get(push_switch))
        .route("/api/clientManager/clientOff", post(clients_off))
        .route("/api/clientManager/clientOpen", post(clients_open))
        .route("/api/clientManager/reduce", post(reduce))
        .route("/api/clientManager/query", get(query_clients_off))
        .route("/datainfoid/blacklist/add", post(silence))
        .route("/datainfoid/blacklist/delete", post(unsilence))
        .route("/datainfoid/blacklist/query", get(silenced))
}

/// The same with the versions that settings have afterwards.
/// sofastack/sofa-registry:server/server/session/.../resource/PersistenceClientManagerResource.java
pub(super) fn persistence_routes() -> Router<Http> {
    let base = "/api/clientManager/persistence";
    let route = |name: &str| format!("{base}/{name}");
    Router::new()
        .route(&route("clientOff"), post(persistent_clients_off))
        .route(&route("clientOpen"), post(persistent_clients_open))
        .route(&route("reduce"), post(persistent_reduce))
        .route(&route("query"), get(query_clients_off))
        .route(&route("checkVersion"), get(check_version))
}

/// A page in a browser of this machine can reach these ports too, and some switches are GETs, as in the original. Browsers say
/// where a request comes from.
pub(super) async fn refuse_browsers(headers: HeaderMap, request: Request, next: Next) -> Response {
    if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
        let why = "this is for programs: ask without Origin and Sec-Fetch-Site";
        return failed(StatusCode::FORBIDDEN, why);
    }
    next.run(request).await
}

/// sofastack/sofa-registry:server/common/model/.../CommonResponse.java
pub(super) fn done() -> Response {
    Json(json!({ "success": true, "message": "" })).into_response()
}

/// sofastack/sofa-registry:server/common/model/.../GenericResponse.java
pub(super) fn found(data: impl Serialize) -> Response {
    Json(json!({ "success": true, "message": null, "data": data })).into_response()
}

pub(super) fn failed(code: StatusCode, why: impl ToString) -> Response {
    let answer = json!({ "success": false, "message": why.to_string() });
    (code, Json(answer)).into_response()
}

/// Why a setting is not as it should be now.
#[derive(Debug)]
pub(super) struct Unchanged {
    code: StatusCode,
    why: String,
}

impl Unchanged {
    fn new(code: StatusCode, why: impl ToString) -> Self {
        Self {
            code,
            why: why.to_string(),
        }
    }

    pub(super) fn into_parts(self) -> (StatusCode, String) {
        (self.code, self.why)
    }

    pub(super) fn answer(self) -> Response {
        failed(self.code, self.why)
    }
}

/// A setting that others change at the same time is tried again so often.
const TRIES: usize = 10;

impl Http {
    /// Sets a setting, or removes it.
    pub(super) async fn set(
        &self,
        name: ServiceName,
        value: Option<String>,
    ) -> Result<(), Unchanged> {
        let command = (Change { name, value }).command();
        let command = command.map_err(|why| Unchanged::new(StatusCode::BAD_REQUEST, why))?;
        match (self.propose)(command).await {
            Ok(answer) if answer.is_empty() => Ok(()),
            Ok(answer) => Err(Unchanged::new(
                StatusCode::INSUFFICIENT_STORAGE,
                String::from_utf8_lossy(&answer),
            )),
            Err(why) => Err(Unchanged::new(StatusCode::SERVICE_UNAVAILABLE, why)),
        }
    }

    /// Makes a setting what `new` makes of it. What somebody else changes at the same time is not lost.
    async fn amend(
        &self,
        name: ServiceName,
        new: impl Fn(Option<&Setting>) -> Result<String, String>,
    ) -> Result<(), Unchanged> {
        let conflict = |why: String| Unchanged::new(StatusCode::CONFLICT, why);
        for _ in 0..TRIES {
            let known = self.registry.settings().get(&name);
            let change = Change {
                name: name.clone(),
                value: Some(new(known.as_ref()).map_err(conflict)?),
            };
            let command = change.command_if(known.map(|known| known.version));
            let command = command.map_err(|why| Unchanged::new(StatusCode::BAD_REQUEST, why))?;
            match (self.propose)(command).await {
                Ok(answer) if answer.is_empty() => return Ok(()),
                // This node may have to hear of it first.
                Ok(answer) if answer == CHANGED => {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                Ok(answer) => return Err(conflict(String::from_utf8_lossy(&answer).into_owned())),
                Err(why) => return Err(Unchanged::new(StatusCode::SERVICE_UNAVAILABLE, why)),
            }
        }
        Err(conflict("others change this at the same time".into()))
    }

    fn value(&self, control: Control) -> Option<String> {
        let setting = self.registry.settings().get(&control.name())?;
        setting.value.map(|value| value.to_string())
    }

    pub(super) async fn switch_pushes(&self, stop: bool) -> Result<(), Unchanged> {
        self.set(Control::GrayOpen.name(), Some(String::new()))
            .await?;
        self.set(Control::StopPush.name(), Some(stop.to_string()))
            .await
    }

    pub(super) fn clients_that_are_off(&self) -> ClientsOff {
        let value = self.value(Control::ClientsOff);
        value
            .and_then(|value| serde_json::from_str(&value).ok())
            .unwrap_or_default()
    }

    /// Clients at these addresses publish nothing until they are turned on again.
    pub(super) async fn turn_off(&self, ips: &BTreeSet<IpAddr>) -> Result<(), Unchanged> {
        self.change_clients_off(|off| {
            off.client_off_address.extend(ips);
            off.reduces.retain(|ip| !ips.contains(ip));
        })
        .await
    }

    /// They may publish again: their connections end, so that they do.
    pub(super) async fn turn_on(&self, ips: &BTreeSet<IpAddr>) -> Result<(), Unchanged> {
        self.change_clients_off(|off| {
            off.client_off_address.retain(|ip| !ips.contains(ip));
            off.reduces.retain(|ip| !ips.contains(ip));
        })
        .await
    }

    /// They may publish again, once they come back by themselves.
    async fn reduce(&self, ips: &BTreeSet<IpAddr>) -> Result<(), Unchanged> {
        self.change_clients_off(|off| {
            let listed = off.client_off_address.iter();
            let listed: BTreeSet<IpAddr> = listed.filter(|ip| ips.contains(ip)).copied().collect();
            off.client_off_address.retain(|ip| !ips.contains(ip));
            off.reduces.extend(listed);
        })
        .await
    }

    async fn change_clients_off(&self, change: impl Fn(&mut ClientsOff)) -> Result<(), Unchanged> {
        let change = |off: &mut ClientsOff| {
            change(off);
            Ok(())
        };
        self.change(Control::ClientsOff.name(), change).await
    }

    /// Changes what a setting holds as JSON.
    pub(super) async fn change<T: Default + Serialize + DeserializeOwned>(
        &self,
        name: ServiceName,
        change: impl Fn(&mut T) -> Result<(), String>,
    ) -> Result<(), Unchanged> {
        self.amend(name, |known| {
            let value = known.map_or_else(|| Ok(T::default()), Setting::json);
            let mut value = value.map_err(|error| error.to_string())?;
            change(&mut value)?;
            serde_json::to_string(&value).map_err(|error| error.to_string())
        })
        .await
    }

    /// The version of what says which clients are off; none yet is 0.
    fn version_of_clients_off(&self) -> i64 {
        let setting = self.registry.settings().get(&Control::ClientsOff.name());
        setting.map_or(0, |setting| setting.version.unix_ms())
    }
}

fn answer(result: Result<(), Unchanged>) -> Response {
    match result {
        Ok(()) => done(),
        Err(unchanged) => unchanged.answer(),
    }
}

async fn stop_pushes(State(http): State<Http>) -> Response {
    answer(http.switch_pushes(true).await)
}

async fn open_pushes(State(http): State<Http>) -> Response {
    answer(http.switch_pushes(false).await)
}

async fn gray_open(State(http): State<Http>, body: String) -> Response {
    let parsed = serde_json::from_str::<GrayOpen>(&body);
    let text = parsed.and_then(|gray| serde_json::to_string(&gray));
    match text {
        Ok(text) => answer(http.set(Control::GrayOpen.name(), Some(text)).await),
        Err(error) => failed(StatusCode::BAD_REQUEST, error),
    }
}

async fn black_list(State(http): State<Http>, body: String) -> Response {
    match BlackList::parse(&body) {
        Ok(_) => answer(http.set(Control::BlackList.name(), Some(body)).await),
        Err(error) => failed(StatusCode::BAD_REQUEST, error),
    }
}

/// What the meta server says of the switch: the settings as they are.
async fn push_switch(State(http): State<Http>) -> Json<Map<String, Value>> {
    let mut said = Map::new();
    match http.value(Control::StopPush) {
        Some(value) => said.insert("stopPush".into(), value.into()),
        None => said.insert(
            "msg".into(),
            "(global push switch)OperationStatus is NOTFOUND".into(),
        ),
    };
    match http.value(Control::GrayOpen) {
        Some(value) => said.insert("grayPushSwitch".into(), value.into()),
        None => said.insert(
            "gray push switch msg".into(),
            "OperationStatus is NOTFOUND".into(),
        ),
    };
    Json(said)
}

/// Addresses as a form gives them: `ips=1.1.1.1;2.2.2.2`.
pub(super) struct Ips(pub(super) BTreeSet<IpAddr>);

#[derive(Deserialize)]
struct IpsForm {
    #[serde(default)]
    ips: String,
}

impl<S: Send + Sync> FromRequest<S> for Ips {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let form = Form::<IpsForm>::from_request(request, state).await;
        let Form(form) = form.map_err(IntoResponse::into_response)?;
        let ips = parse_ips(&form.ips);
        ips.map(Self)
            .map_err(|why| failed(StatusCode::BAD_REQUEST, why))
    }
}

/// # Errors
/// There is none, or one that is no address.
fn parse_ips(text: &str) -> Result<BTreeSet<IpAddr>, String> {
    let ips = text.split([';', ',']).map(str::trim);
    let ips = ips.filter(|ip| !ip.is_empty());
    let parsed = ips.map(|ip| {
        let address = ip.parse::<IpAddr>();
        address.map_err(|_| format!("{ip:?} is no address"))
    });
    let parsed: BTreeSet<IpAddr> = parsed.collect::<Result<_, _>>()?;
    match parsed.is_empty() {
        true => Err("ips is empty".into()),
        false => Ok(parsed),
    }
}

async fn clients_off(State(http): State<Http>, Ips(ips): Ips) -> Response {
    answer(http.turn_off(&ips).await)
}

async fn clients_open(State(http): State<Http>, Ips(ips): Ips) -> Response {
    answer(http.turn_on(&ips).await)
}

async fn reduce(State(http): State<Http>, Ips(ips): Ips) -> Response {
    answer(http.reduce(&ips).await)
}

async fn query_clients_off(State(http): State<Http>) -> Response {
    let Some(setting) = http.registry.settings().get(&Control::ClientsOff.name()) else {
        return failed(StatusCode::OK, "data not found");
    };
    let off = http.clients_that_are_off();
    let one = |ip: &IpAddr| {
        let address = json!({ "version": setting.version.unix_ms(), "address": ip, "pub": true, "sub": true });
        (ip.to_string(), address)
    };
    let addresses: Map<String, Value> = off.client_off_address.iter().map(one).collect();
    found(json!({
        "version": setting.version.unix_ms(),
        "clientOffAddress": addresses,
        "reduces": off.reduces,
    }))
}

fn answer_with_version(http: &Http, result: Result<(), Unchanged>) -> Response {
    match result {
        Ok(()) => found(http.version_of_clients_off()),
        Err(unchanged) => unchanged.answer(),
    }
}

async fn persistent_clients_off(State(http): State<Http>, Ips(ips): Ips) -> Response {
    answer_with_version(&http, http.turn_off(&ips).await)
}

async fn persistent_clients_open(State(http): State<Http>, Ips(ips): Ips) -> Response {
    answer_with_version(&http, http.turn_on(&ips).await)
}

async fn persistent_reduce(State(http): State<Http>, Ips(ips): Ips) -> Response {
    answer_with_version(&http, http.reduce(&ips).await)
}

#[derive(Deserialize)]
struct CheckVersion {
    version: i64,
}

/// Whether this node obeys the setting of a version, or of a later one.
async fn check_version(State(http): State<Http>, Query(asked): Query<CheckVersion>) -> Response {
    match http.version_of_clients_off() >= asked.version {
        true => done(),
        false => failed(StatusCode::OK, ""),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceForm {
    data_id: String,
    group: Option<String>,
    instance_id: Option<String>,
}

impl ServiceForm {
    fn name(&self) -> String {
        let (instance_id, group) = (self.instance_id.as_deref(), self.group.as_deref());
        ServiceName::new(&self.data_id, instance_id, group).to_string()
    }
}

type Names = BTreeSet<String>;

/// What is published of a service is answered and not taken, and what was published is taken out.
async fn silence(State(http): State<Http>, Form(service): Form<ServiceForm>) -> Response {
    let add = |names: &mut Names| {
        names.insert(service.name());
        Ok(())
    };
    answer(http.change(Control::Services.name(), add).await)
}

async fn unsilence(State(http): State<Http>, Form(service): Form<ServiceForm>) -> Response {
    let remove = |names: &mut Names| {
        names.remove(&service.name());
        Ok(())
    };
    answer(http.change(Control::Services.name(), remove).await)
}

async fn silenced(State(http): State<Http>) -> Response {
    let names = http.value(Control::Services);
    let names = names.and_then(|names| serde_json::from_str::<Names>(&names).ok());
    found(names)
}
