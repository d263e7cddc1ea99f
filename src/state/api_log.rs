//! Which calls the table ApiLog is to keep, `debug.log` and test mode are to tell, and how they get there: a bounded queue and one job under way, so that
//! what comes meanwhile goes together next time. Costs nothing while those are off.

use std::collections::VecDeque;

use serde_json::Value;

use crate::call::answer::{self, Answer};
use crate::call::masked::{cut, push_form, push_json};
use crate::call::source::Body;
use crate::ids::ConnId;
use crate::limits::{
    API_LOG_ANSWER_BYTES_MAX, API_LOG_BATCH_BYTES_MAX, API_LOG_ERROR_BYTES_MAX,
    API_LOG_NAME_BYTES_MAX, API_LOG_RECORDS_PER_JOB, API_LOG_REQUEST_BYTES_MAX,
    API_LOG_WAITING_BYTES_MAX, API_LOG_WAITING_MAX, API_LOG_WARNING_MS,
};
use crate::message::api_log::{ApiLogDone, ApiRecord, ApiSubRecord};
use crate::message::{Job, LogFile, LogLine};
use crate::proto::form::Form;
use crate::proto::json;
use crate::proto::logtext::log_text;
use crate::proto::request::Head;
use crate::state::calls::Caller;
use crate::state::connection::Meta;
use crate::state::server::{Output, Server};

/// Only calls that failed.
const FAILED_ONLY: u32 = 2;

/// Calls on their way to the database.
#[derive(Debug, Default)]
pub(super) struct ApiLog {
    waiting: VecDeque<ApiRecord>,
    waiting_bytes: usize,
    jobs: usize,
    /// Of the batch that has just ended, for the record of its call.
    sub_calls: Vec<ApiSubRecord>,
    /// A failure is told again after that.
    warn_at_ms: u64,
}

/// The calls of a batch under way.
#[derive(Debug, Default)]
pub(super) struct SubRecords {
    done: Vec<ApiSubRecord>,
    bytes: usize,
    began_ms: u64,
    request: Box<str>,
}

impl SubRecords {
    /// One of them begins.
    pub fn begin(&mut self, call: &Value, now_ms: u64) {
        self.began_ms = now_ms;
        let mut request = String::new();
        for source in ["get", "post"] {
            if let Some(value) = call.get(source).filter(|value| !value.is_null()) {
                if !request.is_empty() {
                    request.push_str(";\n");
                }
                push_json(
                    &mut request,
                    &json::to_text(value),
                    API_LOG_REQUEST_BYTES_MAX,
                );
            }
        }
        self.request = cut(&request, API_LOG_REQUEST_BYTES_MAX).into();
    }

    /// It ended.
    pub fn end(&mut self, action: &str, answer: &Answer, now_ms: u64, level: u32) {
        let code = code_of(answer);
        if (level == FAILED_ONLY && code == 0) || self.bytes > API_LOG_BATCH_BYTES_MAX {
            return;
        }
        let mut text = Vec::new();
        answer::write(&mut text, answer);
        let record = ApiSubRecord {
            action: cut(action, API_LOG_NAME_BYTES_MAX).into(),
            took_ms: now_ms.saturating_sub(self.began_ms),
            code,
            request: std::mem::take(&mut self.request),
            answer: cut_answer(&text, code),
        };
        self.bytes += record.bytes();
        self.done.push(record);
    }
}

impl<S> Server<S> {
    /// Whether anything may want a call's record: ApiLog, `debug.log`, test mode.
    pub(super) fn keeps_records(&self) -> bool {
        let settings = &self.settings;
        settings.api_log > 0 || settings.debug_log > 0 || settings.test_mode
    }

    /// In test mode: one more element in `[0,data]` or `[code,message,detail]`.
    pub(super) fn push_debug(&self, body: &mut Vec<u8>, meta: &Meta) {
        let Some(record) = meta
            .record
            .as_ref()
            .filter(|_| self.settings.debug_level > 0)
        else {
            return;
        };
        if !body.ends_with(b"]\n") {
            return;
        }
        body.truncate(body.len() - 2);
        let took_ms = self.now.mono_ms.saturating_sub(meta.began_ms);
        body.extend_from_slice(b",[");
        json::write_str(body, &format!("{}: {took_ms} ms", record.action));
        body.extend_from_slice(b"]]\n");
    }

