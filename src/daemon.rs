//! The daemon: listeners, channels and threads are made, joined and ended here, in order.
//! Never decides what a request means.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::tz::TimeZone;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clock::Clock;
use crate::config::Startup;
use crate::disk::{self, Disk};
use crate::limits::{LOG_STOP_MS, RESERVED_FILES};
use crate::message::{JobDone, LogFile, ReactorMsg, StoredTimers, TimerMsg};
use crate::proto::logtext::LogTime;
use crate::reactor::{Listener, Mailbox, Ports, Reactor};
use crate::state::server::{Server, Setup};
use crate::state::timers::{Timers, TimersSetup};
use crate::timer::{self, TimerSender, TimerThread};
use crate::worker::{Work, WorkerPool};

/// Runs until SIGTERM or SIGINT. Errors: one line, what could not be had at start.
pub fn run(startup: Startup) -> Result<ExitCode, String> {
    let clock = Clock::start();
    let zone = TimeZone::system();
    let connections_max = raise_open_files()?;
    // Taken first: whoever has the address already may be using the files too. Nobody is answered before
    // the reactor runs.
    let listeners = startup
        .listeners
        .iter()
        .map(Listener::bind)
        .collect::<Result<Vec<_>, _>>()?;
    let places: Vec<String> = listeners.iter().map(Listener::place).collect();
    let stored = StoredTimers::default();
    let disk = disk::spawn(&startup.data_dir, startup.log_file.as_deref(), zone.clone())
        .map_err(|error| error.to_string())?;
    // A second daemon in one process (a test) keeps the first one's sink.
    let _ = disk::sink::install(disk.sender.clone(), zone.clone());
    let own_log = OwnLog {
        clock,
        zone: zone.clone(),
        disk: &disk,
    };
    for warning in &startup.warnings {
        own_log.write(&format!("warning: {warning}"));
    }
    let mut threads = None;
    let reactor = Reactor::new(listeners, clock, |mailbox| {
        let started = Threads::start(&startup, stored, &disk, mailbox, &zone, clock)?;
        let ports = started.reactor_ports(&disk);
        threads = Some(started);
        let server = Server::new(Setup {
            static_on_disk: startup.static_dir.is_some(),
            settings: startup.settings,
            connections_max,
            zone: zone.clone(),
            now: clock.now(),
        });
        Ok((server, ports))
    });
    let reactor = reactor.map_err(|error| format!("cannot start the event loop: {error}"))?;
    announce(&places);
    let outcome = reactor.run();
    if let Err(error) = &outcome {
        own_log.write(&format!("the event loop failed: {error}"));
    }
    if let Some(threads) = threads {
        threads.stop();
    }
    stop_disk(disk);
    Ok(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// The threads that serve the reactor, but for the disk thread, which ends last.
struct Threads {
    workers: WorkerPool,
    timers: TimerSender,
    timer_thread: JoinHandle<()>,
}

impl Threads {
    /// Starts the timer thread; workers start on demand. Each is given its ways to the others.
    fn start(
        startup: &Startup,
        stored: StoredTimers,
        disk: &Disk,
        mailbox: Mailbox,
        zone: &TimeZone,
        clock: Clock,
    ) -> io::Result<Self> {
        let (timers, inbox) = timer::channel();
        let work = Work {
            static_dir: startup.static_dir.clone(),
            settings_file: startup.config_file.clone(),
        };
        let (to_timers, to_reactor) = (timers.clone(), mailbox.clone());
        let workers = WorkerPool::new(
            startup.settings.workers,
            move |job| work.run(job),
            move |done| match done {
                JobDone::Callback(done) => to_timers.send(TimerMsg::CallbackDone(done)),
                done => to_reactor.send(ReactorMsg::JobDone(done)),
            },
        );
        let state = Timers::new(TimersSetup {
            settings: startup.settings.clone(),
            stored,
            zone: zone.clone(),
            now: clock.now(),
        });
        let (submitter, records, log) = (workers.clone(), disk.sender.clone(), disk.sender.clone());
        let ports = timer::Ports {
            tell_reactor: Box::new(move |message| mailbox.send(message)),
            store: Box::new(move |record| records.try_record(record)),
            submit: Box::new(move |job| submitter.submit(job)),
            log: Box::new(move |line| log.try_send(line.file, line.text)),
        };
        let timer_thread = TimerThread::spawn(state, inbox, ports, clock)?;
        Ok(Threads {
            workers,
            timers,
            timer_thread,
        })
    }

    /// The reactor's ways out.
    fn reactor_ports(&self, disk: &Disk) -> Ports {
        let (log, logs) = (disk.sender.clone(), disk.sender.clone());
        let (submitter, workers) = (self.workers.clone(), self.workers.clone());
        let (callers, settings_to) = (self.timers.clone(), self.timers.clone());
        Ports {
            submit: Box::new(move |job| submitter.submit(job)),
            log: Box::new(move |line| log.try_send(line.file, line.text)),
            reopen_logs: Box::new(move || logs.reopen()),
            ask_timers: Box::new(move |call| callers.try_call(call)),
            tell_settings: Box::new(move |settings| {
                workers.set_workers_max(settings.workers);
                settings_to.try_settings(settings)
            }),
        }
    }

    /// Ends them, once nobody asks for anything any more.
    fn stop(self) {
        self.timers.send(TimerMsg::Stop);
        // It ends when the callbacks that are out have ended, or after a limit of its own.
        let _ = self.timer_thread.join();
        self.workers.close(Duration::from_millis(LOG_STOP_MS));
    }
}

/// The server's own log, for the few lines of the daemon itself.
struct OwnLog<'d> {
    clock: Clock,
    zone: TimeZone,
    disk: &'d Disk,
}

impl OwnLog<'_> {
    fn write(&self, text: &str) {
        let mut time = LogTime::new(self.zone.clone());
        let line = time.server_line(self.clock.now().unix_ms, text);
        self.disk.sender.try_send(LogFile::Server, line);
    }
}

/// Has what is queued written; a disk that hangs must not hold the exit up.
fn stop_disk(disk: Disk) {
    if disk.sender.stop(Duration::from_millis(LOG_STOP_MS)) {
        let _ = disk.thread.join();
    }
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
