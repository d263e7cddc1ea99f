//! What a timer is to call, out of the fields of `setTimeout`: method, URL, headers, body
//! (contract 5, "The call"). Never when, and never how it is sent ([`crate::worker::callback`]).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use crate::call::error::CallError;
use crate::call::param::parse_bool;
use crate::limits::{
    CALLBACK_BODY_BYTES_MAX, CALLBACK_HEADER_BYTES_MAX, CALLBACK_HEADERS_BYTES_MAX,
    CALLBACK_HEADERS_MAX, METHOD_BYTES_MAX,
};
use crate::message::CallbackRequest;
use crate::proto::url::Url;
use crate::proto::{json, logtext, query, target, token};

type Headers = Vec<(Box<str>, Box<str>)>;

/// Checks the fields `url`, `data`, `headers`, `useJson` and `method`, and makes the request that
/// they ask for; other fields are not looked at. Null is as good as absent.
///
/// | field | shape |
/// |---|---|
/// | `url` | http or https, http where it names none; `user:password@` becomes Basic |
/// | `data` | text goes as it is, a list or object as a form, or as JSON with `useJson` |
/// | `headers` | a list of `Name: value`; an object or one line will do |
/// | `useJson` | as `/b` |
/// | `method` | a token in any case; GET without `data` and POST with it by default |
///
/// Headers that frame the message are dropped, for clients pass on what they once received.
///
/// Errors: code 1, what is wrong and what would be right.
pub fn build(fields: &Map<String, Value>) -> Result<CallbackRequest, CallError> {
    let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let url = match field("url") {
        None => return Err(missing_url()),
        Some(value) => scalar_text("url", value)?,
    };
    if url.trim_ascii().is_empty() {
        return Err(missing_url());
    }
    let url = Url::parse(&url).map_err(|error| wrong("url", &url, &error.to_string()))?;
    let use_json = use_json(field("useJson"))?;
    let body = match field("data") {
        Some(data) => Some(body_of(data, use_json)?),
        None => None,
    };
    let method = method_of(field("method"), body.is_some())?;
    let mut headers = match field("headers") {
        Some(given) => headers_of(given)?,
        None => Headers::new(),
    };
    let is_named = |headers: &Headers, name: &str| {
        headers
            .iter()
            .any(|(given, _)| given.eq_ignore_ascii_case(name))
    };
    if body.is_some() && !is_named(&headers, "Content-Type") {
        let mime = match use_json {
            true => "application/json",
            false => "application/x-www-form-urlencoded",
        };
        headers.push(("Content-Type".into(), mime.into()));
    }
    if let Some(user_information) = &url.user_information
        && !is_named(&headers, "Authorization")
    {
        let mut value = "Basic ".to_owned();
        BASE64.encode_string(user_information, &mut value);
        if !user_information.contains(&b':') {
            value.truncate("Basic ".len());
            BASE64.encode_string([user_information, &b":"[..]].concat(), &mut value);
        }
        headers.push(("Authorization".into(), value.into()));
    }
    Ok(CallbackRequest {
        method,
        host: url.place().into(),
        url: url.to_string().into(),
        headers,
        body,
    })
}

fn missing_url() -> CallError {
    CallError::with_message(1, "缺少参数`url`", "require param `url`")
}

/// What came, cut, and what should have come.
fn wrong(name: &str, given: &str, expected: &str) -> CallError {
    let given = logtext::log_text(given, 80);
    CallError::new(
        1,
        format!("Bad Request - param `{name}`=`{given}`: {expected}"),
    )
}

fn scalar_text<'v>(name: &str, value: &'v Value) -> Result<Cow<'v, str>, CallError> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Number(_) | Value::Bool(_) => Ok(Cow::Owned(json::to_text(value))),
        _ => Err(wrong(name, &json::to_text(value), "expected a text")),
    }
}

fn use_json(value: Option<&Value>) -> Result<bool, CallError> {
    let Some(value) = value else {
        return Ok(false);
    };
    let text = json::to_text(value);
    if text.is_empty() {
        return Ok(false);
    }
    parse_bool(&text)
        .ok_or_else(|| CallError::new(1, format!("Bad Request - bool param `useJson`=`{text}`.")))
}

