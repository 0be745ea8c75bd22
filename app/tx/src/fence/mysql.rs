//! The fence in Seata's own table `tcc_fence_log` of a MySQL or MariaDB, so that participants in Java and in Rust can share it.
//!
//! ```no_run
//! use diwan_tx_client::Branch;
//! use diwan_tx_client::fence::mysql::Rows;
//! use diwan_tx_client::fence::{Entered, FenceKey, Operation, enter};
//!
//! async fn commit(database: &sqlx::MySqlPool, branch: &Branch) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut local = database.begin().await?;
//!     let entered = enter(&mut Rows(&mut local), &FenceKey::branch(branch)?, Operation::Commit).await?;
//!     if entered == Entered::Do {
//!         sqlx::query("UPDATE account SET held = held - 5").execute(&mut *local).await?;
//!     }
//!     // Dropped instead, it is rolled back, and the row with it.
//!     Ok(local.commit().await?)
//! }
//! ```
//! Like the original, it prefers transactions that read what is committed: with repeatable reads the database may take a rollback and a
//! try of the same moment for a deadlock and end one of them, which then fails and is told again.

use std::time::Duration;

use sqlx::{Executor, MySql, MySqlConnection, Row as _};

use super::{FenceKey, FenceStatus, FenceStore};

/// Makes the table if it is not there.
/// Source: apache/incubator-seata:script/client/tcc/db/mysql.sql.
pub const CREATE_TABLE: &str = "\
CREATE TABLE IF NOT EXISTS tcc_fence_log (
    xid          VARCHAR(128) NOT NULL COMMENT 'global id',
    branch_id    BIGINT       NOT NULL COMMENT 'branch id',
    action_name  VARCHAR(64)  NOT NULL COMMENT 'action name',
    status       TINYINT      NOT NULL COMMENT 'status(tried:1;committed:2;rollbacked:3;suspended:4)',
    gmt_create   DATETIME(3)  NOT NULL COMMENT 'create time',
    gmt_modified DATETIME(3)  NOT NULL COMMENT 'update time',
    PRIMARY KEY (xid, branch_id),
    KEY idx_gmt_modified (gmt_modified),
    KEY idx_status (status)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4";

/// The rows as a local transaction of the caller sees them. Times are the connection's `NOW(3)`; the original writes its own time zone's,
/// so that whoever shares a table with it gives his connections that zone.
pub struct Rows<'c>(pub &'c mut MySqlConnection);

impl FenceStore for Rows<'_> {
    type Error = sqlx::Error;

    async fn row(&mut self, key: &FenceKey) -> Result<Option<FenceStatus>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT status FROM tcc_fence_log WHERE xid = ? AND branch_id = ? FOR UPDATE",
        )
        .bind(key.xid())
        .bind(key.branch_id())
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let number: i8 = row.try_get(0)?;
        let status = u8::try_from(number).ok().and_then(FenceStatus::from_number);
        let unknown = || sqlx::Error::ColumnDecode {
            index: "status".to_owned(),
            source: format!("a fence has no status {number}").into(),
        };
        status.map(Some).ok_or_else(unknown)
    }

    async fn insert(&mut self, key: &FenceKey, status: FenceStatus) -> Result<bool, sqlx::Error> {
        let inserted = sqlx::query(
            "INSERT INTO tcc_fence_log (xid, branch_id, action_name, status, gmt_create, gmt_modified) \
             VALUES (?, ?, ?, ?, NOW(3), NOW(3))",
        )
        .bind(key.xid())
        .bind(key.branch_id())
        .bind(key.action())
        .bind(status.number())
        .execute(&mut *self.0)
        .await;
        match inserted {
            Ok(_) => Ok(true),
            // The statement is undone, not the transaction.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn update(
        &mut self,
        key: &FenceKey,
        from: FenceStatus,
        to: FenceStatus,
    ) -> Result<bool, sqlx::Error> {
        let updated = sqlx::query(
            "UPDATE tcc_fence_log SET status = ?, gmt_modified = NOW(3) \
             WHERE xid = ? AND branch_id = ? AND status = ?",
        )
        .bind(to.number())
        .bind(key.xid())
        .bind(key.branch_id())
        .bind(from.number())
        .execute(&mut *self.0)
        .await?;
        Ok(updated.rows_affected() == 1)
    }
}

/// Deletes rows of branches that ended longer ago than `age`, in portions, and of steps of sagas that are older; says how many. The age is
/// to be longer than anything can be late: the original keeps them for a day.
///
/// # Errors
/// When the database fails. What was deleted until then stays deleted.
pub async fn clean_up<'e>(
    database: impl Executor<'e, Database = MySql> + Copy,
    age: Duration,
) -> Result<u64, sqlx::Error> {
    /// As in the original, so that others are not held up.
    const PORTION: u64 = 1000;
    let mut total = 0;
    loop {
        // Steps of sagas have no branch; nobody ends them.
        let deleted = sqlx::query(
            "DELETE FROM tcc_fence_log WHERE gmt_modified < NOW(3) - INTERVAL ? SECOND \
             AND (status IN (2, 3, 4) OR branch_id = 0) LIMIT ?",
        )
        .bind(age.as_secs())
        .bind(PORTION)
        .execute(database)
        .await?
        .rows_affected();
        total += deleted;
        if deleted < PORTION {
            return Ok(total);
        }
    }
}
