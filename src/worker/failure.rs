//! Why a call of a URL got no answer, in one line for a log. Never retries.

use std::net::IpAddr;
use std::{fmt, io};

/// Why there was no answer.
#[derive(Debug)]
pub enum Failure {
    /// Its time ran out.
    Timeout,
    /// The name has no address, or the system's resolver fails.
    NameNotFound,
    /// The operator's lists forbid the address.
    NotAllowed(IpAddr),
    /// No connection.
    Connect(io::Error),
    /// No TLS on a connection.
    Tls(String),
    /// The connection ended or broke before the answer was whole.
    Connection(io::Error),
    /// What came is not what HTTP/1.1 allows, or more of it than is taken.
    Answer(String),
    /// More redirects than are followed, or one that leads nowhere.
    Redirect(String),
    /// A defect of ours.
    Internal,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Timeout => f.write_str("timeout"),
            Failure::NameNotFound => f.write_str("name not found"),
            Failure::NotAllowed(address) => {
                write!(
                    f,
                    "address {address} is not allowed (callback_allow, callback_deny)"
                )
            }
            Failure::Connect(error) => write!(f, "connect: {}", short(error)),
            Failure::Tls(what) => write!(f, "TLS: {what}"),
            Failure::Connection(error) if is_end(error) => {
                f.write_str("connection closed before the answer was whole")
            }
            Failure::Connection(error) => write!(f, "connection: {}", short(error)),
            Failure::Answer(what) => write!(f, "answer: {what}"),
            Failure::Redirect(what) => write!(f, "redirect: {what}"),
            Failure::Internal => f.write_str("internal error"),
        }
    }
}

impl std::error::Error for Failure {}

/// Through ureq and out again.
impl From<Failure> for ureq::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Timeout => ureq::Error::Timeout(ureq::Timeout::Global),
            failure => ureq::Error::Other(Box::new(failure)),
        }
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Failure::Timeout,
            ureq::Error::HostNotFound => Failure::NameNotFound,
            ureq::Error::Io(error) => Failure::Connection(error),
            ureq::Error::Rustls(error) => Failure::Tls(error.to_string()),
            ureq::Error::Tls(what) => Failure::Tls(what.to_owned()),
            ureq::Error::Protocol(error) => Failure::Answer(error.to_string()),
            ureq::Error::LargeResponseHeader(..) => Failure::Answer("its head is too large".into()),
            ureq::Error::Other(error) => match error.downcast::<Failure>() {
                Ok(failure) => *failure,
                Err(error) => Failure::Answer(error.to_string()),
            },
            error => Failure::Answer(error.to_string()),
        }
    }
}

/// Whether the peer ended the connection, one way or another.
pub fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// An error of the system without its number.
fn short(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_short_line_each() {
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let through = |failure: Failure| Failure::from(ureq::Error::from(failure)).to_string();
        assert_eq!(
            through(Failure::Connect(refused)),
            "connect: Connection refused"
        );
        assert_eq!(through(Failure::Timeout), "timeout");
        assert_eq!(through(Failure::Tls("x".into())), "TLS: x");
        let ended = ureq::Error::Io(io::ErrorKind::UnexpectedEof.into());
        assert_eq!(
            Failure::from(ended).to_string(),
            "connection closed before the answer was whole"
        );
    }
}
