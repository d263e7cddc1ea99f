//! The daemon: listeners, channels and threads are made, joined and ended here, in order.
//! Never decides what a request means.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use jiff::tz::TimeZone;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Startup;
use crate::disk;
use crate::limits::{LOG_STOP_MS, RESERVED_FILES};
use crate::message::LogFile;
use crate::proto::logtext::LogTime;
use crate::reactor::run::Clock;
use crate::reactor::{Listener, Ports, Reactor};
use crate::state::server::{Server, Setup};
use crate::worker::{pool::WorkerPool, work::Work};

/// Runs until SIGTERM or SIGINT. Errors: one line, what could not be had at start.
pub fn run(startup: Startup) -> Result<ExitCode, String> {
    let clock = Clock::start();
    let zone = TimeZone::system();
    let connections_max = raise_open_files()?;
    let listeners = startup
        .listeners
        .iter()
        .map(Listener::bind)
        .collect::<Result<Vec<_>, _>>()?;
    let places: Vec<String> = listeners.iter().map(Listener::place).collect();
    let disk = disk::spawn(&startup.data_dir, startup.log_file.as_deref(), zone.clone())
        .map_err(|error| error.to_string())?;
    // A second daemon in one process (a test) keeps the first one's sink.
    let _ = disk::sink::install(disk.sender.clone(), zone.clone());
    let mut log_time = LogTime::new(zone.clone());
    for warning in &startup.warnings {
        let text = log_time.server_line(clock.now().unix_ms, &format!("warning: {warning}"));
        disk.sender.try_send(LogFile::Server, text);
    }
    let work = Work {
        static_dir: startup.static_dir.clone(),
        settings_file: startup.config_file.clone(),
        ..Work::default()
    };
    work.set_callback_settings(&startup.settings);
    let mut pool = None;
    let reactor = Reactor::new(listeners, clock, |mailbox| {
        let workers = std::sync::Arc::new(WorkerPool::new(
            startup.settings.workers,
            move |job| work.run(job),
            move |done| mailbox.send(done),
        ));
        pool = Some(std::sync::Arc::clone(&workers));
        let (submitter, log, logs) = (
            std::sync::Arc::clone(&workers),
            disk.sender.clone(),
            disk.sender.clone(),
        );
        let ports = Ports {
            submit: Box::new(move |job| submitter.submit(job)),
            log: Box::new(move |line| log.try_send(line.file, line.text)),
            reopen_logs: Box::new(move || logs.reopen()),
            set_workers_max: Box::new(move |workers_max| workers.set_workers_max(workers_max)),
        };
        let server = Server::new(Setup {
            settings: startup.settings,
            connections_max,
            static_on_disk: startup.static_dir.is_some(),
            zone,
            now: clock.now(),
        });
        (server, ports)
    })
    .map_err(|error| format!("cannot start the event loop: {error}"))?;
    announce(&places);
    let outcome = reactor.run();
    let limit = Duration::from_millis(LOG_STOP_MS);
    if let Some(pool) = pool {
        pool.close(limit);
    }
    if let Err(error) = &outcome {
        let text = log_time.server_line(
            clock.now().unix_ms,
            &format!("the event loop failed: {error}"),
        );
        disk.sender.try_send(LogFile::Server, text);
    }
    if disk.sender.stop(limit) {
        // It ends after what was queued; a disk that hangs must not hold the exit up.
        let _ = disk.thread.join();
    }
    Ok(if outcome.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One line per listener on standard output; a closed one is no reason to stop.
fn announce(places: &[String]) {
    let mut out = io::stdout().lock();
    for place in places {
        let _ = writeln!(out, "jdserver: serving on {place}");
    }
    let _ = out.flush();
}

/// Raises the soft limit on open files to the hard one; the connections that leaves room for.
fn raise_open_files() -> Result<usize, String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let open = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let open = open.unwrap_or(u64::from(u32::MAX));
    if open < 2 * RESERVED_FILES {
        return Err(format!(
            "only {open} open files are allowed (ulimit -n): at least {} are needed",
            2 * RESERVED_FILES
        ));
    }
    Ok((open - RESERVED_FILES) as usize)
}
