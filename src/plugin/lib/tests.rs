//! The functions of plugins without a scheduler: lines of Lua, and a bench that answers what they wait for.

mod attacks;
mod calls;
mod pure;
mod waits;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use mlua::{Function, IntoLuaMulti, MultiValue, Value as LuaValue};
use serde_json::{Value, json};

use crate::call::answer::{Answer, Data, to_value};
use crate::call::error::CallError;
use crate::clock::Clock;
use crate::message::plugin::{CallTraces, PluginCallEvent, PluginTable, RequestInfo};
use crate::plugin::lib::host::Host;
use crate::plugin::lib::library::Library;
use crate::plugin::sandbox::{Modules, Sandbox, SandboxLimits, value_text};
use crate::plugin::{Step, values};
use crate::settings::Settings;

/// What an operation is answered with.
type Answers = Box<dyn Fn(&str, &Value) -> Value>;

/// A state with all functions, and what was seen of it.
struct Bench {
    sandbox: Sandbox,
    library: Library,
    /// `FILE: line`, without the time.
    lines: Rc<RefCell<Vec<String>>>,
    /// Operations with their arguments; functions are `null`.
    asked: RefCell<Vec<String>>,
    answers: Answers,
}

impl Bench {
    fn new() -> Self {
        Self::with(Box::new(|_, _| json!([])))
    }

    /// `answers` gives the results of an operation, a list.
    fn with(answers: Answers) -> Self {
        let limits = SandboxLimits {
            memory_bytes: 64 << 20,
            slice: Duration::from_millis(1),
            compute: Duration::from_secs(2),
        };
        let lines = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&lines);
        let host = Host::new(
            Clock::start(),
            TimeZone::UTC,
            Settings::default(),
            Rc::new(move |line| {
                let text = match line.text.split_once(" at [") {
                    Some((before, behind)) => format!("{before} {}", &behind[21..]),
                    None => line.text,
                };
                log.borrow_mut()
                    .push(format!("{}: {text}", line.file.name()));
                true
            }),
        );
        let sandbox = Sandbox::new(limits, Modules::default(), |_| {}).expect("memory");
        let library = Library::install(&sandbox, &host).expect("functions");
        sandbox.set_loading(false).expect("set");
        Bench {
            sandbox,
            library,
            lines,
            asked: RefCell::default(),
            answers,
        }
    }

    /// Loads a plugin; what it offers then.
    fn load(&self, source: &str) -> Result<PluginTable, String> {
        let chunk = self.sandbox.load("api.lua", source.as_bytes())?;
        self.drive(&chunk, MultiValue::new())
            .map_err(|error| error.detail.into_owned())?;
        self.library.finish_load(&self.sandbox)
    }

    /// Runs to the end, as the scheduler does.
    fn drive(&self, function: &Function, args: MultiValue) -> Result<MultiValue, CallError> {
        let mut task = self.sandbox.task(function).expect("memory");
        let mut resume = Ok(args);
        loop {
            match self.sandbox.resume(&mut task, resume) {
                Step::Preempted => resume = Ok(MultiValue::new()),
                Step::Waits { op, args } => resume = Ok(self.answer(op, &args)),
                Step::Done(values) => return Ok(values),
                Step::Failed { error, .. } => return self.library.outcome_of(&error),
                Step::Killed(why) => return Err(CallError::new(4, format!("killed: {why}"))),
            }
        }
    }

    fn answer(&self, op: &str, args: &MultiValue) -> MultiValue {
        let lua = self.sandbox.lua();
        let args: Vec<Value> = args
            .iter()
            .map(|arg| values::to_json(lua, arg).unwrap_or_default())
            .collect();
        let args = Value::from(args);
        self.asked.borrow_mut().push(format!("{op}{args}"));
        let Value::Array(results) = (self.answers)(op, &args) else {
            panic!("expected a list");
        };
        results
            .iter()
            .map(|result| match values::from_json(lua, result) {
                Ok(value) if value.is_null() => LuaValue::Nil,
                Ok(value) => value,
                Err(error) => panic!("{error}"),
            })
            .collect()
    }

    /// What the lines return, joined by blanks; `! CODE DETAIL` where they fail.
    fn lines_of(&self, source: &str) -> String {
        let function = match self.sandbox.load("test.lua", source.as_bytes()) {
            Ok(function) => function,
            Err(error) => return format!("does not load: {error}"),
        };
        match self.drive(&function, MultiValue::new()) {
            Ok(values) => values.iter().map(shown).collect::<Vec<_>>().join(" "),
            Err(error) => format!("! {} {}", error.code, error.detail),
        }
    }

    /// Makes a call, as the server has it made.
    fn call(&self, event: PluginCallEvent) -> (Answer, CallTraces) {
        match self.library.call(&self.sandbox, event) {
            Ok((function, args, run)) => {
                let outcome = self.drive(&function, args);
                self.library.finish_run(&self.sandbox, &run, outcome)
            }
            Err(error) => (Err(error), CallTraces::default()),
        }
    }

    /// The answer of a call by HTTP, as JSON.
    fn answer_of(&self, action: &str, get: Value, post: Value) -> String {
        let (answer, _) = self.call(event(action, get, post));
        match answer {
            Ok(Data::Page(page)) => {
                let body = String::from_utf8_lossy(&page.body);
                format!("{}: {body}", page.content_type)
            }
            answer => to_value(answer).to_string(),
        }
    }
}

fn event(action: &str, get: Value, post: Value) -> PluginCallEvent {
    PluginCallEvent {
        action: action.into(),
        get,
        post,
        request: Some(Arc::new(RequestInfo {
            method: "POST".into(),
            path: "/x".into(),
            query: "a=1".into(),
            address: "10.0.0.1".into(),
            headers: vec![
                ("user-agent".into(), "test".into()),
                ("x-a".into(), "1".into()),
                ("x-a".into(), "2".into()),
                ("cookie".into(), "userid=s1; b=\"c\"".into()),
            ],
        })),
        escape: true,
        transaction: None,
    }
}

fn shown(value: &LuaValue) -> String {
    match value {
        LuaValue::Nil => "nil".to_owned(),
        LuaValue::Boolean(yes) => yes.to_string(),
        value if value.is_null() => "null".to_owned(),
        LuaValue::Table(_) | LuaValue::Function(_) => value.type_name().to_owned(),
        value => value_text(value),
    }
}

#[track_caller]
fn check(source: &str, expect: &str) {
    assert_eq!(Bench::new().lines_of(source), expect, "{source}");
}

#[track_caller]
fn check_all(lines: &[(&str, &str)]) {
    let bench = Bench::new();
    for (source, expect) in lines {
        assert_eq!(bench.lines_of(source), *expect, "{source}");
    }
}

/// As the scheduler gives a handler its arguments.
fn handle(
    bench: &Bench,
    function: &Function,
    args: impl IntoLuaMulti,
) -> Result<MultiValue, CallError> {
    let args = args.into_lua_multi(bench.sandbox.lua()).expect("memory");
    bench.drive(function, args)
}
