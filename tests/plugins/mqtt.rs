//! The MQTT broker in `mqtt/` beside this file, with mosquitto's own clients and with packets that no client would send.

use std::path::Path;
use std::process::Command;

use crate::common::http::{Conn, get, push};
use crate::common::process::Process;
use crate::common::program::program;
use crate::common::server::Server;
use crate::common::websocket::Ws;

/// A topic that says something to all who subscribe to it.
const READY: &str = "test/ready";

const CONNECTED: &[u8] = b"\x20\x02\0\0";

struct Broker {
    server: Server,
    port: u16,
}

impl Broker {
    #[track_caller]
    fn start() -> Self {
        let source = include_str!("mqtt/jdserver.d/mqtt.lua");
        let source = source.replace("127.0.0.1:1883", "127.0.0.1:0");
        let server = Server::setup().file("jdserver.d/mqtt.lua", &source).start();
        let answer = get(&server, "/mqttAddress?_raw=1");
        let port = answer.trim().rsplit_once(':');
        let port = port.and_then(|(_, port)| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no address: {answer}"));
        let broker = Broker { server, port };
        let mut client = broker.client("", 0);
        client.send([&[0x31], &publication(READY, "now")[1..], b"\xc0\0"].concat());
        assert_eq!(client.take(2).as_deref(), Some(b"\xd0\0".as_slice()));
        broker
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(arguments);
        command
    }

    /// `mosquitto_sub`, once it has subscribed: then it is sent what is retained.
    #[track_caller]
    fn subscriber(&self, program: &Path, arguments: &[&str]) -> Process {
        let mut command = self.command(program, &["-F", "got %t %p %r", "-t", READY]);
        let subscriber = Process::start(command.args(arguments));
        subscriber.line(|line| line == "got test/ready now 1");
        subscriber
    }

    /// `mosquitto_pub`, to its end.
    #[track_caller]
    fn publish(&self, program: &Path, arguments: &[&str]) {
        let output = self.command(program, arguments).output();
        let output = output.expect("mosquitto_pub runs");
        assert!(output.status.success(), "{output:?}");
    }

    /// A connection that sends these bytes first.
    fn raw(&self, bytes: &[u8]) -> Conn {
        let mut conn = Conn::open_port(self.port);
        conn.send(bytes);
        conn
    }

    /// A client of a few bytes, greeted.
    #[track_caller]
    fn client(&self, id: &str, alive_s: u8) -> Conn {
        let mut conn = self.raw(&connect(2, alive_s, &[id]));
        assert_eq!(conn.take(4).as_deref(), Some(CONNECTED));
        conn
    }
}

/// A packet of less than 128 bytes.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first, body.len() as u8], body].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn connect(flags: u8, alive_s: u8, texts: &[&str]) -> Vec<u8> {
    let mut body = [text("MQTT"), vec![4, flags, 0, alive_s]].concat();
    for part in texts {
        body.extend(text(part));
    }
    packet(0x10, &body)
}

fn publication(topic: &str, payload: &str) -> Vec<u8> {
    packet(0x30, &[text(topic), payload.into()].concat())
}

fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[vec![0, 7], text(filter), vec![0]].concat())
}

