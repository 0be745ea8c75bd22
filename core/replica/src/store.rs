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
