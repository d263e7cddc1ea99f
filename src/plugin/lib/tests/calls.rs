//! Calls, objects, shapes, and the env that they get.

use super::*;
use crate::message::plugin::SessionUse;

const NONE: Value = Value::Null;

#[track_caller]
fn check_call(body: &str, get: Value, post: Value, expect: &str) {
    let bench = Bench::new();
    bench
        .load(&format!("function api_x(env) {body} end"))
        .expect("loads");
    assert_eq!(bench.answer_of("x", get, post), expect, "{body}");
}

#[test]
fn what_plugins_offer() {
    let table = Bench::new()
        .load(
            "function api_hello() end api_none = 5 function retfn_csv() end X_RET_FN = 'retfn_csv'
             local Base = class(JDApiBase) function Base:api_query() end
             AC_Order = class(Base) function AC_Order:api_pay() end function AC_Order:other() end
             AC_Plain = { api_get = function() end }",
        )
        .expect("loads");
    let names = |names: &[Box<str>]| names.join(" ");
    assert_eq!(names(&table.calls), "Order.pay Order.query Plain.get hello");
    assert_eq!(names(&table.objects), "Order Plain");
    assert_eq!(names(&table.shapes), "csv");
    assert_eq!(table.default_shape.as_deref(), Some("csv"));
    for (source, wrong) in [
        (
            "function api_push() end",
            "api_push: the call push is the daemon's own",
        ),
        (
            "AC_Timer = class(JDApiBase)",
            "AC_Timer: the object Timer is the daemon's own",
        ),
        (
            "AC_order = {}",
            "AC_order: an object's name begins with a capital",
        ),
        ("x(", "api.lua:1: unexpected symbol near <eof>"),
        ("x()", "api.lua:1: attempt to call a nil value (global 'x')"),
        ("jdRet(1, 'no')", "no"),
    ] {
        assert_eq!(Bench::new().load(source).unwrap_err(), wrong);
    }
}

