//! Connections to PostgreSQL, and what must hold in each of them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diwan_engine::Failure;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, NoTls, Statement};

use super::tls::Tls;
use super::{FORMAT, Sql, failure};
use crate::address::{PostgresAddress, causes};

/// Dials the database.
pub(super) struct Dialer {
    config: tokio_postgres::Config,
    pub(super) schema: String,
    tls: Option<Tls>,
    pub(super) timeout: Duration,
    /// Whether it has LISTEN and NOTIFY, which some databases that speak the wire have not.
    notifies: AtomicBool,
}

/// One connection.
pub(super) struct Session {
    pub(super) client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

impl Dialer {
    pub(super) fn new(address: &PostgresAddress, timeout: Duration) -> Result<Self, Failure> {
        let mut config = address.config.clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(timeout);
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(Tls::new(address).map_err(Failure::Denied)?),
        };
        Ok(Self {
            config,
            schema: address.schema.clone(),
            tls,
            timeout,
            notifies: AtomicBool::new(true),
        })
    }

    pub(super) fn notifies(&self) -> bool {
        self.notifies.load(Relaxed)
    }

    /// The name under which changes are told.
    fn channel(&self) -> String {
        format!("{}_log", self.schema)
    }

    fn text(&self, sql: &Sql) -> String {
        let notify = match self.notifies() {
            true => format!("pg_notify('{}', $1)", self.channel()),
            false => "NULL".to_owned(),
        };
        sql.0
            .replace("$SCHEMA", &self.schema)
            .replace("$NOTIFY", &notify)
    }

    /// A connection, and what it is told beside answers is given to `told` if there is one.
    async fn connection(
        &self,
        mut told: impl FnMut(AsyncMessage) + Send + 'static,
    ) -> Result<Client, Failure> {
        macro_rules! drive {
            ($connected:expr) => {{
                let (client, mut connection) = $connected.map_err(|error| dial_failure(&error))?;
                tokio::spawn(async move {
                    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                        told(message);
                    }
                });
                client
            }};
        }
        Ok(match &self.tls {
            None => drive!(self.config.connect(NoTls).await),
            Some(tls) => drive!(self.config.connect(tls.clone()).await),
        })
    }

    pub(super) async fn dial(&self) -> Result<Session, Failure> {
        let dialed = async {
            let client = self.connection(drop).await?;
            // Beside the isolation of a statement nothing is needed: each request is one.
            let checks = "SET synchronous_commit = on; SELECT version(), current_setting('fsync', true), \
                          current_setting('transaction_read_only', true)";
            let rows = client.simple_query(checks).await;
            let rows = rows.map_err(|error| failure(&error))?;
            let row = rows.iter().find_map(|row| match row {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            });
            let setting = |place| row.and_then(|row| row.get(place)).unwrap_or_default();
            if setting(1) == "off" {
                return Err(Failure::Denied(
                    "PostgreSQL runs with fsync = off: what it says is committed is lost when its machine stops; set fsync = on"
                        .into(),
                ));
            }
            if setting(2) == "on" {
                return Err(Failure::ReadOnly(
                    "a standby, or default_transaction_read_only is on: name the primary".into(),
                ));
            }
            let other = ["CockroachDB", "-YB-"];
            if other.iter().any(|name| setting(0).contains(name)) {
                self.notifies.store(false, Relaxed);
            }
            Ok(Session {
                client,
                statements: Mutex::default(),
            })
        };
        let dialed = tokio::time::timeout(self.timeout, dialed).await;
        dialed.unwrap_or_else(|_| Err(Failure::Unknown("no connection in time".into())))
    }

    /// Listens until the connection ends.
    pub(super) async fn listen(&self, mut told: impl FnMut(AsyncMessage)) -> Result<(), Failure> {
        let (tell, mut messages) = tokio::sync::mpsc::unbounded_channel();
        let client = self.connection(move |message| drop(tell.send(message)));
        let client = client.await?;
        let listen = format!("LISTEN {}", self.channel());
        let listens = client.batch_execute(&listen).await;
        listens.map_err(|error| failure(&error))?;
        while let Some(message) = messages.recv().await {
            told(message);
        }
        Ok(())
    }
}

