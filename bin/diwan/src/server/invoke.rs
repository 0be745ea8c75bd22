//! Calls of sagas' participants: SOFARPC services, found in the registry or at an address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diwan::hessian::Throwable;
use diwan::rpc::client::CallOptions;
use diwan::rpc::registry::{RegistryClient, RegistryOptions, Servers};
use diwan::rpc::{Consumer, ConsumerOptions, ErrorKind, RpcError};
use diwan_saga::engine::{Call, Exception, Kind, Outcome};
use diwan_saga::host::{Invoker, Promise};

use crate::json::{from_value, to_value};

/// A participant that does not answer within this is asked again, if its state's `Retry` says so, or by recovery.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The services that sagas call, each with its connections.
pub(super) struct Participants {
    registry: Option<RegistryClient>,
    consumers: Mutex<HashMap<String, Consumer>>,
}

impl Participants {
    pub(super) fn new(registry: Option<SocketAddr>) -> Result<Self, String> {
        let client = |addr: SocketAddr| {
            RegistryClient::start(RegistryOptions {
                app: Some("diwan-saga".to_owned()),
                ..RegistryOptions::new(Servers::Ask(vec![addr.to_string()]))
            })
        };
        let registry = registry.map(client).transpose();
        Ok(Self {
            registry: registry.map_err(|error| error.to_string())?,
            consumers: Mutex::default(),
        })
    }

    /// `interface:version[:uniqueId]`, or the same behind `bolt://host:port/`.
    fn consumer(&self, name: &str) -> Result<Consumer, String> {
        let mut consumers = self
            .consumers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = consumers.get(name) {
            return Ok(known.clone());
        }
        let (url, service) = match name
            .strip_prefix("bolt://")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((addr, service)) => (Some(format!("bolt://{addr}")), service),
            None => (None, name),
        };
        let mut parts = service.splitn(3, ':');
        let interface = parts.next().unwrap_or_default();
        let mut options = ConsumerOptions {
            version: parts.next().unwrap_or("1.0").to_owned(),
            unique_id: parts.next().unwrap_or_default().to_owned(),
            timeout: TIMEOUT,
            ..ConsumerOptions::default()
        };
        options.connection.reconnect = (Duration::from_millis(10), Duration::from_secs(1));
        let consumer = match (url, &self.registry) {
            (Some(url), _) => Consumer::direct(interface, &url, options),
            (None, Some(registry)) => Consumer::discovered(interface, registry, options),
            (None, None) => {
                return Err(format!(
                    "`{name}` has no address, and this node is no registry"
                ));
            }
        };
        let consumer = consumer.map_err(|error| error.to_string())?;
        consumers.insert(name.to_owned(), consumer.clone());
        Ok(consumer)
    }
}

impl Invoker for Participants {
    fn invoke(&self, call: Call) -> Promise<Outcome> {
        let consumer = match call.service.kind.as_ref() {
            "SpringBean" | "SofaRpc" | "sofa" | "bolt" => self.consumer(&call.service.name),
            other => Err(format!("services of the type `{other}` cannot be called")),
        };
        Box::pin(async move {
            match invoke(consumer, &call).await {
                Ok(value) => Outcome::Value(value.into()),
                Err(exception) => Outcome::Exception(exception),
            }
        })
    }
}

async fn invoke(
    consumer: Result<Consumer, String>,
    call: &Call,
) -> Result<serde_json::Value, Exception> {
    let not_called = |why: String| {
        exception(
            "com.alipay.sofa.rpc.core.exception.SofaRouteException",
            why,
            Kind::Connect,
        )
    };
    let consumer = consumer.map_err(not_called)?;
    let declared = call.service.parameter_types.as_deref();
    let mut values = Vec::new();
    let mut signatures = Vec::new();
    for (number, argument) in call.args.iter().enumerate() {
        let declared = declared.and_then(|types| types.get(number));
        let value = to_value(argument, declared.map(String::as_str));
        let (value, signature) =
            value.map_err(|why| not_called(format!("argument {}: {why}", number + 1)))?;
        values.push(value);
        signatures.push(signature);
    }
    let signatures: Vec<&str> = signatures.iter().map(String::as_str).collect();
    let options = CallOptions::default();
    let answer = consumer.generic(&call.service.method, &signatures, &values, &options);
    match answer.await {
        Ok(value) => Ok(from_value(&value)),
        Err(RpcError::Exception(thrown)) => Err(business(&thrown)),
        Err(RpcError::Thrown(thrown)) => Err(business(&thrown)),
        Err(error) => {
            // What cannot have been carried out is no reason for doubt.
            let kind = match error.kind() {
                Some(
                    ErrorKind::NoProvider
                    | ErrorKind::NoList
                    | ErrorKind::Busy
                    | ErrorKind::NotFound
                    | ErrorKind::BadRequest,
                ) => Kind::Connect,
                _ => Kind::ReadTimeout,
            };
            let class = "com.alipay.sofa.rpc.core.exception.SofaRpcException";
            Err(exception(class, error.to_string(), kind))
        }
    }
}

fn business(thrown: &Throwable) -> Exception {
    let message = thrown.message.as_deref().unwrap_or("no message");
    exception(&thrown.class, message.to_owned(), Kind::Business)
}

fn exception(class: &str, message: String, kind: Kind) -> Exception {
    Exception {
        class: Arc::from(class),
        ancestors: Vec::new(),
        message,
        kind,
        code: None,
    }
}
