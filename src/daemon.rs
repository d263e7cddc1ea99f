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
use crate::disk::{self, Disk, LogSender, TimerStore};
use crate::limits::{LOG_STOP_MS, RESERVED_FILES};
use crate::mailbox::Mailbox;
use crate::message::{JobDone, LogFile, ReactorMsg, TimerMsg};
use crate::proto::logtext::LogTime;
use crate::reactor::{self, Listener, Reactor};
use crate::state::server::{Server, Setup};
use crate::state::timers::{Timers, TimersSetup};
use crate::timer::{self, TimerSender, TimerThread};
use crate::worker::{Work, WorkerPool};

/// Runs until SIGTERM or SIGINT. Errors: one line, what could not be had at start.
pub fn run(startup: Startup) -> Result<ExitCode, String> {
    let clock = Clock::start();
    let zone = TimeZone::system();
    let connections_max = raise_open_files()?;
    // Taken first: whoever has the address already may be using the files too. Nobody is answered
    // before the reactor runs.
    let listeners = startup
        .listeners
        .iter()
        .map(Listener::bind)
        .collect::<Result<Vec<_>, _>>()?;
    let places: Vec<String> = listeners.iter().map(Listener::place).collect();
    let (stored, warnings, store) = disk::timers::load(&startup.data_dir)?;
    let (timers, inbox) = timer::channel();
    let disk = spawn_disk(&startup, &zone, store, timers.clone())?;
    let log = OwnLog {
        clock,
        zone: zone.clone(),
        sender: disk.sender.clone(),
    };
    for warning in startup.warnings.iter().chain(&warnings) {
        log.write(&format!("warning: {warning}"));
    }
    let mut threads = None;
    let reactor = Reactor::new(listeners, clock, |mailbox| {
        disk.sender.set_reactor(mailbox.clone());
        let work = Work {
            data_dir: startup.data_dir.clone(),
            static_dir: startup.static_dir.clone(),
            settings_file: startup.config_file.clone(),
            ..Work::default()
        };
        work.set_callback_settings(&startup.settings);
        let workers_max = startup.settings.workers;
        let workers = worker_pool(workers_max, work.clone(), mailbox.clone(), timers.clone());
        let state = Timers::new(TimersSetup {
            settings: startup.settings.clone(),
            zone: zone.clone(),
            zones: |name| TimeZone::get(name).ok(),
            now: clock.now(),
            stored,
            seed: clock.now().unix_ms,
        });
        let ports = timer_ports(mailbox, workers.clone(), disk.timers, disk.sender.clone());
        let timer_thread = TimerThread::spawn(state, inbox, ports, clock)?;
        let ports = reactor_ports(
            work.clone(),
            workers.clone(),
            timers.clone(),
            disk.sender.clone(),
        );
        threads = Some(Threads {
            work,
            workers,
            timers,
            timer_thread,
        });
        let server = Server::new(Setup {
            settings: startup.settings,
            connections_max,
            static_on_disk: startup.static_dir.is_some(),
            plugins: None,
            zone,
            now: clock.now(),
        });
        Ok((server, ports))
    });
    let reactor = reactor.map_err(|error| format!("cannot start the event loop: {error}"))?;
    announce(&places);
    let outcome = reactor.run();
    if let Err(error) = &outcome {
        log.write(&format!("the event loop failed: {error}"));
    }
    if let Some(threads) = threads {
        threads.stop();
    }
    let limit = Duration::from_millis(LOG_STOP_MS);
    if disk.sender.stop(limit) {
        // It ends after what was queued; a disk or a pipe that hangs must not hold the exit up.
        let (ended, wait) = crossbeam_channel::bounded::<()>(0);
        std::thread::spawn(move || {
            let _ = disk.thread.join();
            drop(ended);
        });
        let _ = wait.recv_timeout(limit);
    }
    Ok(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// The threads that serve the reactor, but for the disk thread, which ends last.
struct Threads {
    work: Work,
    workers: WorkerPool,
    timers: TimerSender,
    timer_thread: JoinHandle<()>,
}

impl Threads {
    /// Ends them, once the reactor asks for nothing any more.
    fn stop(self) {
        self.timers.send(TimerMsg::Stop);
        // It ends when the callbacks that are out have ended, or after a limit of its own.
        let _ = self.timer_thread.join();
        self.work.interrupt_callbacks();
        self.workers.close(Duration::from_millis(LOG_STOP_MS));
    }
}

/// The server's own log, for the few lines of the daemon itself.
struct OwnLog {
    clock: Clock,
    zone: TimeZone,
    sender: LogSender,
}

impl OwnLog {
    fn write(&self, text: &str) {
        let mut time = LogTime::new(self.zone.clone());
        let line = time.server_line(self.clock.now().unix_ms, text);
        self.sender.try_send(LogFile::Server, line);
    }
}

/// The disk thread, which answers the timer thread, and its log as the process's.
fn spawn_disk(
    startup: &Startup,
    zone: &TimeZone,
    store: TimerStore,
    timers: TimerSender,
) -> Result<Disk, String> {
    let kept = disk::Timers {
        store,
        reply: Box::new(move |message| timers.send(message)),
    };
    let log_file = startup.log_file.as_deref();
    let disk = disk::spawn(&startup.data_dir, log_file, zone.clone(), Some(kept))
        .map_err(|error| error.to_string())?;
    // A second daemon in one process (a test) keeps the first one's sink.
    let _ = disk::sink::install(disk.sender.clone(), zone.clone());
    Ok(disk)
}

/// Workers, none started yet. What became of a callback concerns the timer thread, all else the reactor.
fn worker_pool(
    workers_max: usize,
    work: Work,
    mailbox: Mailbox<ReactorMsg>,
    timers: TimerSender,
) -> WorkerPool {
    WorkerPool::new(
        workers_max,
        move |job| work.run(job),
        move |done| match done {
            JobDone::Callback(done) => timers.send(TimerMsg::CallbackDone(done)),
            done => mailbox.send(ReactorMsg::JobDone(done)),
        },
    )
}

/// The timer thread's ways out.
fn timer_ports(
    mailbox: Mailbox<ReactorMsg>,
    workers: WorkerPool,
    records: disk::TimerSender,
    log: LogSender,
) -> timer::Ports {
    timer::Ports {
        tell_reactor: Box::new(move |message| mailbox.send(message)),
        store: Box::new(move |record| records.try_send(record)),
        submit: Box::new(move |job| workers.submit(job)),
        log: Box::new(move |line| log.try_send(line.file, line.text)),
    }
}

/// The reactor's ways out.
fn reactor_ports(
    work: Work,
    workers: WorkerPool,
    timers: TimerSender,
    log: LogSender,
) -> reactor::Ports {
    let (submitter, callers, logs, tail) =
        (workers.clone(), timers.clone(), log.clone(), log.clone());
    reactor::Ports {
        submit: Box::new(move |job| submitter.submit(job)),
        log: Box::new(move |line| log.try_send(line.file, line.text)),
        tail: Box::new(move |query| tail.try_tail(query)),
        reopen_logs: Box::new(move || logs.reopen()),
        ask_timers: Box::new(move |call| callers.try_call(call)),
        tell_plugins: Box::new(|_| {}),
        tell_settings: Box::new(move |settings| {
            workers.set_workers_max(settings.workers);
            work.set_callback_settings(&settings);
            timers.try_settings(settings)
        }),
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
