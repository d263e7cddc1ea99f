use super::*;
use serde_json::json;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn built(fields: Value) -> Result<CallbackRequest, CallError> {
    build(fields.as_object().expect("an object"))
}

#[track_caller]
fn check(fields: Value, method: &str, url: &str, headers: &[(&str, &str)], body: Option<&str>) {
    let request = built(fields).expect("right");
    let given: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let text = request
        .body
        .as_ref()
        .map(|body| String::from_utf8_lossy(body));
    assert_eq!((&*request.method, &*request.url), (method, url));
    assert_eq!(given, headers);
    assert_eq!(text.as_deref(), body);
}

#[track_caller]
fn check_error(fields: Value, detail: &str) {
    let error = built(fields).expect_err("wrong");
    assert_eq!((error.code, &*error.detail), (1, detail));
}

/// The recorded cases timer/get-now to timer/data-encoding.
#[test]
fn as_recorded() {
    let u = "http://h/e";
    check(
        json!({"url": "http://h:81/echo.php?a=1&b=2"}),
        "GET",
        "http://h:81/echo.php?a=1&b=2",
        &[],
        None,
    );
    check(
        json!({"url": "http://h/e?a=1", "data": {"c": "3", "d": "4"}}),
        "POST",
        "http://h/e?a=1",
        &[FORM],
        Some("c=3&d=4"),
    );
    check(
        json!({"url": u, "data": {"c": 3, "d": 4}, "useJson": 1, "headers": ["Authorization: Basic dGVzdDp0ZXN0MTIz"]}),
        "POST",
        u,
        &[("Authorization", "Basic dGVzdDp0ZXN0MTIz"), JSON],
        Some("{\"c\":3,\"d\":4}"),
    );
    let gb = ("Content-Type", "application/json; charset=gb2312");
    check(
        json!({"url": u, "data": {"c": 3}, "useJson": 1, "headers": ["Content-Type: application/json; charset=gb2312"]}),
        "POST",
        u,
        &[gb],
        Some("{\"c\":3}"),
    );
    check(
        json!({"url": u, "data": "b=2&c=3"}),
        "POST",
        u,
        &[FORM],
        Some("b=2&c=3"),
    );
    check(
        json!({"url": u, "data": "[10,20]", "useJson": 1, "headers": ["x-hello: world"]}),
        "POST",
        u,
        &[("x-hello", "world"), JSON],
        Some("[10,20]"),
    );
    check(
        json!({"url": u, "cron": null, "data": "{\"id\":1}", "headers": ["Content-Type: application/json"]}),
        "POST",
        u,
        &[JSON],
        Some("{\"id\":1}"),
    );
    check(
        json!({"url": u, "data": {"a": "1"}, "useJson": "1", "headers": ["X-A: 1", "X-B: 2"]}),
        "POST",
        u,
        &[("X-A", "1"), ("X-B", "2"), JSON],
        Some("{\"a\":\"1\"}"),
    );
    check(
        json!({"url": u, "data": ["a", "b"]}),
        "POST",
        u,
        &[FORM],
        Some("0=a&1=b"),
    );
    check(json!({"url": u, "data": []}), "POST", u, &[FORM], Some(""));
    check(json!({"url": u, "data": ""}), "POST", u, &[FORM], Some(""));
    check(json!({"url": u, "data": 5}), "POST", u, &[FORM], Some("5"));
    check(
        json!({"url": u, "data": {"a": "中/<", "b": [], "c": 1.5}, "useJson": true}),
        "POST",
        u,
        &[JSON],
        Some("{\"a\":\"中/<\",\"b\":[],\"c\":1.5}"),
    );
    check(
        json!({"url": u, "data": {"a": 1}, "useJson": "0"}),
        "POST",
        u,
        &[FORM],
        Some("a=1"),
    );
    check(
        json!({"url": u, "useJson": 1, "headers": ["X-B:2"]}),
        "GET",
        u,
        &[("X-B", "2")],
        None,
    );
    check(
        json!({"url": "http://h/n?b=1#frag"}),
        "GET",
        "http://h/n?b=1",
        &[],
        None,
    );
    for fields in [
        json!({}),
        json!({"url": null}),
        json!({"url": ""}),
        json!({"url": " "}),
    ] {
        let error = built(fields).expect_err("missing");
        assert_eq!(
            (error.code, &*error.message, &*error.detail),
            (1, "缺少参数`url`", "require param `url`")
        );
    }
}

