use std::collections::HashMap;

use crate::money::{Cents, account_number};

/// One transfer of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Unique in its file; makes every step repeatable.
    pub id: String,
    /// Account that pays.
    pub from: String,
    /// Account that receives.
    pub to: String,
    /// How much.
    pub amount: Cents,
}

/// A line that is no transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Why.
    pub reason: String,
}

/// A line of a file, counted from 1 with the heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub number: usize,
    /// What it says.
    pub content: Result<Transfer, BadLine>,
}

const HEADING: &str = "id,from,to,amount,currency,memo";
const FIELDS: usize = 6;
const ID_BYTES_MAX: usize = 40;
const MEMO_BYTES_MAX: usize = 140;

/// Reads a file of transfers. Every line behind the heading gives a [`Line`]: a bad one never takes its neighbours
/// with it, so a line is read by itself even if a quote in it stays open.
pub fn read_lines(file: &[u8]) -> Vec<Line> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut lines = Vec::new();
    let body = file.strip_suffix(b"\n").unwrap_or(file);
    if body.is_empty() {
        return lines;
    }
    for (index, bytes) in body.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if number == 1 && bytes.eq_ignore_ascii_case(HEADING.as_bytes()) {
            continue;
        }
        let content = read_line(bytes).and_then(|transfer| match seen.get(&transfer.id) {
            Some(first) => Err(format!("transfer id was used before, in line {first}")),
            None => {
                seen.insert(transfer.id.clone(), number);
                Ok(transfer)
            }
        });
        lines.push(Line {
            number,
            content: content.map_err(|reason| BadLine { reason }),
        });
    }
    lines
}

fn read_line(bytes: &[u8]) -> Result<Transfer, String> {
    let line = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
    if line.trim().is_empty() {
        return Err("empty line".into());
    }
    if line.bytes().filter(|byte| *byte == b'"').count() % 2 == 1 {
        return Err("a quote stays open".into());
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    if !reader
        .read_record(&mut record)
        .map_err(|error| error.to_string())?
    {
        return Err("empty line".into());
    }
    if record.len() != FIELDS {
        return Err(format!("{FIELDS} fields expected"));
    }
    let (id, from, to, currency, memo) =
        (&record[0], &record[1], &record[2], &record[4], &record[5]);
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        return Err(format!("transfer id must have 1 to {ID_BYTES_MAX} bytes"));
    }
    for name in [from, to] {
        account_number(name).map_err(|error| error.to_string())?;
    }
    if from == to {
        return Err("both accounts are the same".into());
    }
    let amount = Cents::parse_positive(&record[3]).map_err(|error| error.to_string())?;
    if currency != "CNY" {
        return Err("currency is not CNY".into());
    }
    if memo.len() > MEMO_BYTES_MAX {
        return Err(format!("memo is longer than {MEMO_BYTES_MAX} bytes"));
    }
    Ok(Transfer {
        id: id.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        amount,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(file: &[u8]) -> Vec<(usize, Option<String>)> {
        let reason = |line: Line| (line.number, line.content.err().map(|bad| bad.reason));
        read_lines(file).into_iter().map(reason).collect()
    }

    #[test]
    fn each_bad_line_has_its_number_and_reason_and_spares_its_neighbours() {
        let file = b"\xef\xbb\xbfid,from,to,amount,currency,memo\r\n\
            T1,A0001,A0002,12.34,CNY,rent\r\n\
            T2,A0001,A0002,12.34,CNY,\"open\n\
            T3, A0001 ,A0002,1,CNY,\"a, b\"\n\
            \n\
            T1,A0003,A0004,5,CNY,\n\
            T4,A0001,A0002,5\n\
            T5,A0001,A0001,5,CNY,\n\
            T6,A0001,A0002,5,USD,\n\
            T7,A0001,X,5,CNY,\n\
            ,A0001,A0002,5,CNY,\n\
            \xff\xfe\n\
            T8,A0001,A0002,5,CNY,last";
        let expected = [
            None,
            Some("a quote stays open"),
            None,
            Some("empty line"),
            Some("transfer id was used before, in line 2"),
            Some("6 fields expected"),
            Some("both accounts are the same"),
            Some("currency is not CNY"),
            Some("account name is malformed"),
            Some("transfer id must have 1 to 40 bytes"),
            Some("not UTF-8"),
            None,
        ];
        let expected: Vec<_> = expected
            .iter()
            .enumerate()
            .map(|(index, reason)| (index + 2, reason.map(str::to_owned)))
            .collect();
        assert_eq!(reasons(file), expected);
    }

    #[test]
    fn a_file_without_lines_or_heading_is_read() {
        assert_eq!(reasons(b""), []);
        assert_eq!(reasons(b"id,from,to,amount,currency,memo\n"), []);
        assert_eq!(reasons(b"T1,A0001,A0002,1,CNY,"), [(1, None)]);
    }
}
