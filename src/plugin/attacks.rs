//! What a plugin could try to hold up the others, to use up memory, or to break what it shares with them. An attack that
//! works hangs its test, or ends the process.

use std::time::Duration;

use super::sandbox::tests::{LIMITS, run, sandbox};
use super::{Sandbox, SandboxLimits};

/// Enough to begin an attack.
const COMPUTE: Duration = Duration::from_millis(5);

fn target() -> Sandbox {
    let limits = SandboxLimits {
        compute: COMPUTE,
        ..LIMITS
    };
    sandbox(limits, &[]).0
}

/// The attack ends with its task, and the next task finds all in order.
#[track_caller]
fn check_killed(attack: &str) {
    let sandbox = target();
    let outcome = run(&sandbox, attack);
    assert!(outcome.starts_with("killed: "), "{outcome}: {attack}");
    assert!(
        outcome.contains("too much computing"),
        "{outcome}: {attack}"
    );
    check_sound(&sandbox);
}

/// The attack gets an error, or nothing that harms (one of `error`, between bars), and the next task finds all in order.
#[track_caller]
fn check_refused(attack: &str, error: &str) {
    let limits = SandboxLimits {
        compute: Duration::from_secs(5),
        ..LIMITS
    };
    let (sandbox, _) = sandbox(limits, &[]);
    let outcome = run(&sandbox, attack);
    let known = error.split('|').any(|error| outcome.contains(error));
    assert!(known, "{outcome}: {attack}");
    check_sound(&sandbox);
}

/// Memory, depth or time ends it, whichever comes first, or else it ends as said.
#[track_caller]
fn check_limited(attack: &str, end: &str) {
    let sandbox = target();
    let outcome = run(&sandbox, attack);
    let known = [
        end,
        "stack overflow",
        "not enough memory",
        "too much computing",
    ];
    assert!(
        known.iter().any(|end| outcome.contains(end)),
        "{outcome}: {attack}"
    );
    check_sound(&sandbox);
}

#[track_caller]
fn check_sound(sandbox: &Sandbox) {
    let source = "local ok, e = pcall(error, 'x', 0)
        local co = coroutine.wrap(function() return wait(1) end)
        return e, co(), ('abc'):gsub('b', 'd'), select('#', table.unpack({1, 2}))";
    assert_eq!(run(sandbox, source), "x 1 adc 2");
}

#[test]
fn loops_end() {
    check_killed("while true do end");
    check_killed("for i = 1, math.huge do end");
    check_killed("::again:: goto again");
    check_killed("local function f() return f() end f()");
    check_killed("repeat wait() until false");
    check_killed("coroutine.wrap(function() while true do end end)()");
    check_killed(
        "local co = coroutine.create(function() while true do end end) while true do coroutine.resume(co) end",
    );
    check_killed("local function f() coroutine.wrap(f)() end while true do pcall(f) end");
    check_killed("while true do coroutine.wrap(function() coroutine.yield() end)() end");
    check_killed("for _ in function() return 1 end do end");
    check_killed(
        "local t = setmetatable({}, {__pairs = function() return function() return 1 end end}) for _ in pairs(t) do end",
    );
}

