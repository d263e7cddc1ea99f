//! `logTail`: the last lines of the logs. The disk thread has them; this asks and hands on.

use serde_json::{Value, json};

use crate::call::answer::Data;
use crate::call::error::CallError;
use crate::call::options;
use crate::call::param::Type;
use crate::call::source::Params;
use crate::ids::ConnId;
use crate::limits::{LOG_TAIL_LINES_DEFAULT, LOG_TAIL_LINES_MAX};
use crate::message::{LogFile, LogLines, LogQuery};
use crate::state::calls::{Progress, Wait, Work, too_busy};
use crate::state::console::line_value;
use crate::state::server::{Output, Server};

impl<S> Server<S> {
    pub(super) fn start_log_tail(&mut self, id: ConnId, params: &Params<'_>) -> Progress {
        match read(id, params) {
            Ok(query) => {
                self.output(Output::Tail(Box::new(query)));
                Progress::Wait(Work::Asked, Wait::Job)
            }
            Err(error) => Progress::Done(Err(error)),
        }
    }

    /// The disk thread answers.
    pub(super) fn handle_log_lines(&mut self, told: &LogLines) {
        let Some(id) = told.reply_to else {
            return self.tell_lines(told);
        };
        let lines: Vec<Value> = told.lines.iter().map(line_value).collect();
        let answer = json!({"last": told.last, "lines": lines});
        self.resume_with(id, Some(Ok(Data::Json(answer))));
    }

    /// The disk thread had no room for a question.
    pub(super) fn handle_tail_refused(&mut self, reply_to: Option<ConnId>) {
        match reply_to {
            Some(id) => self.resume_with(id, Some(Err(too_busy()))),
            None => self.handle_lines_refused(),
        }
    }
}

fn read(id: ConnId, params: &Params<'_>) -> Result<LogQuery, CallError> {
    let file = match options::text(params, "file") {
        None => None,
        Some(name) => {
            let is_it = |file: &LogFile| file.name() == name;
            let file = LogFile::ALL.into_iter().find(is_it);
            Some(file.ok_or_else(|| {
                CallError::new(1, "bad param `file`: expected server, trace, slow or debug")
            })?)
        }
    };
    let limit = match options::integer(params, "limit", &Type::Integer)? {
        None => LOG_TAIL_LINES_DEFAULT,
        Some(_) => options::limit(params, "limit", LOG_TAIL_LINES_MAX)?,
    };
    let after = options::integer(params, "after", &Type::Integer)?;
    Ok(LogQuery {
        reply_to: Some(id),
        after: after.map_or(0, |after| after.max(0).unsigned_abs()),
        file,
        text: options::text(params, "match").unwrap_or_default().into(),
        limit,
    })
}
