//! A conversation with a client that is not ours: tungstenite's.

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Message, client};

use crate::common::http::{Conn, push, wait_users};
use crate::common::server::Server;
use crate::common::websocket::init;

#[test]
fn another_client() {
    let server = Server::setup().argument("--echo").start();
    let url = format!("ws://127.0.0.1:{}/jdserver", server.port());
    let (mut socket, _) = client(url, Conn::open(&server)).expect("a handshake");
    let mut said = |message: Message| {
        socket.send(message).expect("sent");
        socket.read().expect("an answer")
    };
    assert_eq!(
        said(Message::text(init("interop", "u"))),
        Message::text("OK")
    );
    assert_eq!(
        said(Message::Ping(Bytes::from_static(b"p"))),
        Message::Pong(Bytes::from_static(b"p"))
    );
    assert_eq!(push(&server, "interop", "*", "hello"), 1);
    assert_eq!(socket.read().expect("a push"), Message::text("hello"));
    socket.close(None).expect("closing");
    let closed = socket.read().expect("a close");
    assert!(matches!(closed, Message::Close(_)), "{closed:?}");
    assert!(socket.read().is_err(), "the end");
    wait_users(&server, "interop", "[]");
}

#[test]
fn another_client_is_told_why() {
    let server = Server::start();
    let url = format!("ws://127.0.0.1:{}/", server.port());
    let (mut socket, _) = client(url, Conn::open(&server)).expect("a handshake");
    socket.send(Message::text("no json")).expect("sent");
    assert_eq!(
        socket.read().expect("a text"),
        Message::text("*** require json data. but recv: no json")
    );
    let Message::Close(Some(close)) = socket.read().expect("a close") else {
        panic!("a close was due")
    };
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Invalid, "bad data format")
    );
}
