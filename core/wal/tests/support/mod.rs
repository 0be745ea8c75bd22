//! A model of what a log should hold, and scripts that change log and model alike.
#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests")]

use std::collections::BTreeMap;

use bytes::Bytes;
use diwan_sim::{Random, SimDisk};
use diwan_wal::{Batch, Entry, GroupId, LogPoint, Options, Recovery, Wal};

pub const OPTIONS: Options = Options {
    segment_bytes: 32 << 10,
    salt: 0x5a17,
};

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Group {
    pub hard_state: Option<(u64, Vec<u8>)>,
    pub base: LogPoint,
    pub entries: BTreeMap<u64, Entry>,
}

impl Group {
    pub fn last(&self) -> u64 {
        let last = self.entries.last_key_value();
        last.map_or(self.base.index, |(&index, _)| index)
    }
}

/// Everything a log should hold.
pub type Model = BTreeMap<u64, Group>;

/// A change, relative to what there is, so that it is always valid.
#[derive(Clone, Debug)]
pub enum Op {
    HardState {
        group: u64,
        term: u64,
        vote: usize,
    },
    /// Goes `back` from the end, then appends `count` entries of `bytes`.
    Append {
        group: u64,
        back: u64,
        count: u64,
        bytes: usize,
        term: u64,
    },
    Compact {
        group: u64,
        ahead: u64,
    },
    Reset {
        group: u64,
        index: u64,
        term: u64,
    },
    Remove {
        group: u64,
    },
}

#[derive(Clone, Debug)]
pub enum Step {
    Write(Vec<Op>),
    Sync,
    Maintain(u64),
}

impl Op {
    fn group(&self) -> u64 {
        match *self {
            Op::HardState { group, .. }
            | Op::Append { group, .. }
            | Op::Compact { group, .. }
            | Op::Reset { group, .. }
            | Op::Remove { group } => group,
        }
    }

    /// Data depends on the place alone, so that what a crash lost is written again with the same bytes.
    pub fn apply(&self, model: &mut Model, batch: &mut Batch) {
        match *self {
            Op::HardState { group, term, vote } => {
                let vote = vec![term as u8; vote];
                batch.hard_state(GroupId(group), term, &vote);
                model.entry(group).or_default().hard_state = Some((term, vote));
            }
            Op::Append {
                group,
                back,
                count,
                bytes,
                term,
            } => {
                let known = model.entry(group).or_default();
                let first = known.last().saturating_sub(back).max(known.base.index) + 1;
                known.entries.split_off(&first);
                let entries: Vec<Entry> = (first..first + count)
                    .map(|index| Entry {
                        index,
                        term,
                        kind: index as u8,
                        data: Bytes::from(vec![(index ^ term) as u8; bytes]),
                    })
                    .collect();
                batch.append(GroupId(group), first, &entries);
                let entries = entries.into_iter().map(|entry| (entry.index, entry));
                known.entries.extend(entries);
            }
            Op::Compact { group, ahead } => {
                let known = model.entry(group).or_default();
                let index = (known.base.index + ahead).min(known.last());
                let term = known
                    .entries
                    .get(&index)
                    .map_or(known.base.term, |entry| entry.term);
                batch.compact(GroupId(group), index, term);
                known.entries = known.entries.split_off(&(index + 1));
                known.base = LogPoint { index, term };
            }
            Op::Reset { group, index, term } => {
                batch.reset(GroupId(group), index, term);
                let known = model.entry(group).or_default();
                known.entries.clear();
                known.base = LogPoint { index, term };
            }
            Op::Remove { group } => {
                batch.remove(GroupId(group));
                model.remove(&group);
            }
        }
        if let Some(group) = model.get(&self.group())
            && *group == Group::default()
        {
            model.remove(&self.group());
        }
    }
}

pub fn random_op(random: &mut Random, groups: u64) -> Op {
    let group = random.below(groups);
    // Four operations of four entries fit a segment.
    let bytes_max = if random.chance(1, 6) { 1400 } else { 200 };
    match random.below(20) {
        0..4 => Op::HardState {
            group,
            term: 1 + random.below(9),
            vote: random.below(20) as usize,
        },
        4..15 => Op::Append {
            group,
            back: if random.chance(1, 4) {
                random.below(6)
            } else {
                0
            },
            count: random.below(5),
            bytes: random.below(bytes_max) as usize,
            term: 1 + random.below(4),
        },
        15..18 => Op::Compact {
            group,
            ahead: random.below(12),
        },
        18 => Op::Reset {
            group,
            index: 1 + random.below(50),
            term: 1 + random.below(4),
        },
        _ => Op::Remove { group },
    }
}

pub fn random_script(random: &mut Random, steps: u64, groups: u64) -> Vec<Step> {
    (0..steps)
        .map(|_| match random.below(10) {
            0..6 => Step::Write(
                (0..1 + random.below(4))
                    .map(|_| random_op(random, groups))
                    .collect(),
            ),
            6..9 => Step::Sync,
            _ => Step::Maintain(1 + random.below(40_000)),
        })
        .collect()
}

/// What the log holds, as recovery told it and as the reader reads it.
pub fn observed(wal: &Wal<SimDisk>, recovery: &Recovery) -> Model {
    let reader = wal.reader();
    let mut model = Model::new();
    for (&id, found) in &recovery.groups {
        let from = found.compacted.index + 1;
        let to = found.last.index + 1;
        let mut group = Group {
            hard_state: found
                .hard_state
                .clone()
                .map(|state| (state.term, state.vote.to_vec())),
            base: found.compacted,
            entries: BTreeMap::new(),
        };
        for entry in reader.read(id, from..to, u64::MAX).unwrap() {
            let run = found.terms.iter().rev().find(|run| run.0 <= entry.index);
            assert_eq!(run.unwrap().1, entry.term, "runs of terms");
            group.entries.insert(entry.index, entry);
        }
        model.insert(id.0, group);
    }
    model
}

/// Whether the readers see what the model says, without opening again.
pub fn assert_reads(wal: &Wal<SimDisk>, model: &Model) {
    let reader = wal.reader();
    for (&id, group) in model {
        let (base, last) = reader.bounds(GroupId(id));
        assert_eq!((base, last.index), (group.base, group.last()), "group {id}");
        let read = reader
            .read(GroupId(id), base.index + 1..last.index + 1, u64::MAX)
            .unwrap();
        assert_eq!(read, Vec::from_iter(group.entries.values().cloned()));
    }
}

/// Maintains the log until there is nothing left to do.
pub fn settle(wal: &mut Wal<SimDisk>) {
    for _ in 0..1000 {
        let done = wal.maintain(1 << 20).unwrap();
        if done.awaits_sync {
            wal.sync().unwrap();
        } else if !done.more {
            return;
        }
    }
    panic!("maintenance never ends: {:?}", wal.stats());
}

/// The same files on a disk of their own.
pub fn copy(disk: &SimDisk) -> SimDisk {
    let copy = SimDisk::new(0);
    for name in disk.names() {
        copy.put(&name, &disk.content(&name).unwrap());
    }
    copy
}
