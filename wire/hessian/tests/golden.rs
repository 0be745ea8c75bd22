//! What Java writes, byte for byte: `golden/Golden.java` with hessian 3.5.5 (SOFARPC 5.14.3) and with hessian-lite
//! 4.0.4 (Dubbo), on Java 17.

mod corpus;
mod order;

use std::fmt::Debug;

use corpus::{FILES, cases};
use diwan_hessian::{
    BigDecimal, BigInteger, Bytes, Date, Decode, Decoder, Dialect, Duration, Encode, Encoder,
    Hessian, Instant, JavaArray, JavaClass, JavaMap, Limits, LocalDate, LocalDateTime, LocalTime,
    Locale, MonthDay, OffsetDateTime, OffsetTime, Period, Throwable, Value, Year, YearMonth,
    ZoneId, ZoneOffset, ZonedDateTime,
};
use order::Order;

fn case(dialect: Dialect, name: &str) -> Vec<u8> {
    let file = if dialect == Dialect::Draft {
        FILES[0].1
    } else {
        FILES[1].1
    };
    cases(file)
        .find(|(case, _)| *case == name)
        .unwrap_or_else(|| panic!("no case {name}"))
        .1
}

/// Long `byte[]` of the final version: its chunks are what was left of the writer's buffer, which had 4,096 bytes in
/// the writers of the conformance collection and has 8,192 in hessian-lite 4.
fn by_buffer(dialect: Dialect, name: &str) -> bool {
    dialect == Dialect::Final && ["bytes:4094", "bytes:32768", "bytes:32769"].contains(&name)
}

#[test]
fn values_are_written_as_java_writes_them() {
    for (dialect, file) in FILES {
        let mut count = 0;
        for (name, bytes) in cases(file) {
            let mut skipper = Decoder::with(&bytes, Some(dialect), Limits::default());
            let mut values = 0;
            while !skipper.is_empty() {
                skipper
                    .skip()
                    .unwrap_or_else(|error| panic!("{dialect:?} {name}: {error}"));
                values += 1;
            }
            let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
            let values = d
                .values(values)
                .unwrap_or_else(|error| panic!("{dialect:?} {name}: {error}"));
            assert!(d.is_empty(), "{dialect:?} {name}");
            let mut again = Vec::new();
            let mut e = Encoder::new(dialect, &mut again);
            values.iter().for_each(|value| value.encode(&mut e));
            assert!(
                again == bytes || by_buffer(dialect, name),
                "{dialect:?} {name}"
            );
            count += 1;
        }
        assert!(count > 100, "only {count} cases");
    }
}

/// Rust types write the very bytes, and read them.
#[test]
fn typed_values_are_the_bytes_of_java() {
    fn check<T: Encode + for<'de> Decode<'de> + PartialEq + Debug>(name: &str, value: T) {
        for dialect in [Dialect::Draft, Dialect::Final] {
            let bytes = case(dialect, name);
            let mut again = Vec::new();
            value.encode(&mut Encoder::new(dialect, &mut again));
            assert!(
                again == bytes || by_buffer(dialect, name),
                "{dialect:?} {name}"
            );
            reads(dialect, name, &value);
        }
    }
    for i in [
        0,
        -16,
        -17,
        47,
        48,
        -2048,
        -2049,
        2047,
        2048,
        -262_144,
        -262_145,
        262_143,
        262_144,
        i32::MIN,
        i32::MAX,
    ] {
        check(&format!("int:{i}"), i);
    }
    for l in [
        -8,
        -9,
        15,
        16,
        2048,
        -262_145,
        -2_147_483_649,
        2_147_483_648,
        i64::MIN,
    ] {
        check(&format!("long:{l}"), l);
    }
    for (name, d) in [
        ("0.5", 0.5),
        ("0.1", 0.1),
        ("12.375", 12.375),
        ("1.0E300", 1e300),
        ("-32769.0", -32769.0),
    ] {
        check(&format!("double:{name}"), d);
    }
    for t in [0, 60_000, 894_621_091_000, -1, 128_849_018_880_000] {
        check(&format!("date:{t}"), Date(t));
    }
    for n in [0, 31, 32, 1024, 32_769, 65_537] {
        check(&format!("string:{n}"), "a".repeat(n));
    }
    check("string:pairs", "😀".repeat(20_000));
    check("string:odd-pairs", format!("a{}", "😀".repeat(20_000)));
    for n in [0, 15, 16, 1024, 4094, 32_769] {
        check(&format!("bytes:{n}"), Bytes(vec![1; n]));
    }
    check("list:ints", vec![1, 2, 3]);
    check("list:256", vec![1; 256]);
    check("array:date", JavaArray(vec![Date(0)]));
    for dialect in [Dialect::Draft, Dialect::Final] {
        let mut bytes = Vec::new();
        let mut e = Encoder::new(dialect, &mut bytes);
        e.value(&JavaArray(vec![JavaArray(vec![1]), JavaArray(vec![2])]));
        e.value(&JavaArray(vec![JavaArray(vec!["a"])]));
        assert_eq!(bytes, case(dialect, "array:nested"), "{dialect:?}");
        bytes.clear();
        let mut e = Encoder::new(dialect, &mut bytes);
        e.value(&JavaArray(vec![1i64]));
        e.value(&JavaArray(vec![1f64]));
        e.value(&JavaArray(vec![1i16]));
        e.value(&JavaArray(vec![true]));
        e.value(&JavaArray(vec![1f32]));
        assert_eq!(bytes, case(dialect, "array:long"), "{dialect:?}");
    }
}

