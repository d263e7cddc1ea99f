//! Parameters that a call can do without, of query or body. Never whether their values make sense.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::call::error::CallError;
use crate::call::param::{self, Type};
use crate::call::source::{From, Params};
use crate::proto::form::Field;
use crate::proto::json;

/// An integer that came, however. Errors: code 1, it is none.
pub fn integer(params: &Params<'_>, name: &str, kind: &Type) -> Result<Option<i64>, CallError> {
    let Some(field) = params.get(From::Both, name) else {
        return Ok(None);
    };
    // Only days and times need a zone.
    let value = param::convert(name, kind, &field, &TimeZone::UTC)?;
    Ok(value.as_i64())
}

/// How many of something: at least 1, at most `max`, which is also taken where nothing came. Errors: code 1, no integer.
pub fn limit(params: &Params<'_>, name: &str, max: usize) -> Result<usize, CallError> {
    let given = integer(params, name, &Type::Integer)?;
    Ok(given.map_or(max, |limit| {
        usize::try_from(limit).unwrap_or_default().clamp(1, max)
    }))
}

/// Text as it came, not escaped: it is compared with what is stored as it came.
pub fn text<'p>(params: &'p Params<'_>, name: &str) -> Option<Cow<'p, str>> {
    Some(match params.find(From::Both, name)? {
        Field::Text(text) => Cow::Borrowed(text),
        Field::Json(Value::String(text)) => Cow::Borrowed(text),
        Field::Json(value) => Cow::Owned(json::to_text(value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::source::Body;
    use crate::proto::form::Form;

    #[track_caller]
    fn check(query: &str, want: Result<usize, &str>) {
        let params = Params {
            query: Form::parse(query.as_bytes()),
            body: Body::Map(Form::default()),
            escape: true,
        };
        let got = limit(&params, "limit", 50).map_err(|error| error.detail.into_owned());
        assert_eq!(got, want.map_err(str::to_owned), "{query}");
        assert_eq!(text(&params, "t").as_deref(), Some("<b>"));
    }

    #[test]
    fn limits_are_within_bounds() {
        check("t=<b>", Ok(50));
        check("t=<b>&limit=", Ok(50));
        check("t=<b>&limit=7", Ok(7));
        check("t=<b>&limit=0", Ok(1));
        check("t=<b>&limit=-9", Ok(1));
        check("t=<b>&limit=99999999999", Ok(50));
        check(
            "t=<b>&limit=x",
            Err("Bad Request - integer param `limit`=`x`."),
        );
    }
}
