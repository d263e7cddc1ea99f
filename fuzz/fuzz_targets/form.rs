//! Parameters out of queries and bodies: forms by bracket rules, multipart, JSON. What was read
//! and is written again reads the same; JSON is judged as serde_json judges it.
#![no_main]

use std::fmt::Write as _;

use jdserver::call::param::{self, Type};
use jdserver::call::source::Body;
use jdserver::limits::FORM_DEPTH_MAX;
use jdserver::proto::form::{Field, Form, decode};
use jdserver::proto::{json, multipart};
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

const BOUNDARY: &str = "b0und";
const TYPES: [&str; 10] = [
    "id", "x/i", "x/n", "x/b", "x/dt", "x/tm", "x/i+", "x/js", "x/i:n?:s", "x",
];

/// Every byte as a percent escape.
fn escape(out: &mut String, text: &str) {
    for byte in text.bytes() {
        // Writing to a String cannot fail.
        let _ = write!(out, "%{byte:02X}");
    }
}

/// The pairs that make a value, as PHP's http_build_query names them.
fn pairs(name: String, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                pairs(format!("{name}[{i}]"), item, out);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                pairs(format!("{name}[{key}]"), member, out);
            }
        }
        value => out.push((name, json::to_text(value))),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A form, escaped or as multipart, is the same form.
fn check_form(form: &Form<'_>) {
    let mut list = Vec::new();
    for (name, field) in form.iter() {
        let value = field.clone().into_value();
        assert!(depth(&value) <= FORM_DEPTH_MAX);
        pairs(name.to_owned(), &value, &mut list);
    }
    let (mut text, mut parts) = (String::new(), String::new());
    for (name, value) in &list {
        escape(&mut text, name);
        text.push('=');
        escape(&mut text, value);
        text.push('&');
        let quoted = name
            .replace('"', "%22")
            .replace('\r', "%0D")
            .replace('\n', "%0A");
        let _ = write!(
            parts,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{quoted}\"\r\n\r\n{value}\r\n"
        );
    }
    parts.push_str(&format!("--{BOUNDARY}--\r\n"));
    let again = Form::parse(text.as_bytes());
    assert_eq!(&again, form, "written as {text}");
    let is_plain = |(name, value): &(String, String)| {
        !name.contains(['\\', '%']) && name.len() < 1_024 && !value.contains(BOUNDARY)
    };
    if !list.is_empty() && list.iter().all(is_plain) {
        assert_eq!(
            multipart::parse(parts.as_bytes(), BOUNDARY).as_ref(),
            Some(form),
            "{parts}"
        );
    }
}

fn check_json(data: &[u8]) {
    let ours = Form::parse_json(data).map(Form::into_value);
    let theirs: Option<Map<String, Value>> = serde_json::from_slice(data).ok();
    match (&ours, &theirs) {
        (Some(_), Some(object)) => {
            let expected = Form::from_object(object.clone()).into_value();
            assert_eq!(ours.as_ref(), Some(&expected));
        }
        (None, None) => {}
        _ => panic!("parse_json says {ours:?}, serde_json {theirs:?}"),
    }
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let mut text = Vec::new();
    json::write(&mut text, &value);
    let again: Value = serde_json::from_slice(&text).expect("what we write is JSON");
    let mut second = Vec::new();
    json::write(&mut second, &again);
    assert_eq!(text, second, "{value}");
}

/// No value of a parameter may upset a conversion.
fn check_params(body: &Body<'_>, types: &[(&str, Type)]) {
    let Body::Map(form) = body else {
        return;
    };
    for (_, field) in form.iter().take(8) {
        let owned: Field<'static> = field.clone().into_owned();
        assert_eq!(&owned, field);
        for (name, kind) in types {
            let _ = param::convert(name, kind, field, &TimeZone::UTC);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let types = TYPES.map(|spec| param::parse(spec).expect("they exist"));
    let form = Form::parse(data);
    check_form(&form);
    assert_eq!(form.clone().into_owned(), form);
    let mut escaped = String::new();
    data.iter()
        .for_each(|byte| escaped += &format!("%{byte:02x}"));
    assert_eq!(decode(escaped.as_bytes()), String::from_utf8_lossy(data));
    check_json(data);
    let multipart = format!("multipart/form-data; boundary={BOUNDARY}");
    for content_type in [
        "application/x-www-form-urlencoded",
        "application/json",
        &multipart,
    ] {
        if let Ok(body) = Body::parse(content_type, data) {
            check_params(&body, &types);
        }
    }
    if let Ok(content_type) = std::str::from_utf8(data) {
        let _ = multipart::boundary(content_type);
        let _ = Body::parse(content_type, data);
    }
});
