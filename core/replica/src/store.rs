//! A group's durable half as the write-ahead log keeps it.

use diwan_raft::{
    Configuration, Entry, HardState, LogId, LogState, PeerId, SnapshotMeta, Start, Write,
};
use diwan_wal::{Batch, File, GroupId, Reader, RecoveredGroup};

use crate::wire::{self, CONFIGURATION_KIND, WireError};

/// Bytes of entries read at once while configurations are looked for.
const SCAN_BYTES: u64 = 4 << 20;

/// Why a group cannot start from its disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The write-ahead log.
    #[error(transparent)]
    Wal(#[from] diwan_wal::Error),
    /// What lies in the write-ahead log is no entry of ours.
    #[error("the write-ahead log holds what is no entry: {0}")]
    Entry(#[from] WireError),
    /// A vote for nobody.
    #[error("the write-ahead log holds a vote for `{0}`, which is no peer")]
    Vote(String),
    /// Entries are compacted that no snapshot holds.
    #[error(
        "the log begins after entry {compacted}, and the snapshot ends at {snapshot}: a snapshot is missing"
    )]
    SnapshotMissing {
        /// The last compacted entry.
        compacted: u64,
        /// The last entry of the snapshot that is there, 0 if there is none.
        snapshot: u64,
    },
}

/// Adds `write` to a batch.
pub fn add_to_batch(batch: &mut Batch, group: GroupId, write: &Write) {
    if let Some(hard_state) = &write.hard_state {
        let vote = hard_state
            .vote
            .as_ref()
            .map(PeerId::to_string)
            .unwrap_or_default();
        batch.hard_state(group, hard_state.term, vote.as_bytes());
    }
    if let Some(reset) = write.reset {
        batch.reset(group, reset.index, reset.term);
    }
    if let Some(first) = write.append.first() {
        let entries: Vec<diwan_wal::Entry> = write.append.iter().map(to_disk).collect();
        batch.append(group, first.id.index, &entries);
    }
    if let Some(compact) = write.compact {
        batch.compact(group, compact.index, compact.term);
    }
}

/// What a full disk still takes of writes that wait for room, as one write with the last one's sequence: the newest term and
/// vote, the newest beginning of the log, and what may go. None if they hold nothing but entries.
///
/// It may become durable before the entries: an entry that is cut by a later write, or lies before a later beginning, is not
/// missed; and what may go was durable before any of these entries was asked for. Once it is durable,
/// [`keep_entries`] and [`diwan_raft::Raft::persisted_without_entries`].
pub fn without_entries(writes: &[Write]) -> Option<Write> {
    let last = writes.last()?;
    let begins = writes.iter().rposition(|write| write.reset.is_some());
    let write = Write {
        sequence: last.sequence,
        hard_state: writes.iter().rev().find_map(|it| it.hard_state.clone()),
        reset: begins.and_then(|at| writes[at].reset),
        append: Vec::new(),
        compact: writes[begins.unwrap_or(0)..]
            .iter()
            .rev()
            .find_map(|it| it.compact),
    };
    let some = write.hard_state.is_some() || write.reset.is_some() || write.compact.is_some();
    some.then_some(write)
}

/// Leaves only the entries in writes that wait for room, and only those after the newest beginning of the log.
pub fn keep_entries(writes: &mut [Write]) {
    if let Some(begins) = writes.iter().rposition(|write| write.reset.is_some()) {
        for write in &mut writes[..begins] {
            write.append.clear();
        }
    }
    for write in writes {
        (write.hard_state, write.reset, write.compact) = (None, None, None);
    }
}

fn to_disk(entry: &Entry) -> diwan_wal::Entry {
    let (kind, data) = wire::entry_to_disk(entry);
    diwan_wal::Entry {
        index: entry.id.index,
        term: entry.id.term,
        kind,
        data,
    }
}

fn from_disk(entry: diwan_wal::Entry) -> Result<Entry, WireError> {
    wire::entry_from_disk(
        LogId {
            term: entry.term,
            index: entry.index,
        },
        entry.kind,
        entry.data,
    )
}

