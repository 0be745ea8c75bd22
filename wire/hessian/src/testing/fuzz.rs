//! What must hold for any bytes at all.

use crate::types::{BigDecimal, BigInteger, Date, Shared, Throwable};
use crate::{Decode, Decoder, Dialect, Encode, Encoder, Hessian, Limits, Value};

/// Fuzz target of the draft.
pub fn fuzz_draft(data: &[u8]) {
    fuzz(Dialect::Draft, data);
}

/// Fuzz target of the final version.
pub fn fuzz_final(data: &[u8]) {
    fuzz(Dialect::Final, data);
}

/// Nothing panics; what can be read can be skipped to the same place, and written and read again to the same value.
fn fuzz(dialect: Dialect, data: &[u8]) {
    let decoder = || Decoder::with(data, Some(dialect), LIMITS);
    let mut d = decoder();
    let value = d.value();
    let mut skipper = decoder();
    let skipped = skipper.skip();
    if let Ok(value) = value {
        // Skipping checks less (no string is decoded, no reference followed), never more.
        skipped.expect("what can be read can be skipped");
        assert_eq!(skipper.position(), d.position(), "skipping ends elsewhere");
        again(dialect, &value);
    }
    // A body of several values, by way of an undecided reader too.
    let _ = Decoder::with(data, None, LIMITS).values(3);
    typed::<Vec<Value<'static>>>(dialect, data);
    typed::<Vec<Vec<String>>>(dialect, data);
    typed::<Vec<Option<i64>>>(dialect, data);
    typed::<crate::types::JavaMap<String, f64>>(dialect, data);
    typed::<Vec<Shared<Vec<Shared<Date>>>>>(dialect, data);
    typed::<Node>(dialect, data);
    typed::<Vec<Option<Wide>>>(dialect, data);
    typed::<Vec<Either>>(dialect, data);
    typed::<Throwable>(dialect, data);
    typed::<BigDecimal>(dialect, data);
    typed::<BigInteger>(dialect, data);
    typed::<crate::types::ZonedDateTime>(dialect, data);
}

/// A class of `generate`, with identity.
#[derive(Hessian)]
#[hessian(crate = "crate", class = "com.x.Node")]
struct Node {
    next: Option<Shared<Node>>,
    value: Value<'static>,
}

/// Another one, read again at every reference.
#[derive(Hessian)]
#[hessian(crate = "crate", class = "com.x.Wide")]
struct Wide {
    a: Option<Box<Wide>>,
    b: Vec<Value<'static>>,
    c: String,
    d: Option<i64>,
    e: Value<'static>,
}

#[derive(Hessian)]
#[hessian(crate = "crate")]
enum Either {
    Node(Box<Node>),
    Wide(Wide),
    #[hessian(other)]
    Other(Value<'static>),
}

/// Smaller than the default, so that one bomb does not stop a fuzzer for seconds.
const LIMITS: Limits = Limits {
    depth_max: 64,
    elements_max: 100_000,
};

fn typed<T: for<'de> Decode<'de>>(dialect: Dialect, data: &[u8]) {
    if let Err(error) = T::decode(&mut Decoder::with(data, Some(dialect), LIMITS)) {
        assert!(error.offset() <= data.len(), "{error}");
    }
}

fn again(dialect: Dialect, value: &Value<'_>) {
    let mut bytes = Vec::new();
    value.encode(&mut Encoder::new(dialect, &mut bytes));
    let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
    let second = d.value().expect("what was written can be read");
    assert!(d.is_empty(), "bytes left after the value that was written");
    assert_eq!(*value, second);
    assert_eq!(value.describe(), second.describe(), "identity is kept");
}
