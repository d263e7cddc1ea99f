//! What a timer's fields mean: when it runs and how its callback is made. Reads JSON values leniently where
//! the original did; never keeps them, never reads a clock.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::call::error::CallError;
use crate::call::number::Numeric;
use crate::call::param::{self, Type};
use crate::limits::{
    INTERVAL_MS_MIN, RETRIES_MAX, RETRY_WAIT_MS, RETRY_WAIT_MS_MAX, SPLAY_MS_MAX,
    TIMER_TIMEOUT_MS_MAX, WAIT_MS_MAX,
};
use crate::proto::form::Field;
use crate::proto::json;
use crate::settings::Overlap;
use crate::state::cron::Cron;
use crate::state::timers::sign;

/// A timer's fields, in the order given.
pub type Fields = Map<String, Value>;

/// Columns that `Timer.query` adds behind `id`; as fields of a call they are dropped, for rows are sent back.
pub const OWN_COLUMNS: [&str; 9] = [
    "nextRun",
    "lastRun",
    "lastStatus",
    "lastMs",
    "lastLateMs",
    "failures",
    "runs",
    "error",
    "failedAt",
];

/// What we store with a timer beside its fields; never shown, never taken from a call.
pub const STORED_DUE: &str = "_due";
/// Runs so far, of a timer with `maxRuns`.
pub const STORED_RUNS: &str = "_runs";
/// Unix s up to which occurrences are dealt with, of a timer with `misfire`.
pub const STORED_RAN_TO: &str = "_ranTo";
const STORED: [&str; 3] = [STORED_DUE, STORED_RUNS, STORED_RAN_TO];

/// When a timer runs.
#[derive(Clone, Debug)]
pub enum Rhythm {
    /// Once, after this many ms.
    Once(u64),
    /// At once and then every so many ms.
    Interval(u64),
    /// By a crontab line.
    Line(Box<Cron>),
    /// Looks at once and every so many ms, and runs where the minute matches.
    Look(Box<Cron>, u64),
}

/// A timer's fields, read.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When it runs.
    pub rhythm: Rhythm,
    /// `app-obj-key`.
    pub code: Option<Box<str>>,
    /// Whether it is kept and shown, but does not run.
    pub disabled: bool,
    /// Whether a one-shot is stored.
    pub persist: bool,
    /// Zone of its crontab line, where it is not the host's.
    pub tz: Option<TimeZone>,
    /// What it does when its last run is not over; `None` for the setting.
    pub overlap: Option<Overlap>,
    /// Whether a crontab line that was missed while the daemon was down is made up for once.
    pub misfire_once: bool,
    /// All its times are this much later, ms; stable by code.
    pub splay_ms: u64,
    /// Runs at most.
    pub max_runs: Option<u64>,
    /// Unix s after which it does not run.
    pub until_s: Option<i64>,
    /// How its callback is made.
    pub call: CallPlan,
}

/// What matters to a run.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// Time for all of it, ms; `None` for the setting.
    pub timeout_ms: Option<u64>,
    /// How often it is made again after a failure; 0 also means that any status is a success.
    pub retry: u32,
    /// Before the first retry, ms.
    pub retry_wait_ms: u64,
    /// The key that its callbacks are signed with.
    pub key: Option<Box<[u8]>>,
}

/// Where names of time zones come from.
pub type Zones = fn(&str) -> Option<TimeZone>;

impl Plan {
    /// Reads fields. Errors: code 1 as recorded; the URL is only looked for, its builder judges it.
    pub fn read(fields: &Fields, zone: &TimeZone, zones: Zones) -> Result<Plan, CallError> {
        if text(fields, "url").is_none() {
            return Err(CallError::with_message(
                1,
                "缺少参数`url`",
                "require param `url`",
            ));
        }
        let rhythm = rhythm(fields)?;
        let code = text(fields, "code");
        if let Some(code) = &code
            && !is_code(code)
        {
            return Err(CallError::with_message(
                1,
                "code参数格式错误",
                format!("bad code for timer: {code}"),
            ));
        }
        flag(fields, "useJson", zone)?;
        let tz = match text(fields, "tz") {
            Some(name) => Some(named_zone(&name, zones)?),
            None => None,
        };
        let overlap = match text(fields, "overlap") {
            Some(word) => Some(
                Overlap::parse(&word)
                    .ok_or_else(|| bad("overlap", &word, "allow, skip or queue"))?,
            ),
            None => None,
        };
        let misfire_once = match text(fields, "misfire").as_deref() {
            None | Some("skip") => false,
            Some("once") => true,
            Some(word) => return Err(bad("misfire", word, "skip or once")),
        };
        let until_s = typed(fields, "until", &Type::DateTime, zone)?.and_then(|at| at.as_i64());
        let splay_max_ms = seconds(fields, "splay", 0, SPLAY_MS_MAX, zone)?.unwrap_or(0);
        Ok(Plan {
            rhythm,
            splay_ms: spread(code.as_deref().unwrap_or_default(), splay_max_ms),
            code: code.map(|code| code.into()),
            disabled: flag(fields, "disabled", zone)?,
            persist: flag(fields, "persist", zone)?,
            tz,
            overlap,
            misfire_once,
            max_runs: whole(fields, "maxRuns", 1, i64::MAX as u64, zone)?,
            until_s,
            call: CallPlan::read(fields, zone)?,
        })
    }

