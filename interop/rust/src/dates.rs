//! The little arithmetic of dates that the kitchen does.

use diwan::hessian::{Duration, Instant, LocalDate, LocalDateTime, LocalTime};

const NANOS_PER_SECOND: i32 = 1_000_000_000;

fn days_in_month(year: i32, month: i32) -> i32 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(crate) fn next_day(date: &LocalDate) -> LocalDate {
    let LocalDate { year, month, day } = *date;
    if day < days_in_month(year, month) {
        let day = day + 1;
        LocalDate { year, month, day }
    } else if month < 12 {
        let (month, day) = (month + 1, 1);
        LocalDate { year, month, day }
    } else {
        let (year, month, day) = (year + 1, 1, 1);
        LocalDate { year, month, day }
    }
}

/// Around midnight.
pub(crate) fn next_minute(time: &LocalTime) -> LocalTime {
    let minutes = (time.hour * 60 + time.minute + 1) % (24 * 60);
    LocalTime {
        hour: minutes / 60,
        minute: minutes % 60,
        ..time.clone()
    }
}

pub(crate) fn next_hour(moment: &LocalDateTime) -> LocalDateTime {
    let mut next = moment.clone();
    next.time.hour = (next.time.hour + 1) % 24;
    if next.time.hour == 0 {
        next.date = next_day(&next.date);
    }
    next
}

pub(crate) fn next_second(instant: &Instant) -> Instant {
    Instant {
        seconds: instant.seconds + 1,
        nanos: instant.nanos,
    }
}

pub(crate) fn twice(duration: &Duration) -> Duration {
    let nanos = duration.nanos * 2;
    Duration {
        seconds: duration.seconds * 2 + i64::from(nanos / NANOS_PER_SECOND),
        nanos: nanos % NANOS_PER_SECOND,
    }
}
