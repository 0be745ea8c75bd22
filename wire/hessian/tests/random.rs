//! Random values by seed: every failure names the seed that repeats it.

use diwan_hessian::testing::generate;
use diwan_hessian::{Decoder, Dialect, Encode, Encoder, Limits, Value};

/// How many seeds, times ten with `HESSIAN_LONG` set.
fn seeds(count: u64) -> std::ops::Range<u64> {
    0..if std::env::var_os("HESSIAN_LONG").is_some() {
        count * 10
    } else {
        count
    }
}

fn write(dialect: Dialect, value: &Value<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut Encoder::new(dialect, &mut bytes));
    bytes
}

#[test]
fn values_survive_both_dialects() {
    for seed in seeds(5_000) {
        let value = generate(seed);
        for dialect in [Dialect::Draft, Dialect::Final] {
            let bytes = write(dialect, &value);
            let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
            let back = d
                .value()
                .unwrap_or_else(|error| panic!("seed {seed} {dialect:?}: {error}"));
            assert!(d.is_empty(), "seed {seed} {dialect:?}");
            assert_eq!(back, value, "seed {seed} {dialect:?}");
            assert_eq!(
                back.describe(),
                value.describe(),
                "seed {seed} {dialect:?}: identity"
            );
            assert_eq!(
                write(dialect, &back),
                bytes,
                "seed {seed} {dialect:?}: bytes"
            );
            assert_eq!(
                back.clone().into_owned(),
                value,
                "seed {seed} {dialect:?}: owned"
            );
            let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
            assert_eq!(d.skip(), Ok(()), "seed {seed} {dialect:?}: skip");
            assert!(d.is_empty(), "seed {seed} {dialect:?}: skip ends elsewhere");
        }
    }
}

/// Values of one body share classes, types and references, whichever way they are read.
#[test]
fn bodies_of_several_values_survive() {
    for seed in seeds(500) {
        let values = [
            generate(seed),
            generate(seed + 1),
            generate(seed),
            generate(seed + 2),
        ];
        for dialect in [Dialect::Draft, Dialect::Final] {
            let mut bytes = Vec::new();
            let mut e = Encoder::new(dialect, &mut bytes);
            // The first one twice: the second time it is a reference, if it is a container.
            values
                .iter()
                .chain([&values[0]])
                .for_each(|value| value.encode(&mut e));
            let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
            let back = d
                .values(5)
                .unwrap_or_else(|error| panic!("seed {seed} {dialect:?}: {error}"));
            assert!(d.is_empty());
            assert_eq!(back[..4], values, "seed {seed} {dialect:?}");
            assert_eq!(back[4], values[0], "seed {seed} {dialect:?}");
            let mut again = Vec::new();
            let mut e = Encoder::new(dialect, &mut again);
            back.iter().for_each(|value| value.encode(&mut e));
            assert_eq!(again, bytes, "seed {seed} {dialect:?}");

            // One by one they are the same, and together they are written as the one body they were.
            let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
            let mut again = Vec::new();
            let mut e = Encoder::new(dialect, &mut again);
            for (index, value) in back.iter().enumerate() {
                let alone = d.value().unwrap_or_else(|error| {
                    panic!("seed {seed} {dialect:?} value {index}: {error}")
                });
                assert_eq!(
                    alone, *value,
                    "seed {seed} {dialect:?}: value {index} alone"
                );
                alone.into_owned().encode(&mut e);
            }
            assert_eq!(again, bytes, "seed {seed} {dialect:?}: one by one");
        }
    }
}
