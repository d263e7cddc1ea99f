//! What the functions of plugins wait for, as our own Lua asks for it. Carried out by [`crate::plugin::execute`], and by
//! nobody else: no plugin ever holds one of these.
//!
//! | name | arguments | results |
//! |---|---|---|
//! | `sleep` | ms | none |
//! | `timer` | ms, function, whether again and again | its number |
//! | `clearTimer` | number | whether it was there |
//! | `http` | list of `{url, data?, headers?, useJson?, method?, timeout?}`, timeout in s | list of `{status, body}` or `{error}` |
//! | `call` | action, query, body | `true`, data; or `false`, code, message, detail |
//! | `wsPush` | fd, text | `true`, how many took it |
//! | `wsDisconnect` | fd, code, reason | none |
//! | `database` | `"query"` or `"exec"`, SQL, list of values | `true`, list of rows, number of columns; `true`, rows changed, id inserted; or `false`, why |
//! | `endTransaction` | whether to commit | `true`; or `false`, why |
//! | `session` | `"load"`, `"store"` or `"destroy"`, id or `nil`, members to set, list of those to remove, whether it is new | `true`, id, object; or `false`, why |
//!
//! A row is an object by column; SQL's NULL is no member of it. In a call's coroutine all statements belong to one transaction, which
//! lasts until `endTransaction`, or is rolled back when the coroutine ends without one.

/// The names.
pub(in crate::plugin) const OPS: [&str; 10] = [
    "sleep",
    "timer",
    "clearTimer",
    "http",
    "call",
    "wsPush",
    "wsDisconnect",
    "database",
    "endTransaction",
    "session",
];
