//! Contract 7 line by line against the real binary, with raw sockets: each rule with requests it
//! accepts and requests it refuses. Never what a call means: that is `compat`.
//!
//! [`heads`] request lines and headers, [`bodies`] their framing, [`connections`] keep-alive and
//! order, [`bounds`] caps and deadlines, [`upgrades`] the way to WebSocket, [`polls`] long polls, [`files`] static files.

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod bounds;
mod connections;
mod files;
mod heads;
mod polls;
mod upgrades;

use common::http::{Answer, Conn};
use common::server::Server;

/// A whole request that any server answers with 200 and [`NOBODY`].
const PLAIN: &str = "GET /getUsers?app=nobody HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The body of the answer to [`PLAIN`].
const NOBODY: &str = "[0,[]]\n";

/// Sends `request` and then [`PLAIN`] on one connection; both must be answered, so the first did
/// not end the connection nor leave bytes of itself behind. Returns the first answer.
#[track_caller]
fn accepted(server: &Server, request: impl AsRef<[u8]>) -> Answer {
    let mut conn = Conn::open(server);
    conn.send([request.as_ref(), PLAIN.as_bytes()].concat());
    let answer = conn.answer();
    assert_eq!(
        answer.status,
        200,
        "{:?}: {answer:?}",
        String::from_utf8_lossy(request.as_ref())
    );
    let second = conn.answer();
    assert_eq!(
        (second.status, second.text().as_str()),
        (200, NOBODY),
        "the request behind it"
    );
    answer
}

/// Sends `request` and then [`PLAIN`] on one connection: exactly one answer must come, with one of
/// `statuses` and one line of text, and then the end (contract 7.5).
#[track_caller]
fn refused(server: &Server, request: impl AsRef<[u8]>, statuses: &[u16]) -> Answer {
    let mut conn = Conn::open(server);
    conn.send([request.as_ref(), PLAIN.as_bytes()].concat());
    let shown = String::from_utf8_lossy(request.as_ref()).into_owned();
    refusal(&mut conn, &shown, statuses)
}

/// Reads the one answer that refuses `shown`, and the end behind it.
#[track_caller]
fn refusal(conn: &mut Conn, shown: &str, statuses: &[u16]) -> Answer {
    let answer = conn.answer();
    assert!(
        statuses.contains(&answer.status),
        "{statuses:?} for {shown:?}, not {answer:?}"
    );
    let text = answer.text();
    let line = text.strip_suffix('\n').unwrap_or(&text);
    assert!(
        !line.is_empty() && !line.contains('\n'),
        "one line of text for {shown:?}: {text:?}"
    );
    assert!(
        answer.closes(),
        "the answer to {shown:?} must announce the end: {answer:?}"
    );
    conn.ended();
    answer
}
