//! `batch`: a list of calls, one after another, each answered or waited for, one failing without
//! the others. A resumable list on the parked connection; bounded in calls and bytes.

use serde_json::{Map, Value};

use crate::call::answer::{self, Answer, Data};
use crate::call::error::CallError;
use crate::call::name::{self, Action};
use crate::call::reference;
use crate::call::source::{Body, From, Params};
use crate::limits::{
    BATCH_ANSWER_BYTES_MAX, BATCH_CALLS_MAX, BATCH_REFERENCE_BYTES_MAX, BYTES_PER_WORK,
};
use crate::proto::form::Form;
use crate::proto::json;
use crate::proto::json_list::JsonList;
use crate::proto::request::Method;
use crate::state::api_log::SubRecords;
use crate::state::calls::{Caller, Progress, Wait, Work};
use crate::state::server::Server;

/// A batch under way.
#[derive(Debug)]
pub(super) struct Batch {
    calls: JsonList<'static>,
    /// Stop at the first failure.
    one_transaction: bool,
    /// The database transaction of plugins' calls, from the first of them on.
    transaction: Option<u64>,
    stopped: bool,
    /// All calls are done; only the transaction's end is waited for.
    is_over: bool,
    escape: bool,
    /// `[0,data]` or `[code,message,detail]` each.
    answers: Vec<Value>,
    /// What references see: the data of each answer, `None` where it failed.
    data: Vec<Option<Value>>,
    reference_bytes_left: usize,
    answer_bytes: usize,
    /// Whether any call refers to earlier answers; else `data` holds nothing.
    has_references: bool,
    /// The sub-call under way and its name.
    current: Option<(Work, Box<str>)>,
    /// What ApiLog1 is to keep; only where it may be to.
    records: Option<SubRecords>,
}

/// One entry of a batch, its references filled.
struct SubCall {
    action: Box<str>,
    query: Form<'static>,
    body: Body<'static>,
}

impl<S> Server<S> {
    pub(super) fn start_batch(
        &mut self,
        caller: &Caller<'_>,
        params: Params<'_>,
        is_post: bool,
    ) -> Progress {
        if !is_post {
            return fail("batch MUST use `POST' method");
        }
        let one_transaction = params
            .text(From::Query, "useTrans")
            .is_ok_and(|text| !matches!(text.as_ref(), "0" | "false" | "off" | "no"));
        let calls = match params.body {
            Body::List(calls) if calls.len() > BATCH_CALLS_MAX => {
                return fail("bad batch request: more than 1000 calls");
            }
            Body::List(calls) => calls,
            Body::Map(form) if form.is_empty() => {
                return fail("bad batch request: the body must be a list of calls");
            }
            Body::Map(_) => {
                return fail(
                    "bad batch request: the body must be a list of calls [{ac, get?, post?, ref?}]",
                );
            }
        };
        let batch = Batch {
            answers: Vec::with_capacity(calls.len()),
            data: Vec::with_capacity(calls.len()),
            // An escape may hide the sign.
            has_references: calls.mentions("{$") || calls.mentions("\\u"),
            calls: calls.into_owned(),
            one_transaction,
            transaction: None,
            stopped: false,
            is_over: false,
            escape: params.escape,
            reference_bytes_left: BATCH_REFERENCE_BYTES_MAX,
            answer_bytes: 0,
            current: None,
            records: self.begin_sub_records(caller),
        };
        self.continue_batch(caller, Box::new(batch), None)
    }

    pub(super) fn continue_batch(
        &mut self,
        caller: &Caller<'_>,
        mut batch: Box<Batch>,
        mut done: Option<Answer>,
    ) -> Progress {
        loop {
            let (progress, action) = match batch.current.take() {
                Some((work, action)) => (self.continue_call(caller, work, done.take()), action),
                None if self.share_left == 0 => {
                    return Progress::Wait(Work::Batch(batch), Wait::Turn);
                }
                None => match batch.calls.poll_item() {
                    None => return self.end_batch(caller, batch),
                    Some((bytes, call)) => {
                        self.spend(CALL_WORK + (bytes / BYTES_PER_WORK) as u32);
                        let call = call.unwrap_or(Value::Null);
                        self.start_sub_call(caller, &mut batch, call)
                    }
                },
            };
            match progress {
                // Its transaction ended: the whole failed where that did.
                Progress::Done(answer) if batch.is_over => {
                    let answers = Data::Json(Value::Array(batch.answers));
                    self.keep_sub_records(batch.records);
                    return Progress::Done(answer.map(|_| answers));
                }
                Progress::Done(answer) => {
                    if let Some(records) = &mut batch.records {
                        records.end(&action, &answer, self.now.mono_ms, self.settings.api_log);
                    }
                    if let Err(error) = &answer {
                        self.log_failure(caller, &action, error);
                    }
                    batch.finish(answer);
                }
                Progress::Wait(work, wait) => {
                    batch.current = Some((work, action));
                    return Progress::Wait(Work::Batch(batch), wait);
                }
            }
        }
    }

    /// Ends the transaction, where plugins' calls began one.
    fn end_batch(&mut self, caller: &Caller<'_>, mut batch: Box<Batch>) -> Progress {
        let Some(transaction) = batch.transaction.take() else {
            self.keep_sub_records(batch.records);
            return Progress::Done(Ok(Data::Json(Value::Array(batch.answers))));
        };
        batch.is_over = true;
        batch.current = Some((Work::Plugin, "batch".into()));
        self.end_transaction(caller.conn, transaction, !batch.stopped);
        Progress::Wait(Work::Batch(batch), Wait::Job)
    }

