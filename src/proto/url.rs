//! URLs to be called, as people write them, made fit for a request line (RFC 3986). Never
//! resolves a name and never looks at what a host is.

use core::net::Ipv6Addr;
use std::fmt::{self, Write as _};

use crate::limits::{HOST_BYTES_MAX, URL_BYTES_MAX};
use crate::proto::target::decode_escapes;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether the scheme is `https`, else it is `http`.
    pub is_https: bool,
    /// In lower case; an IPv6 address in brackets.
    pub host: String,
    /// As given, else the scheme's.
    pub port: u16,
    /// Path and query, escaped; begins with `/`.
    pub target: String,
    /// `user:password`, its escapes decoded; `None` where there was no `@`.
    pub user_information: Option<Vec<u8>>,
}

/// Why a text is no URL that can be called. Displayed as what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Longer than [`URL_BYTES_MAX`], escapes included.
    TooLong,
    /// Another scheme than http and https.
    Scheme,
    /// No host, or one with characters that no name has.
    Host,
    /// A host with letters beyond ASCII.
    HostNotAscii,
    /// No number from 1 to 65535.
    Port,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::TooLong => write!(f, "expected a URL of at most {URL_BYTES_MAX} bytes"),
            UrlError::Scheme => f.write_str("expected a URL that begins with http:// or https://"),
            UrlError::Host => f.write_str("expected a host, e.g. http://www.example.com/path"),
            UrlError::HostNotAscii => {
                f.write_str("expected the host in ASCII, e.g. http://xn--fiqs8s.example/")
            }
            UrlError::Port => {
                f.write_str("expected a port, 1 to 65535, e.g. http://localhost:8081/")
            }
        }
    }
}

impl Url {
    /// Reads an absolute URL; without a scheme it is taken for http. A fragment is dropped, blanks
    /// around it too; what RFC 3986 does not allow in a path or query is percent-encoded, and a `%`
    /// is left alone. Source: contract 5, "The call".
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        let text = text.trim_ascii();
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let (is_https, rest) = match scheme_of(text) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return Err(UrlError::Scheme),
            None => (false, text.strip_prefix("//").unwrap_or(text)),
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (user_information, place) = match authority.rsplit_once('@') {
            Some((user_information, place)) => {
                (Some(decode_escapes(user_information.as_bytes())), place)
            }
            None => (None, authority),
        };
        let (host, port) = host_and_port(place, if is_https { 443 } else { 80 })?;
        let mut url = Url {
            is_https,
            host,
            port,
            target: escape_target(target),
            user_information,
        };
        url.user_information.take_if(|given| given.is_empty());
        if url.target.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        Ok(url)
    }

    /// The URL that a `Location` in an answer of this one names (RFC 3986, 5.2; RFC 9110, 10.2.2).
    pub fn join(&self, location: &str) -> Result<Url, UrlError> {
        let location = location.trim_ascii();
        if scheme_of(location).is_some() {
            return Url::parse(location);
        }
        if location.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        if location.starts_with("//") {
            let scheme = if self.is_https { "https:" } else { "http:" };
            return Url::parse(&format!("{scheme}{location}"));
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let target = match location.bytes().next() {
            None | Some(b'#') => self.target.clone(),
            Some(b'/') => escape_target(location),
            Some(b'?') => format!("{path}{}", &escape_target(location)[1..]),
            Some(_) => {
                let folder = &path[..path.rfind('/').map_or(0, |at| at + 1)];
                without_dots(&escape_target(&format!("{folder}{location}")))
            }
        };
        if target.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        Ok(Url {
            target,
            user_information: None,
            ..self.clone()
        })
    }

    /// `host:port`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether both lead to the same server: what was meant for one may be told the other.
    pub fn is_same_origin(&self, other: &Url) -> bool {
        (self.is_https, self.port) == (other.is_https, other.port) && self.host == other.host
    }
}

/// Without user information, and without a port that is the scheme's own.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_https { "https://" } else { "http://" })?;
        f.write_str(&self.host)?;
        if self.port != if self.is_https { 443 } else { 80 } {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.target)
    }
}

/// Scheme and what is behind `://`. `localhost:80/a` has none, and neither has `a/b?c=http://d`.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_one = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    Some((scheme, rest.strip_prefix("//")?)).filter(|_| is_one)
}

