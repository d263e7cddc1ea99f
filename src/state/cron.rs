//! A crontab line: which instants it fires at, daylight saving included. Never reads a clock or a
//! time zone file: both come in. Dialect: the shared `cron/README.md`.
//!
//! ```text
//! text -> field (five sets of values) -> one schedule of the `cron` crate, or two where either
//! day may match -> next match in naive local time -> instants, by the daylight-saving rule
//! ```
//!
//! The crate speaks Quartz (1 is Sunday, days are ANDed, nothing wraps), so it only ever sees
//! plain lists and names that `field` wrote; and it sees local time as if it were UTC, for an hour
//! left out or repeated is judged here.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::DateTime;
use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::limits::{CRON_ERROR_CHARS_MAX, CRON_HORIZON_S_MAX};

mod field;

/// What the original said of any line it could not read.
const BAD_FORMAT: &str = "bad cron format";

/// The names that stand for a whole line.
const NAMED: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A crontab line that was checked.
#[derive(Clone, Debug)]
pub struct Cron {
    /// Where both days must match, both; else those days that match by day of month.
    days: cron::Schedule,
    /// Those days that match by day of week, where either may match.
    or_weekdays: Option<cron::Schedule>,
    wildcard: bool,
}

impl Cron {
    /// Checks a line of five fields or an `@name`; blanks and line ends around it do not count.
    /// Errors name the field and the offending text.
    pub fn parse(expression: &str) -> Result<Cron, CronError> {
        let line = expression.trim_ascii();
        let line = NAMED
            .iter()
            .find(|(name, _)| *name == line)
            .map_or(line, |(_, line)| line);
        let mut fields = [""; 5];
        let mut count = 0;
        for text in line.split([' ', '\t']).filter(|text| !text.is_empty()) {
            if let Some(field) = fields.get_mut(count) {
                *field = text;
            }
            count += 1;
        }
        if count != fields.len() {
            return Err(CronError {
                problem: Problem::FieldCount(count),
                text: cut(line),
            });
        }
        let [minute, hour, day, month, weekday] = fields;
        let minutes = field::MINUTE.to_list(field::MINUTE.parse(minute)?);
        let hours = field::HOUR.to_list(field::HOUR.parse(hour)?);
        let days = field::DAY_OF_MONTH.to_list(field::DAY_OF_MONTH.parse(day)?);
        let months = field::MONTH.to_list(field::MONTH.parse(month)?);
        let weekdays = field::DAY_OF_WEEK.to_list(field::DAY_OF_WEEK.parse(weekday)?);

        let schedule = |days: &str, weekdays: &str| {
            cron::Schedule::from_str(&format!("0 {minutes} {hours} {days} {months} {weekdays}"))
                .map_err(|_| CronError {
                    problem: Problem::Unreadable,
                    text: cut(line),
                })
        };
        // A field that begins with `*` does not stand for itself, even where it is `*/2`.
        let (days, or_weekdays) = if day.starts_with('*') || weekday.starts_with('*') {
            (schedule(&days, &weekdays)?, None)
        } else {
            (schedule(&days, "*")?, Some(schedule("*", &weekdays)?))
        };
        Ok(Cron {
            days,
            or_weekdays,
            wildcard: minute.starts_with('*') || hour.starts_with('*'),
        })
    }

    /// The next fire time after `after_unix_s`, exclusive, Unix seconds; `None` if none within nine
    /// years, or outside the years 1970 to 2100. A fixed job in an hour left out fires at its end,
    /// one in a repeated hour in the first pass; a wildcard job follows the wall clock.
    pub fn next(&self, after_unix_s: i64, tz: &TimeZone) -> Option<i64> {
        let after = Timestamp::from_second(after_unix_s).ok()?;
        let wall_s = after_unix_s + seconds(tz.to_offset(after));
        let second_pass_s = self.next_in_second_pass(after, wall_s, tz);
        let mut local_s = wall_s;
        while let Some(next_s) = self.next_local(local_s) {
            local_s = next_s;
            let unix_s = match ambiguity(local_s, tz)? {
                AmbiguousOffset::Unambiguous { offset } => local_s - seconds(offset),
                AmbiguousOffset::Fold { before, after } => {
                    let first_s = local_s - seconds(before);
                    if first_s <= after_unix_s && self.wildcard {
                        local_s - seconds(after)
                    } else {
                        first_s
                    }
                }
                AmbiguousOffset::Gap { after, .. } => {
                    let gap_end_s = transition_after(local_s - seconds(after), tz)?;
                    if self.wildcard {
                        local_s = gap_end_s + seconds(after) - 1;
                        continue;
                    }
                    gap_end_s
                }
            };
            // Not so in the second pass of an hour: what the first pass ran is behind us.
            if unix_s > after_unix_s {
                let unix_s = second_pass_s.map_or(unix_s, |second_s| second_s.min(unix_s));
                return (unix_s - after_unix_s <= CRON_HORIZON_S_MAX).then_some(unix_s);
            }
        }
        second_pass_s
    }

