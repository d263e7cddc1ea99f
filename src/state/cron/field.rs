//! One field of a crontab line: text to the set of its values, by the shared crontab dialect
//! (`cron/README.md`). Knows nothing of days that must both match, of zones or of the `cron` crate.

use super::CronError;

/// The values of a field, one bit each: bit 0 to 59. Sunday is bit 0 only.
pub(super) type Values = u64;

/// The Sunday a weekday field may also call 7.
const SUNDAY_AGAIN: u32 = 7;

/// What a field may hold.
pub(super) struct Field {
    /// As errors name it.
    pub name: &'static str,
    min: u32,
    max: u32,
    /// Three letters each, lower case; the first stands for `min`.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

pub(super) const MINUTE: Field = Field {
    name: "minute",
    min: 0,
    max: 59,
    names: &[],
};
pub(super) const HOUR: Field = Field {
    name: "hour",
    min: 0,
    max: 23,
    names: &[],
};
pub(super) const DAY_OF_MONTH: Field = Field {
    name: "day of month",
    min: 1,
    max: 31,
    names: &[],
};
pub(super) const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &MONTHS,
};
pub(super) const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    min: 0,
    max: 7,
    names: &WEEKDAYS,
};

impl Field {
    /// The set of values a comma list selects. Errors name this field and the offending part.
    pub fn parse(&self, text: &str) -> Result<Values, CronError> {
        let mut values = 0;
        for item in text.split(',') {
            if item.is_empty() {
                return Err(self.error(text, "a value before and after each comma"));
            }
            values |= self.item(item)?;
        }
        Ok(values)
    }

    /// The same set as the `cron` crate reads it: `*` when full, else a list. Weekdays go by name,
    /// for the crate numbers them from 1.
    pub fn to_list(&self, values: Values) -> String {
        if values == self.all() {
            return "*".to_owned();
        }
        let mut list = String::new();
        for value in (self.min..=self.last()).filter(|value| values & (1 << value) != 0) {
            if !list.is_empty() {
                list.push(',');
            }
            if self.names.len() == WEEKDAYS.len() {
                list.push_str(self.names[value as usize]);
            } else {
                list.push_str(&value.to_string());
            }
        }
        list
    }

    /// `*`, `n`, `a-b`, the first and the last with an optional `/step`.
    fn item(&self, item: &str) -> Result<Values, CronError> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(item, step)?)),
            None => (item, None),
        };
        if range == "*" {
            return Ok(self.range(self.min, self.last(), step.unwrap_or(1)));
        }
        match (range.split_once('-'), step) {
            (Some((first, last)), step) => Ok(self.range(
                self.value(item, first)?,
                self.value(item, last)?,
                step.unwrap_or(1),
            )),
            (None, None) => self
                .value(item, range)
                .map(|value| self.range(value, value, 1)),
            // Its number is judged first, so that `61/5` complains about the 61.
            (None, Some(_)) => {
                self.value(item, range)?;
                Err(self.error(item, "a step only after `*` or a range, e.g. 5-59/15"))
            }
        }
    }

    /// A step is at least 1; one beyond the field's size leaves the first value, however large it is.
    fn step(&self, item: &str, text: &str) -> Result<u32, CronError> {
        match number(text) {
            Some(step) if step > 0 => Ok(step),
            _ => Err(self.error(item, "a step of 1 or more after `/`, e.g. */15")),
        }
    }

    /// A number or a name; a number within the field's bounds.
    fn value(&self, item: &str, text: &str) -> Result<u32, CronError> {
        if let Some(value) = number(text) {
            if (self.min..=self.max).contains(&value) {
                return Ok(value);
            }
            return Err(self.error(item, ""));
        }
        match self
            .names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))
        {
            Some(at) => Ok(self.min + at as u32),
            None => Err(self.error(item, "")),
        }
    }

    /// Every `step`th value of `first..=last`; a reversed range goes on at the field's beginning.
    fn range(&self, first: u32, last: u32, step: u32) -> Values {
        let size = self.last() - self.min + 1;
        let span = if first <= last {
            last - first
        } else {
            last + size - first
        };
        (0..=span).step_by(step as usize).fold(0, |values, ahead| {
            values | 1 << (self.min + (first - self.min + ahead) % size)
        })
    }

    /// The highest value that has a bit of its own.
    fn last(&self) -> u32 {
        if self.max == SUNDAY_AGAIN {
            SUNDAY_AGAIN - 1
        } else {
            self.max
        }
    }

    fn all(&self) -> Values {
        self.range(self.min, self.last(), 1)
    }

    /// `expected` empty: what the field takes at all.
    fn error(&self, text: &str, expected: &str) -> CronError {
        let mut takes = expected.to_owned();
        if takes.is_empty() {
            takes = format!("{} to {}", self.min, self.max);
            if let [first, .., last] = self.names {
                takes.push_str(&format!(" or {first} to {last}"));
            }
        }
        // The original told such text nothing more, numbers out of range it did not refuse.
        let foreign = |byte: u8| !byte.is_ascii_digit() && !b"*,-/".contains(&byte);
        CronError::field(
            self.name,
            text,
            takes,
            self.names.is_empty() && text.bytes().any(foreign),
        )
    }
}

