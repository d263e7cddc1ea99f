//! A raw HTTP/1.1 client: sends the bytes it is given and reads answers one by one. It checks on
//! every answer what contract 7 asks of all of them; it never retries and never follows.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustls::ClientConnection;
use socket2::{Domain, Socket, Type};

use crate::common::server::Server;
use crate::common::{WAIT, wait_for};

/// One answer, its body taken out of its framing.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

/// A connection and what was read from it but not yet used.
pub struct Conn {
    socket: Socket,
    tls: Option<Box<ClientConnection>>,
    pending: Vec<u8>,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the server says that the connection ends with this answer.
    pub fn closes(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Conn {
    /// Connects to the server's TCP port.
    pub fn open(server: &Server) -> Self {
        Self::open_port(server.port())
    }

    /// Connects to a port of this machine.
    pub fn open_port(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Self::from(Socket::from(stream))
    }

    /// Speaks TLS on a connection from now on; its first bytes leave with the first that is sent or read.
    pub fn with_tls(mut self, tls: ClientConnection) -> Self {
        self.tls = Some(Box::new(tls));
        self
    }

    /// The TLS side, for what was agreed on.
    pub fn tls(&mut self) -> &mut ClientConnection {
        self.tls.as_mut().expect("TLS")
    }

    /// Connects to a Unix socket.
    pub fn open_unix(path: &Path) -> Self {
        Self::from(Socket::from(UnixStream::connect(path).expect("connect")))
    }

    /// Connects with a receive buffer of a few KiB, so that not reading is soon noticed.
    pub fn open_narrow(server: &Server) -> Self {
        Self::open_narrow_port(server.port())
    }

    /// The same, to a port of this machine.
    pub fn open_narrow_port(port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        socket.set_recv_buffer_size(4 << 10).expect("buffer size");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        socket.connect(&address.into()).expect("connect");
        Self::from(socket)
    }

    /// Sends all of `bytes`.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write_all(bytes.as_ref())
            .expect("the server takes bytes");
    }

    /// Sends bytes as they are, past TLS.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.socket
            .write_all(bytes)
            .expect("the server takes bytes");
    }

    /// Has the end of this connection be a reset.
    pub fn reset_on_close(&self) {
        self.socket
            .set_linger(Some(Duration::ZERO))
            .expect("linger");
    }

    /// Sends what the server may not want any more: it may have answered and closed.
    pub fn offer(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    /// Sends what the socket takes at once, and says how much that was.
    pub fn send_some(&mut self, bytes: &[u8]) -> usize {
        self.socket.set_nonblocking(true).expect("nonblocking");
        let result = self.socket.write(bytes);
        self.socket.set_nonblocking(false).expect("blocking");
        match result {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// The same connection for another thread, without what was read from it.
    pub fn twin(&self) -> Self {
        Self {
            socket: self.socket.try_clone().expect("clone"),
            tls: None,
            pending: Vec::new(),
        }
    }

    /// The next answer, to a request that was not HEAD.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// The next answer, to a request with this method.
    #[track_caller]
    pub fn answer_to(&mut self, method: &str) -> Answer {
        let head = self.head();
        let text = String::from_utf8(head).expect("heads are ASCII here");
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {first:?}"));
        let headers: Vec<_> = lines
            .take_while(|line| !line.is_empty())
            .map(header)
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        check_head(&answer);
        if method != "HEAD" && status >= 200 && status != 204 && status != 304 {
            self.body(&mut answer);
        }
        answer
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Waits for the orderly end of the connection; a byte or a reset before it is a failure.
    #[track_caller]
    pub fn ended(&mut self) {
        while self.fill().expect("an end, not an error") > 0 {}
        assert_eq!(
            String::from_utf8_lossy(&self.pending),
            "",
            "bytes before the end"
        );
    }

    /// Ends our direction only; over TLS without a word.
    pub fn half_close(&mut self) {
        self.socket.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Whether something came within `pause`. Paces a slow sender, never decides a test.
    pub fn readable_within(&mut self, pause: Duration) -> bool {
        self.socket.set_read_timeout(Some(pause)).expect("timeout");
        let before = self.pending.len();
        let result = self.fill();
        self.socket.set_read_timeout(Some(WAIT)).expect("timeout");
        match result {
            Ok(0) => true,
            Ok(_) => self.pending.len() > before,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// Exactly `n` bytes; `None` when the connection ends before them.
    #[track_caller]
    pub fn take(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.pending.len() < n {
            match self.fill() {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("waiting for {n} bytes: {error}"),
            }
        }
        Some(self.pending.drain(..n).collect())
    }

    /// Everything until the end.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill().expect("an end, not an error") > 0 {}
        std::mem::take(&mut self.pending)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 << 10];
        let n = self.read_wire(&mut buffer)?;
        self.pending.extend_from_slice(&buffer[..n]);
        Ok(n)
    }

    fn read_wire(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).read(buffer),
        }
    }

    #[track_caller]
    fn head(&mut self) -> Vec<u8> {
        let end = self.find(b"\r\n\r\n", 0);
        self.pending.drain(..end + 4).collect()
    }

    /// Where `wanted` stands in the coming bytes, at or behind `from`.
    #[track_caller]
    fn find(&mut self, wanted: &[u8], from: usize) -> usize {
        loop {
            let rest = self.pending.get(from..).unwrap_or_default();
            if let Some(at) = memchr::memmem::find(rest, wanted) {
                return from + at;
            }
            match self.fill() {
                Ok(0) => panic!("ended after {:?}", String::from_utf8_lossy(&self.pending)),
                Ok(_) => {}
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.pending)),
            }
        }
    }

    #[track_caller]
    fn body(&mut self, answer: &mut Answer) {
        if answer.header("transfer-encoding").is_some() {
            return self.chunks(answer);
        }
        answer.body = match answer.header("content-length") {
            Some(length) => {
                let length = length.parse().expect("a length");
                self.take(length).expect("the whole body")
            }
            None => self.rest(),
        };
    }

    #[track_caller]
    fn chunks(&mut self, answer: &mut Answer) {
        loop {
            let end = self.find(b"\r\n", 0);
            let line = String::from_utf8_lossy(&self.pending[..end]).into_owned();
            let size = usize::from_str_radix(&line, 16).expect("a chunk size");
            self.pending.drain(..end + 2);
            let mut chunk = self.take(size + 2).expect("the whole chunk");
            assert_eq!(chunk.split_off(size), b"\r\n", "behind a chunk");
            answer.body.append(&mut chunk);
            if size == 0 {
                return;
            }
        }
    }
}

impl Read for Conn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pending.is_empty() {
            return self.read_wire(buffer);
        }
        let n = self.pending.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.pending[..n]);
        self.pending.drain(..n);
        Ok(n)
    }
}

