//! One run of a plugin's function: a coroutine that stops where it waits, where its slice ends, and at its end.
//! Who resumes it, and when, is the thread's affair.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mlua::{Function, IntoLuaMulti, MultiValue, Thread, Value};

use super::errors::error_text;
use super::sandbox::Sandbox;

/// One run of a function of a plugin. Dropped, it is over: nothing of it runs again.
pub struct Task {
    pub(super) id: u64,
    thread: Thread,
    state: State,
    used: Duration,
    is_endless: bool,
    /// A plugin knows the coroutine: it must not become another task's.
    escaped: bool,
}

#[derive(Debug)]
enum State {
    New(Function),
    Waits,
    Preempted,
    Ended,
}

/// How far a task got.
#[derive(Debug)]
pub enum Step {
    /// It called a waiting function: to be resumed with what that returns.
    Waits {
        /// The function's name, as given to [`Sandbox::waiting`].
        op: &'static str,
        /// Its arguments.
        args: MultiValue,
    },
    /// Its slice is over: to be resumed, with nothing, once others have run.
    Preempted,
    /// Its function returned.
    Done(MultiValue),
    /// Its function raised an error.
    Failed {
        /// The error value: text beginning with `FILE:LINE: `, or what the plugin raised.
        error: Value,
        /// Where that was, for an error that is text.
        traceback: Option<String>,
    },
    /// It may not go on; why, for a log.
    Killed(String),
}

impl Task {
    pub(super) fn new(id: u64, thread: Thread, function: Function) -> Self {
        Task {
            id,
            thread,
            state: State::New(function),
            used: Duration::ZERO,
            is_endless: false,
            escaped: false,
        }
    }

    /// It has no end, as one that serves a connection: what it computed counts from its last wait on.
    pub fn set_endless(&mut self) {
        self.is_endless = true;
    }

    /// What it has computed so far.
    pub fn compute_used(&self) -> Duration {
        self.used
    }

    /// Counts what was computed on its behalf while it did not run.
    pub fn charge(&mut self, used: Duration) {
        self.used += used;
    }

    /// Forgets what it has computed: it serves for as long as it likes, a wait at a time.
    pub fn renew(&mut self) {
        self.used = Duration::ZERO;
    }

    /// Runs it until it waits, ends, or its slice does. `args` are the function's arguments at first, what
    /// the waiting function returns later, or an error that is raised inside of it; nothing after [`Step::Preempted`].
    pub(super) fn resume(&mut self, sandbox: &Sandbox, args: Result<MultiValue, String>) -> Step {
        if self.is_endless && matches!(self.state, State::Waits) {
            self.used = Duration::ZERO;
        }
        let args = match (std::mem::replace(&mut self.state, State::Ended), args) {
            (State::New(function), Ok(args)) => {
                with_front([Value::Function(function), sandbox.catcher()], args)
            }
            (State::New(_), Err(error)) | (State::Ended, Err(error)) => return Step::Killed(error),
            (State::Ended, Ok(_)) => return Step::Killed("it has ended already".to_owned()),
            (State::Waits, Ok(args)) => with_front([Value::Boolean(true)], args),
            (State::Waits, Err(error)) => match (false, error).into_lua_multi(sandbox.lua()) {
                Ok(args) => args,
                Err(error) => return Step::Killed(error_text(&error)),
            },
            (State::Preempted, _) => MultiValue::new(),
        };
        let limits = sandbox.limits();
        let left = limits.compute.saturating_sub(self.used);
        sandbox.meter().start(self.id, limits.slice, left);
        // A panic of mlua, where it can neither go on nor return an error, costs the task and not the thread.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.thread.resume::<MultiValue>(args)));
        let run = sandbox.meter().stop();
        self.used += run.used;
        self.escaped |= run.escaped;
        let step = match outcome {
            _ if run.over.is_some() => Step::Killed(self.too_much(run.over.as_deref())),
            Err(_) => Step::Killed("internal error".to_owned()),
            Ok(Err(error)) => Step::Killed(error_text(&error)),
            Ok(Ok(values)) if self.thread.is_resumable() => self.stopped(sandbox, values),
            Ok(Ok(values)) => ended(sandbox, values),
        };
        match &step {
            // It was all spent in a function in C, behind which no hook came.
            Step::Waits { .. } | Step::Preempted if self.used >= sandbox.limits().compute => {
                return Step::Killed(self.too_much(None));
            }
            Step::Waits { .. } => self.state = State::Waits,
            Step::Preempted => self.state = State::Preempted,
            Step::Done(_) | Step::Failed { .. } if !self.escaped => sandbox.keep(&self.thread),
            Step::Done(_) | Step::Failed { .. } | Step::Killed(_) => {}
        }
        step
    }

    fn stopped(&self, sandbox: &Sandbox, mut values: MultiValue) -> Step {
        match values.pop_front() {
            None => Step::Preempted,
            Some(Value::Integer(op)) => match sandbox.op(op) {
                Some(op) => Step::Waits { op, args: values },
                None => Step::Killed("it waits for nothing".to_owned()),
            },
            Some(_) => Step::Killed("it waits for nothing".to_owned()),
        }
    }

    fn too_much(&self, place: Option<&str>) -> String {
        let ms = self.used.as_millis();
        match place {
            None | Some("") => format!("too much computing ({ms} ms)"),
            Some(place) => format!("{place}: too much computing ({ms} ms)"),
        }
    }
}

/// The coroutine is a call of `xpcall`, so the first value says how it went.
fn ended(sandbox: &Sandbox, mut values: MultiValue) -> Step {
    let traceback = sandbox.take_traceback();
    if values.pop_front() == Some(Value::Boolean(true)) {
        return Step::Done(values);
    }
    let error = values.pop_front().unwrap_or(Value::Nil);
    Step::Failed { error, traceback }
}

fn with_front<const N: usize>(front: [Value; N], mut values: MultiValue) -> MultiValue {
    for value in front.into_iter().rev() {
        values.push_front(value);
    }
    values
}
