//! What the token of a request opens. Never who somebody is: a token is one secret for all who have it.

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

    /// Whether who makes a call may administer. Plugins may: whoever installs them does.
    pub(super) fn may_administer(&self, id: ConnId) -> bool {
        id.ticket().is_some()
            || self
                .conn(id)
                .is_some_and(|conn| conn.access == Access::Admin)
    }
}
