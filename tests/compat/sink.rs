//! The server that timers call back: it keeps every request and answers `sink-ok`. A path holding
//! `status=N` is answered with that status. Never a check of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A running sink; its threads end with the test process.
pub struct Sink {
    /// Its base URL, without a slash at the end.
    pub url: String,
    hits: Arc<Hits>,
}

#[derive(Default)]
struct Hits {
    list: Mutex<Vec<Value>>,
    grown: Condvar,
}

impl Sink {
    /// Serves on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let hits = Arc::new(Hits::default());
        let shared = Arc::clone(&hits);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hits = Arc::clone(&shared);
                thread::spawn(move || while serve(&stream, &hits).is_some() {});
            }
        });
        Self { url, hits }
    }

    /// All requests since the last call, once there are `wanted` or `within` has passed.
    pub fn take(&self, wanted: usize, within: Duration) -> Vec<Value> {
        let deadline = Instant::now() + within;
        let mut list = self.hits.list.lock().expect("no panic while locked");
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if list.len() >= wanted || left == Duration::ZERO {
                return std::mem::take(&mut list);
            }
            list = self
                .hits
                .grown
                .wait_timeout(list, left)
                .expect("no panic while locked")
                .0;
        }
    }
}

/// Takes and answers one request; `None` when the connection is over.
fn serve(stream: &TcpStream, hits: &Hits) -> Option<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = serde_json::Map::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), Value::from(value.trim()));
    }
    let length = headers.get("content-length").and_then(Value::as_str);
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body);
    let hit = json!({"method": method, "path": path, "headers": headers, "body": body});
    hits.list.lock().expect("no panic while locked").push(hit);
    hits.grown.notify_all();
    let status = path
        .split_once("status=")
        .and_then(|(_, rest)| rest.get(..3))
        .unwrap_or("200");
    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 7\r\n\r\nsink-ok");
    (&mut &*stream).write_all(answer.as_bytes()).ok()
}
