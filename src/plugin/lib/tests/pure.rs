//! Functions that only compute.

use super::*;

#[test]
fn lists_and_objects() {
    check_all(&[
        (
            "return jsonEncode(arrMap({1,2,3}, function(e, k) return e * 10 + k end))",
            "[11,22,33]",
        ),
        (
            "return jsonEncode(arrMap({1,2}, function(e) if e > 1 then return e end end))",
            "[null,2]",
        ),
        (
            "return jsonEncode(arrMap({a=1,b=2}, function(e, k) return k .. e end))",
            r#"{"a":"a1","b":"b2"}"#,
        ),
        ("return jsonEncode(arrMap(jsonObject(), print))", "{}"),
        (
            "return jsonEncode(arrGrep({5,6,7,8}, function(e) return e % 2 == 0 end))",
            "[6,8]",
        ),
        (
            "return jsonEncode(arrGrep({5,6,7,8}, function(e) return e > 6 end, function(e) return -e end))",
            "[-7,-8]",
        ),
        (
            "return jsonEncode(arrGrep({a=1,b=2}, function(e) return e > 1 end))",
            r#"{"b":2}"#,
        ),
        (
            "return jsonEncode(arrGrep({a=1}, function() return false end))",
            "{}",
        ),
        (
            "local e, k = arrFind({{id=1},{id=2}}, function(e) return e.id == 2 end) return e.id, k",
            "2 2",
        ),
        (
            "return arrFind({a=1}, function(e, k) return k == 'a' end)",
            "1 a",
        ),
        ("return arrFind({}, function() return true end)", "nil"),
        (
            "return jsonEncode(arrCopy({a=1}, {b=2,c=3}, {'b', {'d','c'}, 'none'}))",
            r#"{"a":1,"b":2,"d":3}"#,
        ),
        ("return jsonEncode(arrCopy(nil, {b=2}))", r#"{"b":2}"#),
        ("return jsonEncode(arrCopy(nil, {}))", "{}"),
        (
            "local t = {a=1} return arrCopy(t, {a=2}) == t, t.a",
            "true 2",
        ),
    ]);
    check(
        "local s = ''
         arrayCmp({1,2,3}, {3,4,1}, function(x, y) return x == y end, function(x, y) s = s .. tostring(x) .. '-' .. tostring(y) .. ' ' end)
         return s",
        "1-1 2-nil 3-3 nil-4 ",
    );
    check(
        "arrMap(5, print)",
        "! 4 test.lua:1: bad argument #1 to 'arrMap' (table expected, got number)",
    );
    check(
        "arrFind({})",
        "! 4 test.lua:1: bad argument #2 to 'arrFind' (function expected, got nil)",
    );
}

#[test]
fn texts() {
    check_all(&[
        ("return startsWith('conf_x', 'conf_')", "true"),
        (
            "return startsWith('co', 'conf_'), startsWith('x', '')",
            "false true",
        ),
        (
            "return endWith('a.lua', '.lua'), endWith('a', '.lua'), endWith('a', '')",
            "true false true",
        ),
        ("return startsWith(123, 12)", "true"),
        (
            "return inSet('b', 'a,b;c'), inSet('b', 'ab c'), inSet(nil, 'a')",
            "true false false",
        ),
        (
            "return inSet('管理员', '财务,销售，管理员'), inSet('管理员', '仓库管理员')",
            "true false",
        ),
        (
            "return inSet(2, {1, 2}), inSet('2', {1, 2}), inSet('', 'a')",
            "true true false",
        ),
        (
            "return makeUrl('http://h/a', {b='x y', a={1,2}})",
            "http://h/a?a%5B0%5D=1&a%5B1%5D=2&b=x+y",
        ),
        ("return makeUrl('/a?x=1', {b=1}, '#h')", "/a?x=1&b=1#h"),
        ("return makeUrl('/a', {}), makeUrl('/a')", "/a /a"),
        (
            "return makeUrl('/a#f', {b=1}), makeUrl('/a?', {b=1}), makeUrl('/a?c&', {b=1})",
            "/a?b=1#f /a?b=1 /a?c&b=1",
        ),
        (
            "return strtotime('+1 sec', 1e300), pcall(date, 'Y', 0/0)",
            "nil false test.lua:1: date: expected a time as a finite number",
        ),
        (
            "return urlEncodeArr({a=1,b='hello',c=null,d=true})",
            "a=1&b=hello&d=1",
        ),
        (
            "return #randChr(26), randChr(40, 'd'):match('^%d+$') ~= nil, randChr(0)",
            "26 true ",
        ),
        ("return randChr(16) ~= randChr(16)", "true"),
        (
            "x = randChr(1e9)",
            "! 4 test.lua:1: randChr: expected at most 4096 characters",
        ),
        (
            "return tobool('Yes'), tobool('off'), tobool(1), tobool(nil), tobool(true)",
            "true false true false true",
        ),
        (
            "x = tobool('maybe')",
            "! 4 test.lua:1: tobool: expected 1 true on yes, or 0 false off no",
        ),
        (
            "return Q(\"it's\"), Q(5), Q(nil), Q(null), Q(true), Q(1.5)",
            "'it''s' 5 null null 1 1.5",
        ),
        (r"return Q('a\\b')", "CAST(X'615C62' AS CHAR)"),
        (r"return Q('a\0')", "CAST(X'6100' AS CHAR)"),
        ("x = Q(0/0)", "! 4 test.lua:1: Q: expected a finite number"),
        (
            "x = Q({})",
            "! 4 test.lua:1: bad argument #1 to 'Q' (string expected, got table)",
        ),
    ]);
}

#[test]
fn digests() {
    check_all(&[
        ("return md5('abc')", "900150983cd24fb0d6963f7d28e17f72"),
        (
            "return sha1('abc')",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
        ),
        // RFC 2202 and 4231, test case 2.
        (
            "return hmac('md5', 'Jefe', 'what do ya want for nothing?')",
            "750c783e6ab0b503eaa86e310a5db738",
        ),
        (
            "return hmac('sha1', 'Jefe', 'what do ya want for nothing?')",
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),
        (
            "return hmac('sha256', 'Jefe', 'what do ya want for nothing?')",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        // RFC 2202, test case 6: a key beyond a block.
        (
            r"return hmac('md5', ('\xaa'):rep(80), 'Test Using Larger Than Block-Size Key - Hash Key First')",
            "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd",
        ),
        (
            "x = hmac('sha3', 'a', 'b')",
            "! 4 test.lua:1: hmac: expected sha256, sha1 or md5",
        ),
        (
            "return base64.encode('a:b'), base64.decode('YTpi'), base64.decode('YTo=')",
            "YTpi a:b a:",
        ),
        (
            "return base64.decode('YTo'), base64.decode('?'), base64.encode('')",
            "a: nil ",
        ),
        ("return #base64.decode(base64.encode('\\0\\255'))", "2"),
        (
            "x = md5()",
            "! 4 test.lua:1: bad argument to 'md5' (string expected, got nil)",
        ),
    ]);
}

#[test]
fn json_there_and_back() {
    check_all(&[
        (
            "return jsonEncode({id=1, list={1,2.5,'x'}, ok=true})",
            r#"{"id":1,"list":[1,2.5,"x"],"ok":true}"#,
        ),
        (
            "return jsonEncode({}), jsonEncode(jsonObject({})), jsonEncode(jsonObject())",
            "[] {} {}",
        ),
        (
            "return jsonEncode(jsonDecode('{}')), jsonEncode(jsonDecode('[]'))",
            "{} []",
        ),
        (
            r#"return jsonEncode(jsonDecode('{"b":[],"a":{},"c":[null,1],"d":null}'))"#,
            r#"{"a":{},"b":[],"c":[null,1]}"#,
        ),
        (
            "return jsonEncode({a=null}), jsonEncode(null), jsonEncode(nil)",
            r#"{"a":null} null null"#,
        ),
        (
            "return jsonEncode(9007199254740993), jsonEncode(0/0), jsonEncode(1/0)",
            "9007199254740993 null null",
        ),
        (
            "return math.type(jsonDecode('5')), math.type(jsonDecode('5.0')), jsonDecode('12345678901234567890')",
            "integer float 12345678901234567000",
        ),
        ("return jsonDecode('null')", "nil"),
        (
            "local v, why = jsonDecode('{') return v, type(why)",
            "nil string",
        ),
        (r"return jsonEncode('a\xff')", "\"a\u{fffd}\""),
        ("return jsonEncode({[1]=1,[3]=3})", r#"{"1":1,"3":3}"#),
        (
            "return jsonEncode({a={1}}, true)",
            "{\n    \"a\": [\n        1\n    ]\n}",
        ),
        (
            "x = jsonEncode(print)",
            "! 4 test.lua:1: JSON: a function has none",
        ),
        (
            "x = jsonEncode({[{}]=1})",
            "! 4 test.lua:1: JSON: a table cannot be a member's name",
        ),
        (
            "x = jsonObject(setmetatable({}, {}))",
            "! 4 test.lua:1: jsonObject: the table has a metatable of its own",
        ),
        ("return jsonDecode('[1]')[1], jsonDecode('\"x\"')", "1 x"),
    ]);
}

#[test]
fn dates() {
    check_all(&[
        ("return date('Y-m-d H:i:s', 0)", "1970-01-01 00:00:00"),
        ("return date(FMT_D, T_DAY)", "1970-01-02"),
        (
            "return date(FMT_DT, strtotime('2026-11-22 13:05'))",
            "2026-11-22 13:05:00",
        ),
        (
            "return strtotime('+1 day', 0), strtotime('soon')",
            "86400 nil",
        ),
        (
            "return math.abs(strtotime('now') - os.time()) <= 1, #date(FMT_DT), date(nil, 0) == date(FMT_DT, 0), #date()",
            "true 19 true 19",
        ),
        (
            "x = date('Y', 1e300)",
            "! 4 test.lua:1: date: expected a time within the years -9999 to 9999",
        ),
        (
            "x = date(('Y'):rep(1000), 0)",
            "! 4 test.lua:1: date: format too long",
        ),
    ]);
}

#[test]
fn classes() {
    check(
        "local A = class() function A:init(x) self.x = x end function A:get() return self.x end
         local B = class(A) function B:get() return 'b' .. B.super.get(self) end
         return A:new(1):get(), B:new(2):get()",
        "1 b2",
    );
    check(
        "x = class(nil)",
        "! 4 test.lua:1: bad argument #1 to 'class' (table expected, got nil)",
    );
}

#[test]
fn settings() {
    check_all(&[
        (
            "return getConf('max_rate'), getConf('conf_max_rate')",
            "0 0",
        ),
        ("return getConf('nosuch'), getConf('nosuch', 7)", "nil 7"),
        (
            "setConf('my_limit', 5) return getConf('my_limit'), getConf('conf_my_limit')",
            "5 5",
        ),
        (
            "setConf{max_rate = 7, conf_a = true} return getConf('max_rate'), getConf('a')",
            "7 true",
        ),
        (
            "setConf('token', 'x')",
            "! 4 test.lua:1: setConf: conf_token cannot be set at run time",
        ),
        (
            "setConf('max_rate', 'x')",
            "! 4 test.lua:1: setConf: max_rate = \"x\": expected a whole number, 0 to 1000000, e.g. 100",
        ),
        (
            "setConf('a', {})",
            "! 4 test.lua:1: setConf: expected a name and a value",
        ),
    ]);
}

#[test]
fn logs() {
    let bench = Bench::new();
    bench
        .lines_of("logit('a\\nb') logit({1}, 'slow') logit(1, true, 'debug') logit('s', 'secure')");
    bench.lines_of("writeLog('ready') addLog({a=1}) logit(nil)");
    assert_eq!(
        *bench.lines.borrow(),
        [
            "trace: === REQ from [nil] a\\nb",
            "slow: === REQ from [nil] [1]",
            "debug: === REQ from [nil] 1",
            "trace: === REQ from [nil] secure: s",
            "server: === REQ ready",
            "debug: === REQ from [nil] {\"a\":1}",
            "trace: === REQ from [nil] nil",
        ]
    );
}

#[test]
fn ends_of_calls() {
    check_all(&[
        ("jdRet(1, 'bad id', '错')", "! 1 bad id"),
        ("jdRet(0, 5)", "5"),
        ("jdRet()", "nil"),
        ("jdRet(5)", "! 5 "),
        ("jdRet(1, {1})", "! 1 [1]"),
        (
            "jdRet('x')",
            "! 4 test.lua:1: bad argument #1 to 'jdRet' (a code, an integer, expected)",
        ),
        (
            "jdRet(1 << 40)",
            "! 4 test.lua:1: bad argument #1 to 'jdRet' (a code, an integer, expected)",
        ),
        (
            "jdRet(nil, 'text')",
            "! 4 test.lua:1: jdRet(nil, text): only in a call",
        ),
        (
            "local ok, e = pcall(jdRet, 1, 'd', 'm') return ok, e.code, e.detail, e.message, tostring(e)",
            "false 1 d m d",
        ),
        (
            "error({code=1, detail='x'})",
            "! 4 (error object is a table value)",
        ),
        ("error('x')", "! 4 test.lua:1: x"),
    ]);
}
