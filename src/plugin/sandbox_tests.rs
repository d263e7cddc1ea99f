//! What plugins may do in the sandbox, and what tasks do.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

pub(in crate::plugin) const LIMITS: SandboxLimits = SandboxLimits {
    memory_bytes: 64 << 20,
    slice: Duration::from_millis(1),
    compute: Duration::from_millis(200),
};

/// A state in which `wait(...)` waits, and the lines that it printed.
pub(in crate::plugin) fn sandbox(
    limits: SandboxLimits,
    modules: &[(&str, &str)],
) -> (Sandbox, Rc<RefCell<Vec<String>>>) {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let modules = modules
        .iter()
        .map(|(path, source)| (Box::from(*path), Box::from(source.as_bytes())))
        .collect();
    let log = Rc::clone(&lines);
    let sandbox = Sandbox::new(limits, modules, move |line| {
        log.borrow_mut().push(line.to_owned())
    })
    .expect("enough memory");
    let wait = sandbox.waiting("wait").expect("a function");
    sandbox.lua().globals().set("wait", wait).expect("set");
    sandbox.set_loading(false).expect("set");
    (sandbox, lines)
}

/// Runs the source to its end; a wait returns its arguments. How it ended: what it returned, joined by blanks,
/// or `failed: …` or `killed: …`.
pub(in crate::plugin) fn run(sandbox: &Sandbox, source: &str) -> String {
    let function = match sandbox.load("test.lua", source.as_bytes()) {
        Ok(function) => function,
        Err(error) => return format!("does not load: {error}"),
    };
    let mut task = sandbox.task(&function).expect("memory");
    let mut args = MultiValue::new();
    loop {
        match sandbox.resume(&mut task, Ok(args)) {
            Step::Preempted => args = MultiValue::new(),
            Step::Waits { op, args: given } => {
                assert_eq!(op, "wait");
                args = given;
            }
            Step::Done(values) => return values.iter().map(shown).collect::<Vec<_>>().join(" "),
            Step::Failed { error, .. } => return format!("failed: {}", value_text(&error)),
            Step::Killed(why) => return format!("killed: {why}"),
        }
    }
}

pub(in crate::plugin) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string_lossy(),
        Value::Nil => "nil".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Error(error) => format!("error {}", error_text(error)),
        other => other.type_name().to_owned(),
    }
}

#[track_caller]
fn check(source: &str, expected: &str) {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    assert_eq!(run(&sandbox, source), expected, "{source}");
}

#[test]
fn errors_name_their_place() {
    check("\nerror('x')", "failed: test.lua:2: x");
    check(
        "\n\nlocal x = nil + 1",
        "failed: test.lua:3: attempt to perform arithmetic on a nil value",
    );
    check(
        "x =",
        "does not load: test.lua:1: unexpected symbol near <eof>",
    );
    check(
        "\nsetmetatable(1, {})",
        "failed: test.lua:2: bad argument #1 to 'setmetatable' (table expected)",
    );
    check(
        "\nstring.find('x', '[')",
        "failed: test.lua:2: malformed pattern (missing ']')",
    );
    check(
        "\n(''):rep({})",
        "failed: test.lua:2: bad argument #2 to 'rep' (number expected, got table)",
    );
    check(
        "\nlocal x = ('%d'):format('a')",
        "failed: test.lua:2: bad argument #2 to 'format' (number expected, got string)",
    );
    check(
        "\nlocal x = 'a' + 1",
        "failed: test.lua:2: attempt to add a 'string' with a 'number'",
    );
    check(
        "\nlocal x = os.date('%Ez')",
        "failed: test.lua:2: bad argument #1 to 'date' (invalid conversion specifier '%Ez')",
    );
    check(
        "\nlocal x = table.concat({1, {}})",
        "failed: test.lua:2: invalid value (table) at index 2 in table for 'concat'",
    );
    check(
        "\nlocal x = ('x'):rep(1.5)",
        "failed: test.lua:2: bad argument #2 to 'rep' (number has no integer representation)",
    );
    check(
        "\ntable.sort({1, {}})",
        "failed: test.lua:2: attempt to compare table with number",
    );
    check(
        "local ok, e = pcall(function()\ntable.sort({1, {}}) end) return e",
        "test.lua:2: attempt to compare table with number",
    );
    check(
        "local co = coroutine.create(function()\ntable.sort({1, {}}) end) return select(2, coroutine.resume(co))",
        "test.lua:2: attempt to compare table with number",
    );
    check(
        "local x = 1\nx = '1' // 0",
        "failed: test.lua:2: attempt to divide by zero",
    );
    check(
        "for _ in ipairs(5) do end",
        "failed: test.lua:1: bad argument #1 to 'ipairs' (table expected, got number)",
    );
    check("error('[mine]: x', 0)", "failed: [mine]: x");
    check("error()", "failed: (error object is a nil value)");
    check(
        "error({code = 1})",
        "failed: (error object is a table value)",
    );
}

