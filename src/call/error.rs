//! A call that failed: code, message for people, detail for programmers. Never how it is written
//! ([`crate::call::answer`]).

use std::borrow::Cow;

use crate::call::source::escape;

/// The answer `[code, message, detail]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// 1 bad parameters .. 5 forbidden, negative ones by contract 1.
    pub code: i32,
    /// Shown to people; Chinese, as the original's.
    pub message: Cow<'static, str>,
    /// English.
    pub detail: Cow<'static, str>,
}

impl CallError {
    /// A code with its default message (1 参数不正确, 2 未登录, 3 数据库错误, 4 服务器错误, 5 禁止操作, -1 认证失败, -2 接口调用错误, -100 中止执行).
    pub fn new(code: i32, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::with_message(code, default_message(code), detail)
    }

    /// A code with a message of its own.
    pub fn with_message(
        code: i32,
        message: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        CallError {
            code,
            message: message.into(),
            detail: detail.into(),
        }
    }

    /// ``缺少参数`x` `` and its detail.
    pub fn missing(name: &str) -> Self {
        Self::with_message(
            1,
            format!("缺少参数`{name}`"),
            format!("Bad Request - param `{name}` is missing"),
        )
    }

    /// `接口不支持`: no such call. The name is escaped as a parameter is.
    pub fn unknown_action(name: &str) -> Self {
        Self::with_message(
            1,
            "接口不支持",
            format!("Bad request - unknown ac: {}", escape(name)),
        )
    }

    /// `接口不支持`: an object that is known has no such method. The name is escaped as a parameter is.
    pub fn unknown_method(object: &str, method: &str) -> Self {
        Self::with_message(
            1,
            "接口不支持",
            format!(
                "Bad request - unknown `{object}` method: `{}`",
                escape(method)
            ),
        )
    }

    /// Unknown object: code 2 with ``Operation is not allowed for current user: `No.such` ``. The name is escaped
    /// as a parameter is.
    pub fn not_allowed(name: &str) -> Self {
        Self::new(
            2,
            format!(
                "Operation is not allowed for current user: `{}`",
                escape(name)
            ),
        )
    }
}

fn default_message(code: i32) -> &'static str {
    match code {
        1 => "参数不正确",
        2 => "未登录",
        3 => "数据库错误",
        4 => "服务器错误",
        5 => "禁止操作",
        -1 => "认证失败",
        -2 => "接口调用错误",
        -100 => "中止执行",
        _ => "未知错误",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: CallError, code: i32, message: &str, detail: &str) {
        assert_eq!(
            (error.code, &*error.message, &*error.detail),
            (code, message, detail)
        );
    }

    #[test]
    fn texts_as_recorded() {
        check(
            CallError::new(1, "bad json-format body"),
            1,
            "参数不正确",
            "bad json-format body",
        );
        check(
            CallError::new(2, "token required"),
            2,
            "未登录",
            "token required",
        );
        check(CallError::new(-100, "x".to_owned()), -100, "中止执行", "x");
        check(
            CallError::with_message(-100, "事务失败，取消执行", "batch call cancelled."),
            -100,
            "事务失败，取消执行",
            "batch call cancelled.",
        );
        check(
            CallError::missing("app"),
            1,
            "缺少参数`app`",
            "Bad Request - param `app` is missing",
        );
        check(
            CallError::unknown_action("nosuch"),
            1,
            "接口不支持",
            "Bad request - unknown ac: nosuch",
        );
        check(
            CallError::unknown_action("no<such"),
            1,
            "接口不支持",
            "Bad request - unknown ac: no&lt;such",
        );
        check(
            CallError::not_allowed("No.such"),
            2,
            "未登录",
            "Operation is not allowed for current user: `No.such`",
        );
    }
}