#[test]
fn nothing_catches_the_end() {
    check_killed("while true do pcall(function() while true do end end) end");
    check_killed("local function f() pcall(f) while true do end end f()");
    check_killed(
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
    );
    check_killed("xpcall(error, function() while true do end end)");
    check_killed(
        "xpcall(error, function() while true do pcall(function() while true do end end) end end)",
    );
    check_killed("local function h(e) return error(e) end while true do xpcall(error, h) end");
    check_killed(
        "while true do local co = coroutine.create(function() while true do end end) coroutine.resume(co) coroutine.close(co) end",
    );
    check_killed("while true do pcall(coroutine.wrap(function() while true do end end)) end");
    check_killed(
        "local t = setmetatable({}, {__close = function() while true do end end}) while true do local x <close> = t error('x') end",
    );
    check_killed(
        "local t = setmetatable({}, {__close = function() while true do end end}) while true do pcall(function() local x <close> = t error('x') end) end",
    );
    check_killed(
        "local t = setmetatable({}, {__close = function() while true do end end})
        local co = coroutine.create(function() local x <close> = t coroutine.yield() end)
        coroutine.resume(co)
        while true do coroutine.close(co) end",
    );
    check_killed(
        "local t = setmetatable({}, {__close = function() while true do end end})
        coroutine.wrap(function() local x <close> = t error('x') end)()",
    );
    // Many functions to be closed, each of which would go on for a slice.
    check_killed(
        "local t = setmetatable({}, {__close = function() while true do end end})
        local function f(n) local x <close> = t if n == 0 then while true do end end f(n - 1) return 1 end
        local co = coroutine.create(function() pcall(f, 20000) end)
        tostring(setmetatable({}, {__tostring = function() coroutine.resume(co) end}))",
    );
    check_killed(
        "local t = setmetatable({}, {__close = function() while true do end end})
        local function f(n) local x <close> = t if n == 0 then while true do end end f(n - 1) return 1 end
        tostring(setmetatable({}, {__tostring = function() f(20000) end}))",
    );
    check_killed(
        "for _ in next, {1}, nil, setmetatable({}, {__close = function() while true do end end}) do end",
    );
}

#[test]
fn loops_end_where_nothing_can_yield() {
    let attack = |how: &str| {
        check_killed(&format!("local function f() while true do end end {how}"));
        check_killed(&format!(
            "local function f() while true do pcall(function() while true do end end) end end {how}"
        ));
        check_killed(&format!(
            "local function f() while true do coroutine.wrap(function() while true do end end)() end end {how}"
        ));
        check_killed(&format!(
            "local function f() while true do xpcall(f, f) end end {how}"
        ));
    };
    attack("table.sort({3, 2, 1}, f)");
    attack("table.concat(setmetatable({}, {__len = f}))");
    attack("table.concat(setmetatable({}, {__index = f}), '', 1, 10)");
    attack("table.unpack(setmetatable({}, {__index = f}), 1, 10)");
    attack("table.insert(setmetatable({}, {__newindex = f}), 1)");
    attack("table.move({1, 2}, 1, 2, 1, setmetatable({}, {__newindex = f}))");
    attack("table.remove(setmetatable({}, {__len = f}))");
    attack("('x'):gsub('x', f)");
    attack("('x'):gsub('x', setmetatable({}, {__index = f}))");
    attack("tostring(setmetatable({}, {__tostring = f}))");
    attack("print(setmetatable({}, {__tostring = f}))");
    attack("string.format('%s', setmetatable({}, {__tostring = f}))");
    attack("return setmetatable({}, {__concat = f}) .. 'x'");
    attack("return setmetatable({}, {__lt = f}) < {}");
    attack("return setmetatable({}, {__eq = f}) == setmetatable({}, {__eq = f})");
    attack("return #setmetatable({}, {__len = f})");
    attack("return -setmetatable({}, {__unm = f})");
    attack("return setmetatable({}, {__index = f}).x");
    attack("setmetatable({}, {__call = f})()");
    attack("for _ in pairs(setmetatable({}, {__pairs = f})) do end");
    attack("for _ in ipairs(setmetatable({}, {__index = f})) do end");
    attack("return 1 + '1' + setmetatable({}, {__add = f})");
    attack("return '1' + setmetatable({}, {__add = f})");
    attack("os.time(setmetatable({}, {__index = f}))");
    attack("setmetatable(_G, {__index = f, __newindex = f}) undefined = undefined");
}