impl Write for Conn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.write(bytes),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<Socket> for Conn {
    fn from(socket: Socket) -> Self {
        socket.set_read_timeout(Some(WAIT)).expect("timeout");
        socket.set_write_timeout(Some(WAIT)).expect("timeout");
        Self {
            socket,
            tls: None,
            pending: Vec::new(),
        }
    }
}

/// Asks once, on a connection of its own: request line and headers, then the body.
#[track_caller]
pub fn ask(server: &Server, method: &str, target: &str, headers: &str, body: &str) -> Answer {
    ask_port(server.port(), method, target, headers, body)
}

/// Asks once at a port of this machine.
#[track_caller]
pub fn ask_port(port: u16, method: &str, target: &str, headers: &str, body: &str) -> Answer {
    let mut conn = Conn::open_port(port);
    let length = match (method, body.len()) {
        ("GET" | "HEAD" | "OPTIONS", 0) => String::new(),
        (_, length) => format!("Content-Length: {length}\r\n"),
    };
    conn.send(format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n{body}"
    ));
    let answer = conn.answer_to(method);
    conn.ended();
    answer
}

/// The body of the answer to a GET, which must be a 200.
#[track_caller]
pub fn get(server: &Server, target: &str) -> String {
    let answer = ask(server, "GET", target, "", "");
    assert_eq!(answer.status, 200, "GET {target}: {answer:?}");
    answer.text()
}

/// Pushes by a form and says how many took it.
#[track_caller]
pub fn push(server: &Server, app: &str, user: &str, message: &str) -> usize {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let body = format!("app={app}&user={user}&msg={message}");
    let answer = ask(server, "POST", "/push", form, &body).text();
    let count = answer
        .strip_prefix("[0,")
        .and_then(|rest| rest.strip_suffix("]\n"));
    count
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("no count: {answer}"))
}

/// Waits until `getUsers` lists exactly `users` (a JSON list) for `app`.
#[track_caller]
pub fn wait_users(server: &Server, app: &str, users: &str) {
    let target = format!("/getUsers?app={app}");
    let wanted = format!("[0,{users}]\n");
    wait_for(&format!("the users {users}"), || {
        (get(server, &target) == wanted).then_some(())
    });
}

/// Waits until the server holds no connection but the one that asks.
#[track_caller]
pub fn wait_alone(server: &Server) {
    wait_for("all other connections to be closed", || {
        get(server, "/stat")
            .contains(r#""connection_num":1,"#)
            .then_some(())
    });
}

/// What holds for every answer (RFC 9110, 6.6.1 and 8.6; RFC 9112, 6; contract 7.8).
#[track_caller]
fn check_head(answer: &Answer) {
    let count = |name: &str| {
        answer
            .headers
            .iter()
            .filter(|(known, _)| known == name)
            .count()
    };
    if answer.status == 100 {
        return;
    }
    let date = answer
        .header("date")
        .unwrap_or_else(|| panic!("no Date: {answer:?}"));
    assert!(httpdate::parse_http_date(date).is_ok(), "Date: {date}");
    assert_eq!(count("date"), 1, "{answer:?}");
    assert!(
        count("content-length") + count("transfer-encoding") <= 1,
        "{answer:?}"
    );
    if matches!(answer.status, 101 | 204) {
        assert_eq!(
            count("content-length") + count("transfer-encoding"),
            0,
            "{answer:?}"
        );
    }
}

#[track_caller]
fn header(line: &str) -> (String, String) {
    let (name, value) = line
        .split_once(':')
        .unwrap_or_else(|| panic!("not a header: {line:?}"));
    assert!(!line.contains(['\r', '\n']), "a bare line end in {line:?}");
    (name.to_ascii_lowercase(), value.trim().to_owned())
}
