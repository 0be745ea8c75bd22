//! Properties of both dialects over arbitrary values and bytes (proptest prints what fails, shrunk, and its seed).

use std::collections::{BTreeMap, BTreeSet};

use diwan_hessian::testing::{fuzz_draft, fuzz_final, generate};
use diwan_hessian::{
    BigDecimal, BigInteger, Bytes, Date, Decode, Decoder, Dialect, Encode, Encoder, Hessian,
    Instant, JavaArray, JavaMap, Limits, LocalDate, LocalDateTime, LocalTime, Shared, StackFrame,
    Throwable, Value,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Everything")]
struct Everything {
    flag: bool,
    byte: i8,
    short: i16,
    int: i32,
    long: i64,
    float: f32,
    double: f64,
    letter: char,
    text: String,
    maybe: Option<String>,
    boxed: Option<Box<Everything>>,
    date: Date,
    raw: Bytes,
    decimal: BigDecimal,
    integer: BigInteger,
    list: Vec<Option<i64>>,
    array: JavaArray<i32>,
    nested: Vec<Vec<String>>,
    set: BTreeSet<i32>,
    map: BTreeMap<String, f64>,
    pairs: JavaMap<i32, Vec<bool>>,
    when: LocalDateTime,
    instant: Instant,
    color: Color,
    shape: Option<Shape>,
    error: Option<Throwable>,
    any: Value<'static>,
}

#[derive(Clone, Copy, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Color")]
enum Color {
    Red,
    Green,
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Shape")]
enum Shape {
    Circle(Circle),
    Dot(Dot),
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Circle")]
struct Circle {
    radius: f64,
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Dot")]
struct Dot {}

/// Any double but NaN, which equals nothing, and -0.0, which Java writes as 0.0.
fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<i32>().prop_map(f64::from),
        any::<i32>().prop_map(|n| f64::from(n) / 1000.0)
    ]
    .prop_filter_map("NaN", |d| (!d.is_nan()).then_some(d + 0.0))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,40}",
        any::<String>(),
        vec(any::<char>(), 0..100).prop_map(|chars| chars.into_iter().collect())
    ]
}

