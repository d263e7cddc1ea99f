//! Action names out of methods, paths and queries (contract 1). Never what they do.

use std::borrow::Cow;

use crate::call::error::CallError;
use crate::proto::form::Form;
use crate::proto::request::Method;

/// A named call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action<'a> {
    /// `getUsers`, `Timer.set`.
    pub name: Cow<'a, str>,
    /// The id of a REST-like path: digits.
    pub id: Option<Cow<'a, str>>,
}

/// Names the call of a request. `path` is decoded and starts with `/` (a leading run of slashes is dropped);
/// `method` decides the verb of an object's bare path. A path that names no call at all (`/`) is an empty name.
pub fn resolve<'a>(method: Method<'_>, path: &'a str, query: &Form<'a>) -> Result<Action<'a>, CallError> {
    let _ = (method, path, query);
    todo!()
}

/// Whether a call's name is an object's: `Name.method` with a capital first.
pub fn is_object(name: &str) -> bool {
    let _ = name;
    todo!()
}
