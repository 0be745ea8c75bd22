//! The fuzz targets over a corpus and seeded damage of it. A failure names the seed; `HESSIAN_LONG` runs ten times as
//! many.

mod bolt;
mod corpus;

use bolt::bolt_content;
use corpus::{FILES, cases};
use diwan_hessian::testing::{Random, fuzz_draft, fuzz_final, generate, mutate};
use diwan_hessian::{Dialect, Encode, Encoder, Value};

/// A fuzz target.
type Target = fn(&[u8]);

const DIALECTS: [(Dialect, Target); 2] =
    [(Dialect::Draft, fuzz_draft), (Dialect::Final, fuzz_final)];

fn seeds(count: u64) -> std::ops::Range<u64> {
    0..if std::env::var_os("HESSIAN_LONG").is_some() {
        count * 10
    } else {
        count
    }
}

/// Says which seed it was when a target panics.
struct Seed<'s>(&'s str, u64);

impl Drop for Seed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} seed {}", self.0, self.1);
        }
    }
}

fn write(dialect: Dialect, value: &Value<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut Encoder::new(dialect, &mut bytes));
    bytes
}

/// What Java wrote and whole request frames, as they are and damaged, for the reader of either dialect.
#[test]
fn corpus_and_its_damage() {
    let mut corpus: Vec<(String, Vec<u8>)> = Vec::new();
    for (_, file) in FILES {
        corpus.extend(cases(file).map(|(name, bytes)| (name.to_string(), bytes)));
    }
    for frame in [
        &include_bytes!("golden/bolt-order.bin")[..],
        include_bytes!("golden/bolt-echo100.bin"),
    ] {
        corpus.push(("bolt".into(), bolt_content(frame).to_vec()));
    }
    corpus.push((
        "dubbo".into(),
        include_bytes!("golden/dubbo-order.bin")[16..].to_vec(),
    ));
    for (name, bytes) in &corpus {
        // Long strings and bytes teach nothing after the first damage.
        let times = if bytes.len() > 4096 { 4 } else { 60 };
        for seed in seeds(times) {
            let _seed = Seed(name, seed);
            let mut damaged = bytes.clone();
            if seed > 0 {
                mutate(&mut damaged, &mut Random::new(seed));
            }
            fuzz_draft(&damaged);
            fuzz_final(&damaged);
        }
    }
}

#[test]
fn damaged_random_bodies() {
    for seed in seeds(20_000) {
        let _seed = Seed("random body", seed);
        let mut random = Random::new(seed);
        let value = generate(random.number());
        for (dialect, fuzz) in DIALECTS {
            let mut bytes = write(dialect, &value);
            mutate(&mut bytes, &mut random);
            fuzz(&bytes);
        }
    }
}

#[test]
fn noise() {
    for seed in seeds(20_000) {
        let _seed = Seed("noise", seed);
        let mut random = Random::new(seed);
        let length = random.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
        fuzz_draft(&bytes);
        fuzz_final(&bytes);
    }
}
