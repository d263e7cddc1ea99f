//! From root to the user that the settings name, for good, once what only root may open is open.

use std::ffi::CString;
use std::os::unix::fs::chown;
use std::path::Path;

use nix::unistd::{Gid, Uid, geteuid, initgroups, setgid, setuid};
use rustix::fs::{Access, access};

use crate::account;

/// Becomes `user`, `NAME` or `NAME:GROUP` (else the user's own group), with the groups that it is in; then
/// `data_dir` must be writable. `sockets` are its own then. Nothing happens where `user` is empty or is who we are.
/// Errors: one line.
pub fn drop_to(user: &str, data_dir: &Path, sockets: &[&Path]) -> Result<(), String> {
    if user.is_empty() {
        return Ok(());
    }
    let account = account::find(user)?.ok_or_else(|| account::missing(user))?;
    let (name, gid) = (account.name.as_str(), account.gid);
    if geteuid() != account.uid {
        if !geteuid().is_root() {
            return Err(format!(
                "user: only root may become {name}; expected no such setting, or a start as root"
            ));
        }
        for path in sockets {
            chown(path, Some(account.uid.as_raw()), Some(gid.as_raw())).map_err(|error| {
                format!("user: cannot give {} to {name}: {error}", path.display())
            })?;
        }
        become_user(name, account.uid, gid)
            .map_err(|error| format!("user: cannot become {name}: {error}"))?;
    }
    access(data_dir, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        let dir = data_dir.display();
        format!("data_dir: {dir}: {error} for {name}; expected after: chown -R {name} {dir}")
    })
}

fn become_user(name: &str, uid: Uid, gid: Gid) -> nix::Result<()> {
    let name = CString::new(name).map_err(|_| nix::Error::EINVAL)?;
    initgroups(&name, gid)?;
    setgid(gid)?;
    setuid(uid)?;
    // There must be no way back.
    if !uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(nix::Error::EPERM);
    }
    Ok(())
}