    fn start_sub_call(
        &mut self,
        caller: &Caller<'_>,
        batch: &mut Batch,
        call: Value,
    ) -> (Progress, Box<str>) {
        if let Some(records) = &mut batch.records {
            records.begin(&call, self.now.mono_ms);
        }
        if batch.stopped {
            let cancelled =
                CallError::with_message(-100, "事务失败，取消执行", "batch call cancelled.");
            return (Progress::Done(Err(cancelled)), "batch".into());
        }
        if batch.answer_bytes > BATCH_ANSWER_BYTES_MAX {
            return (Progress::Done(Err(too_large())), "batch".into());
        }
        match batch.read(call) {
            Err(error) => (Progress::Done(Err(error)), "batch".into()),
            Ok(call) if &*call.action == "batch" => {
                (fail("a batch cannot hold a batch"), call.action)
            }
            Ok(call) => {
                let is_post = !call.body.is_empty();
                let params = Params {
                    query: call.query,
                    body: call.body,
                    escape: batch.escape,
                };
                let progress = match batch.one_transaction && self.plugins.has_call(&call.action) {
                    true => {
                        let transaction = batch
                            .transaction
                            .get_or_insert_with(|| self.plugins.begin_transaction());
                        let transaction = Some(*transaction);
                        self.start_plugin_call(caller, &call.action, params, transaction)
                    }
                    false => self.start_call(caller, &call.action, params, is_post),
                };
                (progress, call.action)
            }
        }
    }
}

impl Batch {
    /// One entry: `{ac, get?, post?, ref?}`.
    fn read(&mut self, call: Value) -> Result<SubCall, CallError> {
        let Value::Object(mut call) = call else {
            return Err(bad_call());
        };
        let action = match call.get("ac") {
            Some(Value::String(action)) if !action.is_empty() => action.clone(),
            _ => return Err(bad_call()),
        };
        let names: Vec<String> = match call.remove("ref") {
            Some(Value::Array(names)) => names.iter().map(json::to_text).collect(),
            _ => Vec::new(),
        };
        let mut get = self.source(call.remove("get"), &names)?;
        let post = self.source(call.remove("post"), &names)?;
        let method = if is_empty(&post) {
            Method::Get
        } else {
            Method::Post
        };
        let Action { name, id } = name::route(method, &action)?;
        if let Some(id) = id {
            if !get.is_object() {
                get = Value::Object(Map::new());
            }
            if let Value::Object(get) = &mut get {
                get.insert("id".to_owned(), Value::String(id.into_owned()));
            }
        }
        let query = match get {
            Value::Object(fields) => Form::from_object(fields),
            _ => Form::default(),
        };
        let body = match post {
            Value::Object(fields) => Body::Map(Form::from_object(fields)),
            Value::Array(items) if !items.is_empty() => Body::List(JsonList::from_values(items)),
            _ => Body::Map(Form::default()),
        };
        Ok(SubCall {
            action: name.into(),
            query,
            body,
        })
    }

    /// `get` or `post` with its references filled: those that `ref` names, or the whole where it
    /// is one text.
    fn source(&mut self, source: Option<Value>, names: &[String]) -> Result<Value, CallError> {
        let mut source = source.unwrap_or(Value::Null);
        match &mut source {
            Value::String(_) => {
                reference::fill(&mut source, &self.data, &mut self.reference_bytes_left)?
            }
            Value::Object(fields) => {
                for (_, value) in fields.iter_mut().filter(|(name, _)| names.contains(name)) {
                    reference::fill(value, &self.data, &mut self.reference_bytes_left)?;
                }
            }
            _ => {}
        }
        Ok(source)
    }

    fn finish(&mut self, mut answer: Answer) {
        if let Ok(Data::Rendered(text)) = &answer
            && self.answer_bytes + text.len() * VALUE_PER_TEXT > BATCH_ANSWER_BYTES_MAX
        {
            answer = Err(too_large());
        }
        self.stopped |= self.one_transaction && answer.is_err();
        let answer = answer::to_value(answer);
        self.answer_bytes += memory_of(&answer);
        let data = match &answer {
            _ if !self.has_references => None,
            Value::Array(parts) if parts.first().and_then(Value::as_i64) == Some(0) => {
                parts.get(1).cloned()
            }
            _ => None,
        };
        self.data.push(data);
        self.answers.push(answer);
    }
}

/// About what a value takes in memory.
fn memory_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 32,
        Value::Number(_) => 72,
        Value::String(text) => 64 + text.len(),
        Value::Array(items) => 64 + items.iter().map(memory_of).sum::<usize>(),
        Value::Object(fields) => {
            let members = fields
                .iter()
                .map(|(name, value)| 80 + name.len() + memory_of(value));
            128 + members.sum::<usize>()
        }
    }
}

/// What JSON text takes in memory once it is taken apart, about: short members in maps.
const VALUE_PER_TEXT: usize = 4;

/// Reading one sub-call, in units of work.
const CALL_WORK: u32 = 20;

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => Map::is_empty(fields),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn fail(detail: &'static str) -> Progress {
    Progress::Done(Err(CallError::new(1, detail)))
}

fn too_large() -> CallError {
    CallError::new(1, "batch answers take more than 32 MiB together")
}

fn bad_call() -> CallError {
    CallError::with_message(1, "参数错误", "bad batch request: require `ac'")
}
