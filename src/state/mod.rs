//! TBD
pub mod cron;