    /// Whether the line fires in the minute of `unix_s`: what a timer with `cron` and `wait` asks each
    /// time it looks. Daylight saving counts as in [`Cron::next`].
    pub fn matches_minute(&self, unix_s: i64, tz: &TimeZone) -> bool {
        let Ok(timestamp) = Timestamp::from_second(unix_s) else {
            return false;
        };
        let wall_s = unix_s + seconds(tz.to_offset(timestamp));
        let minute_s = unix_s - wall_s.rem_euclid(60);
        self.next(minute_s - 1, tz) == Some(minute_s)
    }

    /// Whether the minute or the hour begins with `*`: such a job follows the wall clock through a
    /// change of the clocks, any other (a fixed one) is made up for once and never repeated.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The first match after `local_s`, both in naive local time as Unix seconds.
    fn next_local(&self, local_s: i64) -> Option<i64> {
        let after = DateTime::from_timestamp(local_s, 0)?;
        let next =
            |schedule: &cron::Schedule| schedule.after(&after).next().map(|time| time.timestamp());
        match (next(&self.days), self.or_weekdays.as_ref().and_then(next)) {
            (Some(day_s), Some(weekday_s)) => Some(day_s.min(weekday_s)),
            (day_s, weekday_s) => day_s.or(weekday_s),
        }
    }

    /// A wildcard job asked in the first pass of an hour: its first match in the second pass, which lies
    /// earlier on the wall clock than now and would be missed by looking forward there.
    fn next_in_second_pass(&self, now: Timestamp, wall_s: i64, tz: &TimeZone) -> Option<i64> {
        if !self.wildcard {
            return None;
        }
        let AmbiguousOffset::Fold { before, after } = ambiguity(wall_s, tz)? else {
            return None;
        };
        if now.as_second() + seconds(before) != wall_s {
            return None;
        }
        let turned_back_s = transition_after(now.as_second(), tz)?;
        let local_s = self.next_local(turned_back_s + seconds(after) - 1)?;
        (local_s < turned_back_s + seconds(before)).then(|| local_s - seconds(after))
    }
}

/// A line that was refused. `Display` says what was wrong and what a right value looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronError {
    problem: Problem,
    /// Cut to [`CRON_ERROR_CHARS_MAX`].
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    /// Not five.
    FieldCount(usize),
    /// `unparsable`: the original refused it too, for it is neither number nor sign.
    Field {
        name: &'static str,
        takes: String,
        unparsable: bool,
    },
    /// The crate did not take what we made of it.
    Unreadable,
}

impl CronError {
    /// The detail for the caller: exactly `bad cron format` where the original answered that (not five
    /// fields, unparsable text; recorded in `cron/bad-expression`), else the whole explanation.
    pub fn detail(&self) -> Cow<'static, str> {
        match &self.problem {
            Problem::Field {
                unparsable: false, ..
            } => self.to_string().into(),
            _ => BAD_FORMAT.into(),
        }
    }

    fn field(name: &'static str, text: &str, takes: String, unparsable: bool) -> CronError {
        CronError {
            problem: Problem::Field {
                name,
                takes,
                unparsable,
            },
            text: cut(text),
        }
    }
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match &self.problem {
            Problem::Field { name, takes, .. } => {
                write!(f, "{BAD_FORMAT}: {name} `{text}`: expected {takes}")
            }
            Problem::FieldCount(1) if text.starts_with('@') => {
                write!(f, "{BAD_FORMAT}: `{text}`: expected one of")?;
                NAMED.iter().try_for_each(|(name, _)| write!(f, " {name}"))
            }
            Problem::FieldCount(count) => write!(
                f,
                "{BAD_FORMAT}: `{text}` has {count} fields: expected 5, minute, hour, day of month, month, day of week"
            ),
            Problem::Unreadable => write!(f, "{BAD_FORMAT}: `{text}`"),
        }
    }
}

impl std::error::Error for CronError {}

fn cut(text: &str) -> String {
    text.chars().take(CRON_ERROR_CHARS_MAX).collect()
}

fn seconds(offset: Offset) -> i64 {
    i64::from(offset.seconds())
}

/// How often a local time (as if Unix seconds) occurs in a zone; `None` beyond the years jiff knows.
fn ambiguity(local_s: i64, tz: &TimeZone) -> Option<AmbiguousOffset> {
    let local = Offset::UTC.to_datetime(Timestamp::from_second(local_s).ok()?);
    Some(tz.to_ambiguous_timestamp(local).offset())
}

/// When the zone's clock is turned next.
fn transition_after(unix_s: i64, tz: &TimeZone) -> Option<i64> {
    Some(
        tz.following(Timestamp::from_second(unix_s).ok()?)
            .next()?
            .timestamp()
            .as_second(),
    )
}

#[cfg(test)]
mod tests;
