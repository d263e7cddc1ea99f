//! Calls about timers: which parameters make which [`TimerRequest`] (contract 5). Never whether a
//! timer is right or exists.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::call::error::CallError;
use crate::call::options::{self, integer};
use crate::call::param::{self, Type};
use crate::call::source::{Body, Params};
use crate::limits::{PREVIEW_TIMES_DEFAULT, PREVIEW_TIMES_MAX};
use crate::message::{TimerKey, TimerRequest};

/// The object whose methods these are.
pub const OBJECT: &str = "Timer";

/// `setTimeout`: all of the body's fields, none of the query's.
pub fn read_set_timeout(params: Params<'_>) -> TimerRequest {
    TimerRequest::Set(fields(params.body))
}

/// `Timer.METHOD`. Errors: code 1, a missing or malformed parameter or an unknown method, as recorded.
pub fn read(method: &str, params: Params<'_>) -> Result<TimerRequest, CallError> {
    Ok(match method {
        "set" => {
            let key = key(&params)?;
            TimerRequest::Change(key, fields(params.body))
        }
        "enable" => TimerRequest::Enable(key(&params)?, true),
        "disable" => TimerRequest::Enable(key(&params)?, false),
        "del" => TimerRequest::Del(key(&params)?),
        "get" => TimerRequest::Get(key(&params)?),
        "query" => TimerRequest::Query {
            text: options::text(&params, "match").unwrap_or_default().into(),
            limit: options::limit(&params, "limit", usize::MAX)?,
        },
        "clear" => TimerRequest::Clear,
        "run" => TimerRequest::Run(key(&params)?),
        "log" => TimerRequest::Log(key(&params)?),
        "preview" => preview(&params)?,
        "failed" => TimerRequest::Failed,
        "retry" => match integer(&params, "id", &Type::Id)? {
            Some(id) => TimerRequest::Retry(id),
            None => return Err(CallError::missing("id")),
        },
        _ => return Err(CallError::unknown_method(OBJECT, method)),
    })
}

/// The body's fields in their order. `id` is no field: a timer keeps its own.
fn fields(body: Body<'_>) -> Map<String, Value> {
    let mut fields = match body {
        Body::Map(form) => match form.into_value() {
            Value::Object(fields) => fields,
            // Keys 0..n-1 or none: nothing that a timer knows.
            _ => Map::new(),
        },
        Body::List(_) => Map::new(),
    };
    fields.shift_remove("id");
    fields
}

/// `id`, else `code`, each out of the query or the body.
fn key(params: &Params<'_>) -> Result<TimerKey, CallError> {
    if let Some(id) = integer(params, "id", &Type::Id)? {
        return Ok(TimerKey::Id(id));
    }
    match text(params, "code") {
        Some(code) => Ok(TimerKey::Code(code)),
        None => Err(param::missing_any(&["id", "code"])),
    }
}

fn preview(params: &Params<'_>) -> Result<TimerRequest, CallError> {
    let cron = text(params, "cron").ok_or_else(|| CallError::missing("cron"))?;
    let n = match integer(params, "n", &Type::Integer)? {
        None => PREVIEW_TIMES_DEFAULT,
        Some(n) => usize::try_from(n)
            .unwrap_or_default()
            .clamp(1, PREVIEW_TIMES_MAX),
    };
    Ok(TimerRequest::Preview {
        cron,
        tz: text(params, "tz"),
        from: integer(params, "from", &Type::Integer)?,
        n,
    })
}