fn throwable() -> impl Strategy<Value = Throwable> {
    let frame = (text(), text(), of(text()), any::<i32>()).prop_map(
        |(declaring_class, method_name, file_name, line_number)| StackFrame {
            declaring_class,
            method_name,
            file_name,
            line_number,
        },
    );
    let one = (
        "[a-zA-Z.]{1,40}",
        of(text()),
        vec(frame, 0..4),
        vec(any::<i32>(), 0..3),
    )
        .prop_map(|(class, message, stack, numbers)| Throwable {
            class,
            message,
            stack,
            fields: numbers
                .iter()
                .enumerate()
                .map(|(i, n)| (format!("field{i}"), Value::int(*n)))
                .collect(),
            ..Throwable::default()
        });
    vec(one, 1..4).prop_map(|chain| {
        let outer = |cause: Option<Box<Throwable>>, throwable| {
            Some(Box::new(Throwable { cause, ..throwable }))
        };
        *chain.into_iter().fold(None, outer).expect("one at least")
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    let scalars = (
        any::<bool>(),
        any::<i8>(),
        any::<i16>(),
        any::<i32>(),
        any::<i64>(),
        any::<i32>(),
        double(),
        any::<char>(),
    );
    let texts = (
        text(),
        of(text()),
        any::<i64>(),
        vec(any::<u8>(), 0..5000),
        "-?[0-9]{1,30}(\\.[0-9]{1,10})?",
        any::<i128>(),
    );
    let lists = (
        vec(of(any::<i64>()), 0..20),
        vec(any::<i32>(), 0..300),
        vec(vec(text(), 0..3), 0..10),
        btree_set(any::<i32>(), 0..10),
        btree_map(text(), double(), 0..10),
        vec((any::<i32>(), vec(any::<bool>(), 0..4)), 0..5),
    );
    let others = (
        any::<[i32; 3]>(),
        any::<[i32; 4]>(),
        any::<i64>(),
        any::<bool>(),
        of(of(double())),
        of(throwable()),
        any::<u64>(),
    );
    (scalars, texts, lists, others).prop_map(|(scalars, texts, lists, others)| {
        let (flag, byte, short, int, long, float, double, letter) = scalars;
        let (text, maybe, date, raw, decimal, integer) = texts;
        let (list, array, nested, set, map, pairs) = lists;
        let (day, time, seconds, green, shape, error, seed) = others;
        let date_of = LocalDate {
            year: day[0],
            month: day[1],
            day: day[2],
        };
        let time_of = LocalTime {
            hour: time[0],
            minute: time[1],
            second: time[2],
            nano: time[3],
        };
        Everything {
            flag,
            byte,
            short,
            int,
            long,
            float: float as f32 / 8.0,
            double,
            letter,
            text,
            maybe,
            boxed: None,
            date: Date(date),
            raw: Bytes(raw),
            decimal: BigDecimal::new(decimal).expect("a decimal"),
            integer: integer.into(),
            list,
            array: JavaArray(array),
            nested,
            set,
            map,
            pairs: JavaMap(pairs),
            when: LocalDateTime {
                date: date_of,
                time: time_of,
            },
            instant: Instant {
                seconds,
                nanos: day[0],
            },
            color: if green { Color::Green } else { Color::Red },
            shape: shape.map(|radius| {
                radius.map_or(Shape::Dot(Dot {}), |radius| {
                    Shape::Circle(Circle { radius })
                })
            }),
            error,
            any: generate(seed),
        }
    })
}

fn write(dialect: Dialect, value: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut Encoder::new(dialect, &mut bytes));
    bytes
}

fn read<T: for<'de> Decode<'de>>(dialect: Dialect, bytes: &[u8]) -> T {
    let mut d = Decoder::with(bytes, Some(dialect), Limits::default());
    let value = T::decode(&mut d).expect("what was written");
    assert!(d.is_empty(), "bytes left");
    value
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn typed_values_survive(inner in everything(), outer in everything()) {
        let value = Everything { boxed: Some(Box::new(inner)), ..outer };
        for dialect in [Dialect::Draft, Dialect::Final] {
            let bytes = write(dialect, &value);
            prop_assert_eq!(&read::<Everything>(dialect, &bytes), &value);
            // By way of a value the bytes are the same, and shared typed reading sees the same.
            let any: Value<'static> = read(dialect, &bytes);
            prop_assert_eq!(&write(dialect, &any), &bytes);
            let shared: Shared<Everything> = read(dialect, &bytes);
            prop_assert_eq!(&*shared.get().expect("finished"), &value);
            let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
            prop_assert_eq!(d.skip(), Ok(()));
            prop_assert!(d.is_empty());
        }
    }

    #[test]
    fn one_dialect_becomes_the_other(seed in any::<u64>()) {
        let value = generate(seed);
        let draft: Value<'static> = read(Dialect::Draft, &write(Dialect::Draft, &value));
        let last: Value<'static> = read(Dialect::Final, &write(Dialect::Final, &draft));
        prop_assert_eq!(last.describe(), value.describe());
    }

    #[test]
    fn strings_survive(text in prop_oneof![text(), (any::<char>(), 32_760usize..32_780).prop_map(|(c, n)| c.to_string().repeat(n))]) {
        for dialect in [Dialect::Draft, Dialect::Final] {
            let bytes = write(dialect, &text);
            prop_assert_eq!(&read::<String>(dialect, &bytes), &text);
        }
    }

    #[test]
    fn numbers_survive(int in any::<i32>(), long in any::<i64>(), shift in 0u32..64, double in double(), ms in any::<i64>()) {
        for dialect in [Dialect::Draft, Dialect::Final] {
            prop_assert_eq!(read::<i32>(dialect, &write(dialect, &(int >> (shift % 32)))), int >> (shift % 32));
            prop_assert_eq!(read::<i64>(dialect, &write(dialect, &(long >> shift))), long >> shift);
            prop_assert_eq!(read::<f64>(dialect, &write(dialect, &double)).to_bits(), double.to_bits());
            prop_assert_eq!(read::<Date>(dialect, &write(dialect, &Date(ms >> shift))), Date(ms >> shift));
            // An int is read as a long and a double too, and back where nothing is lost.
            prop_assert_eq!(read::<i64>(dialect, &write(dialect, &int)), i64::from(int));
            prop_assert_eq!(read::<f64>(dialect, &write(dialect, &int)), f64::from(int));
            prop_assert_eq!(read::<i32>(dialect, &write(dialect, &f64::from(int))), int);
        }
    }

    #[test]
    fn big_integers_print_as_numbers(number in any::<i128>()) {
        let big = BigInteger::from(number);
        prop_assert_eq!(big.to_string(), number.to_string());
        prop_assert_eq!(number.to_string().parse::<BigInteger>(), Ok(big));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        fuzz_draft(&bytes);
        fuzz_final(&bytes);
    }
}
