//! Who a name is on this machine. Becomes nobody.

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

/// A user that there is, and the group to be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: Uid,
    /// The number of its own group, or of the one that was named.
    pub gid: Gid,
}

/// By `NAME` or `NAME:GROUP`; `None` where there is no such user. Errors: one line; there is no such group, or the
/// machine cannot say.
pub fn find(user: &str) -> Result<Option<Account>, String> {
    let (name, group) = user.split_once(':').unwrap_or((user, ""));
    let Some(found) = known(name, User::from_name(name))? else {
        return Ok(None);
    };
    let gid = match group {
        "" => found.gid,
        group => {
            known(group, Group::from_name(group))?
                .ok_or_else(|| format!("user: there is no group {group}"))?
                .gid
        }
    };
    Ok(Some(Account {
        name: name.to_owned(),
        uid: found.uid,
        gid,
    }))
}

/// Where the file of users is missing nobody is known: that is no error of the machine.
fn known<T>(name: &str, found: nix::Result<Option<T>>) -> Result<Option<T>, String> {
    match found {
        Err(Errno::ENOENT) => Ok(None),
        found => found.map_err(|error| format!("user: {name}: {error}")),
    }
}

/// What to do where there is no such user.
pub fn missing(user: &str) -> String {
    let (name, _) = user.split_once(':').unwrap_or((user, ""));
    format!(
        "user: there is no {name}; expected one that exists, e.g. after: useradd --system {name}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_there_and_others_are_not() {
        let root = find("root").expect("known").expect("there");
        assert!(root.uid.is_root() && root.name == "root");
        let other = find("root:no-such-group");
        assert_eq!(
            other,
            Err("user: there is no group no-such-group".to_owned())
        );
        assert_eq!(find("no-such-user"), Ok(None));
        assert_eq!(known::<()>("x", Err(Errno::ENOENT)), Ok(None));
        let error = known::<()>("x", Err(Errno::EIO)).expect_err("the machine cannot say");
        assert!(error.starts_with("user: x: EIO"), "{error}");
        assert!(missing("no-such-user:x").ends_with("useradd --system no-such-user"));
    }
}