fn method_of(value: Option<&Value>, has_body: bool) -> Result<Box<str>, CallError> {
    let text = match value {
        Some(value) => scalar_text("method", value)?,
        None => Cow::Borrowed(""),
    };
    if text.is_empty() {
        return Ok(if has_body { "POST" } else { "GET" }.into());
    }
    let method = text.to_ascii_uppercase();
    let is_one = token::is_token(method.as_bytes()) && method.len() <= METHOD_BYTES_MAX;
    // CONNECT would open a tunnel: there is no request to it.
    if !is_one || method == "CONNECT" {
        return Err(wrong("method", &text, "expected a method, e.g. PUT"));
    }
    Ok(method.into())
}

fn body_of(data: &Value, use_json: bool) -> Result<Box<[u8]>, CallError> {
    let too_large = || {
        CallError::new(
            1,
            format!(
                "Bad Request - param `data`: expected at most {CALLBACK_BODY_BYTES_MAX} bytes when sent"
            ),
        )
    };
    let body = match data {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Array(_) | Value::Object(_) if !use_json => {
            query::build(data, CALLBACK_BODY_BYTES_MAX).ok_or_else(too_large)?
        }
        Value::Bool(yes) if !use_json => vec![if *yes { b'1' } else { b'0' }],
        data => {
            let mut out = Vec::new();
            json::write(&mut out, data);
            out
        }
    };
    if body.len() > CALLBACK_BODY_BYTES_MAX {
        return Err(too_large());
    }
    Ok(body.into())
}

fn headers_of(given: &Value) -> Result<Headers, CallError> {
    let mut headers = Headers::new();
    match given {
        Value::Object(object) => {
            for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
                add_header(&mut headers, name, &scalar_text("headers", value)?)?;
            }
        }
        Value::Array(lines) => {
            for line in lines.iter().filter(|line| !line.is_null()) {
                add_line(&mut headers, &scalar_text("headers", line)?)?;
            }
        }
        line => add_line(&mut headers, &scalar_text("headers", line)?)?,
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    if headers.len() > CALLBACK_HEADERS_MAX || bytes > CALLBACK_HEADERS_BYTES_MAX {
        return Err(CallError::new(
            1,
            format!(
                "Bad Request - param `headers`: expected at most {CALLBACK_HEADERS_MAX} of them, {CALLBACK_HEADERS_BYTES_MAX} bytes together"
            ),
        ));
    }
    Ok(headers)
}

fn add_line(headers: &mut Headers, line: &str) -> Result<(), CallError> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    match line.split_once(':') {
        Some((name, value)) => add_header(headers, name, value),
        None => Err(wrong("headers", line, "expected lines as `Name: value`")),
    }
}

fn add_header(headers: &mut Headers, name: &str, value: &str) -> Result<(), CallError> {
    let shown = || format!("{name}: {value}");
    let is_blank = |c: char| c == ' ' || c == '\t';
    let (name, value) = (name.trim_matches(is_blank), value.trim_matches(is_blank));
    if !token::is_token(name.as_bytes()) {
        return Err(wrong(
            "headers",
            &shown(),
            "expected lines as `Name: value`",
        ));
    }
    if value
        .bytes()
        .any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
    {
        return Err(wrong(
            "headers",
            &shown(),
            "expected a value without line ends or other control characters",
        ));
    }
    if name.len() + value.len() + 4 > CALLBACK_HEADER_BYTES_MAX {
        return Err(wrong(
            "headers",
            &shown(),
            &format!("expected at most {CALLBACK_HEADER_BYTES_MAX} bytes"),
        ));
    }
    if is_framing(name) {
        return Ok(());
    }
    if name.eq_ignore_ascii_case("Host") {
        if !target::is_authority(value.as_bytes()) {
            return Err(wrong(
                "headers",
                &shown(),
                "expected a host, e.g. `Host: www.example.com`",
            ));
        }
        // A request has one (RFC 9112, 3.2).
        headers.retain(|(given, _)| !given.eq_ignore_ascii_case("Host"));
    }
    if name.eq_ignore_ascii_case("Authorization") && !value.is_ascii() {
        return Err(wrong("headers", &shown(), "expected ASCII"));
    }
    headers.push((name.into(), value.into()));
    Ok(())
}

/// Whether a header says how a message is framed or what its connection is for: the sender's own business
/// (RFC 9110, 7.6.1; `Expect` would make it wait).
fn is_framing(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "Connection",
        "Content-Length",
        "Expect",
        "HTTP2-Settings",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    ];
    let is_proxy = name
        .get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("proxy-"));
    is_proxy
        || NAMES
            .iter()
            .any(|framing| name.eq_ignore_ascii_case(framing))
}

#[cfg(test)]
mod tests {
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
}
