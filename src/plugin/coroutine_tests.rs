//! Waits, and coroutines of plugins.

use std::time::Duration;

use mlua::MultiValue;

use super::sandbox::tests::{LIMITS, run, sandbox, shown};
use super::{SandboxLimits, Step};

#[track_caller]
fn check(source: &str, expected: &str) {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    assert_eq!(run(&sandbox, source), expected, "{source}");
}

#[test]
fn waits_pass_through_everything_that_lua_can_suspend() {
    check("return wait(1, 'x', nil)", "1 x nil");
    check("return select('#', wait())", "0");
    check("return pcall(wait, 3)", "true 3");
    check("return xpcall(wait, print, 3)", "true 3");
    check(
        "local t = setmetatable({}, {__index = function(_, k) return wait(k) end}) return t.abc",
        "abc",
    );
    check(
        "local t = {3, 1, 2} table.sort(t, function(a, b) return wait(a < b) end) return t[1], t[2], t[3]",
        "1 2 3",
    );
    check(
        "return (('a b'):gsub('%a', function(c) return wait(c .. c) end))",
        "aa bb",
    );
    check(
        "for k in (function() return wait(nil) end) do end return 'ended'",
        "ended",
    );
    check(
        "do local x <close> = setmetatable({}, {__close = function() wait(1) end}) end return 'closed'",
        "closed",
    );
    // From coroutines within coroutines, whose own yields stay theirs.
    check(
        "local co = coroutine.wrap(function(a)
            local inner = coroutine.wrap(function(b)
                local c = wait(b + 1)
                local d = coroutine.yield(c + 1)
                return wait(d + 1)
            end)
            local e = inner(a)
            local f = coroutine.yield(e)
            return inner(f)
        end)
        local x = co(1)
        return x, co(10)",
        "3 11",
    );
    check(
        "return select('#', coroutine.wrap(function() coroutine.yield() end)())",
        "0",
    );
    check(
        "return select('#', coroutine.wrap(function() return end)())",
        "0",
    );
    check(
        "return coroutine.wrap(function() return 'own', 1 end)()",
        "own 1",
    );
}

/// So none of them is called by a function in C, out of which the end of a slice could not yield.
#[test]
fn every_function_of_a_plugin_may_wait() {
    let mut meta =
        String::from("local m = {} local t, u = setmetatable({1}, m), setmetatable({2}, m)\n");
    for name in [
        "add", "sub", "mul", "div", "mod", "pow", "unm", "idiv", "band", "bor", "bxor", "shl",
        "shr", "bnot", "concat", "call", "newindex",
    ] {
        meta += &format!("m.__{name} = function() return wait('{name}') end\n");
    }
    for name in ["eq", "lt", "le"] {
        meta += &format!("m.__{name} = function() return wait(true) end\n");
    }
    meta += "m.__len = function() return wait(2) end
        m.__index = function(_, k) return wait(k) end
        m.__tostring = function() return wait('text') end
        m.__pairs = function(t) wait() return next, {1}, nil end
        m.__close = function() wait() return 1 end\n";
    let check = |source: &str, expected: &str| check(&(meta.clone() + source), expected);
    check(
        "return t + 1, 1 - t, t * u, t / 1, t % 1, t ^ 1, -t, t // 1, t & 1, t | 1, t ~ 1, t << 1, t >> 1, ~t",
        "add sub mul div mod pow unm idiv band bor bxor shl shr bnot",
    );
    check(
        "return '1' + t, '1' - t, '1' * t, '1' / t, '1' % t, '1' ^ t, '1' // t, t + '1'",
        "add sub mul div mod pow idiv add",
    );
    check(
        "return t .. 'x', 'x' .. t, t == u, t < u, t <= u, t > 1, #t, t.x, t()",
        "concat concat true true true true 2 x call",
    );
    check(
        "t.y = 1 return tostring(t), string.format('%s %5s', t, 1), ('%s'):format(t)",
        "text text     1 text",
    );
    check("print(t) for k in pairs(t) do return k end", "1");
    check(
        "local n = 0 for i, v in ipairs(t) do n = n + v if i == 4 then break end end return n",
        "10",
    );
    check(
        "return table.concat(t, ',', 1, 3), table.unpack(t, 1, 3)",
        "1,2,3 1 2 3",
    );
    check(
        "table.insert(t, 7) return table.remove(t), #table.move(t, 1, 3, 1, {})",
        "2 3",
    );
    check(
        "local s = setmetatable({3, 1, 2}, {__index = m.__index, __len = function() return wait(3) end}) table.sort(s) return s[1], s[3]",
        "1 3",
    );
    check(
        "return (('abc'):gsub('b', t)), ('abc'):gsub('b', function() return wait('x') end)",
        "abc axc 1",
    );
    check(
        "return select(2, xpcall(error, function(e) return wait(e .. '!') end, 'e'))",
        "e!",
    );
    check(
        "return os.time({year = 2020, month = wait(1), day = 1}) == os.time(setmetatable({}, {__index = function(_, k) return wait(({year = 2020, month = 1, day = 1})[k]) end}))",
        "true",
    );
    let closing = "local log = {} local function closing(what) return setmetatable({}, {__close = function(_, e) log[#log + 1] = wait(what) end}) end\n";
    let check = |source: &str, expected: &str| check(&(closing.to_owned() + source), expected);
    check("do local x <close> = closing('a') end return log[1]", "a");
    check(
        "pcall(function() local x <close> = closing('a') error('b') end) return log[1]",
        "a",
    );
    check(
        "for _ in next, {1}, nil, closing('a') do end return log[1]",
        "a",
    );
    check(
        "local co = coroutine.create(function() local x <close> = closing('a') error('b', 0) end) return coroutine.resume(co), log[1]",
        "false a",
    );
    check(
        "local co = coroutine.wrap(function() local x <close> = closing('a') error('b', 0) end) return select(2, pcall(co)), log[1]",
        "b a",
    );
    check(
        "local co = coroutine.create(function() local x <close> = closing('a') pcall(coroutine.yield) end) coroutine.resume(co) return coroutine.close(co), log[1], coroutine.status(co)",
        "true a dead",
    );
}

