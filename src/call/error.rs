//! A call that failed: code, message for people, detail for programmers.

use std::borrow::Cow;

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
        let _ = (code, detail.into());
        todo!()
    }

    /// A code with a message of its own.
    pub fn with_message(code: i32, message: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        CallError { code, message: message.into(), detail: detail.into() }
    }

    /// ``缺少参数`x` `` and its detail.
    pub fn missing(name: &str) -> Self {
        let _ = name;
        todo!()
    }

    /// `接口不支持`: no such call. The name is escaped as a parameter is.
    pub fn unknown_action(name: &str) -> Self {
        let _ = name;
        todo!()
    }

    /// Unknown object: code 2 with ``Operation is not allowed for current user: `No.such` ``.
    pub fn not_allowed(name: &str) -> Self {
        let _ = name;
        todo!()
    }
}
