//! Damage is found, named, and told from a torn tail; failures stop the log; strange directories are refused.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use diwan_sim::{Random, SimDisk};
use diwan_wal::{Batch, Entry, Error, GroupId, Position, Recovery, Wal};

use support::{Model, OPTIONS, Step, copy, observed, random_script};

fn open(disk: &SimDisk) -> Result<(Wal<SimDisk>, Recovery), Error> {
    Wal::open(disk.current(), OPTIONS)
}

/// Runs a script with a sync after each write; returns the state, and where the last batch stands.
fn fill(disk: &SimDisk, script: &[Step]) -> (Model, Position, Position) {
    let (mut wal, _) = open(disk).unwrap();
    let mut model = Model::new();
    let mut batch = Batch::new();
    for step in script {
        match step {
            Step::Write(ops) => {
                ops.iter().for_each(|op| op.apply(&mut model, &mut batch));
                wal.write(&mut batch).unwrap();
            }
            Step::Sync => {}
            Step::Maintain(budget) => drop(wal.maintain(*budget).unwrap()),
        }
        wal.sync().unwrap();
    }
    // The next segment is there, so that it would be noticed if this one were not.
    support::settle(&mut wal);
    wal.sync().unwrap();
    let last = wal.end();
    batch.hard_state(GroupId(99), 1, b"the last batch");
    wal.write(&mut batch).unwrap();
    let end = wal.sync().unwrap();
    if last.segment != end.segment {
        let begin = Position {
            segment: end.segment,
            offset: 8192,
        };
        return (model, begin, end);
    }
    (model, last, end)
}

fn append(index: u64, bytes: usize) -> Batch {
    let mut batch = Batch::new();
    let data = vec![index as u8; bytes].into();
    batch.append(
        GroupId(1),
        index,
        &[Entry {
            index,
            term: 1,
            kind: 0,
            data,
        }],
    );
    batch
}

/// One byte is damaged, anywhere: opening refuses, or nothing that was durable is missing. Only damage to the very last
/// batch looks like a torn tail.
#[test]
fn damage_anywhere_is_found() {
    for seed in 0..8 {
        damage_is_found(seed);
    }
}

fn damage_is_found(seed: u64) {
    let mut random = Random::new(seed);
    let disk = SimDisk::new(seed);
    let (mut model, last, end) = fill(&disk, &random_script(&mut random, 120, 4));
    let without_last = model.clone();
    let batch = &mut Batch::new();
    support::Op::HardState {
        group: 99,
        term: 1,
        vote: 0,
    }
    .apply(&mut model, batch);
    model.get_mut(&99).unwrap().hard_state = Some((1, b"the last batch".to_vec()));
    let (mut refused, mut unharmed, mut headers, mut cut) = (0, 0, 0, 0);
    let names = disk.names();
    for nth in 0..2000 {
        let disk = copy(&disk);
        let name = &names[random.below(names.len() as u64) as usize];
        // Half of the damage goes where headers are.
        let mut offset = random.below(OPTIONS.segment_bytes.into());
        if nth % 2 == 0 {
            offset = offset / 4096 * 4096 + random.below(120);
        }
        disk.corrupt(name, offset, 1 << random.below(8));
        match open(&disk) {
            Ok((wal, recovery)) => {
                let state = observed(&wal, &recovery);
                if state == model {
                    unharmed += 1;
                    headers += recovery.headers_damaged;
                } else {
                    assert_eq!(state, without_last, "seed {seed} {name} {offset}");
                    let place = Position {
                        segment: last.segment,
                        offset: offset as u32,
                    };
                    assert!((last..end).contains(&place), "seed {seed} {name} {offset}");
                    cut += 1;
                }
            }
            Err(Error::Corrupt {
                file,
                segment,
                offset: at,
                what,
            }) => {
                assert!(
                    &file == name && segment > 0,
                    "seed {seed} {name} {offset}: {file} {what}"
                );
                assert!(
                    at <= offset && offset < at + u64::from(OPTIONS.segment_bytes),
                    "seed {seed} {name} {offset}: {at}"
                );
                refused += 1;
            }
            Err(error) => panic!("seed {seed} {name} {offset}: {error}"),
        }
    }
    println!(
        "seed {seed}: refused {refused}, unharmed {unharmed}, headers {headers}, last batch cut {cut}"
    );
    assert!(refused > 100 && unharmed > 100 && headers > 10 && cut > 5);
}

