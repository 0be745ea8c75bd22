//! How long the 20-field `Order` of the Java benchmark takes: nanoseconds a value, one thread, best of 15 rounds.

#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

#[path = "../tests/bolt/mod.rs"]
mod bolt;
#[path = "../tests/order/mod.rs"]
mod order;

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Instant;

use bolt::{SofaRequest, bolt_content};
use diwan_hessian::{
    BigDecimal, Date, Decode, Decoder, Dialect, Encode, Encoder, Hessian, JavaMap, Limits,
};
use order::Order;

const ROUNDS: usize = 15;

/// The same class with strings lent from the input.
#[derive(Hessian)]
#[hessian(class = "com.diwan.bench.Order")]
struct LentOrder<'a> {
    order_id: Cow<'a, str>,
    user_id: Cow<'a, str>,
    channel: Cow<'a, str>,
    currency: Cow<'a, str>,
    remark: Cow<'a, str>,
    coupon_code: Cow<'a, str>,
    status: i32,
    item_count: i32,
    priority: i32,
    created_at_ms: i64,
    version: i64,
    weight_kg: f64,
    discount_rate: f64,
    paid: bool,
    gift: bool,
    deliver_by: Date,
    amount: BigDecimal,
    skus: Vec<Cow<'a, str>>,
    labels: JavaMap<Cow<'a, str>, Cow<'a, str>>,
    address: LentAddress<'a>,
}

#[derive(Hessian)]
#[hessian(class = "com.diwan.bench.Address")]
struct LentAddress<'a> {
    street: Cow<'a, str>,
    city: Cow<'a, str>,
    zip: Cow<'a, str>,
    country: Cow<'a, str>,
    latitude: f64,
    longitude: f64,
}

fn main() {
    // The end of a name and how often: `speed "Draft decode typed" 100` under callgrind.
    let only = std::env::args().nth(1);
    let times = std::env::args()
        .nth(2)
        .and_then(|times| times.parse().ok())
        .unwrap_or(50_000);
    let measure = |name: &str, body: &mut dyn FnMut()| {
        if only
            .as_ref()
            .is_none_or(|only| name.ends_with(only.as_str()))
        {
            println!("{name:<32} {:>8.1} ns", best_ns(times, body));
        }
    };
    let order = Order::sample();
    // What the allocator takes of a typed decode.
    measure("clone and drop", &mut || {
        black_box(black_box(&order).clone());
    });
    measure("reader of a null", &mut || {
        let mut d = Decoder::with(black_box(b"N"), Some(Dialect::Draft), Limits::default());
        black_box(d.take_null().expect("a null"));
    });
    let mut null = Vec::with_capacity(16);
    measure("writer of a null", &mut || {
        null.clear();
        Encoder::new(black_box(Dialect::Draft), &mut null).null();
        black_box(&null);
    });
    for dialect in [Dialect::Draft, Dialect::Final] {
        let mut bytes = Vec::new();
        order.encode(&mut Encoder::new(dialect, &mut bytes));
        println!("{dialect:?}: {} bytes", bytes.len());

        let mut out = Vec::with_capacity(4096);
        measure(&format!("{dialect:?} encode typed"), &mut || {
            out.clear();
            black_box(&order).encode(&mut Encoder::new(dialect, &mut out));
            black_box(&out);
        });
        let decoder = || Decoder::with(black_box(&bytes), Some(dialect), Limits::default());
        measure(&format!("{dialect:?} decode typed"), &mut || {
            black_box(Order::decode(&mut decoder()).expect("an order"));
        });
        measure(&format!("{dialect:?} decode typed, lent"), &mut || {
            black_box(LentOrder::decode(&mut decoder()).expect("an order"));
        });
        measure(&format!("{dialect:?} decode value"), &mut || {
            black_box(decoder().value().expect("a value"));
        });
        measure(&format!("{dialect:?} skip"), &mut || {
            decoder().skip().expect("a value");
        });
        let value = decoder().value().expect("a value");
        measure(&format!("{dialect:?} encode value"), &mut || {
            out.clear();
            black_box(&value).encode(&mut Encoder::new(dialect, &mut out));
            black_box(&out);
        });
    }
    for (name, frame) in [
        (
            "echo100",
            &include_bytes!("../tests/golden/bolt-echo100.bin")[..],
        ),
        (
            "order",
            &include_bytes!("../tests/golden/bolt-order.bin")[..],
        ),
    ] {
        let content = bolt_content(frame);
        measure(&format!("SofaRequest {name} typed"), &mut || {
            let mut d = Decoder::with(black_box(content), Some(Dialect::Draft), Limits::default());
            black_box(SofaRequest::decode(&mut d).expect("a request"));
        });
        measure(&format!("SofaRequest {name} skip"), &mut || {
            let mut d = Decoder::with(black_box(content), Some(Dialect::Draft), Limits::default());
            d.skip().expect("a request");
        });
    }
}

fn best_ns(times: usize, body: &mut dyn FnMut()) -> f64 {
    let round = |body: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..times {
            body();
        }
        start.elapsed().as_nanos() as f64 / times as f64
    };
    (0..ROUNDS)
        .map(|_| round(body))
        .fold(f64::INFINITY, f64::min)
}
