//! The queue of writes on disks that are full from time to time, and lose power.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use diwan_raft::{Entry, HardState, LogId, Payload, Write};
use diwan_replica::WriteQueue;
use diwan_sim::{Random, SimDisk};
use diwan_wal::{GroupId, Options, Wal};

const OPTIONS: Options = Options {
    segment_bytes: 512 << 10,
    salt: 1,
};

/// What a group has asked for, and what it was told.
#[derive(Clone, Default)]
struct Asked {
    sequence: u64,
    term: u64,
    last: u64,
    compacted: u64,
    /// By sequence: term, last entry.
    writes: BTreeMap<u64, (u64, u64)>,
    durable: u64,
    hard_state: u64,
}

impl Asked {
    fn stable(&self) -> u64 {
        self.writes.get(&self.durable).map_or(0, |(_, last)| *last)
    }

    fn write(&mut self, random: &mut Random) -> Write {
        self.sequence += 1;
        let hard_state = random.chance(1, 3).then(|| {
            self.term += 1;
            HardState {
                term: self.term,
                vote: None,
            }
        });
        let first = self.last + 1;
        let many = if random.chance(1, 20) { 60 } else { 4 };
        self.last += random.below(many);
        let append = (first..=self.last).map(|index| Entry {
            id: LogId { term: 1, index },
            payload: Payload::Data(vec![index as u8; random.below(6000) as usize].into()),
        });
        let append = append.collect();
        let compact = (random.chance(1, 40) && self.stable() > self.compacted).then(|| {
            self.compacted = self.stable();
            LogId {
                term: 1,
                index: self.compacted,
            }
        });
        self.writes.insert(self.sequence, (self.term, self.last));
        Write {
            sequence: self.sequence,
            hard_state,
            reset: None,
            append,
            compact,
        }
    }
}

/// What was told durable is there after a crash; no term is ever forgotten; and with room everything gets done.
fn run(seed: u64) -> (u64, u64) {
    let mut random = Random::new(seed);
    let mut disk = SimDisk::new(seed);
    let (mut wal, _) = Wal::open(disk.clone(), OPTIONS).unwrap();
    let mut queue = WriteQueue::new(16 << 10);
    let mut groups = vec![Asked::default(); 3];
    let (mut full, mut ahead) = (0, 0);
    for step in 0..600 {
        match random.below(60) {
            0 => disk.set_capacity(Some(disk.used_bytes() + random.below(300_000))),
            1 => disk.set_capacity(None),
            _ => {
                let nth = random.below(3) as usize;
                queue.push(GroupId(nth as u64), groups[nth].write(&mut random));
            }
        }
        let flushed = queue.flush(&mut wal).unwrap();
        // Before the sync: of what was flushed a part may be there.
        if random.chance(1, 60) {
            disk = disk.crash();
            let (opened, recovery) = Wal::open(disk.clone(), OPTIONS).unwrap();
            for (nth, group) in groups.iter_mut().enumerate() {
                let found = recovery.groups.get(&GroupId(nth as u64));
                let term = found
                    .and_then(|it| it.hard_state.as_ref())
                    .map_or(0, |it| it.term);
                let last = found.map_or(0, |it| it.last.index);
                let known = group.writes.get(&group.hard_state.max(group.durable));
                let (promised, _) = known.copied().unwrap_or_default();
                assert!(
                    term >= promised,
                    "seed {seed}, step {step}: term {term} < {promised}"
                );
                assert!(last >= group.stable(), "seed {seed}, step {step}: {last}");
                // A new life of the group goes on from what was found.
                *group = Asked {
                    term,
                    last,
                    compacted: found.map_or(0, |it| it.compacted.index),
                    writes: [(0, (term, last))].into(),
                    ..Asked::default()
                };
            }
            wal = opened;
            queue = WriteQueue::new(16 << 10);
            continue;
        }
        wal.sync().unwrap();
        wal.maintain(128 << 10).unwrap();
        full += u64::from(queue.is_full());
        for (id, sequence) in flushed.groups {
            groups[id.0 as usize].durable = sequence;
        }
        for (id, sequence) in flushed.hard_states {
            groups[id.0 as usize].hard_state = sequence;
            ahead += 1;
        }
    }
    disk.set_capacity(None);
    for _ in 0..3 {
        wal.maintain(1 << 20).unwrap();
        let flushed = queue.flush(&mut wal).unwrap();
        wal.sync().unwrap();
        for (id, sequence) in flushed.groups {
            groups[id.0 as usize].durable = sequence;
        }
    }
    assert!(
        groups.iter().all(|group| group.durable == group.sequence),
        "seed {seed}"
    );
    (full, ahead)
}

#[test]
fn nothing_promised_is_lost_on_full_disks() {
    let (mut full, mut ahead) = (0, 0);
    for seed in 0..60 {
        let seen = run(seed);
        full += seen.0;
        ahead += seen.1;
    }
    assert!(full > 1000 && ahead > 1000, "{full} {ahead}");
}