/// Whole batches behind a cut tail: their chain fits again as soon as the lost batch is written again.
#[test]
fn what_lies_behind_a_cut_tail_never_comes_back() {
    for again in [0, 1, 2] {
        let disk = SimDisk::new(1);
        let (mut wal, _) = open(&disk).unwrap();
        wal.write(&mut append(1, 10)).unwrap();
        let lost = wal.sync().unwrap();
        for index in 2..6 {
            wal.write(&mut append(index, 10)).unwrap();
        }
        // The disk lost the first of the four batches, and kept the others.
        let disk = copy(&disk);
        let name = disk.names().into_iter().next().unwrap();
        let mut content = disk.content(&name).unwrap();
        let lost = lost.offset as usize;
        content[lost..lost + 4096].fill(0);
        disk.put(&name, &content);

        let (mut wal, recovery) = open(&disk).unwrap();
        let torn = recovery.torn.unwrap();
        assert_eq!((torn.batches, torn.bytes), (3, 3 * 4096));
        assert_eq!((torn.file, torn.position.offset as usize), (name, lost));
        assert_eq!(wal.stats().torn_batches, 3);
        for index in 2..2 + again {
            wal.write(&mut append(index, 10)).unwrap();
            wal.sync().unwrap();
        }
        drop(wal);
        let (_, recovery) = open(&disk).unwrap();
        assert_eq!(recovery.groups[&GroupId(1)].last.index, 1 + again);
        // And it is not told again.
        assert_eq!(recovery.torn, None);
    }
}

/// A batch in the middle of the log, damaged after it was synced.
#[test]
fn corruption_names_the_place_and_says_what_to_do() {
    let disk = SimDisk::new(1);
    let (mut wal, _) = open(&disk).unwrap();
    wal.write(&mut append(1, 10)).unwrap();
    let place = wal.sync().unwrap();
    for index in 2..4 {
        wal.write(&mut append(index, 10)).unwrap();
        wal.sync().unwrap();
    }
    let name = disk.names().into_iter().next().unwrap();
    disk.corrupt(&name, u64::from(place.offset) + 105, 1);
    // The reader finds it as well.
    let error = wal.reader().read(GroupId(1), 1..4, 1000).unwrap_err();
    assert!(
        matches!(error, Error::Corrupt { segment: 1, .. }),
        "{error}"
    );
    let error = open(&disk).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "{name} (segment 1 of the log), byte {}: no whole batch, though the log had been synced up to 1:{}. Data that had \
             been acknowledged is damaged, so this node must not go on with it: set the whole directory aside, remove the \
             node from its groups, and add it again with an empty directory and under another name (ip:port:idx), for it has forgotten its votes; or restore the directory as a whole from a \
             copy of the stopped node",
            place.offset,
            place.offset + 4096
        )
    );
}

#[test]
fn a_directory_with_missing_cut_or_doubled_files_is_refused() {
    for seed in 0..8 {
        missing_cut_or_doubled_files(seed);
    }
}

