//! What coroutines may wait for: each operation is begun here and resumes its coroutine with what came of it. What the
//! functions of plugins make of that is in [`super::lib`]; [`super::lib::ops`] lists names, arguments and results.

use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::{Function, Lua, MultiValue, Table, Value};

use crate::call::answer::{Answer, Data};
use crate::call::callback;
use crate::call::error::CallError;
use crate::ids::ConnId;
use crate::limits::{
    PLUGIN_HANDED_BYTES_MAX, PLUGIN_SLEEP_MS_MAX, PLUGIN_SLICE_MS, PLUGIN_SMALL_BYTES,
};
use crate::message::database::{DatabaseJob, DatabaseOp, SessionJob};
use crate::message::plugin::{
    CallTraces, PluginCall, SocketAction, TaskDone, TaskId, TaskJob, TaskOutcome, TaskWork,
};
use crate::message::{Job, ReactorMsg};
use crate::plugin::http::{HttpCall, HttpOutcome};
use crate::plugin::purpose::{Purpose, Resume, Task, Transaction, Waits};
use crate::plugin::results::{database_values, http_values, sql_values, take, values};
use crate::plugin::scheduler::Scheduler;
use crate::plugin::socket_ops::{SOCKET_OPS, SocketOp};
use crate::plugin::tasks::TaskKey;
use crate::plugin::values::{from_json, to_json, to_sized_json};

/// How an operation began.
pub(super) enum Begun {
    /// It is done already.
    Now(Resume),
    /// Its coroutine waits under this name, at most until then.
    Waits {
        id: TaskId,
        until_ms: Option<u64>,
        waits: Waits,
    },
}

impl Scheduler {
    /// Begins what a coroutine asked for.
    pub(super) fn begin(
        &mut self,
        key: TaskKey,
        mut task: Task,
        op: &'static str,
        arguments: MultiValue,
    ) {
        if task.purpose.is_free() {
            task.coroutine.renew();
        }
        let began = Instant::now();
        let begun = self.begin_op(key, &mut task, op, arguments);
        let took = began.elapsed();
        if took >= Duration::from_millis(PLUGIN_SLICE_MS) {
            // To make JSON of much is computing too.
            let computed = task.program.sandbox().meter().used_at_most();
            task.coroutine.charge(took.min(computed));
        }
        match begun {
            Ok(Begun::Now(resume)) => self.tasks.again(key, task, resume),
            Ok(Begun::Waits {
                id,
                until_ms,
                waits,
            }) => {
                task.waits = waits;
                self.tasks.wait(key, task, id, until_ms);
            }
            Err(text) => self.tasks.again(key, task, Err(text)),
        }
    }
}

