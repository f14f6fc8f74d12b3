//! RFC 3339 times, to the letter and without detours: an event has up to three, and they are most of its encoding.
//!
//! [`Time::parse`] is more generous than a wire format should be (it takes `2026-11-23 10Z` and a zone in brackets).

use crate::time::Time;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: what four digits of a year can say.
const EARLIEST: i64 = -62_167_219_200 * SECOND;
const LATEST: i64 = 253_402_300_800 * SECOND - 1;

/// Whether this time can be written without loss.
pub(super) const fn fits(time: Time) -> bool {
    EARLIEST <= time.micros() && time.micros() <= LATEST
}

/// Reads a `date-time`; digits beyond the microsecond are dropped, and a leap second is the second before it.
pub(super) fn parse(text: &str) -> Option<Time> {
    let (date, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't', h1, h2, b':', i1, i2, b':', s1, s2] = *date
    else {
        return None;
    };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(i1, i2)?, two(s1, s2)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, rest) = fraction(rest)?;
    let local = days_before(year, month, day) * DAY + hour * 3600 + minute * 60 + second.min(59);
    let time = Time::from_micros((local - offset(rest)?) * SECOND + fraction);
    fits(time).then_some(time)
}

/// Appends a time in UTC with six digits of fraction, as [`Time`] prints itself. One that does not fit becomes the
/// nearest that does.
pub(super) fn write(time: Time, out: &mut Vec<u8>) {
    let micros = time.micros().clamp(EARLIEST, LATEST);
    let (seconds, fraction) = (micros.div_euclid(SECOND), micros.rem_euclid(SECOND));
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let mut pair = |number: i64, then: &[u8]| {
        out.extend_from_slice(&digits(number));
        out.extend_from_slice(then);
    };
    pair(year / 100, b"");
    pair(year % 100, b"-");
    pair(month, b"-");
    pair(day, b"T");
    pair(second / 3600, b":");
    pair(second / 60 % 60, b":");
    pair(second % 60, b".");
    pair(fraction / 10_000, b"");
    pair(fraction / 100 % 100, b"");
    pair(fraction % 100, b"Z");
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let digit = |b: u8| b.is_ascii_digit().then(|| i64::from(b - b'0'));
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// The two digits of a number below 100.
fn digits(number: i64) -> [u8; 2] {
    let digit = |n: i64| b'0' + u8::try_from(n % 10).unwrap_or(0);
    [digit(number / 10), digit(number)]
}

/// The microseconds of `.digits`, if it is there, and what follows.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = rest.split_first() else { return Some((0, rest)) };
    let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(length)?;
    if digits.is_empty() {
        return None;
    }
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    Some((padded.fold(0, |sum, b| sum * 10 + i64::from(b - b'0')), rest))
}

/// The seconds that local time is ahead of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    match *text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            let seconds = hours * 3600 + minutes * 60;
            (hours <= 23 && minutes <= 59).then_some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date. The year is counted from March, so that the leap day is its last
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
const fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date so many days after 1970-01-01: the inverse of [`days_before`], from the same source.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(micros: i64) -> String {
        let mut out = Vec::new();
        write(Time::from_micros(micros), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ten_thousand_years_agree_with_jiff_and_read_back() {
        // 11 has no factor in common with the 146,097 days of the calendar's cycle: every day of it is met twice.
        for day in ((EARLIEST / SECOND / DAY)..=(LATEST / SECOND / DAY)).step_by(11) {
            let micros = day * DAY * SECOND + (day.rem_euclid(DAY)) * SECOND + day.rem_euclid(SECOND);
            let text = written(micros);
            assert_eq!(parse(&text), Some(Time::from_micros(micros)), "{text}");
            if day % 7 == 0 && day < LATEST / SECOND / DAY - 1 {
                assert_eq!(text, Time::from_micros(micros).to_string());
                assert_eq!(Time::parse(&text).unwrap().micros(), micros, "{text}");
            }
        }
        assert_eq!(written(EARLIEST), "0000-01-01T00:00:00.000000Z");
        assert_eq!(written(LATEST), "9999-12-31T23:59:59.999999Z");
        assert_eq!((written(i64::MIN), written(i64::MAX)), (written(EARLIEST), written(LATEST)));
    }

    #[test]
    fn reads_what_the_rfc_allows_and_nothing_else() {
        for (text, same) in [
            ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ("2026-11-23t10:00:00z", "2026-11-23T10:00:00Z"),
            ("2026-11-23T10:00:00+05:30", "2026-11-23T04:30:00Z"),
            ("2026-11-23T10:00:00-00:00", "2026-11-23T10:00:00Z"),
            ("2026-11-23T10:00:00.5Z", "2026-11-23T10:00:00.500000Z"),
            ("2026-11-23T10:00:00.123456789012Z", "2026-11-23T10:00:00.123456Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(parse(text), Some(Time::parse(same).unwrap()), "{text}");
        }
        for bad in [
            "",
            "2026-11-23",
            "2026-11-23T10:00:00",
            "2026-11-23 10:00:00Z",
            "2026-11-23T10:00Z",
            "2026-11-23T10:00:00.Z",
            "2026-11-23T10:00:00,5Z",
            "2026-11-23T10:00:00+0530",
            "2026-11-23T10:00:00+24:00",
            "2026-11-23T10:00:00Z[UTC]",
            "2026-11-23T10:00:00ZZ",
            "2026-11-23T24:00:00Z",
            "2026-11-23T10:60:00Z",
            "2026-11-23T10:00:61Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-04-00T00:00:00Z",
            "+2026-11-23T10:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
            "２026-11-23T10:00:00Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