    /// A call's line in `debug.log`.
    fn log_debug(&mut self, record: &ApiRecord) {
        let ApiRecord {
            action,
            took_ms,
            code,
            ..
        } = record;
        let shown = |text: &str| log_text(text, API_LOG_REQUEST_BYTES_MAX).into_owned();
        let (action, request, answer) =
            (shown(action), shown(&record.request), shown(&record.answer));
        let text =
            format!("call `{action}`: {took_ms} ms, ret {code}; in: {request}; out: {answer}");
        let text = self
            .log_time
            .request_line(&record.address, self.now.unix_ms, &text);
        self.output(Output::Log(LogLine {
            file: LogFile::Debug,
            text,
        }));
    }

    /// The record of a call that begins.
    pub(super) fn begin_record(
        &self,
        id: ConnId,
        head: &Head<'_, '_>,
        meta: &Meta,
        query: &Form<'_>,
        parsed: Option<&Body<'_>>,
        body: &[u8],
    ) -> Box<ApiRecord> {
        let caller = Caller {
            conn: id,
            forwarded_for: meta.forwarded_for.as_deref(),
            request: None,
        };
        let name = |text: &str| cut(text, API_LOG_NAME_BYTES_MAX).into();
        let header = |name| String::from_utf8_lossy(head.header(name).unwrap_or_default());
        let parameter = |name| {
            query
                .get(name)
                .and_then(|field| field.as_text())
                .unwrap_or_default()
        };
        let app = match parameter("_app") {
            "" => "user",
            app => app,
        };
        let mut request = String::new();
        push_form(&mut request, query, API_LOG_REQUEST_BYTES_MAX);
        if !body.is_empty() {
            request.push_str(";\n");
            match parsed {
                Some(Body::Map(form)) if !is_json(body) => {
                    push_form(&mut request, form, API_LOG_REQUEST_BYTES_MAX);
                }
                // Nobody knows where its secrets are.
                None if !is_json(body) => request.push('?'),
                _ => push_json(
                    &mut request,
                    &String::from_utf8_lossy(body),
                    API_LOG_REQUEST_BYTES_MAX,
                ),
            }
        }
        let cookies = header("cookie");
        let question_mark = usize::from(!head.query.is_empty());
        let target_bytes = head.path.len() + question_mark + head.query.len();
        Box::new(ApiRecord {
            address: name(&self.address_text(&caller)),
            user_agent: name(&header("user-agent")),
            app: name(app),
            session: name(session_of(&cookies, app)),
            request: cut(&request, API_LOG_REQUEST_BYTES_MAX).into(),
            request_bytes: (target_bytes + body.len()) as u64,
            version: name(parameter("_ver")),
            ..ApiRecord::default()
        })
    }

    /// What is known once the call is done; a shape of a plugin may still be put on its answer.
    pub(super) fn fill_record(&mut self, meta: &mut Meta, action: &str, answer: &Answer) {
        let sub_calls = std::mem::take(&mut self.api_log.sub_calls);
        let began_ms = meta.began_ms;
        // Filled before: this is the answer that a plugin shaped.
        let Some(record) = meta
            .record
            .as_mut()
            .filter(|record| record.action.is_empty())
        else {
            return;
        };
        let ago_ms = self.now.mono_ms.saturating_sub(began_ms);
        record.began = self
            .log_time
            .text(self.now.unix_ms.saturating_sub(ago_ms))
            .into();
        record.action = cut(action, API_LOG_NAME_BYTES_MAX).into();
        record.code = code_of(answer);
        record.sub_calls = sub_calls;
    }

    /// The call is answered: its record is complete.
    pub(super) fn end_record(&mut self, meta: &Meta, body: &[u8], bytes: usize) {
        let Some(record) = &meta.record else {
            return;
        };
        let has_failed = record.code != 0 || record.sub_calls.iter().any(|call| call.code != 0);
        let is_wanted = |level: u32| level > 0 && (level != FAILED_ONLY || has_failed);
        let (to_table, to_log) = (
            is_wanted(self.settings.api_log),
            is_wanted(self.settings.debug_log),
        );
        if !to_table && !to_log {
            return;
        }
        let mut record = ApiRecord::clone(record);
        record.took_ms = self.now.mono_ms.saturating_sub(meta.began_ms);
        record.answer = cut_answer(body, record.code);
        record.answer_bytes = bytes as u64;
        if to_log {
            self.log_debug(&record);
        }
        if !to_table {
            return;
        }
        let size = record.bytes();
        let log = &mut self.api_log;
        if log.waiting.len() >= API_LOG_WAITING_MAX
            || log.waiting_bytes + size > API_LOG_WAITING_BYTES_MAX
        {
            self.stats.api_log_dropped += 1;
            return;
        }
        log.waiting_bytes += size;
        log.waiting.push_back(record);
        self.write_records();
    }

