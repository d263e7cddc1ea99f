//! The service of a machine with systemd: the unit comes and goes, with its user and its settings. Nothing that is not
//! ours is overwritten, and settings and data are never removed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::account::{self, Account};
use crate::config::Service;
use crate::config::layout::{SERVICE_DATA, SERVICE_FILE, SERVICE_USER};
use crate::install::host::Host;
use crate::install::init::{self, new_file, wrong};
use crate::install::unit;

/// The unit, where an administrator's stand.
const UNIT: &str = "/etc/systemd/system/jdserver.service";
/// What `systemctl enable` makes for it.
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/jdserver.service";
/// Where a package's stands, which ours would hide.
const PACKAGED: [&str; 2] = [
    "/usr/lib/systemd/system/jdserver.service",
    "/lib/systemd/system/jdserver.service",
];
/// What people add, which is theirs.
const OTHERS: [&str; 2] = [
    "/etc/systemd/system/jdserver.service.d",
    "/etc/systemd/system/jdserver.socket",
];
/// What the service does not see: ProtectHome= and PrivateTmp=.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
/// What to do with a binary that the service cannot run.
const BINARY_ELSEWHERE: &str =
    "e.g. after: install jdserver /usr/local/bin/ && /usr/local/bin/jdserver --install-service";

/// Writes the unit, and what it needs where that is missing; what was done and what to do next. Errors: one line.
pub fn install(host: &Host, service: &Service) -> Result<String, String> {
    must_be_root(host, "--install-service")?;
    let binary = reachable_binary(host)?;
    let unit_path = host.path(UNIT);
    let is_new = match host.read(&unit_path)? {
        None => true,
        Some(text) if unit::is_ours(&text) => false,
        Some(_) => {
            return Err(format!(
                "{UNIT} is there and not ours; expected it to be moved away first"
            ));
        }
    };
    if let Some(path) = PACKAGED.iter().find(|path| host.path(path).exists()) {
        return Err(format!(
            "{path} is there: a package has made the service; expected no other, e.g. systemctl enable --now jdserver"
        ));
    }
    let folder = unit_path.parent().unwrap_or(&host.root);
    if !folder.is_dir() {
        return Err(format!(
            "there is no {}; expected a machine with systemd",
            folder.display()
        ));
    }
    let mut lines = Vec::new();
    let account = account(host, service, &mut lines)?;
    let group = service.user.split_once(':').map(|(_, group)| group);
    let text = unit::text(&binary, &account, group).ok_or_else(|| {
        format!("{binary:?}: a unit cannot hold that path; expected the binary at a simpler one, {BINARY_ELSEWHERE}")
    })?;
    let written = init::write(&service.layout, Some(&account))?;
    lines.extend(written.lines);
    write_anew(&unit_path, &text)?;
    host.systemctl(&["daemon-reload"])?;
    let is_known = match host.has_systemd() {
        true => ", and systemd told",
        false => "",
    };
    lines.push(format!(
        "wrote {UNIT}: runs {binary} as {}{is_known}",
        service.user
    ));
    let next = match is_new {
        true => "systemctl enable --now jdserver\n      starts it, now and with the machine",
        false => "systemctl restart jdserver\n      runs it by the new unit",
    };
    Ok(format!(
        "{}\n\nnext:\n  jdserver -t -c {SERVICE_FILE}\n      checks the settings\n  {next}\n",
        lines.join("\n")
    ))
}

/// Stops the service and removes what [`install`] wrote of the unit; what was done and what stays. Errors: one line.
pub fn remove(host: &Host) -> Result<String, String> {
    must_be_root(host, "--remove-service")?;
    let unit_path = host.path(UNIT);
    match host.read(&unit_path)? {
        None => {
            return Err(format!(
                "there is no {UNIT}; expected one that --install-service wrote"
            ));
        }
        Some(text) if unit::is_ours(&text) => {}
        Some(_) => {
            return Err(format!(
                "{UNIT} is not ours; expected one that --install-service wrote"
            ));
        }
    }
    let runs = host.has_systemd();
    host.systemctl(&["disable", "--now", "jdserver.service"])?;
    fs::remove_file(&unit_path).map_err(|error| wrong(&unit_path, &error))?;
    let enabled = host.path(ENABLED);
    // Where systemd does not run nobody else has.
    if enabled.is_symlink() {
        fs::remove_file(&enabled).map_err(|error| wrong(&enabled, &error))?;
    }
    host.systemctl(&["daemon-reload"])?;
    let done = if runs {
        "stopped the service and removed"
    } else {
        "removed"
    };
    let mut text = format!("{done} {UNIT}\n");
    let others = OTHERS
        .into_iter()
        .chain(["/etc/jdserver", SERVICE_DATA, "/var/log/jdserver"]);
    for path in others.filter(|path| host.path(path).exists()) {
        text.push_str(&format!("left {path}\n"));
    }
    if (host.account)(SERVICE_USER)?.is_some() {
        text.push_str(&format!("left the user {SERVICE_USER}\n"));
    }
    Ok(text)
}

fn must_be_root(host: &Host, option: &str) -> Result<(), String> {
    match host.is_root {
        true => Ok(()),
        false => Err(format!(
            "{option}: only root may; expected e.g. sudo jdserver {option}"
        )),
    }
}

/// The running binary, where the service may run it too.
fn reachable_binary(host: &Host) -> Result<String, String> {
    let path = host.binary.as_ref().map_err(String::clone)?;
    let shown = path.display();
    if let Some(hidden) = HIDDEN.iter().find(|hidden| path.starts_with(hidden)) {
        return Err(format!(
            "{shown}: the service does not see {hidden}; expected the binary elsewhere, {BINARY_ELSEWHERE}"
        ));
    }
    let is_open = |path: &Path| {
        let metadata = fs::metadata(host.path(path));
        metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    if let Some(closed) = path.ancestors().find(|path| !is_open(path)) {
        return Err(format!(
            "{shown}: not every user may use {}; expected the binary where the service's may, {BINARY_ELSEWHERE}",
            closed.display()
        ));
    }
    match path.to_str() {
        Some(path) => Ok(path.to_owned()),
        None => Err(format!("{shown}: expected a path in UTF-8")),
    }
}

/// The user that the service runs as; the usual one is made where it is missing.
fn account(host: &Host, service: &Service, lines: &mut Vec<String>) -> Result<Account, String> {
    let user = service.user.as_str();
    let mut found = (host.account)(user)?;
    if found.is_none() && service.user_may_be_new {
        let args = [
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            SERVICE_DATA,
            "--shell",
            "/usr/sbin/nologin",
            user,
        ];
        (host.run)("useradd", &args).map_err(|error| {
            format!("{error}; expected a user {user}, or another one by --user")
        })?;
        lines.push(format!("made the user {user}"));
        found = (host.account)(user)?;
    }
    let account = found.ok_or_else(|| account::missing(user))?;
    if account.uid.is_root() {
        return Err(format!(
            "user: {user}: expected a user that may do less than root"
        ));
    }
    Ok(account)
}

/// Whole or not at all.
fn write_anew(path: &Path, text: &str) -> Result<(), String> {
    let new = path.with_extension("service.new");
    // What a run before this one left.
    let _ = fs::remove_file(&new);
    let written = new_file(&new, text, 0o644).and_then(|()| fs::rename(&new, path));
    written.map_err(|error| wrong(path, &error))
}

#[cfg(test)]
mod tests;
