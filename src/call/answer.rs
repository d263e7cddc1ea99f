//! What a call answers, before any shape.

use serde_json::Value;

use crate::call::error::CallError;

/// The outcome of one call.
pub type Answer = Result<Data, CallError>;

/// What a successful call answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `null`
    Null,
    /// A number: what push answers, without the cost of a [`Value`].
    Count(u64),
    /// Anything else.
    Json(Value),
}

impl Data {
    /// As a JSON value.
    pub fn into_value(self) -> Value {
        todo!()
    }
}

/// Appends `[0,data]` or `[code,message,detail]`, without the newline.
pub fn write(out: &mut Vec<u8>, answer: &Answer) {
    let _ = (out, answer);
    todo!()
}

/// The same as a JSON value (a batch's answer holds them).
pub fn to_value(answer: Answer) -> Value {
    let _ = answer;
    todo!()
}
