//! Logs in a database that speaks PostgreSQL's wire: a schema with the tables `format`, `head`, `block` and `piece`. Each
//! request is one statement. Each log writes over a connection of its own and reads have another, so that nobody waits behind another
//! log's fsync; one more is told of changes. An append's change is told after it, by a transaction that is not synced: PostgreSQL lets
//! transactions with a NOTIFY commit one after the other (`postgres/postgres:src/backend/commands/async.c`, `PreCommit_Notify`).

mod changes;
mod session;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diwan_engine::{Failure, Head, Reply, Request, Seen};
use tokio::sync::{Mutex, watch};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::address::{PostgresAddress, causes};
use crate::client::Origin;
use changes::Changes;
use session::{Dialer, Session};

/// The version of the tables.
const FORMAT: i32 = 1;
/// Blocks and pieces that are deleted at a time.
const CLEAN_BLOCKS: i64 = 1000;
const CLEAN_PIECES: i64 = 64;
/// Blocks that are read at a time at most.
const READ_BLOCKS: i64 = 256;

/// A client of PostgreSQL.
#[derive(Clone)]
pub(crate) struct Postgres {
    dialer: Arc<Dialer>,
    writes: Arc<Mutex<Option<Arc<Session>>>>,
    reads: Arc<Mutex<Option<Arc<Session>>>>,
    changes: Arc<Changes>,
}

