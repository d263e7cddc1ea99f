//! The functions that plugins know: their Lua parts are in `prelude/*.lua`, each function with its documentation above it.
//!
//! | module | what |
//! |---|---|
//! | [`library`] | all of it in one state; how a call or an event becomes a function and its arguments |
//! | [`ops`] | what waiting functions ask of the scheduler |
//! | [`host`] | what the functions need of the daemon: clock, zone, settings, logs |
//! | [`offers`] | what loaded plugins handle, and what answers an action |
//! | [`call`] | one call under way: its request, what it adds to its response |
//! | [`param`] | `env:param` |
//! | [`text`], [`digest`], [`date`], [`json`], [`sql`] | functions in Rust |
//!
//! Nothing of ours looks up a global of plugins, and they never see a table that ours trust, so whatever they overwrite
//! is theirs alone.

pub(in crate::plugin) mod call;
mod date;
mod digest;
pub(in crate::plugin) mod host;
mod json;
pub(in crate::plugin) mod library;
mod offers;
pub(in crate::plugin) mod ops;
mod param;
pub(in crate::plugin) mod sql;
#[cfg(test)]
mod tests;
mod text;
