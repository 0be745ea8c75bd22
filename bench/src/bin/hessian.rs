//! Nanoseconds and allocations of one encode and decode of the sample order, in the draft dialect, one thread. The
//! same measurement as `com.diwan.bench.Main hessianbench` makes for Java. One of them alone: `hessian "decode typed"`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use diwan::hessian::{Decode, Decoder, Dialect, Encode, Encoder, Value};
use diwan_bench::counting::{Counting, allocations_here, count_allocations};
use diwan_bench::{Order, recorded_order};

#[global_allocator]
static COUNTING: Counting = Counting;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(300);

fn main() {
    let order = recorded_order();
    let mut bytes = Vec::new();
    order.encode(&mut Encoder::new(Dialect::Draft, &mut bytes));
    println!("encoded {} bytes", bytes.len());

    let mut out = Vec::with_capacity(4096);
    report("encode typed", || {
        out.clear();
        order.encode(&mut Encoder::new(Dialect::Draft, &mut out));
        black_box(&out);
    });
    report("decode typed", || {
        black_box(Order::decode(&mut Decoder::new(&bytes)).is_ok());
    });
    report("decode Value", || {
        black_box(Decoder::new(&bytes).value().is_ok());
    });
    let value: Value<'_> = Decoder::new(&bytes).value().unwrap_or_default();
    report("encode Value", || {
        out.clear();
        value.encode(&mut Encoder::new(Dialect::Draft, &mut out));
        black_box(&out);
    });
    report("skip", || {
        black_box(Decoder::new(&bytes).skip().is_ok());
    });
}

fn report(what: &str, mut work: impl FnMut()) {
    if std::env::args().nth(1).is_some_and(|only| only != what) {
        return;
    }
    count_allocations(true);
    let before = allocations_here();
    work();
    let allocations = allocations_here() - before;
    count_allocations(false);
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            let mut done = 0;
            while began.elapsed() < ROUND {
                (0..1000).for_each(|_| work());
                done += 1000;
            }
            began.elapsed().as_nanos() as f64 / f64::from(done)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!(
        "{what}: median {:.0} ns, min {:.0}, max {:.0}, {allocations} allocations",
        rounds[ROUNDS / 2],
        rounds[0],
        rounds[ROUNDS - 1]
    );
}
