use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Provider;
use crate::SetupError;

/// Tells a consumer which servers offer a service, now and whenever it changes. A registry implements it.
pub trait Discovery: Send + Sync + 'static {
    /// The providers of a service by its unique name; the list changes under the receiver.
    fn subscribe(&self, service: &str) -> watch::Receiver<Arc<[Provider]>>;

    /// For one that learns its lists over the network: how long a call waits for the first list, which is the first change that
    /// the receiver has not seen. `None` if what [`subscribe`](Self::subscribe) gives is the list already.
    fn first_list_timeout(&self) -> Option<Duration> {
        None
    }
}

/// Lists that the application sets itself.
#[derive(Debug, Default)]
pub struct StaticDiscovery {
    services: Mutex<HashMap<String, watch::Sender<Arc<[Provider]>>>>,
}

impl StaticDiscovery {
    /// No service yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets or replaces the providers of a service.
    pub fn set(&self, service: &str, providers: impl Into<Arc<[Provider]>>) {
        self.with(service, |list| drop(list.send_replace(providers.into())));
    }

    fn with<R>(&self, service: &str, then: impl FnOnce(&watch::Sender<Arc<[Provider]>>) -> R) -> R {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        then(
            services
                .entry(service.to_owned())
                .or_insert_with(|| watch::Sender::new(Arc::default())),
        )
    }
}

impl Discovery for StaticDiscovery {
    fn subscribe(&self, service: &str) -> watch::Receiver<Arc<[Provider]>> {
        self.with(service, watch::Sender::subscribe)
    }
}

/// The providers of a direct URL: one or several, separated by commas or semicolons.
pub(super) fn direct(urls: &str) -> Result<Arc<[Provider]>, SetupError> {
    let providers: Arc<[Provider]> = urls
        .split([',', ';'])
        .map(str::trim)
        .filter(|url| !url.is_empty())
        .map(Provider::parse)
        .collect::<Result<_, _>>()?;
    if providers.is_empty() {
        return Err(SetupError::Address {
            url: urls.to_owned(),
            problem: "no address in it".into(),
        });
    }
    Ok(providers)
}