impl Session {
    pub(super) async fn statement(
        &self,
        dialer: &Dialer,
        sql: &'static Sql,
    ) -> Result<Statement, tokio_postgres::Error> {
        let known = || {
            self.statements
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let found = known().get(sql.0).cloned();
        if let Some(statement) = found {
            return Ok(statement);
        }
        let statement = self.client.prepare(&dialer.text(sql)).await?;
        known().insert(sql.0, statement.clone());
        Ok(statement)
    }

    /// Makes the tables where there are none, and looks whether they are of the version that this program knows.
    pub(super) async fn prepare_schema(&self, schema: &str) -> Result<(), Failure> {
        let version = format!("SELECT version FROM {schema}.format");
        let found = self.client.query(&version, &[]).await;
        let rows = match found {
            Ok(rows) => rows,
            Err(error) if matches!(failure(&error), Failure::Foreign(_)) => {
                self.make_schema(schema).await?;
                let found = self.client.query(&version, &[]).await;
                found.map_err(|error| failure(&error))?
            }
            Err(error) => return Err(failure(&error)),
        };
        let version: Option<i32> = rows.first().and_then(|row| row.try_get(0).ok());
        match version {
            Some(FORMAT) => Ok(()),
            other => Err(Failure::Foreign(format!(
                "schema {schema} is of version {}, this program knows {FORMAT}: take another schema, or the version of Diwan \
                 that made it",
                other.map_or("none".to_owned(), |other| other.to_string())
            ))),
        }
    }

    async fn make_schema(&self, schema: &str) -> Result<(), Failure> {
        // Nodes that start together must not make it at once. The data of blocks are many commands already: to compress them
        // would cost the engine more than it saves.
        let tables = format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE TABLE IF NOT EXISTS {schema}.head (log text PRIMARY KEY, term bigint NOT NULL, beat bigint NOT NULL,
               next bigint NOT NULL, owner text, snapshot text);
             CREATE TABLE IF NOT EXISTS {schema}.block (log text, number bigint, term bigint NOT NULL, data bytea NOT NULL,
               PRIMARY KEY (log, number));
             CREATE TABLE IF NOT EXISTS {schema}.piece (log text, snapshot bigint, piece bigint, data bytea NOT NULL,
               PRIMARY KEY (log, snapshot, piece));
             CREATE TABLE IF NOT EXISTS {schema}.format (one boolean PRIMARY KEY, version integer NOT NULL);
             INSERT INTO {schema}.format VALUES (true, {FORMAT}) ON CONFLICT DO NOTHING"
        );
        let stored = format!(
            "ALTER TABLE {schema}.block ALTER data SET STORAGE EXTERNAL;
             ALTER TABLE {schema}.piece ALTER data SET STORAGE EXTERNAL;
             ALTER TABLE {schema}.head SET (fillfactor = 50)"
        );
        let made = self.client.batch_execute(&tables).await;
        if let Err(error) = made {
            // Another node made them meanwhile, or this one may not.
            let again = self.client.batch_execute(&tables).await;
            if again.is_err() {
                return Err(Failure::Denied(format!(
                    "the tables cannot be made: {}; let somebody who may run:\n{tables};\n{stored};",
                    causes(&error)
                )));
            }
        }
        // Not every database that speaks the wire knows these, and none needs them.
        if let Err(error) = self.client.batch_execute(&stored).await {
            tracing::debug!(error = causes(&error), "storage parameters are not set");
        }
        Ok(())
    }
}

/// Nothing was asked for: what failed is the connection.
fn dial_failure(error: &tokio_postgres::Error) -> Failure {
    match failure(error) {
        Failure::Unknown(what) if error.code().is_some() => Failure::Unknown(what),
        Failure::Unknown(what) => Failure::Unknown(format!("no connection: {what}")),
        other => other,
    }
}
