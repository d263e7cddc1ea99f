//! What `prelude/*.lua` puts in place of Lua's own functions, beside these: same values, and errors where
//! these raise one.

use std::time::Duration;

use mlua::{Lua, LuaString};

use super::SandboxLimits;
use super::sandbox::tests::{LIMITS, run, sandbox};

/// Shows what a function returns, tables in full, or its error.
const TELL: &str = r#"
local function tell(v)
  if type(v) == "string" then return string.format("%q", v) end
  if type(v) ~= "table" then return type(v) == "function" and "function" or tostring(v) end
  local parts = {}
  for k, e in pairs(v) do parts[#parts + 1] = tell(k) .. "=" .. tell(e) end
  table.sort(parts)
  return "{" .. table.concat(parts, " ") .. "}"
end
local function told(ok, ...)
  local values = table.pack(...)
  for i = 1, values.n do values[i] = tell(values[i]) end
  local text = table.concat(values, ",")
  if not ok then text = "error " .. text end
  return text
end
return told(pcall(function(...) "#;

#[track_caller]
fn check(snippet: &str) {
    let source = format!("{TELL} {snippet}\nend))");
    let lua = Lua::new();
    let theirs: LuaString = lua.load(&source).eval().expect("runs");
    let theirs = theirs.to_string_lossy();
    // Others may run at each hook, wherever that is.
    let limits = SandboxLimits {
        slice: Duration::ZERO,
        ..LIMITS
    };
    let ours = run(&sandbox(limits, &[]).0, &source);
    // In Lua, an error counts arguments in its own way where a function was called as a method.
    let is_error = |text: &str| text.starts_with("error ");
    assert!(
        ours == theirs || is_error(&ours) && is_error(&theirs),
        "{snippet}: {ours}, in Lua {theirs}"
    );
}

#[test]
fn tables() {
    let t = "local t = {'a', 'b', 'c'} ";
    for snippet in [
        "table.insert(t, 'd') return t",
        "table.insert(t, 1, 'd') return t",
        "table.insert(t, 4, 'd') return t",
        "table.insert(t, nil) return t",
        "table.insert(t, 2, nil) return t",
        "table.insert(t, 5, 'd')",
        "table.insert(t, 0, 'd')",
        "table.insert(t)",
        "table.insert(t, 1, 2, 3)",
        "table.insert(t, 1.5, 'd')",
        "table.insert(t, '2', 'd') return t",
        "return table.remove(t), t",
        "return table.remove(t, 1), t",
        "return table.remove(t, 3), t",
        "return table.remove(t, 4), t",
        "return table.remove({}), table.remove({}, 0), table.remove({}, 1)",
        "return table.remove({[0] = 'z'}, 0)",
        "return table.remove(t, 5)",
        "return table.remove(t, 0)",
        "return table.remove(t, -1)",
        "return table.remove({n = 1}, 0)",
        "return table.move(t, 1, 3, 2)",
        "return table.move(t, 2, 3, 1)",
        "return table.move(t, 1, 3, 1, {})",
        "return table.move(t, 1, 0, 5)",
        "return table.move(t, 1, 3, 3)",
        "return table.move(t, 1, math.maxinteger, 2)",
        "return table.move(t, -1, math.maxinteger, 2)",
        "return table.move(t, 1, 2)",
        "return table.move(t, 1, 2, 3, 4)",
        "return table.concat(t), table.concat(t, ','), table.concat(t, ', ', 2), table.concat(t, '-', 2, 3), table.concat(t, 1), table.concat({}), table.concat(t, ',', 3, 2)",
        "return table.concat({1, 2.5, 'x'}, ' ')",
        "return table.concat({1, {}, 3})",
        "return table.concat(t, ',', 1, 4)",
        "return table.concat(t, {})",
        "return table.concat({1, nil, 3}, ',', 1, 3)",
        "return table.unpack(t)",
        "return table.unpack(t, 2)",
        "return table.unpack(t, 2, 3)",
        "return table.unpack(t, 3, 2)",
        "return table.unpack(t, 1, 6)",
        "return table.unpack(t, -1, 1)",
        "return table.unpack({}, 1, 1e8)",
        "return table.unpack({}, math.mininteger, math.maxinteger)",
        "return (table.unpack({1, 2, 3, 4, 5}, 2, 5))",
        "return table.unpack({}, 0)",
        "return table.pack(1, nil, 3)",
        "return table.pack()",
        "return select('#', table.unpack({n = 3}, 1, 3))",
        "table.sort(t, function(a, b) return a > b end) return t",
        "table.sort(t) return t",
        "table.sort({}) table.sort({1}) return 1",
        "table.sort({1, 'x'})",
        "table.sort(t, 1)",
        "table.sort({1, {}, 2})",
        "local u = {} for i = 1, 1000 do u[i] = (i * 7919) % 1009 end table.sort(u) for i = 2, 1000 do assert(u[i - 1] <= u[i]) end return u[1], u[1000]",
        "local u = {} for i = 1, 9 do u[i] = 9 - i end table.sort(u) return u",
        "local u = {} for i = 1, 17 do u[i] = i % 5 end table.sort(u) return u",
        "local u = {} for i = 1, 16 do u[i] = -i end table.sort(u) return u",
    ] {
        check(&format!("{t}{snippet}"));
    }
}

#[test]
fn strings() {
    for snippet in [
        "return ('ab'):rep(3), ('ab'):rep(3, '-'), ('x'):rep(0), ('x'):rep(-1), ('x'):rep(1, 'y'), (''):rep(5), (''):rep(3, '-'), (5):rep(2)",
        "return ('abc'):rep(30000) == ('abcabc'):rep(15000), #('ab'):rep(50000, '--'), #('x'):rep(100001), ('ab'):rep(50000, '-'):sub(-4), ('x'):rep(70000, 'yz'):sub(1, 7)",
        "return ('x'):rep()",
        "return ('x'):rep({})",
        "return ('x'):rep(2, {})",
        "return string.rep()",
        "return ('x'):rep(2.5)",
        "return ('x'):rep('2')",
        "return ('aBc'):upper(), ('aBc'):lower(), ('abc'):reverse(), (12):upper(), ('é'):upper()",
        "return string.upper()",
        "return string.upper({})",
        "return ('%d %s %q %5.2f %x %c %i %%'):format(1, 'x', 'a\\nb', 1.234, 255, 65, 3)",
        "return ('%s %s %s'):format(nil, true, 1.5)",
        "return ('%d'):format('x')",
        "return ('%d'):format(1.5)",
        "return ('%s'):format()",
        "return ('%y'):format(1)",
        "return ('%s'):format(setmetatable({}, {__tostring = function() return 'T' end})), ('%-5s|%.2s'):format('a', 'abc')",
        "return string.format()",
        "return ('%s|%s'):format(1, setmetatable({}, {__tostring = function() return 'T' end}))",
        "return ('%s'):format(setmetatable({}, {__tostring = function() return 1 end}))",
        "return tostring(setmetatable({}, {__tostring = function() return nil end}))",
        "return ('%q'):format('a')",
        "return ('%10d|%-10d|%+d'):format(1, 2, 3)",
        "return '10' + 5, '10' - '5', '3' * 2, 7 / '2', '7' // 2, '7' % '4', '2' ^ 3, -'3', '0x10' + 0, ' 5 ' + 1, '1e1' * 1, -'2.5', '10' // '3.0'",
        "return '1' + 1 == 2, math.type('10' + 5), math.type('10' + 5.0), math.type('1e1' + 0)",
        "return 'a' + 1",
        "return 1 + 'a'",
        "return {} + '1'",
        "return '1' + {}",
        "return -'a'",
        "return 'a' .. {}",
        "return '1' & 3",
        "return 'a' | 1",
        "return '1' + setmetatable({}, {__add = function(a, b) return type(a) .. type(b) end})",
        "return setmetatable({}, {__add = function(a, b) return type(a) .. type(b) end}) + '1'",
        "return ('x'):find(''), ('x'):find('', 10), ('x'):find('', 2), ('abc'):find('b', -1), ('abc'):find('b', -10), ('a.b'):find('.', 2, true), ('abc'):find('b', 1.0)",
        "return ('x'):find()",
        "return ('x'):find('x', 'y')",
        "return ('x'):find('x', 1.5)",
        "return (123):find(2)",
        "return ('abc'):gsub('b', true)",
        "return ('abc'):gsub('b')",
        "return ('abc'):gsub('b', {b = true})",
        "return ('abc'):gsub('b', function() return {} end)",
        "return ('abc'):gsub('%w', '%0%0', 2)",
        "return ('abc'):gsub('', '-')",
        "return ('abc'):gsub('%w', '%0', 0)",
        "return ('abc'):gsub('b', 1)",
        "return (123):gsub(2, 'x')",
        "return ('abc'):gsub('.', {a = 1, b = 2.5})",
        "return ('hello world'):gsub('o', 'x', 'y')",
        "return ('abc'):gsub('%w', '%0', -1)",
        "return string.gsub()",
        "return ('abc'):gsub('b', function() return nil end), ('abc'):gsub('b', function() return false end)",
        "return string.pack('<I2', 258), string.unpack('<I2', '\\2\\1'), string.packsize('I4'), string.pack('z', 'a'), string.pack('s1', 'ab')",
        "return string.pack('I17', 1)",
        "return string.pack('d', 'x')",
        "return string.pack()",
        "return ('abc'):byte(1, -1), ('abc'):sub(2), ('abc'):len(), string.char(97, 98), #'abc'",
        "return utf8.char(228, 8364), utf8.len('äöü'), utf8.codepoint('ä', 1), utf8.offset('aäb', 3)",
        "local t = {} for p, c in utf8.codes('aä') do t[#t + 1] = p .. ':' .. c end return t",
        "local t = {} for c in ('aä€'):gmatch(utf8.charpattern) do t[#t + 1] = c end return t",
        "local it = ('a b'):gmatch('%a') return it(), it(), it(), it()",
        "return tostring(nil), tostring(1), tostring(1.0), tostring('x'), tostring(true), tostring(-0.0), tostring(1e100), tostring(0/0 ~= 0/0)",
        "return tostring({}):match('^table: 0x%x+$') ~= nil, tostring(setmetatable({}, {__name = 'N'})):match('^N: 0x%x+$') ~= nil",
    ] {
        check(snippet);
    }
}

#[test]
fn the_rest() {
    for snippet in [
        "local t = {} for i, v in ipairs({1, 2, nil, 4}) do t[#t + 1] = v end return t",
        "for i in ipairs() do end",
        "local t = {} for i, v in ipairs(setmetatable({}, {__index = function(_, i) if i < 4 then return i end end})) do t[i] = v end return t",
        "for _ in ipairs(nil) do end",
        "return select('#', ipairs({})), select(3, ipairs({}))",
        "return pcall(pcall, nil)",
        "return pcall(error)",
        "return pcall(error, nil)",
        "return pcall(error, 'x', 0)",
        "return select('#', pcall(function() return nil, nil end))",
        "return xpcall(error, function(e) return e, 2 end, 'x')",
        "return xpcall(function(...) return ... end, error, 1, 2)",
        "return xpcall(1, function(e) return 'h' end)",
        "return xpcall()",
        "return pcall(1)",
        "return pcall(nil)",
        "return setmetatable({}, nil)",
        "return setmetatable({}, 1)",
        "return setmetatable(1, {})",
        "return getmetatable(setmetatable({}, {__metatable = 'm'}))",
        "return setmetatable(setmetatable({}, {__metatable = 'm'}), {})",
        "local m = {} return getmetatable(setmetatable({}, m)) == m",
        "local t = os.date('*t', 0) return os.time(t) == 0, os.time({year = 2024, month = 2, day = 30}) == os.time({year = 2024, month = 3, day = 1})",
        "local t = {year = 2024, month = 14, day = -3} os.time(t) return t.year, t.month, t.day, t.yday, t.wday",
        "return os.time({})",
        "return os.time({year = 'x'})",
        "return os.date('!%Y-%m-%d %H:%M:%S', 86400)",
        "return os.date('%Ez', 0)",
        "return os.date('%')",
        "return math.type(os.time()), math.type(os.clock())",
        "return #('x'):rep(10), ('x').y",
        "local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) local d, e = coroutine.yield(c * 2) return d + e end) return {coroutine.resume(co, 1, 2)}, {coroutine.resume(co, 10)}, {coroutine.resume(co, 3, 4)}, {coroutine.resume(co)}, coroutine.status(co)",
        "local co = coroutine.create(function() error({code = 1}) end) return coroutine.resume(co)",
        "local co = coroutine.create(function() return pcall(coroutine.yield, 1) end) return {coroutine.resume(co)}, {coroutine.resume(co, 2)}",
        "local t = {} for x in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do t[#t + 1] = x end return t",
        "local co co = coroutine.create(function() return coroutine.status(co), coroutine.resume(co) end) return coroutine.resume(co)",
        "local outer outer = coroutine.create(function() local inner = coroutine.create(function() return coroutine.status(outer) end) return coroutine.resume(inner) end) return coroutine.resume(outer)",
        "local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) return coroutine.close(co), coroutine.status(co), coroutine.resume(co)",
        "local co = coroutine.create(function() error('x') end) coroutine.resume(co) return coroutine.status(co)",
        "return coroutine.close(coroutine.create(print))",
        "local co = coroutine.wrap(function() return 1 end) co() return pcall(co)",
        "return pcall(coroutine.wrap(function() error('x', 0) end))",
        "return coroutine.resume(1)",
        "return coroutine.resume(coroutine.create(function() return nil end))",
        "return select('#', coroutine.resume(coroutine.create(function() return nil, nil end)))",
        "local co = coroutine.create(function(...) return select('#', ...) end) return coroutine.resume(co, nil, nil)",
        "local function gen(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end) end local s = 0 for a in gen(3) do for b in gen(a) do s = s + b end end return s",
    ] {
        check(snippet);
    }
}
