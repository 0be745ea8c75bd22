//! The file: a redb database with one table by place and one by name.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};

use crate::{Entry, Retention};

/// Where something ended: the index of the log's entry, and which one of those that ended there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The entry.
    pub index: u64,
    /// Counted from zero.
    pub number: u32,
}

/// What is kept of something that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it ended.
    pub place: Place,
    /// Its name.
    pub id: String,
    /// When, in milliseconds of the log's time.
    pub ended_ms: u64,
    /// What was handed over of it.
    pub value: Vec<u8>,
}

/// Some of what is kept, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What was picked.
    pub entries: Vec<T>,
    /// There is more behind this place; None: that is all.
    pub more: Option<Place>,
}

/// Why the archive does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file.
    #[error("archive {path:?}: {error}")]
    Store {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        error: Box<redb::Error>,
    },
}

type Row = (u64, &'static str, &'static [u8]);

const ENTRIES: TableDefinition<'static, (u64, u32), Row> = TableDefinition::new("entries");
const IDS: TableDefinition<'static, &str, (u64, u32)> = TableDefinition::new("ids");
/// One page of a list looks at so many.
const LOOKED_AT_MAX: usize = 100_000;
/// More than were added leave in one transaction, so that a shorter retention is reached.
const LEAVE_MORE: usize = 1_000;

pub(crate) struct Store {
    path: PathBuf,
    retention: Retention,
    /// None until it is needed, and after it failed.
    database: RwLock<Option<Database>>,
    /// When the last of what it holds ended.
    newest_ms: Mutex<u64>,
}

type Result<T> = std::result::Result<T, ArchiveError>;

impl Store {
    pub(crate) fn new(path: PathBuf, retention: Retention) -> Self {
        Self {
            path,
            retention,
            database: RwLock::new(None),
            newest_ms: Mutex::new(0),
        }
    }

    /// Turns any of redb's error types into ours.
    fn said<T, E: Into<redb::Error>>(&self, result: std::result::Result<T, E>) -> Result<T> {
        result.map_err(|error| ArchiveError::Store {
            path: self.path.clone(),
            error: Box::new(error.into()),
        })
    }

    pub(crate) fn open(&self) -> Result<()> {
        if self
            .database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
        {
            return Ok(());
        }
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if database.is_some() {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            self.said(std::fs::create_dir_all(folder))?;
        }
        let opened = self.said(Database::create(&self.path))?;
        let transaction = self.said(opened.begin_write())?;
        let last = {
            let entries = self.said(transaction.open_table(ENTRIES))?;
            self.said(transaction.open_table(IDS))?;
            let last = self.said(entries.last())?;
            last.map_or(0, |(_, row)| row.value().0)
        };
        self.said(transaction.commit())?;
        *self
            .newest_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = last;
        *database = Some(opened);
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        self.open()?;
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => act(database),
            // It failed again at once.
            None => self.said(Err(redb::Error::PreviousIo)),
        }
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.with(|database| {
            let read = self.said(database.begin_read())?;
            let entries = self.said(read.open_table(ENTRIES))?;
            self.said(entries.len())
        })
    }

    /// Adds entries, lets old ones leave, and says how many there are then.
    pub(crate) fn write(&self, batch: Vec<Entry>, sync: bool) -> Result<u64> {
        let written = self.with(|database| self.written(database, batch, sync));
        if written.is_err() {
            // After an error of the disk redb refuses everything until it is opened anew.
            *self
                .database
                .write()
                .unwrap_or_else(PoisonError::into_inner) = None;
        }
        written
    }

    fn written(&self, database: &Database, batch: Vec<Entry>, sync: bool) -> Result<u64> {
        let mut newest_ms = self
            .newest_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut transaction = self.said(database.begin_write())?;
        if !sync {
            self.said(transaction.set_durability(Durability::None))?;
        }
        let leave_max = batch.len() + LEAVE_MORE;
        let count = {
            let mut entries = self.said(transaction.open_table(ENTRIES))?;
            let mut ids = self.said(transaction.open_table(IDS))?;
            for entry in batch {
                let key = (entry.place.index, entry.place.number);
                *newest_ms = entry.ended_ms.max(*newest_ms);
                let value = (entry.value)();
                let row = (entry.ended_ms, entry.id.as_str(), value.as_slice());
                self.said(entries.insert(key, row))?;
                self.said(ids.insert(entry.id.as_str(), key))?;
            }
            let mut count = self.said(entries.len())?;
            let from_ms = newest_ms.saturating_sub(self.retention.keep_ms);
            for _ in 0..leave_max {
                let Some(first) = self.said(entries.first())? else {
                    break;
                };
                let key = first.0.value();
                let (ended_ms, id, _) = first.1.value();
                if ended_ms >= from_ms && count <= self.retention.entries_max {
                    break;
                }
                let id = id.to_owned();
                drop(first);
                self.said(entries.remove(key))?;
                // The name may be a later one's.
                let is_its = self
                    .said(ids.get(id.as_str()))?
                    .is_some_and(|at| at.value() == key);
                if is_its {
                    self.said(ids.remove(id.as_str()))?;
                }
                count -= 1;
            }
            count
        };
        self.said(transaction.commit())?;
        Ok(count)
    }

    pub(crate) fn get(&self, id: &str) -> Result<Option<Kept>> {
        self.with(|database| {
            let read = self.said(database.begin_read())?;
            let ids = self.said(read.open_table(IDS))?;
            let Some(key) = self.said(ids.get(id))?.map(|at| at.value()) else {
                return Ok(None);
            };
            let entries = self.said(read.open_table(ENTRIES))?;
            let row = self.said(entries.get(key))?;
            Ok(row.map(|row| kept(key, row.value())))
        })
    }

    pub(crate) fn list<T>(
        &self,
        before: Option<Place>,
        limit: usize,
        pick: impl Fn(Kept) -> Option<T>,
    ) -> Result<Page<T>> {
        self.with(|database| {
            let read = self.said(database.begin_read())?;
            let entries = self.said(read.open_table(ENTRIES))?;
            let end = before.map_or((u64::MAX, u32::MAX), |place| (place.index, place.number));
            let mut page = Page {
                entries: Vec::new(),
                more: None,
            };
            let mut last = None;
            for (looked_at, row) in self.said(entries.range(..end))?.rev().enumerate() {
                if page.entries.len() == limit || looked_at == LOOKED_AT_MAX {
                    page.more = last;
                    break;
                }
                let (key, row) = self.said(row)?;
                let one = kept(key.value(), row.value());
                last = Some(one.place);
                page.entries.extend(pick(one));
            }
            Ok(page)
        })
    }
}

fn kept((index, number): (u64, u32), (ended_ms, id, value): (u64, &str, &[u8])) -> Kept {
    Kept {
        place: Place { index, number },
        id: id.to_owned(),
        ended_ms,
        value: value.to_owned(),
    }
}
