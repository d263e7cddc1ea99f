//! Calls of URLs against servers of plain threads, each answering as its test says.

mod answers;
mod connections;
mod requests;
mod tls;

use super::*;
use crate::call::callback::build;
use crossbeam_channel::{Receiver, Sender, unbounded};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

const LONG_MS: u64 = 60_000;

/// What a test server saw.
#[derive(Debug)]
struct Seen {
    connection: usize,
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn has(&self, line: &str) -> bool {
        self.head
            .lines()
            .any(|given| given.eq_ignore_ascii_case(line))
    }
}

/// Accepts connections on `127.0.0.1`, each on a thread of its own, until the process ends. Gives the port.
fn listen(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for (at, stream) in listener.incoming().flatten().enumerate() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(at, stream));
        }
    });
    port
}

/// One request; `None` at the connection's end.
fn request(connection: usize, reader: &mut impl BufRead) -> Option<Seen> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        (name.eq_ignore_ascii_case("content-length")).then(|| value.parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Seen {
        connection,
        head,
        body,
    })
}

/// A server that gives an answer to every request by what it is, and tells what it saw.
fn server(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> (u16, Receiver<Seen>) {
    let (seen, requests): (Sender<Seen>, _) = unbounded();
    let port = listen(move |at, mut stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        while let Some(request) = request(at, &mut reader) {
            let answer = answer(&request);
            let _ = seen.send(request);
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    });
    (port, requests)
}

fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn redirect(status: u16, to: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nLocation: {to}\r\nContent-Length: 2\r\n\r\nno").into_bytes()
}

fn callback(fields: &Value, timeout_ms: u64) -> Callback {
    Callback {
        timer: -7,
        version: 3,
        request: build(fields.as_object().expect("an object")).expect("a request"),
        timeout_ms,
    }
}

fn call(callbacks: &Callbacks, fields: Value) -> Result<(u16, String), String> {
    let done = callbacks.run(callback(&fields, LONG_MS));
    assert_eq!((done.timer, done.version, done.timed_out), (-7, 3, false));
    outcome(done)
}

fn outcome(done: CallbackDone) -> Result<(u16, String), String> {
    match done.outcome {
        Ok((status, text)) => Ok((status, text.into())),
        Err(reason) => Err(reason.into()),
    }
}

fn is(status: u16, text: &str) -> Result<(u16, String), String> {
    Ok((status, text.to_owned()))
}
