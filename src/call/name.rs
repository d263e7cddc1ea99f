//! Action names out of methods, paths and queries (contract 1). Never what they do.

use std::borrow::Cow;

use crate::call::error::CallError;
use crate::proto::form::{Field, Form};
use crate::proto::request::Method;

/// A named call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action<'a> {
    /// `getUsers`, `Timer.set`.
    pub name: Cow<'a, str>,
    /// The id of a REST-like path: digits. It replaces an `id` of the query.
    pub id: Option<Cow<'a, str>>,
}

impl<'a> Action<'a> {
    fn plain(name: Cow<'a, str>) -> Self {
        Action { name, id: None }
    }
}

/// Names the call of a request. `path` is decoded and starts with `/` (a leading run of slashes is dropped);
/// `method` decides the verb of an object's bare path. A path that names no call at all (`/`) is an empty name.
///
/// `?_ac=NAME` is a whole name, whatever the method; `/?ac=NAME` is read as a path is. Errors: code 1, see [`route`].
pub fn resolve<'a>(
    method: Method<'_>,
    path: &'a str,
    query: &Form<'a>,
) -> Result<Action<'a>, CallError> {
    if let Some(name) = text(query, "_ac") {
        return Ok(Action::plain(name));
    }
    let name = path.trim_start_matches('/');
    if !name.is_empty() {
        return route(method, name);
    }
    match text(query, "ac") {
        None => route(method, ""),
        Some(Cow::Borrowed(name)) => route(method, name),
        Some(Cow::Owned(name)) => route(method, &name).map(into_owned),
    }
}

/// Names the call of a path or of a batch item's `ac` (whose method is POST where its `post` is not empty).
///
/// Only a capital and then letters, digits, `_` and `/` make an object's path: `Timer`, `Timer/7`, `Timer/set`,
/// `Timer/7/set`, `Timer/set/7`; all else is a name as it stands, `Timer.set` too. Errors: code 1 with the texts of
/// case `call/verbs`. HEAD counts as GET.
pub fn route<'a>(method: Method<'_>, name: &'a str) -> Result<Action<'a>, CallError> {
    let name = name.trim_start_matches('/');
    let plain_verb = matches!(method, Method::Get | Method::Head | Method::Post);
    if is_object_path(name) {
        return route_object(method, plain_verb, name);
    }
    if !plain_verb {
        return Err(bad(format!(
            "bad verb '{}'. use 'GET' or 'POST'",
            method.as_str()
        )));
    }
    Ok(Action::plain(Cow::Borrowed(name)))
}

/// Whether a call's name is an object's: `Name.method`, a capital first and a small letter behind the one dot.
pub fn is_object(name: &str) -> bool {
    match name.split_once('.') {
        Some((object, method)) => {
            object.starts_with(|c: char| c.is_ascii_uppercase())
                && method.starts_with(|c: char| c.is_ascii_lowercase())
                && object.chars().chain(method.chars()).all(is_word)
        }
        None => false,
    }
}

/// `name` is an object's path: three parts at most, the third with the slashes it holds.
fn route_object<'a>(
    method: Method<'_>,
    plain_verb: bool,
    name: &'a str,
) -> Result<Action<'a>, CallError> {
    let mut parts = name.splitn(3, '/');
    let object = parts.next().unwrap_or_default();
    let (second, third) = (
        parts.next().filter(|p| !p.is_empty()),
        parts.next().filter(|p| !p.is_empty()),
    );
    let (id, function) = if second.is_some_and(is_id) {
        (second, third)
    } else {
        (third, second)
    };
    let function = match function {
        Some(_) if !plain_verb => {
            return Err(bad(format!(
                "bad verb '{}' for user function. use 'GET' or 'POST'",
                method.as_str()
            )));
        }
        Some(function) => function,
        None => bare_verb(method, object, id)?,
    };
    let id = id.filter(|id| is_id(id)).map(Cow::Borrowed);
    Ok(Action {
        name: Cow::Owned([object, ".", function].concat()),
        id,
    })
}

