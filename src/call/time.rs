//! Dates and times in texts, as `/dt` and `/tm` take them. Pure: the time zone comes in, the present never does.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};

/// Unix seconds of `2026-11-22` or `2026/11/22`, with ` 13:05`, ` 13:05:09`, a fraction (dropped) and `Z`, `+08:00`, `+0800`
/// or `+08` behind it; a `T` may stand for the blank, months to hours may have one digit. Without an offset it is told in `tz`: a time
/// that occurs twice is the first, one that is skipped moves ahead, as PHP has it. `None` for anything else.
pub fn parse(text: &str, tz: &TimeZone) -> Option<i64> {
    let mut rest = Digits {
        rest: text.trim_ascii(),
    };
    let year = rest.number(4, 4)?;
    let separator = rest.any_of(b"-/")?;
    let month = rest.number(1, 2)?;
    rest.any_of(&[separator])?;
    let day = rest.number(1, 2)?;
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    if rest.is_empty() {
        return unix(tz.to_timestamp(date.at(0, 0, 0, 0)));
    }
    rest.any_of(b"Tt ")?;
    rest.skip_blanks();
    let at = date.to_datetime(rest.time()?);
    rest.skip_blanks();
    if rest.is_empty() {
        return unix(tz.to_timestamp(at));
    }
    let offset = rest.offset()?;
    if !rest.is_empty() {
        return None;
    }
    unix(offset.to_timestamp(at))
}

/// Unix seconds of the beginning of the day in `tz` that `instant` (Unix seconds) falls on; `None` beyond the years -9999 to 9999.
pub fn midnight(instant: i64, tz: &TimeZone) -> Option<i64> {
    let date = tz.to_datetime(Timestamp::from_second(instant).ok()?).date();
    unix(tz.to_timestamp(date.at(0, 0, 0, 0)))
}

fn unix(timestamp: Result<Timestamp, jiff::Error>) -> Option<i64> {
    timestamp.ok().map(Timestamp::as_second)
}

/// Reads a text from the left.
struct Digits<'t> {
    rest: &'t str,
}

impl Digits<'_> {
    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    fn any_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let byte = self.rest.bytes().next().filter(|b| bytes.contains(b))?;
        self.rest = &self.rest[1..];
        Some(byte)
    }

    /// A number of `min` to `max` digits and no more.
    fn number(&mut self, min: usize, max: usize) -> Option<i16> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if count < min || count > max {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits.parse().ok()
    }

    fn number8(&mut self, min: usize) -> Option<i8> {
        self.number(min, 2)
            .and_then(|number| i8::try_from(number).ok())
    }

    fn time(&mut self) -> Option<Time> {
        let hour = self.number8(1)?;
        self.any_of(b":")?;
        let minute = self.number8(2)?;
        let mut second = 0;
        if self.any_of(b":").is_some() {
            second = self.number8(2)?;
            if self.any_of(b".").is_some() {
                let fraction = self.rest;
                self.rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
                if self.rest.len() == fraction.len() {
                    return None;
                }
            }
        }
        Time::new(hour, minute, second, 0).ok()
    }

    fn offset(&mut self) -> Option<Offset> {
        let sign = match self.any_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(Offset::UTC),
        };
        let (hours, minutes) = match self.rest.len() {
            4 => {
                let both = i32::from(self.number(4, 4)?);
                (both / 100, both % 100)
            }
            _ => {
                let hours = self.number8(1)?;
                let minutes = if self.any_of(b":").is_some() {
                    self.number8(2)?
                } else {
                    0
                };
                (hours.into(), minutes.into())
            }
        };
        if minutes > 59 {
            return None;
        }
        Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 00:00 UTC.
    const DAY: i64 = 1_795_305_600;

    #[track_caller]
    fn check(text: &str, expect: Option<i64>) {
        assert_eq!(parse(text, &TimeZone::UTC), expect, "{text:?}");
    }

    #[test]
    fn forms() {
        let time = DAY + 13 * 3_600 + 5 * 60;
        for (text, expect) in [
            ("2026-11-22", DAY),
            ("2026/11/22", DAY),
            (" 2026-11-22 ", DAY),
            ("2026-11-22 13:05", time),
            ("2026-11-22  13:05", time),
            ("2026/11/22 13:05:09", time + 9),
            ("2026-11-22T13:05:09", time + 9),
            ("2026-11-22t13:05:09.999999999999999999999", time + 9),
            ("2026-11-22T13:05:09Z", time + 9),
            ("2026-11-22T13:05:09.5z", time + 9),
            ("2026-11-22T13:05:09+08:00", time + 9 - 8 * 3_600),
            ("2026-11-22 13:05 -0530", time + 5 * 3_600 + 1_800),
            ("2026-11-22 13:05+08", time - 8 * 3_600),
            ("2026-11-22 13:05+8", time - 8 * 3_600),
            ("2026-1-2 3:04", 1_767_323_040),
            ("1970-01-01", 0),
            ("1969-12-31 23:59:59", -1),
            ("2024-02-29", 1_709_164_800),
        ] {
            check(text, Some(expect));
        }
    }

    #[test]
    fn no_times() {
        for text in [
            "",
            " ",
            "now",
            "2026",
            "2026-11",
            "2026-11-",
            "26-11-22",
            "20260-11-22",
            "2026-11/22",
            "2026.11.22",
            "2026-13-01",
            "2026-00-01",
            "2026-02-30",
            "2026-11-022",
            "2025-02-29",
            "2026-11-22x",
            "2026-11-22 13",
            "2026-11-22 13:5",
            "2026-11-22 24:00",
            "2026-11-22 13:60",
            "2026-11-22 13:05:61",
            "2026-11-22 13:05:09.",
            "2026-11-22 13:05:09.x",
            "2026-11-22 13:05+",
            "2026-11-22 13:05+99:00",
            "2026-11-22 13:05+08:60",
            "2026-11-22 13:05Z5",
            "2026-11-22Z",
            "-2026-11-22",
            "+2026-11-22",
            "２０２６-11-22",
            "2026-11-22 13:05 Asia/Shanghai",
            "99999999999999999999-1-1",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn summer_time() {
        // Central Europe by its POSIX rule: no time zone database needed.
        let tz = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let skipped = parse("2026-03-29 02:30", &tz).unwrap();
        assert_eq!(skipped, parse("2026-03-29T01:30:00Z", &tz).unwrap());
        let twice = parse("2026-10-25 02:30", &tz).unwrap();
        assert_eq!(twice, parse("2026-10-25T00:30:00Z", &tz).unwrap());
        assert_eq!(midnight(twice, &tz), parse("2026-10-25", &tz));
        assert_eq!(
            midnight(parse("2026-10-25 23:59", &tz).unwrap(), &tz),
            parse("2026-10-25", &tz)
        );
    }

    #[test]
    fn the_ends_of_time() {
        assert_eq!(midnight(i64::MAX, &TimeZone::UTC), None);
        assert_eq!(midnight(i64::MIN, &TimeZone::UTC), None);
        check("9999-12-31 23:59:59-12:00", None);
        check("0000-01-01", Some(-62_167_219_200));
    }
}
