//! The values that Java wrote: lines of name and hex, made by `golden/Golden.java`.

use diwan_hessian::Dialect;

/// The files, by the dialect they are in.
pub(crate) const FILES: [(Dialect, &str); 2] = [
    (Dialect::Draft, include_str!("../golden/hessian-3.5.5.txt")),
    (
        Dialect::Final,
        include_str!("../golden/hessian-lite-4.0.4.txt"),
    ),
];

/// `(61*20)` stands for twenty times 61.
fn bytes_of(hex: &str) -> Vec<u8> {
    let plain = |hex: &str| -> Vec<u8> {
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
        (0..hex.len()).step_by(2).map(digits).collect()
    };
    let mut bytes = Vec::new();
    let mut rest = hex;
    while let Some((before, after)) = rest.split_once('(') {
        let (repeated, after) = after.split_once(')').expect("a closing parenthesis");
        let (unit, times) = repeated.split_once('*').expect("a count");
        bytes.extend(plain(before));
        bytes.extend(plain(unit).repeat(times.parse().expect("a count")));
        rest = after;
    }
    bytes.extend(plain(rest));
    bytes
}

/// Name and bytes of every case.
pub(crate) fn cases(file: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    file.lines()
        .map(|line| line.split_once(' ').expect("name and hex"))
        .map(|(name, hex)| (name, bytes_of(hex)))
}
