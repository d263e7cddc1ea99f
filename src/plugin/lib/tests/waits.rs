//! Functions that wait, and what they ask for.

use super::*;

#[track_caller]
fn check_op(source: &str, answer: Value, asked: &[&str], expect: &str) {
    let bench = Bench::with(Box::new(move |_, _| answer.clone()));
    assert_eq!(bench.lines_of(source), expect, "{source}");
    assert_eq!(*bench.asked.borrow(), asked, "{source}");
}

#[test]
fn times() {
    check_op("sleep(5)", json!([]), &["sleep[5]"], "");
    check_op(
        "return setTimeoutLocal(5, print)",
        json!([7]),
        &["timer[5,null,false]"],
        "7",
    );
    check_op(
        "return setIntervalLocal(5, print)",
        json!([7]),
        &["timer[5,null,true]"],
        "7",
    );
    check_op(
        "return clearIntervalLocal(7)",
        json!([true]),
        &["clearTimer[7]"],
        "true",
    );
    check_op("safeGo(print, 1)", json!([]), &["timer[0,null,false]"], "");
    for (source, wrong) in [
        (
            "sleep(-1)",
            "bad argument #1 to 'sleep' (milliseconds expected)",
        ),
        (
            "sleep(0/0)",
            "bad argument #1 to 'sleep' (milliseconds expected)",
        ),
        (
            "sleep('x')",
            "bad argument #1 to 'sleep' (milliseconds expected)",
        ),
        (
            "safeGo(1)",
            "bad argument #1 to 'safeGo' (function expected, got number)",
        ),
        (
            "setTimeoutLocal(1)",
            "bad argument #2 to 'setTimeoutLocal' (function expected, got nil)",
        ),
    ] {
        check(source, &format!("! 4 test.lua:1: {wrong}"));
    }
}

