//! Networks, listeners, origins and the base path as an operator writes them. Never resolves a name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The text is none. What is right is said by the setting's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// An address with the number of leading bits that count. An IPv4 address within IPv6
/// (`::ffff:10.0.0.1`) is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNet {
    address: IpAddr,
    bits: u8,
}

impl IpNet {
    /// Whether the address lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(other)) => masked_v4(other, self.bits) == net,
            (IpAddr::V6(net), IpAddr::V6(other)) => masked_v6(other, self.bits) == net,
            _ => false,
        }
    }
}

fn masked_v4(address: Ipv4Addr, bits: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn masked_v6(address: Ipv6Addr, bits: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

impl FromStr for IpNet {
    type Err = Malformed;

    /// `10.0.0.0/8`, `192.0.2.7`, `fd00::/8`; bits of the address beyond its length are cleared.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| Malformed)?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => bits_max,
            // The parser of u8 takes a sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| Malformed)?
            }
            Some(_) => return Err(Malformed),
        };
        if bits > bits_max {
            return Err(Malformed);
        }
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(within)) if bits >= 96 => Ok(IpNet {
                address: IpAddr::V4(masked_v4(within, bits - 96)),
                bits: bits - 96,
            }),
            (IpAddr::V4(address), _) => Ok(IpNet {
                address: IpAddr::V4(masked_v4(address, bits)),
                bits,
            }),
            (IpAddr::V6(address), _) => Ok(IpNet {
                address: IpAddr::V6(masked_v6(address, bits)),
                bits,
            }),
        }
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port; port 0 is any free one.
    Tcp(SocketAddr),
    /// The same, for TLS alone.
    Tls(SocketAddr),
    /// The path of a Unix socket.
    Unix(String),
}

impl Listen {
    /// Whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Listen::Tcp(address) | Listen::Tls(address) => {
                address.ip().to_canonical().is_loopback()
            }
            Listen::Unix(_) => true,
        }
    }
}

impl FromStr for Listen {
    type Err = Malformed;

    /// `127.0.0.1:8081`, `[::1]:8081`, `localhost:8081` (127.0.0.1), `*:8081` (0.0.0.0), `tls:*:8443`, `unix:/path`.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() || path.contains('\0') {
                Err(Malformed)
            } else {
                Ok(Listen::Unix(path.to_owned()))
            };
        }
        match text.strip_prefix("tls:") {
            Some(address) => socket_address(address).map(Listen::Tls),
            None => socket_address(text).map(Listen::Tcp),
        }
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, Malformed> {
    let address = match text.rsplit_once(':').ok_or(Malformed)? {
        ("*", port) => format!("0.0.0.0:{port}").parse(),
        ("localhost", port) => format!("127.0.0.1:{port}").parse(),
        _ => text.parse(),
    };
    address.map_err(|_| Malformed)
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Tls(address) => write!(f, "tls:{address}"),
            Listen::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// The prefix that a proxy leaves on paths: empty, or `/` and segments, without a slash at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    /// The decoded path without the prefix, where it lies below it; `/` for the prefix itself.
    pub fn below<'p>(&self, path: &'p str) -> &'p str {
        match path.strip_prefix(&*self.0) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }

    /// Whether the decoded path is the prefix itself. A page there would miss what lies beside it.
    pub fn is(&self, path: &str) -> bool {
        !self.0.is_empty() && self.0 == path
    }
}

impl FromStr for BasePath {
    type Err = Malformed;