#[track_caller]
fn check_modules(modules: &[(&str, &str)], source: &str, expected: &str) {
    let (sandbox, _) = sandbox(LIMITS, modules);
    assert_eq!(run(&sandbox, source), expected, "{source}");
}

#[test]
fn modules_are_found_in_the_map_alone() {
    let modules = [
        (
            "util.lua",
            "local name, path = ... return {name = name, path = path, n = wait(1)}",
        ),
        ("lib/deep.lua", "return require('util').n + 1"),
        ("lib/init.lua", "return 'init'"),
        ("nothing.lua", "loads = (loads or 0) + 1"),
        ("a.lua", "return require('b')"),
        ("b.lua", "local a = require('a') return a"),
        ("wrong.lua", "\nx ="),
        ("fails.lua", "tries = (tries or 0) + 1 error('on purpose')"),
    ];
    let check = |source: &str, expected: &str| check_modules(&modules, source, expected);
    check(
        "local u = require('util') return u.name, u.path, u.n, require('util') == u",
        "util util.lua 1 true",
    );
    check(
        "return require('lib.deep'), require('lib'), require('lib/deep')",
        "2 init 2",
    );
    check(
        "return require('nothing'), require('nothing'), loads",
        "true true 1",
    );
    check(
        "local x = require('a')",
        "failed: b.lua:1: loop: module 'a' requires itself, maybe through others",
    );
    check(
        "local x = require('wrong')",
        "failed: test.lua:1: error loading module 'wrong':\n\twrong.lua:2: unexpected symbol near <eof>",
    );
    check(
        "pcall(require, 'fails') local _, e = pcall(require, 'fails') return tries, e",
        "2 fails.lua:1: on purpose",
    );
    for name in ["missing", "../util", "/etc/passwd", "util.lua", "", ".."] {
        let outcome = run(
            &sandbox(LIMITS, &modules).0,
            &format!("local x = require('{name}')"),
        );
        assert!(
            outcome.starts_with(&format!(
                "failed: test.lua:1: module '{name}' not found: no '"
            )),
            "{outcome}"
        );
    }
    check(
        "local x = require(1)",
        "failed: test.lua:1: bad argument #1 to 'require' (module name expected)",
    );
}

#[test]
fn a_task_that_ends_while_it_loads_a_module_leaves_it_to_others() {
    let (sandbox, _) = sandbox(LIMITS, &[("m.lua", "return wait('m')")]);
    let function = sandbox
        .load("test.lua", b"return require('m')")
        .expect("loads");
    let mut task = sandbox.task(&function).expect("memory");
    let step = sandbox.resume(&mut task, Ok(MultiValue::new()));
    assert!(matches!(step, Step::Waits { .. }), "{step:?}");
    drop(task);
    assert_eq!(run(&sandbox, "return require('m')"), "m");
}

