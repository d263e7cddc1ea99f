//! TBD
pub mod cron;
pub mod timer_queue;
