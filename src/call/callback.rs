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
pub(crate) fn is_framing(name: &str) -> bool {
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
mod tests;
