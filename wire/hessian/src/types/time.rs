//! Dates and `java.time`, which travels as handles of plain numbers.

use std::borrow::Cow;

use super::decimal::{begin_handle, handle};
use crate::class::{Typed, typed};
use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, Encoder};
use crate::error::Result;
use crate::java_type::JavaType;

/// `java.util.Date`: milliseconds since 1970 UTC; null is 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(pub i64);

impl Encode for Date {
    #[inline]
    fn encode(&self, e: &mut Encoder<'_>) {
        e.date_ms(self.0);
    }
}

impl<'de> Decode<'de> for Date {
    #[inline]
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        d.date_ms().map(Date)
    }

    fn absent() -> Option<Self> {
        Some(Date(0))
    }
}

impl JavaType for Date {
    fn java_type() -> Cow<'static, str> {
        Cow::Borrowed("java.util.Date")
    }
}

macro_rules! handles {
    ($($(#[$doc:meta])* $rust:ident $java:literal $handle:literal
       { $($(#[$field_doc:meta])* $field:ident $name:literal : $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $rust {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $rust {
            fn draft() -> &'static Typed {
                typed!(concat!("com.caucho.hessian.io.java8.", $handle), &[$($name),*])
            }

            fn last() -> &'static Typed {
                typed!(concat!("com.alibaba.com.caucho.hessian.io.java8.", $handle), &[$($name),*])
            }
        }

        impl Encode for $rust {
            fn encode(&self, e: &mut Encoder<'_>) {
                e.object_of(handle(e.dialect(), Self::draft(), Self::last()));
                $(self.$field.encode(e);)*
            }
        }

        /// Null is the zero value.
        impl<'de> Decode<'de> for $rust {
            fn decode(d: &mut Decoder<'de>) -> Result<Self> {
                let mut value = Self::default();
                let Some(head) = begin_handle(d, Self::draft(), Self::last())? else { return Ok(value) };
                for index in 0..d.field_count(head) {
                    match d.field_bytes(head, index) {
                        $(name if name == $name.as_bytes() => value.$field = Decode::decode(d)?,)*
                        _ => d.skip()?,
                    }
                }
                d.object_end(head)?;
                Ok(value)
            }

            fn absent() -> Option<Self> {
                Some(Self::default())
            }
        }

        impl JavaType for $rust {
            fn java_type() -> Cow<'static, str> {
                Cow::Borrowed($java)
            }
        }
    )*};
}

// Fields of `sofastack/sofa-hessian@3.x:src/main/java/com/caucho/hessian/io/java8/*Handle.java`.
handles! {
    /// `java.time.LocalDate`.
    LocalDate "java.time.LocalDate" "LocalDateHandle" {
        /// Proleptic year.
        year "year": i32,
        /// 1 to 12.
        month "month": i32,
        /// 1 to 31.
        day "day": i32,
    }
    /// `java.time.LocalTime`.
    LocalTime "java.time.LocalTime" "LocalTimeHandle" {
        /// 0 to 23.
        hour "hour": i32,
        /// 0 to 59.
        minute "minute": i32,
        /// 0 to 59.
        second "second": i32,
        /// Nanoseconds within the second.
        nano "nano": i32,
    }
    /// `java.time.LocalDateTime`.
    LocalDateTime "java.time.LocalDateTime" "LocalDateTimeHandle" {
        /// Its date.
        date "date": LocalDate,
        /// Its time of day.
        time "time": LocalTime,
    }
    /// `java.time.Instant`.
    Instant "java.time.Instant" "InstantHandle" {
        /// Seconds since 1970 UTC.
        seconds "seconds": i64,
        /// Nanoseconds within the second.
        nanos "nanos": i32,
    }
    /// `java.time.Duration`.
    Duration "java.time.Duration" "DurationHandle" {
        /// Whole seconds.
        seconds "seconds": i64,
        /// Nanoseconds within the second.
        nanos "nanos": i32,
    }
    /// `java.time.Period`.
    Period "java.time.Period" "PeriodHandle" {
        /// Years.
        years "years": i32,
        /// Months.
        months "months": i32,
        /// Days.
        days "days": i32,
    }
    /// `java.time.Year`.
    Year "java.time.Year" "YearHandle" {
        /// Proleptic year.
        year "year": i32,
    }
    /// `java.time.YearMonth`.
    YearMonth "java.time.YearMonth" "YearMonthHandle" {
        /// Proleptic year.
        year "year": i32,
        /// 1 to 12.
        month "month": i32,
    }
    /// `java.time.MonthDay`.
    MonthDay "java.time.MonthDay" "MonthDayHandle" {
        /// 1 to 12.
        month "month": i32,
        /// 1 to 31.
        day "day": i32,
    }
    /// `java.time.ZoneOffset`.
    ZoneOffset "java.time.ZoneOffset" "ZoneOffsetHandle" {
        /// Seconds east of UTC.
        seconds "seconds": i32,
    }
    /// `java.time.ZoneId` of a region.
    ZoneId "java.time.ZoneId" "ZoneIdHandle" {
        /// `Asia/Shanghai`.
        id "zoneId": String,
    }
    /// `java.time.OffsetTime`.
    OffsetTime "java.time.OffsetTime" "OffsetTimeHandle" {
        /// Its time of day.
        time "localTime": LocalTime,
        /// Its offset.
        offset "zoneOffset": ZoneOffset,
    }
    /// `java.time.OffsetDateTime`.
    OffsetDateTime "java.time.OffsetDateTime" "OffsetDateTimeHandle" {
        /// Its date and time.
        date_time "dateTime": LocalDateTime,
        /// Its offset.
        offset "offset": ZoneOffset,
    }
    /// `java.time.ZonedDateTime`.
    ZonedDateTime "java.time.ZonedDateTime" "ZonedDateTimeHandle" {
        /// Its zone: a region, or the offset again.
        zone_id "zoneId": String,
        /// Its date and time.
        date_time "dateTime": LocalDateTime,
        /// Its offset.
        offset "offset": ZoneOffset,
    }
}
