//! What calls show of timers: rows of `Timer.query` and `get`, the last runs, failed one-shots, a crontab line's
//! coming times. Changes nothing.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::call::answer::Data;
use crate::call::error::CallError;
use crate::ids::ConnId;
use crate::message::TimerKey;
use crate::proto::json;
use crate::state::timers::book::Kept;
use crate::state::timers::calls::bad_timer;
use crate::state::timers::fields::{self, Fields, STORED_DUE};
use crate::state::timers::machine::Timers;

/// A long answer that is being made, some rows a turn.
#[derive(Debug)]
pub struct Listing {
    to: ConnId,
    rows: Rows,
    /// Rows that may still come.
    left: usize,
    text: Vec<u8>,
}

/// Which rows, and how far they are made.
#[derive(Debug)]
enum Rows {
    /// `Timer.query`
    Kept {
        /// The last place that was looked at.
        place: u64,
        /// What a timer's fields must hold, as JSON.
        wanted: Box<str>,
    },
    /// `Timer.failed`
    Failed {
        /// The last id that was looked at.
        id: i64,
    },
}

impl Timers {
    /// Begins an answer of `Timer.query`.
    pub(super) fn list(&mut self, to: ConnId, wanted: Box<str>, limit: usize) {
        self.begin_listing(to, Rows::Kept { place: 0, wanted }, limit);
    }

    /// Begins an answer of `Timer.failed`: the oldest first.
    pub(super) fn list_failed(&mut self, to: ConnId) {
        self.begin_listing(to, Rows::Failed { id: 0 }, usize::MAX);
    }

    fn begin_listing(&mut self, to: ConnId, rows: Rows, left: usize) {
        self.listings.push_back(Listing {
            to,
            rows,
            left,
            text: b"[".to_vec(),
        });
        self.continue_listings();
    }

    /// Goes on with answers, as many rows as the turn has left.
    pub(super) fn continue_listings(&mut self) {
        while self.rows_left > 0
            && let Some(mut listing) = self.listings.pop_front()
        {
            let rows = self.make_rows(&mut listing);
            if rows == self.rows_left && listing.left > 0 {
                self.listings.push_front(listing);
                self.rows_left = 0;
                return;
            }
            self.rows_left -= rows;
            listing.text.push(b']');
            // Never invalid: it was written from texts.
            let text = String::from_utf8(listing.text).unwrap_or_default();
            self.reply(listing.to, Ok(Data::Rendered(text.into())));
        }
    }

    /// Makes as many rows as the turn has left; how many timers it looked at.
    fn make_rows(&self, listing: &mut Listing) -> usize {
        let mut looked = 0;
        match &mut listing.rows {
            Rows::Kept { place, wanted } => {
                for (at, kept) in self.book.behind(*place).take(self.rows_left) {
                    *place = at;
                    looked += 1;
                    if !kept.json.contains(&**wanted) {
                        continue;
                    }
                    put_row(&mut listing.text, &self.row(kept));
                    listing.left -= 1;
                    if listing.left == 0 {
                        break;
                    }
                }
            }
            Rows::Failed { id } => {
                // Ids count down.
                let behind = self.failed.range(..*id).rev();
                for (&at, text) in behind.take(self.rows_left) {
                    *id = at;
                    looked += 1;
                    put_row(&mut listing.text, &failed_row(at, text));
                }
            }
        }
        looked
    }

    /// `Timer.get`
    pub(super) fn row_of(&self, key: &TimerKey) -> Result<Data, CallError> {
        let id = self.id_of(key)?;
        let row = match self.book.get(id) {
            Some(kept) => self.row(kept),
            None => {
                let mut row = self.fields_by_id(id);
                let due_ms = self.queue.due_ms(id);
                let wait_ms = due_ms.map(|due_ms| due_ms.saturating_sub(self.now.mono_ms));
                let next_s = wait_ms.map(|wait_ms| (self.now.unix_ms + wait_ms) as i64 / 1_000);
                row.insert("id".to_owned(), id.into());
                row.insert("nextRun".to_owned(), time_value(next_s, &self.zone));
                Value::Object(row)
            }
        };
        Ok(Data::Json(row))
    }