    /// `/jdserver`, `/a/b/`; empty and `/` for none.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let base = text.strip_suffix('/').unwrap_or(text);
        let is_segment = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part
                    .contains(|c: char| c.is_whitespace() || c.is_control() || "?#%\\".contains(c))
        };
        if base.is_empty()
            || base
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(is_segment))
        {
            Ok(BasePath(base.to_owned()))
        } else {
            Err(Malformed)
        }
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the text is `scheme://host` or `scheme://host:port` and nothing behind it
/// (RFC 6454, 7: what a browser sends as `Origin`).
pub(super) fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let scheme_is_one = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host_is_one = !authority.is_empty()
        && authority
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    scheme_is_one && host_is_one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(net: &str, address: &str, inside: bool) {
        let (net, address): (IpNet, IpAddr) = (
            net.parse().expect("a network"),
            address.parse().expect("an address"),
        );
        assert_eq!(net.contains(address), inside, "{net} {address}");
    }

    #[test]
    fn networks_contain() {
        check("10.0.0.0/8", "10.255.255.255", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.1.2.3/8", "10.9.9.9", true);
        check("0.0.0.0/0", "255.255.255.255", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "ffff::1", true);
        check("::/0", "1.2.3.4", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("::1", "::1", true);
        check("fd00::/9", "fd80::1", false);
        check("fd00::/8", "fdff::1", true);
    }

    #[test]
    fn ipv4_within_ipv6_is_ipv4() {
        check("10.0.0.0/8", "::ffff:10.1.1.1", true);
        check("::ffff:10.0.0.0/104", "10.1.1.1", true);
        check("::ffff:10.0.0.0/104", "11.1.1.1", false);
        check("::ffff:10.0.0.1", "10.0.0.1", true);
    }

    #[test]
    fn other_texts_are_no_networks() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::1/129",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "localhost",
            "10.0.0.0/256",
            " ::1",
            "010.0.0.1",
        ] {
            assert_eq!(text.parse::<IpNet>(), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn listeners() {
        for (text, shown, local) in [
            ("127.0.0.1:8081", "127.0.0.1:8081", true),
            ("localhost:0", "127.0.0.1:0", true),
            ("*:80", "0.0.0.0:80", false),
            ("[::1]:8081", "[::1]:8081", true),
            ("[::]:8081", "[::]:8081", false),
            ("unix:/run/x.sock", "unix:/run/x.sock", true),
            ("tls:*:8443", "tls:0.0.0.0:8443", false),
            ("tls:[::1]:8443", "tls:[::1]:8443", true),
        ] {
            let listen: Listen = text.parse().expect("a listener");
            assert_eq!(
                (listen.to_string().as_str(), listen.is_local()),
                (shown, local),
                "{text:?}"
            );
        }
        for text in [
            "",
            "8081",
            ":8081",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:65536",
            "::1:8081x",
            "host:80",
            "unix:",
            "tls:",
            "tls:8443",
            "tls:unix:/x",
            "tls:tls:*:1",
            "*:x",
        ] {
            assert_eq!(text.parse::<Listen>(), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn origins() {
        for text in [
            "https://a.example",
            "http://localhost:8080",
            "http://[::1]:80",
            "capacitor://localhost",
        ] {
            assert!(is_origin(text), "{text:?}");
        }
        for text in [
            "",
            "*",
            "null",
            "a.example",
            "https://",
            "https://a.example/",
            "https://a b",
            "://a",
            "https://u@a",
            "1a://b",
        ] {
            assert!(!is_origin(text), "{text:?}");
        }
    }

    #[test]
    fn base_paths() {
        let check = |base: &str, path: &str, below: &str| {
            let base: BasePath = base.parse().expect("a base path");
            assert_eq!(base.below(path), below, "{base} {path}");
        };
        check("", "/push", "/push");
        check("/", "//push", "//push");
        for base in ["/jd", "/jd/"] {
            check(base, "/jd/push", "/push");
            check(base, "/jd/", "/");
            check(base, "/jd", "/");
            check(base, "/jd//x", "//x");
            check(base, "/jd/jd/x", "/jd/x");
            check(base, "/jdx/push", "/jdx/push");
            check(base, "/push", "/push");
            check(base, "/", "/");
        }
        check("/a/b", "/a/b/c", "/c");
        check("/推送", "/推送/c", "/c");
        for text in [
            "jd", "//", "/a//b", "/a/../b", "/.a", "/a b", "/a?b", "/a#b", "/%61", "/a\\b", "//a",
        ] {
            assert_eq!(text.parse::<BasePath>(), Err(Malformed), "{text:?}");
        }
    }
}