#[test]
fn functions_in_c_end() {
    // `__len` lies.
    let liar = "local t = setmetatable({}, {__len = function() return math.maxinteger - 1 end})";
    check_killed(&format!("{liar} table.insert(t, 1, 'x')"));
    check_killed(&format!("{liar} table.remove(t, 1)"));
    check_killed(&format!("{liar} while true do pcall(table.sort, t) end"));
    check_killed(&format!("{liar} while true do pcall(table.unpack, t) end"));
    check_killed(&format!("{liar} while true do pcall(table.concat, t) end"));
    check_killed("table.move({}, 1, math.maxinteger - 1, 2)");
    check_killed("table.move({}, 1, 1 << 40, 1, {})");
    check_killed(
        "table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, math.maxinteger)",
    );
    check_killed(
        "table.concat(setmetatable({}, {__index = function() return '' end}), '', math.mininteger, math.maxinteger)",
    );
    check_killed("while true do pcall(table.unpack, {}, 1, 900000) end");
    check_killed("while true do select('#', table.unpack({}, 1, 900000)) end");
    check_refused("return #(''):rep(math.maxinteger)", "0");
    check_refused("return #(''):rep(math.maxinteger, '')", "0");
    check_refused("return ('x'):rep(1 << 40)", "resulting string too large");
    check_refused(
        "return ('x'):rep(math.maxinteger)",
        "resulting string too large",
    );
    check_refused(
        "return (''):rep(math.maxinteger, 'x')",
        "resulting string too large",
    );
    check_killed("while true do local s = ('x'):rep(4 << 20) end");
    check_killed("local s = ('x'):rep(2 << 20) while true do local t = s .. s end");
    check_killed("local s = ('x'):rep(4 << 20) while true do s:upper() s:lower() s:reverse() end");
    check_refused(
        "local s = ('x'):rep(16 << 20) s = s .. 'x' return s:upper()",
        "string too large",
    );
    check_killed(
        "local s = ('\\0'):rep(1 << 20) local t = s .. '' while true do local x = s .. 'a' < t .. 'b' end",
    );
    check_killed(
        "local s = ('x'):rep(1 << 20) while true do s:byte(1, 900000) utf8.len(s) utf8.offset(s, -1) end",
    );
    check_refused("return string.format('%99.99f', 1e300):len()", "401");
    check_refused("return string.format('%100d', 1)", "invalid conversion");
    check_refused("return string.format(('%s'):rep(40000))", "format too long");
    check_refused(
        "local t = {} for i = 1, 16000 do t[i] = i end return ('%99d'):rep(16000):format(table.unpack(t))",
        "too many arguments",
    );
    check_refused("return string.pack('c1000000000', 'x')", "format too large");
    check_refused(
        "return string.pack(('c9999'):rep(100), 'x')",
        "format too large",
    );
    check_refused("return os.date(('%c'):rep(1000))", "format too long");
    check_killed(
        "local t = {} for i = 1, 20000 do t[i] = i + 0.5 end while true do table.concat(t, ',') end",
    );
    check_killed("local s = ('1'):rep(16 << 20) while true do tonumber(s) tonumber(s, 10) end");
    check_killed(
        "local t = {} for i = 1, 100000 do t[i] = 100000 - i end while true do table.sort(t, function(a, b) return true end) end",
    );
}

#[test]
fn patterns_end() {
    check_killed(
        "local s = ('a'):rep(100000) while true do pcall(s.find, s, ('a*'):rep(30) .. 'b') end",
    );
    check_killed("local s = ('a'):rep(100000) s:find('a*b')");
    check_killed("local s = ('a'):rep(100000) s:gsub('a*b', '')");
    check_killed("local s = ('a'):rep(100000) s:gsub('a*b', print)");
    check_killed("local s = ('a'):rep(100000) for _ in s:gmatch('a-b') do end");
    check_killed("local s = ('('):rep(100000) while true do s:find('%b()') end");
    check_killed(
        "local s = ('a'):rep(100000) while true do s:find('[' .. ('b'):rep(10000) .. ']') end",
    );
    check_killed("local s = ('a'):rep(100000) while true do pcall(s.find, s, '^(a*)%1$') end");
    check_killed(
        "local s, p = ('a'):rep(1 << 20), ('a'):rep(1 << 19) .. 'b' while true do s:find(p, 1, true) end",
    );
    check_killed(
        "local s, p = ('a'):rep(1 << 20), ('a'):rep(1 << 19) .. 'b' while true do s:find(p) end",
    );
    check_refused(
        "return pcall(string.find, ('a'):rep(100000), ('a?'):rep(40) .. ('a*'):rep(40) .. 'b')",
        "pattern too slow",
    );
    check_refused(
        "return string.find(('a'):rep(300), ('a?'):rep(300) .. 'b')",
        "pattern too complex",
    );
    check_refused(
        "return (('x'):rep(1000):gsub('x', ('x'):rep(100000)))",
        "resulting string too large|not enough memory",
    );
    check_refused(
        "return (('x'):gsub('x', ('%0'):rep(16 << 20)))",
        "too large",
    );
    check_refused(
        "return (('x'):rep(1 << 18):gsub('.', ('%0'):rep(400)))",
        "too ",
    );
}

