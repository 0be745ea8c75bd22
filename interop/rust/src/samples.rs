//! Arguments for the calls, as `Samples.java` has them.

use std::collections::{HashMap, HashSet};

use diwan::hessian::{
    BigDecimal, Bytes, Date, Duration, Instant, JavaArray, LocalDate, LocalDateTime, LocalTime,
    Locale, MonthDay, OffsetDateTime, OffsetTime, Period, Shared, Year, YearMonth, ZoneId,
    ZoneOffset, ZonedDateTime,
};

use crate::{Cook, Dish, Drawer, Everything, Heat, Item, Knife, Node, Pan, Spice, Times, Tool};

/// One, two, three and four bytes in UTF-8, a flag of two pairs, a combining accent, NUL and DEL.
pub const UNICODE: &str =
    "a\u{e9}\u{4e2d}\u{1f600}\u{1f1e8}\u{1f1f3}e\u{301}\0\u{7f}\u{7ff}\u{800}\u{ffff}";

/// Numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        (self.number() % u64::from(bound)) as u32
    }

    /// Text of fewer than `chars_max` characters over all planes.
    pub fn text(&mut self, chars_max: u32) -> String {
        (0..self.below(chars_max)).map(|_| self.letter()).collect()
    }

    fn letter(&mut self) -> char {
        let (first, count) = match self.below(5) {
            0 => (0x1_0000, 0x10_0000),
            1 => (0x4e00, 0x5000),
            2 => (0x80, 0x780),
            _ => (0x20, 0x5f),
        };
        char::from_u32(first + self.below(count)).unwrap_or('?')
    }
}

/// More than 64k units; every chunk limit of the encoders falls into a surrogate pair for one of the two parities.
pub fn long_text(is_odd: bool) -> String {
    let first = if is_odd { "x" } else { "" };
    format!("{first}{}\u{4e2d}\u{6587} end", "\u{1f600}".repeat(35_000))
}

/// Bytes that follow a rule.
pub fn bytes(length: usize) -> Bytes {
    Bytes((0..length).map(|i| (i * 31 + (i >> 8)) as u8).collect())
}

/// A decimal number; 0 if the text is none.
pub fn decimal(text: &str) -> BigDecimal {
    BigDecimal::new(text).unwrap_or_default()
}

/// The n-th dish.
pub fn dish(n: i32) -> Dish {
    Dish {
        price_cents: 100 * n + 99,
        vegan: n % 2 == 0,
        spice: Some([Spice::Salt, Spice::Pepper, Spice::Chili][n as usize % 3]),
        weight_kg: Some(decimal(&format!("{}.{:03}", n / 4, n % 4 * 250))),
        notes: Some(vec![format!("note {n}"), "hot".into()]),
        item: Item {
            id: 1_000_000_000_000 + i64::from(n),
            name: Some(format!("dish-{n} \u{83dc}\u{1f35c}")),
        },
    }
}

/// The first of them.
pub fn dishes(count: i32) -> Vec<Option<Dish>> {
    (0..count).map(|n| Some(dish(n))).collect()
}

/// Everything but what is inside.
pub fn everything(n: i32) -> Everything {
    Everything {
        flag: true,
        tiny: (n - 128) as i8,
        small: (n - 32768) as i16,
        number: i32::MAX - 1 - n,
        big: i64::MIN + i64::from(n),
        ratio: 0.1 * n as f32,
        exact: std::f64::consts::PI * f64::from(n),
        letter: '\u{83dc}',
        boxed_flag: Some(false),
        boxed_tiny: Some(n as i8),
        boxed_small: Some((1000 + n) as i16),
        boxed_number: Some(-70_000 - n),
        boxed_big: Some(5_000_000_000 + i64::from(n)),
        boxed_ratio: Some(-2.5),
        boxed_exact: Some(1e300),
        boxed_letter: Some('k'),
        text: Some(format!("{UNICODE}{n}")),
        raw: Some(bytes(20 + n as usize)),
        when: Some(Date(1_585_267_200_123 + i64::from(n))),
        price: Some(decimal("-12345678901234567890.0123456789")),
        huge: format!(
            "{}",
            123_456_789_012_345_678_901_234_567_890 + i128::from(n)
        )
        .parse()
        .ok(),
        spice: Some(Spice::Pepper),
        locale: Locale::new("zh_CN"),
        dishes: Some(dishes(3)),
        tags: Some(words(&["red", "green", "b\u{fc}ro"])),
        counts: Some(HashMap::from([
            ("one".into(), Some(1)),
            ("many".into(), Some(100_000 + n)),
        ])),
        names: Some(JavaArray(vec![Some("x".into()), None, Some("z".into())])),
        numbers: Some(JavaArray(vec![-1, 0, 1, 300_000])),
        menu: Some(JavaArray(vec![Some(dish(7)), None])),
        tool: Some(knife(12.5)),
        inner: Some(Box::default()),
    }
}

