//! The floor: one thread, epoll, no parsing worth the name, one frame made per push and written to
//! every socket. What it costs is the kernel's price; it is no server.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tungstenite::handshake::derive_accept_key;

const LISTENER: Token = Token(usize::MAX);

struct Client {
    stream: TcpStream,
    upgraded: bool,
}

/// Serves until it is killed.
pub fn run(port: u16) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut listener = TcpListener::bind(address).expect("a free port");
    let mut poll = Poll::new().expect("epoll");
    let registry = poll.registry();
    registry
        .register(&mut listener, LISTENER, Interest::READABLE)
        .expect("a new listener");
    let (mut clients, mut buffer) = (Slab::new(), vec![0; 64 << 10]);
    let mut events = Events::with_capacity(1_024);
    loop {
        if let Err(error) = poll.poll(&mut events, None) {
            assert_eq!(error.kind(), ErrorKind::Interrupted);
            continue;
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&poll, &listener, &mut clients),
                Token(key) => serve(&mut clients, key, &mut buffer),
            }
        }
    }
}

fn accept(poll: &Poll, listener: &TcpListener, clients: &mut Slab<Client>) {
    while let Ok((mut stream, _)) = listener.accept() {
        let entry = clients.vacant_entry();
        let registered =
            poll.registry()
                .register(&mut stream, Token(entry.key()), Interest::READABLE);
        if registered.is_ok() && stream.set_nodelay(true).is_ok() {
            entry.insert(Client {
                stream,
                upgraded: false,
            });
        }
    }
}

fn serve(clients: &mut Slab<Client>, key: usize, buffer: &mut [u8]) {
    loop {
        let Some(client) = clients.get_mut(key) else {
            return;
        };
        let len = match client.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(0) | Err(_) => {
                clients.remove(key);
                return;
            }
            Ok(len) => len,
        };
        answer(clients, key, &buffer[..len]);
        if len < buffer.len() {
            return;
        }
    }
}

/// A piece of input is taken for one message; whoever sends several at once gets one answer.
fn answer(clients: &mut Slab<Client>, key: usize, input: &[u8]) {
    if clients[key].upgraded {
        write(&mut clients[key], b"\x81\x02OK");
    } else if let Some(key_line) = memmem::find(input, b"Sec-WebSocket-Key: ") {
        let accept = derive_accept_key(&input[key_line + 19..][..24]);
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
        write(
            &mut clients[key],
            format!("{head}{accept}\r\n\r\n").as_bytes(),
        );
        clients[key].upgraded = true;
    } else if let Some(at) = memmem::find(input, b"\r\n\r\napp=bench&") {
        let body = &input[at + 4..];
        let message = memmem::find(body, b"msg=").map_or(&b""[..], |at| &body[at + 4..]);
        let mut frame = vec![0x81, message.len().min(125) as u8];
        frame.extend_from_slice(&message[..message.len().min(125)]);
        let mut count = 0;
        for (_, client) in clients.iter_mut().filter(|(_, client)| client.upgraded) {
            write(client, &frame);
            count += 1;
        }
        let body = format!("[0,{count}]\n");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        write(&mut clients[key], head.as_bytes());
    } else {
        write(
            &mut clients[key],
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: 6\r\n\r\n[0,0]\n",
        );
    }
}

/// The floor does not queue: what a socket does not take is lost.
fn write(client: &mut Client, bytes: &[u8]) {
    let _ = client.stream.write(bytes);
}