#[test]
fn memory_is_limited() {
    let full = "not enough memory";
    check_refused(
        "local t = {} for i = 1, 50 do t[i] = ('x'):rep(4 << 20) .. i end",
        full,
    );
    check_refused("local s = ('x'):rep(16 << 20) return s .. s .. s", full);
    check_refused("local s = 'x' while true do s = s .. s end", full);
    check_refused(
        "local t = table.pack(table.unpack({}, 1, 900000)) local u = {} for i = 1, 9 do u[i] = table.pack(table.unpack(t, 1, 900000)) end",
        full,
    );
    check_killed(
        "local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end",
    );
    check_killed(
        "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1 << 20) .. #t end) end",
    );
    check_killed("local t = {} while true do t[#t + 1] = coroutine.create(print) end");
    check_killed(
        "local t = {} while true do pcall(function() while true do t[#t + 1] = coroutine.create(print) end end) end",
    );
    check_killed(
        "local t = {} while true do pcall(function() while true do t[#t + 1] = ('x'):gmatch('x') end end) end",
    );
    check_killed(
        "local t = {} while true do pcall(function() while true do t[#t + 1] = ('x%d'):format(#t):gsub('x', '%0%0') end end) end",
    );
    check_killed(
        "local t = {} while true do pcall(function() while true do t[#t + 1] = setmetatable({}, {}) end end) end",
    );
}

#[test]
fn recursion_is_limited() {
    check_limited(
        "local function f() return 1 + f() end f()",
        "stack overflow",
    );
    check_limited(
        "local function f() return pcall(f) end return select('#', f())",
        "",
    );
    check_limited(
        "local function f() local a, b = pcall(f) return a, b end f()",
        "",
    );
    check_limited(
        "local function f() return coroutine.wrap(f)() end return pcall(f)",
        "C stack overflow",
    );
    check_limited(
        "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
        "'__index' chain too long",
    );
    check_limited(
        "local t = {} for i = 1, 3000 do t = setmetatable({}, {__index = t}) end return t.x",
        "'__index' chain too long",
    );
    check_limited(
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
        "stack overflow",
    );
    check_limited(
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function(t) return tostring(t) end return tostring(t)",
        "stack overflow",
    );
    check_limited(
        "local t = {} for i = 1, 300 do t = setmetatable({}, {__call = t}) end return t()",
        "",
    );
    check_limited(
        "local s = ('x'):gsub('x', function() return (('x'):gsub('x', function() return ('x'):rep(3) end)) end) return s",
        "xxx",
    );
    check_limited(
        "local function f(s) return (s:gsub('.', f)) end return f('x')",
        "stack overflow",
    );
    check_limited(
        "local function f(a, b) table.sort({1, 2, 3}, f) end f()",
        "stack overflow",
    );
    check_limited(
        "local t = setmetatable({}, {}) getmetatable(t).__close = function() local x <close> = t end local x <close> = t",
        "stack overflow",
    );
    check_limited(
        "local function f(n) local x <close> = setmetatable({}, {__close = f}) error(n) end f(1)",
        "stack overflow",
    );
    check_limited("local function h(e) return h2(e) end xpcall(error, h)", "");
}

