//! The real binary, serving from a fresh folder on a free port; it ends with its test, also when
//! that fails. Never a signal to a process that was not started here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::process::Output;
use crate::common::{WAIT, wait_for};

/// What the binary says, once per listener, when it takes connections.
const SERVING: &str = "jdserver: serving on ";

/// A running server.
pub struct Server {
    child: Child,
    port: u16,
    output: Arc<Output>,
    arguments: Vec<String>,
    settings: Option<String>,
    folder: Arc<Folder>,
}

/// How to start one: arguments, settings and files beside them.
pub struct Setup {
    arguments: Vec<String>,
    settings: Option<String>,
    folder: Arc<Folder>,
    port: u16,
    open_files: Option<u32>,
}

/// A folder in the temporary one, gone with its owner.
pub struct Folder(pub PathBuf);

impl Server {
    /// A server with defaults.
    #[track_caller]
    pub fn start() -> Self {
        Self::setup().start()
    }

    /// A server with these lines as its settings file.
    #[track_caller]
    pub fn configured(settings: &str) -> Self {
        Self::setup().settings(settings).start()
    }

    /// A server still to be described.
    pub fn setup() -> Setup {
        Setup {
            arguments: Vec::new(),
            settings: None,
            folder: Arc::new(Folder::new()),
            port: 0,
            open_files: None,
        }
    }

    /// Its first TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its working folder: the data folder, with the settings file in it.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Sends `TERM`, `KILL`, `HUP`, or `STOP` and `CONT`.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh")
            .arg("-c")
            .arg(command)
            .status()
            .expect("sh runs");
        assert!(status.success(), "signal {name} was not sent");
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the server's end", || child.try_wait().expect("own child"))
    }

    /// Ends it by a signal, `TERM` or `KILL`, and says how to start it again in the same folder.
    #[track_caller]
    pub fn stopped(mut self, signal: &str) -> Setup {
        self.signal(signal);
        self.ended();
        Setup {
            arguments: std::mem::take(&mut self.arguments),
            settings: self.settings.take(),
            folder: Arc::clone(&self.folder),
            port: 0,
            open_files: None,
        }
    }

    /// How to start another one in the same folder.
    pub fn twin(&self) -> Setup {
        Setup {
            arguments: Vec::new(),
            settings: None,
            folder: Arc::clone(&self.folder),
            port: 0,
            open_files: None,
        }
    }

    /// The names of its threads.
    #[track_caller]
    pub fn threads(&self) -> Vec<String> {
        let path = format!("/proc/{}/task", self.child.id());
        let tasks = fs::read_dir(path).expect("a running server");
        // One that has just ended has no name.
        let names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).collect()
    }

    /// The most memory it ever held, bytes (`VmHWM`).
    #[track_caller]
    pub fn memory_peak(&self) -> usize {
        self.status("VmHWM:")
    }

    #[track_caller]
    fn status(&self, name: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("a running server");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect(name);
        line.trim()
            .trim_end_matches(" kB")
            .parse::<usize>()
            .expect("a number")
            << 10
    }

    /// The memory it holds, bytes (`VmRSS`).
    #[track_caller]
    pub fn memory(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The processor time it has used, its own and the system's on its behalf.
    #[track_caller]
    pub fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(path).expect("a running server");
        // Behind the name, which may hold anything, utime and stime are the 12th and 13th.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("ticks"))
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// The first line of its output that `wanted` accepts, also when it comes later.
    #[track_caller]
    pub fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + WAIT;
        self.output
            .find(wanted, deadline)
            .unwrap_or_else(|seen| panic!("no such line in {seen:#?}"))
    }

    /// Waits until a file in the folder holds a line that `wanted` accepts, and returns that.
    #[track_caller]
    pub fn line_in(&self, file: &str, wanted: impl Fn(&str) -> bool) -> String {
        let path = self.folder().join(file);
        wait_for(&format!("a line in {file}"), || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.lines().find(|line| wanted(line)).map(str::to_owned)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the server said: {:#?}", self.output.lines());
        }
    }
}

impl Setup {
    /// One more command line argument.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A port that others know already, instead of any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// At most so many files open at once.
    pub fn open_files(mut self, count: u32) -> Self {
        self.open_files = Some(count);
        self
    }

    /// The text of `jdserver.toml`.
    pub fn settings(mut self, text: &str) -> Self {
        self.settings = Some(text.to_owned());
        self
    }

    /// A file in the folder, its parents made. `static/` stands beside the settings file, so there
    /// is one then, if only an empty one.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.settings.get_or_insert_default();
        let path = self.folder.0.join(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("folders");
        fs::write(path, content).expect("file");
        self
    }

    /// The folder the server will run in.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Starts the binary and waits until it says where it serves.
    #[track_caller]
    pub fn start(self) -> Server {
        let binary = env!("CARGO_BIN_EXE_jdserver");
        let mut command = match self.open_files {
            None => Command::new(binary),
            Some(count) => {
                let mut shell = Command::new("sh");
                let script = format!("ulimit -n {count} && exec \"$0\" \"$@\"");
                shell.arg("-c").arg(script).arg(binary);
                shell
            }
        };
        command
            .current_dir(&self.folder.0)
            .args(["-p", &self.port.to_string(), "-d"])
            .arg(&self.folder.0);
        if let Some(settings) = &self.settings {
            let path = self.folder.0.join("jdserver.toml");
            fs::write(&path, settings).expect("settings");
            command.arg("-c").arg(path);
        }
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let output = Arc::new(Output::default());
        output.follow(child.stdout.take().expect("piped"));
        output.follow(child.stderr.take().expect("piped"));
        // From here on a panic ends the child as well.
        let mut server = Server {
            child,
            port: 0,
            output,
            arguments: self.arguments,
            settings: self.settings,
            folder: self.folder,
        };
        server.port = wait_for("the line that says where it serves", || {
            if let Some(status) = server.child.try_wait().expect("own child") {
                panic!("the server ended at start: {status}");
            }
            let said = server
                .output
                .find(|line| tcp_port(line).is_some(), Instant::now())
                .ok()?;
            tcp_port(&said)
        });
        server
    }
}

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("jdserver-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays is a nuisance, not a failure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The port in `jdserver: serving on http://127.0.0.1:PORT/`, or of all interfaces.
fn tcp_port(line: &str) -> Option<u16> {
    let url = line.strip_prefix(SERVING)?.strip_prefix("http://")?;
    let (host, port) = url.strip_suffix('/')?.rsplit_once(':')?;
    matches!(host, "127.0.0.1" | "0.0.0.0")
        .then(|| port.parse().ok())
        .flatten()
}