    /// Hands the next records to a worker; at the end, all that come.
    pub(super) fn write_records(&mut self) {
        while !self.api_log.waiting.is_empty() && (self.api_log.jobs == 0 || self.is_stopping()) {
            let log = &mut self.api_log;
            let count = log.waiting.len().min(API_LOG_RECORDS_PER_JOB);
            let records: Vec<ApiRecord> = log.waiting.drain(..count).collect();
            log.waiting_bytes -= records.iter().map(ApiRecord::bytes).sum::<usize>();
            log.jobs += 1;
            self.output(Output::Job(Job::ApiLog(records)));
        }
    }

    /// Records are written, or are not.
    pub(super) fn handle_api_log_done(&mut self, done: ApiLogDone) {
        self.api_log.jobs = self.api_log.jobs.saturating_sub(1);
        if let Err(why) = done.outcome {
            self.stats.api_log_dropped += done.records as u64;
            if self.now.mono_ms >= self.api_log.warn_at_ms {
                self.api_log.warn_at_ms = self.now.mono_ms + API_LOG_WARNING_MS;
                let (records, why) = (done.records, log_text(&why, API_LOG_ERROR_BYTES_MAX));
                self.log(&format!("ApiLog: {records} calls are lost: {why}"));
            }
        }
        self.write_records();
    }

    /// Whether the calls of a batch are to be kept.
    pub(super) fn begin_sub_records(&self, caller: &Caller<'_>) -> Option<SubRecords> {
        let is_wanted = self.settings.api_log > 0 || self.settings.debug_log == FAILED_ONLY;
        (is_wanted && caller.conn.ticket().is_none()).then(SubRecords::default)
    }

    /// A batch ended: for the record of its call, which is filled next.
    pub(super) fn keep_sub_records(&mut self, records: Option<SubRecords>) {
        self.api_log.sub_calls = records.map(|records| records.done).unwrap_or_default();
    }

    /// A slow call's line in `slow.log`.
    pub(super) fn log_slow(&mut self, id: ConnId, meta: &Meta, action: &str) {
        let took_ms = self.now.mono_ms.saturating_sub(meta.began_ms);
        let limit_ms = self.settings.slow_api_ms;
        if limit_ms == 0 || took_ms < limit_ms {
            return;
        }
        let caller = Caller {
            conn: id,
            forwarded_for: meta.forwarded_for.as_deref(),
            request: None,
        };
        let address = self.address_text(&caller);
        let text = format!("slow call `{}`: {took_ms} ms", log_text(action, 128));
        let text = self
            .log_time
            .request_line(&address, self.now.unix_ms, &text);
        self.output(Output::Log(LogLine {
            file: LogFile::Slow,
            text,
        }));
    }
}

fn code_of(answer: &Answer) -> i64 {
    answer
        .as_ref()
        .map_or_else(|error| error.code.into(), |_| 0)
}

fn cut_answer(body: &[u8], code: i64) -> Box<str> {
    let max = match code {
        0 => API_LOG_ANSWER_BYTES_MAX,
        _ => API_LOG_ERROR_BYTES_MAX,
    };
    // A character more, in case the last one is cut.
    let text = String::from_utf8_lossy(&body[..body.len().min(max + 4)]);
    let mut shown = String::new();
    push_json(&mut shown, text.trim_end_matches('\n'), max);
    shown.into()
}

/// Whether a body that made a map, or nothing, was to be JSON.
fn is_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// The value of the cookie `{appType}id`: the app's name without digits or `-word` at its end.
fn session_of<'c>(cookies: &'c str, app: &str) -> &'c str {
    let kind = match app.rsplit_once('-') {
        Some((kind, word)) if !word.is_empty() => kind,
        _ => app.trim_end_matches(|c: char| c.is_ascii_digit()),
    };
    let mut cookies = cookies
        .split(';')
        .filter_map(|cookie| cookie.trim().split_once('='));
    let found = cookies.find(|(name, _)| name.strip_suffix("id").is_some_and(|name| name == kind));
    found.map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests;
