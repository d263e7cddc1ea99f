//! Sockets of plugins in the real binary: the services of `net/` beside this file, driven by sockets of std.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Socket, Type};

use crate::common::http::{Conn, get};
use crate::common::server::{Server, Setup};
use crate::common::{WAIT, wait_for};

const SOURCE: &str = include_str!("net/api.lua");

struct Net {
    server: Server,
    tcp: SocketAddr,
    udp: SocketAddr,
}

impl Net {
    #[track_caller]
    fn start() -> Self {
        Self::start_with(Server::setup())
    }

    #[track_caller]
    fn start_with(setup: Setup) -> Self {
        let server = setup.file("api.lua", SOURCE).start();
        let places = get(&server, "/places?_raw=1");
        let places = places.trim().split(' ');
        let mut places = places.map(|place| place.parse().expect("an address"));
        let (tcp, udp) = (places.next(), places.next());
        Net {
            server,
            tcp: tcp.expect("two"),
            udp: udp.expect("two"),
        }
    }

    /// A connection that was greeted so.
    #[track_caller]
    fn open(&self, greeting: &str) -> Conn {
        let mut conn = Conn::open_port(self.tcp.port());
        check(&mut conn, "", greeting);
        conn
    }

    fn write(&self, source: &str) {
        fs::write(self.server.folder().join("api.lua"), source).expect("written");
    }

    #[track_caller]
    fn reload(&self, answer: &str) {
        assert_eq!(get(&self.server, "/reload"), answer);
    }

    #[track_caller]
    fn connect(&self, to: &str) -> String {
        get(&self.server, &format!("/connect?to={to}&_raw=1"))
    }
}

/// Sends a command; the next line must be this.
#[track_caller]
fn check(conn: &mut Conn, command: &str, line: &str) {
    conn.send(command);
    let wanted = format!("{line}\n");
    let got = conn.take(wanted.len()).expect("a whole line");
    assert_eq!(String::from_utf8_lossy(&got), wanted, "{command:?}");
}

#[test]
fn lines_bytes_and_waits_that_end() {
    let net = Net::start();
    let mut conn = net.open("one");
    check(&mut conn, "line a\r\n", "a");
    check(&mut conn, "bytes 5\n12\n45", "12\n45");
    check(&mut conn, "bytes 0\n", "");
    check(&mut conn, "nothing\n", "nil timeout");
    check(&mut conn, "line behind it\nline b\n", "behind it");
    check(&mut conn, "", "b");
    let another = "another coroutine reads this socket";
    check(&mut conn, "twice\n", another);
    check(&mut conn, "", &format!("left nil, {another}"));
}

#[test]
fn a_peer_may_end_its_half_and_a_plugin_all() {
    let net = Net::start();
    let mut conn = net.open("one");
    conn.send("line a\nno end");
    conn.half_close();
    check(&mut conn, "", "a");
    check(&mut conn, "", "left no end, closed");
    conn.ended();
    let mut conn = net.open("one");
    check(&mut conn, "close\n", "closing");
    conn.ended();
    net.server.line_in("trace.log", |line| {
        line.ends_with("after a close: the socket is closed, the socket is closed")
    });
    // One that breaks, while it is read from, ends its own coroutine only.
    let conn = net.open("one");
    conn.reset_on_close();
    drop(conn);
    check(&mut net.open("one"), "line c\n", "c");
}

#[test]
fn who_does_not_read_holds_up_only_who_writes_to_it() {
    let net = Net::start();
    let mut lazy = Conn::open_narrow_port(net.tcp.port());
    check(&mut lazy, "", "one");
    lazy.send("flood\n");
    check(&mut net.open("one"), "line still here\n", "still here");
    net.server.line_in("trace.log", |line| {
        line.ends_with("flood ended: timeout, then a write was given up")
    });
    let mut conn = net.open("one");
    check(&mut conn, "huge\n", "more than 4194304 bytes in one write");
    check(&mut conn, "line still open\n", "still open");
}

#[test]
fn datagrams_are_answered() {
    let net = Net::start();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    socket.set_read_timeout(Some(WAIT)).expect("timeout");
    let mut buffer = [0; 100];
    for (data, answer) in [
        ("tea", "TEA"),
        ("", ""),
        ("huge", "MESSAGE TOO LONG (OS ERROR 90)"),
    ] {
        socket.send_to(data.as_bytes(), net.udp).expect("sent");
        let (len, from) = socket.recv_from(&mut buffer).expect("an answer");
        assert_eq!(from, net.udp);
        assert_eq!(String::from_utf8_lossy(&buffer[..len]), answer);
    }
}

