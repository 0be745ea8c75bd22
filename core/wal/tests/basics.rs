//! What the log promises when nothing goes wrong, on the simulated disk and on a real one.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bytes::Bytes;
use diwan_sim::SimDisk;
use diwan_wal::{Batch, Directory, Entry, Error, GroupId, LogPoint, Options, OsDirectory, Wal};

const OPTIONS: Options = Options {
    segment_bytes: 64 << 10,
    salt: 7,
};
const G: GroupId = GroupId(5);

fn entry(index: u64, term: u64, data: &str) -> Entry {
    Entry {
        index,
        term,
        kind: 3,
        data: Bytes::copy_from_slice(data.as_bytes()),
    }
}

/// What is written is read, and still there after opening again.
fn writes_and_recovers<D: Directory>(open: impl Fn() -> D) {
    let entries = [entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 2, "")];
    let (mut wal, recovery) = Wal::open(open(), OPTIONS).unwrap();
    assert!(recovery.groups.is_empty());
    let mut batch = Batch::new();
    batch.hard_state(G, 2, b"node");
    batch.append(G, 1, &entries);
    wal.write(&mut batch).unwrap();
    assert!(wal.durable() < wal.end());
    assert_eq!(wal.sync().unwrap(), wal.end());
    let reader = wal.reader();
    assert_eq!(reader.read(G, 1..4, 1 << 20).unwrap(), entries);
    drop(wal);

    let (mut wal, recovery) = Wal::open(open(), OPTIONS).unwrap();
    let group = &recovery.groups[&G];
    let state = group.hard_state.clone().unwrap();
    assert_eq!((state.term, &state.vote[..]), (2, &b"node"[..]));
    assert_eq!(group.last, LogPoint { index: 3, term: 2 });
    assert_eq!(group.terms, [(1, 1), (3, 2)]);
    assert_eq!(recovery.torn, None);
    assert_eq!(wal.reader().read(G, 1..4, 1 << 20).unwrap(), entries);

    // Truncation is implied; compaction keeps what comes later.
    let mut batch = Batch::new();
    batch.append(G, 2, &[entry(2, 3, "new")]);
    batch.compact(G, 1, 1);
    wal.write(&mut batch).unwrap();
    wal.sync().unwrap();
    drop(wal);
    let (wal, recovery) = Wal::open(open(), OPTIONS).unwrap();
    let group = &recovery.groups[&G];
    assert_eq!(group.compacted, LogPoint { index: 1, term: 1 });
    assert_eq!(group.terms, [(2, 3)]);
    assert_eq!(recovery.epoch, 3);
    let read = wal.reader().read(G, 2..3, 0).unwrap();
    assert_eq!(read, [entry(2, 3, "new")]);
}

#[test]
fn writes_and_recovers_on_the_simulated_disk() {
    let disk = SimDisk::new(1);
    writes_and_recovers(|| disk.kill());
    writes_and_recovers_after_power_loss();
}

fn writes_and_recovers_after_power_loss() {
    let disk = SimDisk::new(1);
    writes_and_recovers(|| disk.crash());
}

#[test]
fn writes_and_recovers_on_the_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    writes_and_recovers(|| OsDirectory::open(folder.path().join("wal")).unwrap());
}

#[test]
fn a_directory_has_one_user() {
    let folder = tempfile::tempdir().unwrap();
    let first = OsDirectory::open(folder.path()).unwrap();
    let second = OsDirectory::open(folder.path()).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    OsDirectory::open(folder.path()).unwrap();
}

