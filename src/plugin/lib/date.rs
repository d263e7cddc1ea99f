//! `date` and `strtotime`, as PHP has them.

use std::fmt::Write as _;
use std::rc::Rc;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use mlua::{LuaString, Table};

use crate::call::time;
use crate::limits::PLUGIN_DATE_BYTES_MAX;
use crate::plugin::lib::host::Host;
use crate::plugin::sandbox::Sandbox;

/// `FMT_DT`.
const FORMAT: &str = "Y-m-d H:i:s";

/// Puts the functions into `globals`.
///
/// - `date(format?, t?)`: a time (Unix s; now without it) in the daemon's zone, by PHP's letters (as `FMT_DT` without them): `Y-m-d H:i:s`, `N`, `D`, `U` … A
///   backslash keeps a letter. Example: `date(FMT_DT)`, `date("Ymd", strtotime("-1 day"))`.
/// - `strtotime(text, now?)`: Unix s of what parameters of type `/tm` take, of `now`, `today`, `tomorrow`, `yesterday`, `@UNIX`, and of
///   distances behind it or alone: `+1 day`, `-2 weeks`, `next month`; nil for anything else. Example: `strtotime("2026-11-22 13:05 +1 hour")`.
pub(super) fn install(sandbox: &Sandbox, globals: &Table, daemon: &Rc<Host>) -> mlua::Result<()> {
    let host = Rc::clone(daemon);
    let date = sandbox.function(
        "date",
        move |_, (format, at): (Option<LuaString>, Option<f64>)| {
            let format =
                format.map_or_else(|| FORMAT.to_owned(), |format| format.to_string_lossy());
            if format.len() > PLUGIN_DATE_BYTES_MAX {
                return Err("date: format too long".to_owned());
            }
            let unix_s = unix_of(at, &host).ok_or("date: expected a time as a finite number")?;
            let instant = Timestamp::from_second(unix_s)
                .map_err(|_| "date: expected a time within the years -9999 to 9999".to_owned())?;
            Ok(formatted(&format, &instant.to_zoned(host.zone.clone())))
        },
    )?;
    globals.raw_set("date", date)?;
    let host = Rc::clone(daemon);
    let parse = sandbox.function(
        "strtotime",
        move |_, (text, now): (LuaString, Option<f64>)| {
            let text = text.to_string_lossy();
            let now_s =
                unix_of(now, &host).ok_or("strtotime: expected a time as a finite number")?;
            Ok(match text.len() > PLUGIN_DATE_BYTES_MAX {
                true => None,
                false => parsed(&text, now_s, &host.zone),
            })
        },
    )?;
    globals.raw_set("strtotime", parse)
}

/// Whole seconds of a time that is given, or the present; `None` for what is no time.
fn unix_of(given: Option<f64>, host: &Host) -> Option<i64> {
    match given {
        None => Some(host.unix_s()),
        Some(at) => at.is_finite().then_some(at.floor() as i64),
    }
}

/// Source: PHP's DateTimeInterface::format.
fn formatted(format: &str, at: &Zoned) -> String {
    let mut out = String::with_capacity(format.len() + 16);
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        // Writing to a String cannot fail.
        let _ = match letter {
            '\\' => {
                out.extend(letters.next());
                Ok(())
            }
            'c' => {
                out += &formatted("Y-m-d\\TH:i:sP", at);
                Ok(())
            }
            'r' => {
                out += &formatted("D, d M Y H:i:s O", at);
                Ok(())
            }
            letter => write_letter(&mut out, letter, at),
        };
    }
    out
}

