//! What plugins may try with these functions, by mistake or not.

use super::*;

#[test]
fn tables_that_no_json_holds() {
    check_all(&[
        (
            "local t = {} t[1] = t x = jsonEncode(t)",
            "! 4 test.lua:1: JSON: tables nested more than 128 deep, or in themselves",
        ),
        (
            "local t = {} for i = 1, 128 do t = {t} end x = jsonEncode(t)",
            "! 4 test.lua:1: JSON: tables nested more than 128 deep, or in themselves",
        ),
        (
            "local t = {} for i = 1, 127 do t = {t} end return #jsonEncode(t)",
            "256",
        ),
        (
            "local t = {} for i = 1, 50001 do t[i] = 1 end x = jsonEncode(t)",
            "! 4 test.lua:1: JSON: more than 50000 values",
        ),
        (
            "local t = {} for i = 1, 60000 do t['k' .. i] = 1 end x = jsonEncode(t)",
            "! 4 test.lua:1: JSON: more than 50000 values",
        ),
        // One text, many times.
        (
            "local s, t = ('x'):rep(1 << 20), {} for i = 1, 10000 do t[i] = s end x = jsonEncode(t)",
            "! 4 test.lua:1: JSON: more than 16777216 bytes",
        ),
        // One table, many times: two to the power of forty.
        (
            "local t = {} for i = 1, 40 do t = {t, t} end x = jsonEncode(t)",
            "! 4 test.lua:1: JSON: more than 50000 values",
        ),
        // Metamethods are not asked.
        (
            "return jsonEncode(setmetatable({}, {__index = error, __len = error, __pairs = error}))",
            "[]",
        ),
        (
            "return jsonEncode(setmetatable({1}, {__len = function() return 1 << 60 end}))",
            "[1]",
        ),
        (
            "local v, why = jsonDecode(('['):rep(100000)) return v, type(why)",
            "nil string",
        ),
        (
            "local v, why = jsonDecode('[' .. ('1,'):rep(60000) .. '1]') return v, why",
            "nil more than 50000 values, or too long",
        ),
        (
            "local s = ('k'):rep(4096) local t = {} for i = 1, 40 do t = {[s] = t} end return urlEncodeArr({a = {b = t}})",
            "",
        ),
        (
            "local t = {[('k'):rep(1 << 20)] = {}} for i = 1, 20 do t[next(t)][i] = 1 end x = urlEncodeArr(t)",
            "! 4 test.lua:1: urlEncodeArr: the result would be too long",
        ),
    ]);
}

#[test]
fn huge_texts() {
    for (source, expect) in [
        (
            "local s = ('x'):rep(16 << 20) s = s .. s x = md5(s)",
            "! 4 test.lua:1: md5: text too long",
        ),
        (
            "local s = ('x'):rep(16 << 20) x = base64.encode(s)",
            "! 4 test.lua:1: base64.encode: the result would be too long",
        ),
        ("return strtotime(('9'):rep(1 << 20))", "nil"),
        ("logit(('x'):rep(8 << 20))", ""),
    ] {
        check(source, expect);
    }
    check_call_of(
        "local s = ('x'):rep(9 << 20) env:write(s) env:write(s)",
        r#"[4,"服务器错误","api.lua:1: write: expected at most 16777216 bytes in all"]"#,
    );
}

#[track_caller]
fn check_call_of(body: &str, expect: &str) {
    let bench = Bench::new();
    bench
        .load(&format!("function api_x(env) {body} end"))
        .expect("loads");
    assert_eq!(
        bench.answer_of("x", Value::Null, Value::Null),
        expect,
        "{body}"
    );
}