/// Where Java's field order or extra fields differ by version, reading is what counts.
#[test]
fn typed_values_read_what_java_writes() {
    let date = LocalDate {
        year: 2020,
        month: 3,
        day: 27,
    };
    let time = LocalTime {
        hour: 1,
        minute: 2,
        second: 3,
        nano: 4,
    };
    let date_time = LocalDateTime {
        date: date.clone(),
        time: time.clone(),
    };
    let offset = ZoneOffset { seconds: 28_800 };
    for dialect in [Dialect::Draft, Dialect::Final] {
        reads(dialect, "local-date", &date);
        reads(dialect, "local-time", &time);
        reads(dialect, "local-date-time", &date_time);
        reads(
            dialect,
            "instant",
            &Instant {
                seconds: 5,
                nanos: 6,
            },
        );
        reads(
            dialect,
            "duration",
            &Duration {
                seconds: 5,
                nanos: 6,
            },
        );
        reads(
            dialect,
            "period",
            &Period {
                years: 1,
                months: 2,
                days: 3,
            },
        );
        reads(dialect, "year", &Year { year: 2020 });
        reads(
            dialect,
            "year-month",
            &YearMonth {
                year: 2020,
                month: 3,
            },
        );
        reads(dialect, "month-day", &MonthDay { month: 3, day: 27 });
        reads(dialect, "zone-offset", &offset);
        reads(
            dialect,
            "zone-id",
            &ZoneId {
                id: "Asia/Shanghai".into(),
            },
        );
        reads(
            dialect,
            "offset-time",
            &OffsetTime {
                time: time.clone(),
                offset: offset.clone(),
            },
        );
        reads(
            dialect,
            "offset-date-time",
            &OffsetDateTime {
                date_time: date_time.clone(),
                offset: offset.clone(),
            },
        );
        let zoned = ZonedDateTime {
            zone_id: "Asia/Shanghai".into(),
            date_time: date_time.clone(),
            offset: offset.clone(),
        };
        reads(dialect, "zoned-date-time", &zoned);
        reads(
            dialect,
            "decimal",
            &BigDecimal::new("12345678.90").expect("a decimal"),
        );
        let big: BigInteger = "-123456789012345678901234567890"
            .parse()
            .expect("an integer");
        reads(dialect, "integer:big", &big);
        assert_eq!(big.to_string(), "-123456789012345678901234567890");
        reads(dialect, "locale", &Locale::new("zh_CN").expect("a locale"));
        reads(
            dialect,
            "class",
            &JavaClass::new("java.lang.String").expect("a class"),
        );
        reads(dialect, "array:int", &JavaArray(vec![1, 2]));
        reads(
            dialect,
            "array:string",
            &JavaArray(vec![Some("a".to_string()), None]),
        );
        reads(
            dialect,
            "array:nested",
            &JavaArray(vec![JavaArray(vec![1]), JavaArray(vec![2])]),
        );
        reads(dialect, "list:linked", &vec!["a".to_string()]);
        reads(dialect, "map", &JavaMap(vec![("k".to_string(), 1)]));
        reads(dialect, "chars", &'x');

        let throwable: Throwable = read(dialect, "exception");
        assert_eq!(throwable.to_string(), "java.io.IOException: disk");
        assert_eq!(
            (throwable.cause, throwable.stack[0].line_number),
            (None, 12)
        );
        let throwable: Throwable = read(dialect, "exception:cause");
        assert_eq!(throwable.to_string(), "Golden$OrderException: no stock");
        assert_eq!(
            throwable.cause.expect("a cause").to_string(),
            "java.lang.IllegalStateException: inner"
        );
        assert_eq!(throwable.fields.len(), 2);
    }
}

