use std::fmt::Write;

use crate::money::{Cents, account_name};

/// The transfers of the demonstration, as `generate(1)` makes them.
pub const TRANSFERS_CSV: &[u8] = include_bytes!("../transfers.csv");

/// Lines of the file, without its heading.
const LINES: u32 = 10_000;
/// Accounts, numbered from 0.
const ACCOUNTS: u32 = 1000;

/// A file of transfers: accounts chosen by a Pareto distribution, so that a few are in most transfers, and 2% of
/// lines with every kind of mistake that a real file has. The same seed gives the same bytes.
pub fn generate(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut file = b"id,from,to,amount,currency,memo\n".to_vec();
    let memos = [
        "rent",
        "\"dinner, two\"",
        "",
        "salary",
        "\u{8fd8}\u{94b1}",
        "invoice 77",
        "\"so \"\"urgent\"\"\"",
    ];
    for number in 1..=LINES {
        let id = format!("T{number:06}");
        let from = account_name(random.pareto());
        let to = loop {
            let to = account_name(random.pareto());
            if to != from {
                break to;
            }
        };
        let amount = Cents(1 + random.below(20_000) as i64);
        let memo = memos[random.below(memos.len() as u32) as usize];
        let line = format!("{id},{from},{to},{amount},CNY,{memo}");
        if random.below(50) == 0 {
            spoil(
                &mut random,
                &mut file,
                &line,
                [&id, &from, &to, memo],
                amount,
            );
        } else {
            file.extend_from_slice(line.as_bytes());
        }
        file.push(b'\n');
    }
    file
}

fn spoil(
    random: &mut Random,
    file: &mut Vec<u8>,
    line: &str,
    [id, from, to, memo]: [&str; 4],
    amount: Cents,
) {
    let mut text = String::new();
    let earlier = format!("T{:06}", 1 + random.below(5));
    let outcome = match random.below(16) {
        0 => Ok(()),
        1 => write!(text, "{id},{from},{to},{amount}"),
        2 => write!(text, "{id},{from},{to},{amount},CNY,{memo},extra"),
        3 => write!(text, "{id},{from},{to},twelve,CNY,{memo}"),
        4 => write!(text, "{id},{from},{to},-{amount},CNY,{memo}"),
        5 => write!(text, "{id},{from},{to},0.00,CNY,{memo}"),
        6 => write!(text, "{id},{from},{to},{amount}5,CNY,{memo}"),
        7 => write!(text, "{id},{from},{from},{amount},CNY,{memo}"),
        8 => write!(text, "{id},{from},A99,{amount},CNY,{memo}"),
        9 => write!(text, "{id},{from},A9999,{amount},CNY,{memo}"),
        10 => write!(text, "{id},{from},{to},{amount},USD,{memo}"),
        11 => write!(text, "{earlier},{from},{to},{amount},CNY,{memo}"),
        12 => write!(text, ",{from},{to},{amount},CNY,{memo}"),
        13 => write!(text, "{id},{from},{to},{amount},CNY,\"open"),
        14 => write!(text, "{id},{from},{to},999999999999999999999.00,CNY,{memo}"),
        _ => {
            file.extend_from_slice(line.as_bytes());
            file.extend_from_slice(b"\xff\xfe");
            Ok(())
        }
    };
    // Writing to a string cannot fail.
    let _ = outcome;
    file.extend_from_slice(text.as_bytes());
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u32) -> u32 {
        (((self.next() >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// An account by the Pareto distribution of shape 1.16: a fifth of the accounts is in four fifths of the
    /// transfers. Spread over the numbers, so that both instances have popular accounts.
    fn pareto(&mut self) -> u32 {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        let rank = (1.0 - uniform).powf(-1.0 / 1.16) * 20.0 - 20.0;
        let rank = (rank as u64 % u64::from(ACCOUNTS)) as u32;
        rank.wrapping_mul(607) % ACCOUNTS
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::transfers_file::read_lines;

    #[test]
    fn the_committed_file_is_what_the_generator_makes() {
        assert!(
            generate(1) == TRANSFERS_CSV,
            "run `cargo run -p diwan-bank --bin generate`"
        );
    }

    #[test]
    fn two_in_a_hundred_lines_are_bad_in_every_way() {
        let lines = read_lines(TRANSFERS_CSV);
        assert_eq!(lines.len(), LINES as usize);
        let bad: Vec<_> = lines
            .iter()
            .filter_map(|line| line.content.as_ref().err())
            .collect();
        assert!((150..250).contains(&bad.len()), "{}", bad.len());
        let reasons: BTreeSet<&str> = bad
            .iter()
            .map(|bad| bad.reason.split(", in line").next().unwrap_or_default())
            .collect();
        assert_eq!(reasons.len(), 13, "{reasons:#?}");
    }
}