/// Text as `setTimeout` took it, which escapes nothing.
fn text(params: &Params<'_>, name: &str) -> Option<String> {
    options::text(params, name).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::form::Form;
    use crate::proto::json;
    use serde_json::json;

    fn params<'a>(query: &'a str, body: &'a str) -> Params<'a> {
        let media_type = match body.starts_with(['{', '[']) {
            true => "application/json",
            false => "application/x-www-form-urlencoded",
        };
        Params {
            query: Form::parse(query.as_bytes()),
            body: Body::parse(media_type, body.as_bytes()).unwrap(),
            escape: true,
        }
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[track_caller]
    fn check(method: &str, query: &str, body: &str, expect: TimerRequest) {
        assert_eq!(read(method, params(query, body)), Ok(expect));
    }

    #[track_caller]
    fn check_error(method: &str, query: &str, body: &str, message: &str, detail: &str) {
        let error = read(method, params(query, body)).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_ref(), error.detail.as_ref()),
            (1, message, detail)
        );
    }

    #[track_caller]
    fn check_set_timeout(query: &str, body: &str, expect: &str) {
        let TimerRequest::Set(fields) = read_set_timeout(params(query, body)) else {
            panic!("another request");
        };
        assert_eq!(json::to_text(&Value::Object(fields)), expect);
    }

    fn id(id: i64) -> TimerKey {
        TimerKey::Id(id)
    }

    fn code(code: &str) -> TimerKey {
        TimerKey::Code(code.to_owned())
    }

    #[test]
    fn set_timeout_reads_the_body_only_and_keeps_its_order() {
        check_set_timeout("url=q&wait=5", "", "{}");
        check_set_timeout(
            "code=x",
            "wait=400&id=7&url=http://h/&data[c]=3&data[d]=4&x=<b>",
            r#"{"wait":"400","url":"http://h/","data":{"c":"3","d":"4"},"x":"<b>"}"#,
        );
        check_set_timeout(
            "",
            r#"{"url":"u","cron":null,"id":3,"headers":["a: b"],"wait":60}"#,
            r#"{"url":"u","cron":null,"headers":["a: b"],"wait":60}"#,
        );
        check_set_timeout("", r#"[{"url":"u"}]"#, "{}");
        check_set_timeout("", "0=a&1=b", "{}");
    }

    #[test]
    fn a_timer_is_named_by_id_or_code_of_query_or_body() {
        check("del", "id=-5", "", TimerRequest::Del(id(-5)));
        check("del", "", "id=5", TimerRequest::Del(id(5)));
        check("get", "id=5&code=a-b-c", "", TimerRequest::Get(id(5)));
        check(
            "enable",
            "code=a-b-c",
            "id=",
            TimerRequest::Enable(code("a-b-c"), true),
        );
        check(
            "disable",
            "",
            r#"{"id":null,"code":"a-b-<c>"}"#,
            TimerRequest::Enable(code("a-b-<c>"), false),
        );
        check("run", "id=1", "", TimerRequest::Run(id(1)));
        check("log", "code=a-b-c", "", TimerRequest::Log(code("a-b-c")));
        check("retry", "id=-3", "", TimerRequest::Retry(-3));
    }

    #[test]
    fn set_takes_the_code_of_the_body_for_a_field() {
        check(
            "set",
            "id=7",
            "code=a-b-c&id=9&wait=1",
            TimerRequest::Change(id(7), object(json!({"code": "a-b-c", "wait": "1"}))),
        );
        check(
            "set",
            "code=a-b-c",
            r#"{"code":"a-b-d"}"#,
            TimerRequest::Change(code("a-b-c"), object(json!({"code": "a-b-d"}))),
        );
        check(
            "set",
            "",
            r#"{"id":7,"disabled":true}"#,
            TimerRequest::Change(id(7), object(json!({"disabled": true}))),
        );
    }

    #[test]
    fn calls_without_a_timer() {
        let query = |text: &str, limit| TimerRequest::Query {
            text: text.into(),
            limit,
        };
        check("query", "", "", query("", usize::MAX));
        check("query", "limit=5&match=<b>", "", query("<b>", 5));
        check("clear", "", "", TimerRequest::Clear);
        check("failed", "", "", TimerRequest::Failed);
        let preview = |tz: Option<&str>, from, n| TimerRequest::Preview {
            cron: "0 9 * * *".to_owned(),
            tz: tz.map(str::to_owned),
            from,
            n,
        };
        check("preview", "cron=0+9+*+*+*", "", preview(None, None, 5));
        check(
            "preview",
            "tz=Asia/Shanghai&from=0",
            r#"{"cron":"0 9 * * *","n":2}"#,
            preview(Some("Asia/Shanghai"), Some(0), 2),
        );
        check(
            "preview",
            "cron=0+9+*+*+*&n=99999999",
            "",
            preview(None, None, PREVIEW_TIMES_MAX),
        );
        check("preview", "cron=0+9+*+*+*&n=-1", "", preview(None, None, 1));
    }

    #[test]
    fn errors_as_recorded() {
        for method in ["set", "enable", "disable", "del", "get", "run", "log"] {
            check_error(
                method,
                "",
                "",
                "缺少参数`id or code`",
                "Bad Request - require param id or code",
            );
            check_error(
                method,
                "id=abc&code=a-b-c",
                "",
                "参数不正确",
                "Bad Request - id param `id`=`abc`.",
            );
        }
        check_error(
            "retry",
            "",
            "",
            "缺少参数`id`",
            "Bad Request - param `id` is missing",
        );
        check_error(
            "preview",
            "",
            "",
            "缺少参数`cron`",
            "Bad Request - param `cron` is missing",
        );
        check_error(
            "preview",
            "cron=x&n=z",
            "",
            "参数不正确",
            "Bad Request - integer param `n`=`z`.",
        );
        for (method, shown) in [("add", "add"), ("x<y", "x&lt;y"), ("Set", "Set"), ("", "")] {
            let detail = format!("Bad request - unknown `Timer` method: `{shown}`");
            check_error(method, "", "", "接口不支持", &detail);
        }
    }
}
