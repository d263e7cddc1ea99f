//! The daemon: listeners, channels and threads are made, joined and ended here, in order.
//! Never decides what a request means.

mod pid_file;
#[cfg(not(feature = "lua"))]
#[path = "no_plugins.rs"]
mod plugins;
#[cfg(feature = "lua")]
mod plugins;
mod privileges;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::tz::TimeZone;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::pid_file::PidFile;
use self::plugins::{PluginHost, PluginSender, Surroundings};
use crate::clock::Clock;
use crate::config::Startup;
use crate::disk::{self, Disk, FolderLock, LogSender, TimerStore};
use crate::limits::{DATA_LOCK_WAIT_MS, LOG_STOP_MS, RESERVED_FILES};
use crate::mailbox::Mailbox;
use crate::message::plugin::PluginMsg;
use crate::message::{JobDone, LogFile, ReactorMsg, TimerMsg};
use crate::proto::logtext::LogTime;
use crate::reactor::{self, Listener, Reactor};
use crate::state::server::{Server, Setup};
use crate::state::timers::TimersSetup;
use crate::supervisor::Supervisor;
use crate::timer::{self, TimerSender, TimerThread};
#[cfg(feature = "lua")]
use crate::worker::database::Environment;
use crate::worker::slow::Slow;
use crate::worker::{Work, WorkerPool};
use crate::zone;

/// Runs until SIGTERM or SIGINT. Errors: one line, what could not be had at start.
pub fn run(startup: Startup) -> Result<ExitCode, String> {
    let clock = Clock::start();
    let zone = zone::local();
    let open_files = raise_open_files()?;
    let plugin_sockets_max = plugins::sockets_max(open_files);
    let connections_max = (open_files - RESERVED_FILES) as usize - plugin_sockets_max;
    // Taken first: whoever has the address already may be using the files too. Nobody is answered
    // before the reactor runs.
    let mut listeners = reactor::inherited()?;
    if listeners.is_empty() {
        let own = startup.listeners.iter().map(Listener::bind);
        listeners = own.collect::<Result<Vec<_>, _>>()?;
    }
    let has_tls = startup.tls.is_some();
    let places: Vec<String> = listeners
        .iter()
        .flat_map(|listener| listener.places(has_tls))
        .collect();
    if !has_tls
        && listeners
            .iter()
            .any(|listener| matches!(listener, Listener::Tls(_)))
    {
        return Err(
            "LISTEN_FDS: a socket named tls needs a certificate; expected tls_cert and tls_key"
                .to_owned(),
        );
    }
    let supervisor = Supervisor::from_environment()?;
    let _pid_file = startup
        .pid_file
        .as_deref()
        .map(PidFile::write)
        .transpose()?;
    let sockets: Vec<&Path> = listeners.iter().filter_map(Listener::own_path).collect();
    privileges::drop_to(&startup.user, &startup.data_dir, &sockets)?;
    // Held to the end, so that nobody else writes what is still to be saved.
    let (_lock, lock_warning) = lock_data_dir(&startup.data_dir)?;
    let (stored, warnings, store) = disk::timers::load(&startup.data_dir, &zone)?;
    let (timers, inbox) = timer::channel();
    let disk = spawn_disk(&startup, &zone, store, timers.clone())?;
    let log = OwnLog {
        clock,
        zone: zone.clone(),
        sender: disk.sender.clone(),
    };
    for warning in startup
        .warnings
        .iter()
        .chain(&lock_warning)
        .chain(&warnings)
    {
        log.write(&format!("warning: {warning}"));
    }
    let mut threads = None;
    let slow_log = disk.sender.clone();
    let work = Work {
        slow: Arc::new(Slow::new(zone.clone(), move |line| {
            slow_log.try_send(line.file, line.text);
        })),
        data_dir: startup.data_dir.clone(),
        static_dir: startup.static_dir.clone(),
        settings_file: startup.config_file.clone(),
        #[cfg(feature = "lua")]
        environment: Environment {
            database: std::env::var("P_DB").ok(),
            credentials: std::env::var("P_DBCRED").ok(),
        },
        ..Work::default()
    };
    let sources = work.plugin_sources()?;
    let mut refused = None;
    let reactor = Reactor::new(listeners, startup.tls, supervisor, clock, |mailbox| {
        disk.sender.set_reactor(mailbox.clone());
        work.set_settings(&startup.settings);
        disk.sender
            .set_file_bytes_max(startup.settings.max_log_file_size as u64);
        let workers_max = startup.settings.workers;
        let plugin_sender = PluginSender::default();
        let done = Replies {
            mailbox: mailbox.clone(),
            timers: timers.clone(),
            plugins: plugin_sender.clone(),
        };
        let workers = worker_pool(workers_max, work.clone(), done);
        let plugins = Arc::new(PluginHost::new(Surroundings {
            sender: plugin_sender.clone(),
            mailbox: mailbox.clone(),
            workers: workers.clone(),
            log: disk.sender.clone(),
            zone: zone.clone(),
            clock,
            sockets_max: plugin_sockets_max,
        }));
        let stored_timers = TimersSetup {
            settings: startup.settings.clone(),
            zone: zone.clone(),
            zones: |name| TimeZone::get(name).ok(),
            now: clock.now(),
            stored,
            seed: clock.now().unix_ms,
        };
        let ports = timer_ports(mailbox, workers.clone(), disk.timers, disk.sender.clone());
        let timer_thread = TimerThread::spawn(stored_timers, inbox, ports, clock)?;
        let table = plugins
            .load(&startup.settings, sources)
            .unwrap_or_else(|text| {
                refused = Some(text);
                None
            });
        let ways = Ways {
            work: work.clone(),
            workers: workers.clone(),
            timers: timers.clone(),
            log: disk.sender.clone(),
            plugins: Arc::clone(&plugins),
            plugin_sender,
        };
        threads = Some(Threads {
            work,
            workers,
            timers,
            timer_thread,
            plugins,
        });
        let server = Server::new(Setup {
            settings: startup.settings,
            connections_max,
            static_on_disk: startup.static_dir.is_some(),
            plugins: table,
            zone,
            now: clock.now(),
        });
        Ok((server, ways.into_ports()))
    });
    let reactor = reactor.map_err(|error| format!("cannot start the event loop: {error}"))?;
    let outcome = match &refused {
        Some(_) => {
            drop(reactor);
            Ok(())
        }
        None => {
            announce(&places);
            reactor.run(&format!("serving on {}", places.join(", ")))
        }
    };
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
    match (refused, outcome) {
        (Some(text), _) => Err(text),
        (None, Ok(())) => Ok(ExitCode::SUCCESS),
        (None, Err(_)) => Ok(ExitCode::FAILURE),
    }
}

