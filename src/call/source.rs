//! Where a call's parameters come from: query, body, or both, query first (contract 1).

use serde_json::Value;

use crate::call::error::CallError;
use crate::proto::form::{Field, Form};

/// A call's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// Parameters by name; empty where there was no body.
    Map(Form<'a>),
    /// A non-empty JSON list (or a form whose keys are 0..n-1).
    List(Vec<Value>),
}

impl<'a> Body<'a> {
    /// Reads a body by its Content-Type: `…/json…`, multipart, else a form where it is
    /// `application/x-www-form-urlencoded`; any other type holds no parameters. Error: `bad json-format body`.
    pub fn parse(content_type: &str, body: &'a [u8]) -> Result<Body<'a>, CallError> {
        let _ = (content_type, body);
        todo!()
    }

    /// A parameter of the body.
    pub fn get(&self, name: &str) -> Option<&Field<'a>> {
        let _ = name;
        todo!()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}

/// Which source a parameter is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Query string only.
    Query,
    /// Body only.
    Body,
    /// Both; a query value decides even when it is empty.
    Both,
}

/// The parameters of one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Params<'a> {
    /// The query string's.
    pub query: Form<'a>,
    /// The body's.
    pub body: Body<'a>,
    /// Whether top-level text gets `<` and `>` escaped (`conf_htmlEscape`; never over WebSocket).
    pub escape: bool,
}

impl<'a> Params<'a> {
    /// A parameter that counts: absent, JSON null and empty text are `None`. Text is escaped (where that is on).
    pub fn get(&self, from: From, name: &str) -> Option<std::borrow::Cow<'_, Field<'a>>> {
        let _ = (from, name);
        todo!()
    }

    /// The same as text (a list or object as compact JSON), or the error that it is missing.
    pub fn text(&self, from: From, name: &str) -> Result<std::borrow::Cow<'_, str>, CallError> {
        let _ = (from, name);
        todo!()
    }
}

/// Text with `<` and `>` as `&lt;` and `&gt;`; borrowed where there is none.
pub fn escape(text: &str) -> std::borrow::Cow<'_, str> {
    let _ = text;
    todo!()
}
