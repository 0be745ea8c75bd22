//! One field of every kind, and every type of `java.time`.
#![allow(
    missing_docs,
    reason = "the names say it; the Java classes are the specification"
)]

use std::collections::{HashMap, HashSet};

use diwan::Hessian;
use diwan::hessian::{
    BigDecimal, BigInteger, Bytes, Date, Duration, Instant, JavaArray, LocalDate, LocalDateTime,
    LocalTime, Locale, MonthDay, OffsetDateTime, OffsetTime, Period, Year, YearMonth, ZoneId,
    ZoneOffset, ZonedDateTime,
};

use crate::{Dish, Spice, Tool};

/// A fresh one has null wherever Java allows it.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.diwan.interop.Everything")]
pub struct Everything {
    pub flag: bool,
    pub tiny: i8,
    pub small: i16,
    pub number: i32,
    pub big: i64,
    pub ratio: f32,
    pub exact: f64,
    pub letter: char,
    pub boxed_flag: Option<bool>,
    pub boxed_tiny: Option<i8>,
    pub boxed_small: Option<i16>,
    pub boxed_number: Option<i32>,
    pub boxed_big: Option<i64>,
    pub boxed_ratio: Option<f32>,
    pub boxed_exact: Option<f64>,
    pub boxed_letter: Option<char>,
    pub text: Option<String>,
    pub raw: Option<Bytes>,
    pub when: Option<Date>,
    pub price: Option<BigDecimal>,
    pub huge: Option<BigInteger>,
    pub spice: Option<Spice>,
    pub locale: Option<Locale>,
    pub dishes: Option<Vec<Option<Dish>>>,
    pub tags: Option<HashSet<Option<String>>>,
    pub counts: Option<HashMap<String, Option<i32>>>,
    pub names: Option<JavaArray<Option<String>>>,
    pub numbers: Option<JavaArray<i32>>,
    pub menu: Option<JavaArray<Option<Dish>>>,
    pub tool: Option<Tool>,
    pub inner: Option<Box<Everything>>,
}

/// Every type of `java.time` that Hessian has a handle for.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.diwan.interop.Times")]
pub struct Times {
    pub local_date: Option<LocalDate>,
    pub local_time: Option<LocalTime>,
    pub local_date_time: Option<LocalDateTime>,
    pub instant: Option<Instant>,
    pub duration: Option<Duration>,
    pub period: Option<Period>,
    pub year: Option<Year>,
    pub year_month: Option<YearMonth>,
    pub month_day: Option<MonthDay>,
    pub offset_date_time: Option<OffsetDateTime>,
    pub offset_time: Option<OffsetTime>,
    pub zoned_date_time: Option<ZonedDateTime>,
    pub zone_offset: Option<ZoneOffset>,
    pub zone_id: Option<ZoneId>,
}