#[test]
fn null_is_absent() {
    check(
        json!({"url": "h", "data": null, "headers": null, "useJson": null, "method": null}),
        "GET",
        "http://h/",
        &[],
        None,
    );
    check(
        json!({"url": "h", "headers": "", "useJson": "", "method": ""}),
        "GET",
        "http://h/",
        &[],
        None,
    );
    check(
        json!({"url": "h", "headers": [null, "", "A: 1"]}),
        "GET",
        "http://h/",
        &[("A", "1")],
        None,
    );
}

#[test]
fn scalars_as_text() {
    let body = |data: Value, use_json: bool| {
        built(json!({"url": "h", "data": data, "useJson": use_json})).map(|r| r.body)
    };
    for (data, form, json) in [
        (json!(1.5), "1.5", "1.5"),
        (
            json!(12345678901234567890123u128),
            "12345678901234567890123",
            "12345678901234567890123",
        ),
        (json!(true), "1", "true"),
        (json!(false), "0", "false"),
        (json!("é"), "é", "é"),
    ] {
        assert_eq!(body(data.clone(), false), Ok(Some(form.as_bytes().into())));
        assert_eq!(body(data, true), Ok(Some(json.as_bytes().into())));
    }
}

#[test]
fn methods() {
    let method = |given: &str, data: Value| {
        built(json!({"url": "h", "method": given, "data": data}))
            .map(|r| r.method.into_string())
            .ok()
    };
    assert_eq!(method("put", json!({})).as_deref(), Some("PUT"));
    assert_eq!(method("DELETE", json!(null)).as_deref(), Some("DELETE"));
    assert_eq!(method("get", json!("x")).as_deref(), Some("GET"));
    assert_eq!(method("X-Y", json!(null)).as_deref(), Some("X-Y"));
    for given in [
        "connect",
        "GET /x HTTP/1.1\r\n",
        "A B",
        "é",
        &"M".repeat(33),
    ] {
        assert_eq!(method(given, json!(null)), None, "{given:?}");
    }
}

#[test]
fn user_and_password_become_basic() {
    let basic = |url: &str| {
        built(json!({"url": url})).map(|r| (r.url.into_string(), r.headers[0].1.to_string()))
    };
    let is = |value: &str| Ok(("http://h/".to_owned(), value.to_owned()));
    assert_eq!(basic("http://test:test123@h"), is("Basic dGVzdDp0ZXN0MTIz"));
    assert_eq!(basic("http://us%40er:@h/"), is("Basic dXNAZXI6"));
    assert_eq!(basic("http://user@h/"), is("Basic dXNlcjo="));
    check(
        json!({"url": "http://a:b@h/", "headers": ["authorization: Bearer x"]}),
        "GET",
        "http://h/",
        &[("authorization", "Bearer x")],
        None,
    );
}

#[test]
fn headers_in_any_shape() {
    let want = &[("X-A", "1: 2"), ("X-B", "")];
    for headers in [
        json!(["X-A:  1: 2 ", "X-B:"]),
        json!({"0": "X"}),
        json!({"X-A": "1: 2", "X-B": "", "X-C": null}),
    ] {
        let is_own = headers.get("0").is_some() && headers.is_object();
        let want: &[(&str, &str)] = if is_own { &[("0", "X")] } else { want };
        check(
            json!({"url": "h", "headers": headers}),
            "GET",
            "http://h/",
            want,
            None,
        );
    }
    check(
        json!({"url": "h", "headers": "X-A: 1"}),
        "GET",
        "http://h/",
        &[("X-A", "1")],
        None,
    );
    check(
        json!({"url": "h", "headers": {"X-N": 5}}),
        "GET",
        "http://h/",
        &[("X-N", "5")],
        None,
    );
    check(
        json!({"url": "h", "headers": ["X: é"]}),
        "GET",
        "http://h/",
        &[("X", "é")],
        None,
    );
    check(
        json!({"url": "h", "headers": ["Host: a", "host: b:81"]}),
        "GET",
        "http://h/",
        &[("host", "b:81")],
        None,
    );
}

