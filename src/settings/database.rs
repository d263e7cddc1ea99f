//! Which database plugins use, as `P_DB` and `P_DBCRED` name it. Never resolves a name, never opens a file.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::settings::address::Malformed;

/// Which database plugins use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DatabaseAt {
    /// Not said.
    #[default]
    Unset,
    /// None: `null`.
    Nowhere,
    /// A file of SQLite, below the data folder unless absolute.
    File(String),
    /// A MySQL or MariaDB server.
    Server {
        /// Name or address.
        host: String,
        /// 3306 unless said.
        port: u16,
        /// The database there.
        name: String,
    },
}

/// Endings that tell a file from a server's database.
const FILE_ENDINGS: [&str; 4] = [".db", ".db3", ".sqlite", ".sqlite3"];
const PORT: u16 = 3306;

impl FromStr for DatabaseAt {
    type Err = Malformed;

    /// `FILE.db`, `/path/file`, `host/name`, `host:port/name`, `[::1]:port/name`, `null`, or empty.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.contains(|c: char| c.is_control()) {
            return Err(Malformed);
        }
        match text {
            "" => return Ok(DatabaseAt::Unset),
            "null" => return Ok(DatabaseAt::Nowhere),
            _ => {}
        }
        if text.starts_with(['/', '.']) || FILE_ENDINGS.iter().any(|end| text.ends_with(end)) {
            let is_folder = text.ends_with(['/', '.']);
            return match is_folder || FILE_ENDINGS.contains(&text) {
                true => Err(Malformed),
                false => Ok(DatabaseAt::File(text.to_owned())),
            };
        }
        let (place, name) = text.split_once('/').ok_or(Malformed)?;
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or(Malformed)?;
                (host, (!behind.is_empty()).then_some(behind))
            }
            None => match place.find(':') {
                Some(at) => (&place[..at], Some(&place[at..])),
                None => (place, None),
            },
        };
        let port = match port {
            None => PORT,
            Some(text) => {
                let digits = text.strip_prefix(':').ok_or(Malformed)?;
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                let port = digits.parse().ok().filter(|&port| is_number && port > 0);
                port.ok_or(Malformed)?
            }
        };
        let is_word = |text: &str| !text.is_empty() && !text.contains([' ', '/', '@']);
        if !is_word(host) || !is_word(name) {
            return Err(Malformed);
        }
        Ok(DatabaseAt::Server {
            host: host.to_owned(),
            port,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for DatabaseAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseAt::Unset => Ok(()),
            DatabaseAt::Nowhere => f.write_str("null"),
            DatabaseAt::File(path) => f.write_str(path),
            DatabaseAt::Server { host, port, name } if host.contains(':') => {
                write!(f, "[{host}]:{port}/{name}")
            }
            DatabaseAt::Server { host, port, name } => write!(f, "{host}:{port}/{name}"),
        }
    }
}

/// User and password of `P_DBCRED`: `user:password`, or that in base64. Errors: it is neither.
pub fn credentials(text: &str) -> Result<(String, String), Malformed> {
    let plain = match text.contains(':') {
        true => text.to_owned(),
        false => {
            let bytes = BASE64.decode(text).map_err(|_| Malformed)?;
            String::from_utf8(bytes).map_err(|_| Malformed)?
        }
    };
    let (user, password) = plain.split_once(':').ok_or(Malformed)?;
    match user.is_empty() {
        true => Err(Malformed),
        false => Ok((user.to_owned(), password.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16, name: &str) -> DatabaseAt {
        DatabaseAt::Server {
            host: host.to_owned(),
            port,
            name: name.to_owned(),
        }
    }

    #[test]
    fn files_servers_and_none() {
        let file = |path: &str| DatabaseAt::File(path.to_owned());
        for (text, want) in [
            ("", DatabaseAt::Unset),
            ("null", DatabaseAt::Nowhere),
            ("jdserver.db", file("jdserver.db")),
            ("data/x.sqlite3", file("data/x.sqlite3")),
            ("/var/lib/x", file("/var/lib/x")),
            ("../x.db", file("../x.db")),
            ("localhost/jdcloud", server("localhost", 3306, "jdcloud")),
            ("db.local:3307/a-b", server("db.local", 3307, "a-b")),
            ("[::1]:3306/x", server("::1", 3306, "x")),
            ("[::1]/x", server("::1", 3306, "x")),
        ] {
            let at = text.parse::<DatabaseAt>();
            assert_eq!(at.as_ref(), Ok(&want), "{text:?}");
            assert_eq!(at.and_then(|at| at.to_string().parse()), Ok(want));
        }
    }

    #[test]
    fn what_names_no_database_is_refused() {
        for text in [
            "jdcloud",
            "x/",
            "/",
            ".",
            ".db",
            "./",
            ":3306/x",
            "h:/x",
            "h:0/x",
            "h:70000/x",
            "h:+1/x",
            "h:3306",
            "[::1/x",
            "[::1]3306/x",
            "u:p@h/x",
            "h/a b",
            "h/a/b",
            "a\0.db",
            "a\n.db",
        ] {
            assert_eq!(text.parse::<DatabaseAt>(), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn credentials_are_plain_or_base64() {
        let pair = |user: &str, password: &str| Ok((user.to_owned(), password.to_owned()));
        for (text, want) in [
            ("demo:demo123", pair("demo", "demo123")),
            ("demo:a:b", pair("demo", "a:b")),
            ("demo:", pair("demo", "")),
            ("ZGVtbzpkZW1vMTIz", pair("demo", "demo123")),
            ("", Err(Malformed)),
            (":x", Err(Malformed)),
            ("ZGVtbw==", Err(Malformed)),
            ("not base64", Err(Malformed)),
            ("/////w==", Err(Malformed)),
        ] {
            assert_eq!(credentials(text), want, "{text:?}");
        }
    }
}