    /// `Timer.log`: the last runs, the newest first.
    pub(super) fn log_of(&self, key: &TimerKey) -> Result<Data, CallError> {
        let id = self.id_of(key)?;
        let kept = self.book.get(id).ok_or_else(|| bad_timer(key))?;
        let rows = kept.history.last.iter().rev().map(|run| {
            json!({
                "run": run.number,
                "tm": time_value(Some((run.unix_ms / 1_000) as i64), &self.zone),
                "status": run.status,
                "ok": !run.failed,
                "ms": run.took_ms,
                "lateMs": run.late_ms,
                "ret": &*run.text,
            })
        });
        Ok(Data::Json(Value::Array(rows.collect())))
    }

    /// What is stored of a one-shot that failed.
    pub(super) fn failed_record(&self, id: i64, reason: &str) -> Box<str> {
        let Some(kept) = self.book.get(id) else {
            return "{}".into();
        };
        let mut fields = kept.fields();
        fields.insert(STORED_DUE.to_owned(), kept.due_unix_ms.into());
        fields.insert(
            "failedAt".to_owned(),
            time_value(Some(self.now_s()), &self.zone),
        );
        fields.insert("error".to_owned(), reason.into());
        fields.insert("id".to_owned(), id.into());
        json::to_text(&Value::Object(fields)).into()
    }

    /// `Timer.preview`: `n` is bounded by whoever read the call. Errors: code 1 as `setTimeout` gives.
    pub(super) fn preview(
        &self,
        line: &str,
        tz: Option<&str>,
        from_s: Option<i64>,
        n: usize,
    ) -> Result<Data, CallError> {
        let cron = fields::crontab(line)?;
        let named = tz.map(|name| fields::named_zone(name, self.zones));
        let zone = named.transpose()?.unwrap_or_else(|| self.zone.clone());
        let mut list = Vec::new();
        let mut after_s = from_s.unwrap_or_else(|| self.now_s());
        while list.len() < n
            && let Some(next_s) = cron.next(after_s, &zone)
        {
            list.push(json!({"t": next_s, "tm": time_value(Some(next_s), &zone)}));
            after_s = next_s;
        }
        let name = tz.or(zone.iana_name()).unwrap_or_default();
        Ok(Data::Json(json!({"tz": name, "list": list})))
    }

    /// A row: the fields, `id`, then ours.
    fn row(&self, kept: &Kept) -> Value {
        let mut row: Map<String, Value> = kept.fields();
        let zone = &self.zone;
        let last = kept.history.last.back();
        let mut put = |name: &str, value: Value| {
            // A field of that name would keep its place; ours stand behind `id`.
            row.shift_remove(name);
            row.insert(name.to_owned(), value);
        };
        put("id", kept.id.into());
        put("nextRun", time_value(self.next_run_s(kept), zone));
        put(
            "lastRun",
            time_value(last.map(|run| (run.unix_ms / 1_000) as i64), zone),
        );
        put(
            "lastStatus",
            match last {
                Some(run) => run
                    .status
                    .map_or_else(|| Value::from(&*run.text), Value::from),
                None => Value::Null,
            },
        );
        put("lastMs", last.map(|run| run.took_ms).into());
        put("lastLateMs", last.map(|run| run.late_ms).into());
        put("failures", kept.history.failures.into());
        put("runs", kept.history.runs.into());
        if let Err(reason) = &kept.plan {
            put("error", Value::from(&**reason));
        }
        Value::Object(row)
    }
}

/// One more row of a list that has begun.
fn put_row(list: &mut Vec<u8>, row: &Value) {
    if list.len() > 1 {
        list.push(b',');
    }
    json::write(list, row);
}

/// A one-shot that failed: its fields, `id`, when and why.
fn failed_row(id: i64, text: &str) -> Value {
    let mut fields: Fields = serde_json::from_str(text).unwrap_or_default();
    let (at, error) = (
        fields.shift_remove("failedAt"),
        fields.shift_remove("error"),
    );
    fields::remove_stored(&mut fields);
    fields.insert("id".to_owned(), id.into());
    fields.insert("failedAt".to_owned(), at.unwrap_or_default());
    fields.insert("error".to_owned(), error.unwrap_or_default());
    Value::Object(fields)
}

/// `YYYY-MM-DD HH:MM:SS` in that zone; null for none.
fn time_value(unix_s: Option<i64>, zone: &TimeZone) -> Value {
    let time = unix_s
        .and_then(|unix_s| Timestamp::from_second(unix_s).ok())
        .map(|time| zone.to_datetime(time));
    match time {
        Some(time) => Value::from(format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        )),
        None => Value::Null,
    }
}
