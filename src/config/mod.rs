//! Raw arguments and the settings file become valid settings, in one place and before anything
//! starts.
//!
//! | module | what |
//! |---|---|
//! | [`options`] | the option table, the help text |
//! | [`startup`] | options over file over defaults; listeners, paths and warnings |
//! | [`layout`] | what a new installation is to be |
//! | [`man`], [`completions`] | the manual page and what shells complete by, made of the tables |

pub mod completions;
pub mod layout;
pub mod man;
pub mod options;
pub mod startup;

pub use layout::{Layout, Service};
pub use startup::{Command, Startup, parse};

/// The settings file's name, beside or in /etc/jdserver.
pub const FILE_NAME: &str = "jdserver.toml";
