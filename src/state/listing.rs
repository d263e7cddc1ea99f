//! Lists: who is online (`getUsers`, `getApps`), in full or what a pattern finds, some rows a turn; the settings.

use serde_json::{Value, json};

use crate::call::answer::Data;
use crate::call::error::CallError;
use crate::call::options;
use crate::call::source::{From, Params};
use crate::limits::{GLOB_BYTES_MAX, ROWS_PER_TURN};
use crate::proto::pattern::Pattern;
use crate::state::calls::{Progress, Wait, Work};
use crate::state::hub::match_cost;
use crate::state::server::Server;

/// A list that is being made.
#[derive(Debug)]
pub(super) struct Listing {
    of: Of,
    /// A shell pattern that a name must match; empty for all.
    pattern: Box<str>,
    /// Rows that may still come.
    left: usize,
    rows: Vec<Value>,
}

/// What is listed, and how far that has come.
#[derive(Debug)]
enum Of {
    /// Users of an app, behind this stamp.
    Users { app: Box<str>, after: u64 },
    /// Apps, from this key.
    Apps { from: usize },
}

impl<S> Server<S> {
    pub(super) fn start_users(&mut self, params: &Params<'_>) -> Progress {
        match params.text(From::Both, "app") {
            Ok(app) => {
                let app = app.into();
                self.start_listing(Of::Users { app, after: 0 }, params)
            }
            Err(error) => Progress::Done(Err(error)),
        }
    }

    pub(super) fn start_apps(&mut self, params: &Params<'_>) -> Progress {
        self.start_listing(Of::Apps { from: 0 }, params)
    }

    /// The answer of `getSettings`, in Chinese where `lang` begins with `zh`.
    pub(super) fn settings_table(&mut self, params: &Params<'_>) -> Data {
        let in_chinese = options::text(params, "lang").is_some_and(|lang| lang.starts_with("zh"));
        let rows = self.settings.rows(in_chinese);
        self.spend(SETTINGS_WORK);
        Data::Json(rows)
    }

    fn start_listing(&mut self, of: Of, params: &Params<'_>) -> Progress {
        let pattern = params.text(From::Both, "match").unwrap_or_default();
        let left = match options::limit(params, "limit", usize::MAX) {
            Ok(_) if pattern.len() > GLOB_BYTES_MAX => Err(CallError::new(
                1,
                format!("bad param `match`: a pattern is longer than {GLOB_BYTES_MAX} bytes"),
            )),
            left => left,
        };
        match left {
            Ok(left) => self.continue_listing(Box::new(Listing {
                of,
                pattern: pattern.into(),
                left,
                rows: Vec::new(),
            })),
            Err(error) => Progress::Done(Err(error)),
        }
    }

    pub(super) fn continue_listing(&mut self, mut work: Box<Listing>) -> Progress {
        let Listing {
            of,
            pattern,
            left,
            rows,
        } = &mut *work;
        let kind = match &**pattern {
            "" => Pattern::Any,
            pattern => Pattern::new(pattern),
        };
        let (mut looked, mut cost) = (0, 0);
        // Rows that are no match cost about as much as those that are.
        let mut take = |name: &str, row: &dyn Fn() -> Value| {
            looked += 1;
            cost += match kind {
                Pattern::Any => 1,
                _ => match_cost(pattern, name),
            };
            if kind.matches(name) {
                rows.push(row());
                *left -= 1;
            }
            *left > 0 && looked < ROWS_PER_TURN && (cost as usize) < ROWS_PER_TURN
        };
        let goes_on = match of {
            Of::Users { app, after } => {
                let mut users = self.hub.users(app, *after);
                users.any(|(stamp, user, numeric)| {
                    *after = stamp;
                    !take(user, &|| user_value(user, numeric))
                })
            }
            Of::Apps { from } => {
                let mut apps = self.hub.apps(*from);
                apps.any(|(key, app, count)| {
                    *from = key + 1;
                    !take(app, &|| json!({"app": app, "count": count}))
                })
            }
        };
        let is_full = *left == 0;
        self.spend(cost);
        if goes_on && !is_full {
            return Progress::Wait(Work::Listing(work), Wait::Turn);
        }
        Progress::Done(Ok(Data::Json(Value::Array(work.rows))))
    }
}

/// Work of making a row for every setting.
const SETTINGS_WORK: u32 = 1_000;

/// A number stays a number.
fn user_value(user: &str, numeric: bool) -> Value {
    let number = numeric.then(|| serde_json::from_str(user).ok()).flatten();
    number.unwrap_or_else(|| Value::String(user.to_owned()))
}