    /// Whether it is a one-shot.
    pub fn is_once(&self) -> bool {
        matches!(self.rhythm, Rhythm::Once(_))
    }
}

impl CallPlan {
    /// Reads the fields that matter to a run. Errors: code 1.
    pub fn read(fields: &Fields, zone: &TimeZone) -> Result<CallPlan, CallError> {
        let key = match text(fields, "sign") {
            Some(secret) => Some(sign::key(&secret).ok_or_else(|| {
                CallError::new(1, "bad `sign`: expected a secret, or whsec_ and base64")
            })?),
            None => None,
        };
        Ok(CallPlan {
            timeout_ms: seconds(fields, "timeout", 1, TIMER_TIMEOUT_MS_MAX, zone)?,
            retry: whole(fields, "retry", 0, RETRIES_MAX, zone)?.unwrap_or(0) as u32,
            retry_wait_ms: whole(fields, "retryWait", 1, RETRY_WAIT_MS_MAX, zone)?
                .unwrap_or(RETRY_WAIT_MS),
            key: key.map(Vec::into_boxed_slice),
        })
    }
}

/// Brings a call's fields into the form in which they are kept: no nulls, no `id`, none of our own columns,
/// `useJson` and `disabled` as bools. Errors: code 1, they are none.
pub fn normalize(mut fields: Fields, zone: &TimeZone) -> Result<Fields, CallError> {
    fields.retain(|name, value| {
        let is_ours =
            name == "id" || OWN_COLUMNS.contains(&name.as_str()) || STORED.contains(&name.as_str());
        !is_ours && !value.is_null()
    });
    for name in ["useJson", "disabled"] {
        if let Some(value) = typed(&fields, name, &Type::Bool, zone)? {
            fields.insert(name.to_owned(), value);
        }
    }
    Ok(fields)
}

/// The time zone of that name. Errors: code 1, there is none.
pub fn named_zone(name: &str, zones: Zones) -> Result<TimeZone, CallError> {
    zones(name).ok_or_else(|| bad("tz", name, "a time zone's name, e.g. Asia/Shanghai"))
}

/// A crontab line. Errors: code 1 as recorded.
pub fn crontab(line: &str) -> Result<Cron, CallError> {
    Cron::parse(line).map_err(|error| bad_cron(error.detail()))
}

/// The error of a `cron` that is none.
pub fn bad_cron(detail: impl Into<Cow<'static, str>>) -> CallError {
    CallError::with_message(1, "时间设置(cron)不正确", detail)
}

/// A field as text; `None` where it is missing, null or empty.
pub fn text<'f>(fields: &'f Fields, name: &str) -> Option<Cow<'f, str>> {
    match fields.get(name)? {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then_some(Cow::Borrowed(text)),
        value => Some(Cow::Owned(json::to_text(value))),
    }
}

/// `wait` in ms, as the original read it: the number a text begins with, 0 where there is none or it is negative.
pub fn wait_ms(fields: &Fields) -> u64 {
    let number = match fields.get("wait") {
        Some(Value::Number(number)) => Numeric::of(number),
        Some(Value::String(text)) => leading_number(text),
        Some(Value::Bool(true)) => Some(Numeric::Integer(1)),
        _ => None,
    };
    let ms = number.map_or(0.0, Numeric::as_f64);
    // Casting saturates; negative numbers become 0.
    (ms as u64).min(WAIT_MS_MAX)
}

/// An integer field of ours; `None` where it is missing or something else.
pub fn stored(fields: &Fields, name: &str) -> Option<i64> {
    fields.get(name)?.as_i64()
}

/// Takes what is ours out of a stored record: `id` and what begins with an underscore and is known.
pub fn remove_stored(fields: &mut Fields) {
    fields.retain(|name, _| name != "id" && !STORED.contains(&name.as_str()));
}