#[derive(Debug, PartialEq, Hessian)]
#[hessian(class = "Golden$Entity")]
struct Entity {
    created: Date,
    id: i64,
    note: String,
}

#[derive(Debug, PartialEq, Hessian)]
#[hessian(class = "Golden$User")]
struct User {
    #[hessian(extends)]
    entity: Entity,
    roles: Vec<String>,
    name: String,
    age: Option<i32>,
    any: Value<'static>,
    raw: Bytes,
}

#[derive(Debug, PartialEq, Hessian)]
#[hessian(class = "Golden$Numbers")]
struct Numbers {
    b: i8,
    s: i16,
    i: i32,
    l: i64,
    f: f32,
    d: f64,
    z: bool,
    c: char,
}

/// Declared as the Java classes declare them, the draft comes out as Java writes it; Dubbo's order is another, which a
/// reader by name does not see.
#[test]
fn derived_structs() {
    let user = User {
        entity: Entity {
            created: Date(5),
            id: 9,
            note: "inherited".into(),
        },
        roles: vec!["r".into()],
        name: "n".into(),
        age: Some(7),
        any: Value::str("o"),
        raw: Bytes(vec![1, 2]),
    };
    let numbers = Numbers {
        b: 1,
        s: 2,
        i: 3,
        l: 4,
        f: 0.5,
        d: 0.25,
        z: true,
        c: 'x',
    };
    for dialect in [Dialect::Draft, Dialect::Final] {
        reads(dialect, "user", &user);
        reads(dialect, "numbers", &numbers);
    }
    let mut bytes = Vec::new();
    user.encode(&mut Encoder::new(Dialect::Draft, &mut bytes));
    assert_eq!(bytes, case(Dialect::Draft, "user"));
    bytes.clear();
    numbers.encode(&mut Encoder::new(Dialect::Draft, &mut bytes));
    assert_eq!(bytes, case(Dialect::Draft, "numbers"));
}

/// A request of Dubbo 3's Java client: 16 bytes of header, then final Hessian values.
#[test]
fn dubbo_request() {
    let frame = include_bytes!("golden/dubbo-order.bin");
    let mut d = Decoder::new(&frame[16..]);
    let mut texts = Vec::new();
    for _ in 0..5 {
        texts.push(d.str().expect("a string").expect("not null").into_owned());
    }
    assert_eq!(
        texts,
        [
            "2.0.2",
            "com.diwan.bench.Echo",
            "1.0",
            "order",
            "Lcom/diwan/bench/Order;"
        ]
    );
    assert_eq!(d.dialect(), None, "strings tell nothing");
    assert_eq!(Order::decode(&mut d).expect("an order"), Order::sample());
    assert_eq!(d.dialect(), Some(Dialect::Final));
    let attachments: JavaMap<String, String> = d.get().expect("attachments");
    assert!(attachments.0.contains(&("timeout".into(), "3000".into())));
    assert!(d.is_empty());
}

fn read<T: for<'de> Decode<'de>>(dialect: Dialect, name: &str) -> T {
    let bytes = case(dialect, name);
    let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
    T::decode(&mut d).unwrap_or_else(|error| panic!("{dialect:?} {name}: {error}"))
}

fn reads<T: for<'de> Decode<'de> + PartialEq + Debug>(dialect: Dialect, name: &str, expected: &T) {
    assert_eq!(read::<T>(dialect, name), *expected, "{dialect:?} {name}");
}
