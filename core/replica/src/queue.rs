//! Writes of all groups on their way into the log, and what becomes of them while the disk is full.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use diwan_raft::{Entry, Write};
use diwan_wal::{Batch, Directory, Error, GroupId, Wal};

use crate::store;

/// Writes that wait for the log, in order.
///
/// On a full disk entries stay here until there is room: nobody was told of them. What needs little goes ahead by way of
/// the log's reserve, so that a member still votes and still frees what it no longer needs: terms and votes, compactions, and
/// everything of groups that have no entries waiting.
#[derive(Debug)]
pub struct WriteQueue {
    pending: VecDeque<(GroupId, Write)>,
    batch: Batch,
    piece_bytes: u64,
    full: bool,
}

/// What one [`WriteQueue::flush`] has written. It is durable after the next sync of the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Everything of these groups up to these sequences: tell [`diwan_raft::Raft::persisted`].
    pub groups: BTreeMap<GroupId, u64>,
    /// Terms and votes of these groups up to these sequences, while entries wait: tell
    /// [`diwan_raft::Raft::hard_state_persisted`].
    pub hard_states: BTreeMap<GroupId, u64>,
    /// How many bytes went to the log.
    pub bytes: u64,
}

impl WriteQueue {
    /// An empty queue. A batch is written once it has `piece_bytes`; with the largest entry on top it must fit into a segment.
    pub fn new(piece_bytes: u64) -> Self {
        Self {
            pending: VecDeque::new(),
            batch: Batch::new(),
            piece_bytes,
            full: false,
        }
    }

    /// Takes a write of a group.
    pub fn push(&mut self, group: GroupId, write: Write) {
        let weight: usize = write.append.iter().map(Entry::weight).sum();
        if weight as u64 <= self.piece_bytes {
            self.pending.push_back((group, write));
        } else {
            let pieces = pieces(write, self.piece_bytes);
            self.pending
                .extend(pieces.into_iter().map(|piece| (group, piece)));
        }
    }

    /// Whether the last flush found the disk full. Try again when [`Wal::maintain`] may have found room.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Writes what can be written.
    /// # Errors
    /// The log failed, and the node must stop. A full disk is no error here.
    pub fn flush<D: Directory>(&mut self, wal: &mut Wal<D>) -> Result<Flushed, Error> {
        let mut flushed = Flushed::default();
        self.full = false;
        while !self.pending.is_empty() {
            self.batch.clear();
            let mut count = 0;
            for (group, write) in &self.pending {
                if self.batch.bytes() > self.piece_bytes {
                    break;
                }
                store::add_to_batch(&mut self.batch, *group, write);
                count += 1;
            }
            let bytes = self.batch.bytes();
            match wal.write(&mut self.batch) {
                Ok(_) => {}
                Err(Error::Full) => {
                    self.full = true;
                    self.write_ahead(wal, &mut flushed)?;
                    break;
                }
                Err(error) => return Err(error),
            }
            flushed.bytes += bytes;
            for (group, write) in self.pending.drain(..count) {
                flushed.groups.insert(group, write.sequence);
            }
        }
        // A write of which a piece waits is not done.
        for (group, write) in &self.pending {
            if flushed.groups.get(group) == Some(&write.sequence) {
                flushed.groups.insert(*group, write.sequence - 1);
            }
        }
        Ok(flushed)
    }

    /// Entries that wait are not missed where the group's log begins anew in a later write.
    fn drop_what_a_reset_replaces(&mut self) {
        let mut resets = BTreeSet::new();
        for (group, write) in self.pending.iter_mut().rev() {
            if resets.contains(group) {
                write.append.clear();
            }
            if write.reset.is_some() {
                resets.insert(*group);
            }
        }
    }

