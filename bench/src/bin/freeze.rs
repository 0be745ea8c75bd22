//! How long a state machine with much state holds up its commands for a snapshot: `freeze [ENTRIES [VALUE_BYTES]]`. A [`Table`]
//! is frozen, then written to while the frozen view lives; beside it the clone of a `HashMap` with the same entries.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use diwan_log::Table;

const WRITES: u64 = 200_000;

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let value = act();
    (value, began.elapsed())
}

/// Keys in an order that is not theirs.
fn key(number: u64, entries: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % entries
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut next = |default| arguments.next().and_then(Result::ok).unwrap_or(default);
    let (entries, value_bytes) = (next(1 << 20), next(1024));
    let value = || bytes::Bytes::from(vec![7; usize::try_from(value_bytes).unwrap_or(0)]);

    let mut table = Table::new(1);
    let ((), filled) = timed(|| {
        for number in 0..entries {
            table.insert(number, value());
        }
    });
    let write = |table: &mut Table<u64, bytes::Bytes>| {
        let mut slowest = Duration::ZERO;
        let ((), all) = timed(|| {
            for number in 0..WRITES {
                let ((), took) = timed(|| drop(table.insert(key(number, entries), value())));
                slowest = slowest.max(took);
            }
        });
        (all / u32::try_from(WRITES).unwrap_or(1), slowest)
    };
    let (mean, slowest) = write(&mut table);
    println!(
        "{entries} entries of {value_bytes} B, filled in {filled:.1?}; a write {mean:.0?}, the slowest {slowest:.1?}"
    );
    let (frozen, froze) = timed(|| table.clone());
    let (mean, slowest) = write(&mut table);
    println!("Table frozen in {froze:.1?}; then a write {mean:.0?}, the slowest {slowest:.1?}");

    let map: HashMap<u64, bytes::Bytes> = frozen
        .iter()
        .map(|(key, value)| (*key, value.clone()))
        .collect();
    let (copy, copied) = timed(|| map.clone());
    println!("HashMap cloned in {copied:.1?} ({} entries)", copy.len());
}
