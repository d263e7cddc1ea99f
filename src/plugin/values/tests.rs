//! Borders of tables, odd keys and numbers, and what a plugin may try with either.

use super::*;

/// What the JSON of a Lua value is, as text, or why it has none.
fn json_of(source: &str) -> String {
    let lua = Lua::new();
    install(&lua).expect("memory");
    let mark = lua.create_function(|lua, table: Table| {
        mark_object(lua, &table)?;
        Ok(table)
    });
    let globals = lua.globals();
    globals.set("object", mark.expect("memory")).expect("set");
    globals.set("null", LuaValue::NULL).expect("set");
    let value: LuaValue = lua.load(source).eval().expect(source);
    match to_json(&lua, &value) {
        Ok(json) => json.to_string(),
        Err(why) => why,
    }
}

#[track_caller]
fn check(source: &str, expect: &str) {
    assert_eq!(json_of(source), expect, "{source}");
}

#[test]
fn a_list_has_the_keys_one_to_n_and_no_others() {
    check("{}", "[]");
    check("object({})", "{}");
    check("{1, 2, 3}", "[1,2,3]");
    check("object({1, 2})", r#"{"1":1,"2":2}"#);
    check("{[2] = 2, [1] = 1, [3.0] = 3}", "[1,2,3]");
    check("{1, null, 3}", "[1,null,3]");
    for (source, expect) in [
        ("{1, nil, 3}", r#"{"1":1,"3":3}"#),
        ("{nil, nil, 3}", r#"{"3":3}"#),
        ("{[2] = 1}", r#"{"2":1}"#),
        ("{[0] = 1, [1] = 2}", r#"{"0":1,"1":2}"#),
        ("{[-1] = 1, [1] = 2}", r#"{"-1":1,"1":2}"#),
        ("{[1.5] = 1, [1] = 2}", r#"{"1":2,"1.5":1}"#),
        ("{1, 2, x = 3}", r#"{"1":1,"2":2,"x":3}"#),
        ("{1, ['2'] = 2}", r#"{"1":1,"2":2}"#),
        ("{[true] = 1}", r#"{"true":1}"#),
        ("{[1] = 1, [2^53] = 2}", r#"{"1":1,"9007199254740992":2}"#),
        (
            "{[1] = 1, [math.maxinteger] = 2}",
            r#"{"1":1,"9223372036854775807":2}"#,
        ),
        ("{[math.mininteger] = 1}", r#"{"-9223372036854775808":1}"#),
        ("{[2^63] = 1}", r#"{"9223372036854776000":1}"#),
        ("{[1/0] = 1, [-1/0] = 2}", r#"{"-inf":2,"inf":1}"#),
        // Both have the name 1: the text counts, in whichever order Lua has them.
        ("{[1] = 'number', ['1'] = 'text'}", r#"{"1":"text"}"#),
        (
            "{['1'] = 'text', [1] = 'number', x = 1}",
            r#"{"1":"text","x":1}"#,
        ),
    ] {
        check(source, expect);
    }
    // A border is any n with a value and none behind it: what `#` gives is no matter.
    for hole in 1..=40 {
        let source = format!(
            "(function() local t = {{}} for i = 1, 40 do t[i] = i end t[{hole}] = nil return t end)()"
        );
        let json = json_of(&source);
        assert_eq!(json.starts_with('['), hole == 40, "{hole}: {json}");
        assert!(json.contains("39") || hole == 39, "{hole}: {json}");
    }
}

#[test]
fn numbers_and_texts_that_json_has_not() {
    for (source, expect) in [
        ("nil", "null"),
        ("null", "null"),
        ("0/0", "null"),
        ("{1/0, -1/0, 0/0}", "[null,null,null]"),
        ("math.mininteger", "-9223372036854775808"),
        ("2^63", "9.223372036854776e+18"),
        ("-0.0", "-0.0"),
        ("'\\xff\\0'", "\"\u{fffd}\\u0000\""),
        ("{['\\xff'] = 1}", "{\"\u{fffd}\":1}"),
    ] {
        check(source, expect);
    }
}

#[test]
fn what_has_no_json_says_so() {
    for (source, expect) in [
        ("print", "JSON: a function has none"),
        ("{x = {coroutine.create(print)}}", "JSON: a thread has none"),
        (
            "{[print] = 1}",
            "JSON: a function cannot be a member's name",
        ),
        ("{[{}] = 1}", "JSON: a table cannot be a member's name"),
    ] {
        check(source, expect);
    }
}

#[test]
fn no_metamethod_is_asked() {
    let all = "{__index = error, __newindex = error, __len = error, __pairs = error, __eq = error,
        __call = error, __tostring = error, __name = 7, __close = error, __metatable = 7, __mode = 'k'}";
    check(&format!("setmetatable({{1, 2}}, {all})"), "[1,2]");
    check(
        &format!("setmetatable({{x = setmetatable({{}}, {all})}}, {all})"),
        r#"{"x":[]}"#,
    );
    check(
        "setmetatable({1}, {__len = function() return 1 << 60 end})",
        "[1]",
    );
}

#[test]
fn what_costs_much_ends() {
    let deep = "(function() local t = {} for i = 1, DEPTH do t = {t} end return t end)()";
    let too_deep = "JSON: tables nested more than 128 deep, or in themselves";
    check(&deep.replace("DEPTH", "128"), too_deep);
    check("(function() local t = {} t.t = t return t end)()", too_deep);
    check(
        "(function() local t = {} t[1] = t return t end)()",
        too_deep,
    );
    let json = json_of(&deep.replace("DEPTH", "127"));
    assert_eq!(json, "[".repeat(128) + &"]".repeat(128));
    for (source, expect) in [
        ("local t = {} for i = 1, 50000 do t[i] = i end", "JSON: more than 50000 values"),
        ("local t = {} for i = 1, 50000 do t[-i] = i end", "JSON: more than 50000 values"),
        ("local t = {} for i = 1, 60 do t = {t, t} end", "JSON: more than 50000 values"),
        ("local s, t = ('x'):rep(1 << 20), {} for i = 1, 17 do t[i] = s end", "JSON: more than 16777216 bytes"),
        ("local s, t = ('x'):rep(1 << 20), {} for i = 1, 17 do t[i] = {[s] = 1} end", "JSON: more than 16777216 bytes"),
        // Three times as long as text.
        ("local s, t = ('\\xff'):rep(1 << 20), {} for i = 1, 6 do t[i] = s end", "JSON: more than 16777216 bytes"),
        // It is empty, and was large: Lua looks at each of its places to know that.
        (
            "local e, t = {}, {} for i = 1, 1 << 20 do e[i] = i end for i = 1, 1 << 20 do e[i] = nil end
            for i = 1, 49000 do t[i] = e end",
            "JSON: it takes too long",
        ),
    ] {
        check(&format!("(function() {source} return t end)()"), expect);
    }
}

#[test]
fn what_it_takes_is_known() {
    let lua = Lua::new();
    install(&lua).expect("memory");
    let value: LuaValue = lua.load("{a = 'xyz', b = {1, 2}}").eval().expect("a table");
    let (_, bytes) = to_sized_json(&lua, &value).expect("JSON");
    assert_eq!(bytes, 5 + 5 * VALUE_BYTES);
}