fn host_and_port(place: &str, port_default: u16) -> Result<(String, u16), UrlError> {
    let (host, port) = match place.rfind(']') {
        Some(close) => place.split_at(close + 1),
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    if !host.is_ascii() {
        return Err(UrlError::HostNotAscii);
    }
    let is_host = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.len() <= HOST_BYTES_MAX
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    if !is_host {
        return Err(UrlError::Host);
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => port_default,
        None => return Err(UrlError::Host),
        Some("") => port_default,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(UrlError::Port),
        },
        Some(_) => return Err(UrlError::Port),
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// Path and query up to a fragment, with a leading `/`, and with escapes where RFC 3986 (3.3, 3.4)
/// wants them.
fn escape_target(target: &str) -> String {
    let target = target.split('#').next().unwrap_or_default();
    let mut out = String::with_capacity(target.len() + 1);
    if !target.starts_with('/') {
        out.push('/');
    }
    for byte in target.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Resolves `.` and `..` in the path; those that would leave the root stay there (RFC 3986, 5.2.4).
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut segments: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for segment in path.split('/').skip(1) {
        is_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let slash = if is_folder && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}{query}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let url = Url::parse(text).map(|url| url.to_string());
        assert_eq!(url.as_deref(), Ok(expect), "{text:?}");
        assert_eq!(
            Url::parse(expect).map(|url| url.to_string()).as_deref(),
            Ok(expect),
            "a second time"
        );
    }

    #[track_caller]
    fn check_error(text: &str, expect: UrlError) {
        assert_eq!(Url::parse(text), Err(expect), "{text:?}");
    }

    #[test]
    fn urls_become_canonical() {
        check("http://a.example/x?y=1", "http://a.example/x?y=1");
        check("HTTPS://A.Example", "https://a.example/");
        check("a.example", "http://a.example/");
        check("localhost:8080/x", "http://localhost:8080/x");
        check("//a/x", "http://a/x");
        check(" http://a/x\n", "http://a/x");
        check("http://a:80/", "http://a/");
        check("https://a:443/", "https://a/");
        check("https://a:80/", "https://a:80/");
        check("http://a:/", "http://a/");
        check("http://a:08080/", "http://a:8080/");
        check("http://[::1]:81/x", "http://[::1]:81/x");
        check("http://[FE80::1]", "http://[fe80::1]/");
        check("http://1.2.3.4/", "http://1.2.3.4/");
        check("http://my_host/", "http://my_host/");
        check("http://a?b=1", "http://a/?b=1");
        check("http://a#f", "http://a/");
        check("http://a/n?b=1#frag?c", "http://a/n?b=1");
        check("http://a/../b/./c", "http://a/../b/./c");
        check("a/b?c=http://d/", "http://a/b?c=http://d/");
    }

    #[test]
    fn illegal_characters_are_escaped_and_escapes_left_alone() {
        check("http://a/b c?d=\"<é>", "http://a/b%20c?d=%22%3C%C3%A9%3E");
        check("http://a/中", "http://a/%E4%B8%AD");
        check("http://a/%E4%B8%AD%zz%", "http://a/%E4%B8%AD%zz%");
        check(
            "http://a/x[0]{1}|\\^`",
            "http://a/x%5B0%5D%7B1%7D%7C%5C%5E%60",
        );
        check("http://a/\r\nX: 1", "http://a/%0D%0AX:%201");
        check("http://a/\0\u{7f}\t", "http://a/%00%7F");
        check(
            "http://a/?a=1&b=2;c='(!)*+,$@:~",
            "http://a/?a=1&b=2;c='(!)*+,$@:~",
        );
        check("http://a\\b", "http://a/%5Cb");
    }

    #[test]
    fn user_information_is_taken_out() {
        let of = |text: &str| Url::parse(text).map(|url| (url.to_string(), url.user_information));
        let is = |url: &str, user: Option<&str>| {
            Ok((url.to_owned(), user.map(|user| user.as_bytes().to_vec())))
        };
        assert_eq!(of("http://u:p@a/x"), is("http://a/x", Some("u:p")));
        assert_eq!(of("u%40x:p%3a%@a"), is("http://a/", Some("u@x:p:%")));
        assert_eq!(of("http://u@v@a"), is("http://a/", Some("u@v")));
        assert_eq!(of("http://u@a"), is("http://a/", Some("u")));
        assert_eq!(of("http://@a"), is("http://a/", None));
        assert_eq!(of("http://a/@b"), is("http://a/@b", None));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "ftp://a/",
            "file:///etc/passwd",
            "gopher://a",
            "ws://a",
            "x-y.z+1://a",
        ] {
            check_error(text, UrlError::Scheme);
        }
        for text in [
            "",
            " ",
            "/x",
            "?a",
            "#",
            "http://",
            "http:///x",
            "http://:80/",
            "http://a b/",
            "http://a%41/",
            "http://[::1",
            "http://[::1]x/",
            "http://[1.2.3.4]/",
            "http://[fe80::1%25eth0]/",
            "http://u:p@/",
            "http://::1/",
            "http://a,b/",
            "http://a\r\nb/",
        ] {
            check_error(text, UrlError::Host);
        }
        for text in [
            "http://a:0/",
            "http://a:65536/",
            "http://a:+1/",
            "a:b",
            "mailto:x@y:z",
            "http:a",
        ] {
            check_error(text, UrlError::Port);
        }
        check_error("http://中国.example/", UrlError::HostNotAscii);
        check_error(&format!("http://{}/", "a".repeat(254)), UrlError::Host);
        check_error(
            &format!("http://a/{}", "b".repeat(URL_BYTES_MAX)),
            UrlError::TooLong,
        );
        check_error(
            &format!("http://a/{}", " x".repeat(URL_BYTES_MAX / 3)),
            UrlError::TooLong,
        );
    }

    #[test]
    fn locations_are_joined() {
        let base = Url::parse("https://u:p@a:444/b/c?d=1").expect("a URL");
        for (location, expect) in [
            ("http://x/y", "http://x/y"),
            ("//x/y", "https://x/y"),
            ("/y z#f", "https://a:444/y%20z"),
            ("y", "https://a:444/b/y"),
            ("./y/../z/.", "https://a:444/b/z/"),
            ("../../../y?e=..", "https://a:444/y?e=.."),
            ("..", "https://a:444/"),
            ("?e=2", "https://a:444/b/c?e=2"),
            ("", "https://a:444/b/c?d=1"),
            ("#f", "https://a:444/b/c?d=1"),
            ("y:z", "https://a:444/b/y:z"),
        ] {
            let joined = base.join(location);
            assert_eq!(
                joined.as_ref().map(Url::to_string).as_deref(),
                Ok(expect),
                "{location:?}"
            );
            assert_eq!(joined.map(|url| url.user_information), Ok(None));
        }
        assert_eq!(base.join("ftp://x/"), Err(UrlError::Scheme));
        assert!(base.is_same_origin(&base.join("/y").expect("a URL")));
        assert!(!base.is_same_origin(&base.join("https://a/").expect("a URL")));
        assert!(!base.is_same_origin(&base.join("http://a:444/").expect("a URL")));
    }
}