#[test]
fn mistakes_of_the_caller_are_refused_before_anything_is_written() {
    let (mut wal, _) = Wal::open(SimDisk::new(1), OPTIONS).unwrap();
    let mut batch = Batch::new();
    batch.append(
        G,
        1,
        &[entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 1, "c")],
    );
    batch.compact(G, 1, 1);
    wal.write(&mut batch).unwrap();
    type Fill = fn(&mut Batch);
    let cases: [(&str, Fill); 10] = [
        ("Gap", |batch| batch.append(G, 5, &[entry(5, 1, "")])),
        ("Gap", |batch| batch.append(G, 5, &[])),
        ("Gap", |batch| batch.compact(G, 4, 1)),
        ("Gap", |batch| {
            batch.append(GroupId(9), 2, &[entry(2, 1, "")])
        }),
        ("Compacted", |batch| batch.append(G, 1, &[entry(1, 1, "")])),
        ("Compacted", |batch| batch.append(GroupId(9), 0, &[])),
        ("Term", |batch| batch.compact(G, 2, 2)),
        ("Term", |batch| batch.reset(G, 0, 1)),
        ("Misuse", |batch| batch.append(G, 4, &[entry(5, 1, "")])),
        ("Misuse", |batch| batch.hard_state(G, 1, &[0; 256])),
    ];
    let end = wal.end();
    for (expected, fill) in cases {
        let mut batch = Batch::new();
        batch.hard_state(G, 9, b"");
        fill(&mut batch);
        let error = wal.write(&mut batch).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }
    let mut batch = Batch::new();
    let large = Bytes::from(vec![0; 60 << 10]);
    batch.append(
        G,
        4,
        &[Entry {
            data: large,
            ..entry(4, 1, "")
        }],
    );
    let error = wal.write(&mut batch).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                bytes: 65536,
                max: 57344
            }
        ),
        "{error}"
    );
    assert_eq!(wal.end(), end);

    let reader = wal.reader();
    let error = reader.read(G, 1..2, 1).unwrap_err();
    assert!(matches!(error, Error::Compacted { compacted: 1, .. }));
    let error = reader.read(G, 3..5, 1 << 20).unwrap_err();
    assert!(matches!(
        error,
        Error::Gap {
            index: 4,
            last: 3,
            ..
        }
    ));
    assert_eq!(reader.read(G, 2..2, 1).unwrap(), []);
    assert_eq!(reader.read(G, 2..4, 0).unwrap().len(), 1);
}

/// One write and one fdatasync for a batch, and nothing else.
#[test]
fn a_batch_costs_one_write_and_one_sync() {
    let disk = SimDisk::new(1);
    let (mut wal, _) = Wal::open(disk.clone(), OPTIONS).unwrap();
    let before = disk.counts();
    let mut batch = Batch::new();
    for index in 1..=8 {
        batch.append(G, index, &[entry(index, 1, "x")]);
        wal.write(&mut batch).unwrap();
        wal.sync().unwrap();
    }
    let mut expected = before;
    expected.writes += 8;
    expected.syncs += 8;
    assert_eq!(disk.counts(), expected);
}

/// Readers on other threads, while segments are written, compacted, rewritten and recycled under them.
#[test]
fn readers_see_entries_whole_or_compacted() {
    const SILENT: GroupId = GroupId(6);
    let folder = tempfile::tempdir().unwrap();
    let directory = OsDirectory::open(folder.path()).unwrap();
    let (mut wal, _) = Wal::open(directory, OPTIONS).unwrap();
    let text = |index: u64| format!("{index}-").repeat(100);
    let mut batch = Batch::new();
    batch.append(SILENT, 1, &[entry(1, 1, &text(1))]);
    batch.append(G, 1, &[entry(1, 1, &text(1))]);
    wal.write(&mut batch).unwrap();
    let (reader, done) = (wal.reader(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reading = || {
            let mut read = 0;
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let silent = reader.read(SILENT, 1..2, 1).unwrap();
                assert_eq!(silent, [entry(1, 1, &text(1))]);
                let (compacted, last) = reader.bounds(G);
                match reader.read(G, compacted.index + 1..last.index + 1, 1 << 20) {
                    Ok(entries) => {
                        assert!(entries.iter().all(|e| e.data == text(e.index).as_bytes()));
                        read += entries.len();
                    }
                    Err(Error::Compacted { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            read
        };
        let threads = [scope.spawn(reading), scope.spawn(reading)];
        for index in 2..3000 {
            batch.append(G, index, &[entry(index, 1, &text(index))]);
            if index % 20 == 0 {
                batch.compact(G, index - 10, 1);
            }
            wal.write(&mut batch).unwrap();
            if index % 20 == 0 {
                wal.sync().unwrap();
            }
            wal.maintain(8192).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        for thread in threads {
            assert!(thread.join().unwrap() > 0);
        }
    });
    assert!(wal.stats().rewrites > 10 && wal.stats().segments_freed > 50);
}