/// The function a method stands for where the path names none.
fn bare_verb(
    method: Method<'_>,
    object: &str,
    id: Option<&str>,
) -> Result<&'static str, CallError> {
    match (method, id) {
        (Method::Get | Method::Head, None) => Ok("query"),
        (Method::Get | Method::Head, Some(_)) => Ok("get"),
        (Method::Post, None) => Ok("add"),
        (Method::Post, Some(id)) => Err(bad(format!(
            "bad verb 'POST'.use `PATCH {object}/{id}` or `POST {object}/{id}/set` for set."
        ))),
        (Method::Patch, Some(_)) => Ok("set"),
        (Method::Delete, Some(_)) => Ok("del"),
        (Method::Patch | Method::Delete, None) => Err(bad("missing id")),
        _ => Err(bad(format!("bad verb '{}'", method.as_str()))),
    }
}

fn is_object_path(name: &str) -> bool {
    let mut bytes = name.bytes();
    // The first byte settles it for every plain name, the common ones.
    bytes.next().is_some_and(|b| b.is_ascii_uppercase())
        && bytes.next().is_some()
        && name.chars().all(|c| c == '/' || is_word(c))
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A query's text that is not empty; what brackets built is no name.
fn text<'a>(query: &Form<'a>, name: &str) -> Option<Cow<'a, str>> {
    match query.get(name) {
        Some(Field::Text(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

fn into_owned(action: Action<'_>) -> Action<'static> {
    Action {
        name: Cow::Owned(action.name.into_owned()),
        id: action.id.map(|id| Cow::Owned(id.into_owned())),
    }
}

fn bad(detail: impl Into<Cow<'static, str>>) -> CallError {
    CallError::new(1, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method<'_>, target: &str, name: &str, id: Option<&str>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Form::parse(query.as_bytes());
        let action = resolve(method, path, &query).unwrap_or_else(|e| panic!("{target}: {e:?}"));
        assert_eq!(
            (action.name.as_ref(), action.id.as_deref()),
            (name, id),
            "{target}"
        );
    }

    #[track_caller]
    fn check_error(method: Method<'_>, target: &str, detail: &str) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let error = resolve(method, path, &Form::parse(query.as_bytes())).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_ref(), error.detail.as_ref()),
            (1, "参数不正确", detail)
        );
    }

    #[test]
    fn plain_names() {
        for method in [Method::Get, Method::Head, Method::Post] {
            check(method, "/getUsers?app=q", "getUsers", None);
            check(method, "//getUsers", "getUsers", None);
            check(method, "/getUsers/", "getUsers/", None);
            check(method, "/no.such", "no.such", None);
            check(method, "/no<such", "no<such", None);
            check(method, "/N", "N", None);
            check(method, "/Timer.set", "Timer.set", None);
            check(method, "/Timer.set/7", "Timer.set/7", None);
            check(method, "/No such", "No such", None);
            check(method, "/", "", None);
            check(method, "///", "", None);
            check(method, "/接口", "接口", None);
        }
        for (method, verb) in [
            (Method::Put, "PUT"),
            (Method::Delete, "DELETE"),
            (Method::Patch, "PATCH"),
            (Method::Options, "OPTIONS"),
            (Method::Other("get"), "get"),
        ] {
            for target in ["/getUsers?app=q", "/Timer.set", "/N", "/", "/?ac=getUsers"] {
                check_error(
                    method,
                    target,
                    &format!("bad verb '{verb}'. use 'GET' or 'POST'"),
                );
            }
        }
    }

    #[test]
    fn a_plain_name_is_borrowed() {
        let action = resolve(Method::Get, "//getUsers", &Form::default()).unwrap();
        assert!(matches!(action.name, Cow::Borrowed("getUsers")));
    }

    #[test]
    fn names_in_the_query() {
        check(Method::Get, "/?ac=getUsers&app=q", "getUsers", None);
        check(Method::Get, "//?ac=Timer/7", "Timer.get", Some("7"));
        check(Method::Get, "/?ac=", "", None);
        check(Method::Get, "/api?ac=getUsers", "api", None);
        check(Method::Get, "/x?_ac=getUsers&app=q", "getUsers", None);
        check(Method::Get, "/x?_ac=&app=q", "x", None);
        check(Method::Get, "/?_ac=&ac=y", "y", None);
        check(Method::Get, "/?_ac=x&ac=y", "x", None);
        check(Method::Get, "/x?_ac=No/such", "No/such", None);
        check(Method::Get, "/Timer/7?_ac=No.such", "No.such", None);
        check(Method::Put, "/x?_ac=getUsers", "getUsers", None);
    }

    #[test]
    fn objects() {
        let (get, post, patch, delete) = (Method::Get, Method::Post, Method::Patch, Method::Delete);
        check(get, "/No", "No.query", None);
        check(get, "/No/", "No.query", None);
        check(Method::Head, "/No", "No.query", None);
        check(get, "/No/7", "No.get", Some("7"));
        check(get, "/No/7/", "No.get", Some("7"));
        check(get, "/N/7", "N.get", Some("7"));
        check(get, "/N/", "N.query", None);
        check(get, "/No/such", "No.such", None);
        check(get, "/No/such/", "No.such", None);
        check(get, "/No/such/7", "No.such", Some("7"));
        check(post, "/No/7/such", "No.such", Some("7"));
        check(post, "/No/such", "No.such", None);
        check(post, "/No", "No.add", None);
        check(patch, "/No/7", "No.set", Some("7"));
        check(delete, "/No/7", "No.del", Some("7"));
        check(get, "//Timer/7/set", "Timer.set", Some("7"));
        check(
            get,
            "/Timer/00000000000000000000000007",
            "Timer.get",
            Some("00000000000000000000000007"),
        );
        check(get, "/Größe/7", "Größe.get", Some("7"));
        // Odd ones, as the original's rules have it.
        check(get, "/No/7/8", "No.8", Some("7"));
        check(get, "/No/7/such/", "No.such/", Some("7"));
        check(get, "/No/such/7/", "No.such", None);
        check(get, "/No/such/del", "No.such", None);
        check(get, "/No//such", "No.get", None);
        check(get, "/No///", "No.get", None);
        check(get, "/No/７", "No.７", None);
        check_error(Method::Put, "/No/7", "bad verb 'PUT'");
        check_error(Method::Put, "/No", "bad verb 'PUT'");
        check_error(Method::Other("PURGE"), "/No", "bad verb 'PURGE'");
        check_error(patch, "/No", "missing id");
        check_error(delete, "/No/", "missing id");
        check_error(
            post,
            "/No/7",
            "bad verb 'POST'.use `PATCH No/7` or `POST No/7/set` for set.",
        );
        for (method, verb) in [(patch, "PATCH"), (delete, "DELETE"), (Method::Put, "PUT")] {
            let detail = format!("bad verb '{verb}' for user function. use 'GET' or 'POST'");
            check_error(method, "/No/7/such", &detail);
            check_error(method, "/No/such/7", &detail);
            check_error(method, "/No/such", &detail);
        }
    }

    #[test]
    fn batch_names() {
        assert_eq!(
            route(Method::Post, "Timer/7/set").unwrap().name,
            "Timer.set"
        );
        assert_eq!(route(Method::Get, "/push").unwrap().name, "push");
    }

    #[test]
    fn object_names() {
        for name in ["No.such", "N.s", "Timer.set_2", "T1.a", "Größe.neu"] {
            assert!(is_object(name), "{name}");
        }
        let others = "|.|No|no.such|No.|.no|No.Such|No.such/x|No.8|No.a.b|N o.a|Ö.a|No.a-b";
        for name in others.split('|') {
            assert!(!is_object(name), "{name}");
        }
    }

    #[test]
    fn long_paths_are_read_once() {
        let path = format!("/N{}", "/".repeat(1 << 20));
        assert_eq!(
            resolve(Method::Get, &path, &Form::default()).unwrap().name,
            "N.get"
        );
        let path = "/".repeat(1 << 20);
        assert_eq!(
            resolve(Method::Get, &path, &Form::default()).unwrap().name,
            ""
        );
    }
}
