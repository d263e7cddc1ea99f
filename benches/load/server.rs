//! A server under test: a process of its own, what it costs, and its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running process; killed when dropped.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    /// From its start to its first answer.
    pub start_ms: f64,
    /// What was resident when it said that it serves, before anybody came; 0: it says nothing.
    pub start_bytes: u64,
    child: Child,
    folder: Option<PathBuf>,
}

/// Seconds of CPU time.
#[derive(Clone, Copy)]
pub struct Cpu {
    pub user_s: f64,
    pub all_s: f64,
}

const JDSERVER: &str = "jdserver";

impl Server {
    /// The binary of this build, in an empty folder.
    pub fn jdserver() -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("jdserver-bench-{port}"));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        let mut command = Command::new(env!("CARGO_BIN_EXE_jdserver"));
        command
            .args(["-p", &port.to_string(), "-l", "own.log"])
            .current_dir(&folder);
        Server::start(JDSERVER, port, command, Some(folder))
    }

    /// The floor program: this very binary, otherwise employed.
    pub fn floor(name: &'static str) -> Self {
        let port = free_port();
        let own = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(own);
        command.args(["floor", &port.to_string()]);
        Server::start(name, port, command, None)
    }

    fn start(name: &'static str, port: u16, mut command: Command, folder: Option<PathBuf>) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let begun = Instant::now();
        let stdout = match name {
            JDSERVER => Stdio::piped(),
            _ => Stdio::null(),
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let stdout = child.stdout.take();
        let told = stdout.and_then(|stdout| BufReader::new(stdout).lines().next());
        let start_bytes = told.map_or(0, |_| status_bytes(child.id(), "VmRSS:"));
        while !answers(address) {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{name} does not answer on {address}"
            );
            std::thread::sleep(Duration::from_micros(200));
        }
        let start_ms = begun.elapsed().as_secs_f64() * 1e3;
        Server {
            name,
            address,
            start_ms,
            start_bytes,
            child,
            folder,
        }
    }

    /// A blocking connection that gives up after a while.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server takes connections");
        stream.set_nodelay(true).expect("an open socket");
        let limit = Some(Duration::from_secs(30));
        stream.set_read_timeout(limit).expect("a limit above zero");
        stream
    }

    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> Cpu {
        let stat = self.proc_text("stat");
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse().ok()).unwrap_or(0.0);
        // Linux tells ticks of 10 ms to all programs, whatever its own clock is.
        let (user_s, system_s): (f64, f64) = (ticks(11) / 100.0, ticks(12) / 100.0);
        Cpu {
            user_s,
            all_s: self.exact_cpu_s().unwrap_or(user_s + system_s),
        }
    }

    /// The sum over its threads in ns, where the kernel keeps it.
    fn exact_cpu_s(&self) -> Option<f64> {
        let mut total_ns = 0u64;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()? {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            total_ns += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        (total_ns > 0).then_some(total_ns as f64 / 1e9)
    }

    pub fn rss_bytes(&self) -> u64 {
        status_bytes(self.child.id(), "VmRSS:")
    }

    /// The most it ever had.
    pub fn peak_bytes(&self) -> u64 {
        status_bytes(self.child.id(), "VmHWM:")
    }

    fn proc_text(&self, file: &str) -> String {
        proc_text(self.child.id(), file)
    }
}

fn proc_text(process: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default()
}

fn status_bytes(process: u32, name: &str) -> u64 {
    let status = proc_text(process, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; either way nothing of it stays.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket").port()
}

fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let request = b"GET /push?app=nobody&user=*&msg=x HTTP/1.1\r\nHost: bench\r\n\r\n";
    stream.write_all(request).is_ok() && stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0)
}