/// Whatever a plugin overwrites is its own alone.
#[test]
fn overwritten_globals() {
    let bench = Bench::with(Box::new(|op, _| match op {
        "call" => json!([true, 1]),
        "session" => json!([true, "s1", {}]),
        _ => json!([true, 1, 1]),
    }));
    bench
        .load(
            "for _, lib in ipairs{string, table, math, utf8, os, coroutine} do for k in pairs(lib) do lib[k] = function() error('mine') end end end
             local keep = { ipairs = ipairs, pairs = pairs, _G = _G }
             local env_of = {}
             function api_x(env)
               env:session_start() env._SESSION.a = 1
               dbInsert('T', { a = 1 }) dbUpdate('T', { a = 1 }, { id = 1 })
               return { env:param('id'), pushMsg('a', 'b', 'c'), makeUrl('/a', { b = 1 }), callSvcInt('y', { id = 3 }) }
             end
             function api_y(env) return env:mparam('id') end
             for k in pairs(_G) do
               if k ~= '_G' and k ~= 'api_x' and k ~= 'api_y' and k ~= 'dbInsert' and k ~= 'dbUpdate' and k ~= 'pushMsg' and k ~= 'makeUrl' and k ~= 'callSvcInt' then _G[k] = nil end
             end
             tostring = function() return nil end select = 5 type = nil setmetatable = 1",
        )
        .expect("loads");
    assert_eq!(
        bench.answer_of("x", json!({"id": "5"}), Value::Null),
        r#"[0,[5,1,"/a?b=1",3]]"#
    );
}

#[test]
fn what_is_shared_cannot_be_changed() {
    check_all(&[
        (
            "local ok, e = pcall(jdRet, 1) return getmetatable(e), (pcall(setmetatable, e, {}))",
            "jdRet false",
        ),
        (
            "return getmetatable(jsonObject()), (pcall(setmetatable, jsonObject(), {}))",
            "object false",
        ),
        // One that looks like it is not one.
        (
            "error(setmetatable({code = 0, data = 5}, {__metatable = 'jdRet'}))",
            "! 4 (error object is a table value)",
        ),
    ]);
    // An env that was tampered with hurts its own call only.
    check_call_of(
        "env._call = nil env:write('x')",
        r#"[4,"服务器错误","api.lua:1: bad argument to 'write' (userdata expected, got nil)"]"#,
    );
    check_call_of(
        "env._call = {} x = env:header('x')",
        r#"[4,"服务器错误","api.lua:1: bad argument to 'header' (userdata expected, got table)"]"#,
    );
    check_call_of(
        "env._GET = 5 env._POST = print return env:param('x', 6)",
        "[0,6]",
    );
    check_call_of(
        "env.onAfterActions = 5 env.address = {} env._session = nil return 1",
        "[0,1]",
    );
    check_call_of("env._session = 5 return 1", "[0,1]");
    check_call_of(
        "env._session = {} return 1",
        r#"[4,"服务器错误","bad argument to 'session' (string expected, got nil)"]"#,
    );
    check_call_of("setmetatable(env, nil) return 1", "[0,1]");
}

#[test]
fn classes_in_circles() {
    let table = Bench::new()
        .load(
            "AC_A = class() AC_B = class(AC_A) function AC_B:api_x() end
             setmetatable(AC_A, { __index = AC_B })
             AC_C = setmetatable({}, { __index = function() error('asked') end })",
        )
        .expect("loads");
    assert_eq!(table.calls.join(" "), "A.x B.x");
    for (many, error) in [
        ("_G['api_c' .. i] = print", "more than 10000 calls"),
        (
            "on('push.a' .. i % 9, print)",
            "more than 10000 handlers of events",
        ),
    ] {
        let source = format!("for i = 1, 10001 do {many} end");
        assert_eq!(Bench::new().load(&source).unwrap_err(), error);
    }
}

#[test]
fn calls_that_never_end() {
    // Not even its end is run.
    let bench = Bench::with(Box::new(|_, _| json!([true, 1, 1])));
    bench
        .load("function api_x(env) execOne('A') while true do pcall(error) end end")
        .expect("loads");
    let answer = bench.answer_of("x", Value::Null, Value::Null);
    assert!(answer.contains("too much computing"), "{answer}");
    assert_eq!(bench.asked.borrow().len(), 1);
    check_call_of(
        "callSvcInt('x')",
        r#"[4,"服务器错误","api.lua:1: callSvcInt: more than 32 calls in each other"]"#,
    );
}
