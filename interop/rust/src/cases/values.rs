//! Scalar values.

use diwan::hessian::{BigInteger, Date, LocalDateTime, Locale};

use super::{Remote, Run, each, equal};
use crate::Times;
use crate::samples::{UNICODE, bytes, date, decimal, duration, instant, long_text, time, times};

fn some<T: Clone>(values: &[T]) -> Vec<Option<T>> {
    values.iter().cloned().map(Some).collect()
}

fn with_null<T: Clone>(values: &[T]) -> Vec<Option<T>> {
    values.iter().cloned().map(Some).chain([None]).collect()
}

fn texts(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|text| Some((*text).into())).collect()
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) async fn run(run: &mut Run, remote: &Remote) {
    each!(run, remote, "boolean", not, [true, false]);
    each!(run, remote, "byte", next_byte, [0, -128, 127, 47, -16]);
    each!(
        run,
        remote,
        "short",
        next_short,
        [0, i16::MIN, i16::MAX, 255, -2048]
    );
    let ints = [
        0,
        -1,
        -16,
        -17,
        46,
        47,
        48,
        2046,
        2047,
        -2048,
        -2049,
        262_142,
        262_143,
        -262_144,
        -262_145,
        i32::MIN,
        i32::MAX,
    ];
    each!(run, remote, "int", next_int, ints);
    let longs = [
        0,
        -8,
        -9,
        14,
        15,
        16,
        2046,
        2047,
        -2048,
        -2049,
        262_142,
        262_143,
        -262_145,
        2_147_483_646,
        2_147_483_647,
        -2_147_483_648,
        -2_147_483_650,
        i64::MIN,
        i64::MAX,
    ];
    each!(run, remote, "long", next_long, longs);
    let floats = [
        0.0,
        1.0,
        0.1,
        2.0,
        255.0,
        1e30,
        f32::from_bits(1),
        f32::MAX,
        f32::NAN,
        f32::INFINITY,
    ];
    // By their bits, so that NaN equals itself.
    each!(run, remote, "float", half_float, floats, f64::to_bits);
    let doubles = [
        0.0,
        2.0,
        0.1,
        254.0,
        -256.0,
        65534.0,
        -65536.0,
        131_072.0,
        1e308,
        f64::from_bits(1),
        f64::NAN,
        f64::NEG_INFINITY,
        std::f64::consts::PI,
    ];
    each!(run, remote, "double", half_double, doubles, f64::to_bits);
    let chars = ['a', '\u{e9}', '\u{4e2d}', '\0', '\u{d7fe}'];
    each!(run, remote, "char", next_char, chars);
    run.case("boxed", async {
        let kitchen = &remote.kitchen;
        equal(&kitchen.not_boxed(Some(true)).await?, &Some(false))?;
        equal(&kitchen.next_boxed_byte(Some(9)).await?, &Some(10))?;
        equal(&kitchen.next_boxed_short(Some(300)).await?, &Some(301))?;
        equal(&kitchen.next_boxed_int(Some(70_000)).await?, &Some(70_001))?;
        let big = 1 << 40;
        equal(&kitchen.next_boxed_long(Some(big)).await?, &Some(big + 1))?;
        equal(&kitchen.half_boxed_float(Some(2.5)).await?, &Some(1.25))?;
        equal(&kitchen.half_boxed_double(Some(0.3)).await?, &Some(0.15))?;
        let letter = kitchen.next_boxed_char(Some('k')).await?;
        equal(&letter, &Some("l".into()))
    })
    .await;
    run.case("boxed-null", async {
        let kitchen = &remote.kitchen;
        equal(&kitchen.not_boxed(None).await?, &None)?;
        equal(&kitchen.next_boxed_byte(None).await?, &None)?;
        equal(&kitchen.next_boxed_short(None).await?, &None)?;
        equal(&kitchen.next_boxed_int(None).await?, &None)?;
        equal(&kitchen.next_boxed_long(None).await?, &None)?;
        equal(&kitchen.half_boxed_float(None).await?, &None)?;
        equal(&kitchen.half_boxed_double(None).await?, &None)?;
        equal(&kitchen.next_boxed_char(None).await?, &None)
    })
    .await;

    let digits = |length: usize| "0123456789abcdef".repeat(length / 16 + 1)[..length].to_owned();
    let short = ["", "a", UNICODE, &digits(31), &digits(32), &digits(1023)];
    each!(run, remote, "string", reverse, texts(&short));
    each!(run, remote, "string-null", reverse, [None::<String>]);
    each!(
        run,
        remote,
        "string-length",
        utf16_length,
        texts(&["", UNICODE, "\u{1f600}"])
    );
    let long = [
        digits(32_768),
        digits(65_536),
        long_text(false),
        long_text(true),
    ];
    each!(run, remote, "string-long", reverse, some(&long));
    each!(run, remote, "bytes-0", flip, [Some(bytes(0))]);
    each!(run, remote, "bytes-15", flip, [Some(bytes(15))]);
    each!(run, remote, "bytes-16", flip, [Some(bytes(16))]);
    let some_bytes = [bytes(1023), bytes(1024), bytes(100_000)];
    each!(run, remote, "bytes-100k", flip, some(&some_bytes));
    each!(run, remote, "bytes-null", flip, [None]);
    each!(run, remote, "bytes-10mb", sum, [Some(bytes(10 << 20))]);
    each!(
        run,
        remote,
        "bytes-10mb-answer",
        flip,
        [Some(bytes(10 << 20))]
    );

    let dates = [
        0,
        -1,
        1_585_267_200_123,
        1_585_267_200_000,
        -128_849_018_940_000,
    ];
    each!(run, remote, "date", next_day, with_null(&dates.map(Date)));
    let decimals = [
        "0",
        "-0.00",
        "12345678.90",
        "1E+30",
        "-98765432109876543210.0123456789",
    ];
    each!(
        run,
        remote,
        "big-decimal",
        negate,
        with_null(&decimals.map(decimal))
    );
    let integers = [
        0,
        -3,
        i128::from(i32::MIN),
        1 << 31,
        1 << 63,
        -123_456_789_012_345_678_901_234_567_890,
    ];
    each!(
        run,
        remote,
        "big-integer",
        square,
        with_null(&integers.map(BigInteger::from))
    );
    let locales = ["zh_CN", "en_US", "de"].map(|text| Locale::new(text).unwrap_or_default());
    each!(run, remote, "locale", language, with_null(&locales));
    each!(
        run,
        remote,
        "local-date",
        next_local_date,
        with_null(&[date(2024, 2, 28), date(-44, 3, 15)])
    );
    each!(
        run,
        remote,
        "local-time",
        next_local_time,
        with_null(&[time(23, 59, 1, 999), time(0, 0, 0, 0)])
    );
    let moment = LocalDateTime {
        date: date(2023, 12, 31),
        time: time(23, 0, 0, 1),
    };
    each!(
        run,
        remote,
        "local-date-time",
        next_local_date_time,
        with_null(&[moment])
    );
    each!(
        run,
        remote,
        "instant",
        next_instant,
        with_null(&[instant(0, 0), instant(-2, 5)])
    );
    each!(
        run,
        remote,
        "duration",
        twice,
        with_null(&[duration(1, 500_000_000), duration(-3, 5)])
    );
    each!(
        run,
        remote,
        "times",
        shift,
        with_null(&[times(), Times::default()])
    );
}