fn missing_cut_or_doubled_files(seed: u64) {
    let disk = SimDisk::new(seed);
    let script = random_script(&mut Random::new(seed), 150, 40);
    let (_, last, end) = fill(&disk, &script);
    assert!(end.segment > 6);
    let (wal, recovery) = open(&copy(&disk)).unwrap();
    let state = observed(&wal, &recovery);
    // The opening's batch may have begun a further segment.
    let used = wal.stats().segments - (wal.durable().segment - end.segment);
    assert!(used >= 2);
    let (mut refused, mut unharmed) = (0, 0);
    for name in disk.names() {
        let damaged = copy(&disk);
        damaged.delete(&name);
        match open(&damaged) {
            Ok((wal, recovery)) => {
                let same = observed(&wal, &recovery) == state;
                assert!(same || last.offset == 8192, "seed {seed} without {name}");
                unharmed += u64::from(same);
            }
            Err(Error::Corrupt { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        let damaged = copy(&disk);
        let content = disk.content(&name).unwrap();
        damaged.put(&name, &content[..content.len() - 512]);
        assert!(matches!(open(&damaged), Err(Error::Corrupt { .. })));
    }
    // The spares were not missed, all others were: the one in use because the next one is prepared, or else not.
    let noticed = used - u64::from(last.offset == 8192);
    assert_eq!(refused, noticed);
    assert_eq!(unharmed, disk.names().len() as u64 - used);

    let doubled = copy(&disk);
    let names = disk.names();
    let used = names.iter().find(|name| {
        let content = disk.content(name).unwrap();
        content[24..32] == end.segment.to_le_bytes()
    });
    doubled.put("99999999.segment", &disk.content(used.unwrap()).unwrap());
    let error = open(&doubled).err().unwrap();
    assert!(error.to_string().contains("is the same segment"), "{error}");
}

#[test]
fn another_version_and_a_read_only_disk_are_refused() {
    let disk = SimDisk::new(1);
    drop(open(&disk).unwrap());
    disk.set_read_only(true);
    let error = open(&disk).err().unwrap();
    assert!(
        matches!(
            error,
            Error::Io {
                operation: "open",
                ..
            }
        ),
        "{error}"
    );
    disk.set_read_only(false);
    drop(open(&disk).unwrap());
    // The version of both copies of a header, with the checksum that a later version would set.
    let name = disk.names().into_iter().next().unwrap();
    let mut content = disk.content(&name).unwrap();
    for copy in [0, 4096] {
        content[copy + 12] = 2;
        let checksum = crc32c::crc32c_append(copy as u32, &content[copy + 12..copy + 40]);
        content[copy + 8..copy + 12].copy_from_slice(&checksum.to_le_bytes());
    }
    disk.put(&name, &content);
    let error = open(&disk).err().unwrap();
    assert!(
        matches!(
            error,
            Error::Version {
                found: 2,
                expected: 1,
                ..
            }
        ),
        "{error}"
    );
}

/// The kernel may drop what a failed sync did not write, and a second sync would succeed.
#[test]
fn a_failed_sync_or_write_stops_the_log() {
    for (seed, sync) in (0..40).flat_map(|seed| [(seed, true), (seed, false)]) {
        let disk = SimDisk::new(seed);
        let (mut wal, _) = open(&disk).unwrap();
        wal.write(&mut append(1, 10_000)).unwrap();
        wal.sync().unwrap();
        let reader = wal.reader();
        if sync {
            wal.write(&mut append(2, 10_000)).unwrap();
            disk.fail_syncs(1);
            assert!(matches!(wal.sync(), Err(Error::Failed(_))));
        } else {
            disk.fail_writes(1);
            assert!(matches!(
                wal.write(&mut append(2, 10_000)),
                Err(Error::Failed(_))
            ));
        }
        let before = disk.counts();
        assert!(matches!(wal.sync(), Err(Error::Failed(_))));
        assert!(matches!(
            wal.write(&mut append(2, 10)),
            Err(Error::Failed(_))
        ));
        assert!(matches!(wal.maintain(1 << 20), Err(Error::Failed(_))));
        assert!(matches!(
            reader.read(GroupId(1), 1..2, 1),
            Err(Error::Failed(_))
        ));
        assert_eq!(disk.counts(), before, "nothing is tried again");
        let (_, recovery) = Wal::open(disk.crash(), OPTIONS).unwrap();
        assert!(recovery.groups[&GroupId(1)].last.index >= 1);
    }
}

/// A batch that went elsewhere is missing at its place, and it is valid nowhere else.
#[test]
fn a_misdirected_write_is_found() {
    let (mut refused, mut reads_refused) = (0, 0);
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let (mut wal, _) = open(&disk).unwrap();
        for index in 1..5 {
            if index == 3 {
                disk.misdirect_writes(1);
            }
            wal.write(&mut append(index, 100)).unwrap();
            wal.sync().unwrap();
        }
        let read = wal.reader().read(GroupId(1), 1..5, 1000);
        reads_refused += u64::from(read.is_err());
        match open(&disk) {
            Ok((_, recovery)) => assert_eq!(recovery.groups[&GroupId(1)].last.index, 4),
            Err(Error::Corrupt { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert_eq!(disk.counts().writes_misdirected, 1);
    }
    assert!(
        refused >= 45 && reads_refused >= 45,
        "{refused} {reads_refused}"
    );
}
