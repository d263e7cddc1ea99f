//! What can be set: one table of settings, and how values get in. Plain data and validation;
//! never reads a file or a clock.
//!
//! | module | what |
//! |---|---|
//! | [`table`] | every setting: name, default, range, when it may change, what it is for |
//! | [`rule`] | what a value must look like, and how a message says so |
//! | [`value`] | the types of values, from text and back |
//! | [`address`] | networks (`10.0.0.0/8`), listeners (`[::1]:8081`, `unix:/path`), origins, the base path |
//! | [`database`] | which database plugins use, and by which name and password |
//! | [`change`] | set one, set one at run time (`conf`), differences, reload |
//! | [`mod@file`] | the TOML text |
//! | [`shown`] | all of them as a call shows them |
//! | [`template`] | a new settings file |
//!
//! The file key `port` is `conf_port` at run time.

pub mod address;
pub mod change;
pub mod database;
pub mod file;
pub mod rule;
pub mod shown;
pub mod table;
pub mod template;
pub mod value;

pub use address::{BasePath, IpNet, Listen};
pub use change::{Origin, SettingError};
pub use database::DatabaseAt;
pub use file::{FileError, FileValues};
pub use rule::Rule;
pub use table::{Setting, Settings, TABLE, When};
pub use value::{FullQueue, Overlap, Secret};
