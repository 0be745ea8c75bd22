//! The write-ahead log beside raw pwrite + fdatasync on files of the same layout: segments filled with zeros and synced
//! ahead, written from front to back, used again from the front. Rounds alternate, so that a slow minute of the disk hits
//! both; medians are printed, and the ratio of the two.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use diwan_wal::{Batch, Entry, GroupId, Options, OsDirectory, Wal};

const SEGMENT_BYTES: u32 = 64 << 20;
/// Headers of segments, batches and records are part of the log's batches, so that both write the same number of bytes.
const HEADER_BYTES: usize = 64 + 36;
const BATCHES_BEGIN: u64 = 8192;

/// Measures the write-ahead log against the bare disk.
#[derive(Parser)]
struct Arguments {
    /// A directory on the disk to be measured; a folder is made in it and removed.
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Rounds of each case.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Batches of 1 MiB in a round.
    #[arg(long, default_value_t = 64)]
    large: usize,
    /// Batches of 4 KiB in a round.
    #[arg(long, default_value_t = 150)]
    small: usize,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let folder = arguments
        .directory
        .join(format!("wal-bench-{}", std::process::id()));
    let outcome = measure(&arguments, &folder);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn measure(arguments: &Arguments, folder: &Path) -> Outcome<()> {
    let options = Options {
        segment_bytes: SEGMENT_BYTES,
        salt: 1,
    };
    let began = Instant::now();
    let (mut wal, _) = Wal::open(OsDirectory::open(folder.join("wal"))?, options)?;
    while wal.maintain(1 << 20)?.more {}
    println!(
        "first opening, with three segments made: {:?}",
        began.elapsed()
    );
    let mut log = Log { wal, next: 1 };
    let mut raw = Raw::new(folder)?;
    let cases = [
        ("1 MiB", 1 << 20, arguments.large),
        ("4 KiB", 4 << 10, arguments.small),
    ];
    for (name, bytes, batches) in cases {
        let mut of_log = Vec::new();
        let mut of_raw = Vec::new();
        for round in 0..arguments.rounds {
            // Who begins alternates too.
            if round % 2 == 0 {
                of_raw.push(raw.round(bytes, batches)?);
                of_log.push(log.round(bytes, batches)?);
            } else {
                of_log.push(log.round(bytes, batches)?);
                of_raw.push(raw.round(bytes, batches)?);
            }
        }
        print_case(name, bytes, &of_raw, &of_log);
    }
    println!("{:?}", log.wal.stats());
    drop(log);
    let began = Instant::now();
    let (_, recovery) = Wal::open(OsDirectory::open(folder.join("wal"))?, options)?;
    println!(
        "opening again: {:?}, {} batches",
        began.elapsed(),
        recovery.batches
    );
    Ok(())
}

/// What a batch took.
struct Times {
    gather: Duration,
    write: Duration,
    sync: Duration,
}

struct Log {
    wal: Wal<OsDirectory>,
    next: u64,
}

impl Log {
    /// The time of each batch. One entry fills it; upkeep stands between batches, as with a driver, and is not in the time.
    fn round(&mut self, bytes: usize, batches: usize) -> Outcome<Vec<Times>> {
        let group = GroupId(1);
        let mut times = Vec::new();
        let mut batch = Batch::new();
        let data = vec![7; bytes - HEADER_BYTES].into();
        let mut entry = Entry {
            index: 0,
            term: 1,
            kind: 0,
            data,
        };
        for _ in 0..batches {
            entry.index = self.next;
            let began = Instant::now();
            batch.append(group, self.next, std::slice::from_ref(&entry));
            let gathered = began.elapsed();
            self.wal.write(&mut batch)?;
            let written = began.elapsed();
            self.wal.sync()?;
            times.push(Times {
                gather: gathered,
                write: written - gathered,
                sync: began.elapsed() - written,
            });
            self.next += 1;
            if self.next.is_multiple_of(32) {
                batch.compact(group, self.next - 16, 1);
                self.wal.write(&mut batch)?;
                self.wal.sync()?;
            }
            self.wal.maintain(2 * bytes as u64)?;
        }
        Ok(times)
    }
}

struct Raw {
    files: Vec<File>,
    nth: usize,
    offset: u64,
}

impl Raw {
    fn new(folder: &Path) -> Outcome<Raw> {
        let mut files = Vec::new();
        let zeros = vec![0; 1 << 20];
        for nth in 0..4 {
            let file = File::create_new(folder.join(format!("raw-{nth}")))?;
            for at in (0..u64::from(SEGMENT_BYTES)).step_by(1 << 20) {
                file.write_all_at(&zeros, at)?;
            }
            file.sync_all()?;
            files.push(file);
        }
        File::open(folder)?.sync_all()?;
        Ok(Raw {
            files,
            nth: 0,
            offset: BATCHES_BEGIN,
        })
    }

    fn round(&mut self, bytes: usize, batches: usize) -> Outcome<Vec<Times>> {
        let buffer = vec![7; bytes];
        let mut times = Vec::new();
        for _ in 0..batches {
            if self.offset + bytes as u64 > u64::from(SEGMENT_BYTES) {
                self.nth = (self.nth + 1) % self.files.len();
                self.offset = BATCHES_BEGIN;
            }
            let file = &self.files[self.nth];
            let began = Instant::now();
            file.write_all_at(&buffer, self.offset)?;
            let written = began.elapsed();
            file.sync_data()?;
            times.push(Times {
                gather: Duration::ZERO,
                write: written,
                sync: began.elapsed() - written,
            });
            self.offset += bytes as u64;
        }
        Ok(times)
    }
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values[values.len() / 2]
}

fn print_case(name: &str, bytes: usize, raw: &[Vec<Times>], log: &[Vec<Times>]) {
    // MB/s of a round, then the median of the rounds; gathering is left out, for a driver gathers during the last sync.
    let rate = |rounds: &[Vec<Times>]| {
        median(Vec::from_iter(rounds.iter().map(|times| {
            let all: Duration = times.iter().map(|times| times.write + times.sync).sum();
            (bytes * times.len()) as f64 / all.as_secs_f64() / 1e6
        })))
    };
    // Milliseconds, the median of each round and then of the rounds.
    let half = |rounds: &[Vec<Times>], part: fn(&Times) -> Duration| {
        let halves = rounds
            .iter()
            .map(|times| median(times.iter().map(part).collect()));
        median(Vec::from_iter(halves)).as_secs_f64() * 1e3
    };
    let ratio = rate(log) / rate(raw);
    println!("{name}: ratio of rates {ratio:.3}");
    for (who, rounds) in [("raw", raw), ("log", log)] {
        println!(
            "  {who}: {:.1} MB/s; p50 {:.3} ms: write {:.3}, sync {:.3}; gathering {:.3} beforehand",
            rate(rounds),
            half(rounds, |times| times.write + times.sync),
            half(rounds, |times| times.write),
            half(rounds, |times| times.sync),
            half(rounds, |times| times.gather),
        );
    }
}