impl Scheduler {
    fn begin_op(
        &mut self,
        key: TaskKey,
        task: &mut Task,
        op: &'static str,
        arguments: MultiValue,
    ) -> Result<Begun, String> {
        let is_loading = matches!(task.purpose, Purpose::Load(_));
        let program = Rc::clone(&task.program);
        let lua = program.sandbox().lua();
        if let Some((_, op)) = SOCKET_OPS.iter().find(|(name, _)| *name == op) {
            if is_loading && !matches!(op, SocketOp::ListenTcp | SocketOp::ListenUdp) {
                return Err(WHILE_LOADING.to_owned());
            }
            return self.begin_socket(key, task, *op, arguments);
        }
        if is_loading && !matches!(op, "timer" | "clearTimer") {
            return Err(WHILE_LOADING.to_owned());
        }
        match op {
            "sleep" => {
                let ms: f64 = take(arguments, lua)?;
                let ms = ms.clamp(0.0, PLUGIN_SLEEP_MS_MAX as f64).ceil() as u64;
                Ok(Begun::Waits {
                    id: self.tasks.name_wait(key),
                    until_ms: Some(self.now.mono_ms + ms),
                    waits: Waits::Plainly,
                })
            }
            "timer" => {
                let (ms, function, is_interval): (f64, Function, bool) = take(arguments, lua)?;
                let ms = ms.clamp(0.0, PLUGIN_SLEEP_MS_MAX as f64) as u64;
                let id = self.set_timer(&program, ms, function, is_interval)?;
                Ok(Begun::Now(values(lua, id)))
            }
            "clearTimer" => {
                let is_there = self.timers.remove(take(arguments, lua)?);
                Ok(Begun::Now(values(lua, is_there)))
            }
            "call" => {
                let (action, get, post): (String, Value, Value) = take(arguments, lua)?;
                let id = self.tasks.name_wait(key);
                let ((get, get_bytes), (post, post_bytes)) =
                    (to_sized_json(lua, &get)?, to_sized_json(lua, &post)?);
                self.hand_over(id, get_bytes + post_bytes)?;
                let call = Box::new(PluginCall {
                    task: id,
                    on_behalf: task.on_behalf,
                    action: action.into(),
                    get,
                    post,
                });
                (self.ports.tell_reactor)(ReactorMsg::PluginCall(call));
                Ok(plain_wait(id))
            }
            "http" => self.begin_http(key, lua, to_json(lua, &take(arguments, lua)?)?),
            "wsPush" => {
                let (fd, text): (u64, String) = take(arguments, lua)?;
                let id = self.tasks.name_wait(key);
                self.hand_over(id, text.len())?;
                let action = Box::new(SocketAction::Push {
                    task: id,
                    fd,
                    text: text.into(),
                    on_behalf: task.on_behalf,
                });
                (self.ports.tell_reactor)(ReactorMsg::SocketAction(action));
                Ok(plain_wait(id))
            }
            "wsDisconnect" => {
                let (fd, code, reason): (u64, u16, String) = take(arguments, lua)?;
                // What else there is no peer may be sent (RFC 6455, 7.4); 1005 is a close without a code.
                if !matches!(code, 1000..=1003 | 1005 | 1007..=1014 | 3000..=4999) {
                    return Err(format!(
                        "disconnect: {code}: expected 1000 to 1014 or 3000 to 4999"
                    ));
                }
                let reason = reason.into();
                let action = Box::new(SocketAction::Disconnect { fd, code, reason });
                (self.ports.tell_reactor)(ReactorMsg::SocketAction(action));
                Ok(Begun::Now(values(lua, ())))
            }
            "database" => {
                let (kind, sql, list): (String, String, Table) = take(arguments, lua)?;
                let (values, bytes) = sql_values(&list)?;
                let bytes = bytes + sql.len();
                let sql = sql.into();
                let op = match kind.as_str() {
                    "query" => DatabaseOp::Query { sql, values },
                    _ => DatabaseOp::Exec { sql, values },
                };
                let transaction = task.transaction.as_mut().map(|transaction| {
                    transaction.is_begun = true;
                    transaction.id
                });
                let job = DatabaseJob { transaction, op };
                self.submit_task(key, TaskWork::Database(job), bytes)
            }
            "endTransaction" => match task.transaction.take() {
                Some(Transaction {
                    id,
                    is_own: true,
                    is_begun: true,
                }) => {
                    let commit = take(arguments, lua)?;
                    self.submit_task(key, TaskWork::Database(end_of(id, commit)), 0)
                }
                _ => Ok(Begun::Now(values(lua, true))),
            },
            "session" => {
                type Session = (
                    String,
                    Option<String>,
                    Value,
                    Option<Vec<String>>,
                    Option<bool>,
                );
                let (kind, id, set, removed, is_new): Session = take(arguments, lua)?;
                let id = id.map(String::into);
                let mut bytes = 0;
                let job = match (kind.as_str(), id) {
                    ("store", Some(id)) => {
                        let (set, set_bytes) = to_sized_json(lua, &set)?;
                        bytes = set_bytes;
                        SessionJob::Store {
                            id,
                            set,
                            removed: removed.into_iter().flatten().map(String::into).collect(),
                            is_new: is_new == Some(true),
                        }
                    }
                    ("destroy", Some(id)) => SessionJob::Destroy { id },
                    (_, id) => SessionJob::Load { id },
                };
                self.submit_task(key, TaskWork::Session(job), bytes)
            }
            _ => Err(format!("no such operation: {op}")),
        }
    }

