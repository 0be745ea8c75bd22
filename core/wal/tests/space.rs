//! How much disk the log takes, and what it does when there is no more.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use bytes::Bytes;
use diwan_sim::{Random, SimDisk};
use diwan_wal::{Batch, Entry, Error, GroupId, Options, Wal};

use support::{Model, Op, assert_reads, copy, observed, settle};

/// Large enough for the segments' headers to play no part.
const LARGER: Options = Options {
    segment_bytes: 256 << 10,
    salt: 1,
};

/// An entry that fills a block together with the headers.
const DENSE_BYTES: usize = 4096 - 64 - 36;

fn entry(index: u64, bytes: usize) -> Entry {
    Entry {
        index,
        term: 1,
        kind: 0,
        data: Bytes::from(vec![index as u8; bytes]),
    }
}

/// Ten thousand groups have entries and a vote and then stay silent; one goes on writing and compacting. Disk use stays within
/// twice the live bytes and four segments, and nothing of the silent groups is lost, through openings and power loss.
#[test]
fn ten_thousand_groups_of_which_one_writes() {
    let options = LARGER;
    let disk = SimDisk::new(1);
    let (mut wal, _) = Wal::open(disk.clone(), options).unwrap();
    let mut model = Model::new();
    let mut batch = Batch::new();
    for group in 1..=10_000 {
        Op::HardState {
            group,
            term: 2,
            vote: 5,
        }
        .apply(&mut model, &mut batch);
        Op::Append {
            group,
            back: 0,
            count: group % 4,
            bytes: 40,
            term: 2,
        }
        .apply(&mut model, &mut batch);
        if batch.bytes() > 16_000 {
            wal.write(&mut batch).unwrap();
            wal.sync().unwrap();
            wal.maintain(32_000).unwrap();
        }
    }
    wal.write(&mut batch).unwrap();
    settle(&mut wal);
    let cold = wal.stats();
    assert!(cold.live_bytes > 1_500_000, "{cold:?}");

    let mut hot = 0;
    let (mut rewritten, mut freed) = (0, 0);
    for round in 0..3 {
        for _ in 0..600 {
            let entries: Vec<Entry> = (hot + 1..=hot + 20)
                .map(|index| entry(index, 700))
                .collect();
            batch.append(GroupId(0), hot + 1, &entries);
            hot += 20;
            if hot > 40 {
                batch.compact(GroupId(0), hot - 40, 1);
            }
            let bytes = batch.bytes();
            wal.write(&mut batch).unwrap();
            wal.sync().unwrap();
            // What the driver may do: twice the bytes of the batch.
            let done = wal.maintain(2 * bytes).unwrap();
            if done.awaits_sync {
                wal.sync().unwrap();
                wal.maintain(0).unwrap();
            }
            let stats = wal.stats();
            let bound = 2 * stats.live_bytes + 4 * u64::from(options.segment_bytes);
            assert!(stats.disk_bytes <= bound, "{stats:?}");
            assert!(disk.used_bytes() <= bound, "{} {bound}", disk.used_bytes());
        }
        let stats = wal.stats();
        assert_eq!(disk.used_bytes(), stats.disk_bytes);
        println!("{stats:?}");
        rewritten += stats.rewritten_bytes;
        freed += stats.segments_freed;
        assert!(
            stats.rewritten_bytes < stats.written_bytes * 2 / 3,
            "{stats:?}"
        );
        assert_eq!(stats.stalls, 0, "the next segment was always there");
        // What was written before may be gone if it was not synced; everything was.
        let next = if round == 1 {
            disk.crash()
        } else {
            disk.kill()
        };
        let (reopened, recovery) = Wal::open(next, options).unwrap();
        wal = reopened;
        let mut state = observed(&wal, &recovery);
        assert_eq!(state.remove(&0).unwrap().last(), hot);
        assert!(state == model, "cold groups are as they were");
    }
    println!("{:?}", wal.stats());
    assert!(
        freed > 60 && rewritten > 2 * cold.live_bytes,
        "{freed} {rewritten}"
    );
}