/// No two daemons in one data folder. One that is just ending, its port free already, is waited for.
fn lock_data_dir(folder: &Path) -> Result<(FolderLock, Option<String>), String> {
    let patience = Duration::from_millis(DATA_LOCK_WAIT_MS);
    disk::lock(folder, patience, || {
        let (folder, seconds) = (folder.display(), patience.as_secs());
        let _ = writeln!(
            io::stderr(),
            "jdserver: another jdserver uses {folder}: waiting up to {seconds} s for its end"
        );
    })
}

/// The threads that serve the reactor, but for the disk thread, which ends last.
struct Threads {
    work: Work,
    workers: WorkerPool,
    timers: TimerSender,
    timer_thread: JoinHandle<()>,
    plugins: Arc<PluginHost>,
}

impl Threads {
    /// Ends them, once the reactor asks for nothing any more.
    fn stop(self) {
        self.plugins.stop();
        self.timers.send(TimerMsg::Stop);
        // It ends when the callbacks that are out have ended, or after a limit of its own.
        let _ = self.timer_thread.join();
        self.work.interrupt();
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

/// Where the outcomes of jobs go: whoever handed them in.
struct Replies {
    mailbox: Mailbox<ReactorMsg>,
    timers: TimerSender,
    plugins: PluginSender,
}

/// Workers, none started yet.
fn worker_pool(workers_max: usize, work: Work, to: Replies) -> WorkerPool {
    WorkerPool::new(workers_max, work, move |done| match done {
        JobDone::Callback(done) => to.timers.send(TimerMsg::CallbackDone(done)),
        JobDone::Task(done) => to.plugins.send(PluginMsg::TaskDone(done)),
        done => to.mailbox.send(ReactorMsg::JobDone(done)),
    })
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

/// What the reactor's ways out lead to.
struct Ways {
    work: Work,
    workers: WorkerPool,
    timers: TimerSender,
    log: LogSender,
    plugins: Arc<PluginHost>,
    plugin_sender: PluginSender,
}

impl Ways {
    fn into_ports(self) -> reactor::Ports {
        let (submitter, callers) = (self.workers.clone(), self.timers.clone());
        let (logs, tail, files) = (self.log.clone(), self.log.clone(), self.log.clone());
        let Ways {
            work,
            workers,
            timers,
            log,
            plugins,
            plugin_sender,
        } = self;
        reactor::Ports {
            submit: Box::new(move |job| submitter.submit(job)),
            log: Box::new(move |line| log.try_send(line.file, line.text)),
            tail: Box::new(move |query| tail.try_tail(query)),
            reopen_logs: Box::new(move || logs.reopen()),
            ask_timers: Box::new(move |call| callers.try_call(call)),
            tell_plugins: Box::new(move |message| plugins.tell(message)),
            tell_settings: Box::new(move |settings| {
                workers.set_workers_max(settings.workers);
                work.set_settings(&settings);
                files.set_file_bytes_max(settings.max_log_file_size as u64);
                plugin_sender.send(PluginMsg::Settings(settings.clone()));
                timers.try_settings(settings)
            }),
        }
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

/// Raises the soft limit on open files to the hard one; how many that are.
fn raise_open_files() -> Result<u64, String> {
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
    Ok(open)
}
