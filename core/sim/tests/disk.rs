//! That the simulated disk is as bad as it says, and no worse.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::ErrorKind;

use diwan_sim::{DiskCounts, SimDisk};
use diwan_wal::{Directory, File};

/// A durable file of four sectors of 1, of which two have been overwritten by 2, and one of these once more by 3.
fn written(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    let file = disk.create("a").unwrap();
    file.write_at(&[1; 2048], 0).unwrap();
    file.sync().unwrap();
    Directory::sync(&disk).unwrap();
    file.write_at(&[2; 1024], 512).unwrap();
    file.write_at(&[3; 512], 1024).unwrap();
    disk
}

fn sectors(disk: &SimDisk) -> Vec<u8> {
    let content = disk.content("a").unwrap();
    let sectors = content.chunks(512);
    assert!(
        sectors
            .clone()
            .all(|sector| sector.iter().all(|byte| *byte == sector[0]))
    );
    sectors.map(|sector| sector[0]).collect()
}

#[test]
fn a_crash_keeps_any_version_of_each_sector() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let disk = written(seed);
        assert_eq!(sectors(&disk), [1, 2, 3, 1]);
        let (same, disk) = (written(seed).crash(), disk.crash());
        assert_eq!(
            sectors(&disk),
            sectors(&same),
            "the same seed does the same"
        );
        seen.insert(sectors(&disk));
    }
    let all: Vec<Vec<u8>> = [1, 2]
        .iter()
        .flat_map(|&a| [1, 2, 3].map(|b| vec![1, a, b, 1]))
        .collect();
    assert_eq!(Vec::from_iter(seen), all);
}

#[test]
fn what_was_synced_stays_and_killing_the_process_loses_nothing() {
    for seed in 0..50 {
        let disk = written(seed);
        let file = disk.open("a").unwrap();
        file.sync().unwrap();
        assert_eq!(sectors(&disk.crash()), [1, 2, 3, 1]);
        assert_eq!(
            file.sync().unwrap_err().kind(),
            ErrorKind::Other,
            "the handle is dead"
        );
        assert_eq!(sectors(&written(seed).kill()), [1, 2, 3, 1]);
    }
}

#[test]
fn names_are_kept_or_lost_until_the_directory_is_synced() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        disk.create("a").unwrap().sync().unwrap();
        Directory::sync(&disk).unwrap();
        disk.rename("a", "b").unwrap();
        let names = disk.crash().names();
        match names[0].as_str() {
            "a" => lost += 1,
            _ => kept += 1,
        }
        assert_eq!(names.len(), 1);
    }
    assert!(kept > 10 && lost > 10);
}

/// As on Linux: the second sync finds nothing to do, readers see what was written, and the next crash takes it.
#[test]
fn a_failed_sync_loses_what_a_later_one_does_not_write() {
    let mut lost = 0;
    for seed in 0..50 {
        let disk = written(seed);
        let file = disk.open("a").unwrap();
        disk.fail_syncs(1);
        file.sync().unwrap_err();
        assert_eq!(sectors(&disk), [1, 2, 3, 1]);
        file.sync().unwrap();
        lost += u64::from(sectors(&disk.crash()) != [1, 2, 3, 1]);
    }
    assert!(lost > 20);
}

#[test]
fn faults_happen_on_demand_and_are_counted() {
    let disk = written(1);
    let file = disk.open("a").unwrap();
    disk.fail_writes(1);
    file.write_at(&[4; 512], 0).unwrap_err();
    disk.set_capacity(Some(2048));
    file.write_at(&[4; 512], 0).unwrap();
    let full = file.write_at(&[4; 512], 2048).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    disk.set_read_only(true);
    let refused = file.write_at(&[4; 512], 0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
    disk.set_read_only(false);
    disk.misdirect_writes(1);
    file.write_at(&[5; 512], 512).unwrap();
    disk.corrupt("a", 700, 1);
    disk.fail_power_after(1);
    file.sync().unwrap();
    file.sync().unwrap_err();
    assert!(disk.has_failed());
    let counts = disk.counts();
    let expected = DiskCounts {
        writes_failed: 1,
        writes_refused_full: 1,
        writes_refused_read_only: 1,
        writes_misdirected: 1,
        sectors_corrupted: 1,
        ..counts
    };
    assert_eq!(counts, expected);
}
