//! Snapshots: written by the owner beside the blocks, piece by piece; what they hold is then deleted.

use bytes::Bytes;

use super::follow::checksum_of;
use super::{Ask, Log, Role, Step};
use crate::Request;
use crate::record::{Position, Snapshot};

/// A snapshot on its way into the engine.
#[derive(Debug)]
pub(super) enum Upload {
    /// The state machine writes it.
    Writing(Position),
    Putting {
        snapshot: Snapshot,
        pieces: Vec<Bytes>,
        done: u32,
    },
    /// `after`: whether it was sealed is not known; a look that is no older than this request tells.
    Sealing {
        snapshot: Snapshot,
        over: Option<String>,
        after: Option<u64>,
    },
    Cleaning(Snapshot),
}

impl Log {
    /// Takes a snapshot as soon as it can, if this node leads and anything was applied since the last one.
    pub fn take_snapshot(&mut self) {
        self.since_snapshot = self
            .since_snapshot
            .max(u64::from(self.since_snapshot > 0) << 62);
    }

    /// The state at `position` as pieces of at most [`crate::VALUE_BYTES_MAX`] bytes each, or why there are none.
    pub fn snapshot_written(&mut self, position: Position, pieces: Result<Vec<Bytes>, String>) {
        if !matches!(self.upload, Some(Upload::Writing(writing)) if writing == position) {
            return;
        }
        self.upload = None;
        // Whatever becomes of it, the next one is taken when as much was appended again.
        self.since_snapshot = 0;
        match pieces {
            Ok(mut pieces) => {
                if pieces.is_empty() {
                    pieces.push(Bytes::new());
                }
                let Role::Leading(lead) = &mut self.role else {
                    return;
                };
                let snapshot = Snapshot {
                    id: lead.next_snapshot(),
                    position,
                    pieces: u32::try_from(pieces.len()).unwrap_or(u32::MAX),
                    bytes: pieces.iter().map(|piece| piece.len() as u64).sum(),
                    checksum: checksum_of(&pieces),
                };
                self.upload = Some(Upload::Putting {
                    snapshot,
                    pieces,
                    done: 0,
                });
            }
            Err(why) => self.trouble = Some(format!("no snapshot was taken: {why}")),
        }
    }

    pub(super) fn drive_snapshot(&mut self) {
        let Role::Leading(lead) = &self.role else {
            return;
        };
        if !lead.serves() {
            return;
        }
        match &mut self.upload {
            None => {
                let newest = self.newest.map_or(0, |newest| newest.bytes);
                if self.since_snapshot >= self.config.snapshot_log_bytes.max(newest) {
                    self.upload = Some(Upload::Writing(self.position));
                    self.steps.push(Step::Snapshot(self.position));
                }
            }
            Some(Upload::Putting {
                snapshot,
                pieces,
                done,
            }) => match pieces.get(*done as usize).cloned() {
                Some(data) => {
                    let (snapshot, piece) = (snapshot.id, *done);
                    self.ask(Ask::PutPiece, |term| Request::PutPiece {
                        term,
                        snapshot,
                        piece,
                        data,
                    });
                }
                None => {
                    let head = self.head.as_ref();
                    self.upload = Some(Upload::Sealing {
                        snapshot: *snapshot,
                        over: head.and_then(|head| head.snapshot.clone()),
                        after: None,
                    });
                    self.drive_snapshot();
                }
            },
            Some(Upload::Sealing {
                snapshot,
                over,
                after,
            }) => match after {
                Some(_) => self.follow.look = true,
                None => {
                    let (snapshot, over) = (snapshot.to_string(), over.clone());
                    self.ask(Ask::Seal, |term| Request::Seal {
                        term,
                        over,
                        snapshot,
                    });
                }
            },
            Some(Upload::Cleaning(snapshot)) => {
                let (keep, next) = (snapshot.id, snapshot.position.next);
                let below = next.saturating_sub(self.config.keep_blocks);
                self.ask(Ask::Clean, |term| Request::Clean { term, keep, below });
            }
            Some(Upload::Writing(_)) => {}
        }
    }

    /// What an earlier owner did not come to delete.
    pub(super) fn clean(&mut self) {
        self.upload = self.newest.map(Upload::Cleaning);
    }

    pub(super) fn piece_put(&mut self) {
        if let Some(Upload::Putting { done, .. }) = &mut self.upload {
            *done += 1;
        }
    }

    pub(super) fn sealed(&mut self) {
        if let Some(Upload::Sealing { snapshot, .. }) = self.upload {
            self.newest = Some(snapshot);
            if let Some(head) = &mut self.head {
                head.snapshot = Some(snapshot.to_string());
            }
            self.clean();
        }
    }

    pub(super) fn seal_unknown(&mut self) {
        if let Some(Upload::Sealing { after, .. }) = &mut self.upload {
            *after = Some(self.next_ask);
        }
    }

    pub(super) fn look_for_seal(&mut self, id: u64) {
        let Some(Upload::Sealing {
            snapshot,
            over,
            after: Some(after),
        }) = &mut self.upload
        else {
            return;
        };
        if id < *after {
            return;
        }
        let found = self.head.as_ref().and_then(|head| head.snapshot.clone());
        match found {
            Some(found) if found == snapshot.to_string() => self.clean(),
            found if found == *over => {
                // Not sealed, or not yet.
                if let Some(Upload::Sealing { after, .. }) = &mut self.upload {
                    *after = None;
                }
            }
            _ => self.upload = None,
        }
    }

    pub(super) fn cleaned(&mut self, more: bool) {
        if !more {
            self.upload = None;
        }
    }
}
