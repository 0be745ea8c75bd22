//! A publisher or subscriber and how far the registry knows of it.

use std::collections::BTreeMap;
use std::time::Duration;

use diwan_registry_wire::{
    BaseRegister, DataBox, PublisherRegister, Request, Scope, SubscriberRegister,
};

use super::super::announcement::{GROUP, data_id};

/// The name of a registration, which it keeps on every connection: a UUID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct RegistId(pub(in super::super) String);

/// Who registers.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Identity {
    pub(in super::super) app: Option<String>,
    pub(in super::super) zone: String,
    pub(in super::super) instance_id: Option<String>,
}

/// What a registration is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Wanted {
    /// To be listed with this data.
    Publish(String),
    /// To be told the list.
    Subscribe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// To be sent, not before this.
    Due(Duration),
    Sent,
    Done,
    Refused,
}

#[derive(Debug)]
pub(super) struct Registration {
    pub(super) service: String,
    pub(super) wanted: Wanted,
    /// It is to be taken back.
    pub(super) ends: bool,
    /// Counts its changes, as the original's client does.
    pub(super) version: i64,
    pub(super) timestamp_ms: i64,
    pub(super) progress: Progress,
}

impl Registration {
    pub(super) fn request(&self, id: &RegistId, identity: &Identity) -> Request {
        let base = BaseRegister {
            instance_id: identity.instance_id.clone(),
            zone: Some(identity.zone.clone()),
            app_name: identity.app.clone(),
            data_id: Some(data_id(&self.service)),
            group: Some(GROUP.to_owned()),
            regist_id: Some(id.0.clone()),
            event_type: Some(if self.ends { "UNREGISTER" } else { "REGISTER" }.to_owned()),
            version: Some(self.version),
            timestamp: Some(self.timestamp_ms),
            attributes: Some(BTreeMap::new()),
            ..BaseRegister::default()
        };
        match &self.wanted {
            Wanted::Publish(data) => {
                let data = Some(data.clone());
                let data_list = (!self.ends).then(|| vec![DataBox { data }]);
                Request::PublisherRegister(PublisherRegister { data_list, base })
            }
            Wanted::Subscribe => Request::SubscriberRegister(SubscriberRegister {
                scope: Some(Scope::Global.name().to_owned()),
                accept_encoding: None,
                accept_multi: false,
                base,
            }),
        }
    }
}