/// Decimal digits only, no sign; larger than any bound once it does not fit.
fn number(text: &str) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u32, |value, byte| {
        byte.is_ascii_digit().then(|| {
            value
                .saturating_mul(10)
                .saturating_add(u32::from(byte - b'0'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &Field, text: &str, expected: &[u32]) {
        let values = field
            .parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let listed: Vec<u32> = (0..64).filter(|value| values & (1 << value) != 0).collect();
        assert_eq!(listed, expected, "{text}");
    }

    #[test]
    fn lists_ranges_and_steps() {
        check(&MINUTE, "5", &[5]);
        check(&MINUTE, "00,059", &[0, 59]);
        check(&MINUTE, "3,1-2,2", &[1, 2, 3]);
        check(&MINUTE, "*/20", &[0, 20, 40]);
        check(&MINUTE, "*/59", &[0, 59]);
        check(&MINUTE, "*/60", &[0]);
        check(&MINUTE, "7-30/99999999999999999999", &[7]);
        check(&DAY_OF_MONTH, "*/10", &[1, 11, 21, 31]);
        check(&MONTH, "Jan,fEB,11-DEC", &[1, 2, 11, 12]);
        check(&DAY_OF_WEEK, "mon-FRI/2", &[1, 3, 5]);
    }

    #[test]
    fn sunday_has_two_numbers() {
        check(&DAY_OF_WEEK, "7", &[0]);
        check(&DAY_OF_WEEK, "0-7", &[0, 1, 2, 3, 4, 5, 6]);
        check(&DAY_OF_WEEK, "1-7/3", &[0, 1, 4]);
        check(&DAY_OF_WEEK, "5-7", &[0, 5, 6]);
        check(&DAY_OF_WEEK, "7-7", &[0]);
        check(&DAY_OF_WEEK, "7-0", &[0]);
        check(&DAY_OF_WEEK, "7-2", &[0, 1, 2]);
        check(&DAY_OF_WEEK, "7-3/2", &[0, 2]);
        check(&DAY_OF_WEEK, "fri-sun", &[0, 5, 6]);
        check(&DAY_OF_WEEK, "*/7", &[0]);
    }

    #[test]
    fn reversed_ranges_wrap() {
        check(&HOUR, "22-6", &[0, 1, 2, 3, 4, 5, 6, 22, 23]);
        check(&HOUR, "22-6/3", &[1, 4, 22]);
        check(&DAY_OF_MONTH, "29-3/2", &[2, 29, 31]);
        check(&MONTH, "nov-2", &[1, 2, 11, 12]);
        check(&DAY_OF_WEEK, "fri-mon", &[0, 1, 5, 6]);
        check(&DAY_OF_WEEK, "5-2/2", &[0, 2, 5]);
        check(&MINUTE, "59-58/60", &[59]);
    }

    #[test]
    fn the_crate_gets_names_and_lists() {
        for (field, text, list) in [
            (&MINUTE, "0-59", "*"),
            (&MINUTE, "58-1", "0,1,58,59"),
            (&DAY_OF_MONTH, "*", "*"),
            (&MONTH, "dec-feb", "1,2,12"),
            (&DAY_OF_WEEK, "7,1", "sun,mon"),
            (&DAY_OF_WEEK, "1-7", "*"),
        ] {
            assert_eq!(
                field.to_list(field.parse(text).expect(text)),
                list,
                "{text}"
            );
        }
    }

    #[track_caller]
    fn refuse(field: &Field, text: &str, expected: &str) {
        let error = field.parse(text).expect_err(text);
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn errors_name_the_field_and_the_text() {
        refuse(
            &MINUTE,
            "1,61",
            "bad cron format: minute `61`: expected 0 to 59",
        );
        refuse(
            &MINUTE,
            "1,,2",
            "bad cron format: minute `1,,2`: expected a value before and after each comma",
        );
        refuse(
            &HOUR,
            "",
            "bad cron format: hour ``: expected a value before and after each comma",
        );
        refuse(
            &HOUR,
            "*/0",
            "bad cron format: hour `*/0`: expected a step of 1 or more after `/`, e.g. */15",
        );
        refuse(
            &HOUR,
            "1-2-3",
            "bad cron format: hour `1-2-3`: expected 0 to 23",
        );
        refuse(
            &DAY_OF_MONTH,
            "5/15",
            "bad cron format: day of month `5/15`: expected a step only after `*` or a range, e.g. 5-59/15",
        );
        refuse(
            &DAY_OF_MONTH,
            "0",
            "bad cron format: day of month `0`: expected 1 to 31",
        );
        refuse(
            &MONTH,
            "january",
            "bad cron format: month `january`: expected 1 to 12 or jan to dec",
        );
        refuse(
            &DAY_OF_WEEK,
            "mon-8",
            "bad cron format: day of week `mon-8`: expected 0 to 7 or sun to sat",
        );
    }

    #[test]
    fn nothing_else_is_taken() {
        for text in [
            "-1",
            "1-",
            "-",
            "+1",
            "1 ",
            "*-5",
            "5-*",
            "**",
            "*,",
            ",",
            "1/",
            "/5",
            "*/",
            "*//2",
            "*/1/1",
            "*/x",
            "*/-1",
            "1.5",
            "0x1",
            "１",
            "\u{0}",
            "sun",
            "?",
            "L",
            "W",
            "1#2",
            "99999999999999999999",
        ] {
            assert!(MINUTE.parse(text).is_err(), "{text}");
        }
        assert!(
            MONTH.parse("sun").is_err()
                && DAY_OF_WEEK.parse("jan").is_err()
                && MONTH.parse("ja").is_err()
        );
    }

    #[test]
    fn a_long_list_costs_its_length() {
        let text = "0-59,".repeat(200_000) + "7";
        assert_eq!(MINUTE.parse(&text).expect("a valid list").count_ones(), 60);
    }
}