/// A statement: the schema's name stands for `$SCHEMA`.
pub(super) struct Sql(pub(super) &'static str);

const LOOK: Sql = Sql("SELECT term, beat, next, owner, snapshot FROM $SCHEMA.head WHERE log = $1");
const TAKE: Sql = Sql(
    "WITH taken AS (UPDATE $SCHEMA.head SET term = term + 1, beat = beat + 1, owner = $5 \
     WHERE log = $1 AND term = $2 AND beat = $3 AND next = $4 RETURNING term) \
     SELECT term, $NOTIFY FROM taken",
);
const BEAT: Sql = Sql(
    "UPDATE $SCHEMA.head SET beat = beat + 1 WHERE log = $1 AND term = $2 AND owner IS NOT NULL",
);
const RESIGN: Sql = Sql(
    "WITH free AS (UPDATE $SCHEMA.head SET beat = beat + 1, owner = NULL \
     WHERE log = $1 AND term = $2 AND owner IS NOT NULL RETURNING term) SELECT term, $NOTIFY FROM free",
);
const APPEND: Sql = Sql("WITH moved AS (UPDATE $SCHEMA.head SET next = next + 1 \
     WHERE log = $1 AND term = $2 AND next = $3 AND owner IS NOT NULL RETURNING term) \
     INSERT INTO $SCHEMA.block (log, number, term, data) SELECT $1, $3, $2, $4 FROM moved");
const TELL: Sql = Sql("SELECT set_config('synchronous_commit', 'off', true), $NOTIFY");
/// As many blocks as have `$3` bytes together, and at least one.
const READ: Sql = Sql(
    "SELECT number, data FROM (SELECT number, data, sum(octet_length(data)) OVER (ORDER BY number) AS bytes \
     FROM (SELECT number, data FROM $SCHEMA.block WHERE log = $1 AND number >= $2 ORDER BY number LIMIT $4) AS found) \
     AS counted WHERE bytes <= $3 OR number = $2 ORDER BY number",
);
const PUT_PIECE: Sql = Sql("INSERT INTO $SCHEMA.piece (log, snapshot, piece, data) \
     SELECT $1, $3, $4, $5 FROM $SCHEMA.head WHERE log = $1 AND term = $2 AND owner IS NOT NULL FOR SHARE \
     ON CONFLICT (log, snapshot, piece) DO UPDATE SET data = excluded.data");
const SEAL: Sql = Sql(
    "UPDATE $SCHEMA.head SET snapshot = $3 WHERE log = $1 AND term = $2 AND owner IS NOT NULL \
     AND snapshot IS NOT DISTINCT FROM $4",
);
const GET_PIECE: Sql =
    Sql("SELECT data FROM $SCHEMA.piece WHERE log = $1 AND snapshot = $2 AND piece = $3");
const CLEAN: Sql = Sql(
    "WITH owned AS (SELECT log FROM $SCHEMA.head WHERE log = $1 AND term = $2 AND owner IS NOT NULL FOR SHARE), \
     blocks AS (DELETE FROM $SCHEMA.block WHERE log IN (SELECT log FROM owned) AND number IN \
     (SELECT number FROM $SCHEMA.block WHERE log = $1 AND number < $4 ORDER BY number LIMIT $5) RETURNING 1), \
     pieces AS (DELETE FROM $SCHEMA.piece WHERE log IN (SELECT log FROM owned) AND (snapshot, piece) IN \
     (SELECT snapshot, piece FROM $SCHEMA.piece WHERE log = $1 AND snapshot < $3 ORDER BY snapshot, piece LIMIT $6) \
     RETURNING 1) \
     SELECT (SELECT count(*) FROM owned), (SELECT count(*) FROM blocks), (SELECT count(*) FROM pieces)",
);
const OPEN: Sql = Sql(
    "INSERT INTO $SCHEMA.head (log, term, beat, next) VALUES ($1, $2, 0, $3) ON CONFLICT (log) DO NOTHING",
);

impl Postgres {
    pub(crate) async fn connect(
        address: &PostgresAddress,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let dialer = Arc::new(Dialer::new(address, timeout)?);
        let session = dialer.dial().await?;
        session.prepare_schema(&dialer.schema).await?;
        Ok(Self {
            dialer,
            writes: Arc::new(Mutex::new(Some(Arc::new(session)))),
            reads: Arc::default(),
            changes: Arc::default(),
        })
    }

    /// The same for one log, whose writes wait for no other's.
    pub(crate) fn of_log(&self) -> Self {
        Self {
            writes: Arc::default(),
            ..self.clone()
        }
    }

    /// Makes sure that there is such a log; a new one begins at `origin`. Whether it is new.
    pub(crate) async fn open(&self, log: &str, origin: Origin) -> Result<bool, Failure> {
        let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let (term, next) = (signed(origin.term), signed(origin.next));
        let made = self.execute(&OPEN, &[&log, &term, &next]).await?;
        Ok(made > 0)
    }

    pub(crate) async fn has(&self, log: &str) -> Result<bool, Failure> {
        let rows = self.read(&LOOK, &[&log]).await?;
        Ok(!rows.is_empty())
    }

    pub(crate) async fn call(&self, log: &str, request: Request) -> Result<Reply, Failure> {
        let signed = |number: u64| i64::try_from(number).ok();
        match request {
            Request::Look => {
                let rows = self.read(&LOOK, &[&log]).await?;
                let row = rows.first().ok_or_else(|| {
                    let schema = &self.dialer.schema;
                    Failure::Foreign(format!("there is no log {log} in schema {schema} any more"))
                })?;
                head(row).map(Reply::Head)
            }
            Request::Take { seen, owner } => {
                let seen = (signed(seen.term), signed(seen.beat), signed(seen.next));
                let (Some(term), Some(beat), Some(next)) = seen else {
                    return Ok(Reply::Refused);
                };
                let rows = self
                    .write(&TAKE, &[&log, &term, &beat, &next, &owner])
                    .await?;
                let Some(row) = rows.first() else {
                    return Ok(Reply::Refused);
                };
                let term = number(row, 0)?;
                Ok(Reply::Taken { term })
            }
            Request::Beat { term } => match signed(term) {
                Some(term) => self.execute(&BEAT, &[&log, &term]).await.map(done),
                None => Ok(Reply::Refused),
            },
            Request::Resign { term } => match signed(term) {
                Some(term) => self.write(&RESIGN, &[&log, &term]).await.map(changed),
                None => Ok(Reply::Refused),
            },
            Request::Append {
                term,
                number,
                block,
            } => {
                let (Some(term), Some(number)) = (signed(term), signed(number)) else {
                    return Ok(Reply::Refused);
                };
                let block: &[u8] = &block;
                let appended = self
                    .execute(&APPEND, &[&log, &term, &number, &block])
                    .await?;
                if appended > 0 {
                    self.tell(log);
                }
                Ok(done(appended))
            }
            Request::Read { from, bytes_max } => {
                let Some(first) = signed(from) else {
                    return Ok(Reply::Blocks(vec![]));
                };
                let bytes = i64::try_from(bytes_max).unwrap_or(i64::MAX);
                let rows = self
                    .read(&READ, &[&log, &first, &bytes, &READ_BLOCKS])
                    .await?;
                let mut blocks = Vec::new();
                for (expected, row) in (from..).zip(&rows) {
                    if number(row, 0)? != expected {
                        break;
                    }
                    blocks.push(data(row, 1)?);
                }
                Ok(Reply::Blocks(blocks))
            }
            Request::PutPiece {
                term,
                snapshot,
                piece,
                data,
            } => {
                let (Some(term), Some(snapshot)) = (signed(term), signed(snapshot)) else {
                    return Ok(Reply::Refused);
                };
                let (piece, data): (i64, &[u8]) = (piece.into(), &data);
                self.execute(&PUT_PIECE, &[&log, &term, &snapshot, &piece, &data])
                    .await
                    .map(done)
            }
            Request::Seal {
                term,
                over,
                snapshot,
            } => match signed(term) {
                Some(term) => self
                    .execute(&SEAL, &[&log, &term, &snapshot, &over])
                    .await
                    .map(done),
                None => Ok(Reply::Refused),
            },
            Request::GetPiece { snapshot, piece } => {
                let Some(snapshot) = signed(snapshot) else {
                    return Ok(Reply::Piece(None));
                };
                let piece: i64 = piece.into();
                let rows = self.read(&GET_PIECE, &[&log, &snapshot, &piece]).await?;
                let piece = rows.first().map(|row| data(row, 0)).transpose()?;
                Ok(Reply::Piece(piece))
            }
            Request::Clean { term, keep, below } => {
                let Some(term) = signed(term) else {
                    return Ok(Reply::Refused);
                };
                let keep = signed(keep).unwrap_or(i64::MAX);
                let below = signed(below).unwrap_or(i64::MAX);
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [&log, &term, &keep, &below, &CLEAN_BLOCKS, &CLEAN_PIECES];
                let rows = self.write(&CLEAN, &parameters).await?;
                let Some(row) = rows
                    .first()
                    .filter(|row| matches!(row.try_get(0), Ok(1_i64)))
                else {
                    return Ok(Reply::Refused);
                };
                let most = [CLEAN_BLOCKS.unsigned_abs(), CLEAN_PIECES.unsigned_abs()];
                let more = number(row, 1)? == most[0] || number(row, 2)? == most[1];
                Ok(Reply::Cleaned { more })
            }
        }
    }

    /// Is told when the log changes, as long as it is held; sometimes for nothing.
    pub(crate) fn changes(&self, log: &str) -> watch::Receiver<()> {
        let told = self.changes.of(log);
        if self.changes.begins_to_listen() {
            tokio::spawn(changes::listen(
                self.dialer.clone(),
                Arc::downgrade(&self.changes),
            ));
        }
        told
    }

    /// Tells others that the log has changed, soon; what changes meanwhile is told together.
    fn tell(&self, log: &str) {
        if !self.dialer.notifies() || !self.changes.begins_to_tell(log) {
            return;
        }
        let (client, log) = (self.clone(), log.to_owned());
        tokio::spawn(async move {
            loop {
                // Whoever is not told looks by itself before long.
                let _ = client.read(&TELL, &[&log]).await;
                if !client.changes.goes_on_telling(&log) {
                    return;
                }
            }
        });
    }

    async fn execute(
        &self,
        sql: &'static Sql,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Failure> {
        self.with(&self.writes, async |session: &Session| {
            let statement = session.statement(&self.dialer, sql).await?;
            session.client.execute(&statement, parameters).await
        })
        .await
    }

    async fn write(
        &self,
        sql: &'static Sql,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        self.query(&self.writes, sql, parameters).await
    }

    async fn read(
        &self,
        sql: &'static Sql,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        self.query(&self.reads, sql, parameters).await
    }

    async fn query(
        &self,
        place: &Mutex<Option<Arc<Session>>>,
        sql: &'static Sql,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        self.with(place, async |session: &Session| {
            let statement = session.statement(&self.dialer, sql).await?;
            session.client.query(&statement, parameters).await
        })
        .await
    }

    /// Does something in a session, which is dialed if there is none.
    async fn with<T>(
        &self,
        place: &Mutex<Option<Arc<Session>>>,
        work: impl AsyncFnOnce(&Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Failure> {
        let asked = async {
            let session = {
                let mut place = place.lock().await;
                match place.as_ref().filter(|it| !it.client.is_closed()) {
                    Some(session) => session.clone(),
                    None => {
                        let session = Arc::new(self.dialer.dial().await?);
                        *place = Some(session.clone());
                        session
                    }
                }
            };
            work(&session).await.map_err(|error| failure(&error))
        };
        match tokio::time::timeout(self.dialer.timeout, asked).await {
            Ok(result) => result,
            Err(_) => {
                // What it still does nobody waits for: another one is dialed.
                place.lock().await.take();
                Err(Failure::Unknown("no reply in time".into()))
            }
        }
    }
}

fn done(rows: u64) -> Reply {
    match rows {
        0 => Reply::Refused,
        _ => Reply::Done,
    }
}

fn changed(rows: Vec<Row>) -> Reply {
    done(rows.len() as u64)
}

fn head(row: &Row) -> Result<Head, Failure> {
    Ok(Head {
        seen: Seen {
            term: number(row, 0)?,
            beat: number(row, 1)?,
            next: number(row, 2)?,
        },
        owner: row.try_get(3).map_err(|error| foreign(&error))?,
        snapshot: row.try_get(4).map_err(|error| foreign(&error))?,
    })
}

fn number(row: &Row, column: usize) -> Result<u64, Failure> {
    let number: i64 = row.try_get(column).map_err(|error| foreign(&error))?;
    u64::try_from(number).map_err(|_| Failure::Foreign(format!("{number} in a log's table")))
}

fn data(row: &Row, column: usize) -> Result<Bytes, Failure> {
    let data: &[u8] = row.try_get(column).map_err(|error| foreign(&error))?;
    Ok(Bytes::copy_from_slice(data))
}

fn foreign(error: &tokio_postgres::Error) -> Failure {
    let what = causes(error);
    Failure::Foreign(format!("a log's table is not as it should be: {what}"))
}

/// What PostgreSQL's errors mean: its documentation, appendix A.
pub(super) fn failure(error: &tokio_postgres::Error) -> Failure {
    let what = causes(error);
    let Some(code) = error.code() else {
        return Failure::Unknown(what);
    };
    let what = format!("{what} ({})", code.code());
    match *code {
        SqlState::DISK_FULL => Failure::NoSpace(what),
        SqlState::READ_ONLY_SQL_TRANSACTION => Failure::ReadOnly(what),
        SqlState::INSUFFICIENT_PRIVILEGE
        | SqlState::INVALID_PASSWORD
        | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        | SqlState::INVALID_CATALOG_NAME => Failure::Denied(what),
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::INVALID_SCHEMA_NAME => {
            Failure::Foreign(what)
        }
        SqlState::PROGRAM_LIMIT_EXCEEDED => Failure::TooLarge(what),
        // 40001 among them: a serializable database says so of transactions that met, and of some that were carried out.
        _ => Failure::Unknown(what),
    }
}