#[test]
fn mosquittos_clients_and_push_hear_each_other() {
    let (Some(publisher), Some(subscriber)) = (program("mosquitto_pub"), program("mosquitto_sub"))
    else {
        return;
    };
    let broker = Broker::start();
    let mut web = Ws::user(&broker.server, "mqtt", "home/a/temp");
    let one = broker.subscriber(&subscriber, &["-t", "home/+/temp", "-t", "plain"]);
    let all = broker.subscriber(&subscriber, &["-t", "home/#"]);

    broker.publish(&publisher, &["-t", "home/a/temp", "-m", "21.5"]);
    assert_eq!(web.text(), "21.5");
    one.line(|line| line == "got home/a/temp 21.5 0");
    all.line(|line| line == "got home/a/temp 21.5 0");

    // Acknowledged, or mosquitto_pub would wait on.
    broker.publish(&publisher, &["-q", "1", "-t", "home", "-m", "parent"]);
    all.line(|line| line == "got home parent 0");

    assert_eq!(push(&broker.server, "mqtt", "home/a/temp", "pushed"), 1);
    one.line(|line| line == "got home/a/temp pushed 0");
    assert_eq!(web.text(), "pushed");
    // One text for many is not published to any.
    assert_eq!(push(&broker.server, "mqtt", "home/*", "to all"), 1);
    assert_eq!(web.text(), "to all");
    assert_eq!(push(&broker.server, "mqtt", "plain,home/b", "last"), 0);
    one.line(|line| line == "got plain last 0");
    all.line(|line| line == "got home/b last 0");
    for line in one.lines().iter().chain(&all.lines()) {
        assert!(!line.contains("to all") && line != "got home parent 1");
    }
    assert!(!one.lines().iter().any(|line| line.contains("parent")));
    web.quiet();
}

#[test]
fn what_is_retained_waits_for_subscribers_and_a_will_for_a_death() {
    let (Some(publisher), Some(subscriber)) = (program("mosquitto_pub"), program("mosquitto_sub"))
    else {
        return;
    };
    let broker = Broker::start();
    broker.publish(&publisher, &["-r", "-t", "kept/a", "-m", "old"]);
    broker.publish(&publisher, &["-r", "-t", "kept/a", "-m", "new"]);
    broker.publish(&publisher, &["-r", "-t", "kept/b", "-m", "gone soon"]);
    broker.publish(&publisher, &["-r", "-t", "kept/b", "-n"]);
    let late = broker.subscriber(&subscriber, &["-t", "kept/+", "-t", "will/+"]);
    late.line(|line| line == "got kept/a new 1");

    let will = |topic| ["--will-topic", topic, "--will-payload", "died", "-t", "x"];
    let killed = broker.subscriber(&subscriber, &will("will/killed"));
    drop(killed);
    late.line(|line| line == "got will/killed died 0");
    // It says DISCONNECT: nobody hears of its will.
    broker.publish(
        &publisher,
        &[
            "--will-topic",
            "will/well",
            "--will-payload",
            "died",
            "-t",
            "x",
            "-n",
        ],
    );
    // Silence of one and a half of its second is the death of this one.
    let mut silent = broker.raw(&connect(6, 1, &["s", "will/silent", "died"]));
    assert_eq!(silent.take(4).as_deref(), Some(CONNECTED));
    silent.send(b"\xc0\0");
    assert_eq!(silent.take(2).as_deref(), Some(b"\xd0\0".as_slice()));
    silent.ended();
    late.line(|line| line == "got will/silent died 0");
    let lines = late.lines();
    let said = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(!said("got will/well") && !said("got kept/b") && !said("got kept/a old"));
}

#[test]
fn packets_come_in_any_pieces_and_a_client_again_replaces_itself() {
    let broker = Broker::start();
    let mut first = broker.client("me", 0);
    for byte in subscribe("a/b").iter().chain(&publication("a/b", "hi")) {
        first.send([*byte]);
    }
    assert_eq!(
        first.take(5).as_deref(),
        Some(b"\x90\x03\0\x07\0".as_slice())
    );
    let said = publication("a/b", "hi");
    assert_eq!(first.take(said.len()), Some(said));
    // Several in one piece, a wrong filter refused by its code.
    let bytes = [subscribe("a/#/b"), subscribe("+"), publication("x", "y")].concat();
    first.send(bytes);
    let codes = b"\x90\x03\0\x07\x80\x90\x03\0\x07\0";
    assert_eq!(first.take(10).as_deref(), Some(codes.as_slice()));
    let said = publication("x", "y");
    assert_eq!(first.take(said.len()), Some(said));
    let unsubscribe = [vec![0, 9], text("+")].concat();
    first.send([packet(0xa2, &unsubscribe), publication("x", "z")].concat());
    assert_eq!(first.take(4).as_deref(), Some(b"\xb0\x02\0\x09".as_slice()));
    let mut second = broker.client("me", 0);
    first.ended();
    second.send(b"\xc0\0");
    assert_eq!(second.take(2).as_deref(), Some(b"\xd0\0".as_slice()));
}

