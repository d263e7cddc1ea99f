//! What an installation begins with, and the service of a machine with systemd. Done instead of serving, by whoever may
//! write there; never starts the service.
//!
//! | module | what |
//! |---|---|
//! | [`init`] | the settings file, an example plugin, folders; nothing that is there is overwritten |
//! | [`service`] | the unit and its user; how the unit goes again |
//! | [`unit`] | the unit's text |
//! | [`host`] | the machine that is changed: its root folder, programs, accounts |

pub mod host;
pub mod init;
pub mod service;
pub mod unit;

pub use init::init;