#[test]
fn nothing_waits_while_plugins_load() {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    sandbox.set_loading(true).expect("set");
    assert_eq!(
        run(&sandbox, "\nlocal x = wait()"),
        "failed: test.lua:2: wait: not while plugins load: use setTimeoutLocal(0, fn)"
    );
    sandbox.set_loading(false).expect("set");
    assert_eq!(run(&sandbox, "return wait(1)"), "1");
}

#[test]
fn what_is_printed_is_logged() {
    let (sandbox, lines) = sandbox(LIMITS, &[]);
    run(
        &sandbox,
        "print() print(1, nil, 'x', 2.5, true) print(setmetatable({}, {__tostring = function() return wait('t') end}))",
    );
    assert_eq!(*lines.borrow(), ["", "1\tnil\tx\t2.5\ttrue", "t"]);
}

#[test]
fn plugins_load_as_text() {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    assert!(sandbox.load("x.lua", b"\xef\xbb\xbfreturn 1").is_ok());
    for (source, error) in [
        ("\n\nfor", "x.lua:3: <name> expected near <eof>"),
        ("x = 'a", "x.lua:1: unfinished string near <eof>"),
        (
            "goto x",
            "x.lua:1: no visible label 'x' for <goto> at line 1",
        ),
    ] {
        assert_eq!(
            sandbox.load("x.lua", source.as_bytes()).expect_err("wrong"),
            error
        );
    }
}

#[test]
fn a_task_ends_once() {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    let function = sandbox
        .load("test.lua", b"local a = ... return wait(a)")
        .expect("loads");
    let mut task = sandbox.task(&function).expect("memory");
    let Step::Waits { op: "wait", args } =
        sandbox.resume(&mut task, Ok(MultiValue::from_iter([Value::Integer(7)])))
    else {
        panic!("it waits");
    };
    assert_eq!(args.front(), Some(&Value::Integer(7)));
    assert!(matches!(sandbox.resume(&mut task, Ok(args)), Step::Done(_)));
    assert!(matches!(
        sandbox.resume(&mut task, Ok(MultiValue::new())),
        Step::Killed(_)
    ));
    assert!(matches!(
        sandbox.resume(&mut task, Err("late".to_owned())),
        Step::Killed(_)
    ));
    let mut task = sandbox.task(&function).expect("memory");
    assert!(matches!(
        sandbox.resume(&mut task, Err("early".to_owned())),
        Step::Killed(_)
    ));
}

#[test]
fn an_error_that_nobody_catches_keeps_its_value_and_its_place() {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    let step = |source: &str| {
        let function = sandbox.load("test.lua", source.as_bytes()).expect("loads");
        let mut task = sandbox.task(&function).expect("memory");
        sandbox.resume(&mut task, Ok(MultiValue::new()))
    };
    let Step::Failed {
        error: Value::Table(table),
        traceback: None,
    } = step("error({code = 5})")
    else {
        panic!("a table");
    };
    assert_eq!(table.raw_get::<i64>("code").expect("there"), 5);
    let Step::Failed {
        error,
        traceback: Some(traceback),
    } = step("local function deep()\nerror('x') end\ndeep()")
    else {
        panic!("a traceback");
    };
    assert_eq!(value_text(&error), "test.lua:2: x");
    assert!(
        traceback.contains("test.lua:2: in ") && traceback.contains("test.lua:3: in "),
        "{traceback}"
    );
}