fn write_letter(out: &mut String, letter: char, at: &Zoned) -> std::fmt::Result {
    let hour12 = (at.hour() + 11) % 12 + 1;
    let iso = at.date().iso_week_date();
    match letter {
        'Y' => write!(out, "{:04}", at.year()),
        'y' => write!(out, "{:02}", at.year().rem_euclid(100)),
        'o' => write!(out, "{:04}", iso.year()),
        'L' => write!(out, "{}", u8::from(at.in_leap_year())),
        'm' => write!(out, "{:02}", at.month()),
        'n' => write!(out, "{}", at.month()),
        'F' => out.write_str(MONTHS[usize::from(at.month().unsigned_abs()) - 1]),
        'M' => out.write_str(&MONTHS[usize::from(at.month().unsigned_abs()) - 1][..3]),
        't' => write!(out, "{}", at.days_in_month()),
        'd' => write!(out, "{:02}", at.day()),
        'j' => write!(out, "{}", at.day()),
        'S' => out.write_str(match at.day() {
            1 | 21 | 31 => "st",
            2 | 22 => "nd",
            3 | 23 => "rd",
            _ => "th",
        }),
        'z' => write!(out, "{}", at.day_of_year() - 1),
        'W' => write!(out, "{:02}", iso.week()),
        'N' => write!(out, "{}", at.weekday().to_monday_one_offset()),
        'w' => write!(out, "{}", at.weekday().to_sunday_zero_offset()),
        'l' => out.write_str(day_name(at)),
        'D' => out.write_str(&day_name(at)[..3]),
        'H' => write!(out, "{:02}", at.hour()),
        'G' => write!(out, "{}", at.hour()),
        'h' => write!(out, "{hour12:02}"),
        'g' => write!(out, "{hour12}"),
        'A' => out.write_str(if at.hour() < 12 { "AM" } else { "PM" }),
        'a' => out.write_str(if at.hour() < 12 { "am" } else { "pm" }),
        'i' => write!(out, "{:02}", at.minute()),
        's' => write!(out, "{:02}", at.second()),
        'u' => out.write_str("000000"),
        'v' => out.write_str("000"),
        'U' => write!(out, "{}", at.timestamp().as_second()),
        'Z' => write!(out, "{}", at.offset().seconds()),
        'O' => write_offset(out, at, ""),
        'P' => write_offset(out, at, ":"),
        'e' => out.write_str(at.time_zone().iana_name().unwrap_or("UTC")),
        'T' => write!(out, "{}", at.strftime("%Z")),
        'I' => {
            let dst = at.time_zone().to_offset_info(at.timestamp()).dst();
            write!(out, "{}", u8::from(dst.is_dst()))
        }
        other => out.write_char(other),
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn day_name(at: &Zoned) -> &'static str {
    const DAYS: [&str; 7] = [
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
    ];
    DAYS[usize::from(at.weekday().to_sunday_zero_offset().unsigned_abs())]
}

fn write_offset(out: &mut String, at: &Zoned, between: &str) -> std::fmt::Result {
    let minutes = at.offset().seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.abs();
    write!(out, "{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
}

/// Unix s of a text; `None` where it tells no time.
fn parsed(text: &str, now_s: i64, zone: &TimeZone) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    if let Some(unix) = text.strip_prefix('@') {
        return unix.parse().ok();
    }
    if let Some(unix_s) = time::parse(&text, zone) {
        return Some(unix_s);
    }
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    // The longest beginning that tells a time; distances stand behind it.
    for count in (0..=words.len().min(3)).rev() {
        let (start, distances) = words.split_at(count);
        let start = match start {
            [] => Some(now_s),
            start => point(&start.join(" "), now_s, zone),
        };
        if let Some(start_s) = start
            && !(count == 0 && distances.is_empty())
            && let Some(unix_s) = moved(start_s, distances, zone)
        {
            return Some(unix_s);
        }
    }
    None
}

fn point(text: &str, now_s: i64, zone: &TimeZone) -> Option<i64> {
    let day = |days: i64| {
        let local = zone.to_datetime(Timestamp::from_second(now_s).ok()?);
        let date = local.date().checked_add(Span::new().days(days)).ok()?;
        unix(date.at(0, 0, 0, 0), zone)
    };
    match text {
        "now" => Some(now_s),
        "today" | "midnight" => day(0),
        "tomorrow" => day(1),
        "yesterday" => day(-1),
        text => time::parse(text, zone),
    }
}

/// A time moved by `+1 day`, `-2 weeks`, `3 hours`, `1 day ago`, `next month`, one after another.
fn moved(start_s: i64, words: &[&str], zone: &TimeZone) -> Option<i64> {
    let mut at = start_s;
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next() {
        let (mut count, unit) = match word {
            "next" => (1, words.next()?),
            "last" => (-1, words.next()?),
            word => {
                let digits = word.trim_start_matches(['+', '-']);
                let end = digits.bytes().take_while(u8::is_ascii_digit).count();
                let sign = match word.len() - digits.len() {
                    0 => 1,
                    1 if word.starts_with('-') => -1,
                    1 => 1,
                    _ => return None,
                };
                let count: i64 = digits[..end].parse().ok()?;
                let unit = match &digits[end..] {
                    "" => words.next()?,
                    unit => unit,
                };
                (sign * count, unit)
            }
        };
        if words.next_if_eq(&"ago").is_some() {
            count = -count;
        }
        at = moved_by(at, count, unit.strip_suffix('s').unwrap_or(unit), zone)?;
    }
    Some(at)
}

fn moved_by(at: i64, count: i64, unit: &str, zone: &TimeZone) -> Option<i64> {
    if count.unsigned_abs() > COUNT_MAX {
        return None;
    }
    let seconds = match unit {
        "sec" | "second" => 1,
        "min" | "minute" => 60,
        "hour" => 3_600,
        _ => 0,
    };
    if seconds > 0 {
        return at.checked_add(count * seconds);
    }
    let local = zone.to_datetime(Timestamp::from_second(at).ok()?);
    let moved = match unit {
        "day" => add_days(local, count)?,
        "week" => add_days(local, 7 * count)?,
        "fortnight" => add_days(local, 14 * count)?,
        "month" => add_months(local, count)?,
        "year" => add_months(local, 12 * count)?,
        _ => return None,
    };
    unix(moved, zone)
}

/// Far beyond any calendar, and no sum of it overflows.
const COUNT_MAX: u64 = 1 << 40;

fn add_days(local: DateTime, days: i64) -> Option<DateTime> {
    local.checked_add(Span::new().try_days(days).ok()?).ok()
}

/// 31 January and a month is 3 March, as PHP has it.
fn add_months(local: DateTime, months: i64) -> Option<DateTime> {
    let months = i64::from(local.year()) * 12 + i64::from(local.month()) - 1 + months;
    let year = i16::try_from(months.div_euclid(12)).ok()?;
    let month = i8::try_from(months.rem_euclid(12) + 1).ok()?;
    let first = Date::new(year, month, 1).ok()?;
    let time: Time = local.time();
    add_days(first.to_datetime(time), i64::from(local.day()) - 1)
}

fn unix(local: DateTime, zone: &TimeZone) -> Option<i64> {
    zone.to_timestamp(local).ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 13:05:09 UTC, a Sunday.
    const NOW: i64 = 1_795_352_709;

    #[track_caller]
    fn check_format(format: &str, expect: &str) {
        let at = Timestamp::from_second(NOW).expect("a time");
        assert_eq!(formatted(format, &at.to_zoned(TimeZone::UTC)), expect);
    }

    #[test]
    fn letters() {
        check_format("Y-m-d H:i:s", "2026-11-22 13:05:09");
        check_format("y n j G g A a h", "26 11 22 13 1 PM pm 01");
        check_format("D l N w z t L", "Sun Sunday 7 0 325 30 0");
        check_format("M F S W o", "Nov November nd 47 2026");
        check_format("U Z O P e I", "1795352709 0 +0000 +00:00 UTC 0");
        check_format("c", "2026-11-22T13:05:09+00:00");
        check_format("r", "Sun, 22 Nov 2026 13:05:09 +0000");
        check_format("\\Y\\m 中 u v \\", "Ym 中 000000 000 ");
        check_format("", "");
    }

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        let expect = expect.map(|text| time::parse(text, &TimeZone::UTC).expect("a time"));
        assert_eq!(parsed(text, NOW, &TimeZone::UTC), expect, "{text:?}");
    }

    #[test]
    fn times() {
        for (text, expect) in [
            ("now", "2026-11-22 13:05:09"),
            ("today", "2026-11-22"),
            ("Tomorrow", "2026-11-23"),
            ("yesterday", "2026-11-21"),
            ("@0", "1970-01-01"),
            ("2026-01-02", "2026-01-02"),
            ("2026/01/02 03:04", "2026-01-02 03:04"),
            ("+1 day", "2026-11-23 13:05:09"),
            ("-2 weeks", "2026-11-08 13:05:09"),
            ("3 hours", "2026-11-22 16:05:09"),
            ("90 minutes ago", "2026-11-22 11:35:09"),
            ("+1day", "2026-11-23 13:05:09"),
            ("+1 month -1 day", "2026-12-21 13:05:09"),
            ("next year", "2027-11-22 13:05:09"),
            ("last month", "2026-10-22 13:05:09"),
            ("tomorrow +8 hours", "2026-11-23 08:00"),
            ("2026-01-31 +1 month", "2026-03-03"),
            ("2024-01-31 10:00 +1 month", "2024-03-02 10:00"),
            ("2026-01-02 03:04:05 -1 sec", "2026-01-02 03:04:04"),
        ] {
            check(text, Some(expect));
        }
    }

    #[test]
    fn no_times() {
        for text in [
            "",
            " ",
            "soon",
            "+1",
            "+1 moon",
            "++1 day",
            "next",
            "2026-13-01",
            "day",
            "+99999999999999999999 days",
            "+9999999999 years",
            "today today",
            "@x",
        ] {
            check(text, None);
        }
    }
}
