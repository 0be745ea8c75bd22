//! Sagas that are spread over several logs, each with a leader of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::{Counts, Host, HostError, SagaView, Start, Summary};
use crate::engine::Command;

/// The hosts of all logs. Cheap to clone.
#[derive(Clone)]
pub struct Hosts {
    all: Arc<[Host]>,
    /// The first log knows that there are so many.
    agreed: Arc<AtomicBool>,
}

impl Hosts {
    /// Of the logs in their order, at least one; which of them a saga is in follows from their number.
    #[must_use]
    pub fn new(all: Vec<Host>) -> Self {
        Self {
            all: all.into(),
            agreed: Arc::default(),
        }
    }

    /// The host of each log.
    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.all.iter()
    }

    /// Makes sure that the sagas of this cluster are spread over so many logs, and not over another number: a saga that is started
    /// again must be found.
    /// # Errors
    /// They are, or the first log does not say.
    pub async fn agree(&self) -> Result<(), HostError> {
        if self.agreed.load(Relaxed) {
            return Ok(());
        }
        let logs = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all[0].carry_out(Command::Spread { logs }).await?;
        self.agreed.store(true, Relaxed);
        Ok(())
    }

    /// The log of a key.
    fn of(&self, key: &str) -> &Host {
        let [a, b, c, d, ..] = md5::compute(key).0;
        &self.all[u32::from_be_bytes([a, b, c, d]) as usize % self.all.len()]
    }

    /// The log in which a saga lives, or was. They are spread by business key, or by id where there is none.
    pub(super) async fn with(&self, id: &str) -> Result<&Host, HostError> {
        if let Some(host) = self.iter().find(|host| host.lives(id)) {
            return Ok(host);
        }
        for host in &*self.all {
            if host.archived(id).await?.is_some() {
                return Ok(host);
            }
        }
        Ok(self.of(id))
    }

    /// A saga, if it lives, or is in this node's archives.
    /// # Errors
    /// An archive cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<SagaView>, HostError> {
        if let Some(view) = self.iter().find_map(|host| host.get(id)) {
            return Ok(Some(view));
        }
        for host in &*self.all {
            if let Some(view) = host.find(id).await? {
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    /// Defines a machine for all logs; sagas that run keep theirs.
    /// # Errors
    /// It does not load, or a log did not take it: the same again is safe.
    pub async fn define(&self, tenant: &str, text: &str) -> Result<(), HostError> {
        self.agree().await?;
        for host in &*self.all {
            host.define(tenant.to_owned(), text.to_owned()).await?;
        }
        Ok(())
    }

    /// Starts a saga in its log; see [`Host::start`].
    /// # Errors
    /// It cannot start, or the log did not take it.
    pub async fn start(&self, start: Start, patience: Duration) -> Result<SagaView, HostError> {
        self.agree().await?;
        let key = start.business_key.as_ref();
        let host = key.map_or_else(|| self.of(&start.id), |key| self.of(key));
        let other = |other: &Host| !std::ptr::eq(other, host) && other.lives(&start.id);
        if self.iter().any(other) {
            let id = &start.id;
            let why = format!("saga `{id}` exists already, with another business key");
            return Err(HostError::Refused(why));
        }
        host.start(start, patience).await
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.iter()
            .map(Host::counts)
            .fold(Counts::default(), |sum, one| Counts {
                living: sum.living + one.living,
                running: sum.running + one.running,
                stuck: sum.stuck + one.stuck,
                calls: sum.calls + one.calls,
            })
    }

    /// Sagas that live, see [`Host::list`].
    #[must_use]
    pub fn list(&self, limit: usize, is: impl Fn(&Summary) -> bool) -> Vec<Summary> {
        let mut all = Vec::new();
        for host in &*self.all {
            all.extend(host.list(limit - all.len(), &is));
        }
        all
    }

    /// Sagas that have left, the newest first, and whether there are more; see [`Host::ended`].
    /// # Errors
    /// An archive cannot be read.
    pub async fn ended(
        &self,
        limit: usize,
        is: impl Fn(&Summary) -> bool + Clone + Send + 'static,
    ) -> Result<(Vec<Summary>, bool), HostError> {
        let (mut all, mut more) = (Vec::new(), false);
        for host in &*self.all {
            let (found, has_more) = host.ended(limit, is.clone()).await?.unwrap_or_default();
            all.extend(found);
            more |= has_more;
        }
        all.sort_by_key(|one| std::cmp::Reverse(one.ended_ms));
        more |= all.len() > limit;
        all.truncate(limit);
        Ok((all, more))
    }
}