    /// Calls of URLs: objects with the fields of `setTimeout`'s request and `timeout` in s.
    fn begin_http(
        &mut self,
        key: TaskKey,
        lua: &Lua,
        requests: serde_json::Value,
    ) -> Result<Begun, String> {
        let serde_json::Value::Array(requests) = requests else {
            return Err("httpCall: expected a list of calls".to_owned());
        };
        let until_ms = self.tasks.deadline_ms(key);
        let mut calls = Vec::with_capacity(requests.len());
        for request in requests {
            let fields = request.as_object().cloned().unwrap_or_default();
            let timeout_ms = match fields.get("timeout").and_then(serde_json::Value::as_f64) {
                Some(seconds) => (seconds * 1_000.0).ceil() as u64,
                None => self.settings.http_call_timeout_ms,
            };
            let request = callback::build(&fields).map_err(|error| error.detail.into_owned())?;
            calls.push(HttpCall {
                id: self.tasks.name_wait(key),
                request,
                timeout_ms,
                until_ms,
            });
        }
        let id = self.tasks.name_wait(key);
        match self.http.queue(id, calls) {
            // Nothing is out: all found the queue full.
            Some(outcomes) => Ok(Begun::Now(http_values(lua, outcomes))),
            None => Ok(Begun::Waits {
                id,
                until_ms: None,
                waits: Waits::Http(id),
            }),
        }
    }

    /// Hands a job of so many bytes to a worker; its coroutine waits for it.
    fn submit_task(&mut self, key: TaskKey, work: TaskWork, bytes: usize) -> Result<Begun, String> {
        let id = self.tasks.name_wait(key);
        self.hand_over(id, bytes)?;
        let job = Job::Task(Box::new(TaskJob { task: id, work }));
        match (self.ports.submit)(job) {
            Ok(()) => Ok(plain_wait(id)),
            Err(_) => {
                self.take_back(id);
                Err(TOO_BUSY.to_owned())
            }
        }
    }

    /// Counts what leaves for another thread until that has answered, for it is outside of what Lua may use. Errors: too
    /// much is under way.
    fn hand_over(&mut self, id: TaskId, bytes: usize) -> Result<(), String> {
        if bytes <= PLUGIN_SMALL_BYTES {
            return Ok(());
        }
        if self.handed_bytes + bytes > PLUGIN_HANDED_BYTES_MAX {
            return Err(TOO_BUSY.to_owned());
        }
        self.handed_bytes += bytes;
        self.handed.insert(id, bytes);
        Ok(())
    }

    /// What was handed over is answered.
    fn take_back(&mut self, id: TaskId) {
        if let Some(bytes) = self.handed.remove(&id) {
            self.handed_bytes -= bytes;
        }
    }

    /// Hands calls of URLs to workers while there are slots. Some workers are left for everything else, a reload too.
    pub(super) fn submit_http(&mut self) {
        let workers = self.settings.workers;
        let slots = workers - workers / 4;
        while let Some(job) = self.http.poll_job(slots, self.now.mono_ms) {
            let id = job.task;
            if (self.ports.submit)(Job::Task(Box::new(job))).is_err() {
                self.http_is_over(id, Err(TOO_BUSY.into()), false);
            }
        }
    }

    fn http_is_over(&mut self, id: TaskId, outcome: HttpOutcome, timed_out: bool) {
        if let Ok(Some((task, outcomes))) = self.http.end(id, outcome, timed_out) {
            self.wake_with(task, |lua| http_values(lua, outcomes));
        }
    }

    /// The server answered a coroutine's call.
    pub(super) fn handle_call_done(&mut self, id: TaskId, answer: Answer) {
        self.take_back(id);
        self.wake_with(id, |lua| match answer {
            Ok(data) => {
                let value =
                    from_json(lua, &data.into_value()).map_err(|error| error.to_string())?;
                values(lua, (true, value))
            }
            Err(error) => {
                let (message, detail) = (error.message.into_owned(), error.detail.into_owned());
                values(lua, (false, error.code, message, detail))
            }
        });
    }