#[test]
fn framing_headers_are_dropped() {
    for name in [
        "Content-Length",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "Upgrade",
        "TE",
        "Trailer",
        "Proxy-Connection",
        "proxy-authorization",
        "Expect",
        "HTTP2-Settings",
    ] {
        check(
            json!({"url": "h", "headers": [format!("{name}: 5")]}),
            "GET",
            "http://h/",
            &[],
            None,
        );
    }
}

#[test]
fn injected_lines_are_refused() {
    for line in [
        "A: b\r\nC: d",
        "A: b\n",
        "A: \0",
        "A: \u{7f}",
        "A\r\nB: c",
        "A B: c",
        ": c",
        "é: c",
        "A",
        "(: x",
    ] {
        let error = built(json!({"url": "h", "headers": [line]})).expect_err(line);
        assert!(
            error.code == 1 && error.detail.contains("expected"),
            "{error:?}"
        );
        assert!(!error.detail.contains(['\r', '\n', '\0']), "{error:?}");
    }
    assert!(built(json!({"url": "h", "headers": {"A": "b\r\nC: d"}})).is_err());
    assert!(built(json!({"url": "h", "headers": {"A\r\nB": "x"}})).is_err());
    assert!(built(json!({"url": "h", "headers": [["A: b"]]})).is_err());
    assert!(built(json!({"url": "h", "headers": ["Host: a/b"]})).is_err());
}

#[test]
fn bounds() {
    let long = format!("A: {}", "x".repeat(CALLBACK_HEADER_BYTES_MAX));
    assert!(built(json!({"url": "h", "headers": [long]})).is_err());
    let many = vec!["A: b"; CALLBACK_HEADERS_MAX + 1];
    assert!(built(json!({"url": "h", "headers": many})).is_err());
    assert!(built(json!({"url": "h", "headers": vec!["A: b"; CALLBACK_HEADERS_MAX]})).is_ok());
    let wide = vec![format!("A: {}", "x".repeat(8_000)); 5];
    assert!(built(json!({"url": "h", "headers": wide})).is_err());
    let grows = json!({"k".repeat(20_000): vec![1; 1_000]});
    let error = built(json!({"url": "h", "data": grows})).expect_err("20 MB");
    assert!(error.detail.contains("at most 16777216 bytes"), "{error:?}");
}

#[test]
fn errors_say_what_is_right() {
    check_error(
        json!({"url": "ftp://h/x"}),
        "Bad Request - param `url`=`ftp://h/x`: expected a URL that begins with http:// or https://",
    );
    check_error(
        json!({"url": ["h"]}),
        "Bad Request - param `url`=`[\"h\"]`: expected a text",
    );
    check_error(
        json!({"url": "h", "useJson": "maybe"}),
        "Bad Request - bool param `useJson`=`maybe`.",
    );
    check_error(
        json!({"url": "h", "useJson": 2}),
        "Bad Request - bool param `useJson`=`2`.",
    );
    check_error(
        json!({"url": "h", "headers": ["A"]}),
        "Bad Request - param `headers`=`A`: expected lines as `Name: value`",
    );
}

#[test]
fn the_host_is_what_the_dispatch_queues_by() {
    for (url, host) in [
        ("HTTP://A.b/", "a.b:80"),
        ("https://a.b", "a.b:443"),
        ("[::1]:5", "[::1]:5"),
    ] {
        assert_eq!(
            built(json!({"url": url})).map(|r| r.host.into_string()),
            Ok(host.to_owned())
        );
    }
}
