//! What the token of a request opens, and from where browsers may ask. Never who somebody is: a token is one secret for
//! all who have it.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::ids::ConnId;
use crate::proto::form::{Field, Form};
use crate::proto::request::Head;
use crate::state::server::Server;

/// How far a connection's last request may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Nothing: it was taken beyond the caps, only to be told so.
    Surplus,
    /// Pages only.
    #[default]
    Stranger,
    /// Calls and upgrades.
    User,
    /// What [`is_administration`] names, too.
    Admin,
}

/// Calls that show or change what concerns everyone.
pub(super) fn is_administration(action: &str) -> bool {
    matches!(
        action,
        "conf" | "reload" | "getSettings" | "getApps" | "logTail"
    )
}

impl<S> Server<S> {
    /// Looks at the token of a request, remembers what it opens, and says whether calls are among that.
    pub(super) fn admit(&mut self, id: ConnId, head: &Head<'_, '_>, query: &Form<'_>) -> bool {
        let access = self.access(head, query);
        if let Some(conn) = self.conn_mut(id) {
            conn.access = access;
        }
        access >= Access::User
    }

    fn access(&self, head: &Head<'_, '_>, query: &Form<'_>) -> Access {
        let (token, admin_token) = (&self.settings.token, &self.settings.admin_token);
        if token.is_empty() && admin_token.is_empty() {
            return Access::Admin;
        }
        let bearer = head.header("authorization").and_then(|value| {
            let (scheme, rest) = value.split_at_checked(7)?;
            scheme
                .eq_ignore_ascii_case(b"bearer ")
                .then(|| rest.trim_ascii())
        });
        let named = match query.get("_token") {
            Some(Field::Text(text)) => Some(text.as_bytes()),
            _ => None,
        };
        let given = || bearer.into_iter().chain(named);
        let is_user = token.is_empty() || given().any(|given| token.matches(given));
        let is_admin = match admin_token.is_empty() {
            true => is_user,
            false => given().any(|given| admin_token.matches(given)),
        };
        match (is_user, is_admin) {
            (_, true) => Access::Admin,
            (true, false) => Access::User,
            (false, false) => Access::Stranger,
        }
    }

    /// Whether a browser's page from `origin` may ask: the settings allow it, or it is one of our own.
    pub(super) fn admits_origin(&self, head: &Head<'_, '_>, origin: &[u8]) -> bool {
        self.settings.allows_origin(origin)
            || head.header("host").is_some_and(|host| is_own(host, origin))
    }

    /// Whether who makes a call may administer. Plugins may: whoever installs them does.
    pub(super) fn may_administer(&self, id: ConnId) -> bool {
        id.ticket().is_some()
            || self
                .conn(id)
                .is_some_and(|conn| conn.access == Access::Admin)
    }
}

/// Whether a page came from the very address that it asks now. A name says nothing: its owner may have turned it to us
/// after the page was loaded (DNS rebinding); an address or `localhost` cannot be turned.
fn is_own(host: &[u8], origin: &[u8]) -> bool {
    let schemes = [&b"http://"[..], b"https://"];
    let place = schemes
        .iter()
        .find_map(|scheme| origin.strip_prefix(*scheme));
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let is_fixed = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let name = host.split(':').next().unwrap_or_default();
            name.parse::<Ipv4Addr>().is_ok() || name.eq_ignore_ascii_case("localhost")
        }
    };
    is_fixed && place.is_some_and(|place| place.eq_ignore_ascii_case(host.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, origin: &str, want: bool) {
        let own = is_own(host.as_bytes(), origin.as_bytes());
        assert_eq!(own, want, "{host} {origin}");
    }

    #[test]
    fn own_pages_come_from_an_address() {
        check("127.0.0.1:8081", "http://127.0.0.1:8081", true);
        check("[::1]:8443", "https://[::1]:8443", true);
        check("LocalHost:8081", "http://localhost:8081", true);
        check("10.0.0.7", "http://10.0.0.7", true);
        check("127.0.0.1:8081", "http://127.0.0.1:8082", false);
        check("127.0.0.1:8081", "http://localhost:8081", false);
        check("127.0.0.1:8081", "https://www.example.com", false);
        check("evil.example:8081", "http://evil.example:8081", false);
        check(
            "localhost.evil.example",
            "http://localhost.evil.example",
            false,
        );
        check(
            "127.0.0.1.evil.example",
            "http://127.0.0.1.evil.example",
            false,
        );
        check("127.0.0.1", "127.0.0.1", false);
        check("127.0.0.1", "ftp://127.0.0.1", false);
        check("[x]", "http://[x]", false);
        check("", "http://", false);
        check("", "null", false);
    }
}
