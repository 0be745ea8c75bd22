//! A client of either engine.

use std::time::Duration;

use diwan_engine::{Failure, Reply, Request};
use tokio::sync::watch;

use crate::address::Address;
use crate::etcd::Etcd;
use crate::postgres::Postgres;

/// Carries requests out on an engine. Cheap to clone; within a tokio runtime only.
#[derive(Clone)]
pub struct Client(Engine);

#[derive(Clone)]
enum Engine {
    Etcd(Etcd),
    Postgres(Postgres),
}

/// Where a log begins that was kept elsewhere before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    /// Its terms are above this one.
    pub(crate) term: u64,
    /// The number of its first block.
    pub(crate) next: u64,
}

impl Client {
    /// A client of the engine at `address`; PostgreSQL is dialed at once, and its tables are made. A request that brings no reply
    /// within `timeout` has failed, unknown whether it was carried out.
    /// # Errors
    /// The engine cannot be reached or is not fit for logs.
    pub async fn connect(address: &Address, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self(match address {
            Address::Etcd(address) => Engine::Etcd(Etcd::connect(address, timeout).await?),
            Address::Postgres(address) => {
                Engine::Postgres(Postgres::connect(address, timeout).await?)
            }
        }))
    }

    /// The same for one log, whose writes wait for no other's.
    pub(crate) fn of_log(&self) -> Self {
        Self(match &self.0 {
            Engine::Etcd(etcd) => Engine::Etcd(etcd.clone()),
            Engine::Postgres(postgres) => Engine::Postgres(postgres.of_log()),
        })
    }

    /// Makes sure that there is such a log, of a format that this program knows. Its name must not have slashes.
    /// # Errors
    /// It cannot be made, or is of another format.
    pub async fn open(&self, log: &str) -> Result<(), Failure> {
        self.open_at(log, Origin::default()).await.map(drop)
    }

    /// The same, and a log that is new goes on from one that was kept elsewhere. Whether it is new.
    pub(crate) async fn open_at(&self, log: &str, origin: Origin) -> Result<bool, Failure> {
        match &self.0 {
            Engine::Etcd(etcd) => etcd.open(log, origin).await,
            Engine::Postgres(postgres) => postgres.open(log, origin).await,
        }
    }

    /// Whether there is such a log.
    /// # Errors
    /// The engine does not say.
    pub async fn has(&self, log: &str) -> Result<bool, Failure> {
        match &self.0 {
            Engine::Etcd(etcd) => etcd.has(log).await,
            Engine::Postgres(postgres) => postgres.has(log).await,
        }
    }

    /// Carries a request about an open log out.
    /// # Errors
    /// See [`Failure`].
    pub async fn call(&self, log: &str, request: Request) -> Result<Reply, Failure> {
        match &self.0 {
            Engine::Etcd(etcd) => etcd.call(log, request).await,
            Engine::Postgres(postgres) => postgres.call(log, request).await,
        }
    }

    /// Is told when the log changes, as long as it is held; sometimes for nothing, and not while the engine is not reached.
    pub fn changes(&self, log: &str) -> watch::Receiver<()> {
        match &self.0 {
            Engine::Etcd(etcd) => etcd.changes(log),
            Engine::Postgres(postgres) => postgres.changes(log),
        }
    }
}