    /// Writes what needs no room for entries.
    fn write_ahead<D: Directory>(
        &mut self,
        wal: &mut Wal<D>,
        flushed: &mut Flushed,
    ) -> Result<(), Error> {
        self.drop_what_a_reset_replaces();
        let mut waiting = BTreeMap::<GroupId, Waiting>::new();
        let mut whole = Vec::new();
        self.batch.clear();
        for (group, write) in &self.pending {
            let is_whole = write.append.is_empty() && !waiting.contains_key(group);
            whole.push(is_whole);
            if is_whole {
                store::add_to_batch(&mut self.batch, *group, write);
                continue;
            }
            let waiting = waiting.entry(*group).or_default();
            waiting.newest = write.sequence;
            waiting.resets |= write.reset.is_some();
            let ahead = Write {
                sequence: write.sequence,
                hard_state: write.hard_state.clone(),
                reset: None,
                append: Vec::new(),
                // What is compacted was durable before it was applied, so no entry that waits comes before it.
                compact: write.compact.filter(|_| !waiting.resets),
            };
            store::add_to_batch(&mut self.batch, *group, &ahead);
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let bytes = self.batch.bytes();
        match wal.write(&mut self.batch) {
            Ok(_) => {}
            // Even the reserve is used up.
            Err(Error::Full) => return Ok(()),
            Err(error) => return Err(error),
        }
        flushed.bytes += bytes;
        for ((group, mut write), whole) in std::mem::take(&mut self.pending).into_iter().zip(whole)
        {
            if whole {
                flushed.groups.insert(group, write.sequence);
                continue;
            }
            // Written again behind a newer one, an old vote would count for more than it.
            write.hard_state = None;
            if waiting.get(&group).is_some_and(|waiting| !waiting.resets) {
                write.compact = None;
            }
            self.pending.push_back((group, write));
        }
        let newest = waiting
            .into_iter()
            .map(|(group, waiting)| (group, waiting.newest));
        flushed.hard_states = newest.collect();
        Ok(())
    }
}

/// What waits of a group: the newest write, and whether its log begins anew in one.
#[derive(Default)]
struct Waiting {
    newest: u64,
    resets: bool,
}

/// Cuts a write with many entries. If only the first pieces outlive a crash, the log just ends earlier: nothing was promised
/// before the sync that comes after all of them.
fn pieces(mut write: Write, bytes_max: u64) -> Vec<Write> {
    let entries = std::mem::take(&mut write.append);
    let compact = write.compact.take();
    let sequence = write.sequence;
    let mut done = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        if bytes > bytes_max {
            bytes = 0;
            let next = Write {
                sequence,
                hard_state: None,
                reset: None,
                append: Vec::new(),
                compact: None,
            };
            done.push(std::mem::replace(&mut write, next));
        }
        bytes += entry.weight() as u64;
        write.append.push(entry);
    }
    write.compact = compact;
    done.push(write);
    done
}

#[cfg(test)]
mod tests {
    use diwan_raft::{Entry, HardState, LogId, Payload};

    use super::*;

    #[test]
    fn a_write_is_cut_between_entries_and_keeps_its_order() {
        let entry = |index| Entry {
            id: LogId { term: 1, index },
            payload: Payload::Data(vec![0; 1000].into()),
        };
        let hard_state = HardState {
            term: 1,
            vote: None,
        };
        let write = Write {
            sequence: 7,
            hard_state: Some(hard_state.clone()),
            reset: None,
            append: (1..=10).map(entry).collect(),
            compact: Some(LogId { term: 1, index: 3 }),
        };
        let pieces = pieces(write.clone(), 2500);
        let entries: Vec<Entry> = pieces
            .iter()
            .flat_map(|piece| piece.append.clone())
            .collect();
        assert_eq!(entries, write.append);
        assert_eq!(
            pieces
                .iter()
                .map(|piece| piece.append.len())
                .collect::<Vec<_>>(),
            [3, 3, 3, 1]
        );
        assert_eq!(pieces[0].hard_state, Some(hard_state));
        assert!(pieces[1..].iter().all(|piece| piece.hard_state.is_none()));
        assert!(pieces[..3].iter().all(|piece| piece.compact.is_none()));
        assert_eq!(pieces[3].compact, write.compact);
    }
}