#[test]
fn a_wrong_packet_ends_its_own_connection_only() {
    let broker = Broker::start();
    let mut other = broker.client("other", 0);
    let greeted = connect(2, 0, &["c"]);
    let behind = |bytes: &[u8]| [&greeted[..], bytes].concat();
    let name = |name: &str, level: u8| {
        packet(
            0x10,
            &[text(name), vec![level, 2, 0, 0], text("c")].concat(),
        )
    };
    let other_level = b"\x20\x02\0\x01";
    let no_id = b"\x20\x02\0\x02";
    for (what, bytes, answer) in [
        (
            "a length of five bytes",
            b"\x10\xff\xff\xff\xff\x01".to_vec(),
            &b""[..],
        ),
        ("256 MB", b"\x10\xff\xff\xff\x7f".to_vec(), b""),
        ("another protocol", name("HTTP", 4), b""),
        ("an old protocol", name("MQIsdp", 3), b""),
        ("another level", name("MQTT", 5), other_level),
        ("no id, and a session", connect(0, 0, &[""]), no_id),
        ("a reserved flag", connect(3, 0, &["c"]), b""),
        ("a will's QoS without a will", connect(0x0a, 0, &["c"]), b""),
        (
            "a will to a wildcard",
            connect(6, 0, &["c", "a/#", "x"]),
            b"",
        ),
        (
            "a text that ends too late",
            packet(0x10, b"\0\xffMQTT\x04\x02\0\0"),
            b"",
        ),
        (
            "HTTP",
            [b"GET / HTTP/1.1\r\nHost: ".to_vec(), vec![b'a'; 69]].concat(),
            b"",
        ),
        ("PUBLISH first", publication("a", "b"), b""),
        ("a second CONNECT", behind(&greeted), CONNECTED),
        (
            "a wildcard as topic",
            behind(&publication("a/+", "x")),
            CONNECTED,
        ),
        ("an empty topic", behind(&publication("", "x")), CONNECTED),
        (
            "a topic with a NUL",
            behind(&publication("a\0b", "x")),
            CONNECTED,
        ),
        (
            "QoS 2",
            behind(&packet(0x34, &[text("a"), vec![0, 1]].concat())),
            CONNECTED,
        ),
        (
            "QoS 3",
            behind(&packet(0x36, &[text("a"), vec![0, 1]].concat())),
            CONNECTED,
        ),
        (
            "SUBSCRIBE with wrong flags",
            behind(&packet(0x80, b"\0\x01\0\x01a\0")),
            CONNECTED,
        ),
        (
            "SUBSCRIBE to nothing",
            behind(&packet(0x82, b"\0\x01")),
            CONNECTED,
        ),
        (
            "SUBSCRIBE with QoS 3",
            behind(&packet(0x82, b"\0\x01\0\x01a\x03")),
            CONNECTED,
        ),
        ("a packet of a server", behind(b"\x20\x02\0\0"), CONNECTED),
        ("packet 15", behind(b"\xf0\0"), CONNECTED),
    ] {
        let mut conn = broker.raw(&bytes);
        let got = String::from_utf8_lossy(&conn.rest()).into_owned();
        assert_eq!(got, String::from_utf8_lossy(answer), "{what}");
    }
    // Half a packet is none: its sender is gone.
    drop(broker.raw(&greeted[..7]));
    other.send(b"\xc0\0");
    assert_eq!(other.take(2).as_deref(), Some(b"\xd0\0".as_slice()));
    assert_eq!(push(&broker.server, "mqtt", "nobody", "x"), 0);
}