    /// A worker is done with a coroutine's job.
    pub(super) fn handle_task_done(&mut self, done: TaskDone) {
        let id = done.task;
        self.take_back(id);
        self.lookups.end(id);
        match done.outcome {
            TaskOutcome::Http {
                answer, timed_out, ..
            } => self.http_is_over(id, answer, timed_out),
            TaskOutcome::Resolved(Ok(address)) => self.connect(id, address),
            TaskOutcome::Resolved(Err(why)) => {
                self.wake_with(id, |lua| values(lua, (mlua::Nil, &*why)));
            }
            TaskOutcome::Database(outcome) => match self.ends.remove(&id) {
                Some(ticket) => {
                    let answer = outcome
                        .map(|_| Data::Null)
                        .map_err(|why| CallError::new(3, String::from(why)));
                    self.event_done(ticket, answer, CallTraces::default());
                }
                None => self.wake_with(id, |lua| database_values(lua, outcome)),
            },
            TaskOutcome::Session(outcome) => self.wake_with(id, |lua| match outcome {
                Ok((id, data)) => {
                    let data = from_json(lua, &data).map_err(|error| error.to_string())?;
                    values(lua, (true, &*id, data))
                }
                Err(why) => values(lua, (false, &*why)),
            }),
            TaskOutcome::Failed => {
                let text = "a worker failed: see the server's log";
                if let Some(ticket) = self.ends.remove(&id) {
                    return self.event_done(
                        ticket,
                        Err(CallError::new(3, text)),
                        CallTraces::default(),
                    );
                }
                self.http_is_over(id, Err(text.into()), false);
                self.wake_with(id, |_| Err(text.to_owned()));
            }
        }
    }

    /// The transaction of a new coroutine: of a call, its batch's or one of its own.
    pub(super) fn transaction_for(&mut self, purpose: &Purpose) -> Option<Transaction> {
        let Purpose::Call(_, _, batch) = purpose else {
            return None;
        };
        self.transactions += 1;
        Some(Transaction {
            // A batch's numbers are the server's, from 1.
            id: batch.unwrap_or(OWN_TRANSACTIONS | self.transactions),
            is_own: batch.is_none(),
            is_begun: false,
        })
    }

    /// Undoes what a call that failed changed.
    pub(super) fn roll_back(&mut self, transaction: Transaction) {
        if transaction.is_own && transaction.is_begun {
            let work = TaskWork::Database(end_of(transaction.id, false));
            let task = TaskId(u64::MAX);
            // Refused: the database's own limit on a transaction's time ends it.
            let _ = (self.ports.submit)(Job::Task(Box::new(TaskJob { task, work })));
        }
    }

    /// Ends the transaction of a batch.
    pub(super) fn end_batch_transaction(
        &mut self,
        ticket: Option<ConnId>,
        transaction: u64,
        commit: bool,
    ) {
        self.transactions += 1;
        let task = TaskId(OWN_TRANSACTIONS | self.transactions);
        let work = TaskWork::Database(end_of(transaction, commit));
        match (self.ports.submit)(Job::Task(Box::new(TaskJob { task, work }))) {
            Ok(()) => drop(self.ends.insert(task, ticket)),
            Err(_) => self.event_done(
                ticket,
                Err(CallError::new(3, TOO_BUSY)),
                CallTraces::default(),
            ),
        }
    }

    /// Resumes who waits under a name with what `make` makes in its state.
    pub(super) fn wake_with(&mut self, id: TaskId, make: impl FnOnce(&Lua) -> Resume) {
        let Some(key) = self.tasks.waiting(id) else {
            return;
        };
        if let Some(task) = self.tasks.get(key) {
            task.waits = Waits::Plainly;
            let resume = make(task.program.sandbox().lua());
            self.tasks.wake(id, resume);
        }
    }
}

/// Set in the numbers of transactions that are not a batch's, and of their ends; never in a wait's name.
const OWN_TRANSACTIONS: u64 = 1 << 63;

fn end_of(transaction: u64, commit: bool) -> DatabaseJob {
    DatabaseJob {
        transaction: Some(transaction),
        op: DatabaseOp::End { commit },
    }
}

pub(super) const TOO_BUSY: &str = "too busy: try again later";
const WHILE_LOADING: &str =
    "nothing can be waited for while plugins load: use setTimeoutLocal(0, function() … end)";

fn plain_wait(id: TaskId) -> Begun {
    Begun::Waits {
        id,
        until_ms: None,
        waits: Waits::Plainly,
    }
}