#[test]
fn a_full_disk_refuses_entries_and_nothing_else() {
    let options = LARGER;
    let disk = SimDisk::new(1);
    let (mut wal, _) = Wal::open(disk.clone(), options).unwrap();
    let segment = u64::from(options.segment_bytes);
    disk.set_capacity(Some(6 * segment));
    let mut model = Model::new();
    let mut batch = Batch::new();
    let mut refused_at = None;
    for nth in 0..400 {
        let mut wanted = model.clone();
        Op::Append {
            group: 1,
            back: 0,
            count: 1,
            bytes: DENSE_BYTES,
            term: 1,
        }
        .apply(&mut wanted, &mut batch);
        match wal.write(&mut batch) {
            Ok(_) => model = wanted,
            Err(Error::Full) => {
                batch.clear();
                refused_at = Some(nth);
                break;
            }
            Err(error) => panic!("{error}"),
        }
        wal.sync().unwrap();
        wal.maintain(1 << 20).unwrap();
    }
    let count = refused_at.unwrap();
    assert!(count > 250, "{count}");
    assert!(wal.stats().full && disk.counts().writes_refused_full > 0);
    // Hard state goes through, many times, by the reserve; entries are refused throughout, and reading goes on.
    for term in 1..=4 {
        Op::HardState {
            group: 1,
            term,
            vote: 3,
        }
        .apply(&mut model, &mut batch);
        wal.write(&mut batch).unwrap();
        wal.sync().unwrap();
        wal.maintain(1 << 20).unwrap();
        batch.append(GroupId(1), count + 1, &[entry(count + 1, DENSE_BYTES)]);
        assert!(matches!(wal.write(&mut batch), Err(Error::Full)));
        assert!(!batch.is_empty(), "a refused batch stays as it is");
        batch.clear();
        assert_reads(&wal, &model);
    }
    // Until the reserve is used up, too; and even then the log opens.
    let spare = disk.crash();
    let (mut last, _) = Wal::open(copy(&spare), options).unwrap();
    let full = copy(&spare);
    full.set_capacity(Some(full.used_bytes()));
    drop(last);
    (last, _) = Wal::open(full.clone(), options).unwrap();
    let mut written = 0;
    loop {
        batch.hard_state(GroupId(1), 9, b"");
        match last.write(&mut batch) {
            Ok(_) => written += 1,
            Err(Error::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    batch.clear();
    assert!(written > 40, "{written}");
    for _ in 0..8 {
        let (wal, recovery) = Wal::open(full.kill(), options).unwrap();
        let state = recovery.groups[&GroupId(1)].hard_state.clone().unwrap();
        assert_eq!(state.term, 9);
        assert_eq!(wal.stats().spares, 0);
    }
    // So does opening.
    let (reopened, recovery) = Wal::open(spare, options).unwrap();
    wal = reopened;
    assert_eq!(observed(&wal, &recovery), model);
    batch.append(GroupId(1), count + 1, &[entry(count + 1, DENSE_BYTES)]);
    assert!(matches!(wal.write(&mut batch), Err(Error::Full)));
    batch.clear();
    // And truncation and compaction, after which there is room without a larger disk.
    batch.append(GroupId(1), count, &[]);
    model.get_mut(&1).unwrap().entries.remove(&count);
    wal.write(&mut batch).unwrap();
    Op::Compact {
        group: 1,
        ahead: count - 2,
    }
    .apply(&mut model, &mut batch);
    wal.write(&mut batch).unwrap();
    settle(&mut wal);
    wal.sync().unwrap();
    for _ in 0..100 {
        Op::Append {
            group: 1,
            back: 0,
            count: 3,
            bytes: DENSE_BYTES,
            term: 1,
        }
        .apply(&mut model, &mut batch);
        Op::Compact { group: 1, ahead: 3 }.apply(&mut model, &mut batch);
        wal.write(&mut batch).unwrap();
        wal.sync().unwrap();
        settle(&mut wal);
    }
    assert!(!wal.stats().full);
    assert_reads(&wal, &model);
}

#[test]
fn a_full_disk_recovers_when_space_returns() {
    let options = LARGER;
    let disk = SimDisk::new(1);
    disk.set_capacity(Some(5 * u64::from(options.segment_bytes)));
    let (mut wal, _) = Wal::open(disk.clone(), options).unwrap();
    let mut next = 1;
    let mut batch = Batch::new();
    for capacity in [5, 8, 12] {
        disk.set_capacity(Some(capacity * u64::from(options.segment_bytes)));
        settle(&mut wal);
        loop {
            batch.append(GroupId(1), next, &[entry(next, DENSE_BYTES)]);
            match wal.write(&mut batch) {
                Ok(_) => next += 1,
                Err(Error::Full) => break,
                Err(error) => panic!("{error}"),
            }
            wal.sync().unwrap();
            wal.maintain(1 << 20).unwrap();
        }
        batch.clear();
        // The reserve is untouched: that many segments are full.
        let full = capacity - 1;
        assert!(next >= full * 58, "{capacity}: {next}");
    }
}

/// However a log came to its last block on a full disk, it takes entries again when there is room.
#[test]
fn a_log_at_its_last_block_recovers_when_space_returns() {
    let options = Options {
        segment_bytes: 64 << 10,
        salt: 1,
    };
    let mut exhausted = 0;
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let mut disk = SimDisk::new(seed);
        let (mut wal, _) = Wal::open(disk.clone(), options).unwrap();
        let mut model = Model::new();
        let mut batch = Batch::new();
        let capacity = random.between(6, 20) * u64::from(options.segment_bytes);
        disk.set_capacity(Some(capacity));
        // How much of a block lives.
        let dense = random.between(100, 3_400) as usize;
        let mut refused = 0;
        for _ in 0..1_000 {
            let mut wanted = model.clone();
            let op = match random.below(if refused < 30 { 50 } else { 2_000 }) {
                // Votes go on where entries do not, until they do not either.
                50.. => Op::HardState {
                    group: 1 + random.below(6),
                    term: 3,
                    vote: random.below(9) as usize,
                },
                0..2 => Op::Compact {
                    group: 1 + random.below(6),
                    ahead: random.below(4),
                },
                _ => Op::Append {
                    group: 1 + random.below(6),
                    back: 0,
                    count: 1,
                    bytes: dense + random.below(500) as usize,
                    term: 1,
                },
            };
            let votes = matches!(op, Op::HardState { .. });
            op.apply(&mut wanted, &mut batch);
            match wal.write(&mut batch) {
                Ok(_) => model = wanted,
                Err(Error::Full) => {
                    batch.clear();
                    refused += 1;
                    exhausted += u64::from(votes);
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
            wal.sync().unwrap();
            wal.maintain(random.below(32 << 10)).unwrap();
            if random.chance(1, 200) {
                drop(wal);
                disk = disk.kill();
                wal = match Wal::open(disk.clone(), options) {
                    Ok((opened, _)) => opened,
                    // Too many openings.
                    Err(Error::Full) => {
                        disk.set_capacity(None);
                        Wal::open(disk.clone(), options).unwrap().0
                    }
                    Err(error) => panic!("seed {seed}: {error}"),
                };
            }
        }
        disk.set_capacity(None);
        for _ in 0..40 {
            wal.maintain(1 << 20).unwrap();
            wal.sync().unwrap();
        }
        Op::Append {
            group: 9,
            back: 0,
            count: 1,
            bytes: DENSE_BYTES,
            term: 1,
        }
        .apply(&mut model, &mut batch);
        let written = wal.write(&mut batch);
        assert!(
            written.is_ok(),
            "seed {seed}: {written:?}, {:?}",
            wal.stats()
        );
        assert_reads(&wal, &model);
    }
    assert!(exhausted > 1_000, "{exhausted}");
}

/// A log may be opened with segments of another size.
#[test]
fn segments_of_several_sizes() {
    let disk = SimDisk::new(1);
    let mut model = Model::new();
    let mut random = Random::new(9);
    for segment_bytes in [32 << 10, 128 << 10, 24 << 10, 64 << 10] {
        let options = Options {
            segment_bytes,
            salt: segment_bytes.into(),
        };
        let (mut wal, recovery) = Wal::open(disk.kill(), options).unwrap();
        assert_eq!(observed(&wal, &recovery), model);
        let mut batch = Batch::new();
        for _ in 0..100 {
            support::random_op(&mut random, 5).apply(&mut model, &mut batch);
            if batch.bytes() > 4096 {
                match wal.write(&mut batch) {
                    Ok(_) => {}
                    Err(error) => panic!("{error}"),
                }
                wal.sync().unwrap();
                wal.maintain(10_000).unwrap();
            }
        }
        wal.write(&mut batch).unwrap();
        // As large a batch as the options allow.
        let max = segment_bytes as usize - 8192 - 64 - 36;
        let last = model.get(&3).map_or(0, support::Group::last);
        let large = Entry {
            index: last + 1,
            term: 7,
            kind: 0,
            data: vec![9; max].into(),
        };
        batch.append(GroupId(3), last + 1, std::slice::from_ref(&large));
        wal.write(&mut batch).unwrap();
        model.entry(3).or_default().entries.insert(last + 1, large);
        settle(&mut wal);
        assert_reads(&wal, &model);
    }
}