#[test]
fn answers() {
    check_call("return {id=1}", NONE, NONE, r#"[0,{"id":1}]"#);
    check_call("", NONE, NONE, "[0,null]");
    check_call("return null", NONE, NONE, "[0,null]");
    check_call("return jsonObject({})", NONE, NONE, "[0,{}]");
    check_call("jdRet(0, {1})", NONE, NONE, "[0,[1]]");
    check_call("jdRet(1, 'd', 'm')", NONE, NONE, r#"[1,"m","d"]"#);
    check_call("jdRet(5, 'd')", NONE, NONE, r#"[5,"禁止操作","d"]"#);
    check_call(
        "error('x')",
        NONE,
        NONE,
        r#"[4,"服务器错误","api.lua:1: x"]"#,
    );
    check_call(
        "return print",
        NONE,
        NONE,
        r#"[4,"服务器错误","JSON: a function has none"]"#,
    );
    let text = "text/plain; charset=UTF-8";
    check_call(
        "env:write('a') env:write(1) return 5",
        NONE,
        NONE,
        &format!("{text}: a1"),
    );
    check_call("jdRet(nil, {1})", NONE, NONE, &format!("{text}: [1]"));
    check_call("env:write('') ", NONE, NONE, &format!("{text}: "));
    check_call(
        "env:header('content-type', 'text/csv') env:write('a;b')",
        NONE,
        NONE,
        "text/csv: a;b",
    );
}

#[test]
fn parameters() {
    let get = json!({"id": "5", "name": "<b>", "q": "", "none": null, "flag": "yes", "_app": "emp2", "_ver": "a/1"});
    let post = json!({"id": "6", "q": "x", "list": ["<", 1], "n": 1.5, "items": "1:2,3:"});
    let check = |body: &str, expect: &str| check_call(body, get.clone(), post.clone(), expect);
    check("return env:param('id')", "[0,5]");
    check("return env:param('id', 9, 'P')", "[0,6]");
    check("return env:param('id', 9, {id=7})", "[0,7]");
    check("return env:param('name')", r#"[0,"&lt;b&gt;"]"#);
    check("return env._GET.name", r#"[0,"<b>"]"#);
    // An empty query value hides the body's; a null does not.
    check("return env:param('q', 'default')", r#"[0,"default"]"#);
    check("return env:param('none')", "[0,null]");
    check("return env:param('list')", r#"[0,["<",1]]"#);
    check("return env:param('list/s')", r#"[0,"[\"<\",1]"]"#);
    check("return env:param('n'), 1", "[0,1.5]");
    check("return env:param('flag/b')", "[0,true]");
    check("return env:param('items/i:n?')", "[0,[[1,2],[3,null]]]");
    check("return env:mparam('id')", "[0,5]");
    check(
        "local values = env:mparam({'none', 'id'}) return {tostring(values[1]), values[2]}",
        r#"[0,["nil",5]]"#,
    );
    check(
        "return env:mparam('code/s')",
        r#"[1,"缺少参数`code`","Bad Request - param `code` is missing"]"#,
    );
    check(
        "return env:mparam({'foo/i', 'code'})",
        r#"[1,"缺少参数`foo or code`","Bad Request - require param foo or code"]"#,
    );
    check(
        "return env:param('name/i')",
        r#"[1,"参数不正确","Bad Request - integer param `name`=`<b>`."]"#,
    );
    check(
        "x = env:param('name/zz')",
        r#"[4,"服务器错误","api.lua:1: unknown type `zz` for param `name`"]"#,
    );
    check(
        "x = env:param()",
        r#"[4,"服务器错误","api.lua:1: expected a parameter's name, e.g. id or name/i"]"#,
    );
    check(
        "env._POST = nil env._GET = {id='8'} return env:param('id')",
        "[0,8]",
    );
    check(
        "return {env.appName, env.appType, env.clientVer}",
        r#"[0,["emp2","emp","a/1"]]"#,
    );
    check_call(
        "return {env.appName, env.appType, tostring(env.clientVer)}",
        json!({"_app": "a b"}),
        json!([1]),
        r#"[0,["user","user","nil"]]"#,
    );
    for (app, kind) in [
        ("emp2", "emp"),
        ("emp-adm", "emp"),
        ("emp-adm2", "emp"),
        ("a-b-c", "a-b"),
        ("emp2-", "emp2-"),
    ] {
        let answer = format!("[0,\"{kind}\"]");
        check_call("return env.appType", json!({"_app": app}), NONE, &answer);
    }
    check_call(
        "return {env.appType, env.method, env.path, env.query, env.address}",
        json!({"_app": "user-adm"}),
        NONE,
        r#"[0,["user","POST","/x","a=1","10.0.0.1"]]"#,
    );
}

#[test]
fn headers() {
    check_call(
        "return {env:header('User-Agent'), env:header('x-a'), tostring(env:header('none')), env:header()['user-agent']}",
        NONE,
        NONE,
        r#"[0,["test","1, 2","nil","test"]]"#,
    );
    let bench = Bench::new();
    let source = "function api_x(env) env:header('X-B', 1) env:header('x-b', 2) env:header('Set-Cookie', 'a=1') env:header('Set-Cookie', 'b=2') end";
    bench.load(source).expect("loads");
    let (_, traces) = bench.call(event("x", NONE, NONE));
    let headers: Vec<String> = traces
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(headers, ["x-b: 2", "Set-Cookie: a=1", "Set-Cookie: b=2"]);
    for (given, wrong) in [
        ("'Content-Length', 1", "Content-Length cannot be set"),
        (
            "'Transfer-Encoding', 'x'",
            "Transfer-Encoding cannot be set",
        ),
        ("'Date', 'x'", "Date cannot be set"),
        ("'a b', 'x'", "a b cannot be set"),
        (
            "'X', 'a\\r\\nB: c'",
            "X: expected a value without line ends or other control characters",
        ),
        ("'X', ('x'):rep(20000)", "too many or too long ones"),
    ] {
        check_call(
            &format!("env:header({given})"),
            NONE,
            NONE,
            &format!(r#"[4,"服务器错误","api.lua:1: header: {wrong}"]"#),
        );
    }
}

#[test]
fn objects() {
    let bench = Bench::new();
    bench
        .load(
            "local Base = class(JDApiBase) function Base:api_get() return { id = self.env:mparam('id') } end
             AC_Order = class(Base) function AC_Order:onInit() self.n = 1 end
             function AC_Order:api_set() self.n = self.n + 1 return self.n + self:param('id') end
             AC_Own = class(JDApiBase) function AC_Own:init() self.a = 5 end function AC_Own:api_a() return self.a end
             AC_Plain = { api_get = function(self) return self.env.appName end }",
        )
        .expect("loads");
    let get = || json!({"id": 3});
    assert_eq!(bench.answer_of("Order.get", get(), NONE), r#"[0,{"id":3}]"#);
    // Each call has an object of its own.
    assert_eq!(bench.answer_of("Order.set", get(), NONE), "[0,5]");
    assert_eq!(bench.answer_of("Order.set", get(), NONE), "[0,5]");
    assert_eq!(bench.answer_of("Own.a", get(), NONE), "[0,5]");
    assert_eq!(bench.answer_of("Plain.get", get(), NONE), r#"[0,"user"]"#);
    assert_eq!(
        bench.answer_of("Order.nosuch", NONE, NONE),
        r#"[1,"接口不支持","Bad request - unknown ac: Order.nosuch"]"#
    );
}

#[test]
fn calls_within_calls() {
    let bench = Bench::with(Box::new(|op, _| match op {
        "call" => json!([true, 1]),
        _ => json!([true, 1, 1]),
    }));
    bench
        .load(
            "function api_inner(env) execOne('A') if env:param('fail') then jdRet(1, 'inner') end
               if env:param('zero') then jdRet(0, 'z') end return env:param('x') end
             function api_outer(env)
               local x = callSvcInt('inner', { x = 1 }, { y = 2 })
               local z = callSvcInt('inner', { zero = 1 })
               local ok, e = pcall(callSvcInt, 'inner', { fail = 1 })
               return { x, z, ok, e.code, callSvcInt('push', {}, {}), env:param('x') }
             end
             function api_fails() callSvcInt('inner', { fail = 1 }) end",
        )
        .expect("loads");
    assert_eq!(
        bench.answer_of("outer", json!({"x": "o"}), NONE),
        r#"[0,[1,"z",false,1,1,"o"]]"#
    );
    let statement = r#"database["exec","A",[]]"#;
    assert_eq!(
        *bench.asked.borrow(),
        [
            statement,
            statement,
            statement,
            r#"call["push",[],[]]"#,
            "endTransaction[true]"
        ]
    );
    bench.asked.take();
    assert_eq!(
        bench.answer_of("fails", NONE, NONE),
        r#"[1,"参数不正确","inner"]"#
    );
    assert_eq!(*bench.asked.borrow(), [statement, "endTransaction[false]"]);
}

#[test]
fn transactions_end_with_their_call() {
    let bench = Bench::with(Box::new(|op, args| match (op, args[0].as_bool()) {
        ("endTransaction", Some(true)) => json!([false, "disk full"]),
        _ => json!([true, 1, 1]),
    }));
    bench
        .load(
            "function api_none(env) table.insert(env.onAfterActions, function(e, ret) logit('after ' .. ret .. tostring(e == env)) end) return 5 end
             function api_commits(env) execOne('A') return 5 end
             function api_fails(env) execOne('A') table.insert(env.onAfterActions, error) error('x') end",
        )
        .expect("loads");
    assert_eq!(bench.answer_of("none", NONE, NONE), "[0,5]");
    assert!(bench.asked.borrow().is_empty());
    assert_eq!(
        *bench.lines.borrow(),
        ["trace: === REQ from [10.0.0.1] after 5true"]
    );
    assert_eq!(
        bench.answer_of("commits", NONE, NONE),
        r#"[3,"数据库错误","disk full"]"#
    );
    assert_eq!(
        bench.answer_of("fails", NONE, NONE),
        r#"[4,"服务器错误","api.lua:3: x"]"#
    );
    assert_eq!(bench.asked.borrow()[3], "endTransaction[false]");
}

#[test]
fn sessions() {
    let bench = Bench::with(Box::new(|op, args| {
        match (op, args[0].as_str(), args[1].as_str()) {
            ("session", Some("load"), Some("s1")) => json!([true, "s1", {"uid": 7}]),
            ("session", Some("load"), _) => json!([true, "new", {}]),
            _ => json!([true]),
        }
    }));
    bench
        .load(
            "function api_read(env) env:session_start() return env._SESSION.uid end
             function api_write(env) env:session_start() env._SESSION.uid = 8 end
             function api_fails(env) env:session_start() env._SESSION.tries = 1 jdRet(-1, 'bad password') end
             function api_empty(env) env:session_start() env._SESSION = {} end
             function api_destroy(env) env:session_start() env:session_destroy() return tostring(env._SESSION) end
             function api_inner(env) env:session_start() env._SESSION.x = 1 end
             function api_outer(env) callSvcInt('inner') env:session_start() return env._SESSION end",
        )
        .expect("loads");
    let check = |action: &str, get: Value, answer: &str, asked: &[&str]| {
        bench.asked.take();
        assert_eq!(bench.answer_of(action, get, NONE), answer, "{action}");
        assert_eq!(*bench.asked.borrow(), asked, "{action}");
    };
    let load = r#"session["load","s1"]"#;
    check("read", NONE, "[0,7]", &[load]);
    let stored = r#"session["store","s1",{"uid":8},[],false]"#;
    check("write", NONE, "[0,null]", &[load, stored]);
    let stored = r#"session["store","s1",{"tries":1},[],false]"#;
    check(
        "fails",
        NONE,
        r#"[-1,"认证失败","bad password"]"#,
        &[load, stored],
    );
    let stored = r#"session["store","s1",{},["uid"],false]"#;
    check("empty", NONE, "[0,null]", &[load, stored]);
    let destroyed = r#"session["destroy","s1"]"#;
    check("destroy", NONE, r#"[0,"nil"]"#, &[load, destroyed]);
    let stored = r#"session["store","s1",{"x":1},[],false]"#;
    check("outer", NONE, r#"[0,{"uid":7,"x":1}]"#, &[load, stored]);
    // Another app has another cookie, and a new session sends it.
    let app = json!({"_app": "emp"});
    check("read", app.clone(), "[0,null]", &["session[\"load\",null]"]);
    let (_, traces) = bench.call(event("read", app, NONE));
    assert_eq!(
        traces.headers,
        [(
            "Set-Cookie".into(),
            "empid=new; Path=/; HttpOnly; SameSite=Lax".into()
        )]
    );
    let (_, traces) = bench.call(event("read", NONE, NONE));
    assert!(traces.headers.is_empty());
}

#[test]
fn who_is_logged_in_is_told_with_the_answer() {
    let bench = Bench::with(Box::new(|op, args| {
        match (op, args[0].as_str(), args[1].as_str()) {
            ("session", Some("load"), Some("s1")) => json!([true, "s1", {"uid": 7}]),
            ("session", Some("load"), _) => json!([true, "new", {}]),
            _ => json!([true]),
        }
    }));
    bench
        .load(
            "function api_none() end
             function api_x(env) env:session_start() env._SESSION[env._GET.key] = env._GET.value end
             function api_fails(env) env:session_start() env._SESSION.uid = 9 error('x') end
             function api_logout(env) env:session_start() env:session_destroy() end
             function api_odd(env) env:session_start() env._SESSION = setmetatable({}, { __index = { uid = 5 } }) end",
        )
        .expect("loads");
    let check = |action: &str, app: &str, key: &str, value: Value, want: Option<SessionUse>| {
        let get = json!({"_app": app, "key": key, "value": value});
        let (_, traces) = bench.call(event(action, get, NONE));
        assert_eq!(
            traces.session.map(|session| *session),
            want,
            "{action} {app}"
        );
    };
    let old = |user| {
        Some(SessionUse {
            id: "s1".into(),
            user,
            cookie: None,
        })
    };
    let new = |app: &str, user| {
        Some(SessionUse {
            id: "new".into(),
            user,
            cookie: Some(format!("{app}id=new").into()),
        })
    };
    check("none", "user", "", json!(1), None);
    check("x", "user", "a", json!(1), old(Some(7)));
    check("x", "user2", "uid", json!("8"), old(Some(8)));
    check("fails", "user", "", json!(1), old(Some(9)));
    // Who logs out was logged in.
    check("logout", "user", "", json!(1), old(Some(7)));
    check("odd", "user", "", json!(1), old(Some(7)));
    check("x", "emp", "empId", json!(3), new("emp", Some(3)));
    check("x", "emp-adm", "empId", json!(3.0), new("emp", Some(3)));
    check("x", "store1", "empId", json!(4), new("store", Some(4)));
    check("x", "admin", "adminId", json!(5), new("admin", Some(5)));
    check("x", "wx", "wxId", json!(6), new("wx", Some(6)));
    check("x", "wx", "uid", json!(6), new("wx", Some(6)));
    check("x", "emp", "adminId", json!(6), new("emp", None));
    check("x", "admin", "adminId", json!("root"), new("admin", None));
    check("x", "admin", "adminId", json!([1]), new("admin", None));
}

#[test]
fn rights() {
    let bench = Bench::new();
    bench
        .load(
            "perms = 0 function onGetPerms(env) return perms end
             function api_has(env) perms = env._GET.p return { hasPerm(AUTH_USER | AUTH_ADMIN), env:hasPerm('x'), hasPerm(AUTH_GUEST) } end
             function api_auth(env) perms = env._GET.p checkAuth(AUTH_EMP | AUTH_ADMIN) return 1 end
             function api_named(env) perms = env._GET.p env:checkAuth('item') return 1 end
             function api_any(env) perms = env._GET.p env:checkAuth({'a', 'item'}) return 1 end",
        )
        .expect("loads");
    for (action, perms, answer) in [
        ("has", json!(0), "[0,[false,false,true]]"),
        ("has", json!(4), "[0,[true,false,true]]"),
        ("has", json!(["x", "y"]), "[0,[false,true,true]]"),
        ("auth", json!(2), "[0,1]"),
        (
            "auth",
            json!(0),
            r#"[2,"未登录","require auth: employee|admin"]"#,
        ),
        (
            "auth",
            json!(1),
            r#"[5,"禁止操作","require auth: employee|admin"]"#,
        ),
        ("named", json!(["item"]), "[0,1]"),
        ("named", json!("a,item"), "[0,1]"),
        ("any", json!(["item"]), "[0,1]"),
        (
            "any",
            json!(["b"]),
            r#"[5,"禁止操作","require auth: a|item"]"#,
        ),
        ("named", json!([]), r#"[2,"未登录","require auth: item"]"#),
        (
            "named",
            json!(["a"]),
            r#"[5,"禁止操作","require auth: item"]"#,
        ),
    ] {
        assert_eq!(
            bench.answer_of(action, json!({"p": perms}), NONE),
            answer,
            "{action} {perms}"
        );
    }
    check("x = hasPerm(1)", "! 4 test.lua:1: hasPerm: only in a call");
    check_call("return hasPerm(1)", NONE, NONE, "[0,false]");
}

#[test]
fn shapes() {
    let bench = Bench::new();
    let table = bench
        .load(
            "function retfn_csv(ret, env) env:header('Content-Type', 'text/csv') return table.concat(ret[2], ';') .. env._GET.a end
             function retfn_obj2(ret) return { code = ret[1], data = ret[2] } end
             function retfn_none() end
             function X_RET_FN(ret) return 'default' end",
        )
        .expect("loads");
    assert_eq!(table.default_shape.as_deref(), Some("X_RET_FN"));
    let write = |name: &str| {
        let request = event("", NONE, NONE).request;
        let begun = bench
            .library
            .shape(&bench.sandbox, name, &json!([0, [1, 2]]), request);
        let (function, args, run) = match begun {
            Ok(begun) => begun,
            Err(error) => return error.detail.into_owned(),
        };
        let outcome = bench.drive(&function, args);
        match bench.library.finish_run(&bench.sandbox, &run, outcome).0 {
            Ok(Data::Page(page)) => format!(
                "{}: {}",
                page.content_type,
                String::from_utf8_lossy(&page.body)
            ),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(write("csv"), "text/csv: 1;21");
    assert_eq!(
        write("obj2"),
        "text/plain; charset=UTF-8: {\"code\":0,\"data\":[1,2]}\n"
    );
    assert_eq!(write("none"), "text/plain; charset=UTF-8: ");
    assert_eq!(write("X_RET_FN"), "text/plain; charset=UTF-8: default");
    assert_eq!(write("nosuch"), "no retfn_nosuch");
}