#[test]
fn finalizers_are_refused() {
    check_refused(
        "setmetatable({}, {__gc = function() while true do end end})",
        "__gc is not supported",
    );
    check_refused("setmetatable({}, {__gc = true})", "__gc is not supported");
    check_refused(
        "local m = {} for i = 1, 1000 do setmetatable({}, m) end
        m.__gc = function() ran = true while true do end end
        for i = 1, 100000 do local x = {} end
        return tostring(ran)",
        "nil",
    );
    check_refused(
        "local m = setmetatable({}, {__index = {__gc = function() end}}) setmetatable({}, m) return 'no harm'",
        "no harm",
    );
}

#[test]
fn what_is_shared_stays_sound() {
    check_refused("getmetatable('').__index = nil return ('x'):rep(2)", "xx");
    check_refused(
        "getmetatable('').__index.rep = nil return pcall(function() return ('x'):rep(2) end)",
        "false",
    );
    check_refused("return setmetatable('x', {})", "table expected");
    check_refused(
        "getmetatable('').__add = function() while true do end end return pcall(function() return 'a' + 1 end)",
        "false",
    );
    for global in [
        "dofile",
        "load",
        "loadstring",
        "loadfile",
        "io",
        "package",
        "warn",
        "debug.getregistry",
        "debug.sethook",
        "debug.getmetatable",
        "debug.setmetatable",
        "debug.getupvalue",
        "os.execute",
        "os.exit",
        "os.getenv",
        "os.remove",
        "os.rename",
        "os.tmpname",
        "os.setlocale",
        "string.dump",
    ] {
        check_refused(&format!("return {global}"), "nil");
    }
    // A task finds its functions however `_G` was damaged before.
    let sandbox = target();
    let damage = "local keep = {wait = wait, pcall = pcall, error = error, select = select, coroutine = coroutine, table = table, string = string}
        local names = {} for name in pairs(_G) do names[#names + 1] = name end
        for _, library in ipairs({'string', 'table', 'coroutine', 'math', 'utf8', 'os'}) do
            for name in pairs(_G[library]) do keep[library .. '.' .. name] = _G[library][name] _G[library][name] = error end
        end
        local all = _G
        for i = 1, #names do all[names[i]] = nil end
        _ENV = keep
        ok = keep['string.gsub']('a b', '%a', function(c) return keep['string.upper'](c) end)
        sorted = {3, 1, 2} keep['table.sort'](sorted)
        first = keep['coroutine.wrap'](function() return keep['string.match']('k=v', '(%w+)=') end)()
        return ok, sorted[1], first, pcall(wait, 2)";
    assert_eq!(run(&sandbox, damage), "A B 1 k true 2");
}

#[test]
fn bytecode_is_refused() {
    let sandbox = target();
    let error = sandbox.load("x.lua", b"\x1bLua").expect_err("refused");
    assert!(error.contains("binary chunk"), "{error}");
}

#[test]
fn many_values_are_no_harm() {
    check_refused("return table.unpack({}, 1, 900000)", "");
    check_refused(
        "local t = {} for i = 1, 150000 do t[i] = {} end return table.unpack(t)",
        "",
    );
    check_refused(
        "local t = {} for i = 1, 100000 do t[i] = {} end return wait(table.unpack(t))",
        "too many arguments",
    );
    check_refused(
        "local t = {} for i = 1, 100000 do t[i] = {} end return pcall(setmetatable, table.unpack(t))",
        "true",
    );
    check_refused(
        "local t = {} for i = 1, 100000 do t[i] = {} end return select('#', coroutine.wrap(function(...) coroutine.yield(...) end)(table.unpack(t)))",
        "100000",
    );
    check_refused("print(table.unpack({}, 1, 100000))", "");
}

#[test]
fn a_large_global_table_slows_no_traceback() {
    // Looking through the table each time would take far longer than this, and not doing so far less.
    let limits = SandboxLimits {
        compute: Duration::from_secs(1),
        ..LIMITS
    };
    let sandbox = sandbox(limits, &[]).0;
    for _ in 0..30 {
        run(
            &sandbox,
            "for i = 1, 20000 do _G[#_G + 1] = function() end end",
        );
    }
    let outcome = run(
        &sandbox,
        "for i = 1, 3000 do pcall(error) debug.traceback() end return 'in time'",
    );
    assert_eq!(outcome, "in time");
}