/// Reads entries back, as many as `bytes_max` allows and at least one; none if the log has moved on meanwhile.
/// # Errors
/// They are damaged.
pub fn read_back<F: File>(
    reader: &Reader<F>,
    group: GroupId,
    low: u64,
    high: u64,
    bytes_max: u64,
) -> Result<Vec<Entry>, StoreError> {
    match reader.read(group, low..high + 1, bytes_max) {
        Ok(entries) => entries
            .into_iter()
            .map(|entry| Ok(from_disk(entry)?))
            .collect(),
        // The log moved on since the entries were asked for: the core asks again for what it still needs.
        Err(diwan_wal::Error::Compacted { .. } | diwan_wal::Error::Gap { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// What a group starts from: what the log recovered, and the snapshot that its state machine has loaded.
/// # Errors
/// The two do not fit together, or the log is damaged.
pub fn start<F: File>(
    reader: &Reader<F>,
    group: GroupId,
    recovered: Option<&RecoveredGroup>,
    snapshot: Option<SnapshotMeta>,
) -> Result<Start, StoreError> {
    let Some(recovered) = recovered else {
        return Ok(Start {
            snapshot,
            ..Start::default()
        });
    };
    let compacted = LogId {
        term: recovered.compacted.term,
        index: recovered.compacted.index,
    };
    let held = snapshot.as_ref().map_or(0, |snapshot| snapshot.last.index);
    if compacted.index > held {
        return Err(StoreError::SnapshotMissing {
            compacted: compacted.index,
            snapshot: held,
        });
    }
    let hard_state = match &recovered.hard_state {
        Some(state) => HardState {
            term: state.term,
            vote: vote(&state.vote)?,
        },
        None => HardState::default(),
    };
    let last = recovered.last.index;
    let mut configurations: Vec<(u64, Configuration)> = snapshot
        .iter()
        .map(|snapshot| (snapshot.last.index, snapshot.configuration.clone()))
        .collect();
    let mut next = compacted.index + 1;
    while next <= last {
        let entries = reader.read(group, next..last + 1, SCAN_BYTES)?;
        let Some(end) = entries.last().map(|entry| entry.index) else {
            break;
        };
        for entry in entries
            .into_iter()
            .filter(|entry| entry.kind == CONFIGURATION_KIND)
        {
            if let Entry {
                id,
                payload: diwan_raft::Payload::Configuration(configuration),
            } = from_disk(entry)?
            {
                configurations.push((id.index, Configuration::clone(&configuration)));
            }
        }
        next = end + 1;
    }
    configurations.sort_by_key(|(index, _)| *index);
    let log = LogState {
        compacted,
        last,
        terms: recovered.terms.clone(),
        configurations,
    };
    Ok(Start {
        hard_state,
        log,
        snapshot,
    })
}

fn vote(vote: &[u8]) -> Result<Option<PeerId>, StoreError> {
    if vote.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(vote);
    text.parse()
        .map(Some)
        .map_err(|_| StoreError::Vote(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use diwan_raft::Payload;

    use super::*;

    /// What the writes so far have left: term, beginning of the log, entries.
    #[derive(Clone, Default, PartialEq, Debug)]
    struct Disk {
        term: u64,
        compacted: u64,
        entries: Vec<LogId>,
    }

    impl Disk {
        fn write(&mut self, write: &Write) {
            if let Some(hard_state) = &write.hard_state {
                self.term = hard_state.term;
            }
            if let Some(reset) = write.reset {
                self.compacted = reset.index;
                self.entries.clear();
            }
            if let Some(first) = write.append.first() {
                self.entries.retain(|id| id.index < first.id.index);
                let last = self.entries.last().map_or(self.compacted, |id| id.index);
                assert_eq!(first.id.index, last + 1, "a gap");
            }
            self.entries
                .extend(write.append.iter().map(|entry| entry.id));
            if let Some(compact) = write.compact {
                self.compacted = self.compacted.max(compact.index);
                self.entries.retain(|id| id.index > compact.index);
            }
        }
    }

    fn write(sequence: u64) -> Write {
        Write {
            sequence,
            hard_state: None,
            reset: None,
            append: Vec::new(),
            compact: None,
        }
    }

    fn append(sequence: u64, term: u64, indexes: std::ops::RangeInclusive<u64>) -> Write {
        let entry = |index| Entry {
            id: LogId { term, index },
            payload: Payload::NoOp,
        };
        Write {
            append: indexes.map(entry).collect(),
            ..write(sequence)
        }
    }

    #[test]
    fn what_goes_through_on_a_full_disk_and_the_entries_later_leave_what_the_writes_would() {
        let hard_state = |sequence, term| Write {
            hard_state: Some(HardState { term, vote: None }),
            ..write(sequence)
        };
        let reset = |sequence, index| Write {
            reset: Some(LogId { term: 3, index }),
            ..write(sequence)
        };
        let compact = |sequence, index| Write {
            compact: Some(LogId { term: 1, index }),
            ..write(sequence)
        };
        let cases: [(Vec<Write>, u64, u64); 5] = [
            (vec![append(2, 1, 5..=6), append(3, 1, 7..=7)], 0, 0),
            (
                vec![
                    append(2, 1, 5..=6),
                    hard_state(3, 2),
                    append(4, 2, 6..=8),
                    hard_state(5, 3),
                ],
                3,
                0,
            ),
            (
                vec![
                    append(2, 1, 5..=6),
                    compact(3, 2),
                    append(4, 1, 7..=7),
                    compact(5, 3),
                ],
                0,
                3,
            ),
            (
                vec![
                    append(2, 1, 5..=6),
                    compact(3, 4),
                    reset(4, 20),
                    append(5, 3, 21..=22),
                    hard_state(6, 4),
                    append(7, 4, 22..=23),
                ],
                4,
                20,
            ),
            (vec![append(2, 1, 5..=6), reset(3, 20)], 0, 20),
        ];
        for (mut writes, term, compacted) in cases {
            let mut disk = Disk::default();
            disk.write(&append(1, 1, 1..=4));
            let mut at_once = disk.clone();
            writes.iter().for_each(|write| at_once.write(write));
            if let Some(first) = without_entries(&writes) {
                assert_eq!(Some(first.sequence), writes.last().map(|it| it.sequence));
                disk.write(&first);
            }
            assert_eq!((disk.term, disk.compacted), (term, compacted));
            keep_entries(&mut writes);
            assert_eq!(without_entries(&writes), None);
            writes.iter().for_each(|write| disk.write(write));
            assert_eq!(disk, at_once);
        }
    }
}
