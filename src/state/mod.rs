//! Every decision, without I/O: `Server::handle` takes what happened, `Server::poll_output`
//! gives what to do, `Server::poll_timeout` says when to come back. All of it runs in a unit
//! test, a fuzzer or a seeded simulation; sockets are a type parameter.

pub mod access;
pub mod api_log;
pub mod batch;
pub mod calls;
pub mod connection;
pub mod console;
pub mod cron;
pub mod delivery;
pub mod dispatch;
pub mod files;
pub mod flush;
pub mod history;
pub mod http;
pub mod hub;
pub mod jobs;
pub mod lifecycle;
pub mod listing;
pub mod log_tail;
pub mod metrics;
pub mod names;
pub mod parked;
pub mod peers;
pub mod plugins;
pub mod poll;
pub mod respond;
pub mod server;
pub mod spec;
pub mod stats;
pub mod sweep;
pub mod timer_queue;
pub mod timers;
pub mod websocket;

#[cfg(test)]
mod simulation;