#[test]
fn errors_of_handlers_and_tracebacks() {
    check(
        "return xpcall(function() error('x', 0) end, function(e) return e .. 'y' end)",
        "false xy",
    );
    check(
        "return xpcall(function() error('x', 0) end, function(e) error('z', 0) end)",
        "false z",
    );
    check(
        "return xpcall(function(a, b) return a, b end, print, 1, 2)",
        "true 1 2",
    );
    check(
        "local ok, e = pcall(xpcall, print, 1) return ok, e",
        "false test.lua:1: bad argument #2 to 'xpcall' (function expected)",
    );
    check(
        "local function deep() error('x', 0) end
        local _, trace = xpcall(function() deep() end, debug.traceback)
        return trace:match('^x\\nstack traceback:\\n') ~= nil, trace:match('test.lua:1: in upvalue .deep') ~= nil",
        "true true",
    );
    check(
        "local function here() return (debug.traceback('m')) end local x = here() return x:match('^m\\nstack.*test.lua:1: in local .here') ~= nil",
        "true",
    );
}

#[test]
fn coroutines_behave_as_in_lua() {
    check(
        "return coroutine.resume(coroutine.create(function(...) return ... end), 1, nil, 2)",
        "true 1 nil 2",
    );
    check(
        "return coroutine.resume(coroutine.create(function() error('x', 0) end))",
        "false x",
    );
    check(
        "local co = coroutine.create(print) coroutine.resume(co) return coroutine.resume(co)",
        "false cannot resume dead coroutine",
    );
    check(
        "return pcall(coroutine.yield, 1)",
        "false attempt to yield from outside a coroutine",
    );
    check(
        "return coroutine.isyieldable(), select(2, coroutine.running())",
        "false true",
    );
    check(
        "return coroutine.wrap(function() return coroutine.isyieldable(), select(2, coroutine.running()) end)()",
        "true false",
    );
    check("return coroutine.status(coroutine.running())", "running");
    check("return coroutine.close(coroutine.create(print))", "true");
    check(
        "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() error('in close', 0) end}) coroutine.yield() end)
        coroutine.resume(co)
        return coroutine.close(co)",
        "false in close",
    );
    check(
        "return pcall(coroutine.close, coroutine.running())",
        "false cannot close a running coroutine",
    );
    check(
        "return coroutine.resume(coroutine.running())",
        "false cannot resume non-suspended coroutine",
    );
    check(
        "local co co = coroutine.wrap(function() return pcall(co) end) return co()",
        "false cannot resume non-suspended coroutine",
    );
    check(
        "return pcall(coroutine.wrap(function() error({}) end))",
        "false table",
    );
    check(
        "return pcall(coroutine.create, 1)",
        "false bad argument #1 to 'create' (function expected)",
    );
}