#[test]
fn what_a_task_computes_counts_and_its_waits_do_not() {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    let function = sandbox
        .load(
            "test.lua",
            b"local function f() for i = 1, 1e6 do end end f() wait() f()",
        )
        .expect("loads");
    let mut task = sandbox.task(&function).expect("memory");
    assert_eq!(task.compute_used(), Duration::ZERO);
    let mut last = Duration::ZERO;
    let mut preempted = 0;
    loop {
        let step = sandbox.resume(&mut task, Ok(MultiValue::new()));
        assert!(task.compute_used() > last);
        last = task.compute_used();
        match step {
            Step::Preempted => preempted += 1,
            Step::Waits { .. } => {}
            Step::Done(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(preempted > 0);
    assert!(last < LIMITS.compute);
}

#[test]
fn a_task_without_an_end_has_new_time_after_each_wait() {
    let limits = SandboxLimits {
        compute: Duration::from_millis(5),
        ..LIMITS
    };
    let (sandbox, _) = sandbox(limits, &[]);
    let source = b"for i = 1, 20 do for j = 1, 20000 do end wait() end while true do end";
    let function = sandbox.load("test.lua", source).expect("loads");
    for is_endless in [false, true] {
        let mut task = sandbox.task(&function).expect("memory");
        if is_endless {
            task.set_endless();
        }
        let mut waits = 0;
        let why = loop {
            match sandbox.resume(&mut task, Ok(MultiValue::new())) {
                Step::Waits { .. } => waits += 1,
                Step::Preempted => {}
                Step::Killed(why) => break why,
                other => panic!("{other:?}"),
            }
        };
        assert!(why.contains("too much computing"), "{why}");
        assert_eq!(waits == 20, is_endless, "{waits}");
    }
}

#[test]
fn functions_in_rust_raise_errors_at_the_line_that_called_them() {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    let half = sandbox.function("half", |_, n: i64| {
        if n % 2 == 0 {
            Ok(n / 2)
        } else {
            Err("odd".to_owned())
        }
    });
    sandbox
        .lua()
        .globals()
        .set("half", half.expect("a function"))
        .expect("set");
    for (source, outcome) in [
        ("return half(4)", "2"),
        ("\nlocal x = half(3)", "failed: test.lua:2: odd"),
        (
            "\nlocal x = half({})",
            "failed: test.lua:2: bad argument to 'half' (integer expected, got table)",
        ),
        ("return pcall(half, 3)", "false odd"),
    ] {
        assert_eq!(run(&sandbox, source), outcome, "{source}");
    }
}

#[test]
fn lua_of_ours_is_out_of_reach() {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    let source =
        "return function(s) return string.upper(s) .. tostring(pcall ~= nil) .. tostring(_G) end";
    let function: Function = sandbox.run_trusted("ours", source, ()).expect("runs");
    sandbox.lua().globals().set("ours", function).expect("set");
    assert_eq!(
        run(
            &sandbox,
            "string.upper = nil pcall = nil tostring = nil return ours('a')"
        ),
        "Atruenil"
    );
}

#[test]
fn a_waiting_task_is_small() {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    let function = sandbox
        .load(
            "test.lua",
            b"local a, b = 1, 2 local c = wait(a) return b, c",
        )
        .expect("loads");
    let before = sandbox.memory_used();
    let tasks = 1_000;
    let _kept: Vec<Task> = (0..tasks)
        .map(|_| {
            let mut task = sandbox.task(&function).expect("memory");
            let step = sandbox.resume(&mut task, Ok(MultiValue::new()));
            assert!(matches!(step, Step::Waits { .. }), "{step:?}");
            task
        })
        .collect();
    let each = (sandbox.memory_used() - before) / tasks + size_of::<Task>();
    assert!(each <= 1_330, "{each} bytes");
}

#[test]
fn a_coroutine_is_used_again_unless_a_plugin_knows_it() {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    assert_eq!(
        run(&sandbox, "wait() known = coroutine.running() return 1"),
        "1"
    );
    for _ in 0..3 {
        assert_eq!(
            run(
                &sandbox,
                "return coroutine.running() == known, coroutine.status(known)"
            ),
            "false dead"
        );
    }
    run(&sandbox, "return 1");
    let before = sandbox.memory_used();
    for source in [
        "wait()",
        "error('x')",
        "local x <close> = setmetatable({}, {__close = function() wait() end}) error({})",
    ] {
        for _ in 0..100 {
            run(&sandbox, source);
        }
    }
    run(
        &sandbox,
        "local co = coroutine.wrap(function() wait() end) co()",
    );
    let grown = sandbox.memory_used().saturating_sub(before);
    assert!(grown < 150_000, "{grown} bytes");
}
