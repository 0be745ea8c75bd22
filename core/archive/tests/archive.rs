//! What is handed over is found, once, and leaves in time; whatever the disk and the process do.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::path::Path;

use diwan_archive::{Archive, Entry, Kept, Place, Retention};
use proptest::prelude::*;

const LONG: Retention = Retention {
    keep_ms: 1_000,
    entries_max: 1_000,
};

fn entry(index: u64, number: u32, id: &str, ended_ms: u64) -> Entry {
    let value = format!("{id} at {index}.{number}").into_bytes();
    Entry {
        place: Place { index, number },
        id: id.into(),
        ended_ms,
        value: Box::new(|| value),
    }
}

fn ids(archive: &Archive) -> Vec<String> {
    let page = archive.list(None, 1_000, Some).unwrap();
    assert_eq!(page.more, None);
    page.entries.into_iter().map(|kept| kept.id).collect()
}

fn open(path: &Path, retention: Retention) -> Archive {
    let archive = Archive::new(path.to_owned(), retention).unwrap();
    archive.open().unwrap();
    archive
}

/// A file is let go of by the writer's thread, a moment after the last clone.
fn reopened(path: &Path, retention: Retention) -> Archive {
    let archive = Archive::new(path.to_owned(), retention).unwrap();
    while archive.open().is_err() {
        std::thread::yield_now();
    }
    archive
}

#[test]
fn what_was_handed_over_is_found_by_name_and_by_time_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let archive = open(&path, LONG);
    archive.add(entry(7, 0, "a", 100));
    archive.add(entry(7, 1, "b", 100));
    archive.add(entry(9, 0, "a", 200));
    archive.settle();
    let check = |archive: &Archive| {
        assert_eq!(ids(archive), ["a", "b", "a"]);
        let kept = archive.get("a").unwrap().unwrap();
        assert_eq!(
            (kept.value.as_slice(), kept.ended_ms),
            (&b"a at 9.0"[..], 200)
        );
        assert_eq!(archive.get("c").unwrap(), None);
        let a = |kept: Kept| (kept.id == "a").then_some(kept);
        let page = archive.list(None, 1, a).unwrap();
        assert_eq!(page.entries[0].place.index, 9);
        let page = archive.list(page.more, 9, a).unwrap();
        assert_eq!((page.entries[0].place.index, page.more), (7, None));
    };
    check(&archive);
    drop(archive);
    check(&reopened(&path, LONG));
}

#[test]
fn the_same_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(&folder.path().join("a.redb"), LONG);
    for _ in 0..3 {
        archive.add(entry(7, 0, "a", 100));
        archive.add(entry(8, 0, "b", 100));
        archive.settle();
        assert_eq!(ids(&archive), ["b", "a"]);
    }
    let status = archive.status();
    assert_eq!((status.entries, status.written, status.lost), (2, 6, 0));
}

#[test]
fn old_ones_leave_and_the_oldest_of_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let archive = open(&path, LONG);
    for (index, ended_ms) in [(1, 0), (2, 999), (3, 1_000), (4, 1_001)] {
        archive.add(entry(index, 0, &format!("e{index}"), ended_ms));
    }
    archive.settle();
    assert_eq!(ids(&archive), ["e4", "e3", "e2"]);
    assert_eq!(archive.get("e1").unwrap(), None);
    drop(archive);
    let fewer = Retention {
        entries_max: 2,
        ..LONG
    };
    let archive = reopened(&path, fewer);
    archive.add(entry(5, 0, "e3", 1_001));
    archive.settle();
    assert_eq!(ids(&archive), ["e3", "e4"]);
    assert_eq!(archive.get("e3").unwrap().unwrap().place.index, 5);
    // Its name is a later one's now: it goes without that one's.
    archive.add(entry(6, 0, "e6", 1_001));
    archive.settle();
    assert_eq!(ids(&archive), ["e6", "e3"]);
    assert!(archive.get("e3").unwrap().is_some());
}

#[test]
fn a_file_that_is_no_archive_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    std::fs::write(&path, "something else, and long enough to look at").unwrap();
    let archive = Archive::new(path.clone(), LONG).unwrap();
    let refused = archive.open().err().unwrap().to_string();
    assert!(refused.contains("a.redb"), "{refused}");
    // Nobody is held up; what could not be written is counted; once the file is good, it goes on.
    archive.add(entry(1, 0, "a", 100));
    archive.settle();
    assert_eq!((archive.status().written, archive.status().lost), (0, 1));
    assert!(archive.get("a").is_err());
    std::fs::remove_file(&path).unwrap();
    archive.add(entry(2, 0, "b", 100));
    archive.settle();
    assert_eq!(ids(&archive), ["b"]);
    let other = Archive::new(path, LONG).unwrap();
    assert!(other.open().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// A log that is applied again from any place on leaves what applying it once leaves.
    #[test]
    fn applying_a_log_again_is_the_same(count in 1_usize..40, names in 1_u64..20, from in 0_usize..40) {
        let folder = tempfile::tempdir().unwrap();
        let entries = |from: usize| (from..count).map(|number| {
            let index = number as u64;
            entry(index, 0, &format!("n{}", index * 7 % names), index * 50)
        });
        let all = |name: &str, from: Option<usize>| {
            let archive = open(&folder.path().join(name), LONG);
            entries(0).for_each(|entry| archive.add(entry));
            archive.settle();
            if let Some(from) = from {
                entries(from).for_each(|entry| archive.add(entry));
                archive.settle();
            }
            archive.list(None, 1_000, Some).unwrap()
        };
        prop_assert_eq!(all("once", None), all("again", Some(from.min(count))));
    }
}
