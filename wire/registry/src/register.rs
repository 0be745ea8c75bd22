//! What clients ask for: to publish, to subscribe, to be told a configuration.

use std::collections::BTreeMap;

use diwan_hessian::Hessian;

use crate::push::DataBox;

/// What every registration says of itself. Clients leave much of it out; an absent string is `None` in Hessian and empty in
/// protocol buffers.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.BaseRegister")]
pub struct BaseRegister {
    /// The tenant.
    pub instance_id: Option<String>,
    /// The cell in which the client runs.
    pub zone: Option<String>,
    /// The client's application.
    pub app_name: Option<String>,
    /// What is published or subscribed to.
    pub data_id: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// The client's process.
    pub process_id: Option<String>,
    /// This registration, a UUID.
    pub regist_id: Option<String>,
    /// The client.
    pub client_id: Option<String>,
    /// `dataId#@#instanceId#@#group`.
    pub data_info_id: Option<String>,
    /// The client's address.
    pub ip: Option<String>,
    /// The client's port.
    pub port: Option<i32>,
    /// [`EventType`] as text.
    pub event_type: Option<String>,
    /// Counts the changes that the client made to this registration.
    pub version: Option<i64>,
    /// When, by the client's clock, in milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// Whatever else, signatures among it.
    pub attributes: Option<BTreeMap<String, String>>,
}

/// What a registration wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// It begins or changes.
    Register,
    /// It ends.
    Unregister,
}

impl BaseRegister {
    /// What it wants; the original takes anything but `UNREGISTER` for a registration.
    pub fn event(&self) -> EventType {
        match self.event_type.as_deref() {
            Some("UNREGISTER") => EventType::Unregister,
            _ => EventType::Register,
        }
    }
}

/// How far a subscriber looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Its own cell.
    #[default]
    Zone,
    /// Its data centre.
    DataCenter,
    /// All data centres.
    Global,
}

impl Scope {
    /// As clients write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::DataCenter => "dataCenter",
            Self::Global => "global",
        }
    }

    /// What a client wrote; None for anything else than a scope.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Zone, Self::DataCenter, Self::Global]
            .into_iter()
            .find(|scope| scope.name() == name)
    }
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.PublisherRegister")]
pub struct PublisherRegister {
    /// What it publishes: usually one address.
    pub data_list: Option<Vec<DataBox>>,
    /// Who it is.
    #[hessian(extends)]
    pub base: BaseRegister,
}

/// Somebody who wants to know the instances of a service.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.SubscriberRegister")]
pub struct SubscriberRegister {
    /// [`Scope`] as text.
    pub scope: Option<String>,
    /// Compressions that it reads, such as `zstd,gzip`.
    pub accept_encoding: Option<String>,
    /// Whether it reads [`crate::MultiReceivedData`].
    pub accept_multi: bool,
    /// Who it is.
    #[hessian(extends)]
    pub base: BaseRegister,
}

/// Somebody who wants to know a configuration.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.ConfiguratorRegister")]
pub struct ConfiguratorRegister {
    /// Who it is.
    #[hessian(extends)]
    pub base: BaseRegister,
}

/// The answer to a registration.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.RegisterResponse")]
pub struct RegisterResponse {
    /// It was understood: clients look at [`RegisterResponse::refused`] only then.
    pub success: bool,
    /// Which one.
    pub regist_id: Option<String>,
    /// The version that the client sent: with another one it sends the registration again, for ever.
    pub version: i64,
    /// It never will be taken: the client gives up.
    pub refused: bool,
    /// Why not.
    pub message: Option<String>,
}

/// Asks for the data centres whose data counts.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.SyncConfigRequest")]
pub struct SyncConfigRequest {
    /// The client's data centre.
    pub data_center: Option<String>,
    /// The client's cell.
    pub zone: Option<String>,
}

/// Whether something worked.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.Result")]
pub struct SyncResult {
    /// It did.
    pub success: bool,
    /// Why not.
    pub message: Option<String>,
}

/// The answer to a [`SyncConfigRequest`].
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.SyncConfigResponse")]
pub struct SyncConfigResponse {
    /// Ask again after so many milliseconds.
    pub retry_interval: i32,
    /// Data centres whose data counts; empty for all.
    pub available_segments: Option<Vec<String>>,
    /// Whether it worked.
    #[hessian(extends)]
    pub result: SyncResult,
}