#[test]
fn urls() {
    check_op(
        "return httpCall('http://h/', {a=1}, {headers={'A: b'}, useJson=true, timeout=2, method='PUT'})",
        json!([[{"body": "x", "status": 200}]]),
        &[
            r#"http[[{"data":{"a":1},"headers":["A: b"],"method":"PUT","timeout":2,"url":"http://h/","useJson":true}]]"#,
        ],
        "x 200",
    );
    check_op(
        "return httpCall('http://h/')",
        json!([[{"error": "refused"}]]),
        &[r#"http[[{"url":"http://h/"}]]"#],
        "nil refused",
    );
    check_op(
        "return jsonEncode(httpCall({'http://a/', {url='http://b/', data='x', timeout=1}}, nil, {timeout=9, method='GET'}))",
        json!([[{"body": "x", "status": 200}, {"error": "no"}]]),
        &[
            r#"http[[{"method":"GET","timeout":9,"url":"http://a/"},{"data":"x","method":"GET","timeout":1,"url":"http://b/"}]]"#,
        ],
        r#"[{"body":"x","status":200},{"error":"no"}]"#,
    );
    check_op("return #httpCall({})", json!([]), &[], "0");
    check("httpCall()", "! 4 test.lua:1: httpCall: expected a URL");
    check("httpCall({{}})", "! 4 test.lua:1: httpCall: expected a URL");
    check(
        "local t = {} for i = 1, 1001 do t[i] = 'http://h/' end httpCall(t)",
        "! 4 test.lua:1: httpCall: expected at most 1000 URLs",
    );
}

#[test]
fn calls_of_the_server() {
    check_op(
        "return pushMsg('app1', {'a', 'b*'}, {id=1})",
        json!([true, 3]),
        &[r#"call["push",[],{"app":"app1","msg":{"id":1},"user":["a","b*"]}]"#],
        "3",
    );
    check_op(
        "return #getUsers('app1')",
        json!([true, ["a", "b"]]),
        &[r#"call["getUsers",[],{"app":"app1"}]"#],
        "2",
    );
    check_op(
        "return callSvcInt('Timer.get', {id=1})",
        json!([false, 1, "参数不正确", "bad timer"]),
        &[r#"call["Timer.get",{"id":1},[]]"#],
        "! 1 bad timer",
    );
    check_op(
        "local ok, e = pcall(callSvcInt, 'x') return ok, e.code, e.message",
        json!([false, 1, "接口不支持", "no x"]),
        &[r#"call["x",[],[]]"#],
        "false 1 接口不支持",
    );
    check(
        "callSvcInt()",
        "! 4 test.lua:1: bad argument #1 to 'callSvcInt' (string expected, got nil)",
    );
}

#[test]
fn handlers_are_found_by_their_event() {
    let bench = Bench::with(Box::new(|op, _| match op {
        "wsPush" => json!([true, 1]),
        _ => json!([]),
    }));
    let table = bench
        .load(
            r#"seen = {}
            on("push.app1", function(user, msg) seen[#seen + 1] = { user, msg } end)
            on("push.app1", function(user) seen[#seen + 1] = 2 end)
            on("message.a.b", function(ws, frame)
              local taken = ws:push(frame.fd, { re = frame.req and frame.req.x })
              ws:disconnect(frame.fd, 1001, "bye")
              seen = { frame.app, frame.user, frame.data, frame.req == frame.req, frame.none, taken }
            end)"#,
        )
        .expect("loads");
    assert_eq!(table.events[0], ["app1".into()]);
    assert_eq!(table.events[1], ["a.b".into()]);
    use crate::message::plugin::EventKind;
    let push = bench
        .library
        .handlers(EventKind::Push, "app1")
        .expect("handled");
    assert_eq!(push.len(), 2);
    for handler in push.iter() {
        let args = bench
            .library
            .push_arguments(&bench.sandbox, &json!("u"), "m")
            .expect("memory");
        handle(&bench, handler, args).expect("runs");
    }
    assert_eq!(
        bench.lines_of("return jsonEncode(seen)"),
        r#"[["u","m"],2]"#
    );
    assert!(bench.library.handlers(EventKind::Push, "other").is_none());
    let message = bench
        .library
        .handlers(EventKind::Message, "a.b")
        .expect("handled");
    for (data, seen) in [
        (r#"{"x":5}"#, r#"["a.b","u","{\"x\":5}",true,null,true]"#),
        ("no", r#"["a.b","u","no",true,null,true]"#),
    ] {
        let args = bench
            .library
            .socket_arguments(&bench.sandbox, "a.b", "u", 9, data)
            .expect("memory");
        handle(&bench, &message[0], args).expect("runs");
        let source = "return jsonEncode(arrMap({1,2,3,4,5,6}, function(i) return seen[i] end))";
        assert_eq!(bench.lines_of(source), seen);
    }
    assert_eq!(
        bench.asked.borrow()[..2],
        [r#"wsPush[9,"{\"re\":5}"]"#, r#"wsDisconnect[9,1001,"bye"]"#]
    );
    assert_eq!(
        bench.lines_of("on('push.x', print)"),
        "! 4 test.lua:1: on: only while plugins load"
    );
}

#[test]
fn events_of_other_names_do_not_load() {
    for name in ["push", "push.", "puhs.app1", "Push.app1", ".app", ""] {
        let outcome = Bench::new().load(&format!("on('{name}', print)"));
        assert_eq!(
            outcome.unwrap_err(),
            format!(
                "api.lua:1: on(\"{name}\"): expected \"push.APP\", \"message.APP\", \"open.APP\" or \"close.APP\""
            )
        );
    }
    assert_eq!(
        Bench::new().load("on('push.a')").unwrap_err(),
        "api.lua:1: bad argument #2 to 'on' (function expected, got nil)"
    );
}

fn database(rows: Value) -> impl Fn(&str, Value) {
    move |source, expect| {
        let rows = rows.clone();
        let bench = Bench::with(Box::new(move |_, _| rows.clone()));
        let result = bench.lines_of(source);
        let asked = bench.asked.borrow().join(" ");
        assert_eq!(json!([result, asked]), expect, "{source}");
    }
}

#[test]
fn queries() {
    let rows = database(json!([true, [{"id": 1, "name": "a"}, {"id": 2}], 2]));
    rows(
        "return jsonEncode(queryAll('SELECT', {5}))",
        json!([
            r#"[{"id":1,"name":"a"},{"id":2}]"#,
            r#"database["query","SELECT",[5]]"#
        ]),
    );
    rows(
        "return queryOne('SELECT').name",
        json!(["a", r#"database["query","SELECT",[]]"#]),
    );
    rows(
        "return queryOne('SELECT', 5).id",
        json!(["1", r#"database["query","SELECT",[5]]"#]),
    );
    let single = database(json!([true, [{"n": 3}], 1]));
    let asked = r#"database["query","S",[]]"#;
    single("return queryOne('S')", json!(["3", asked]));
    single("return queryOne('S', nil, true).n", json!(["3", asked]));
    single("return queryOne('S', true).n", json!(["3", asked]));
    let none = database(json!([true, [], 1]));
    none("return queryOne('S')", json!(["nil", asked]));
    none("return #queryAll('S')", json!(["0", asked]));
    let broken = database(json!([false, "no such table: x"]));
    broken("queryAll('S')", json!(["! 3 no such table: x", asked]));
    check("queryAll()", "! 4 test.lua:1: expected an SQL statement");
}

#[test]
fn changes() {
    let done = database(json!([true, 2, 11]));
    done(
        "return execOne('DELETE', {1})",
        json!(["2", r#"database["exec","DELETE",[1]]"#]),
    );
    done(
        "return execOne('INSERT', true)",
        json!(["11", r#"database["exec","INSERT",[]]"#]),
    );
    done(
        "return dbInsert('Ordr', {userId=5, name=null, amount=9.5})",
        json!([
            "11",
            r#"database["exec","INSERT INTO `Ordr` (`amount`,`name`,`userId`) VALUES (?,?,?)",[9.5,null,5]]"#
        ]),
    );
    for (cond, sql) in [
        ("5", r#"WHERE id=?",["x",5]"#),
        ("'5'", r#"WHERE id=?",["x",5]"#),
        ("' -5'", r#"WHERE id=?",["x",-5]"#),
        ("{b=1,a=null}", r#"WHERE `a` IS NULL AND `b`=?",["x",1]"#),
        ("'id=? OR id=?', {5,6}", r#"WHERE id=? OR id=?",["x",5,6]"#),
        ("'ALL'", r#"",["x"]"#),
    ] {
        let sql = match sql.strip_prefix("\"") {
            Some(rest) => format!("\"{rest}"),
            None => format!(" {sql}"),
        };
        done(
            &format!("return dbUpdate('db.T', {{n='x'}}, {cond})"),
            json!([
                "2",
                format!(r#"database["exec","UPDATE `db`.`T` SET `n`=?{sql}]"#)
            ]),
        );
    }
    for (source, wrong) in [
        (
            "dbInsert('a;b', {x=1})",
            "`a;b`: expected a table's or column's name, letters, digits and _",
        ),
        (
            "dbInsert('T', {['x`']=1})",
            "`x``: expected a table's or column's name, letters, digits and _",
        ),
        (
            "dbInsert('', {x=1})",
            "``: expected a table's or column's name, letters, digits and _",
        ),
        ("dbInsert('T', {})", "dbInsert: expected a row with columns"),
        (
            "dbInsert('T', {5})",
            "expected columns by name, got a integer",
        ),
        (
            "dbUpdate('T', {x=1})",
            "dbUpdate: expected a condition, or \"ALL\" for all rows",
        ),
        (
            "dbUpdate('T', {x=1}, '')",
            "dbUpdate: expected a condition, or \"ALL\" for all rows",
        ),
        (
            "dbUpdate('T', {x=1}, {})",
            "dbUpdate: expected a condition, or \"ALL\" for all rows",
        ),
    ] {
        check(source, &format!("! 4 test.lua:1: {wrong}"));
    }
}