#[test]
fn what_cannot_be_connected_to_says_why() {
    let net = Net::start();
    let local = net.tcp.to_string();
    assert_eq!(net.connect(&local), "connected\n");
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let address = closed.local_addr().expect("an address").to_string();
    drop(closed);
    let refused = net.connect(&address);
    assert!(refused.contains("Connection refused"), "{refused}");
    let wrong = net.connect("nonsense");
    assert!(wrong.contains("expected HOST:PORT"), "{wrong}");
    // Its queue is full and nobody accepts: the system drops what comes.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    full.bind(&any.into()).expect("bound");
    full.listen(0).expect("listens");
    let address = full.local_addr().expect("an address");
    let queued: Vec<Socket> = (0..4)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("nonblocking");
            // In progress, or done.
            let _ = socket.connect(&address);
            socket
        })
        .collect();
    let address = address.as_socket().expect("an address");
    let late = net.connect(&format!("{address}&timeout=0.05"));
    assert_eq!(late, "timeout\n");
    drop(queued);
}

#[test]
fn sockets_are_bounded_and_come_back() {
    let net = Net::start();
    let many = || -> [usize; 2] {
        let answer = get(&net.server, "/many");
        let numbers = answer.split(|c: char| !c.is_ascii_digit());
        let mut numbers = numbers.filter_map(|number| number.parse().ok()).skip(1);
        let (count, bound) = (numbers.next(), numbers.next());
        assert!(answer.ends_with(" sockets of plugins\"]]\n"), "{answer}");
        [count, bound].map(|number| number.unwrap_or_else(|| panic!("{answer}")))
    };
    // Each has another end here, and a few at last found room for one end only.
    let [count, bound] = many();
    let whole = bound / 2 - 10;
    assert!((whole..bound).contains(&count), "{count}");
    wait_for("as many once they are closed", || {
        (many()[0] >= whole).then_some(())
    });
    check(&mut net.open("one"), "line again\n", "again");
}

#[test]
fn few_open_files_are_not_all_the_plugins() {
    // One in eight may be theirs; some are kept for logs and URLs.
    let net = Net::start_with(Server::setup().open_files(400));
    let mut own: Vec<Conn> = (0..60).map(|_| Conn::open_port(net.tcp.port())).collect();
    let answer = get(&net.server, "/connect?to=127.0.0.1:1&_raw=1");
    assert_eq!(answer, "more than 50 sockets of plugins\n");
    let mut others: Vec<Conn> = (0..100).map(|_| Conn::open(&net.server)).collect();
    for conn in &mut others {
        conn.send("GET /getUsers?app=a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(conn.answer().text(), "[0,[]]\n");
    }
    // Whoever found no room was told by the end of its connection.
    let greeted = own.iter_mut().filter_map(|conn| conn.take(4));
    assert_eq!(greeted.count(), 48);
}

#[test]
fn a_reload_hands_the_port_over_and_closes_what_was_open() {
    let net = Net::start();
    let address = net.tcp.to_string();
    let two = SOURCE.replace("\"127.0.0.1:0\", \"one\"", &format!("{address:?}, \"two\""));
    let mut before = net.open("one");
    // One that does not load leaves all as it is.
    net.write(&format!("{two}\nnosuch()\n"));
    let answer = get(&net.server, "/reload");
    assert!(
        answer.starts_with("[4,") && answer.contains("api.lua:"),
        "{answer}"
    );
    check(&mut before, "line a\n", "a");
    check(&mut net.open("one"), "line a\n", "a");
    net.write(&two);
    net.reload("[0,true]\n");
    let got = String::from_utf8_lossy(&before.rest()).into_owned();
    assert_eq!(got, "", "it is of no use any more");
    let mut conn = net.open("two");
    check(&mut conn, "line b\n", "b");
    // Again and again, with nobody refused in between.
    for _ in 0..3 {
        net.reload("[0,true]\n");
        check(&mut net.open("two"), "line c\n", "c");
    }
    // Without it, nobody listens.
    net.write("");
    net.reload("[0,true]\n");
    wait_for("nobody to listen", || {
        std::net::TcpStream::connect(net.tcp).is_err().then_some(())
    });
    assert_eq!(get(&net.server, "/getUsers?app=a"), "[0,[]]\n");
}