fn rhythm(fields: &Fields) -> Result<Rhythm, CallError> {
    let wait_ms = wait_ms(fields);
    let line = match fields.get("cron") {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(Rhythm::Once(wait_ms)),
        Some(Value::Bool(true)) => Cow::Borrowed("1"),
        Some(Value::String(line)) => Cow::Borrowed(line.as_str()),
        Some(value @ Value::Number(_)) => Cow::Owned(json::to_text(value)),
        Some(_) => return Err(bad_cron("bad cron format")),
    };
    let line = line.trim_ascii();
    if line.is_empty() || line == "0" {
        return Ok(Rhythm::Once(wait_ms));
    }
    let too_small =
        || CallError::with_message(1, "间隔时间(wait)太小不允许", "min wait time>100ms");
    if Numeric::parse(line).is_some_and(|number| number.as_f64() == 1.0) {
        if wait_ms < INTERVAL_MS_MIN {
            return Err(too_small());
        }
        return Ok(Rhythm::Interval(wait_ms));
    }
    let cron = Box::new(crontab(line)?);
    match wait_ms {
        0 => Ok(Rhythm::Line(cron)),
        // A look costs as much as a run.
        1..INTERVAL_MS_MIN => Err(too_small()),
        _ => Ok(Rhythm::Look(cron, wait_ms)),
    }
}

/// `^\w+-\w+-`
fn is_code(code: &str) -> bool {
    let is_word = |part: Option<&str>| {
        part.is_some_and(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
    };
    let mut parts = code.splitn(3, '-');
    is_word(parts.next()) && is_word(parts.next()) && parts.next().is_some()
}

/// The number that a text begins with, as PHP's `intval` reads it.
fn leading_number(text: &str) -> Option<Numeric> {
    let text = text.trim_start();
    let sign = usize::from(text.starts_with(['+', '-']));
    let digits = |from: usize| {
        text.bytes()
            .skip(from)
            .take_while(u8::is_ascii_digit)
            .count()
    };
    let mut end = sign + digits(sign);
    if text[end..].starts_with('.') {
        end += 1 + digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let exponent_sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + exponent_sign);
        if exponent > 0 {
            end += 1 + exponent_sign + exponent;
        }
    }
    Numeric::parse(&text[..end])
}

/// Below `max_ms`, the same for the same code (FNV-1a, whose low bits differ well enough).
fn spread(code: &str, max_ms: u64) -> u64 {
    let hash = code.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    if max_ms == 0 { 0 } else { hash % max_ms }
}

/// A field in its type; `None` where it is missing, null or empty.
fn typed(
    fields: &Fields,
    name: &str,
    kind: &Type,
    zone: &TimeZone,
) -> Result<Option<Value>, CallError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => {
            param::convert(name, kind, &Field::Text(text.as_str().into()), zone).map(Some)
        }
        Some(value) => param::convert(name, kind, &Field::Json(value.clone()), zone).map(Some),
    }
}

fn flag(fields: &Fields, name: &str, zone: &TimeZone) -> Result<bool, CallError> {
    Ok(typed(fields, name, &Type::Bool, zone)? == Some(Value::Bool(true)))
}

fn whole(
    fields: &Fields,
    name: &str,
    min: u64,
    max: u64,
    zone: &TimeZone,
) -> Result<Option<u64>, CallError> {
    let Some(value) = typed(fields, name, &Type::Integer, zone)? else {
        return Ok(None);
    };
    match value.as_u64().filter(|number| (min..=max).contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(bad(
            name,
            &json::to_text(&value),
            &format!("a whole number, {min} to {max}"),
        )),
    }
}

/// Seconds, with or without a fraction, in ms.
fn seconds(
    fields: &Fields,
    name: &str,
    min_ms: u64,
    max_ms: u64,
    zone: &TimeZone,
) -> Result<Option<u64>, CallError> {
    let Some(value) = typed(fields, name, &Type::Number, zone)? else {
        return Ok(None);
    };
    let ms = value.as_f64().map_or(-1.0, |seconds| seconds * 1_000.0);
    if ms < min_ms as f64 || ms > max_ms as f64 {
        let expected = format!("seconds, {} to {}", min_ms as f64 / 1_000.0, max_ms / 1_000);
        return Err(bad(name, &json::to_text(&value), &expected));
    }
    Ok(Some(ms.round() as u64))
}

fn bad(name: &str, value: &str, expected: &str) -> CallError {
    CallError::new(1, format!("bad `{name}`=`{value}`: expected {expected}"))
}

#[cfg(test)]
mod tests;
