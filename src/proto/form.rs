//! Forms by PHP's bracket rules: `a=1&b[id]=2&c[]=3`. One map of parameters, from a query string,
//! a form body or a JSON object. Never a type or a default ([`crate::call::param`]).

use std::borrow::Cow;

use serde_json::{Map, Value};

/// One parameter's value as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<'a> {
    /// Text of a form, decoded.
    Text(Cow<'a, str>),
    /// What brackets built, or a value of a JSON body.
    Json(Value),
}

/// Parameters by name, in the order of their first appearance. The last of two equal keys wins, in the place of the first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form<'a> {
    fields: Vec<(Cow<'a, str>, Field<'a>)>,
}

impl<'a> Form<'a> {
    /// Parses `application/x-www-form-urlencoded` text (bytes: a body may hold anything).
    pub fn parse(text: &'a [u8]) -> Form<'a> {
        let _ = text;
        todo!()
    }

    /// The members of a JSON object.
    pub fn from_object(object: Map<String, Value>) -> Form<'static> {
        let _ = object;
        todo!()
    }

    /// Adds one pair by the bracket rules (multipart uses it too).
    pub fn push(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        let _ = (name, value);
        todo!()
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&Field<'a>> {
        let _ = name;
        todo!()
    }

    /// Whether there is no parameter at all.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field<'a>)> {
        self.fields.iter().map(|(k, v)| (k.as_ref(), v))
    }

    /// The same parameters, owning their text.
    pub fn into_owned(self) -> Form<'static> {
        todo!()
    }

    /// The parameters as PHP would see them: a list where the keys are 0..n-1 in order, else an object.
    pub fn into_value(self) -> Value {
        todo!()
    }
}

/// Decodes `+` and percent escapes; a broken escape stays as it is, invalid UTF-8 becomes U+FFFD.
pub fn decode(text: &[u8]) -> Cow<'_, str> {
    let _ = text;
    todo!()
}
