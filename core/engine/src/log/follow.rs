//! Looking at the log, reading what others appended, and taking it when its owner shows no sign of life.

use std::time::Duration;

use bytes::Bytes;

use super::lead::Lead;
use super::{Ask, Leadership, Log, LogError, Role, Step};
use crate::block::Block;
use crate::record::{Owner, Position, RecordError, Snapshot};
use crate::{Head, Request};

/// About how many bytes of blocks are read at a time.
const READ_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Follow {
    /// The log is to be looked at, now.
    pub(super) look: bool,
    looked: Duration,
    /// How much was applied then.
    looked_from: u64,
    /// A block was not there when this was the next request, although the log is longer: a later look must show a snapshot.
    gap: Option<u64>,
    /// The first block that was last asked for.
    tail_from: u64,
    restore: Option<Restore>,
}

#[derive(Debug)]
struct Restore {
    snapshot: Snapshot,
    pieces: Vec<Bytes>,
    bytes: u64,
}

impl Follow {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            look: true,
            looked: now,
            looked_from: 0,
            gap: None,
            tail_from: 0,
            restore: None,
        }
    }

    pub(super) fn next_look(&self, poll: Duration) -> Duration {
        self.looked + poll
    }
}

impl Log {
    pub(super) fn drive_following(&mut self) {
        let due = self.follow.look || self.now >= self.follow.next_look(self.config.poll);
        let uncertain = matches!(
            &self.role,
            Role::Taking {
                looking: Some(_),
                ..
            }
        );
        if (due || uncertain || self.arriving() || self.reads.are_waiting())
            && self.ask(Ask::Look, |_| Request::Look).is_some()
        {
            self.follow.look = false;
            self.follow.looked = self.now;
            self.follow.looked_from = self.position.next;
            self.reads.sent();
        }
        if self.reads_tail() {
            match &self.follow.restore {
                Some(restore) => {
                    let (snapshot, piece) = (restore.snapshot.id, restore.pieces.len());
                    let piece = u32::try_from(piece).unwrap_or(u32::MAX);
                    self.ask(Ask::GetPiece, |_| Request::GetPiece { snapshot, piece });
                }
                None if self.follow.gap.is_none() => {
                    let (from, bytes_max) = (self.position.next, READ_BYTES);
                    if self
                        .ask(Ask::Tail, |_| Request::Read { from, bytes_max })
                        .is_some()
                    {
                        self.follow.tail_from = from;
                    }
                }
                None => {}
            }
        }
        if self.take_at().is_some_and(|at| self.now >= at)
            && self.may_ask(Ask::Take)
            && let Some(head) = &self.head
        {
            let seen = head.seen;
            self.resting = None;
            let nonce = self.draw().max(Owner::COPYING + 1);
            let owner = Owner {
                nonce,
                lease: self.config.lease,
                name: self.config.node.clone(),
            };
            let owner = owner.to_string();
            self.role = Role::Taking {
                nonce,
                asked: self.now,
                looking: None,
            };
            self.ask(Ask::Take, |_| Request::Take { seen, owner });
        }
    }

    /// Whether there is something to read that this node did not append itself.
    fn reads_tail(&self) -> bool {
        let behind = self
            .head
            .as_ref()
            .is_some_and(|head| head.seen.next > self.position.next);
        behind && !matches!(&self.role, Role::Leading(lead) if lead.knows_the_end())
    }

    /// When this node may take the log, if it wants it.
    pub(super) fn take_at(&self) -> Option<Duration> {
        let Role::Following = self.role else {
            return None;
        };
        if self.head.is_none() || self.retired {
            return None;
        }
        let wait = match &self.owner {
            None => self.config.patience,
            // It was this node's: before it started again, or before it lost sight of the engine.
            Some(owner) if owner.name == self.config.node => Duration::ZERO,
            Some(owner) => owner.lease.max(self.config.lease) + self.config.patience,
        };
        Some((self.changed + wait).max(self.resting.unwrap_or_default()))
    }

    pub(super) fn looked(&mut self, id: u64, head: Head) {
        if self.head.as_ref().map(|head| head.seen) != Some(head.seen) {
            self.changed = self.now;
        }
        let seen = head.seen;
        if let Err(error) = self.read_records(&head) {
            return self.fail(error.into());
        }
        if self
            .owner
            .as_ref()
            .is_some_and(|owner| owner.nonce == Owner::COPYING)
        {
            return self.fail(LogError::HalfCopied);
        }
        self.head = Some(head);
        let (next, applied) = (seen.next, self.follow.looked_from);
        if next < applied {
            return self.fail(LogError::Rewound { next, applied });
        }
        match &self.role {
            Role::Taking {
                nonce,
                looking: Some(after),
                ..
            } if id > *after => match self.owner.as_ref().map(|owner| owner.nonce) {
                Some(owner) if owner == *nonce => self.taken(seen.term),
                _ => self.role = Role::Following,
            },
            Role::Leading(_) => self.looked_leading(id, seen),
            Role::Taking { .. } | Role::Following => {}
        }
        self.tell_leader();
        self.look_for_snapshot(id, next);
        self.confirm_reads(next);
    }

    fn read_records(&mut self, head: &Head) -> Result<(), RecordError> {
        self.newest = head.snapshot.as_deref().map(str::parse).transpose()?;
        self.owner = head.owner.as_deref().map(str::parse).transpose()?;
        Ok(())
    }