/// A set of them.
pub fn words(words: &[&str]) -> HashSet<Option<String>> {
    words.iter().map(|word| Some((*word).to_owned())).collect()
}

/// A knife.
pub fn knife(length_cm: f64) -> Tool {
    Tool::Knife(Knife { length_cm })
}

/// A pan.
pub fn pan(diameter_cm: i32, lid: bool) -> Tool {
    Tool::Pan(Pan { diameter_cm, lid })
}

/// A drawer whose favourite is none of its tools.
pub fn drawer(further: &[Tool]) -> Drawer {
    let tools = [
        Some(knife(20.25)),
        Some(pan(24, false)),
        None,
        Some(knife(9.0)),
    ];
    let tools = tools.into_iter().chain(further.iter().cloned().map(Some));
    Drawer {
        favourite: Some(Shared::new(pan(28, true))),
        tools: tools.map(|tool| tool.map(Shared::new)).collect(),
    }
}

/// Every type of `java.time`.
pub fn times() -> Times {
    let local = |nano| LocalDateTime {
        date: date(2020, 3, 27),
        time: time(8, 0, 0, nano),
    };
    let offset = |seconds| ZoneOffset { seconds };
    Times {
        local_date: Some(date(2024, 2, 28)),
        local_time: Some(time(23, 59, 58, 123_456_789)),
        local_date_time: Some(LocalDateTime {
            date: date(1969, 12, 31),
            time: time(23, 30, 0, 1),
        }),
        instant: Some(instant(-1, 999_999_999)),
        duration: Some(duration(-3, 5)),
        period: Some(Period {
            years: 1,
            months: -2,
            days: 3,
        }),
        year: Some(Year { year: 2020 }),
        year_month: Some(YearMonth {
            year: 2020,
            month: 3,
        }),
        month_day: Some(MonthDay { month: 2, day: 29 }),
        offset_date_time: Some(OffsetDateTime {
            date_time: local(5),
            offset: offset(19_800),
        }),
        offset_time: Some(OffsetTime {
            time: time(8, 0, 0, 6),
            offset: offset(-10_800),
        }),
        zoned_date_time: Some(ZonedDateTime {
            zone_id: "Asia/Shanghai".into(),
            date_time: local(7),
            offset: offset(28_800),
        }),
        zone_offset: Some(offset(28_800)),
        zone_id: Some(ZoneId {
            id: "Europe/Berlin".into(),
        }),
    }
}

/// A date.
pub fn date(year: i32, month: i32, day: i32) -> LocalDate {
    LocalDate { year, month, day }
}

/// A time of day.
pub fn time(hour: i32, minute: i32, second: i32, nano: i32) -> LocalTime {
    LocalTime {
        hour,
        minute,
        second,
        nano,
    }
}

/// An instant.
pub fn instant(seconds: i64, nanos: i32) -> Instant {
    Instant { seconds, nanos }
}

/// A duration.
pub fn duration(seconds: i64, nanos: i32) -> Duration {
    Duration { seconds, nanos }
}

/// a -> b -> c -> a with peers that are shared, and a peer that is the node itself.
pub fn cycle() -> Shared<Node> {
    let node = |name: &str, next: Shared<Node>, peers: Vec<Shared<Node>>| Node {
        name: Some(name.into()),
        next: Some(next),
        peers,
    };
    Shared::new_cyclic(|a| {
        let c = Shared::new(node("c", a.clone(), Vec::new()));
        let b = Shared::new(node("b", c.clone(), vec![c.clone(), c.clone()]));
        node("a", b.clone(), vec![c, a, b])
    })
}

/// A node without neighbours.
pub fn lonely(name: &str) -> Shared<Node> {
    Shared::new(Node {
        name: Some(name.into()),
        ..Node::default()
    })
}

/// A message with every field.
pub fn cook() -> Cook {
    Cook {
        dish: "dish \u{83dc}\u{1f35c}".into(),
        portions: -1,
        raw: bytes(300).0,
        notes: vec!["a".into(), String::new(), "c".into()],
        counts: HashMap::from([("k".into(), 1 << 40)]),
        weight_kg: 0.3,
        heat: Heat::Warm.into(),
        side: Some(Box::new(Cook {
            dish: "side".into(),
            heat: Heat::Hot.into(),
            ..Cook::default()
        })),
    }
}
