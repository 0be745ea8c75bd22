//! What other processes use, from `/proc`.

use std::fs;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time in seconds.
    pub cpu_s: f64,
    /// Resident memory now.
    pub rss_bytes: u64,
    /// Bytes it caused to be written to the disk.
    pub written_bytes: u64,
}

/// The usage of a process; zero where it cannot be read.
pub fn usage(pid: u32) -> Usage {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let number = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let written = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .and_then(|bytes| bytes.parse().ok());
    Usage {
        // utime and stime in hundredths of a second, rss in pages of 4 KiB.
        cpu_s: (number(11) + number(12)) as f64 / 100.0,
        rss_bytes: number(21) * 4096,
        written_bytes: written.unwrap_or(0),
    }
}
