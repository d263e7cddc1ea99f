//! A program beside the daemon that a test starts, talks to by lines, and ends. Never a guess about when it speaks.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::WAIT;

/// A running program.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    output: Arc<Output>,
}

/// All lines of standard output and standard error so far.
#[derive(Default)]
pub struct Output {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Process {
    /// Starts it with pipes.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let output = Arc::new(Output::default());
        output.follow(child.stdout.take().expect("piped"));
        output.follow(child.stderr.take().expect("piped"));
        let stdin = child.stdin.take().expect("piped");
        Self {
            child,
            stdin,
            output,
        }
    }

    /// Tells it a line.
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("it reads");
    }

    /// Its first line that `wanted` accepts, also when it comes later.
    #[track_caller]
    pub fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.output
            .find(wanted, Instant::now() + WAIT)
            .unwrap_or_else(|seen| panic!("no such line in {seen:#?}"))
    }

    /// All its lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.output.lines()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the program said: {:#?}", self.output.lines());
        }
    }
}

impl Output {
    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic while locked").clone()
    }

    /// Takes in all lines of a pipe, by a thread of its own.
    pub fn follow(self: &Arc<Self>, pipe: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                output
                    .lines
                    .lock()
                    .expect("no panic while locked")
                    .push(line);
                output.grown.notify_all();
            }
        });
    }

    /// The first line that `wanted` accepts; after `deadline` all lines there were.
    pub fn find(
        &self,
        wanted: impl Fn(&str) -> bool,
        deadline: Instant,
    ) -> Result<String, Vec<String>> {
        let mut lines = self.lines.lock().expect("no panic while locked");
        loop {
            if let Some(line) = lines.iter().find(|line| wanted(line)) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return Err(lines.clone());
            }
            lines = self
                .grown
                .wait_timeout(lines, left)
                .expect("no panic while locked")
                .0;
        }
    }
}
