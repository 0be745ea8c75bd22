//! The services of a server in registries.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::SetupError;
use crate::client::on_worker;
use crate::registry::{Announcement, Publication, RegistryClient};

/// A registry has to take services off its lists within this; the server stops anyway. The original's takes some 2.5 s.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Announcer {
    registries: Vec<(RegistryClient, Announcement)>,
    addr: SocketAddr,
    /// None once the server stops: what gets ready then is not published any more.
    published: Mutex<Option<Vec<Publication>>>,
}

impl Announcer {
    pub(super) fn new(registries: Vec<(RegistryClient, Announcement)>, addr: SocketAddr) -> Self {
        Self {
            registries,
            addr,
            published: Mutex::new(Some(Vec::new())),
        }
    }

    /// Publishes a service that is ready.
    ///
    /// # Errors
    /// When it cannot be found out under which address.
    pub(super) fn announce(&self, service: &str) -> Result<(), SetupError> {
        let mut published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(published) = &mut *published {
            for (registry, announcement) in &self.registries {
                published.push(registry.publish(service, announcement, self.addr)?);
            }
        }
        Ok(())
    }

    /// Takes everything off the lists and waits until consumers have had time to learn it.
    pub(super) async fn withdraw(&self) {
        let published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let ends: Vec<_> = published
            .into_iter()
            .flatten()
            .map(Publication::end)
            .collect();
        if ends.is_empty() {
            return;
        }
        let notices = self.registries.iter().map(|(_, how)| how.notice);
        let notice = notices.max().unwrap_or_default();
        let withdraw = move || async move {
            let told = timeout(WITHDRAW_TIMEOUT, async {
                let mut any = false;
                for end in ends {
                    any |= end.await;
                }
                any
            });
            // A registry that was not there has told nobody: there is nothing to wait for.
            if told.await.unwrap_or(true) {
                sleep(notice).await;
            }
        };
        on_worker(withdraw).await;
    }
}
