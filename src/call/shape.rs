//! Shapes of an answer: `_raw`, `_jsonp`, `retfn`, `jdcloud` (contract 1).

use crate::call::answer::Answer;
use crate::call::source::Body;
use crate::proto::form::Form;

/// How an answer is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    _todo: (),
}

impl Shape {
    /// Reads the shape parameters of a query (`jdcloud=1` of query or body switches all off).
    pub fn new(query: &Form<'_>, body: Option<&Body<'_>>) -> Shape {
        let _ = (query, body);
        todo!()
    }

    /// Appends the whole body of the answer, newline included, and gives its Content-Type.
    pub fn write(&self, out: &mut Vec<u8>, answer: Answer) -> &'static str {
        let _ = (out, answer);
        todo!()
    }
}