#[test]
fn a_coroutine_that_waits_for_one_task_is_not_resumed_by_another() {
    let (sandbox, _) = sandbox(LIMITS, &[]);
    let start = sandbox
        .load("test.lua", b"me = coroutine.running() co = coroutine.create(function() local x = wait('inner') return x end) return coroutine.resume(co)")
        .expect("loads");
    let mut task = sandbox.task(&start).expect("memory");
    let step = sandbox.resume(&mut task, Ok(MultiValue::new()));
    assert!(matches!(step, Step::Waits { op: "wait", .. }), "{step:?}");
    let other = "return coroutine.status(co), coroutine.status(me), coroutine.resume(co)";
    assert_eq!(
        run(&sandbox, other),
        "normal normal false cannot resume non-suspended coroutine"
    );
    assert_eq!(
        run(&sandbox, "return pcall(coroutine.close, me)"),
        "false cannot close a normal coroutine"
    );
    assert_eq!(
        run(&sandbox, "return coroutine.resume(me)"),
        "false cannot resume non-suspended coroutine"
    );
    let step = sandbox.resume(&mut task, Err("gone".to_owned()));
    let Step::Done(values) = step else {
        panic!("{step:?}")
    };
    assert_eq!(
        values.iter().map(shown).collect::<Vec<_>>(),
        ["false", "test.lua:1: gone"]
    );
}

/// Others run at each hook, in between whatever our own Lua does.
#[test]
fn tasks_that_share_a_coroutine_get_each_of_its_values_once() {
    let limits = SandboxLimits {
        slice: Duration::ZERO,
        compute: Duration::from_secs(60),
        ..LIMITS
    };
    let (sandbox, _) = sandbox(limits, &[]);
    let setup = "seen = {}
        local function numbers()
            local n = 0
            local inner = coroutine.wrap(function() while true do coroutine.yield(wait(n)) end end)
            while true do n = n + 1 coroutine.yield(n % 3 == 0 and inner() or n) end
        end
        shared = coroutine.create(numbers)
        function worker()
            local mine = {}
            while #mine < 12 do
                local ok, n = coroutine.resume(shared)
                if ok then mine[#mine + 1] = n else busy = n wait() end
            end
            for i = 1, #mine do seen[mine[i]] = (seen[mine[i]] or 0) + 1 end
        end";
    run(&sandbox, setup);
    let worker = sandbox.load("worker.lua", b"worker()").expect("loads");
    let mut tasks: Vec<_> = (0..8)
        .map(|_| Some((sandbox.task(&worker).expect("memory"), MultiValue::new())))
        .collect();
    while tasks.iter().any(Option::is_some) {
        for slot in &mut tasks {
            let Some((mut task, args)) = slot.take() else {
                continue;
            };
            match sandbox.resume(&mut task, Ok(args)) {
                Step::Preempted => *slot = Some((task, MultiValue::new())),
                Step::Waits { args, .. } => *slot = Some((task, args)),
                Step::Done(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let check = "for i = 1, #seen do assert(seen[i] == 1) end return #seen, busy";
    assert_eq!(
        run(&sandbox, check),
        "96 cannot resume non-suspended coroutine"
    );
}

/// The deepest that C and Rust get within each other, in half of what a thread has: beyond, the process would end.
#[test]
fn the_stack_of_the_thread_is_enough() {
    let deep = "local last = function() return pcall(string.find, ('a'):rep(300), ('(a?)'):rep(30) .. ('a?'):rep(190)) end
        local function pcalls(n) if n == 0 then return last() end return select(2, pcall(pcalls, n - 1)) end
        local function wraps(n) if n == 0 then return last() end return coroutine.wrap(wraps)(n - 1) end
        local function both(n) if n == 0 then return last() end return coroutine.wrap(pcall)(both, n - 1) end
        local function meta(n) if n == 0 then return last() end
            return setmetatable({}, {__index = function(_, n) return (meta(n - 1)) end})[n] end
        for n = 0, 200 do pcall(pcalls, n) pcall(wraps, n) pcall(both, n) pcall(meta, n) end
        return 'in time'";
    let run = std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            let limits = SandboxLimits {
                compute: Duration::from_secs(60),
                ..LIMITS
            };
            run(&sandbox(limits, &[]).0, deep)
        });
    assert_eq!(run.expect("a thread").join().expect("no panic"), "in time");
}