    /// Tells whom this node follows, if that is news.
    pub(super) fn tell_leader(&mut self) {
        let Some(head) = self.head.as_ref().filter(|_| self.term() == 0) else {
            return;
        };
        let leadership = match &self.owner {
            // It was, or will soon be, this node.
            Some(owner) if owner.name == self.config.node => return,
            Some(owner) => Leadership::Following {
                leader: owner.name.clone(),
                epoch: head.seen.term,
            },
            None => Leadership::Nobody,
        };
        if self.told.as_ref() != Some(&leadership) {
            self.told = Some(leadership.clone());
            self.steps.push(Step::Leadership(leadership));
        }
    }

    pub(super) fn taken(&mut self, term: u64) {
        if let Role::Taking { nonce, asked, .. } = self.role {
            self.role = Role::Leading(Box::new(Lead::new(nonce, term, asked, self.next_ask)));
            self.follow.look = true;
        }
    }

    /// Where blocks that this node wants are gone, a snapshot must hold them.
    fn look_for_snapshot(&mut self, id: u64, next: u64) {
        let applied = self.position.next;
        let newer = self.newest.filter(|it| it.position.next > applied);
        let wanted = applied == 0 || self.follow.gap.is_some_and(|gap| id >= gap);
        if !wanted || next <= applied || self.follow.restore.is_some() {
            return;
        }
        let missing = self.follow.gap.take().is_some();
        match newer {
            Some(snapshot) if snapshot.bytes > self.config.snapshot_bytes_max => {
                let what = format!(
                    "it has {} bytes, this node takes {}",
                    snapshot.bytes, self.config.snapshot_bytes_max
                );
                self.fail(LogError::Snapshot {
                    id: snapshot.id,
                    what,
                });
            }
            Some(Snapshot { id, position, .. })
                if position.next > next || position.index >= u64::MAX / 2 =>
            {
                let what = format!(
                    "it goes up to block {} and command {}, the log to block {next}",
                    position.next, position.index
                );
                self.fail(LogError::Snapshot { id, what });
            }
            Some(snapshot) if snapshot.pieces == 0 => self.fail(LogError::Snapshot {
                id: snapshot.id,
                what: "it has no pieces".to_owned(),
            }),
            Some(snapshot) => {
                self.follow.restore = Some(Restore {
                    snapshot,
                    pieces: Vec::new(),
                    bytes: 0,
                });
            }
            None if missing => self.fail(LogError::Missing {
                number: applied,
                next,
            }),
            None => {}
        }
    }

    pub(super) fn piece(&mut self, piece: Option<Bytes>) {
        let Some(restore) = &mut self.follow.restore else {
            return;
        };
        let Some(piece) = piece else {
            // A newer snapshot has taken its place: a look shows it.
            self.follow.restore = None;
            self.follow.gap = Some(self.next_ask);
            self.follow.look = true;
            return;
        };
        restore.bytes += piece.len() as u64;
        restore.pieces.push(piece);
        let Snapshot {
            id,
            pieces,
            bytes,
            checksum,
            position,
        } = restore.snapshot;
        let wrong = |what: String| LogError::Snapshot { id, what };
        if restore.bytes > bytes {
            let what = format!("its pieces have more than its {bytes} bytes");
            return self.fail(wrong(what));
        }
        if restore.pieces.len() as u64 != u64::from(pieces) {
            return;
        }
        let Some(Restore {
            snapshot, pieces, ..
        }) = self.follow.restore.take()
        else {
            return;
        };
        let computed = checksum_of(&pieces);
        if computed != checksum {
            let what = format!("its checksum is {checksum:08x}, its pieces' {computed:08x}");
            return self.fail(wrong(what));
        }
        self.position = position;
        self.since_snapshot = 0;
        self.follow.gap = None;
        self.steps.push(Step::Restore { snapshot, pieces });
        self.release_reads();
    }

    pub(super) fn tail(&mut self, blocks: &[Bytes]) {
        if blocks.is_empty() {
            if self.follow.tail_from != self.position.next {
                // A snapshot was restored since.
                return;
            }
            self.follow.gap = Some(self.next_ask);
            self.follow.look = true;
            return;
        }
        self.follow.gap = None;
        // What this node appended itself since it asked, it has applied.
        if matches!(&self.role, Role::Leading(lead) if lead.knows_the_end()) {
            return;
        }
        for bytes in blocks {
            let number = self.position.next;
            let (block, checksum) = match Block::read(bytes) {
                Ok(read) => read,
                Err(error) => return self.fail(LogError::Block { number, error }),
            };
            if block.number < number {
                continue;
            }
            if let Err(what) = self.position.check(&block) {
                return self.fail(LogError::Chain { number, what });
            }
            self.apply(block, checksum, bytes.len(), Vec::new());
        }
        self.release_reads();
    }

    pub(super) fn apply(&mut self, block: Block, checksum: u32, bytes: usize, tickets: Vec<u64>) {
        self.position = Position::after(&block, checksum);
        self.since_snapshot += bytes as u64;
        self.steps.push(Step::Apply { block, tickets });
    }
}

/// CRC-32C of pieces in order.
pub(super) fn checksum_of(pieces: &[Bytes]) -> u32 {
    let begin = crc32c::crc32c(&[]);
    pieces
        .iter()
        .fold(begin, |crc, piece| crc32c::crc32c_append(crc, piece))
}
