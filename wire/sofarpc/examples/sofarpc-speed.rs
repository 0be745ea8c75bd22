//! How long the head of a request takes, up to its arguments: nanoseconds a request, one thread, best of 15 rounds.

#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use std::hint::black_box;
use std::time::Instant;

use diwan_bolt::{Decoded, decode};
use diwan_hessian::{Decoder, Limits};
use diwan_sofarpc::Request;

const ROUNDS: usize = 15;

/// A call of Java's client 5.13.2 with one string of 100 characters.
const ECHO_FRAME: &[u8] = include_bytes!("../../../bench/frames/bolt-echo100.bin");

fn main() {
    // How often, a round: few under callgrind.
    let times: usize = std::env::args()
        .nth(1)
        .and_then(|times| times.parse().ok())
        .unwrap_or(50_000);
    let Ok(Decoded::Frame { frame, .. }) = decode(ECHO_FRAME, 1 << 20) else {
        panic!("the recording is no frame");
    };
    let round = || {
        let start = Instant::now();
        for _ in 0..times {
            let mut decoder = Decoder::with(black_box(frame.content), None, Limits::default());
            black_box(Request::read(&frame, &mut decoder).is_ok());
            black_box(decoder.str().is_ok());
        }
        start.elapsed().as_nanos() as f64 / times as f64
    };
    let best = (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min);
    println!("request head and one string: {best:.1} ns");
}
