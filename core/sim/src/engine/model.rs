//! An engine in memory, which keeps `diwan_engine::Request`'s contract and has the faults that it is told to have.

use std::collections::BTreeMap;

use bytes::Bytes;
use diwan_engine::{Failure, Head, Reply, Request, Seen};

use super::Flaw;

/// Blocks and pieces that one request deletes at most.
const CLEAN_MAX: usize = 16;

/// One log in an engine.
#[derive(Clone, Debug, Default)]
pub struct Model {
    term: u64,
    beat: u64,
    next: u64,
    owner: Option<String>,
    snapshot: Option<String>,
    blocks: BTreeMap<u64, Bytes>,
    pieces: BTreeMap<(u64, u32), Bytes>,
    /// Whatever writes is refused.
    pub(super) no_space: bool,
    room_for_one: bool,
    pub(super) flaw: Option<Flaw>,
}

impl Model {
    /// Carries a request out.
    /// # Errors
    /// The engine has no space.
    pub fn carry_out(&mut self, request: Request) -> Result<Reply, Failure> {
        let writes = matches!(
            request,
            Request::Take { .. }
                | Request::Beat { .. }
                | Request::Append { .. }
                | Request::PutPiece { .. }
                | Request::Seal { .. }
        );
        if writes && self.no_space {
            // As etcd's: the first one is applied, and said to have no space.
            if std::mem::take(&mut self.room_for_one) {
                let _applied = self.apply(request);
            }
            return Err(Failure::NoSpace("the model's".into()));
        }
        self.room_for_one = true;
        Ok(self.apply(request))
    }

    fn apply(&mut self, request: Request) -> Reply {
        match request {
            Request::Look => Reply::Head(Head {
                seen: self.seen(),
                owner: self.owner.clone(),
                snapshot: self.snapshot.clone(),
            }),
            Request::Take { seen, owner } => match seen == self.seen() {
                true => {
                    self.term += 1;
                    self.beat += 1;
                    self.owner = Some(owner);
                    Reply::Taken { term: self.term }
                }
                false => Reply::Refused,
            },
            Request::Beat { term } => self.owned(term, |model| {
                model.beat += 1;
                Reply::Done
            }),
            Request::Resign { term } => self.owned(term, |model| {
                model.beat += 1;
                model.owner = None;
                Reply::Done
            }),
            Request::Append {
                term,
                number,
                block,
            } => {
                let owns = self.owns(term) || self.flaw == Some(Flaw::AppendsOfFormerOwners);
                let follows = number == self.next || self.flaw == Some(Flaw::AppendsAnywhere);
                match owns && follows {
                    true => {
                        self.blocks.insert(number, block);
                        self.next = number + 1;
                        Reply::Done
                    }
                    false => Reply::Refused,
                }
            }
            Request::Read { from, bytes_max } => {
                let mut bytes = 0;
                let blocks = (from..u64::MAX).map_while(|number| self.blocks.get(&number));
                let blocks = blocks.take_while(|block| {
                    let first = bytes == 0;
                    bytes += block.len();
                    first || bytes <= bytes_max
                });
                Reply::Blocks(blocks.cloned().collect())
            }
            Request::PutPiece {
                term,
                snapshot,
                piece,
                data,
            } => self.owned(term, |model| {
                model.pieces.insert((snapshot, piece), data);
                Reply::Done
            }),
            Request::Seal {
                term,
                over,
                snapshot,
            } => {
                let stands = over == self.snapshot || self.flaw == Some(Flaw::SealsOverAny);
                self.owned(term, |model| match stands {
                    true => {
                        model.snapshot = Some(snapshot);
                        Reply::Done
                    }
                    false => Reply::Refused,
                })
            }
            Request::GetPiece { snapshot, piece } => {
                Reply::Piece(self.pieces.get(&(snapshot, piece)).cloned())
            }
            Request::Clean { term, keep, below } => {
                self.owned(term, |model| model.clean(keep, below))
            }
        }
    }

    fn seen(&self) -> Seen {
        Seen {
            term: self.term,
            beat: self.beat,
            next: self.next,
        }
    }

    fn owns(&self, term: u64) -> bool {
        self.owner.is_some() && self.term == term
    }

    fn owned(&mut self, term: u64, change: impl FnOnce(&mut Self) -> Reply) -> Reply {
        match self.owns(term) {
            true => change(self),
            false => Reply::Refused,
        }
    }

    fn clean(&mut self, keep: u64, below: u64) -> Reply {
        let old: Vec<u64> = self.blocks.range(..below).map(|it| *it.0).collect();
        let others = self.pieces.keys().copied();
        let wrong = self.flaw == Some(Flaw::CleansOtherSnapshots);
        let others: Vec<(u64, u32)> = others
            .filter(|it| it.0 < keep || wrong && it.0 != keep)
            .collect();
        let more = old.len() > CLEAN_MAX || others.len() > CLEAN_MAX;
        for number in old.iter().take(CLEAN_MAX) {
            self.blocks.remove(number);
        }
        for piece in others.iter().take(CLEAN_MAX) {
            self.pieces.remove(piece);
        }
        Reply::Cleaned { more }
    }

    /// Blocks and pieces that stand in it.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.blocks.len(), self.pieces.len())
    }

    /// Puts other bytes in a block's place, or nothing: as an operator's hand or a bad disk does.
    pub fn damage(&mut self, number: u64, block: Option<Bytes>) {
        match block {
            Some(block) => drop(self.blocks.insert(number, block)),
            None => drop(self.blocks.remove(&number)),
        }
    }

    /// A block as it stands.
    pub fn block(&self, number: u64) -> Option<Bytes> {
        self.blocks.get(&number).cloned()
    }

    /// Puts other bytes in the place of a snapshot's first piece.
    pub fn damage_piece(&mut self, data: Bytes) {
        if let Some(piece) = self.pieces.values_mut().next() {
            *piece = data;
        }
    }

    /// Forgets blocks from `next` on, as an asynchronous replica does that takes over.
    pub fn rewind(&mut self, next: u64) {
        self.blocks.split_off(&next);
        self.next = next;
    }
}
